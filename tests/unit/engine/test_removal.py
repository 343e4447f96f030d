from __future__ import annotations

import pytest

from bocker.fakes import Crashed
from tests.unit.engine.bench import Bench, Screen, ready


def with_container() -> Bench:
    bench = ready()
    bench.run("probe", "echo", "hi", name="web")
    return bench


@pytest.mark.parametrize("word", ["ps_42002", "web", "ps_4", "img_42002", "base", "base:latest", "img_42"])
def test_rm_takes_ids_names_tags_and_prefixes(word: str) -> None:
    bench = with_container()
    expected = "ps_42002" if word[:1] in "pw" else "img_42002"
    assert bench.rm(word) == [f"Removed: {expected}"]
    assert expected not in {**bench.ps(), **bench.images()}


@pytest.mark.parametrize(
    "word",
    ["..", ".", "img_", "ps_", "5", "ps_5", "img_5", "path", ".*", "../x", "ps_42003", "", "[", "-v", "img_42002x"],
)
def test_D1_W11_words_that_name_nothing_remove_nothing(word: str) -> None:
    bench = with_container()
    before = bench.traces()
    assert bench.rm(word) == [f"No container or image named '{word}' exists"]
    assert bench.traces() == before


def test_D1_no_call_is_made_with_such_a_word() -> None:
    bench = with_container()
    start = len(bench.world.journal)
    bench.rm("..", "../..", "/etc")
    assert not [
        entry for entry in bench.world.journal[start:] if ".." in entry.call.subject or "etc" in entry.call.subject
    ]


def test_a_container_and_its_image_go_and_leave_nothing() -> None:
    bench = Bench()
    before = bench.traces()
    bench.add_image(tag="base")
    bench.run("probe", "echo", "hi")
    assert bench.rm("ps_42002", "base") == ["Removed: ps_42002", "Removed: img_42002"]
    assert [line for line in bench.traces() if "store/format" not in line] == [
        line for line in before if "store/format" not in line
    ]


def test_an_image_may_go_while_containers_of_it_stay() -> None:
    bench = with_container()
    bench.rm("base")
    assert bench.tree("ps_42002")["etc/hostname"] == b"image\n"


def test_U5_all_are_removed_and_one_that_fails_does_not_keep_the_others() -> None:
    bench = with_container()
    bench.run("true")
    assert bench.rm("ps_42002", "nothing", "ps_42003") == [
        "Removed: ps_42002",
        "No container or image named 'nothing' exists",
        "Removed: ps_42003",
    ]


def test_one_thing_named_twice_goes_once() -> None:
    assert with_container().rm("web", "ps_42002", "web") == ["Removed: ps_42002"]


def test_a_word_for_a_container_and_an_image_is_refused() -> None:
    bench = with_container()
    bench.commit("web", "web")
    before = bench.traces()
    assert bench.rm("web") == ["'web' names more than one thing: ps_42002, img_42003"]
    assert bench.traces() == before


def while_running(bench: Bench, *words: str, force: bool) -> tuple[list[str], int]:
    """Remove the container `live` while its program runs; return the lines, and the program's exit code."""
    lines: list[str] = []
    other = bench.in_another_terminal()

    def now() -> None:
        lines.extend(other.rm("live", force=force))

    bench.world.schedule(1.0, now)
    code = bench.run(*words, name="live").code
    return lines, code


def test_D10_a_running_container_is_refused_and_goes_on() -> None:
    lines, code = while_running(ready(), "probe", "sleep", "5", ",", "exit", "3", force=False)
    assert lines == ["Container 'live' is running"]
    assert code == 3


def test_D10_with_force_it_is_killed_first() -> None:
    """The one who removes waits for the supervisor's end, which has its turn when the removal sleeps."""
    bench = ready()
    other = bench.in_another_terminal()
    killed: list[int] = []
    lines: list[str] = []

    def remove(data: bytes) -> None:
        bench.world.schedule(0.01, lambda: killed.append(bench.world.state.last_pid))
        lines.extend(other.rm("live", force=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bocker.engine.removal.KILL_ROUNDS", 3)
        code = bench.run("probe", "echo", "up", ",", "sleep", "60", name="live", screen=Screen(remove)).code
    assert code == 137
    assert lines == ["Removing ps_42002 failed: its supervisor does not end"]
    assert other.rm("live", force=True) == ["Removed: ps_42002"]


def test_D10_with_force_a_container_whose_engine_was_killed_goes() -> None:
    bench = ready()
    victim = bench.in_another_terminal()

    def kill(data: bytes) -> None:
        bench.world.kill_program(victim.kernel)

    with pytest.raises(Crashed):
        victim.run("probe", "echo", "up", ",", "sleep", "60", screen=Screen(kill))
    before = ready().traces()
    assert bench.rm("ps_42002") == ["Removed: ps_42002"]
    assert bench.traces() == before


def test_D11_L1_subvolumes_inside_go_with_their_container() -> None:
    bench = with_container()
    bench.nest("ps_42002", "a")
    bench.nest("ps_42002/a", "b")
    assert bench.rm("web") == ["Removed: ps_42002"]
    assert bench.kernel.storage.names() == ("img_42002",)


def test_L2_no_part_of_a_group_is_left() -> None:
    bench = with_container()
    bench.world.add_group_part("bocker", "ps_42002", "memory")
    bench.rm("web")
    assert bench.kernel.cgroups.names() == ()


def test_an_interrupted_removal_of_an_image_is_finished_by_the_next() -> None:
    bench = ready()
    bench.kernel.storage.create(".img_42002.gone")
    assert bench.rm("base") == ["Removed: img_42002"]
    assert bench.kernel.storage.names() == ()

from __future__ import annotations

import pytest

from bocker.core.errors import Damaged
from bocker.core.model import ImageTags
from bocker.engine import store
from bocker.engine.repair import DYING_S
from bocker.fakes import files
from bocker.fakes.state import HOST
from tests.unit.engine.bench import Bench, Screen, ready
from tests.unit.engine.test_sweep import crash


def killed() -> Bench:
    """Return a bench on which the engine of a running container was killed."""
    bench = ready()
    crash(bench, lambda one: one.run("probe", "echo", "up", ",", "sleep", "9", name="web"), "records.append")
    return bench


def test_a_host_that_is_clean_needs_nothing() -> None:
    bench = ready()
    bench.run("true")
    assert bench.cleanup() == ()


def test_L3_after_a_kill_cleanup_records_the_death_and_takes_the_rest_away() -> None:
    bench = killed()
    assert "group bocker/ps_42002" in "\n".join(bench.traces())
    assert bench.cleanup() == ("Repaired: ps_42002 is dead",)
    assert not [line for line in bench.traces() if "group" in line or "veth" in line or "name netns" in line]
    (record,) = bench.records()
    assert (record.state, record.exit_code) == ("dead", None)
    assert record.finished_ns is not None
    assert bench.cleanup() == ()


def test_L3_the_next_command_records_the_death_too() -> None:
    bench = killed()
    assert bench.ps() == {"ps_42002": "dead"}
    assert bench.cleanup() == ()
    assert bench.tree("ps_42002")["etc/hostname"] == b"image\n"


@pytest.mark.parametrize("command", ["cleanup", "ps", "rm"])
def test_L3_a_child_that_dies_with_its_engine_has_a_copy_of_the_lock_for_a_moment(command: str) -> None:
    bench = killed()
    child = bench.program()
    child.records.lock("ps_42002")
    bench.world.schedule(0.1, lambda: bench.world.kill_program(child))
    if command == "cleanup":
        assert bench.cleanup() == ("Repaired: ps_42002 is dead",)
    elif command == "ps":
        assert bench.ps() == {"ps_42002": "dead"}
    else:
        assert bench.rm("ps_42002") == ["Removed: ps_42002"]
    assert bench.cleanup() == ()


def test_a_container_meant_to_be_removed_goes_with_its_death() -> None:
    bench = ready()
    before = bench.traces()
    crash(bench, lambda one: one.run("probe", "echo", "up", ",", "sleep", "9", remove_on_exit=True), "records.append")
    assert bench.cleanup() == ("Removed: ps_42002",)
    assert bench.traces() == before


def test_what_a_live_engine_holds_is_left_alone() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    lines: list[tuple[str, ...]] = []
    seen = bench.run(
        "probe",
        "echo",
        "up",
        ",",
        "sleep",
        "1",
        ",",
        "exit",
        "3",
        screen=Screen(lambda data: lines.append(other.cleanup())),
    )
    assert (seen.code, lines) == (3, [()])


def test_an_image_that_is_being_built_is_left_alone() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    lines: list[tuple[str, ...]] = []

    class CleanUp:
        def around(self, call: object, act: object, refuse: object) -> object:
            lines.append(other.cleanup())
            return act()  # type: ignore[operator]

    bench.kernel.gate = CleanUp()  # type: ignore[assignment]
    bench.add_image(tag="new")
    bench.kernel = bench.program()
    assert set(lines) == {()}
    assert bench.images()["img_42003"] == ("new:latest",)


def test_a_container_that_is_being_started_is_left_alone() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    lines: list[tuple[str, ...]] = []

    class CleanUp:
        def around(self, call: object, act: object, refuse: object) -> object:
            lines.append(other.cleanup())
            return act()  # type: ignore[operator]

    bench.kernel.gate = CleanUp()  # type: ignore[assignment]
    assert bench.run("probe", "echo", "hi", ",", "exit", "3").code == 3
    assert set(lines) == {()}


def test_L1_each_kind_of_leftover_is_found_by_its_name() -> None:
    bench = ready()
    before = bench.traces()
    kernel = bench.program()
    kernel.cgroups.create("ps_42010")
    kernel.namespaces.create("netns_ps_42011")
    kernel.network.create_veth("veth0_ps_42012", "other", "02:42:ac:11:00:0c", "bridge0")
    kernel.records.append("logs/ps_42013", b"x")
    kernel.records.claim("images/img_42020", b'{"id": "img_42020"}')
    kernel.storage.create(".img_42021.new")
    kernel.storage.create(".img_42022.gone")
    kernel.records.write("contents/" + "0" * 32, b"{}")
    assert bench.cleanup() == (
        "Removed: the control group ps_42010",
        "Removed: netns_ps_42011",
        "Removed: the log of ps_42013",
        "Removed: veth0_ps_42012",
        "Removed: img_42020",
        "Removed: .img_42021.new",
        "Removed: .img_42022.gone",
        f"Removed: the record of content {'0' * 32}",
    )
    assert bench.traces() == before
    assert bench.cleanup() == ()


def test_what_is_not_ours_is_left_alone() -> None:
    bench = ready()
    kernel = bench.program()
    for name in ("ps_42010", "img_42010", "mine", ".mine", "ps_42010-backup"):
        kernel.storage.create(name)
    kernel.namespaces.create("netns_ps_42010")
    kernel.namespaces.create("mine")
    kernel.cgroups.create("ps_42010")
    kernel.network.create_veth("veth0_ps_42010", "peer", "02:42:ac:11:00:0a", "bridge0")
    kernel.network.create_veth("veth0", "peer0", "02:42:ac:11:00:0b", "bridge0")
    before = bench.traces()
    assert bench.cleanup() == ()
    assert bench.traces() == before


def test_a_damaged_record_is_repaired_and_nothing_of_its_container_is_lost() -> None:
    bench = ready()
    bench.run("probe", "write", "/etc/mine", "x")
    bench.kernel.records.write("containers/ps_42002", b'{"id": "ps_42002"')
    with pytest.raises(Damaged, match="ps_42002"):
        bench.ps()
    assert bench.cleanup() == ("Repaired: the record of ps_42002",)
    assert bench.ps() == {"ps_42002": "dead"}
    assert bench.tree("ps_42002")["etc/mine"] == b"x"
    assert bench.rm("ps_42002") == ["Removed: ps_42002"]


def test_a_container_without_its_files_goes() -> None:
    bench = ready()
    bench.run("true")
    bench.kernel.storage.delete("ps_42002")
    assert bench.cleanup() == ("Removed: ps_42002",)
    assert bench.ps() == {}


def test_the_link_of_a_container_that_has_ended_goes_and_one_that_somebody_works_with_stays() -> None:
    bench = ready()
    bench.run("true", name="web")
    bench.world.settle()
    for name in ("ps_42002", "ps_42012"):
        bench.kernel.network.create_veth(f"veth0_{name}", f"other{name}", "02:42:ac:11:00:0c", "bridge0")
    with bench.in_another_terminal().kernel.records.lock("ps_42012"):
        assert bench.cleanup() == ("Removed: veth0_ps_42002",)
    assert bench.cleanup() == ("Removed: veth0_ps_42012",)


@pytest.mark.parametrize("data", [None, b"{"])
def test_cleanup_waits_for_no_container_that_runs_or_that_somebody_is_just_making(data: bytes | None) -> None:
    """Nor for one whose record is damaged, which is said."""
    bench = ready()
    other = bench.in_another_terminal()
    times_ns: list[int] = []

    def clean(output: bytes) -> None:
        begun_ns = other.kernel.ambient.now_ns()
        if data is None:
            assert other.cleanup() == ()
        else:
            other.kernel.records.write("containers/ps_42002", data)
            with pytest.raises(Damaged):
                other.cleanup()
        times_ns.append(other.kernel.ambient.now_ns() - begun_ns)

    with bench.program().records.lock("ps_42077"):
        bench.kernel.cgroups.create("ps_42077")
        bench.run("probe", "echo", "up", ",", "sleep", "5", screen=Screen(clean))
    assert [taken_ns < DYING_S * 1e9 for taken_ns in times_ns] == [True]


def test_a_snapshot_that_an_archive_is_being_written_from_stays() -> None:
    bench = ready()
    bench.run("true")
    for name in (".ps_42002.frozen", ".ps_42002.other.frozen"):
        bench.kernel.storage.create(name)
    with bench.in_another_terminal().kernel.records.lock("ps_42002.frozen"):
        assert bench.cleanup() == ()
    assert bench.cleanup() == ("Removed: .ps_42002.frozen",)
    assert ".ps_42002.other.frozen" in bench.kernel.storage.names()


def test_layers_that_nothing_is_made_of_go() -> None:
    bench = ready()
    bench.kernel.storage.create("layer_0")
    assert bench.cleanup() == ("Removed: layer_0",)
    assert bench.cleanup() == ()


def test_a_tag_that_two_images_have_is_left_to_the_newer_one_and_that_is_said() -> None:
    bench = ready()
    bench.add_image(tag="base")
    bench.kernel.records.write("images/img_42002", store.encode(ImageTags("img_42002", ("base:latest", "own:1"))))
    assert bench.cleanup() == ("Repaired: base:latest is img_42003",)
    assert bench.images() == {"img_42002": ("own:1",), "img_42003": ("base:latest",)}
    assert bench.cleanup() == ()


@pytest.mark.parametrize(
    ("words", "data", "line"),
    [
        (("true",), b"", "Removed: ps_42002"),
        (("true",), b"{", "Repaired: the record of ps_42002"),
        (("probe", "write", "/mine", "x"), b"", "Repaired: the record of ps_42002"),
    ],
)
def test_an_empty_record_is_a_claim_unless_somebody_wrote_files_and_a_damaged_one_is_a_containers(
    words: tuple[str, ...], data: bytes, line: str
) -> None:
    bench = ready()
    bench.run(*words)
    bench.kernel.records.write("containers/ps_42002", data)
    assert bench.cleanup() == (line,)
    assert bench.cleanup() == ()


def test_an_empty_record_without_files_is_removed_and_not_written_anew_before() -> None:
    bench = ready()
    before = bench.traces()
    bench.kernel.records.claim("containers/ps_42010", b"")
    assert bench.cleanup() == ("Removed: ps_42010",)
    assert bench.traces() == before


def test_a_container_that_runs_gets_its_name_back_and_keeps_it_without_a_record() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    lines: list[tuple[str, ...]] = []

    def lose(data: bytes) -> None:
        other.kernel.records.remove("names/web")
        lines.append(other.cleanup())
        other.kernel.records.remove("containers/ps_42002")
        lines.append(other.cleanup())

    bench.run("probe", "echo", "up", ",", "sleep", "5", name="web", screen=Screen(lose))
    assert lines == [("Repaired: the name web",), ()]
    assert bench.kernel.records.list("names") == ("web",)
    assert bench.ps() == {"ps_42002": "exited"}


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize(("folder", "data"), [("images", None), ("images", b"{"), ("contents", b"{")])
def test_what_cleanup_mended_of_an_image_is_mended_after_a_power_failure_too(
    folder: str, data: bytes | None, names: bool
) -> None:
    bench = ready()
    (key,) = (f"{folder}/{name}" for name in bench.kernel.records.list(folder))
    bench.kernel.records.remove(key)
    if data is not None:
        bench.kernel.records.write(key, data)
    bench.world.sync()
    assert len(bench.cleanup()) == 1
    (mount,) = (row for row in bench.world.state.mounts[HOST] if row.target == bench.settings.store)
    bench.world.lose_power(names)
    bench.world.state = files.add_mount(bench.world.state, mount)
    bench.kernel = bench.program()
    bench.setup()
    assert bench.cleanup() == ()
    assert list(bench.images()) == ["img_42002"]

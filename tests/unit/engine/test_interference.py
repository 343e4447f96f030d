"""What `cleanup` puts right, and what commands say, after somebody interfered: `bocker.fakes.interference`."""

from __future__ import annotations

import errno

import pytest

from bocker.cli.output import error_line
from bocker.core.errors import BockerError, Damaged, HostNotReady, NoSuchContainer
from bocker.fakes import interference
from bocker.fakes.faults import RefuseCall
from tests.unit.engine.bench import Bench, Screen, ready

WEB = "ps_42002"
BASE = "img_42002"
META = "/var/bocker/.meta"


def with_container() -> Bench:
    bench = ready()
    bench.run("probe", "write", "/etc/mine", "data", name="web")
    bench.world.settle()
    return bench


def while_it_runs(bench: Bench, act: object) -> Bench:
    """Do something while a container `live` runs in another terminal."""

    def now(data: bytes) -> None:
        if data == b"up\n":
            act()  # type: ignore[operator]

    bench.in_another_terminal().run("probe", "echo", "up", ",", "sleep", "5", name="live", screen=Screen(now))
    return bench


def refused(act: object) -> str:
    """Return the line that a person sees."""
    with pytest.raises(BockerError) as refusal:
        act()  # type: ignore[operator]
    return error_line(refusal.value)


def test_a_container_whose_record_was_removed_is_listed_again() -> None:
    """Its files were there, and neither a list nor `rm` knew of them; nobody got its address any more."""
    bench = with_container()
    interference.remove_file(bench.world, f"{META}/containers/{WEB}")
    assert bench.cleanup() == (f"Repaired: the record of {WEB}",)
    assert bench.ps() == {WEB: "dead"}
    assert bench.tree(WEB)["etc/mine"] == b"data"
    assert bench.cleanup() == ()
    assert bench.commit(WEB, "saved:1")
    assert bench.rm(WEB) == [f"Removed: {WEB}"]


def test_an_image_whose_record_was_removed_is_listed_again() -> None:
    bench = with_container()
    interference.remove_file(bench.world, f"{META}/images/{BASE}")
    assert bench.images() == {}
    assert bench.cleanup() == (f"Repaired: the record of {BASE}",)
    assert bench.images() == {BASE: ()}
    assert bench.cleanup() == ()
    assert bench.run("probe", "echo", "hi", image=BASE).out == b"hi\n"


def test_what_is_not_bockers_gets_no_record() -> None:
    """A subvolume of such a name that was made of nothing that bocker knows."""
    bench = with_container()
    bench.kernel.storage.create("ps_42077")
    bench.kernel.storage.create("img_42077")
    assert bench.cleanup() == ()
    assert (list(bench.ps()), list(bench.images())) == ([WEB], [BASE])


@pytest.mark.parametrize("content", [None, b"", b"ps_42200\n", b"\xff"])
def test_a_container_is_found_by_its_name_again(content: bytes | None) -> None:
    """The list showed its name, and nothing else knew it; another container could get the same."""
    bench = with_container()
    if content is None:
        interference.remove_file(bench.world, f"{META}/names/web")
    else:
        interference.overwrite(bench.world, f"{META}/names/web", content)
    with pytest.raises(NoSuchContainer):
        bench.logs("web")
    assert "Repaired: the name web" in bench.cleanup()
    bench.logs("web")
    assert bench.cleanup() == ()


def test_a_name_that_another_container_got_meanwhile_stays_its_own() -> None:
    bench = with_container()
    interference.remove_file(bench.world, f"{META}/names/web")
    bench.run("probe", "echo", "second", name="web")
    assert bench.cleanup() == ()
    assert bench.logs("web").out == b"second\n"


@pytest.mark.parametrize("content", [b"", b'{"id": ', b"\xff\x00"])
def test_cleanup_says_of_a_container_that_runs_that_its_record_is_damaged(content: bytes) -> None:
    """It said that there was nothing to clean up, while `ps` said: run cleanup. Its name stays."""
    bench = with_container()
    told: list[str] = []

    def garble() -> None:
        interference.overwrite(bench.world, f"{META}/containers/ps_42003", content)
        told.append(refused(bench.cleanup))

    while_it_runs(bench, garble)
    (line,) = told
    assert line.startswith("The record of ps_42003 is damaged: ")
    assert line.endswith("; it still runs, and its record is written again when it ends")
    assert bench.cleanup() == ()
    assert bench.ps() == {WEB: "exited", "ps_42003": "exited"}
    assert bench.logs("live").out == b"up\n"


def test_a_damaged_record_does_not_hide_the_others() -> None:
    bench = with_container()
    bench.run("probe", "echo", "hi", name="db")
    interference.overwrite(bench.world, f"{META}/containers/{WEB}", b"?")
    with pytest.raises(Damaged) as refusal:
        bench.records()
    assert [record.id for record in refusal.value.others] == ["ps_42003"]
    assert refusal.value.hint == "run: bocker cleanup"
    assert bench.cleanup() == (f"Repaired: the record of {WEB}",)
    assert bench.ps() == {WEB: "dead", "ps_42003": "exited"}


def test_without_a_store_both_ways_to_one_are_said() -> None:
    """`setup` alone made an empty one beside the disk that was not mounted."""
    bench = with_container()
    interference.unmount(bench.world, "/var/bocker")
    line = (
        "The host is not set up: no btrfs file system is mounted at /var/bocker; mount it there, or run: bocker setup"
    )
    assert refused(lambda: bench.run("probe")) == line
    assert refused(bench.cleanup) == line
    with pytest.raises(HostNotReady):
        bench.records()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (errno.EAGAIN, "there is no room for another process"),
        (errno.ENOMEM, "the machine is out of memory"),
    ],
)
def test_a_machine_without_room_says_so(reason: int, words: str) -> None:
    """`Busy` was "it is in use", and ENOMEM had no words at all."""
    bench = with_container()
    interference.refuse_clones(bench.world, reason)
    for act in (lambda: bench.run("probe"), bench.add_image):
        line = refused(act)
        assert f" failed: {words} (" in line
        assert errno.errorcode[reason] in line
        assert "; end some programs, and try again" in line
    interference.refuse_clones(bench.world, 0)
    assert bench.cleanup() == ()
    assert bench.run("probe", "echo", "hi").out == b"hi\n"


def test_an_error_of_the_disk_is_one() -> None:
    bench = with_container()
    bench.kernel.gate = RefuseCall(1, errno.EIO)
    assert "the disk can not be read or written (" in refused(bench.records)
    assert "see: dmesg" in refused_again(bench)


def refused_again(bench: Bench) -> str:
    bench.kernel.gate = RefuseCall(1, errno.EIO)
    return refused(bench.records)


def test_a_full_and_a_read_only_store_say_what_to_do() -> None:
    bench = with_container()
    interference.fill_disk(bench.world, "/var/bocker")
    assert "no space is left" in (line := refused(lambda: bench.run("probe")))
    assert line.endswith("; make room, with: bocker rm, bocker prune")
    interference.empty_disk(bench.world, "/var/bocker")
    interference.make_read_only(bench.world, "/var/bocker")
    assert "the file system is read-only" in (line := refused(lambda: bench.run("probe")))
    assert line.endswith("; see: dmesg, then mount it again")

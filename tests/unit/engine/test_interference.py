"""What `cleanup` puts right, and what commands say, after somebody interfered: `bocker.fakes.interference`."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bocker.cli.output import error_line
from bocker.core.errors import BockerError, Damaged, HostNotReady, NoSuchContainer
from bocker.core.ids import ImageId
from bocker.core.model import ImageContent
from bocker.engine import stop, store
from bocker.engine.tags import remove_idle, tag
from bocker.fakes import interference
from bocker.fakes.faults import Call, Meanwhile, RefuseCall
from bocker.fakes.state import HOST
from tests.unit.engine.bench import Bench, Screen, ready
from tests.unit.engine.test_sweep import crash, removed

WEB = "ps_42002"
BASE = "img_42002"
META = "/var/bocker/.meta"


def with_container() -> Bench:
    bench = ready()
    bench.run("probe", "write", "/etc/mine", "data", name="web")
    bench.world.settle()
    return bench


def while_it_runs(bench: Bench, act: Callable[[], object]) -> Bench:
    """Do something while a container `live` runs in another terminal."""

    def now(data: bytes) -> None:
        if data == b"up\n":
            act()

    bench.in_another_terminal().run("probe", "echo", "up", ",", "sleep", "5", name="live", screen=Screen(now))
    return bench


def refused(act: Callable[[], object]) -> str:
    """Return the line that a person sees."""
    with pytest.raises(BockerError) as refusal:
        act()
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
    assert "None" not in line
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


def at(bench: Bench, operation: str, intrude: Callable[[], object]) -> Bench:
    """Let somebody interfere before the first call of an operation that `bench` makes."""
    bench.kernel.gate = Before(operation, intrude)
    return bench


class Before(Meanwhile):
    """Lets somebody else act right before the first call of an operation."""

    def __init__(self, operation: str, intrude: Callable[[], object]) -> None:
        super().__init__(0, intrude)
        self.operation = operation

    def _is_now(self, call: Call) -> bool:
        is_first = call.operation == self.operation and self.met is None
        self.met = call if is_first else self.met
        return is_first


def test_a_command_whose_store_goes_meanwhile_says_that() -> None:
    """It said that there is no such container, or no layer in an archive."""
    bench = with_container()
    at(bench, "records.read", lambda: interference.unmount(bench.world, "/var/bocker"))
    assert refused(lambda: bench.logs("web")).startswith("The host is not set up: no btrfs file system is mounted")
    bench = with_container()
    at(bench, "records.list", lambda: interference.unmount(bench.world, "/var/bocker"))
    assert "no btrfs file system is mounted" in refused(lambda: bench.execute("ps_4", "probe"))


def test_a_read_only_store_lists_and_stops_what_an_engine_left() -> None:
    """`ps` and `stop` failed, as they could not write down what they found."""
    bench = with_container()
    crash(bench, lambda one: one.run("probe", "echo", "up", ",", "sleep", "9", name="live"), "processes.next_event")
    seen: list[dict[str, str]] = []
    stopped: list[str] = []

    def look(data: bytes) -> None:
        interference.make_read_only(bench.world, "/var/bocker")
        seen.append(bench.ps())
        stopped.extend(
            one.error.message for one in stop.stop(bench.kernel, bench.settings, ("ps_42004",), 1) if one.error
        )

    bench.in_another_terminal().run("probe", "echo", "up", ",", "sleep", "9", screen=Screen(look))
    assert seen == [{WEB: "exited", "ps_42003": "dead", "ps_42004": "running"}]
    assert stopped == ["Stopping ps_42004 failed: its supervisor does not end"]  # who is alive, and not dead
    assert [one.error for one in stop.stop(bench.kernel, bench.settings, ("live",))] == [None]
    assert "the file system is read-only" in refused(bench.cleanup)


def test_a_name_whose_container_has_a_damaged_record_is_no_unknown_name() -> None:
    bench = with_container()
    interference.cut_file(bench.world, f"{META}/containers/{WEB}", 20)
    for act in (lambda: bench.logs("web"), lambda: bench.run("probe", name="web"), lambda: removed(bench, "web")):
        assert (line := refused(act)).startswith(f"The record of {WEB} is damaged: ")
        assert line.endswith("; run: bocker cleanup")
    bench.cleanup()
    assert bench.rm("web") == [f"Removed: {WEB}"]


def test_who_has_lost_a_record_is_told_what_to_do() -> None:
    bench = with_container()
    interference.remove_file(bench.world, f"{META}/containers/{WEB}")
    for word in ("web", WEB):
        line = f"No container named '{word}' exists; the record of {WEB} is gone; run: bocker cleanup"
        assert refused(lambda word=word: bench.logs(word)) == line
    assert refused(lambda: bench.logs("ps_42077")) == "No container named 'ps_42077' exists"
    interference.cut_file(bench.world, f"{META}/images/{BASE}", 5)
    assert refused(lambda: bench.run("probe")) == (
        f"No image named 'base' exists; the record of {BASE} is damaged, and its tags with it; "
        "run: bocker cleanup, and tag it again"
    )
    bench.cleanup()
    assert refused(lambda: bench.run("probe")) == "No image named 'base' exists"
    assert bench.run("probe", "echo", "hi", image=BASE).out == b"hi\n"


def test_a_damaged_format_does_not_lead_in_a_circle() -> None:
    """It said: run cleanup, and cleanup said the same."""
    bench = with_container()
    interference.overwrite(bench.world, f"{META}/store/format", b"?")
    assert refused(bench.cleanup) == (
        "The record of the store's format is damaged: it is b'?'; "
        "unless a newer bocker used it, remove .meta/store/format in it"
    )
    interference.remove_file(bench.world, f"{META}/store/format")
    assert bench.cleanup() == ()
    assert bench.run("probe", "echo", "hi").out == b"hi\n"


def test_a_bridge_that_goes_while_a_container_starts_is_what_is_missing() -> None:
    """It said that the container could not build the network: ENODEV."""
    bench = with_container()
    at(bench, "processes.create", lambda: interference.delete_link(bench.world, "bridge0"))
    assert refused(lambda: bench.run("probe")) == (
        "The host is not set up: there is no bridge bridge0; run: bocker setup"
    )
    bench.setup()
    assert bench.cleanup() == ()
    assert bench.run("probe", "echo", "hi").out == b"hi\n"


def test_nothing_more_runs_in_a_container_without_its_group() -> None:
    bench = with_container()
    lines: list[str] = []

    def intrude() -> None:
        interference.remove_group(bench.world, bench.settings.cgroup_parent, "ps_42003")
        lines.append(refused(lambda: bench.execute("live", "probe", "echo", "hi")))

    while_it_runs(bench, intrude)
    assert lines == [
        "Container 'live' has no control group any more, which its limits were in; "
        "somebody removed it; end the container with: bocker stop live"
    ]
    assert bench.cleanup() == ()


def test_what_could_not_be_seen_to_at_a_containers_end_is_said() -> None:
    bench = with_container()
    screen = Screen(lambda data: interference.make_read_only(bench.world, "/var/bocker"))
    bench.run("probe", "echo", "up", screen=screen)
    (line,) = screen.notices
    assert line.startswith("The container's end could not be seen to: the file system is read-only (records.write ")
    assert line.endswith("); then run: bocker cleanup")


def test_room_is_made_on_a_full_disk() -> None:
    """An empty file fits where nothing else does, so that a lock can be taken, and `rm` works."""
    bench = with_container()
    interference.fill_disk(bench.world, "/var/bocker")
    assert bench.cleanup() == ()
    assert bench.rm("web") == [f"Removed: {WEB}"]


def test_a_tag_that_did_not_fit_left_nothing() -> None:
    """It said that something is left of it."""
    bench = with_container()
    interference.fill_disk(bench.world, "/var/bocker")
    line = refused(lambda: tag(bench.kernel, bench.settings, "base", "other:1"))
    assert "no space is left" in line
    assert "left of it" not in line


def test_an_emptied_record_costs_no_files() -> None:
    """One that is empty is a claim that a power failure left, and goes: but not with what somebody wrote."""
    bench = with_container()
    interference.cut_file(bench.world, f"{META}/containers/{WEB}", 0)
    assert bench.cleanup() == (f"Repaired: the record of {WEB}",)
    assert bench.tree(WEB)["etc/mine"] == b"data"
    assert bench.logs("web").out == b""


def test_a_damaged_record_of_an_images_content_is_mended() -> None:
    """`prune` said: run cleanup, which did nothing; and no layer went any more."""
    bench = with_container()
    uuid = bench.kernel.storage.describe(BASE).uuid
    interference.cut_file(bench.world, f"{META}/contents/{uuid}", 9)
    with pytest.raises(Damaged):
        store.contents_in_use(bench.kernel)
    assert bench.cleanup() == (f"Repaired: the record of content {uuid}",)
    assert store.contents_in_use(bench.kernel) == (ImageContent(uuid, "", 0),)
    assert bench.run("probe", "echo", "hi").out == b"hi\n"


def test_nothing_is_written_where_the_store_was_mounted() -> None:
    """The end of a container went into the directory below, and nobody was told that it is lost."""
    bench = with_container()
    (mount,) = (row for row in bench.world.state.mounts[HOST] if row.target == "/var/bocker")
    screen = Screen(lambda data: interference.unmount(bench.world, "/var/bocker"))
    assert bench.run("probe", "echo", "up", name="live", screen=screen).code == 0
    (line,) = screen.notices
    assert line.startswith("The container's end could not be seen to: there is no such thing (records.write ")
    assert sorted(bench.world.tree("/var/bocker")) == [""]
    interference.mount(bench.world, mount)
    assert bench.ps() == {WEB: "exited", "ps_42003": "dead"}
    assert bench.logs("live").out == b"up\n"


def test_a_container_whose_files_were_deleted_while_it_runs() -> None:
    """It said that it could not drop privileges, or that there is no such program."""
    bench = with_container()
    lines: list[str] = []

    def intrude() -> None:
        interference.delete_subvolume(bench.world, "/var/bocker/ps_42003")
        lines.append(refused(lambda: bench.execute("live", "probe", "echo", "hi")))

    while_it_runs(bench, intrude)
    assert lines == [
        "The files of container 'live' are gone; somebody deleted them; end the container with: bocker stop live"
    ]
    assert bench.cleanup() == ("Removed: ps_42003",)


@pytest.mark.parametrize("operation", ["records.list", "records.read"])
def test_a_tag_is_not_said_to_be_given_when_the_store_went_meanwhile(operation: str) -> None:
    """The list of images was empty then, so that nobody had it before; with the store it went back to the other."""
    bench = with_container()
    bench.commit("web", "other:1")
    (mount,) = (row for row in bench.world.state.mounts[HOST] if row.target == "/var/bocker")
    bench.kernel.gate = BeforeTheLast(operation, lambda: interference.unmount(bench.world, "/var/bocker"))
    assert "no btrfs file system is mounted" in refused(lambda: tag(bench.kernel, bench.settings, "base", "other:1"))
    interference.mount(bench.world, mount)
    bench.kernel = bench.program()
    bench.cleanup()
    assert sorted(bench.images().values()) == [("base:latest",), ("other:1",)]


class BeforeTheLast(Before):
    """As `Before`, at the call after the one that writes."""

    def _is_now(self, call: Call) -> bool:
        self.number = max(self.number, int(call.operation == "records.write"))
        return bool(self.number) and super()._is_now(call)


@pytest.mark.parametrize("content", [b"", b'{"id": ', b"\xff\x00"])
def test_prune_takes_no_image_whose_tags_nobody_can_read(content: bytes) -> None:
    """It took it for one without a tag, and deleted its files."""
    bench = with_container()
    interference.overwrite(bench.world, f"{META}/images/{BASE}", content)
    assert not remove_idle(bench.kernel, ImageId(42002), tagged_too=False)
    assert bench.tree(BASE)
    assert bench.cleanup() == (f"Repaired: the record of {BASE}",)
    assert remove_idle(bench.kernel, ImageId(42002), tagged_too=False)

"""The ends of things: groups that empty late, ids that linger, records that say too little or of somebody else."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bocker.core.errors import (
    AmbiguousReference,
    BockerError,
    Damaged,
    HostNotReady,
    NestedSubvolumes,
    NoSuchContainer,
    NotPrivileged,
    OperationFailed,
)
from bocker.core.ids import ContainerId, ImageId
from bocker.core.model import LayerRecord
from bocker.core.settings import Settings
from bocker.core.spec import STEP_USER
from bocker.engine import burial, layers, plan, program, readiness, removal, resolve, setup, store
from bocker.engine.relay import not_placed
from bocker.engine.supervise import finish
from bocker.fakes.faults import Call, RefuseCall
from bocker.kernel.errors import StepFailed
from tests.unit.engine.bench import Screen, ready
from tests.unit.engine.test_repair import killed
from tests.unit.engine.test_setup import SMALL, RefuseOperation, bare, undo
from tests.unit.engine.test_sweep import crash

WEB = ContainerId(42002)
SLEEPING = ("probe", "echo", "up", ",", "sleep", "5", ",", "exit", "3")


class RefuseTimes(RefuseOperation):
    """Refuses the first calls of one operation."""

    def __init__(self, operation: str, number: int, times: int) -> None:
        super().__init__(operation, number)
        self.times = times

    def around(self, call: Call, act: Callable[[], object], refuse: Callable[[], None]) -> object:  # type: ignore[override]
        if call.operation == self.operation:
            self.times -= 1
        return act() if self.times < 0 else super().around(call, act, refuse)


@pytest.mark.parametrize(("times", "is_left"), [(3, False), (burial.GROUP_ROUNDS, False), (10_000, True)])
def test_a_group_that_empties_a_moment_later_is_waited_for_and_one_that_does_not_is_left(
    times: int, is_left: bool
) -> None:
    bench = killed()
    before_ns = bench.kernel.ambient.now_ns()
    bench.kernel.gate = RefuseTimes("cgroups.remove", errno.EBUSY, times)
    dead = burial.bury(bench.kernel, store.load_container(bench.kernel, WEB))
    assert dead.state == "dead"
    assert ("ps_42002" in bench.program().cgroups.names()) is is_left
    waited_s = (bench.kernel.ambient.now_ns() - before_ns) / 1e9
    assert waited_s == pytest.approx(burial.GROUP_EMPTIES_S * min(times, burial.GROUP_ROUNDS), abs=0.01)


def test_an_id_that_is_claimed_and_one_that_is_locked_are_passed_over() -> None:
    bench = ready()
    bench.kernel.records.claim("containers/ps_42002", b"")
    held = bench.in_another_terminal().kernel.records.lock("ps_42003")
    with held:
        bench.run("true")
    assert "ps_42004" in bench.kernel.storage.names()


@pytest.mark.parametrize("what", ["lock", "subvolume"])
def test_the_last_id_is_waited_for_while_something_of_its_name_is_left(what: str) -> None:
    bench = ready(settings=Settings(subnet="10.0.0.0/30"))
    other = bench.program()
    if what == "lock":
        other.records.lock("ps_42002")
    else:
        other.storage.create("ps_42002")

    def let_go() -> None:
        if what == "lock":
            bench.world.kill_program(other)
        else:
            other.storage.delete("ps_42002")

    bench.world.schedule(0.5, let_go)
    before_ns = bench.kernel.ambient.now_ns()
    assert bench.run("true").code == 0
    assert list(bench.ps()) == ["ps_42002"]
    assert 0.5 <= (bench.kernel.ambient.now_ns() - before_ns) / 1e9 < 0.7


def test_exec_is_refused_where_the_interpreter_could_be_overwritten() -> None:
    bench = ready()

    def execute(data: bytes) -> None:
        bench.program().host.unmount("/usr/bin/python3.11")
        other = bench.in_another_terminal()
        with pytest.raises(HostNotReady, match="overwrite the interpreter"):
            other.execute("web", "true")

    assert bench.run(*SLEEPING, name="web", screen=Screen(execute)).code == 3


def test_the_refusal_names_what_was_typed() -> None:
    bench = ready()
    bench.run("true", name="web")
    bench.run("true")
    bench.nest("ps_42002", "data")
    with pytest.raises(NestedSubvolumes, match="'web'"):
        bench.commit("web", "new")
    with pytest.raises(BockerError, match="'web' exists but is not running"):
        bench.execute("web", "true")
    with pytest.raises(AmbiguousReference, match="'ps_4200'"):
        bench.logs("ps_4200")


def test_layers_are_used_by_many_at_once_and_collected_by_nobody_meanwhile() -> None:
    bench = ready()
    other = bench.program()
    bench.kernel.storage.create("layer_0")
    with layers.in_work(bench.kernel):
        with other.records.lock("layers", wait=False, shared=True):
            pass
        assert layers.collect(other) == ()
    assert layers.collect(other) == ("layer_0",)


def test_a_layer_is_made_once_and_never_written_again() -> None:
    bench = ready()
    assert layers.keep(bench.kernel, "img_42002", "0", "sha256:0", None)
    known = layers.load(bench.kernel, "0")
    assert not layers.keep(bench.kernel, "img_42002", "0", "sha256:1", "0")
    assert layers.load(bench.kernel, "0") == known
    assert bench.kernel.storage.describe("layer_0").read_only


def test_a_layer_whose_maker_was_killed_is_written_down_by_who_makes_it_again() -> None:
    bench = ready()
    assert layers.keep(bench.kernel, "img_42002", "0", "sha256:0", None)
    bench.run("probe", "write", "/mine", "x" * 50)
    assert layers.keep(bench.kernel, "ps_42002", "1", "sha256:1", "0")
    known = layers.load(bench.kernel, "1")
    bench.kernel.records.remove("layers/1")
    assert not layers.keep(bench.kernel, "ps_42002", "1", "sha256:1", "0")
    assert layers.load(bench.kernel, "1") == known == LayerRecord("1", "sha256:1", 50)


def test_a_stream_that_nobody_reads_is_not_written_to_again_and_the_other_one_is() -> None:
    bench = ready()
    bench.run("probe", "echo", "one", ",", "error", "two", ",", "echo", "three", name="web")
    asked: list[int] = []

    class HalfClosed(Screen):
        def write(self, stream: int, data: bytes) -> bool:
            asked.append(stream)
            return super().write(stream, data)

    assert bench.logs("web", screen=HalfClosed(closed=(1,))).err == b"two\n"
    assert asked == [1, 2]


def test_volumes_and_directories_begin_at_the_root() -> None:
    assert program.directories_of(("/data/", "srv", "/", "", "data", "/X11")) == ("/data", "/srv", "/X11")
    assert [program.from_root(path) for path in ("", "/", "srv", "/srv")] == ["", "/", "/srv", "/srv"]


def test_a_number_that_can_be_no_users_is_told_from_a_name_that_nobody_has() -> None:
    wanted = program.Program(("true",), user="web")
    hints = [
        getattr(
            not_placed(wanted, "image 'base'", StepFailed("processes.release", "", number, STEP_USER), 126), "hint", ""
        )
        for number in (errno.ERANGE, errno.ENOENT)
    ]
    assert hints == ["its number is out of range", "say one of its /etc/passwd, or a number"]


def test_what_nobody_knows_any_more_of_a_container_is_left_empty() -> None:
    bench = ready()
    bench.run("probe", "write", "/etc/mine", "x")
    bench.kernel.records.write("containers/ps_42002", b"{")
    bench.cleanup()
    (record,) = bench.records()
    assert (record.image, record.image_source, record.command, record.created_ns) == ("", "", (), 0)
    assert (record.state, record.name, record.process, record.exit_code) == ("dead", None, None, None)
    assert record.started_ns == 0  # it has run, nobody knows when


def test_with_a_container_that_never_began_its_name_goes() -> None:
    bench = ready()
    before = bench.traces()
    crash(bench, lambda one: one.run("true", name="web"), "storage.snapshot")
    assert bench.cleanup() == ("Removed: ps_42002",)
    assert bench.kernel.records.list("names") == ()
    assert bench.traces() == before


def test_snapshots_that_archives_were_written_from_are_removed_by_name() -> None:
    bench = ready()
    bench.run("true")
    before = bench.traces()
    for name in (".ps_42002.frozen", ".img_42002.frozen", ".img_42002.new", ".img_42002.gone"):
        bench.kernel.storage.create(name)
    for name in (".ps_42002.other", ".mine.frozen", ".ps_42002"):
        bench.kernel.storage.create(name)
    assert sorted(bench.cleanup()) == [
        "Removed: .img_42002.frozen",
        "Removed: .img_42002.gone",
        "Removed: .img_42002.new",
        "Removed: .ps_42002.frozen",
    ]
    for name in (".ps_42002.other", ".mine.frozen", ".ps_42002"):
        bench.kernel.storage.delete(name)
    assert bench.traces() == before


def test_what_was_known_of_an_image_that_never_came_to_be_is_forgotten() -> None:
    bench = ready()
    before = bench.kernel.records.list("contents")
    bench.kernel.storage.create(".img_42005.new")
    uuid = bench.kernel.storage.describe(".img_42005.new").uuid
    bench.kernel.records.write(store.content_key(uuid), b"{}")
    assert bench.cleanup() == ("Removed: .img_42005.new",)
    assert bench.kernel.records.list("contents") == before


def test_a_name_that_leads_to_a_container_of_another_name_is_nobodys() -> None:
    bench = ready()
    bench.run("true")
    bench.kernel.records.write("names/web", b"ps_42002\n")
    assert resolve.named(bench.kernel, "web") is None
    with pytest.raises(NoSuchContainer):
        bench.logs("web")
    assert bench.run("true", name="web").code == 0


def test_the_devices_of_a_container_are_limited_with_its_memory() -> None:
    bench = ready()
    seen = []
    screen = Screen(lambda data: seen.extend(bench.world.state.groups.values()))
    bench.run(*SLEEPING, screen=screen)
    (rules,) = {row.device_rules for row in seen if row.device_rules}
    assert rules == plan.DEVICE_RULES


def test_a_container_whose_program_never_ran_is_cleaned_up_like_any_other_and_what_fails_is_said() -> None:
    bench = ready()
    bench.kernel.gate = RefuseOperation("namespaces.remove", errno.EPERM)
    screen = Screen()
    with pytest.raises(BockerError, match="nothing"):
        bench.run("nothing", screen=screen)
    assert ["namespaces.remove netns_ps_42002: EPERM" in notice for notice in screen.notices] == [True]


def test_an_end_that_is_no_running_containers_is_refused() -> None:
    bench = ready()
    bench.run("true")
    (record,) = bench.records()
    with pytest.raises(Exception, match="ps_42002"):
        finish(bench.kernel, record, 0, False, Screen())


def test_a_file_for_the_store_that_was_there_is_not_deleted_with_it() -> None:
    bench = bare()
    bench.world.add_files("/var/lib/bocker", {"": bench.world.tree("/rootfs")[""]})
    bench.kernel.host.make_filesystem("/var/lib/bocker/btrfs.img", SMALL)
    bench.setup(size_bytes=SMALL)
    undo(bench, delete_data=True)
    assert bench.world.entry("/var/lib/bocker/btrfs.img") is not None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_file_for_the_store_that_was_refused_is_not_ours(number: int) -> None:
    bench = bare()
    bench.kernel.gate = RefuseOperation("host.make_filesystem", number)
    with pytest.raises(BockerError, match=f"host.make_filesystem .*{errno.errorcode[number]}"):
        bench.setup(size_bytes=SMALL)
    assert setup.load_record(bench.kernel, bench.settings).backing_file is None


def test_a_file_where_the_store_should_be_is_a_persons_and_undo_leaves_it() -> None:
    bench = bare()
    bench.world.write_file("/var/bocker", b"mine")
    with pytest.raises(BockerError):
        bench.setup(size_bytes=SMALL)
    undo(bench, delete_data=True)
    assert bench.world.read_file("/var/bocker") == b"mine"


def test_check_says_that_the_store_is_newer() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.kernel.records.write("store/format", b"2\n")
    (need,) = [need for need in setup.check(bench.kernel, bench.settings) if not need.met]
    assert (need.name, "format 2" in need.detail) == ("store", True)


def test_a_directory_that_is_no_subvolume_keeps_its_name() -> None:
    bench = ready()
    bench.world.add_root_filesystem("/var/bocker/img_42003")
    assert store.has_subvolume(bench.kernel, "img_42003")
    assert bench.add_image() == "img_42004"


def test_an_image_that_goes_while_a_list_is_made_does_not_hide_the_others() -> None:
    bench = ready()
    bench.add_image()

    class Gone(RefuseCall):
        def _is_now(self, call: Call) -> bool:
            return call.operation == "storage.describe" and call.subject == "img_42002"

    bench.kernel.gate = Gone(0, errno.ENOENT)
    assert list(bench.images()) == ["img_42003"]


def test_a_state_that_there_is_not_is_damage() -> None:
    bench = ready()
    bench.run("true")
    (record,) = bench.records()
    store.save_container(bench.kernel, record.replace(state="flying"))
    with pytest.raises(Damaged, match="'flying'") as damaged:
        store.load_container(bench.kernel, WEB)
    assert damaged.value.subject == "ps_42002"


def test_the_ids_of_images_and_containers_are_told_apart_in_one_list() -> None:
    names = ("img_42003", "ps_42003", "img_42002", "mine", "img_1")
    assert store.ids_among(names, ImageId) == (ImageId(42002), ImageId(42003))
    assert store.ids_among(names, ContainerId) == (ContainerId(42003),)


def test_setup_writes_the_stores_format() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    assert bench.kernel.records.read("store/format") == b"1\n"


def test_undo_after_undo_may_delete_the_data_still() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    undo(bench)
    assert undo(bench, delete_data=True) == ("Removed: /var/lib/bocker/btrfs.img",)
    assert bench.world.entry("/var/lib/bocker/btrfs.img") is None


def test_a_group_that_can_not_be_asked_had_enough_memory() -> None:
    bench = ready()
    bench.kernel.gate = RefuseOperation("cgroups.usage", errno.EIO)
    assert bench.run("probe", "exit", "3").code == 3
    assert not bench.records()[0].oom_killed


def broken(data: bytes) -> None:
    raise RuntimeError("the console broke")


def test_a_container_whose_engine_breaks_is_ended_and_dead() -> None:
    bench = ready()
    with pytest.raises(RuntimeError):
        bench.run(*SLEEPING, name="web", screen=Screen(broken))
    assert bench.ps() == {"ps_42002": "dead"}
    assert [row.pid for row in bench.world.state.processes.values() if row.spec is not None] == []


def test_a_program_whose_exec_breaks_is_ended_and_the_container_goes_on() -> None:
    bench = ready()
    left: list[int] = []

    def execute(data: bytes) -> None:
        with pytest.raises(RuntimeError):
            bench.in_another_terminal().execute("web", "probe", "echo", "x", ",", "sleep", "9", screen=Screen(broken))
        left.append(sum(row.spec is not None for row in bench.world.state.processes.values()))

    assert bench.run(*SLEEPING, name="web", screen=Screen(execute)).code == 3
    assert left == [1]


def test_the_stop_signal_and_the_variables_of_an_image_are_the_containers_but_for_its_host_name() -> None:
    bench = ready()
    bench.configure("base", stop_signal="QUIT", environment=("A=b=c", "HOSTNAME=x=y", "=z", "LONE"))
    assert b"HOSTNAME=ps-42002\n" in bench.run("env", name="web").out
    bench.run("true", stop_signal="INT", name="other")
    web, other = bench.records()
    assert (web.stop_signal, other.stop_signal) == ("QUIT", "INT")
    assert web.environment == ("A=b=c",)
    made, _ = bench.commit("other", "new")
    assert store.load_content(bench.kernel, bench.kernel.storage.describe(made).uuid).stop_signal == "INT"


def test_each_word_of_rm_has_its_own_answer() -> None:
    bench = ready()
    bench.run("true", name="web")
    answers = removal.remove(bench.kernel, bench.settings, ("nothing", "web", "ps_42002", "base"))
    assert [(one.reference, one.removed, one.error is not None) for one in answers] == [
        ("nothing", None, True),
        ("web", "ps_42002", False),
        ("base", "img_42002", False),
    ]


def test_what_could_not_be_removed_is_answered_with_the_word_for_it() -> None:
    bench = ready()
    bench.run("true", name="web")
    bench.kernel.gate = RefuseOperation("storage.delete", errno.EIO)
    answers = removal.remove(bench.kernel, bench.settings, ("web", "base"))
    assert [(one.reference, one.removed, one.error is not None) for one in answers] == [
        ("web", None, True),
        ("base", None, True),
    ]


def test_a_leftover_that_can_not_be_removed_is_said_and_keeps_no_other() -> None:
    bench = ready()
    bench.kernel.namespaces.create("netns_ps_42011")
    bench.kernel.storage.create(".img_42021.new")
    bench.kernel.gate = RefuseOperation("namespaces.remove", errno.EPERM)
    with pytest.raises(
        OperationFailed, match=r"Cleaning up failed: it is not permitted \(namespaces\.remove netns_ps_42011"
    ):
        bench.cleanup()
    assert bench.kernel.storage.names() == ("img_42002",)


def test_whoever_is_not_root_is_told_so_before_anything_else_of_the_host() -> None:
    bench = bare(privileged=False)
    bench.world.kernel_version = (4, 19)
    with pytest.raises(NotPrivileged):
        readiness.host_facts(bench.kernel)


def test_a_kernel_that_is_too_old_runs_nothing() -> None:
    bench = ready()
    bench.world.kernel_version = (4, 19)
    with pytest.raises(HostNotReady, match=r"this is Linux 4\.19"):
        bench.run("true")
    assert bench.ps() == {}


def test_an_interpreter_that_is_mounted_is_not_mounted_again() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL, interpreter_mount="/run/bocker/python3")
    assert bench.setup(interpreter_mount="/run/bocker/python3") == ()


def test_the_store_is_made_in_the_file_that_was_said_and_found_there_again() -> None:
    bench = bare()
    assert bench.setup(size_bytes=SMALL, storage="/disk.img")[0] == "Created: /disk.img"
    undo(bench)
    assert "Mounted: /disk.img at /var/bocker" in bench.setup()


def test_with_a_container_that_goes_with_its_end_its_name_goes() -> None:
    bench = ready()
    bench.run("true", name="web", remove_on_exit=True)
    assert bench.kernel.records.list("names") == ()

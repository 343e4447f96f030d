from __future__ import annotations

import errno

import pytest

from bocker.core.errors import (
    AmbiguousReference,
    BockerError,
    HostNotReady,
    InvalidValue,
    NameInUse,
    NewerStore,
    NoSuchImage,
    NotPrivileged,
    OperationFailed,
    PoolFull,
    ProgramNotStarted,
    UsageError,
)
from bocker.core.ids import ContainerId
from bocker.core.limits import Limits
from bocker.core.settings import Settings
from bocker.core.spec import STEP_CLONE, STEP_MOUNTS, STEP_NETWORK
from bocker.engine import store
from bocker.engine.images import init
from bocker.engine.relay import exit_code
from bocker.engine.run import LINGER_S
from bocker.fakes import Crashed, interference
from bocker.fakes.errors import Refused
from bocker.fakes.faults import RefuseCall
from bocker.fakes.images import PROBE, file, link
from bocker.fakes.state import DIRECTORY, Entry
from bocker.kernel.processes import Exited
from tests.unit.engine.bench import Bench, Screen, ready
from tests.unit.engine.test_execute import Refusing
from tests.unit.engine.test_sweep import CrashBefore

SIGINT, SIGTERM, SIGUSR1, SIGKILL = 2, 15, 10, 9


def test_the_programs_output_and_its_exit_code_come_back() -> None:
    seen = ready().run("probe", "echo", "hi", ",", "error", "oh", ",", "exit", "7")
    assert (seen.code, seen.out, seen.err, seen.notices) == (7, b"hi\n", b"oh\n", ())


def test_the_record_tells_the_containers_life() -> None:
    bench = ready()
    bench.run("probe", "exit", "3", name="web")
    (record,) = bench.records()
    assert (record.id, record.state, record.exit_code, record.name) == ("ps_42002", "exited", 3, "web")
    assert (record.image, record.image_source, record.command) == ("base", "/rootfs", ("probe", "exit", "3"))
    assert record.started_ns is not None
    assert record.finished_ns is not None
    assert record.created_ns < record.started_ns < record.finished_ns


def test_while_it_runs_everything_has_its_name() -> None:
    bench = ready()
    dump: list[str] = []
    bench.run("probe", "echo", "up", screen=Screen(lambda data: dump.extend(bench.world.dump().splitlines())))
    text = "\n".join(dump)
    for expected in (
        "link host veth0_ps_42002 up on bridge0",
        "name netns_ps_42002",
        "group bocker/ps_42002",
        " ps_42002 subvolume",
    ):
        assert expected in text


def test_afterwards_its_files_its_record_and_its_log_are_left_and_nothing_else() -> None:
    bench = ready()
    before = bench.traces()
    bench.run("probe", "echo", "hi")
    left = [line.split(" ", 2)[2].split(" ")[0] for line in bench.traces() if line not in before]
    assert left == [".meta/containers/ps_42002", ".meta/logs/ps_42002", "ps_42002"]


def test_with_rm_nothing_at_all_is_left() -> None:
    bench = ready()
    before = bench.traces()
    assert bench.run("probe", "echo", "hi", ",", "exit", "4", remove_on_exit=True).code == 4
    assert bench.traces() == before


def test_the_image_is_not_changed_by_its_containers() -> None:
    bench = ready()
    before = bench.tree("img_42002")
    bench.run("probe", "write", "/etc/hostname-of-mine", "x")
    assert bench.tree("img_42002") == before
    assert bench.tree("ps_42002")["etc/hostname-of-mine"] == b"x"


@pytest.mark.parametrize("image", ["base", "base:latest", "img_42002", "img_4"])
def test_an_image_is_named_by_id_tag_or_prefix(image: str) -> None:
    assert ready().run("true", image=image).code == 0


@pytest.mark.parametrize("image", ["nothing", "img_42003", "ps_42002", "..", ".", "", "img_", "4", "base:7", "Base"])
def test_a_word_that_names_no_image_is_refused_and_nothing_is_made(image: str) -> None:
    bench = ready()
    before = bench.traces()
    with pytest.raises(NoSuchImage, match="No image named"):
        bench.run("true", image=image)
    assert bench.traces() == before


def test_a_prefix_of_two_images_is_refused() -> None:
    bench = ready()
    bench.add_image()
    with pytest.raises(AmbiguousReference, match="img_42002, img_42003"):
        bench.run("true", image="img_4200")


def test_an_image_that_is_still_being_built_is_none_yet() -> None:
    bench = ready()
    bench.kernel.records.claim("images/img_42003", b'{"id": "img_42003", "tags": ["half:latest"]}')
    for reference in ("img_42003", "half", "img_42003"):
        with pytest.raises(NoSuchImage, match=f"'{reference}'"):
            bench.run("true", image=reference)


def test_U8_without_a_command_it_is_a_usage_error_and_nothing_is_made() -> None:
    bench = ready()
    before = bench.traces()
    with pytest.raises(UsageError, match="no command"):
        bench.run()
    assert bench.traces() == before


def test_a_name_is_one_containers_only() -> None:
    bench = ready()
    bench.run("true", name="web")
    before = bench.traces()
    with pytest.raises(NameInUse, match=r"'web'.*ps_42002"):
        bench.run("true", name="web")
    with pytest.raises(InvalidValue):
        bench.run("true", name="ps_42077")
    assert bench.traces() == before


def test_one_word_that_is_a_line_goes_to_the_shell_and_is_listed_as_it_was_typed() -> None:
    bench = ready()
    assert bench.run("probe echo hi").out == b"hi\n"
    assert bench.records()[0].command == ("probe echo hi",)


@pytest.mark.parametrize(
    ("words", "code"), [(("nothing",), 127), (("/etc/passwd",), 126), (("/nothing/there",), 127), (("/etc",), 126)]
)
def test_W3_a_program_that_can_not_be_executed_leaves_its_container_and_says_why(
    words: tuple[str, ...], code: int
) -> None:
    bench = ready()
    before = bench.traces()
    with pytest.raises(ProgramNotStarted, match=words[0]) as refused:
        bench.run(*words)
    assert refused.value.exit_code == code
    (record,) = bench.records()
    assert (record.state, record.exit_code) == ("exited", code)
    assert bench.cleanup() == ()
    assert bench.rm("ps_42002") == ["Removed: ps_42002"]
    assert bench.traces() == before


def test_a_program_that_can_not_be_executed_leaves_nothing_with_rm() -> None:
    bench = ready()
    before = bench.traces()
    with pytest.raises(ProgramNotStarted):
        bench.run("nothing", remove_on_exit=True)
    assert bench.traces() == before


def test_U10_a_program_that_eats_too_much_is_killed_in_plain_words() -> None:
    bench = ready()
    seen = bench.run("probe", "eat", "30000000", limits=Limits(memory_bytes=20_000_000))
    assert (seen.code, seen.notices) == (137, ("Killed: out of memory (limit 20 MB)",))
    assert bench.records()[0].oom_killed


def test_a_program_killed_by_somebody_is_not_out_of_memory() -> None:
    bench = ready()
    other = bench.in_another_terminal()

    def kill(data: bytes) -> None:
        process = other.records()[0].process
        assert process is not None
        other.kernel.processes.signal(process, SIGKILL)

    seen = bench.run("probe", "echo", "up", ",", "sleep", "9", screen=Screen(kill))
    assert (seen.code, seen.notices) == (137, ())
    assert not bench.records()[0].oom_killed


def test_signals_are_forwarded() -> None:
    bench = ready()
    bench.world.interrupt(bench.kernel, SIGUSR1, after_s=1.0)
    assert bench.run("probe", "trap", str(SIGUSR1), "5", ",", "sleep", "60").code == 5


@pytest.mark.parametrize(("interrupts", "code"), [((SIGINT, SIGTERM), 0), ((SIGINT, SIGTERM, SIGINT), 137)])
def test_L3_the_third_request_to_stop_kills_a_program_that_ignores_them(interrupts: tuple[int, ...], code: int) -> None:
    bench = ready()
    for after_s, number in enumerate(interrupts, 1):
        bench.world.interrupt(bench.kernel, number, after_s=float(after_s))
    assert bench.run("probe", "sleep", "60").code == code


def test_other_signals_never_kill() -> None:
    bench = ready()
    for after_s in range(1, 6):
        bench.world.interrupt(bench.kernel, SIGUSR1, after_s=float(after_s))
    assert bench.run("probe", "sleep", "60").code == 0


def test_standard_input_is_passed_on_only_where_it_is_asked_for() -> None:
    bench = ready()
    bench.world.standard_input = b"typed\n"
    assert bench.run("cat").out == b""
    assert bench.run("cat", standard_input=True).out == b"typed\n"


def test_a_console_that_nobody_reads_breaks_the_programs_pipe() -> None:
    bench = ready()
    screen = Screen(closed=(1,))
    bench.run("probe", "echo", "a", ",", "echo", "b", ",", "error", "c", screen=screen)
    assert screen.streams == {1: b"", 2: b"c\n"}


def test_a_log_that_can_not_be_written_is_said_once_and_the_program_goes_on() -> None:
    bench = ready()
    bench.kernel.gate = RefuseOperation("records.append")
    seen = bench.run("probe", "echo", "a", ",", "echo", "b", ",", "exit", "3")
    assert (seen.code, seen.out) == (3, b"a\nb\n")
    assert seen.notices == ("The log ends here, it could not be written: ENOSPC",)


class RefuseOperation(RefuseCall):
    """Refuses every call of one operation, as a disk does that is full for long."""

    def __init__(self, operation: str) -> None:
        super().__init__(0, 28)
        self.operation = operation

    def _is_now(self, call: object) -> bool:
        return getattr(call, "operation", "") == self.operation


def test_L5_a_full_pool_is_one_clear_error_and_nothing_is_touched() -> None:
    bench = ready(settings=Settings(subnet="10.0.0.0/29"))
    for _ in range(5):
        bench.run("true")
    before, before_ns = bench.traces(), bench.kernel.ambient.now_ns()
    with pytest.raises(PoolFull, match="All 5 container ids are in use"):
        bench.run("true")
    assert bench.kernel.ambient.now_ns() - before_ns < LINGER_S * 1e9  # nobody waits for what stays
    assert bench.traces() == before
    bench.rm("ps_42004")
    bench.run("true")
    assert list(bench.ps()) == [f"ps_{number}" for number in range(42002, 42007)]


def test_L5_a_full_pool_is_said_at_once_also_where_the_first_id_that_is_tried_runs() -> None:
    bench = ready(settings=Settings(subnet="10.0.0.0/30"))
    times_ns: list[int] = []

    def run_another(data: bytes) -> None:
        other = bench.in_another_terminal()
        begun_ns = other.kernel.ambient.now_ns()
        with pytest.raises(PoolFull):
            other.run("true")
        times_ns.append(other.kernel.ambient.now_ns() - begun_ns)

    bench.run("probe", "echo", "up", ",", "sleep", "5", screen=Screen(run_another))
    assert [taken_ns < LINGER_S * 1e9 for taken_ns in times_ns] == [True]


def test_ids_are_given_after_the_last_one() -> None:
    bench = ready(settings=Settings(subnet="10.0.0.0/29"))
    order = []
    for _ in range(7):
        bench.run("true")
        order += list(bench.ps())
        bench.rm(*bench.ps())
    assert order == ["ps_42002", "ps_42003", "ps_42004", "ps_42005", "ps_42006", "ps_42002", "ps_42003"]


def test_a_smallest_subnet_serves_one_container_again_and_again() -> None:
    """Its id is taken again while the kernel still ends the last namespace: the engine waits for it."""
    bench = ready(settings=Settings(subnet="10.0.0.0/30"))
    for _ in range(3):
        assert bench.run("true", remove_on_exit=True).code == 0


def test_the_gateway_may_be_any_address_and_its_id_is_nobodys() -> None:
    bench = Bench(settings=Settings(), ready=False)
    bench.world.prepare(bench.settings)
    bench.kernel.network.delete("bridge0")
    bench.setup(subnet=None)
    bench.add_image(tag="base")
    assert bench.run("true").code == 0


def test_L4_twenty_at_once_all_succeed_with_ids_and_addresses_of_their_own() -> None:
    bench = ready()
    addresses: list[str] = []

    def start_another(data: bytes) -> None:
        if len(addresses) < 20:
            addresses.append(str(len(addresses)))
            other = bench.in_another_terminal()
            assert other.run("probe", "echo", "up", ",", "sleep", "9", screen=Screen(start_another)).code == 0

    start_another(b"")
    records = bench.records()
    assert len(records) == 20
    assert {record.state for record in records} == {"exited"}


@pytest.mark.parametrize("what", ["group", "subvolume", "name", "link"])
def test_L1_an_id_whose_name_lingers_is_passed_over(what: str) -> None:
    bench = ready()
    kernel = bench.program()
    if what == "group":
        kernel.cgroups.create("ps_42002")
    elif what == "subvolume":
        kernel.storage.create("ps_42002")
    elif what == "name":
        kernel.namespaces.create("netns_ps_42002")
    else:
        kernel.network.create_veth("veth0_ps_42002", "other", "02:42:ac:11:00:02", "bridge0")
    before, start = bench.traces(), len(bench.world.journal)
    assert bench.run("true", remove_on_exit=True).code == 0
    assert bench.traces() == before
    if what == "subvolume":  # a record that claims it, and a crash: and it would be bocker's to delete
        done = [(entry.call.operation, entry.call.subject) for entry in bench.world.journal[start:]]
        assert ("records.claim", "containers/ps_42002") not in done
    bench.run("true")
    assert list(bench.ps()) == ["ps_42004"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda kernel: kernel.network.delete("bridge0"), "no bridge bridge0"),
        (lambda kernel: kernel.network.set_up("bridge0", False), "bridge0 is down"),
        (lambda kernel: kernel.host.write_sysctl("net.ipv4.ip_forward", "0"), "ip_forward is off"),
        (lambda kernel: kernel.host.unmount("/usr/bin/python3.11"), "overwrite the interpreter"),
    ],
)
def test_W23_a_host_that_is_not_ready_is_said_before_anything_is_made(change: object, words: str) -> None:
    bench = ready()
    change(bench.kernel)  # type: ignore[operator]
    bench.kernel = bench.program()
    before = bench.traces()
    with pytest.raises(HostNotReady, match=words):
        bench.run("true")
    assert bench.traces() == before


def test_W23_a_bridge_without_an_address_is_said() -> None:
    bench = ready()
    bench.kernel.network.delete("bridge0")
    bench.kernel.network.create_bridge("bridge0", "02:42:ac:11:00:01")
    with pytest.raises(HostNotReady, match="has no address"):
        bench.run("true")


def test_W13_a_store_that_is_not_mounted_is_the_cause_that_is_said() -> None:
    bench = Bench(ready=False)
    for command in (
        lambda: bench.run("true"),
        bench.ps,
        bench.images,
        lambda: bench.rm("x"),
        bench.cleanup,
        lambda: bench.logs("x"),
    ):
        with pytest.raises(HostNotReady, match="no btrfs file system is mounted at /var/bocker"):
            command()


def test_W13_a_person_who_is_not_root_is_told_so() -> None:
    bench = Bench(ready=False, privileged=False)
    with pytest.raises(NotPrivileged):
        bench.images()


def test_a_machine_without_control_groups_is_said() -> None:
    bench = Bench(ready=False, cgroup_version=0)
    bench.world.prepare(bench.settings)
    bench.kernel.host.protect("/usr/bin/python3.11", "/usr/bin/python3.11")
    bench.kernel = bench.program()
    bench.add_image(tag="base")
    with pytest.raises(HostNotReady, match="control groups"):
        bench.run("true")


def test_a_newer_store_is_refused_with_a_clear_word() -> None:
    bench = ready()
    bench.kernel.records.write("store/format", b"2\n")
    for command in (lambda: bench.run("true"), bench.ps, bench.images, lambda: bench.rm("base"), bench.cleanup):
        with pytest.raises(NewerStore, match="format 2"):
            command()
    with pytest.raises(NewerStore):
        bench.setup()


def test_W14_limits_are_set_before_the_program_runs() -> None:
    bench = ready(cgroup_version=2)
    seen = []

    def look(data: bytes) -> None:
        (row,) = bench.world.state.groups.values()
        seen.append((row.limits, len(row.device_rules)))

    bench.run("probe", "echo", "x", screen=Screen(look), limits=Limits(1024, 40_960_000, 100))
    assert seen[0][0] == Limits(1024, 40_960_000, 100)


def test_W16_an_image_without_proc_or_etc_runs_all_the_same() -> None:
    bench = Bench()
    bench.world.add_files(
        "/bare", {"bin": Entry(DIRECTORY), "bin/probe": file(PROBE, 0o755), "bin/busybox": file(b"\x7fELF", 0o755)}
    )
    init(bench.kernel, bench.settings, "/bare", "bare")
    assert bench.run("probe", "read", "/etc/hostname", image="bare").out == b"ps-42002\n"


def test_S8_an_images_link_for_resolv_conf_is_covered_and_not_followed() -> None:
    bench = Bench()
    bench.world.write_file("/etc/precious", b"host")
    bench.add_image({"etc/resolv.conf": link("/etc/precious")}, tag="hostile")
    assert bench.run("probe", "read", "/etc/resolv.conf", image="hostile").out == b"nameserver 192.0.2.53\n"
    assert bench.world.read_file("/etc/precious") == b"host"
    assert bench.world.entry("/var/bocker/ps_42002/etc/resolv.conf") == link("/etc/precious")


def test_a_step_that_fails_is_named_and_everything_is_undone() -> None:
    bench = ready()
    before = bench.traces()
    calls = 1 + next(number for number, entry in enumerate(_calls_of_a_run()) if entry == "processes.release")
    bench.kernel.gate = RefuseCall(calls, 13)
    with pytest.raises(OperationFailed, match="could not mount"):
        bench.run("true")
    bench.kernel = bench.program()
    assert bench.traces() == before


def _calls_of_a_run() -> list[str]:
    bench = ready()
    start = len(bench.world.journal)
    bench.run("true")
    return [entry.call.operation for entry in bench.world.journal[start:] if entry.call.program]


def test_a_container_whose_supervisor_fails_is_killed_and_recorded_as_dead() -> None:
    bench = ready()
    bench.kernel.gate = RefuseOperation("processes.next_event")
    with pytest.raises(OperationFailed):
        bench.run("probe", "sleep", "60")
    bench.kernel = bench.program()
    assert store.load_container(bench.kernel, ContainerId(42002)).state == "dead"
    assert not [line for line in bench.traces() if "group" in line or "name netns" in line or "first" in line]


def test_a_name_left_by_a_crash_is_free_and_cleanup_forgets_it() -> None:
    """What says which container has a name counts only as far as that container says so too."""
    bench = ready()
    kernel = bench.program()
    kernel.records.write("names/web", b"ps_42077\n")
    assert bench.run("probe", "exit", "0", name="web").code == 0
    kernel.records.write("names/gone", b"ps_42077\n")
    assert bench.cleanup() == ("Removed: the name gone",)
    assert kernel.records.list("names") == ("web",)


def test_a_child_that_ate_too_much_is_in_the_record_and_the_program_ended_as_it_likes() -> None:
    bench = ready()
    words = ("probe", "fork", "eat", "30000000", "|", "sleep", "1", ",", "exit", "3")
    seen = bench.run(*words, limits=Limits(memory_bytes=20_000_000))
    assert (seen.code, seen.notices) == (3, ())
    assert bench.records()[0].oom_killed


def test_the_record_has_what_was_asked_for() -> None:
    bench = ready()
    limits = Limits(memory_bytes=20_000_000, pids=7)
    bench.run("true", limits=limits, name="web", labels=("colour=red",), stop_signal="INT", working_directory="/etc")
    (record,) = bench.records()
    assert (record.limits, record.name, record.labels) == (limits, "web", ("colour=red",))
    assert (record.stop_signal, record.working_directory) == ("INT", "/etc")
    assert (record.image, record.image_source, record.command) == ("base", "/rootfs", ("true",))


def test_W3_every_code_and_every_signal_has_an_exit_code_of_its_own() -> None:
    codes = [exit_code(Exited(code, None)) for code in range(256)]
    signals = [exit_code(Exited(None, number)) for number in range(1, 65)]
    assert (codes, signals) == (list(range(256)), list(range(129, 193)))


@pytest.mark.parametrize(
    ("number", "step", "said"),
    [
        (errno.ENODEV, STEP_NETWORK, "there is no bridge bridge0"),
        (errno.ENOENT, STEP_MOUNTS, f"could not {STEP_MOUNTS}"),
        (errno.EEXIST, STEP_MOUNTS, f"could not {STEP_MOUNTS}"),
    ],
)
def test_the_step_that_failed_is_what_is_said_and_the_bridge_only_where_it_was_the_networks(
    number: int, step: str, said: str
) -> None:
    """And one container is tried, not one after the other."""
    bench = ready()
    refusals = {"processes.release": Refused(number, step=step)}
    bench.kernel.gate = Refusing(refusals, lambda: interference.delete_link(bench.world, "bridge0"))
    start = len(bench.world.journal)
    with pytest.raises(BockerError, match=said):
        bench.run("true")
    assert [entry.call.operation for entry in bench.world.journal[start:]].count("processes.create") == 1


@pytest.mark.parametrize("left", ["cgroups.remove", "storage.delete"])
def test_a_container_that_did_not_come_to_be_is_not_kept_where_something_of_it_could_not_be_taken_back(
    left: str,
) -> None:
    bench = ready()
    before = bench.traces()
    refusals = {"processes.release": Refused(errno.EPERM, step=STEP_CLONE), left: Refused(errno.EPERM)}
    bench.kernel.gate = Refusing(refusals)
    with pytest.raises(OperationFailed) as failed:
        bench.run("true", name="web")
    assert (failed.value.hint or "").endswith("run: bocker cleanup")
    bench.kernel = bench.program()
    assert bench.cleanup() == ("Removed: ps_42002",)
    assert bench.traces() == before


class CrashAfter(CrashBefore):
    """Kills the program before the first call after those of one operation."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.came = False

    def _is_now(self, call: object) -> bool:
        if super()._is_now(call):
            self.came = True
            return False
        return self.came


def test_a_container_whose_program_was_let_go_is_kept_although_its_engine_is_killed_at_once() -> None:
    """Its program may have written what somebody needs."""
    bench = ready()
    victim = bench.in_another_terminal()
    victim.kernel.gate = CrashAfter("processes.release")
    with pytest.raises(Crashed):
        victim.run("probe", "echo", "up")
    bench.world.settle()
    assert bench.cleanup() == ("Repaired: ps_42002 is dead",)
    assert bench.ps() == {"ps_42002": "dead"}

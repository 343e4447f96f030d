"""What fails while a command is at work: it says what it was doing, and what it could not do the others still get."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bocker.core import lifecycle
from bocker.core.errors import BockerError, NestedSubvolumes, NotRunning, OperationFailed, ProgramNotStarted
from bocker.core.ids import ContainerId
from bocker.engine import store
from bocker.fakes.faults import Gate
from tests.unit.engine.bench import Bench, Screen, ready
from tests.unit.engine.test_repair import killed
from tests.unit.engine.test_setup import RefuseOperation
from tests.unit.engine.test_tags import RefuseSecond
from tests.unit.images.bench import ImageBench

SIGUSR1 = 10
SLEEPING = ("probe", "echo", "up", ",", "sleep", "5", ",", "exit", "3")
WEB = ContainerId(42002)


def with_container() -> ImageBench:
    bench = ImageBench()
    bench.add_image(tag="base")
    bench.run("true", name="web")
    return bench


@pytest.mark.parametrize(
    ("act", "operation", "doing"),
    [
        (lambda bench: bench.run("true"), "records.claim", "Starting the container"),
        (lambda bench: bench.execute("web", "true"), "records.read", "Executing in the container"),
        (lambda bench: bench.logs("web"), "records.read", "Reading the log"),
        (Bench.ps, "records.list", "Listing the containers"),
        (Bench.images, "storage.names", "Listing the images"),
        (Bench.add_image, "storage.create", "Making an image of '/rootfs'"),
        (lambda bench: bench.commit("web", "new"), "storage.snapshot", "Committing 'web'"),
        (lambda bench: bench.tag("base", "new"), "records.write", "Tagging 'base'"),
        (lambda bench: bench.stop("web"), "records.read", "Looking up what to stop"),
        (lambda bench: bench.rm("web"), "records.read", "Looking up what to remove"),
        (lambda bench: bench.rmi("base"), "records.read", "Looking up what to remove"),
        (Bench.cleanup, "records.list", "Cleaning up"),
    ],
)
def test_what_fails_says_what_was_being_done(act: Callable[[Bench], object], operation: str, doing: str) -> None:
    bench = with_container()
    bench.kernel.gate = RefuseOperation(operation, errno.EIO)
    with pytest.raises(OperationFailed) as failed:
        act(bench)
    assert failed.value.message.startswith(f"{doing} failed: the disk can not be read or written ({operation} ")


def while_running(act: Callable[[Bench], object]) -> tuple[Bench, list[object], int]:
    """Do something in another terminal while `web` runs; return what it gave, and the program's exit code."""
    bench = ready()
    given: list[object] = []
    screen = Screen(lambda data: given.append(act(bench.in_another_terminal())))
    return bench, given, bench.run(*SLEEPING, name="web", screen=screen).code


def test_a_container_that_can_not_be_killed_is_said() -> None:
    def stop(other: Bench) -> object:
        other.kernel.gate = RefuseSecond("processes.signal", errno.EPERM)
        return other.stop("web", patience_s=1)

    _, given, code = while_running(stop)
    (lines,) = given
    assert lines[0].startswith("Stopping ps_42002 failed: it is not permitted (processes.signal")  # type: ignore[index]
    assert code == 3


def test_a_signal_that_can_not_be_sent_is_said_and_the_program_goes_on() -> None:
    bench = ready()
    bench.world.interrupt(bench.kernel, SIGUSR1, after_s=1.0)
    bench.kernel.gate = RefuseOperation("processes.signal", errno.EPERM)
    seen = bench.run(*SLEEPING)
    assert (seen.code, seen.notices) == (3, ("Signal 10 was not forwarded: EPERM",))


def test_a_container_that_can_not_be_told_to_stop_is_said_and_not_waited_for() -> None:
    def stop(other: Bench) -> object:
        other.kernel.gate = RefuseOperation("processes.signal", errno.EPERM)
        before_ns = other.kernel.ambient.now_ns()
        return other.stop("web", "nobody"), other.kernel.ambient.now_ns() - before_ns

    _, given, code = while_running(stop)
    (lines, took_ns) = given[0]  # type: ignore[misc]
    assert lines[0].startswith("Stopping ps_42002 failed: it is not permitted (processes.signal")  # type: ignore[has-type]
    assert lines[1] == "No container named 'nobody' exists"  # type: ignore[has-type]
    assert took_ns < 100_000_000  # type: ignore[has-type]
    assert code == 3


@pytest.mark.parametrize("after_s", [0.1, 2.0])
@pytest.mark.parametrize(
    ("number", "data", "line"),
    [
        (errno.EIO, None, "Stopping ps_42002 failed: the disk can not be read or written"),
        (0, b"{", "The record of ps_42002 is damaged"),
    ],
)
def test_a_container_whose_end_can_not_be_read_is_said_and_not_waited_for(
    number: int, data: bytes | None, line: str, after_s: float
) -> None:
    """Whether it was told to end, or killed."""

    def stop(other: Bench) -> object:
        def spoil() -> None:
            if data is None:
                other.kernel.gate = RefuseOperation("records.read", number)
            else:
                other.kernel.records.write("containers/ps_42002", data)

        other.world.schedule(after_s, spoil)
        before_ns = other.kernel.ambient.now_ns()
        return other.stop("web", patience_s=1), other.kernel.ambient.now_ns() - before_ns

    _, given, _ = while_running(stop)
    ((lines, took_ns),) = given  # type: ignore[misc]
    assert [said.startswith(line) for said in lines] == [True]  # type: ignore[has-type]
    assert took_ns / 1e9 == pytest.approx(after_s, abs=0.1)  # type: ignore[has-type]


@pytest.mark.parametrize(
    ("operation", "subject", "remove_on_exit", "line"),
    [
        ("namespaces.remove", "netns_ps_42002", False, "Removed: netns_ps_42002"),
        ("cgroups.remove", "ps_42002", False, "Removed: the control group ps_42002"),
        ("storage.delete", "ps_42002", True, "Removed: ps_42002"),
    ],
)
def test_what_is_not_cleaned_up_after_the_end_is_said_and_the_exit_code_counts(
    operation: str, subject: str, remove_on_exit: bool, line: str
) -> None:
    bench = ready()
    bench.kernel.gate = RefuseOperation(operation, errno.EPERM)
    seen = bench.run("probe", "exit", "3", remove_on_exit=remove_on_exit)
    assert seen.code == 3
    (notice,) = seen.notices
    assert f"({operation} {subject}: EPERM" in notice
    assert notice.endswith(": bocker cleanup")
    bench.kernel.gate = Gate()
    assert bench.cleanup() == (line,)


def test_exec_in_a_container_whose_engine_was_killed_writes_its_death_down() -> None:
    bench = killed()
    with pytest.raises(NotRunning):
        bench.execute("web", "true")
    assert store.load_container(bench.kernel, WEB).state == lifecycle.DEAD


def test_exec_in_a_container_that_ends_just_then_ends_with_it() -> None:
    class EndsFirst(Gate):
        def around(self, call, act, refuse):  # type: ignore[no-untyped-def]
            if call.operation == "processes.release":
                process = store.load_container(bench.kernel, WEB).process
                bench.kernel.processes.signal(process, 9)
            return act()

    codes: list[int] = []
    bench = ready()

    def execute(data: bytes) -> None:
        other = bench.in_another_terminal()
        other.kernel.gate = EndsFirst()
        codes.append(other.execute("web", "true").code)

    assert bench.run(*SLEEPING, name="web", screen=Screen(execute)).code == 137
    assert codes == [137]


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (("nothing",), {}, "'nothing'"),
        (("true",), {"user": "nobody"}, "container 'web'"),
        (("true",), {"working_directory": "/none"}, "'/none'"),
    ],
)
def test_exec_says_which_word_was_wrong(words: tuple[str, ...], options: dict[str, object], said: str) -> None:
    refusals: list[str] = []

    def execute(other: Bench) -> None:
        with pytest.raises(ProgramNotStarted) as refused:
            other.execute("web", *words, **options)
        refusals.append(refused.value.message)

    while_running(execute)
    assert said in refusals[0]


def test_a_subvolume_deep_inside_is_named_by_its_whole_path() -> None:
    bench = with_container()
    bench.nest("ps_42002", "etc/data")
    with pytest.raises(NestedSubvolumes, match="etc/data"):
        bench.commit("web", "new")


def test_the_record_of_a_running_container_says_when_it_began_and_its_namespace_has_a_name() -> None:
    def look(other: Bench) -> object:
        return store.load_container(other.kernel, WEB), other.kernel.namespaces.names(), other.kernel.ambient.now_ns()

    _, given, _ = while_running(look)
    record, names, now_ns = given[0]  # type: ignore[misc]
    assert record.created_ns <= record.started_ns <= now_ns  # type: ignore[has-type]
    assert record.finished_ns is None  # type: ignore[has-type]
    assert names == ("netns_ps_42002",)  # type: ignore[has-type]


def test_a_record_of_an_image_that_was_damaged_has_its_id_again() -> None:
    bench = with_container()
    bench.kernel.records.write("images/img_42002", b"{")
    bench.cleanup()
    assert bench.tag("img_42002", "base") == "img_42002"
    assert bench.images() == {"img_42002": ("base:latest",)}


def test_with_an_image_goes_what_was_known_of_its_content() -> None:
    bench = with_container()
    bench.rm("web")
    assert len(bench.kernel.records.list("contents")) == 1
    assert bench.rmi("base") == ["Untagged: base:latest", "Removed: img_42002"]
    assert bench.kernel.records.list("contents") == ()


@pytest.mark.parametrize("data", [b"", b"x\n", b"-1\n", b"1.0\n"])
def test_a_store_whose_format_is_no_number_is_damaged(data: bytes) -> None:
    bench = with_container()
    bench.kernel.records.write("store/format", data)
    with pytest.raises(BockerError, match="The record of the store's format is damaged"):
        bench.images()

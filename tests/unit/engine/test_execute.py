from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bocker.core.errors import (
    BockerError,
    GroupGone,
    NoSuchContainer,
    NotRunning,
    OperationFailed,
    ProgramNotStarted,
    UsageError,
)
from bocker.core.limits import Limits
from bocker.core.spec import STEP_CLONE, STEP_GROUP
from bocker.fakes import Crashed
from bocker.fakes.errors import Refused
from bocker.fakes.faults import Call, Gate
from tests.unit.engine.bench import Bench, Screen, Seen, ready

SIGINT, SIGUSR1 = 2, 10


def while_live(
    act: Callable[[Bench], object], bench: Bench | None = None, limits: Limits | None = None
) -> tuple[int, list[object]]:
    """Do something in another terminal while the container `live` runs; return its exit code, and the answers."""
    bench = bench or ready()
    other = bench.in_another_terminal()
    answers: list[object] = []

    def now(data: bytes) -> None:
        if not answers:
            try:
                answers.append(act(other))
            except (BockerError, Crashed) as error:
                answers.append(error)

    words = ("probe", "echo", "up", ",", "sleep", "5", ",", "exit", "3")
    return bench.run(*words, name="live", screen=Screen(now), limits=limits).code, answers


@pytest.mark.parametrize("reference", ["live", "ps_42002", "ps_42"])
def test_the_programs_output_and_its_exit_code_come_back(reference: str) -> None:
    code, answers = while_live(
        lambda other: other.execute(reference, "probe", "echo", "hi", ",", "error", "oh", ",", "exit", "7")
    )
    assert answers == [Seen(7, b"hi\n", b"oh\n", ())]
    assert code == 3


def test_it_sees_the_containers_files_and_nothing_of_it_is_logged() -> None:
    bench = ready()
    while_live(lambda other: other.execute("live", "probe", "write", "/etc/mine", "x", ",", "echo", "unlogged"), bench)
    assert bench.tree("ps_42002")["etc/mine"] == b"x"
    assert bench.logs("live").out == b"up\n"


def test_S20_exec_is_bound_by_the_containers_limits() -> None:
    code, answers = while_live(
        lambda other: other.execute("live", "probe", "eat", "50000000"), limits=Limits(memory_bytes=20_000_000)
    )
    assert [answer.code for answer in answers if isinstance(answer, Seen)] == [137]
    assert code == 3


def test_S15_the_environment_is_the_containers() -> None:
    _, answers = while_live(lambda other: other.execute("live", "env"))
    (seen,) = answers
    assert isinstance(seen, Seen)
    assert sorted(line.partition(b"=")[0] for line in seen.out.splitlines()) == [b"HOME", b"HOSTNAME", b"PATH"]


@pytest.mark.parametrize(("program", "code"), [("nothing", 127), ("/etc/passwd", 126)])
def test_W3_a_program_that_can_not_be_executed_says_why(program: str, code: int) -> None:
    _, answers = while_live(lambda other: other.execute("live", program))
    (error,) = answers
    assert isinstance(error, ProgramNotStarted)
    assert error.exit_code == code


def test_X4_exec_without_a_command_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        ready().execute("ps_42002")


def test_X5_an_image_is_no_container_and_the_hint_says_what_it_is() -> None:
    with pytest.raises(NoSuchContainer, match="No container named 'img_42002' exists") as refused:
        ready().execute("img_42002", "true")
    assert refused.value.hint is not None
    assert "img_42002 is an image" in refused.value.hint


@pytest.mark.parametrize("word", ["..", "ps_", "nothing", "5", "ps_42003"])
def test_W11_a_word_that_names_no_container_is_refused(word: str) -> None:
    with pytest.raises(NoSuchContainer):
        ready().execute(word, "true")


def test_a_container_that_has_ended_is_not_running() -> None:
    bench = ready()
    bench.run("true")
    with pytest.raises(NotRunning, match="Container 'ps_42002' exists but is not running"):
        bench.execute("ps_42002", "true")


def test_X3_the_text_of_a_command_names_no_container() -> None:
    bench = ready()
    bench.run("probe", "echo", "ps_42099")
    with pytest.raises(NoSuchContainer):
        bench.execute("ps_42099", "true")


def test_X1_a_process_that_got_the_same_number_is_not_taken_for_the_containers() -> None:
    """The record names boot, number and start time; after a boot no process is the one it means."""
    bench = ready()
    victim = bench.in_another_terminal()
    with pytest.raises(Crashed):
        victim.run(
            "probe",
            "echo",
            "up",
            ",",
            "sleep",
            "9",
            screen=Screen(lambda data: bench.world.kill_program(victim.kernel)),
        )
    with pytest.raises(NotRunning):
        bench.execute("ps_42002", "true")
    assert bench.ps() == {"ps_42002": "dead"}


def test_a_container_that_is_not_yet_in_its_own_root_is_not_entered() -> None:
    """Somebody tries before each call of `run`; until `release` has returned the process is in the host's root."""
    bench = ready()
    other = bench.in_another_terminal()
    entered: list[str] = []

    class Try:
        def around(self, call: object, act: object, refuse: object) -> object:
            operation = getattr(call, "operation", "")
            try:
                other.execute("ps_42002", "true")
                entered.append(operation)
            except BockerError:
                pass
            return act()  # type: ignore[operator]

    bench.kernel.gate = Try()  # type: ignore[assignment]
    bench.run("probe", "echo", "hi")
    order = [entry.call.operation for entry in bench.world.journal if entry.call.program == bench.kernel.pid]
    assert "processes.release" in order
    assert "processes.release" not in entered
    assert set(entered) <= {"processes.next_event", "ambient.now_ns", "records.append"}


def test_signals_are_forwarded_to_the_program_and_not_to_the_container() -> None:
    def act(other: Bench) -> Seen:
        other.world.interrupt(other.kernel, SIGUSR1, after_s=0.5)
        return other.execute("live", "probe", "trap", str(SIGUSR1), "9", ",", "sleep", "4")

    code, answers = while_live(act)
    assert [answer.code for answer in answers if isinstance(answer, Seen)] == [9]
    assert code == 3


def test_a_container_that_ends_takes_its_programs_with_it() -> None:
    code, answers = while_live(lambda other: other.execute("live", "probe", "sleep", "60"))
    assert [answer.code for answer in answers if isinstance(answer, Seen)] == [137]
    assert code == 3


def test_standard_input_is_passed_on_where_it_is_asked_for() -> None:
    bench = ready()
    bench.world.standard_input = b"typed\n"
    _, answers = while_live(lambda other: other.execute("live", "cat", standard_input=True), bench)
    assert [answer.out for answer in answers if isinstance(answer, Seen)] == [b"typed\n"]


def test_a_program_that_writes_to_nobody_is_ended_by_its_broken_pipe() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    codes: list[int] = []

    def execute(data: bytes) -> None:
        words = ("probe", "echo", "a", ",", "sleep", "1", ",", "echo", "b", ",", "exit", "0")
        codes.append(other.execute("web", *words, screen=Screen(closed=(1,))).code)

    bench.run("probe", "echo", "up", ",", "sleep", "9", name="web", screen=Screen(execute))
    assert codes == [128 + 13]


class Refusing(Gate):
    """Refuses operations, each in its way: also at a step of the child."""

    def __init__(self, refusals: dict[str, Refused], meanwhile: Callable[[], object] = lambda: None) -> None:
        self.refusals = refusals
        self.meanwhile = meanwhile

    def around(self, call: Call, act: Callable[[], object], refuse: Callable[[], None]) -> object:  # type: ignore[override]
        if call.operation in self.refusals:
            self.meanwhile()
            raise self.refusals[call.operation]
        return act()


@pytest.mark.parametrize("operation", ["processes.enter", "processes.release"])
@pytest.mark.parametrize(
    ("number", "step", "kind"),
    [
        (errno.ENOENT, STEP_GROUP, GroupGone),
        (errno.EPERM, STEP_GROUP, OperationFailed),
        (errno.ENOENT, STEP_CLONE, OperationFailed),
    ],
)
def test_a_group_that_is_gone_is_told_from_what_else_keeps_a_program_out(
    operation: str, number: int, step: str, kind: type[BockerError]
) -> None:
    def act(other: Bench) -> object:
        other.kernel.gate = Refusing({operation: Refused(number, step=step)})
        return other.execute("live", "true")

    code, (refusal,) = while_live(act)
    assert (code, type(refusal)) == (3, kind)

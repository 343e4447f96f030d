"""Every fault at every call of a function.

def test_a_join_leaves_nothing_behind(faults):
    faults.sweep(lambda kernel: join(kernel, "web"), check)

The function is called again and again, each time on the world as it was before, with one fault of
the model (`bocker.fakes.faults`) at one of its calls: the kernel refuses, it does what was asked and
reports a failure, the program is killed there.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import attrs

from bocker.core.settings import Settings
from bocker.fakes.errors import Crashed
from bocker.fakes.faults import Call, CrashAt, DoButReportFailure, Gate, Recorder, RefuseCall, faults_of
from bocker.fakes.kernel import FakeKernel
from bocker.fakes.world import World
from bocker.kernel.errors import KernelError

Act = Callable[[FakeKernel], object]

_SAYS_MISSING = frozenset({errno.ENOENT, errno.ESRCH, errno.ENODEV})
# Where such an errno may be about something else than the call's subject, which others may have removed.
_ABOUT_ANOTHER = frozenset(
    {
        "storage.snapshot",
        "network.create_veth",
        "namespaces.link",
        "cgroups.add",
        "processes.release",
        "archives.unpack",
        "archives.pack",
        "archives.spill",
        "archives.bundle",
        "host.copy_tree",
        "blobs.keep",
    }
)


@attrs.frozen
class Outcome:
    """What came of a call of the function with one fault; the program that called it has ended since.

    fault: None for the call without one. call: where it struck. error: what the function raised,
    `Crashed` when the program was killed. answer: what it returned. before, after: the world as text,
    with what the kernel ends by itself ended. world: as it is now.
    """

    fault: Gate | None
    call: Call | None
    error: BaseException | None
    answer: object
    before: str
    after: str
    world: World
    settings: Settings = attrs.field(repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether the function returned: despite the fault, when there was one."""
        return self.error is None

    @property
    def crashed(self) -> bool:
        """Whether the program was killed, so that the function could undo nothing."""
        return isinstance(self.error, Crashed)

    def kernel(self) -> FakeKernel:
        """Start another program, without faults, to look at what is left and to clean up."""
        return self.world.kernel(self.settings)

    def __str__(self) -> str:
        gone = [f"- {line}" for line in _without(self.before, self.after)]
        come = [f"+ {line}" for line in _without(self.after, self.before)]
        ended = "returned" if self.error is None else f"raised {type(self.error).__name__}: {self.error}"
        return "\n".join([self._where(), f"the function {ended}", *come, *gone])

    def _where(self) -> str:
        if self.fault is None or self.call is None:
            return "without a fault"
        return (
            f"call {getattr(self.fault, 'number', '?')}, {self.call.operation} {self.call.subject}: {_told(self.fault)}"
        )


@attrs.frozen
class Swept:
    """What a sweep went through: the calls of the function, and how many faults."""

    calls: tuple[Call, ...]
    faults: int


class Faults:
    """Faults in one world; the world is as it was when a method returns."""

    def __init__(self, world: World, settings: Settings | None = None) -> None:
        self.world = world
        self.settings = settings or Settings()

    def calls(self, act: Act) -> tuple[Call, ...]:
        """Return what a function calls when nothing goes wrong; what it raises is raised."""
        recorder = Recorder()
        outcome = self.attempt(act, recorder)
        if outcome.error is not None:
            raise outcome.error
        return tuple(recorder.calls)

    def attempt(self, act: Act, gate: Gate | None = None) -> Outcome:
        """Call a function behind a gate and return what came of it, whatever it raised."""
        start = self.world.state
        with_fault = gate is not None and not isinstance(gate, Recorder)
        try:
            return self._attempt(act, gate or Gate(), gate if with_fault else None)
        finally:
            self.world.rewind(start)

    def sweep(
        self,
        act: Act,
        check: Callable[[Outcome], object],
        *,
        errors: tuple[type[Exception], ...] = (KernelError,),
        lies: bool = False,
    ) -> Swept:
        """Call a function with each fault at each of its calls, and let `check` look at what came of it.

        `check` raises AssertionError, or whatever it likes, about an outcome that should not be; it may
        change the world. It sees the outcome without a fault first. `errors`: what the function may
        raise when the kernel fails it; anything else is a finding. `lies`: also let the kernel say of
        a thing that is there that it is not, which none does unless somebody else removes it.

        Raise AssertionError with all findings; the first one is its cause.
        """
        __tracebackhide__ = True
        calls = self.calls(act)
        if not calls:
            raise AssertionError("the function called nothing, so nothing can go wrong")
        gates = [gate for gate in faults_of(list(calls)) if lies or not _is_lie(gate, calls)]
        findings = [found for gate in (None, *gates) if (found := self._found(act, check, gate, errors))]
        if findings:
            texts = "\n\n".join(text for text, _ in findings)
            raise AssertionError(
                f"{len(findings)} of {len(gates)} faults at {len(calls)} calls ended badly\n\n{texts}"
            ) from findings[0][1]
        return Swept(calls, len(gates))

    def _found(
        self, act: Act, check: Callable[[Outcome], object], gate: Gate | None, errors: tuple[type[Exception], ...]
    ) -> tuple[str, BaseException] | None:
        start = self.world.state
        outcome = self._attempt(act, gate or Gate(), gate)
        try:
            if outcome.error is not None and not isinstance(outcome.error, (*errors, Crashed)):
                return str(outcome), outcome.error
            check(outcome)
        except Exception as error:
            return f"{outcome}\n{_first_line(error)}", error
        finally:
            self.world.rewind(start)
        return None

    def _attempt(self, act: Act, gate: Gate, fault: Gate | None) -> Outcome:
        self.world.settle()
        before = self.world.dump()
        kernel = self.world.kernel(self.settings, gate)
        answer, error = _called(act, kernel)
        self.world.kill_program(kernel)
        self.world.settle()
        return Outcome(
            fault, getattr(fault, "met", None), error, answer, before, self.world.dump(), self.world, self.settings
        )


def _called(act: Act, kernel: FakeKernel) -> tuple[object, BaseException | None]:
    try:
        return act(kernel), None
    except (Exception, Crashed) as error:
        return None, error


def _is_lie(gate: Gate, calls: tuple[Call, ...]) -> bool:
    if not isinstance(gate, RefuseCall) or gate.errno not in _SAYS_MISSING:
        return False
    return calls[gate.number - 1].operation not in _ABOUT_ANOTHER


def _told(gate: Gate) -> str:
    if isinstance(gate, RefuseCall):
        return f"refused with {_name(gate.errno)}"
    if isinstance(gate, DoButReportFailure):
        return f"done, and reported {_name(gate.errno)}"
    if isinstance(gate, CrashAt):
        return "the program was killed before it"
    return type(gate).__name__


def _name(number: int) -> str:
    return errno.errorcode.get(number, str(number))


def _without(text: str, other: str) -> Iterator[str]:
    known = set(other.splitlines())
    return (line for line in text.splitlines() if line not in known)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]

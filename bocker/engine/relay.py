"""A program that runs: its output goes out, signals go in, until it ends."""

from __future__ import annotations

import errno

from bocker.core.errors import NoSuchUser, NoVolumeDirectory, NoWorkingDirectory, ProgramNotStarted
from bocker.core.spec import STEP_DIRECTORY, STEP_EXECUTE, STEP_MOUNTS, STEP_USER
from bocker.core.words import printable
from bocker.kernel.errors import KernelError, Missing, StepFailed
from bocker.kernel.processes import Exited, Interrupted, Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.engine.console import Console
    from bocker.engine.program import Program
    from bocker.kernel import Kernel
    from bocker.kernel.processes import Process

SIGINT, SIGKILL, SIGTERM = 2, 9, 15
PATIENCE = 3  # so many SIGINT or SIGTERM end a program that ignores them
NOT_FOUND, NOT_EXECUTABLE = 127, 126
SIGNALLED = 128

_REASONS = {
    errno.ENOENT: "it is not found",
    errno.EACCES: "permission denied",
    errno.ENOEXEC: "it is no program for this machine",
    errno.EISDIR: "it is a directory",
    errno.ENOTDIR: "a part of its path is no directory",
    errno.E2BIG: "its words are too long",
    errno.ELOOP: "it leads through a link that is not followed",
    errno.EEXIST: "it leads through a link to nowhere",
}


class Relay:
    """Follows one process. `keep(stream, data)` gets the output before the console does."""

    __slots__ = ("console", "keep", "kernel", "process", "stops")

    def __init__(
        self, kernel: Kernel, process: Process, console: Console, keep: Callable[[int, bytes], None] | None = None
    ) -> None:
        self.kernel = kernel
        self.process = process
        self.console = console
        self.keep = keep
        self.stops = 0

    def follow(self) -> Exited:
        """Return how the process ended."""
        while True:
            event = self.kernel.processes.next_event(self.process)
            if isinstance(event, Output):
                self._pass_on(event.stream, event.data)
            elif isinstance(event, Interrupted):
                self._forward(event.number)
            elif isinstance(event, Exited):
                return event

    def _pass_on(self, stream: int, data: bytes) -> None:
        if self.keep is not None:
            self.keep(stream, data)
        if not self.console.write(stream, data):
            self.kernel.processes.close_output(self.process, stream)

    def _forward(self, number: int) -> None:
        if number in {SIGINT, SIGTERM}:
            self.stops += 1
            number = SIGKILL if self.stops >= PATIENCE else number
        try:
            self.kernel.processes.signal(self.process.identity, number)
        except Missing:
            return  # it has ended by itself meanwhile
        except KernelError as error:
            self.console.notice(f"Signal {number} was not forwarded: {error.errno_name}")


def exit_code(ending: Exited) -> int:
    """Return the exit code for an ending: the program's own, or 128 and the signal."""
    return ending.code if ending.code is not None else SIGNALLED + (ending.signal or 0)


def not_started(program: str, failure: StepFailed) -> ProgramNotStarted | None:
    """Return why the program could not be executed; None when it was another step that failed."""
    if failure.step != STEP_EXECUTE:
        return None
    code = NOT_FOUND if failure.errno == errno.ENOENT else NOT_EXECUTABLE
    return ProgramNotStarted(program, _REASONS.get(failure.errno, failure.errno_name), code)


def no_volume(volumes: tuple[str, ...], place: str, failure: StepFailed) -> NoVolumeDirectory | None:
    """Return why there can be no directory for a volume; None when it was something else that failed."""
    if failure.step != STEP_MOUNTS or failure.detail not in volumes:
        return None
    return NoVolumeDirectory(printable(failure.detail), place, _REASONS.get(failure.errno, failure.errno_name))


def not_placed(program: Program, place: str, failure: StepFailed, exit_code: int) -> ProgramNotStarted | None:
    """Return why a program can't run as its user or in its directory; None when it was another step that failed."""
    if failure.step == STEP_USER:
        return NoSuchUser(printable(program.user), place, exit_code, failure.errno == errno.ERANGE)
    if failure.step == STEP_DIRECTORY:
        reason = _REASONS.get(failure.errno, failure.errno_name)
        return NoWorkingDirectory(printable(program.working_directory), reason, exit_code)
    return None

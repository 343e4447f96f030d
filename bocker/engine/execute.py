"""`exec`: a further program in a running container, with the rights and limits of the first."""

from __future__ import annotations

import errno

from bocker.core import lifecycle
from bocker.core.errors import FilesGone, GroupGone, NotRunning, UsageError
from bocker.core.spec import STEP_GROUP
from bocker.core.value import Value
from bocker.engine import plan, program, readiness, resolve, store
from bocker.engine.failures import Doing
from bocker.engine.relay import NOT_EXECUTABLE, Relay, exit_code, not_placed, not_started
from bocker.engine.undo import UndoStack
from bocker.kernel.errors import Missing, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.model import ContainerRecord
    from bocker.core.settings import Settings
    from bocker.engine.console import Console
    from bocker.kernel import Kernel
    from bocker.kernel.processes import Process


class ExecRequest(Value):
    """What to run, and in which container; environment, working directory and user as of `RunRequest`."""

    container: str
    words: tuple[str, ...]
    standard_input: bool = False
    environment: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""


def execute(kernel: Kernel, settings: Settings, request: ExecRequest, console: Console) -> int:
    """Run a program in a running container; return its exit code, 128 and the number for a signal.

    Raise NoSuchContainer, NotRunning, ProgramNotStarted (126, 127; NoSuchUser and NoWorkingDirectory are 126).
    """
    if not request.words:
        raise UsageError("There is nothing to execute", "bocker exec CONTAINER COMMAND")
    with Doing(kernel, settings, "Executing in the container"):
        store.check_format(kernel, settings)
        record = resolve.container(kernel, request.container)
        wanted = program.of_record(request, record)
        readiness.host_facts(kernel)
        process = _entered(kernel, record, request, wanted)
        with UndoStack() as undo:
            undo.push(kernel.processes.discard, process)
            _release(kernel, record, request, process, wanted)
            ending = Relay(kernel, process, console).follow()
            undo.commit()
    return exit_code(ending)


def _entered(kernel: Kernel, record: ContainerRecord, request: ExecRequest, wanted: program.Program) -> Process:
    if record.state not in lifecycle.ALIVE or record.process is None:
        raise NotRunning(request.container)
    layout = readiness.group_layout(kernel)
    spec = plan.exec_spec(store.id_of(record), wanted, layout, request.standard_input)
    try:
        return kernel.processes.enter(record.process, spec)
    except Missing:
        from bocker.engine.repair import reconcile

        reconcile(kernel, record)
        raise NotRunning(request.container) from None
    except StepFailed as failure:
        _check_group(request, failure)
        raise


def _release(
    kernel: Kernel, record: ContainerRecord, request: ExecRequest, process: Process, wanted: program.Program
) -> None:
    try:
        kernel.processes.release(process)
    except StepFailed as failure:
        if not store.has_subvolume(kernel, record.id):
            raise FilesGone(request.container) from failure
        place = f"container '{request.container}'"
        error = not_started(wanted.words[0], failure) or not_placed(wanted, place, failure, NOT_EXECUTABLE)
        if error is not None:
            raise error from failure
        if record.process is not None and not kernel.processes.alive(record.process):
            raise NotRunning(request.container) from failure  # it ended between our two steps
        _check_group(request, failure)
        raise


def _check_group(request: ExecRequest, failure: StepFailed) -> None:
    """Raise GroupGone where that is why a process could not come to be."""
    if failure.step == STEP_GROUP and failure.errno == errno.ENOENT:
        raise GroupGone(request.container) from failure

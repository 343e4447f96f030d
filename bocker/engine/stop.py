"""`stop`: containers end, by the signal that their image or whoever ran them chose, then by force.

All of them are asked at once, so that ten that need ten seconds each take ten seconds.
"""

from __future__ import annotations

from bocker.core import lifecycle
from bocker.core.errors import BockerError, OperationFailed
from bocker.core.signals import parse_signal, signal_or_term
from bocker.core.value import Value
from bocker.engine import resolve, store
from bocker.engine.failures import Doing, operation_failed
from bocker.engine.relay import SIGKILL
from bocker.kernel.errors import KernelError, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.model import ContainerRecord
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

PATIENCE_S = 10
INTERVAL_S = 0.02
KILLED_WITHIN_S = 10


class Stopped(Value):
    """What became of one word: no error means that its container does not run."""

    reference: str
    error: BockerError | None = None


def stop(
    kernel: Kernel,
    settings: Settings,
    references: tuple[str, ...],
    patience_s: int | None = PATIENCE_S,
    signal: str | None = None,
) -> tuple[Stopped, ...]:
    """Stop containers; one that fails does not keep the others, and one that does not run is stopped.

    Each gets `signal`, or its own stop signal, and SIGKILL when it still runs after `patience_s` (None:
    never). Raise InvalidValue for no such signal, and what concerns all of them (HostNotReady,
    NewerStore, NotPrivileged).
    """
    number = None if signal is None else parse_signal(signal, "--signal")
    with Doing(kernel, settings, "Looking up what to stop"):
        store.check_format(kernel, settings)
        found = [_found(kernel, reference) for reference in references]
    running = {one.id: one for one in found if not isinstance(one, BockerError) and _runs(one)}
    errors = _end(kernel, running, number, patience_s)
    return tuple(
        Stopped(reference, one if isinstance(one, BockerError) else errors.get(one.id))
        for reference, one in zip(references, found, strict=True)
    )


def _found(kernel: Kernel, reference: str) -> ContainerRecord | BockerError:
    try:
        return resolve.container(kernel, reference)
    except BockerError as error:
        return error


def _runs(record: ContainerRecord) -> bool:
    return record.process is not None and record.state in lifecycle.UNFINISHED


def _end(
    kernel: Kernel, running: dict[str, ContainerRecord], number: int | None, patience_s: int | None
) -> dict[str, BockerError]:
    """Stop containers by their ids; return the errors of those that could not be."""
    errors: dict[str, BockerError] = {}
    for record in running.values():
        _tell(kernel, record, number or signal_or_term(record.stop_signal), errors)
    left = _wait(kernel, {key: one for key, one in running.items() if key not in errors}, patience_s, errors)
    for record in left.values():
        _tell(kernel, record, SIGKILL, errors)
    left = _wait(kernel, {key: one for key, one in left.items() if key not in errors}, KILLED_WITHIN_S, errors)
    return errors | {key: OperationFailed(f"Stopping {key}", "its supervisor does not end") for key in left}


def _tell(kernel: Kernel, record: ContainerRecord, number: int, errors: dict[str, BockerError]) -> None:
    """Send a signal to a container's first process."""
    assert record.process is not None
    try:
        kernel.processes.signal(record.process, number)
    except Missing:
        return  # it has ended by itself
    except KernelError as error:
        errors[record.id] = operation_failed(f"Stopping {record.id}", error)


def _wait(
    kernel: Kernel, running: dict[str, ContainerRecord], seconds: int | None, errors: dict[str, BockerError]
) -> dict[str, ContainerRecord]:
    """Wait until the ends of containers are written down; return those that still run."""
    rounds = 0
    while True:
        running = {key: one for key, one in running.items() if not _has_ended(kernel, one, errors)}
        if not running or (seconds is not None and rounds * INTERVAL_S >= seconds):
            return running
        kernel.ambient.sleep(INTERVAL_S)
        rounds += 1


def _has_ended(kernel: Kernel, record: ContainerRecord, errors: dict[str, BockerError]) -> bool:
    """Tell whether a container's end is written down; where nobody is left to do so, it is done here."""
    from bocker.engine.repair import reconcile

    try:
        current = reconcile(kernel, store.load_container(kernel, store.id_of(record)))
    except Missing:
        return True
    except BockerError as error:
        errors[record.id] = error
        return True
    except KernelError as error:
        errors[record.id] = operation_failed(f"Stopping {record.id}", error)
        return True
    return current is None or not _runs(current) or current.created_ns != record.created_ns

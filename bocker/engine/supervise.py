"""From the moment a container runs until its end is written down."""

from __future__ import annotations

from bocker.core import addresses, lifecycle
from bocker.core.limits import MEGABYTE
from bocker.engine import loglines, store
from bocker.engine.relay import SIGKILL, SIGNALLED, Relay, exit_code
from bocker.engine.undo import UndoStack
from bocker.kernel.errors import KernelError, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.model import ContainerRecord
    from bocker.engine.console import Console
    from bocker.kernel import Kernel
    from bocker.kernel.processes import Process


class Log:
    """The container's log. One that can't be written any more stops, and the program goes on."""

    __slots__ = ("console", "is_broken", "kernel", "key")

    def __init__(self, kernel: Kernel, container: str, console: Console) -> None:
        self.kernel = kernel
        self.key = store.log_key(container)
        self.console = console
        self.is_broken = False

    def keep(self, stream: int, data: bytes) -> None:
        """Add what the program wrote."""
        if self.is_broken:
            return
        try:
            self.kernel.records.append(self.key, loglines.encode(self.kernel.ambient.now_ns(), stream, data))
        except KernelError as error:
            self.is_broken = True
            self.console.notice(f"The log ends here, it could not be written: {error.errno_name}")


def supervise(kernel: Kernel, record: ContainerRecord, process: Process, console: Console) -> int:
    """Follow a container to its end, write that down, and return the exit code."""
    with UndoStack() as undo:
        undo.push(_lose, kernel, record)
        undo.push(kernel.processes.discard, process)
        ending = Relay(kernel, process, console, Log(kernel, record.id, console).keep).follow()
        undo.commit()
    code = exit_code(ending)
    oom_killed = _oom_kills(kernel, record.id) > 0
    if oom_killed and code == SIGNALLED + SIGKILL:
        console.notice(f"Killed: out of memory (limit {record.limits.memory_bytes / MEGABYTE:g} MB)")
    finish(kernel, record, code, oom_killed, console)
    return code


def finish(kernel: Kernel, record: ContainerRecord, code: int, oom_killed: bool, console: Console) -> None:
    """Write down how a running container ended and give up its group and its namespace's name.

    The link goes by itself with the namespace; deleting it would wait for the kernel (33 ms). What
    can't be done is said, and left to `cleanup`: the program did run, and its exit code counts.
    """
    state = lifecycle.after(record.id, record.state, lifecycle.EXIT)
    ended = record.replace(state=state, finished_ns=kernel.ambient.now_ns(), exit_code=code, oom_killed=oom_killed)
    if record.remove_on_exit:
        from bocker.engine.removal import destroy

        _attempt(console, destroy, kernel, store.id_of(record), record.name)
        return
    try:
        store.save_container(kernel, ended)
    except KernelError as error:  # Missing too: the store may be unmounted
        _tell(console, error)
    _attempt(console, kernel.namespaces.remove, addresses.namespace_of(store.id_of(record)))
    _attempt(console, kernel.cgroups.remove, record.id)


def _attempt(console: Console, step: Callable[..., object], *arguments: object) -> None:
    try:
        step(*arguments)
    except Missing:
        return
    except KernelError as error:
        _tell(console, error)


def _tell(console: Console, error: KernelError) -> None:
    from bocker.engine.failures import reason_of

    console.notice(f"The container's end could not be seen to: {reason_of(error)}; then run: bocker cleanup")


def _oom_kills(kernel: Kernel, group: str) -> int:
    try:
        return kernel.cgroups.usage(group).oom_kills
    except KernelError:
        return 0


def _lose(kernel: Kernel, record: ContainerRecord) -> None:
    from bocker.engine.burial import bury

    bury(kernel, record)

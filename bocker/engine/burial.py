"""What becomes of a container whose engine is gone: it is dead, and its group and name are given up."""

from __future__ import annotations

from bocker.core import addresses, lifecycle
from bocker.engine import store
from bocker.engine.relay import SIGKILL
from bocker.kernel.errors import Busy, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.model import ContainerRecord
    from bocker.kernel import Kernel

# Processes that were killed leave their group when they are reaped.
GROUP_EMPTIES_S = 0.02
GROUP_ROUNDS = 50


def is_orphan(kernel: Kernel, record: ContainerRecord) -> bool:
    """Tell whether the engine that follows a container is gone.

    Its lock may be held for a moment more: a child that it was just making has a copy, and is
    killed by the kernel a little later.
    """
    return record.supervisor is not None and not kernel.processes.alive(record.supervisor)


def bury(kernel: Kernel, record: ContainerRecord) -> ContainerRecord:
    """Write down that a container is dead and give up its group and name. The caller holds its lock.

    What can't be done now (a read-only disk) is left to `cleanup`: dead it is in any case.
    """
    if record.process is not None:
        _quietly(kernel.processes.signal, record.process, SIGKILL)
    dead = lost(kernel, record)
    _quietly(store.save_container, kernel, dead)
    _quietly(kernel.namespaces.remove, addresses.namespace_of(store.id_of(record)))
    _quietly(_remove_group, kernel, record.id)
    return dead


def lost(kernel: Kernel, record: ContainerRecord) -> ContainerRecord:
    """Return the record of a container whose engine is gone."""
    state = lifecycle.after(record.id, record.state, lifecycle.LOSE)
    return record.replace(state=state, finished_ns=kernel.ambient.now_ns())


def _remove_group(kernel: Kernel, name: str) -> None:
    """Remove a group whose processes have just been killed."""
    for _ in range(GROUP_ROUNDS):
        try:
            return kernel.cgroups.remove(name)
        except Busy:
            kernel.ambient.sleep(GROUP_EMPTIES_S)
    return kernel.cgroups.remove(name)


def _quietly(step: Callable[..., object], *arguments: object) -> None:
    try:
        step(*arguments)
    except KernelError:
        return

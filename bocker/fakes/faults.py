"""Gates around the world, and the faults that they can make.

The fault model
---------------
A command is a row of calls on the ports, counted from 1. Three things can go wrong at call k:

- `RefuseCall(k, errno)`: the kernel refuses; nothing was done. A refused `processes.release` is a
  child that failed at one of its steps: it is reaped, as the port says. A refused `http.wait` is a
  transfer that failed: it is told by `Failed`, as the port says.
- `DoButReportFailure(k, errno)`: it was done, and the answer says that it failed: an
  acknowledgement that was lost, an error in writing back. Operations that are one system call
  whose answer can't be lost are not in this table, such as taking a lock or reading.
- `CrashAt(k)`: the program is killed before call k. `Crashed` is raised there and at every later
  call of that kernel, so nothing runs any more, undo included. The kernel lets go of its locks and
  kills its children.

One fault happens once in a command. The errno is one that the operation can really give: `REFUSALS`
and `LOST_ANSWERS` list them by operation, and `faults_of` gives a sweep all that a recorded command
can meet. Operations without a row can't fail on a host that works at all.

Not in the model: two faults in one command, power loss, a kernel that lies in what it answers.
"""

# ruff: noqa: D102 - Gate says what `around` does

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import TypeVar

import attrs

from bocker.core import spec as plan
from bocker.fakes.errors import Crashed, Refused

T = TypeVar("T")

_WRITING = (errno.ENOSPC, errno.EROFS, errno.EACCES)
_NETLINK = (errno.EPERM, errno.ENOMEM)

REFUSALS: dict[str, tuple[int, ...]] = {
    "storage.create": (errno.EEXIST, *_WRITING),
    "storage.snapshot": (errno.EEXIST, errno.ENOENT, *_WRITING),
    "storage.delete": (errno.ENOENT, errno.ENOTEMPTY, errno.EROFS, errno.EPERM),
    "storage.publish": (errno.EEXIST, errno.ENOENT, errno.EROFS),
    "storage.exchange": (errno.ENOENT, errno.EROFS),
    "storage.describe": (errno.ENOENT, errno.EINVAL),
    "storage.names": (errno.ENOENT, errno.EACCES),
    "storage.nested": (errno.ENOENT,),
    "storage.size_bytes": (errno.ENOENT, errno.EINVAL),
    "storage.sync": (errno.EIO,),
    "records.claim": (errno.EEXIST, *_WRITING),
    "records.write": _WRITING,
    "records.append": _WRITING,
    "records.read": (errno.ENOENT, errno.EACCES),
    "records.remove": (errno.ENOENT, errno.EROFS),
    "records.list": (errno.EACCES,),
    "records.lock": (errno.EAGAIN, *_WRITING),
    "network.create_bridge": (errno.EEXIST, *_NETLINK),
    "network.create_veth": (errno.EEXIST, errno.ENODEV, *_NETLINK),
    "network.delete": (errno.ENODEV, errno.EPERM),
    "network.set_up": (errno.ENODEV, errno.EPERM),
    "network.move": (errno.EEXIST, errno.ENODEV, errno.EPERM),
    "network.add_address": (errno.EEXIST, errno.ENODEV, *_NETLINK),
    "network.add_default_route": (errno.EEXIST, errno.ENETUNREACH, *_NETLINK),
    "network.link": (errno.ENODEV,),
    "namespaces.create": (errno.EEXIST, errno.ENOSPC, errno.EPERM),
    "namespaces.link": (errno.EEXIST, errno.ENOENT, errno.EACCES),
    "namespaces.remove": (errno.ENOENT, errno.EPERM),
    "firewall.ensure_masquerade": (errno.EOPNOTSUPP, errno.EPERM),
    "firewall.remove": (errno.EOPNOTSUPP, errno.EPERM),
    "cgroups.create": (errno.EEXIST, errno.EACCES, errno.ENOSPC),
    "cgroups.limit": (errno.ENOENT, errno.EBUSY, errno.EINVAL),
    "cgroups.add": (errno.ENOENT, errno.ESRCH),
    "cgroups.usage": (errno.ENOENT,),
    "cgroups.members": (errno.ENOENT,),
    "cgroups.remove": (errno.ENOENT, errno.EBUSY),
    "cgroups.remove_parent": (errno.EBUSY,),
    "processes.create": (errno.EAGAIN, errno.ENOMEM),
    "processes.enter": (errno.ESRCH,),
    "processes.release": (errno.ENOENT, errno.EACCES, errno.EEXIST),
    "processes.signal": (errno.ESRCH,),
    "host.make_filesystem": (errno.EEXIST, errno.ENOSPC),
    "host.mount_image": (errno.ENOENT, errno.EINVAL, errno.EPERM),
    "host.restrict": (errno.EPERM,),
    "host.protect": (errno.ENOENT, errno.EBUSY, errno.EPERM),
    "host.unmount": (errno.EBUSY, errno.EINVAL),
    "host.delete": (errno.ENOENT, errno.EACCES),
    "host.copy_tree": (errno.ENOENT, errno.ENOSPC, errno.EACCES),
    "host.read": (errno.ENOENT, errno.EACCES),
    "host.read_sysctl": (errno.ENOENT,),
    "host.write_sysctl": (errno.ENOENT, errno.EACCES),
    "archives.unpack": (errno.ENOENT, errno.EINVAL, errno.ENOSPC, errno.EFBIG),
    "archives.pack": (errno.ENOENT, errno.EINVAL, *_WRITING),
    "archives.spill": (errno.ENOENT, errno.EINVAL, errno.ENOSPC, errno.EFBIG),
    "archives.bundle": (errno.ENOENT, *_WRITING),
    "http.ask": (errno.ECONNREFUSED, errno.EHOSTUNREACH),
    "http.wait": (errno.ECONNRESET, errno.ENOSPC),
    "blobs.draft": _WRITING,
    "blobs.keep": (errno.ENOENT, errno.EIO, *_WRITING),
    "blobs.add": (errno.EIO, *_WRITING),
    "blobs.read": (errno.ENOENT, errno.EACCES, errno.EFBIG),
    "blobs.list": (errno.EACCES,),
    "blobs.drafts": (errno.EACCES,),
    "blobs.remove": (errno.ENOENT, errno.EROFS),
    "blobs.discard": (errno.EROFS, errno.EACCES),
}

LOST_ANSWERS: dict[str, tuple[int, ...]] = {
    "storage.create": (errno.EIO,),
    "storage.snapshot": (errno.EIO,),
    "storage.delete": (errno.EIO,),
    "storage.publish": (errno.EIO,),
    "storage.exchange": (errno.EIO,),
    "records.claim": (errno.EIO,),
    "records.write": (errno.EIO,),
    "records.append": (errno.EIO,),
    "records.remove": (errno.EIO,),
    "network.create_bridge": (errno.ENOBUFS,),
    "network.create_veth": (errno.ENOBUFS,),
    "network.delete": (errno.ENOBUFS,),
    "network.set_up": (errno.ENOBUFS,),
    "network.move": (errno.ENOBUFS,),
    "network.add_address": (errno.ENOBUFS,),
    "network.add_default_route": (errno.ENOBUFS,),
    "namespaces.create": (errno.EIO,),
    "namespaces.remove": (errno.EBUSY,),
    "firewall.ensure_masquerade": (errno.EIO,),
    "firewall.remove": (errno.EIO,),
    "cgroups.create": (errno.ENOMEM,),
    "cgroups.limit": (errno.EBUSY,),
    "cgroups.remove": (errno.EBUSY,),
    "processes.release": (errno.EIO,),
    "host.make_filesystem": (errno.EIO,),
    "host.mount_image": (errno.EIO,),
    "host.copy_tree": (errno.EIO,),
    "archives.unpack": (errno.EIO,),
    "archives.pack": (errno.EIO,),
    "archives.spill": (errno.EIO,),
    "archives.bundle": (errno.EIO,),
    "http.ask": (errno.ECONNRESET,),
    "blobs.draft": (errno.EIO,),
    "blobs.keep": (errno.EIO,),
    "blobs.add": (errno.EIO,),
    "blobs.remove": (errno.EIO,),
    "blobs.discard": (errno.EIO,),
}

# The step at which a child fails that is refused.
STEPS = {"processes.create": plan.STEP_CLONE, "processes.release": plan.STEP_MOUNTS}


@attrs.frozen
class Call:
    """A call on a port: of which program, which operation (`port.method`), about what."""

    program: int
    operation: str
    subject: str


class Gate:
    """Lets every call through; the base of the others."""

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        """Decide on a call: `act` does it, `refuse` does what the kernel does when it refuses."""
        return act()


class Recorder(Gate):
    """Lets every call through and keeps the list, so that a sweep can go through it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        self.calls.append(call)
        return act()


class _AtCall(Gate):
    """Does something at call `number`, counted from 1; `met` is that call once it came."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.met: Call | None = None

    def _is_now(self, call: Call) -> bool:
        self.count += 1
        if self.count == self.number:
            self.met = call
        return self.count == self.number


class RefuseCall(_AtCall):
    """Refuses call `number` with `errno`; the rest go through."""

    def __init__(self, number: int, errno: int) -> None:
        super().__init__(number)
        self.errno = errno

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        if not self._is_now(call):
            return act()
        refuse()
        raise Refused(self.errno, "fault", STEPS.get(call.operation))


class DoButReportFailure(_AtCall):
    """Does call `number`, then reports `errno`; the rest go through."""

    def __init__(self, number: int, errno: int) -> None:
        super().__init__(number)
        self.errno = errno

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        is_now = self._is_now(call)
        outcome = act()
        if not is_now:
            return outcome
        refuse()
        raise Refused(self.errno, "fault", STEPS.get(call.operation))


class CrashAt(_AtCall):
    """Kills the program before call `number`; every later call of the kernel raises `Crashed` too."""

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        if self._is_now(call):
            raise Crashed(f"{call.operation} {call.subject}")
        return act()


def faults_of(calls: list[Call]) -> Iterator[Gate]:
    """Give every fault that a command which made these calls can meet, each as a gate of its own."""
    for number, call in enumerate(calls, 1):
        operation = _of_records(call.operation)
        for refused in REFUSALS.get(operation, ()):
            yield RefuseCall(number, refused)
        for lost in LOST_ANSWERS.get(operation, ()):
            yield DoButReportFailure(number, lost)
        yield CrashAt(number)


def _of_records(operation: str) -> str:
    """`state` is a second port of the same class as `records`."""
    return operation.replace("state.", "records.", 1) if operation.startswith("state.") else operation

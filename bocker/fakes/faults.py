"""Gates around the world, and the faults that they can make.

The fault model
---------------
A command is a row of calls on the ports, counted from 1. What can go wrong at call k:

- `RefuseCall(k, errno)`: the kernel refuses; nothing was done. A refused `processes.release` is a
  child that failed at one of its steps: it is reaped, as the port says. A refused `http.wait` is a
  transfer that failed: it is told by `Failed`, as the port says.
- `DoButReportFailure(k, errno)`: it was done, and the answer says that it failed: an
  acknowledgement that was lost, an error in writing back. Operations that are one system call
  whose answer can't be lost are not in this table, such as taking a lock or reading.
- `CrashAt(k)`: the program is killed before call k. `Crashed` is raised there and at every later
  call of that kernel, so nothing runs any more, undo included. The kernel lets go of its locks and
  kills its children.
- The program is killed after call k, or in the midst of it: `Moments` keeps the machine as it is
  at each of these instants, so that one run of a command gives all of its crashes. In the midst of
  a call something can be seen only of the operations in `HALF_WAY`, which write many files or
  directories one after the other. The rest are one step of the kernel's, or write aside and rename;
  deleting a subvolume with others in it is a call for each.
- Power fails (`World.lose_power`): the programs are gone, and `/run` and `/tmp`, and of what lies
  on disk whatever was not synced is as it was before, or, where the file system had just written
  its names and not yet their contents, there and empty (`names`).

The errno is one that the operation can really give: `REFUSALS` and `LOST_ANSWERS` list them by
operation, and `faults_of` gives a sweep all that a recorded command can meet. Operations without a
row can't fail on a host that works at all. A kill and a power failure may meet the command that
cleans up after another one, and so on; of the others one happens once in a command.

What "survived" means
---------------------
Complete: a command whose program was killed, or whose host lost power, has happened as a whole or
not at all, as soon as `cleanup` was called; what removes several things has removed some of them.
True: what a command reported as made or changed is there, with its content and its names, after a
power failure too; what it reported as removed is gone, or after a power failure whole as before. A
container that ended is no promise to the disk. Every command that comes after a crash, before
`cleanup` or later, does what it would have done had the other one happened or not, or says why not;
and `cleanup` done twice does nothing the second time.

Not in the model: a kernel that lies in what it answers, a disk that loses what it said was written.
"""

# ruff: noqa: D102 - Gate says what `around` does

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import attrs

from bocker.core import spec as plan
from bocker.fakes.errors import Crashed, Refused
from bocker.fakes.state import FILE, Entry, GroupRow, State, with_row, without

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

# What is seen half done when the program is killed in the midst of it: files of trees, the body of a
# download, a group in some of the hierarchies.
HALF_WAY = frozenset(
    {
        "host.copy_tree",
        "archives.unpack",
        "archives.pack",
        "archives.spill",
        "http.wait",
        "cgroups.create",
        "cgroups.remove",
    }
)

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


class Meanwhile(_AtCall):
    """Lets somebody else act right before call `number`; all calls go through."""

    def __init__(self, number: int, intrude: Callable[[], object]) -> None:
        super().__init__(number)
        self._intrude = intrude

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        if self._is_now(call):
            self._intrude()
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


@attrs.frozen
class Moment:
    """The machine at an instant at which a program can be killed: `place` is "before", "within" or "after" a call."""

    number: int
    call: Call
    place: str
    state: State


class Moments(Gate):
    """Lets every call through, and keeps the machine as it was before and after each. `look` shows it."""

    def __init__(self, look: Callable[[], State]) -> None:
        self._look = look
        self.calls: list[tuple[Call, State, State]] = []

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        before = self._look()
        self.calls.append((call, before, before))
        number = len(self.calls)
        try:
            return act()
        finally:
            self.calls[number - 1] = (call, before, self._look())

    def all(self) -> Iterator[Moment]:
        """Give every instant, those too at which nothing had changed since the one before."""
        for number, (call, before, after) in enumerate(self.calls, 1):
            yield Moment(number, call, "before", before)
            if _of_records(call.operation) in HALF_WAY:
                # A transfer goes forward after the gate let its program wait.
                done = self.calls[number][1] if number < len(self.calls) else after
                whole = call.operation == "archives.spill"
                yield Moment(number, call, "within", half_way(before, done, whole))
            yield Moment(number, call, "after", after)


def half_way(before: State, after: State, whole: bool = False) -> State:
    """Return a machine on which half of what an operation of `HALF_WAY` does was done. whole: no file is half there."""
    state = attrs.evolve(before, clock_ns=after.clock_ns, serial=after.serial, unsynced=after.unsynced)
    for number, row in after.subvolumes.items():
        there = before.subvolumes.get(number)
        if there is not None and there.files != row.files:
            tree = _half_of_tree(dict(there.files), row.files, whole)
            state = attrs.evolve(state, subvolumes=with_row(state.subvolumes, number, attrs.evolve(there, files=tree)))
    for number in before.groups.keys() ^ after.groups.keys():
        state = _with_half_group(state, before.groups.get(number) or after.groups[number])
    return state


def _with_half_group(state: State, group: GroupRow) -> State:
    parts = frozenset(sorted(group.parts)[: len(group.parts) // 2])
    groups = without(state.groups, group.id)
    if parts:
        groups[group.id] = attrs.evolve(group, parts=parts)
    return attrs.evolve(state, groups=groups, parents=state.parents | {group.parent})


def _half_of_tree(tree: dict[str, Entry], after: Mapping[str, Entry], whole: bool) -> dict[str, Entry]:
    """Change the first half of what differs, by the order of paths; the file in the middle has half of its content."""
    changed = sorted(path for path in tree.keys() | after.keys() if tree.get(path) != after.get(path))
    middle = (len(changed) - 1) // 2
    for number, path in enumerate(changed[: middle + 1]):
        entry = after.get(path)
        if entry is None:
            tree = {other: kept for other, kept in tree.items() if other != path and not other.startswith(f"{path}/")}
        elif number == middle and entry.kind == FILE and not whole:
            tree[path] = attrs.evolve(entry, content=entry.content[: len(entry.content) // 2])
        else:
            tree[path] = entry
    return tree

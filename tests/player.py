"""What the steps of a random program do on a kernel, and their answers as text.

The text is the same on equal kernels: nothing that only the machine knows is in it. Processes are called by
labels, and the last one that was made under a label is meant.

This module is read by the small program that runs on Linux (`tests/system/replay.py`): it must import little.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

from bocker.core.addresses import Interface, parse_interface
from bocker.core.model import ProcessIdentity
from bocker.core.settings import Settings
from bocker.core.spec import ContainerSpec, ExecSpec, NetworkSpec
from bocker.core.value import Value
from bocker.kernel import Kernel
from bocker.kernel.errors import KernelError, StepFailed
from bocker.kernel.network import Link
from bocker.kernel.processes import Output, Process
from bocker.kernel.storage import Subvolume
from tests.contracts.specs import DEVICES, MOUNTS, program

GATEWAY = parse_interface("10.0.0.1/24")
BRIDGE_MAC = "02:42:0a:00:00:01"
CONTAINERS = ("ps_42002", "ps_42003")
MEMBERS = ("member_a", "member_b")
MACS = {"ps_42002": "02:42:ac:11:00:02", "ps_42003": "02:42:ac:11:00:03"}
LATER, OTHER_BOOT = "later", "other boot"  # wrong in one part of an identity
MOMENT_S = 0.01  # how long an event is waited for, when all is at rest anyway
ANY_WORLD = ""  # in the place of one that is not compared
NOBODY = "nobody has that label"
COMPLAINT = re.compile(rb"(/bin/)?probe: .*")  # whose words are the shell's

Call = tuple[str, tuple[Any, ...]]  # an operation, and its arguments


def container(name: str, words: tuple[str, ...], changes: tuple[tuple[str, Any], ...] = ()) -> ContainerSpec:
    """Plan a container; its changes are those of the plan, of its network or of its program."""
    number = int(name[-2:])
    network = NetworkSpec(
        bridge="bridge0",
        host_link=f"veth0_{name}",
        interface="eth0",
        alias=f"veth1_{name}",
        mac=MACS[name],
        address=GATEWAY.subnet.network + number,
        prefix_length=GATEWAY.prefix_length,
        gateway=GATEWAY.address,
    )
    plan = ContainerSpec(
        name=name,
        root=f"{Settings().store}/{name}",
        hostname=name,
        process=program(*words),
        network=network,
        group=name,
        mounts=MOUNTS,
        devices=DEVICES,
    )
    for field, value in changes:
        if field in plan.network.fields():
            plan = plan.replace(network=plan.network.replace(**{field: value}))
        elif field in plan.process.fields():
            plan = plan.replace(process=plan.process.replace(**{field: value}))
        else:
            plan = plan.replace(**{field: value})
    return plan


def make_blobs_directory(kernel: Kernel) -> None:
    """Let there be a place for archives from the start."""
    kernel.blobs.add("0" * 64, b"")
    kernel.blobs.remove("0" * 64)


class Player:
    """One program on one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.processes: dict[str, Process] = {}
        self.all: tuple[Process, ...] = ()
        self.made: dict[int, tuple[str, str]] = {}  # by pid: the name of its container, and what it is there
        self.uuids: dict[str, int] = {}
        self.locks: tuple[AbstractContextManager[None], ...] = ()

    def copy(self) -> Player:
        """Return another one that has seen the same."""
        other = Player(self.kernel)
        other.processes, other.made, other.uuids = dict(self.processes), dict(self.made), dict(self.uuids)
        other.locks, other.all = self.locks, self.all
        return other

    def play(self, call: Call) -> str:
        """Do a step; return what the kernel answers."""
        operation, arguments = call
        own = getattr(self, operation.replace(".", "_"), None)
        try:
            if own is not None:
                return own(*arguments)
            port, method = operation.split(".")
            return self.text(getattr(getattr(self.kernel, port), method)(*arguments))
        except StepFailed as error:
            return f"StepFailed {error.errno_name} at: {error.step}"
        except KernelError as error:
            return f"{type(error).__name__} {error.errno_name}"

    def end(self) -> None:
        """Let go of everything."""
        while self.locks:
            self.records_let_go()
        for process in reversed(self.all):  # members first: a container ends when all in it are reaped
            self.kernel.processes.discard(process)

    def records_lock(self, name: str, wait: bool, shared: bool) -> str:
        """Take a lock and keep it."""
        self.locks = (*self.locks, self.kernel.records.lock(name, wait, shared))
        return "held"

    def records_let_go(self) -> str:
        """Give up the lock that was taken first."""
        if not self.locks:
            return "none"
        first, *rest = self.locks
        self.locks = tuple(rest)
        first.__exit__(None, None, None)
        return "let go"

    def archives_pack(self, tree: str, base: str | None, archive: str, compression: str) -> str:
        """Put something else in the place of what was packed: it holds times that nobody chose."""
        self.kernel.archives.pack(tree, base, archive, compression)
        digest = archive.rpartition("/")[2]
        self.kernel.blobs.remove(digest)
        self.kernel.blobs.add(digest, b"packed")
        return "packed"

    def storage_size_bytes(self, name: str, since: str | None) -> str:
        """Only whether it answers: what is allocated is the file system's affair."""
        self.kernel.storage.size_bytes(name, since)
        return "a size"

    def processes_create(self, name: str, words: tuple[str, ...], changes: tuple[tuple[str, Any], ...] = ()) -> str:
        """Make the first process of a container."""
        return self._made(name, name, "first", self.kernel.processes.create(container(name, words, changes)))

    def processes_enter(self, label: str, target: str, words: tuple[str, ...], group: str, odd: str = "") -> str:
        """Make a member of a container."""
        if target not in self.processes:
            return NOBODY
        spec = ExecSpec(label, group, program(*words))
        process = self.kernel.processes.enter(self._identity(target, odd), spec)
        return self._made(label, self.made[self.processes[target].identity.pid][0], "member", process)

    def _made(self, label: str, container: str, role: str, process: Process) -> str:
        self.processes[label] = process
        self.all = (*self.all, process)
        self.made[process.identity.pid] = (container, role)
        return "made"

    def processes_release(self, label: str) -> str:
        """Let a process run its program."""
        return self._with(label, lambda process: str(self.kernel.processes.release(process)))

    def processes_next_event(self, label: str) -> str:
        """Return all output up to the next event that is none: how it is cut is the pipe's affair."""
        return self._with(label, self._next_event)

    def _next_event(self, process: Process) -> str:
        outputs = {1: b"", 2: b""}
        while isinstance(event := self.kernel.processes.next_event(process, MOMENT_S), Output):
            outputs[event.stream] += event.data
        complaints = COMPLAINT.sub(b"a complaint", outputs[2])
        return f"{outputs[1]!r} {complaints!r} {event}"

    def processes_close_output(self, label: str, stream: int) -> str:
        """Stop reading a stream."""
        return self._with(label, lambda process: str(self.kernel.processes.close_output(process, stream)))

    def processes_discard(self, label: str) -> str:
        """Kill and reap."""
        return self._with(label, lambda process: str(self.kernel.processes.discard(process)))

    def processes_signal(self, label: str, number: int, odd: str = "") -> str:
        """Send a signal."""
        if label not in self.processes:
            return NOBODY
        return str(self.kernel.processes.signal(self._identity(label, odd), number))

    def processes_alive(self, label: str, odd: str = "") -> str:
        """Ask whether one runs."""
        if label not in self.processes:
            return NOBODY
        return str(self.kernel.processes.alive(self._identity(label, odd)))

    def processes_myself(self) -> str:
        """Ask who asks."""
        return str(self.kernel.processes.alive(self.kernel.processes.myself()))

    def namespaces_link(self, name: str, label: str) -> str:
        """Give the network of a process a name."""
        return self._with(label, lambda process: str(self.kernel.namespaces.link(name, process.identity.pid)))

    def cgroups_add(self, name: str, label: str) -> str:
        """Put a process into a group."""
        return self._with(label, lambda process: str(self.kernel.cgroups.add(name, process.identity.pid)))

    def cgroups_members(self, name: str) -> str:
        """Return who is in a group."""
        return str(sorted(" ".join(self.made.get(pid, ("a child",))) for pid in self.kernel.cgroups.members(name)))

    def cgroups_usage(self, name: str) -> str:
        """Leave the memory out: what a real program takes is its own affair."""
        return str(self.kernel.cgroups.usage(name).replace(memory_bytes=0))

    def ambient_now_ns(self) -> str:
        """Only whether time goes on."""
        before = self.kernel.ambient.now_ns()
        return str(self.kernel.ambient.now_ns() >= before)

    def ambient_boot_id(self) -> str:
        """Only whether it stays."""
        return str(self.kernel.ambient.boot_id() == self.kernel.ambient.boot_id())

    def host_mount_at(self, target: str) -> str:
        """Leave the device out."""
        mount = self.kernel.host.mount_at(target)
        return str(mount and (mount.target, mount.kind, sorted(set(mount.flags) - {"rw", "relatime"})))

    def _identity(self, label: str, odd: str) -> ProcessIdentity:
        identity = self.processes[label].identity
        if odd == LATER:
            return identity.replace(start_ticks=identity.start_ticks + 1)
        return identity.replace(boot_id=odd) if odd else identity

    def _with(self, label: str, act: Any) -> str:
        return str(act(self.processes[label])) if label in self.processes else NOBODY

    def text(self, value: object) -> str:
        """Return a value without UUIDs, indices, and MACs that nobody chose."""
        if isinstance(value, Subvolume):
            own, parent = self._number(value.uuid), self._number(value.parent_uuid)
            return f"{value.name} is {own} of {parent}{' read-only' if value.read_only else ''}"
        if isinstance(value, Link):
            mac = value.mac if value.mac in (*MACS.values(), BRIDGE_MAC) else "some MAC"
            return str(value.replace(index=0, mac=mac))
        if isinstance(value, tuple) and not isinstance(value, Value):
            return f"({', '.join(self.text(item) for item in value)})"
        return str(value) if isinstance(value, Interface) else repr(value)

    def _number(self, uuid: str | None) -> str:
        return "nothing" if uuid is None else f"#{self.uuids.setdefault(uuid, len(self.uuids))}"

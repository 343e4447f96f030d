"""The world: one state, one way to change it, and the hands of a test.

    world = World().prepare(Settings())
    kernel = world.kernel(Settings())

Each kernel is a program of its own on the same machine: it has its pid, its locks, its children.
What is not modelled raises `NotModelled`; the fake never answers success to what it doesn't know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import attrs

from bocker.core.settings import Settings
from bocker.fakes import dump, files, images, invariants, laws, power, programs, wire
from bocker.fakes.accounts import Helper
from bocker.fakes.errors import Crashed, NotModelled, Refused
from bocker.fakes.faults import Call, Gate
from bocker.fakes.kernel import FakeKernel
from bocker.fakes.servers import Server, origin
from bocker.fakes.state import (
    HOST,
    Entry,
    GroupRow,
    MountRow,
    NetworkRow,
    Place,
    ProcessRow,
    State,
    TableRow,
    new_id,
    put_group,
    put_process,
    with_row,
)
from bocker.kernel.errors import KernelError, StepFailed, kernel_error

T = TypeVar("T")
Step = Callable[[State], tuple[State, T | Refused]]
Action = Callable[[], object]

CALL_NS = 20_000  # what a call takes
SECOND_NS = 1_000_000_000


@attrs.frozen
class JournalEntry:
    """One call and how it ended: `ok`, `crashed`, or the error's class and errno."""

    call: Call
    outcome: str


class World:
    """A machine in memory.

    cgroup_version: 1, 2, or 0 for none. swap: whether it is accounted with memory. hierarchies: those
    of version 1, each by the controllers that it joins.
    """

    def __init__(
        self,
        cgroup_version: int = 1,
        swap: bool = True,
        processors: int = 2,
        privileged: bool = True,
        hierarchies: tuple[str, ...] = ("cpu", "memory", "pids", "devices"),
    ) -> None:
        self.cgroup_version = cgroup_version
        self.swap = swap
        self.processors = processors
        self.privileged = privileged
        self.hierarchies = hierarchies
        self.kernel_version = (6, 18)
        self.firewall = True
        self.bytes_per_s = 100 << 20  # of each wire to a server
        self.servers: dict[tuple[str, int], Server] = {}
        self.helpers: dict[str, Helper | None] = {}  # by program; None: a file that can't be executed
        self.state = _booted(images.bare_host(State()))
        self.journal: list[JournalEntry] = []
        self.kernels: list[FakeKernel] = []
        self._scheduled: list[tuple[int, int, Action]] = []
        self._actions = 0

    def kernel(self, settings: Settings | None = None, gate: Gate | None = None) -> FakeKernel:
        """Start a program on this machine and return the kernel as it sees it."""
        pid = self.change("world.start_program", "", _start_program).last_pid
        self.kernels.append(FakeKernel(self, settings or Settings(), pid, gate or Gate()))
        return self.kernels[-1]

    def apply(
        self,
        operation: str,
        subject: str,
        step: Step[T],
        kernel: FakeKernel | None = None,
        on_refusal: Callable[[State], State] | None = None,
    ) -> T:
        """The only mutation: ask the gate, compute the next state, check it, swap, write it down.

        A step that raises changes nothing. `on_refusal` is what the kernel does when it refuses.
        """
        call = Call(0 if kernel is None else kernel.pid, operation, subject)
        gate = Gate() if kernel is None else kernel.gate
        try:
            outcome = gate.around(call, lambda: self._swap(step), lambda: self._swap_refused(on_refusal))
        except Refused as refused:
            error = _translated(call, refused)
            self._write_down(call, f"{type(error).__name__} {error.errno_name}")
            raise error from None
        except Crashed:
            self._write_down(call, "crashed")
            if kernel is not None:
                self.kill_program(kernel)
            raise
        self._write_down(call, "ok")
        return outcome

    def _swap(self, step: Step[T]) -> T:
        before = self.state
        after, outcome = step(programs.pass_time(before, before.clock_ns + CALL_NS))
        invariants.check(before, after)
        self.state = after
        if isinstance(outcome, Refused):
            raise outcome
        return outcome

    def _swap_refused(self, on_refusal: Callable[[State], State] | None) -> None:
        if on_refusal is not None:
            self._swap(lambda state: (on_refusal(state), None))

    def _write_down(self, call: Call, outcome: str) -> None:
        self.journal.append(JournalEntry(call, outcome))

    def change(self, operation: str, subject: str, step: Callable[[State], State]) -> State:
        """Apply a step of the test's own, which no gate is asked about; return the new state."""
        return self.apply(operation, subject, lambda state: (step(state), None)) or self.state

    def wait(self, until_ns: int | None) -> bool:
        """Let time pass until something happens, at most until `until_ns`; tell whether something did."""
        due = [moment for moment in (laws.next_due_ns(self.state), self._next_action_ns()) if moment is not None]
        if until_ns is None and not due:
            raise NotModelled("waiting for what never happens")
        moment = min([*due, *([] if until_ns is None else [until_ns])])
        self.change("world.pass_time", "", lambda state: programs.pass_time(state, moment))
        self._act()
        return until_ns is None or moment < until_ns

    def sleep(self, seconds: float) -> None:
        """Let time pass: what the kernel, the processes and the schedule do by themselves goes on."""
        until_ns = self.state.clock_ns + int(seconds * SECOND_NS)
        while self.wait(until_ns):
            pass

    def settle(self) -> None:
        """Let the kernel end what it is ending: network namespaces that nothing holds."""
        self.sleep(2 * laws.NETWORK_END_NS / SECOND_NS)

    def schedule(self, after_s: float, action: Action) -> None:
        """Do something when time has come that far, while a program sleeps or waits for an event:
        what a person does in another terminal."""
        self._actions += 1
        self._scheduled.append((self.state.clock_ns + int(after_s * SECOND_NS), self._actions, action))
        self._scheduled.sort(key=lambda row: row[:2])

    def _next_action_ns(self) -> int | None:
        return self._scheduled[0][0] if self._scheduled else None

    def _act(self) -> None:
        while self._scheduled and self._scheduled[0][0] <= self.state.clock_ns:
            _, _, action = self._scheduled.pop(0)
            action()

    def interrupt(self, kernel: FakeKernel, number: int, after_s: float = 0.0) -> None:
        """Send a signal to a program of the host, now or later; it meets it as an event."""
        if after_s:
            self.schedule(after_s, lambda: self.interrupt(kernel, number))
            return
        self.change("world.interrupt", str(number), lambda state: _interrupted(state, kernel.pid, number))

    def kill_program(self, kernel: FakeKernel) -> None:
        """Kill a program: its locks are let go, its children die, and it calls nothing any more."""
        kernel.dead = True
        self.change("world.kill_program", str(kernel.pid), lambda state: laws.parent_ends(state, kernel.pid))

    def reboot(self) -> None:
        """Start the machine again: only what is on its file systems is left."""
        for kernel in self.kernels:
            kernel.dead = True
        self.kernels.clear()
        self._scheduled.clear()
        self.change("world.reboot", "", _booted)

    def lose_power(self, names: bool = False) -> None:
        """Start the machine again with what was on disk; `names` as `power.failed` has it."""
        self.change("world.lose_power", "", lambda state: power.failed(state, names))
        self.reboot()

    def sync(self) -> None:
        """Let all that was written be on disk, as the kernel does by itself after a while."""
        self.change("world.sync", "", lambda state: attrs.evolve(state, unsynced={}, deleted={}))

    def rewind(self, state: State) -> None:
        """Go back to an earlier `state`: programs started since are dead, what was scheduled is forgotten
        and the journal is empty. Servers keep what they were told."""
        self.state = state
        for kernel in [one for one in self.kernels if one.pid not in state.processes]:
            kernel.dead = True
            self.kernels.remove(kernel)
        self._scheduled.clear()
        self.journal.clear()

    @property
    def standard_input(self) -> bytes:
        """What the programs of this machine are given to read, where a container asks for it."""
        return self.state.standard_input

    @standard_input.setter
    def standard_input(self, data: bytes) -> None:
        self.change("world.standard_input", "", lambda state: attrs.evolve(state, standard_input=data))

    @property
    def standard_output(self) -> bytes:
        """What this machine's programs wrote to their standard output through the kernel: an archive."""
        return self.state.standard_output

    def prepare(self, settings: Settings | None = None) -> World:
        """Set the host up as `bocker setup` would, or a person who follows the original's README."""
        settings = settings or Settings()
        self.change("world.prepare", settings.store, lambda state: images.prepared(state, settings))
        return self

    def add_files(self, path: str, entries: Mapping[str, Entry]) -> None:
        """Put a tree of entries (by relative path, `""` the top) at a path of the host."""
        self.change("world.add_files", path, lambda state: images.with_files(state, path, entries))

    def add_root_filesystem(self, path: str, extra: Mapping[str, Entry] | None = None) -> None:
        """Put a small root file system with the probe program at a path of the host."""
        self.add_files(path, {**images.root_filesystem(), **(extra or {})})

    def remove(self, path: str) -> None:
        """Take a path of the host away, and all below it."""
        self.change("world.remove", path, lambda state: files.drop_entry(state, _place(state, path)))

    def entry(self, path: str, follow: bool = False) -> Entry | None:
        """Return what is at a path of the host, None when nothing is."""
        try:
            return files.entry_at(self.state, files.locate(self.state, path, follow=follow).place)
        except Refused:
            return None

    def tree(self, path: str) -> dict[str, Entry]:
        """Return all that is below a path of the host by relative path, `""` the path itself."""
        return images.tree_at(self.state, files.existing(self.state, path)[0].place)

    def read_file(self, path: str) -> bytes:
        """Return the content of a file of the host."""
        return files.read_file(self.state, path)

    def write_file(self, path: str, content: bytes) -> None:
        """Create or replace a file of the host."""
        self.change("world.write_file", path, lambda state: files.write_file(state, path, content))

    def serve(self, server: Server, *addresses: str) -> None:
        """Let a server answer at these addresses, each `http://HOST[:PORT]` or `https://HOST[:PORT]`."""
        self.servers.update((origin(urlsplit(address)), server) for address in addresses)

    def set_free_bytes(self, path: str, free_bytes: int | None) -> None:
        """Say how much room the file system at a path has; None is endless."""
        self.change("world.set_free_bytes", path, lambda state: images.with_room(state, path, free_bytes))

    def add_table(self, name: str) -> None:
        """Make a firewall table that is not bocker's."""
        added = TableRow()
        self.change(
            "world.add_table", name, lambda state: attrs.evolve(state, tables=with_row(state.tables, name, added))
        )

    def add_group_part(self, parent: str, name: str, controller: str) -> None:
        """Leave a group's directory in one controller's hierarchy, as a crashed engine does."""
        self.change("world.add_group_part", name, lambda state: _with_part(state, parent, name, controller))

    def process(self, pid: int) -> ProcessRow:
        """Return what the kernel knows of a process: its plan, namespaces, group and program."""
        return self.state.processes[pid]

    def mounts(self, pid: int) -> tuple[MountRow, ...]:
        """Return what a process sees mounted, in the order it was mounted."""
        return self.state.mounts[self.state.processes[pid].namespaces.get("mount", HOST)]

    def unsynced(self, path: str) -> bool:
        """Tell whether a file of the host would be lost, or be as before, if power failed now."""
        place = _place(self.state, path)
        return (place.subvolume, place.path) in self.state.unsynced

    def dump(self, whole: bool = False) -> str:
        """Return the state as short, sorted lines; `whole` with every file and setting."""
        return dump.text(self.state, whole)


def _place(state: State, path: str) -> Place:
    return files.locate(state, path, follow=False).place


def _translated(call: Call, refused: Refused) -> KernelError:
    if refused.step is not None:
        return StepFailed(call.operation, call.subject, refused.errno, refused.step, refused.detail)
    return kernel_error(call.operation, call.subject, refused.errno, refused.detail)


def _start_program(state: State) -> State:
    state = attrs.evolve(state, last_pid=state.last_pid + 1)
    return put_process(state, ProcessRow(state.last_pid, programs.ticks(state), parent=1, program="bocker"))


def _interrupted(state: State, pid: int, number: int) -> State:
    pending = (*state.signals.get(pid, ()), number)
    return attrs.evolve(state, signals=with_row(state.signals, pid, pending))


def _with_part(state: State, parent: str, name: str, controller: str) -> State:
    state, number = new_id(attrs.evolve(state, parents=state.parents | {parent}))
    return put_group(state, GroupRow(number, parent, name, frozenset({controller})))


def _booted(state: State) -> State:
    """Return the state after a boot: files stay, `/run` and `/tmp` are empty, the rest is as new."""
    root = next(mount for mount in state.mounts[HOST] if mount.target == "/")
    state = State(
        clock_ns=state.clock_ns + SECOND_NS,
        boot=state.boot + 1,
        serial=state.serial,
        filesystems={number: attrs.evolve(row, read_only=False) for number, row in state.filesystems.items()},
        subvolumes=state.subvolumes,
        unsynced=state.unsynced,
        deleted=state.deleted,
        clock_set_ns=state.clock_set_ns,
        mounts={HOST: (root,)},
        networks={HOST: NetworkRow(HOST)},
        sysctls=images.SYSCTLS,
    )
    for path in ("/run", "/tmp"):
        state = files.drop_entry(state, _place(state, path))
        state = files.make_directories(state, path)
    state, loopback = wire.add_link(state, HOST, "lo", "loopback", "00:00:00:00:00:00")
    return wire.bring_up(state, loopback)

"""The processes port on the fake."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno

import attrs

from bocker.core.model import ProcessIdentity
from bocker.core.spec import STEP_GROUP, ContainerSpec, ExecSpec
from bocker.fakes import children, groups, laws, programs
from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.state import PREPARING, ZOMBIE, HandleRow, ProcessRow, State, with_row
from bocker.fakes.view import View
from bocker.kernel.processes import Exited, Idle, Interrupted, Output, Process, Processes

Event = Output | Interrupted | Exited


class FakeProcesses(View, Processes):
    """The children of one program."""

    __slots__ = ()
    name = "processes"

    def create(self, spec: ContainerSpec) -> Process:
        return self._apply("create", spec.name, lambda state: self._create(state, spec))

    def enter(self, target: ProcessIdentity, spec: ExecSpec) -> Process:
        return self._apply("enter", spec.name, lambda state: self._enter(state, target, spec))

    def release(self, process: Process) -> tuple[str, ...]:
        return self._apply(
            "release",
            self._name_of(process),
            lambda state: children.release(state, process.handle),
            on_refusal=lambda state: children.discard(state, process.handle),
        )

    def _name_of(self, process: Process) -> str:
        """Return the name that a child's plan has, its number where it is gone."""
        state = self._world.state
        handle = state.handles.get(process.handle)
        spec = None if handle is None else state.processes[handle.pid].spec
        return str(process.identity.pid) if spec is None else spec.name

    def next_event(self, process: Process, timeout_s: float | None = None) -> Output | Interrupted | Exited | Idle:
        world, subject = self._world, str(process.identity.pid)
        event = self._apply("next_event", subject, lambda state: self._poll(state, process.handle))
        until_ns = None if timeout_s is None else world.state.clock_ns + int(timeout_s * programs.SECOND_NS)
        while event is None:
            in_time = world.wait(until_ns)
            event = world.apply("processes.poll", subject, lambda state: self._poll(state, process.handle))
            if event is None and not in_time:
                return Idle()
        return event

    def close_output(self, process: Process, stream: int) -> None:
        self._change("close_output", str(process.identity.pid), lambda state: _close(state, process.handle, stream))

    def discard(self, process: Process) -> None:
        self._change("discard", str(process.identity.pid), lambda state: children.discard(state, process.handle))

    def signal(self, target: ProcessIdentity, number: int) -> None:
        self._change(
            "signal",
            str(target.pid),
            lambda state: programs.deliver(state, self._running(state, target).pid, number),
        )

    def alive(self, target: ProcessIdentity) -> bool:
        return self._ask("alive", str(target.pid), lambda state: self._find(state, target) is not None)

    def myself(self) -> ProcessIdentity:
        return self._ask("myself", "", lambda state: identity_of(state, state.processes[self._kernel.pid]))

    def _create(self, state: State, spec: ContainerSpec) -> tuple[State, Process]:
        self._check_group(state, spec)
        state, row = children.create(state, self._kernel.pid, spec, self._settings.cgroup_parent)
        return state, _handle(state, row)

    def _enter(self, state: State, target: ProcessIdentity, spec: ExecSpec) -> tuple[State, Process]:
        running = self._running(state, target)
        self._check_group(state, spec)
        state, row = children.enter(state, self._kernel.pid, running, spec, self._settings.cgroup_parent)
        return state, _handle(state, row)

    def _check_group(self, state: State, spec: ContainerSpec | ExecSpec) -> None:
        """In version 2 a process is born in its group: one that is not there is met before there is a child."""
        if self._world.cgroup_version != 2:
            return
        try:
            groups.group_called(state, self._settings.cgroup_parent, spec.group)
        except Refused as refused:
            raise Refused(refused.errno, refused.detail, STEP_GROUP) from None

    def _poll(self, state: State, handle: int) -> tuple[State, Event | None]:
        found = state.handles.get(handle)
        if found is None:
            raise Refused(errno.ESRCH)
        pending = state.signals.get(self._kernel.pid, ())
        if pending:
            signals = with_row(state.signals, self._kernel.pid, pending[1:])
            return attrs.evolve(state, signals=signals), Interrupted(pending[0])
        return _next(state, found)

    def _find(self, state: State, target: ProcessIdentity) -> ProcessRow | None:
        row = state.processes.get(target.pid)
        if row is None or not programs.is_alive(row) or identity_of(state, row) != target:
            return None
        return row

    def _running(self, state: State, target: ProcessIdentity) -> ProcessRow:
        row = self._find(state, target)
        if row is None:
            raise Refused(errno.ESRCH, str(target.pid))
        return row


def boot_id(state: State) -> str:
    """Return the word of this boot, in the form of `/proc/sys/kernel/random/boot_id`."""
    return f"00000000-0000-4000-8000-{state.boot:012x}"


def identity_of(state: State, row: ProcessRow) -> ProcessIdentity:
    """Return the identity of a process."""
    return ProcessIdentity(boot_id(state), row.pid, row.start_ticks)


def _handle(state: State, row: ProcessRow) -> Process:
    assert row.handle is not None
    return Process(identity_of(state, row), row.handle)


def _next(state: State, handle: HandleRow) -> tuple[State, Event | None]:
    if handle.output:
        rest = attrs.evolve(handle, output=handle.output[1:])
        return attrs.evolve(state, handles=with_row(state.handles, handle.id, rest)), handle.output[0]
    row = state.processes[handle.pid]
    if row.phase == PREPARING:
        raise NotModelled("waiting for a child that was not released")
    if row.phase != ZOMBIE or laws.waits_for_others(state, row):
        return state, None
    return children.reap(state, handle.id), row.exited


def _close(state: State, number: int, stream: int) -> State:
    handle = state.handles.get(number)
    if handle is None:
        raise Refused(errno.ESRCH)
    output = tuple(chunk for chunk in handle.output if chunk.stream != stream)
    closed = attrs.evolve(handle, output=output, closed=handle.closed | {stream})
    return attrs.evolve(state, handles=with_row(state.handles, number, closed))

"""Processes on Linux: the parent's side of a container's birth, and what follows it to its end."""

from __future__ import annotations

import errno
import os

from bocker.core.model import ProcessIdentity
from bocker.core.spec import STEP_CLONE, STEP_GROUP, ContainerSpec, ExecSpec
from bocker.kernel.errors import KernelError, Missing, StepFailed
from bocker.kernel.processes import Exited, Idle, Interrupted, Output, Process, Processes
from bocker.linux import child, proc
from bocker.linux import syscalls as k
from bocker.linux.cgroups import LinuxCgroups
from bocker.linux.errors import translated
from bocker.linux.relay import Relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import NoReturn

    Become = Callable[[child.Ends, tuple[str, ...]], NoReturn]
else:
    import _signal as signal  # the module without its enums, which cost four milliseconds

_FLAGS = {
    "network": k.CLONE_NEWNET,
    "mount": k.CLONE_NEWNS,
    "uts": k.CLONE_NEWUTS,
    "ipc": k.CLONE_NEWIPC,
    "pid": k.CLONE_NEWPID,
}


class LinuxProcesses(Processes):
    """clone3(2), pidfds and pipes."""

    __slots__ = ("_cgroup_parent", "_last_handle", "_relays")

    def __init__(self, cgroup_parent: str) -> None:
        self._cgroup_parent = cgroup_parent
        self._relays: dict[int, Relay] = {}
        self._last_handle = 0  # no descriptor: the kernel gives its number to the next process, and that is another one

    def create(self, spec: ContainerSpec) -> Process:
        """See the port; clone3(2), and `container` for what the child does."""
        from bocker.linux import container
        from bocker.linux.netlink import open_socket

        flags = sum(_FLAGS[name] for name in spec.namespaces if name in _FLAGS)
        with translated("processes.create", spec.name):
            host_socket = open_socket()
        try:
            return self._start(
                spec,
                flags,
                lambda ends, files: container.become_container(spec, ends, files),
                netlink=host_socket.fileno(),
            )
        finally:
            host_socket.close()

    def enter(self, target: ProcessIdentity, spec: ExecSpec) -> Process:
        """See the port; setns(2) with a pidfd."""
        with translated("processes.enter", spec.name):
            pidfd = self._pidfd("processes.enter", spec.name, target)
            own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            try:
                k.setns(pidfd, k.CLONE_NEWPID)  # for children only: we stay where we are
                return self._start(spec, 0, lambda ends, files: child.become_member(spec, ends, files), target=pidfd)
            except StepFailed as failure:
                # pid 1 has just died, and its namespace with it; or the machine really is out of memory
                if failure.errno == errno.ENOMEM and not self.alive(target):
                    raise Missing("processes.enter", spec.name, errno.ESRCH) from None
                raise
            finally:
                k.setns(own, k.CLONE_NEWPID)
                os.close(own)
                os.close(pidfd)

    def release(self, process: Process) -> tuple[str, ...]:
        """See the port; the status pipe closes when the program is executed."""
        relay = self._relay("processes.release", process)
        made, failure = relay.start()
        if failure is None:
            return made
        step, number, detail = failure
        self.discard(process)
        raise StepFailed("processes.release", relay.name, number, step, detail)

    def next_event(self, process: Process, timeout_s: float | None = None) -> Output | Interrupted | Exited | Idle:
        """See the port; poll(2) on pipes, a pidfd and a signalfd."""
        relay = self._relay("processes.next_event", process)
        event = relay.next_event(timeout_s)
        if isinstance(event, Exited):
            self._close(process)
        return event

    def close_output(self, process: Process, stream: int) -> None:
        """See the port."""
        self._relay("processes.close_output", process).close_output(stream)

    def discard(self, process: Process) -> None:
        """See the port; the kernel kills a pid namespace with its first process, pid_namespaces(7)."""
        relay = self._relays.get(process.handle)
        if relay is not None:
            relay.kill()
            self._close(process)

    def signal(self, target: ProcessIdentity, number: int) -> None:
        """See the port; pidfd_send_signal(2)."""
        with translated("processes.signal", str(target.pid)):
            pidfd = self._pidfd("processes.signal", str(target.pid), target)
            try:
                signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)

    def alive(self, target: ProcessIdentity) -> bool:
        """See the port; proc_pid_stat(5)."""
        return target.boot_id == proc.boot_id() and proc.start_ticks(target.pid) == target.start_ticks

    def myself(self) -> ProcessIdentity:
        """See the port."""
        return _identity(os.getpid())

    def _start(
        self, spec: ContainerSpec | ExecSpec, flags: int, become: Become, netlink: int = -1, target: int = -1
    ) -> Process:
        operation = "processes.create" if target < 0 else "processes.enter"
        group, files = self._way_into(operation, spec)
        with translated(operation, spec.name):
            relay = Relay(spec.name, spec.standard_input)
        ends = relay.child_ends(netlink, target)
        try:
            pid, pidfd = _clone(flags, group)
        except OSError as error:
            relay.close()
            raise StepFailed(operation, spec.name, error.errno or 0, STEP_CLONE) from None
        if pid == 0:
            become(ends, files if group is None else ())
        relay.adopt(pidfd)
        self._last_handle += 1
        self._relays[self._last_handle] = relay
        return Process(_identity(pid), self._last_handle)

    def _way_into(self, operation: str, spec: ContainerSpec | ExecSpec) -> tuple[int | None, tuple[str, ...]]:
        """Return the group's descriptor (version 2) or the files by which the child joins it (version 1)."""
        groups = LinuxCgroups(self._cgroup_parent)
        try:
            return groups.group_descriptor(spec.group), groups.task_files(spec.group)
        except KernelError as error:
            raise StepFailed(operation, spec.name, error.errno, STEP_GROUP) from None

    def _relay(self, operation: str, process: Process) -> Relay:
        found = self._relays.get(process.handle)
        if found is None:
            raise Missing(operation, str(process.identity.pid), errno.ESRCH)
        return found

    def _close(self, process: Process) -> None:
        self._relays.pop(process.handle).close()

    def _pidfd(self, operation: str, subject: str, target: ProcessIdentity) -> int:
        """Open the process first and look whom we have then: its number can't be given away any more."""
        pidfd = os.pidfd_open(target.pid)
        if self.alive(target):
            return pidfd
        os.close(pidfd)
        raise Missing(operation, subject, errno.ESRCH)


def _clone(flags: int, group: int | None) -> tuple[int, int]:
    """Make the child, on version 2 of control groups inside its group from its first moment."""
    if group is None:
        return k.clone3(flags, signal.SIGCHLD)
    own_view = k.CLONE_NEWCGROUP if flags else 0
    try:
        return k.clone3(flags | own_view | k.CLONE_INTO_CGROUP, signal.SIGCHLD, group)
    finally:
        os.close(group)


def _identity(pid: int) -> ProcessIdentity:
    return ProcessIdentity(proc.boot_id(), pid, proc.start_ticks(pid) or 0)

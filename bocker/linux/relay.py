"""What joins a process to us while it lives: its pipes, its end, and the signals meant for it."""

from __future__ import annotations

import errno
import os
import select

from bocker.kernel.processes import STDERR, STDOUT, Exited, Idle, Interrupted, Output
from bocker.linux.child import Ends
from bocker.linux.syscalls import signalfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal

    Event = Output | Interrupted | Exited | Idle
else:
    import _signal as signal  # the module without its enums, which cost four milliseconds

FORWARDED = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    }
)
_CHUNK_BYTES = 65_536
_STDIN = 0
_SIGNAL_INFO_BYTES = 128


class Relay:
    """The parent's ends of a child's pipes.

    The signals that are forwarded are blocked from the start and read from a descriptor, so that
    none is lost and none interrupts the engine half-way; `close` lets them through again. One that
    the caller ignores (nohup) stays ignored.
    """

    __slots__ = (
        "_blocked",
        "_child",
        "_control",
        "_ended",
        "_input",
        "_outputs",
        "_pending",
        "_pidfd",
        "_signals",
        "_status",
        "name",
    )

    def __init__(self, name: str, standard_input: bool) -> None:
        self.name = name
        self._child = Ends()
        self._child.control, self._control = os.pipe2(os.O_CLOEXEC)
        self._status, self._child.status = os.pipe2(os.O_CLOEXEC)
        stdout, self._child.stdout = os.pipe2(os.O_CLOEXEC)
        stderr, self._child.stderr = os.pipe2(os.O_CLOEXEC)
        self._outputs = {stdout: STDOUT, stderr: STDERR}
        self._input = -1
        if standard_input:
            self._child.stdin, self._input = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._input, False)
        self._pending = b""
        self._pidfd = -1
        self._ended: Exited | None = None
        wanted = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        self._signals = signalfd(frozenset(wanted))

    def child_ends(self, netlink: int, target: int) -> Ends:
        """Return the child's ends, with the descriptors that it inherits for its own use."""
        self._child.netlink = netlink
        self._child.target = target
        self._child.parents_control = self._control
        return self._child

    def adopt(self, pidfd: int) -> None:
        """The child is there: keep only our own ends of the pipes."""
        self._pidfd = pidfd
        self._close_child_ends()

    def start(self) -> tuple[tuple[str, ...], tuple[str, int, str] | None]:
        """Let the child go on; return the mount points it made, and the step, errno and detail of a failure."""
        try:
            os.write(self._control, b"g")
        except BrokenPipeError:
            pass  # it failed before it was released: the report says where
        report = b""
        while chunk := os.read(self._status, _CHUNK_BYTES):
            report += chunk
        return _parse_report(report)

    def next_event(self, timeout_s: float | None) -> Event:
        """Return what happens next; see the port."""
        while True:
            event = self._poll(-1 if timeout_s is None else int(timeout_s * 1000))
            if event is not None:
                return event

    def close_output(self, stream: int) -> None:
        """Stop reading a stream."""
        for descriptor in [fd for fd, number in self._outputs.items() if number == stream]:
            self._drop_output(descriptor)

    def kill(self) -> None:
        """Kill the child and reap it."""
        if self._ended is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
            self._ended = Exited(None, signal.SIGKILL)

    def close(self) -> None:
        """Give back every descriptor, and let signals through again."""
        self._close_child_ends()
        descriptors = [self._control, self._status, self._signals, self._input, self._pidfd, *self._outputs]
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)

    def _poll(self, timeout_ms: int) -> Event | None:
        poll = select.poll()
        for descriptor, events in self._watched():
            poll.register(descriptor, events)
        ready = poll.poll(0 if self._ended else timeout_ms)
        for descriptor, events in ready:
            event = self._handle(descriptor, events)
            if event is not None:
                return event
        if ready:
            return None
        return self._ended or Idle()

    def _watched(self) -> list[tuple[int, int]]:
        """Output comes last, or a program that never stops writing would keep all else waiting."""
        outputs = [(descriptor, select.POLLIN) for descriptor in self._outputs]
        if self._ended is not None:
            return outputs
        ours = [(self._signals, select.POLLIN), (self._pidfd, select.POLLIN)]
        if self._pending:
            ours.append((self._input, select.POLLOUT))
        elif self._input >= 0:
            ours.append((_STDIN, select.POLLIN))
        return ours + outputs

    def _handle(self, descriptor: int, events: int) -> Event | None:
        if descriptor in self._outputs:
            return self._read_output(descriptor)
        if descriptor == self._signals:
            return Interrupted(int.from_bytes(os.read(self._signals, _SIGNAL_INFO_BYTES)[:4], "little"))
        if descriptor == self._pidfd:
            self._reap()
        elif descriptor == self._input:
            self._write_input()
        else:
            self._read_input(events)
        return None

    def _read_output(self, descriptor: int) -> Output | None:
        data = os.read(descriptor, _CHUNK_BYTES)
        if not data:
            self._drop_output(descriptor)
            return None
        stream = self._outputs.pop(descriptor)
        self._outputs[descriptor] = stream  # to the end: the two streams take turns
        return Output(stream, data)

    def _drop_output(self, descriptor: int) -> None:
        del self._outputs[descriptor]
        os.close(descriptor)

    def _reap(self) -> None:
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        if result is None:
            return
        if result.si_code == os.CLD_EXITED:
            self._ended = Exited(result.si_status, None)
        else:
            self._ended = Exited(None, result.si_status)
        self._close_input()

    def _read_input(self, events: int) -> None:
        """Take from the caller's input what it has; its end is passed on as the end of the pipe."""
        try:
            self._pending = b"" if events & select.POLLNVAL else os.read(_STDIN, _CHUNK_BYTES)
        except OSError as error:
            if error.errno not in {errno.EIO, errno.EBADF, errno.EISDIR}:
                raise
        if not self._pending:
            self._close_input()

    def _write_input(self) -> None:
        try:
            self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            os.close(self._input)
        self._input = -1
        self._pending = b""

    def _close_child_ends(self) -> None:
        ends = self._child
        for descriptor in (ends.control, ends.status, ends.stdin, ends.stdout, ends.stderr):
            if descriptor >= 0:
                os.close(descriptor)
        self._child = Ends()


def _parse_report(report: bytes) -> tuple[tuple[str, ...], tuple[str, int, str] | None]:
    made = []
    for line in report.decode("utf-8", "surrogateescape").split("\n"):
        word, _, rest = line.partition("\0")
        if word == "made":
            made.append(rest)
        elif word == "failed":
            step, number, detail = rest.split("\0", 2)
            return tuple(made), (step, int(number), detail)
    return tuple(made), None

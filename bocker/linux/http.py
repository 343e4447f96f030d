"""HTTP for a process that stays small and has one thread: another process does the work.

That process is forked at first use, ends with this one, and alone imports `requests` (see
`transfers`). Two pipes join them: requests go out, news come in, as frames of `marshal`, which both
sides have and nobody else speaks to.
"""

from __future__ import annotations

import errno
import fcntl
import marshal
import os
import select
import sys
import time
from contextlib import suppress

from bocker.kernel.errors import kernel_error
from bocker.kernel.http import Answer, Answered, Failed, Http, Progress, Request
from bocker.linux import syscalls as k
from bocker.linux.errors import translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from typing import Any, NoReturn

    from bocker.kernel.errors import KernelError
else:
    import _signal as signal

ASK, DOWNLOAD, UPLOAD, CANCEL = "ask", "download", "upload", "cancel"
READY, PROGRESS, ANSWERED, FAILED, GONE, BROKEN = "ready", "progress", "answered", "failed", "gone", "broken"
SILENCE_S = 30.0
_READ_BYTES = 1 << 18
_LENGTH_BYTES = 4
_COMMANDS, _NEWS = 3, 4  # the other process's only descriptors, besides the standard three
_HIGHEST_DESCRIPTOR = 1 << 20


def frame(*message: Any) -> bytes:
    """Return a message as it goes through a pipe: its length, then its content."""
    content = marshal.dumps(message)
    return len(content).to_bytes(_LENGTH_BYTES, "little") + content


class Frames:
    """The messages in what comes out of a pipe, however it is cut."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Any, ...]]:
        """Take what was read; give the messages that are whole."""
        self._data += data
        while (end := _LENGTH_BYTES + int.from_bytes(self._data[:_LENGTH_BYTES], "little")) <= len(self._data):
            message = marshal.loads(memoryview(self._data)[_LENGTH_BYTES:end].tobytes())
            del self._data[:end]
            yield message


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def subject_of(url: str) -> str:
    """Return an address as an error may show it: without query, fragment and credentials."""
    plain = url.partition("#")[0].partition("?")[0]
    scheme, separator, rest = plain.partition("//")
    if not separator:
        return plain.rpartition("@")[2]  # this is no address, whoever meant what
    host, slash, path = rest.partition("/")
    return scheme + separator + host.rpartition("@")[2] + slash + path


class LinuxHttp(Http):
    """One further process; see the module."""

    __slots__ = ("_answers", "_helper", "_last", "_news", "_silence_s", "_under_way")

    def __init__(self, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._helper: _Helper | None = None
        self._last = 0
        self._under_way: dict[int, tuple[str, str]] = {}  # by number, for an error of it: operation and subject
        self._news: dict[int, Progress | Answered | Failed] = {}  # by number, in the order to tell them
        self._answers: dict[int, Answer | KernelError] = {}

    def prepare(self) -> None:
        """See the port: the other process imports what it needs."""
        if self._helper is None:
            with suppress(OSError):
                self._helper = _Helper(self._silence_s)

    def ask(self, request: Request, most_bytes: int = 4 << 20) -> Answer:
        """See the port."""
        number = self._begin(ASK, request, most_bytes)
        try:
            while number not in self._answers:
                self._receive(None)
        except BaseException:
            self.cancel(number)
            raise
        answer = self._answers.pop(number)
        if isinstance(answer, Answer):
            return answer
        raise answer

    def download(self, request: Request, path: str, size_bytes: int) -> int:
        """See the port."""
        return self._begin(DOWNLOAD, request, path, size_bytes)

    def upload(self, request: Request, path: str) -> int:
        """See the port."""
        return self._begin(UPLOAD, request, path)

    def wait(self, timeout_s: float) -> Progress | Answered | Failed | None:
        """See the port."""
        deadline = time.monotonic() + timeout_s
        self._receive(0.0)
        while not self._news and self._under_way and (rest_s := deadline - time.monotonic()) > 0:
            self._receive(rest_s)
        for number in self._news:
            return self._news.pop(number)
        return None

    def cancel(self, transfer: int) -> None:
        """See the port; the other process says when it has let go of the file."""
        under_way = self._under_way.pop(transfer, None)
        self._news.pop(transfer, None)
        if under_way is None or self._helper is None:
            return
        self._send(CANCEL, transfer)
        while self._helper is not None and transfer not in self._helper.gone:
            self._receive(None)
        if self._helper is not None:
            self._helper.gone.remove(transfer)

    def close(self) -> None:
        """End the other process, and what it had under way."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.end()
        self._under_way.clear()
        self._news.clear()

    def _begin(self, verb: str, request: Request, *arguments: Any) -> int:
        subject = subject_of(request.url)
        if self._helper is None:
            with translated(f"http.{verb}", subject):
                self._helper = _Helper(self._silence_s)
        self._last += 1
        self._under_way[self._last] = (f"http.{verb}", subject)
        self._send(verb, self._last, tuple(request.fields().values()), *arguments)
        return self._last

    def _send(self, *message: Any) -> None:
        """Send a message. A part of one would spoil what follows: then there is no other process any more."""
        if self._helper is None:
            return
        try:
            write_all(self._helper.commands, frame(*message))
        except BrokenPipeError:
            self._lose()
        except BaseException:
            self._lose()
            raise

    def _receive(self, timeout_s: float | None) -> None:
        """Take in what the other process tells, waiting for something so long."""
        if self._helper is None or not self._helper.poll(timeout_s):
            return
        try:
            messages = self._helper.read()
            for message in messages:
                self._take(*message)
        except BaseException:
            self._lose()
            raise
        if not messages and self._helper.ended:
            self._lose()

    def _take(self, kind: str, number: int, *arguments: Any) -> None:
        """Sort in one message; what was cancelled is nobody's business any more."""
        if kind == GONE and self._helper is not None:
            self._helper.gone.add(number)
        elif kind == BROKEN and self._helper is not None:
            (self._helper.reason,) = arguments
        elif number not in self._under_way:
            return
        elif kind == PROGRESS:
            self._news[number] = Progress(number, *arguments)
        elif kind == ANSWERED:
            status, headers, body, digest, size_bytes = arguments
            self._end(number, Answer(status, headers, body), digest, size_bytes)
        else:
            self._fail(number, *arguments)

    def _fail(self, number: int, error: int, detail: str) -> None:
        operation, subject = self._under_way[number]
        self._end(number, kernel_error(operation, subject, error, detail))

    def _end(self, number: int, outcome: Answer | KernelError, digest: str = "", size_bytes: int = 0) -> None:
        operation, _ = self._under_way.pop(number)
        if operation == f"http.{ASK}":
            self._answers[number] = outcome
        elif isinstance(outcome, Answer):
            self._news[number] = Answered(number, outcome, digest, size_bytes)
        else:
            self._news[number] = Failed(number, outcome)

    def _lose(self) -> None:
        """There is no other process any more: what it had under way broke off, and the next request begins another."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        helper.end()
        for number in tuple(self._under_way):
            if helper.reason:
                self._fail(number, errno.EIO, helper.reason)
            else:
                self._fail(number, errno.ECONNRESET, "the process of the transfers has ended")


class _Helper:
    """The other process, seen from here.

    ended: nothing will come any more, for the `reason` if it told one. gone: the numbers that it was
    told to cancel, and has let go of.
    """

    __slots__ = ("_frames", "_news", "_pid", "_poll", "commands", "ended", "gone", "reason")

    def __init__(self, silence_s: float) -> None:
        commands, self.commands = os.pipe2(os.O_CLOEXEC)
        self._news, news = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            _become_helper(parent, commands, news, silence_s)
        os.close(commands)
        os.close(news)
        self._frames = Frames()
        self._poll = select.poll()
        self._poll.register(self._news, select.POLLIN)
        self.ended = False
        self.reason = ""
        self.gone: set[int] = set()
        self.read()  # that it is ready: it has none of our descriptors any more, locks among them

    def poll(self, timeout_s: float | None) -> bool:
        """Tell whether there is something to read, after so long at most."""
        return bool(self._poll.poll(None if timeout_s is None else timeout_s * 1000))

    def read(self) -> list[tuple[Any, ...]]:
        """Return the messages that have come, none when only a part of one has."""
        data = os.read(self._news, _READ_BYTES)
        self.ended = not data
        return list(self._frames.feed(data))

    def end(self) -> None:
        """Kill it; nothing in it needs an ending."""
        os.close(self.commands)
        os.close(self._news)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _become_helper(parent: int, commands: int, news: int, silence_s: float) -> NoReturn:
    """Let go of what the parent has open, die with it, leave Ctrl-C to it, and serve."""
    try:
        k.prctl(k.PR_SET_PDEATHSIG, signal.SIGKILL)
        _keep_only(commands, news)
        _reset_signals()
        write_all(_NEWS, frame(READY, 0))
        if os.getppid() == parent:  # it may have died before its death would tell
            from bocker.linux import transfers

            transfers.serve(_COMMANDS, _NEWS, silence_s)
    except BaseException as error:
        write_all(_NEWS, frame(BROKEN, 0, f"{type(error).__name__}: {error}"))
    finally:
        os._exit(1)


def _keep_only(commands: int, news: int) -> None:
    """Make the two pipes 3 and 4, the standard descriptors `/dev/null`, and close all others.

    But for the file that an installed bocker is imported from: its finder has it open as `descriptor`
    (`provision/loader.py`), and the helper still imports.
    """
    null = os.open("/dev/null", os.O_RDWR)
    finders: list[Any] = [finder for finder in sys.meta_path if hasattr(finder, "descriptor")]
    wanted = (null, null, null, commands, news, *(finder.descriptor for finder in finders))
    for number, finder in enumerate(finders, len(wanted) - len(finders)):
        finder.descriptor = number
    copies = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, len(wanted)) for number in wanted]
    for number, copy in enumerate(copies):
        os.dup2(copy, number, inheritable=False)
    os.closerange(len(wanted), _HIGHEST_DESCRIPTOR)


def _reset_signals() -> None:
    """Give signals their default actions, whatever the parent does with them; Ctrl-C is for the parent to hear."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGWINCH):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())

"""The process behind `http`: a thread for each request, `requests` for what HTTP is.

It is a child of the process that asks, and imported there only. Nothing that `requests` does of its
own accord is wanted: its sessions follow redirects, keep cookies and read `.netrc`, so requests go
straight to its adapter, which knows connections, proxies and certificates.
"""

from __future__ import annotations

import errno
import gc
import hashlib
import http.client
import os
import select
import socket
import ssl
import threading
import time

import requests
import requests.adapters
import urllib3

from bocker import __version__
from bocker.kernel.errors import EKEYREJECTED
from bocker.kernel.http import ANSWER_BYTES, Request
from bocker.linux.errors import ToolError
from bocker.linux.http import (
    ANSWERED,
    ASK,
    CANCEL,
    DOWNLOAD,
    FAILED,
    GONE,
    PROGRESS,
    Frames,
    frame,
    write_all,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

CHUNK_BYTES = 1 << 18
CONNECTIONS = 8  # that are kept, to one server
PROGRESS_S = 0.1
OK, PARTIAL_CONTENT = 200, 206
STACK_BYTES = 1 << 20
_COMMAND_BYTES = 1 << 16
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def serve(commands: int, news: int, silence_s: float) -> None:
    """Do what comes out of `commands` and tell of it in `news`, until there is nobody any more."""
    gc.enable()  # the launcher does without, but each failure of a request is a cycle of 14 KB
    threading.stack_size(STACK_BYTES)
    channel = Channel(news)
    client = Client(silence_s)
    jobs: dict[int, Job] = {}
    frames = Frames()
    while data := os.read(commands, _COMMAND_BYTES):
        for verb, number, *arguments in frames.feed(data):
            if verb != CANCEL:
                jobs[number] = _job(verb, number, client, channel, arguments)
                jobs[number].start(lambda ended: jobs.pop(ended, None))
                continue
            job = jobs.get(number)
            if job is not None:
                job.cancel()
            channel.tell(GONE, number)


def _job(verb: str, number: int, client: Client, channel: Channel, arguments: list[Any]) -> Job:
    fields, *rest = arguments
    kind: Callable[..., Job] = {ASK: Question, DOWNLOAD: Download}.get(verb, Upload)
    return kind(number, client, channel, Request(*fields), *rest)


class Channel:
    """The way to the process that asked. What must arrive waits for room; progress is dropped when there is none."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def tell(self, *message: Any) -> None:
        """Send a message."""
        with self._lock:
            write_all(self._descriptor, frame(*message))

    def mention(self, *message: Any) -> None:
        """Send a short message (less than a page), unless that would have to wait."""
        if self._lock.acquire(blocking=False):
            try:
                if self._poll.poll(0):
                    write_all(self._descriptor, frame(*message))
            finally:
                self._lock.release()


class _Adapter(requests.adapters.HTTPAdapter):
    """Bodies are sent in pieces of a size that is worth a system call."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, blocksize=CHUNK_BYTES, **more)


class Client:
    """Sends requests as they are, over connections that are kept for the next one."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._adapter = _Adapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)
        self._environment = requests.Session()  # for what it reads from the environment

    def send(self, request: Request, body: object, more: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Send a request; return the answer, its body unread. `more`: headers besides the request's."""
        try:
            prepared = _prepared(request, body, more)
        except (ValueError, requests.RequestException) as error:
            raise ToolError(errno.EINVAL, str(error)) from None
        address = prepared.url or ""
        chosen: dict[str, Any] = {**self._environment.merge_environment_settings(address, {}, True, True, None)}
        bundle = chosen["verify"]
        if isinstance(bundle, str) and not os.path.exists(bundle):
            raise ToolError(EKEYREJECTED, f"there is no file {bundle} of certificates")
        timeouts_s = (self._silence_s, self._silence_s)
        answer: urllib3.BaseHTTPResponse = self._adapter.send(prepared, timeout=timeouts_s, **chosen).raw
        return answer


def _prepared(request: Request, body: object, more: dict[str, str]) -> requests.PreparedRequest:
    """Return the request as the adapter takes it; raise ValueError for what can't be sent."""
    if not request.method or not _TOKEN.issuperset(request.method):
        raise ValueError("this is no method")
    if any(character <= " " or character == "\x7f" for character in request.url):
        raise ValueError("there are blanks or control characters in the address")
    if request.url.partition(":")[0].lower() not in {"http", "https"}:
        raise ValueError("this is no address of http or https")
    return requests.Request(
        request.method,
        request.url,
        headers=_headers(request, more),
        data=body or None,
        auth=lambda prepared: prepared,  # what stands in the address is not used
    ).prepare()


def _headers(request: Request, more: dict[str, str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    names: dict[str, str] = {}
    own = {"User-Agent": f"bocker/{__version__}", "Accept-Encoding": "identity", **more}
    for name, value in (*request.headers, *own.items()):
        if not name or not _TOKEN.issuperset(name) or not _is_printable(value):
            raise ValueError("this is no header")
        if name.lower() not in names:
            headers[name] = value
            names[name.lower()] = name
        elif name not in own:
            headers[names[name.lower()]] += f", {value}"
    return headers


def _is_printable(value: str) -> bool:
    return all(" " <= character <= "\xff" or character == "\t" for character in value) and "\x7f" not in value


class Cancelled(Exception):
    """Nobody wants it any more."""


class Job:
    """A request in a thread of its own. Between `cancel` and the thread's end nothing is written; what is told
    then is of no interest to who cancelled."""

    def __init__(self, number: int, client: Client, channel: Channel, request: Request) -> None:
        self._number = number
        self._client = client
        self._channel = channel
        self._request = request
        self._guard = threading.Lock()
        self._cancelled = False
        self._response: urllib3.BaseHTTPResponse | None = None
        self._told_s = 0.0

    def start(self, ended: Callable[[int], object]) -> None:
        """Begin; call `ended` with the number at the end."""
        threading.Thread(target=self._run, args=(ended,), daemon=True).start()

    def cancel(self) -> None:
        """Stop before the next byte is written; wake the thread if it waits for the body."""
        with self._guard:
            self._cancelled = True
        if self._response is not None:
            try:
                self._response.shutdown()
            except (OSError, RuntimeError, ValueError):
                pass  # it has just ended

    def _run(self, ended: Callable[[int], object]) -> None:
        try:
            message = self._work()
        except Exception as error:
            message = (FAILED, self._number, *meaning(error))
        finally:
            if self._response is not None:
                self._response.close()
            ended(self._number)
        self._channel.tell(*message)

    def _work(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def _send(self, body: object = b"", more: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        response = self._client.send(self._request, body, more or {})
        with self._guard:
            self._response = response
            self._check()
        return response

    def _chunks(self) -> Iterator[bytes]:
        """Give the body as it comes; an end before its announced one is an error."""
        assert self._response is not None
        while chunk := self._response.read1(CHUNK_BYTES, decode_content=False):
            yield chunk

    def _read(self, most_bytes: int) -> bytes:
        """Return the first bytes of the body."""
        body = bytearray()
        for chunk in self._chunks():
            body += chunk
            if len(body) >= most_bytes:
                break
        return bytes(body[:most_bytes])

    def _check(self) -> None:
        if self._cancelled:
            raise Cancelled

    def _progress(self, bytes_done: int) -> None:
        now = time.monotonic()
        if now - self._told_s >= PROGRESS_S:
            self._told_s = now
            self._channel.mention(PROGRESS, self._number, bytes_done)

    def _answered(self, body: bytes = b"", digest: str = "", size_bytes: int = 0) -> tuple[Any, ...]:
        assert self._response is not None
        headers = tuple((name.lower(), value) for name, value in self._response.headers.items())
        return (ANSWERED, self._number, self._response.status, headers, body, digest, size_bytes)


class Question(Job):
    """A request whose answer is a document."""

    def __init__(self, number: int, client: Client, channel: Channel, request: Request, most_bytes: int) -> None:
        super().__init__(number, client, channel, request)
        self._most_bytes = most_bytes

    def _work(self) -> tuple[Any, ...]:
        self._send(self._request.body)
        body = self._read(self._most_bytes + 1)
        if len(body) > self._most_bytes:
            raise ToolError(errno.EFBIG, f"more than {self._most_bytes} bytes")
        return self._answered(body)


class Download(Job):
    """A body that goes into a file."""

    def __init__(
        self, number: int, client: Client, channel: Channel, request: Request, path: str, size_bytes: int
    ) -> None:
        super().__init__(number, client, channel, request)
        self._path = path
        self._size_bytes = size_bytes
        self._digest = hashlib.sha256()
        self._file = -1
        self._have_bytes = 0

    def _work(self) -> tuple[Any, ...]:
        try:
            self._take_up()
            if self._file >= 0 and self._have_bytes == self._size_bytes:
                return (ANSWERED, self._number, OK, (), b"", self._digest.hexdigest(), self._have_bytes)
            return self._fetch()
        finally:
            if self._file >= 0:
                os.close(self._file)

    def _take_up(self) -> None:
        """Open a file that is there, and hash what it has, unless it is too long to be a part of what comes."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        if os.fstat(self._file).st_size > self._size_bytes:
            return
        while chunk := os.read(self._file, CHUNK_BYTES):
            self._digest.update(chunk)
            self._have_bytes += len(chunk)
            self._check()

    def _fetch(self) -> tuple[Any, ...]:
        wanted = {"Range": f"bytes={self._have_bytes}-"} if self._have_bytes else {}
        response = self._send(self._request.body, wanted)
        if response.status not in {OK, PARTIAL_CONTENT}:
            return self._answered(self._read(ANSWER_BYTES))
        if response.status == PARTIAL_CONTENT:
            _check_range(response.headers.get("content-range", ""), self._have_bytes)
        self._prepare_file(response.status == OK)
        for chunk in self._chunks():
            self._write(chunk)
        if self._have_bytes < self._size_bytes:
            raise ToolError(errno.ECONNRESET, f"{self._have_bytes} bytes came, not {self._size_bytes}")
        return self._answered(b"", self._digest.hexdigest(), self._have_bytes)

    def _prepare_file(self, anew: bool) -> None:
        with self._guard:
            self._check()
            if self._file < 0:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if anew or not self._have_bytes:
                os.ftruncate(self._file, 0)
                os.lseek(self._file, 0, os.SEEK_SET)
                self._digest = hashlib.sha256()
                self._have_bytes = 0

    def _write(self, chunk: bytes) -> None:
        room_bytes = self._size_bytes - self._have_bytes
        wanted = chunk[:room_bytes]
        with self._guard:
            self._check()
            write_all(self._file, wanted)
        self._digest.update(wanted)
        self._have_bytes += len(wanted)
        if len(chunk) > room_bytes:
            raise ToolError(errno.EFBIG, f"more than {self._size_bytes} bytes")
        self._progress(self._have_bytes)


def _check_range(content_range: str, begin: int) -> None:
    """Raise OSError unless `bytes BEGIN-LAST/ALL` begins where it should, RFC 9110 section 14.4."""
    unit, _, rest = content_range.partition(" ")
    if unit != "bytes" or rest.partition("-")[0] != str(begin):
        raise ToolError(errno.EPROTO, "another part of the file came than was asked for")


class Upload(Job):
    """A file that goes into a body."""

    def __init__(self, number: int, client: Client, channel: Channel, request: Request, path: str) -> None:
        super().__init__(number, client, channel, request)
        self._path = path
        self._file = -1
        self._rest_bytes = self._size_bytes = 0

    def _work(self) -> tuple[Any, ...]:
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._rest_bytes = self._size_bytes = os.fstat(self._file).st_size
            self._send(self)
            return self._answered(self._read(ANSWER_BYTES))
        finally:
            os.close(self._file)

    def __len__(self) -> int:
        """Return the length of the body, for the header; nothing is sent where it is 0."""
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        """Be what `requests` takes for a stream; it is `read` that is called."""
        while chunk := self.read(CHUNK_BYTES):
            yield chunk

    def read(self, most_bytes: int) -> bytes:
        """Return the next piece of the body."""
        self._check()
        self._progress(self._size_bytes - self._rest_bytes)
        chunk = os.read(self._file, min(most_bytes, self._rest_bytes))
        if not chunk and self._rest_bytes:
            raise ToolError(errno.EINVAL, "the file became shorter while it was sent")
        self._rest_bytes -= len(chunk)
        return chunk


def meaning(error: BaseException) -> tuple[int, str]:
    """Return the errno that a failure means, and words for people without address or headers."""
    causes = list(_causes(error, set()))
    for kind, meant in _MEANINGS:
        for cause in causes:
            if isinstance(cause, kind) and (found := meant(cause)):
                return found
    return errno.EIO, type(error).__name__


def _causes(error: object, seen: set[int]) -> Iterator[BaseException]:
    """Give an exception and those it was made of: the libraries keep them in several places."""
    if isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        yield error
        for inner in (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__):
            yield from _causes(inner, seen)


def _of_certificate(error: ssl.SSLError) -> tuple[int, str] | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return EKEYREJECTED, error.verify_message
    return (EKEYREJECTED, error.reason) if error.library == "X509" else None


def _of_system(error: OSError) -> tuple[int, str] | None:
    if isinstance(error, (ssl.SSLError, socket.gaierror)) or not isinstance(error.errno, int):
        return None
    number = errno.ECONNRESET if error.errno == errno.EPIPE else error.errno
    return number, str(error.strerror) if isinstance(error, ToolError) else ""


def _of_proxy(error: BaseException) -> tuple[int, str]:
    return errno.EHOSTUNREACH, "; ".join(str(inner) for inner in error.args[1:])


_MEANINGS: tuple[tuple[Any, Callable[[Any], tuple[int, str] | None]], ...] = (
    (ToolError, _of_system),
    (ssl.SSLError, _of_certificate),
    (socket.gaierror, lambda error: (errno.EHOSTUNREACH, error.strerror)),
    (OSError, _of_system),  # before the time-outs: urllib3 counts a refused connection among them
    ((TimeoutError, urllib3.exceptions.TimeoutError), lambda _: (errno.ETIMEDOUT, "")),
    (
        (ConnectionError, ssl.SSLEOFError, http.client.IncompleteRead, urllib3.exceptions.IncompleteRead),
        lambda _: (errno.ECONNRESET, ""),
    ),
    (ssl.SSLError, lambda error: (errno.EPROTO, error.reason)),
    (urllib3.exceptions.ProxyError, _of_proxy),
    (
        (urllib3.exceptions.LocationValueError, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema),
        lambda _: (errno.EINVAL, "this is no address"),
    ),
    (
        (http.client.HTTPException, urllib3.exceptions.HTTPError, requests.RequestException),
        lambda _: (errno.EPROTO, ""),
    ),
)

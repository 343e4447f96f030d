"""The http port on the fake: wires to the servers of the world (`World.serve`).

A transfer goes forward while its program waits, several side by side, a piece of each in turn. Proxies are
not modelled.
"""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import bocker
from bocker.fakes import programs, transfers
from bocker.fakes.errors import Crashed, Refused
from bocker.fakes.servers import SECOND_NS, Arrival, Reply, Server, arrival, origin
from bocker.fakes.state import State, TransferRow
from bocker.fakes.view import View
from bocker.kernel.errors import EKEYREJECTED, KernelError
from bocker.kernel.http import Answer, Answered, Failed, Http, Progress, Request

if TYPE_CHECKING:
    from bocker.fakes.kernel import FakeKernel

PLAIN_TO_TLS = Answer(400, (), b"Client sent an HTTP request to an HTTPS server.\n")  # as servers written in Go say it
WITH_A_LENGTH = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110, 8.6: said by these even when it is 0
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_HEADER = re.compile(r"[\t -~\x80-\xff]*")
_ADDRESS = re.compile(r"[!-~\x80-\U0010ffff]+")


class FakeHttp(View, Http):
    """Requests to the servers of the world."""

    __slots__ = ("_is_ready",)
    name = "http"

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__(kernel)
        self._is_ready = False  # the process that does the transfers is there

    def prepare(self) -> None:
        self._ask("prepare", "", self._make_ready_if_possible)

    def _make_ready_if_possible(self, state: State) -> None:
        self._is_ready = self._is_ready or not state.clone_errno

    def _make_ready(self, state: State) -> None:
        if not self._is_ready:
            programs.check_clone(state)
        self._is_ready = True

    def ask(self, request: Request, most_bytes: int = 4 << 20) -> Answer:
        return self._apply("ask", transfers.shown(request), lambda state: self._asked(state, request, most_bytes))

    def download(self, request: Request, path: str, size_bytes: int) -> int:
        return self._begin(TransferRow(0, self._kernel.pid, "download", request, path, size_bytes))

    def upload(self, request: Request, path: str) -> int:
        return self._begin(TransferRow(0, self._kernel.pid, "upload", request, path))

    def wait(self, timeout_s: float) -> Progress | Answered | Failed | None:
        try:
            until_ns = self._ask("wait", "", lambda state: state.clock_ns) + int(timeout_s * SECOND_NS)
        except KernelError as fault:
            return self._breaks(fault)
        while (row := self._next()) is not None:
            self._pass_time(min(row.due_ns, until_ns))
            if row.due_ns > until_ns:
                return None
            event = self._forward(row)
            if event is not None:
                return event
        return None

    def cancel(self, transfer: int) -> None:
        self._change("cancel", str(transfer), lambda state: transfers.cancel(state, self._kernel.pid, transfer))

    def _begin(self, row: TransferRow) -> int:
        return self._apply(row.method, transfers.shown(row.request), lambda state: self._begun(state, row))

    def _begun(self, state: State, row: TransferRow) -> tuple[State, int]:
        self._make_ready(state)
        return transfers.begin(state, row)

    def _next(self) -> TransferRow | None:
        """Return the transfer of this program that has something to do first."""
        own = (row for row in self._world.state.transfers.values() if row.program == self._kernel.pid)
        return min(own, key=lambda row: (row.due_ns, row.id), default=None)

    def _pass_time(self, until_ns: int) -> None:
        while self._world.state.clock_ns < until_ns:
            self._world.wait(until_ns)
            if self._kernel.dead:
                raise Crashed("http.wait")

    def _forward(self, row: TransferRow) -> transfers.Event | None:
        subject, wire = transfers.shown(row.request), transfers.Wire(self._exchange, self._world.bytes_per_s)
        return self._world.apply("http.go_forward", subject, lambda state: transfers.forward(state, row.id, wire))

    def _breaks(self, fault: KernelError) -> transfers.Event | None:
        """What a gate refuses to `wait` befalls the transfer that has something to do first."""
        row = self._next()
        if row is None:
            return None
        refused = Refused(fault.errno, fault.detail)
        return self._world.apply("http.break", str(row.id), lambda state: transfers.fail(state, row, refused))

    def _asked(self, state: State, request: Request, most_bytes: int) -> tuple[State, Answer | Refused]:
        self._make_ready(state)
        arrived = self._exchange(state, request)
        state = programs.pass_time(state, state.clock_ns + arrived.duration_ns(self._world.bytes_per_s))
        if len(arrived.answer.body) > most_bytes:
            return state, Refused(errno.EFBIG)
        return state, Refused(arrived.ending) if arrived.ending else arrived.answer

    def _exchange(self, state: State, request: Request) -> Arrival:
        """Send a request with all of its body; refuse when nobody takes it."""
        address = _checked(request)
        server = self._connect(address)
        if server.tls and address.scheme == "http":
            return arrival(Reply(PLAIN_TO_TLS), request.method)
        return arrival(server.respond(_as_sent(request, address), state.clock_ns), request.method)

    def _connect(self, address: SplitResult) -> Server:
        there = origin(address)
        server = self._world.servers.get(there)
        if server is None:
            known = there[0] in {host for host, _ in self._world.servers}
            raise Refused(errno.ECONNREFUSED if known else errno.EHOSTUNREACH)
        if address.scheme == "https" and not server.tls:
            raise Refused(errno.EPROTO, "it does not speak TLS")
        if address.scheme == "https" and server.distrust:
            raise Refused(EKEYREJECTED, server.distrust)
        return server


def _checked(request: Request) -> SplitResult:
    """Return a request's address; refuse EINVAL what can't be sent."""
    names = (request.method, *(name for name, _ in request.headers))
    values = (value for _, value in request.headers)
    if not all(map(_TOKEN.fullmatch, names)) or not all(map(_HEADER.fullmatch, values)):
        raise Refused(errno.EINVAL, "no method, or no header")
    if not _ADDRESS.fullmatch(request.url):
        raise Refused(errno.EINVAL, "no address")
    try:
        address = urlsplit(request.url)
        origin(address)
    except ValueError as error:
        raise Refused(errno.EINVAL, str(error)) from None
    return address


def _as_sent(request: Request, address: SplitResult) -> Request:
    """Return a request as the server sees it: without credentials and fragment, with what every client adds."""
    host = address.netloc.rpartition("@")[2]
    given = {name.lower() for name, _ in request.headers}
    added = [("host", host), ("user-agent", f"bocker/{bocker.__version__}"), ("accept-encoding", "identity")]
    if request.body or request.method in WITH_A_LENGTH:
        added.append(("content-length", str(len(request.body))))
    headers = (*request.headers, *(row for row in added if row[0] not in given))
    url = address._replace(netloc=host, path=address.path or "/", fragment="").geturl()
    return request.replace(url=url, headers=tuple((name.lower(), value) for name, value in headers))

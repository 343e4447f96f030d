"""What stands at the other end of a wire in the fake world: how a server answers, and how that arrives.

A server knows neither sockets nor a clock, so that a test can put the same one behind a real
listener; `bocker.fakes.registry` says what such an adapter has to do.
"""

from __future__ import annotations

import errno
from typing import Protocol
from urllib.parse import SplitResult

import attrs

from bocker.kernel.http import Answer, Request

# How a body's end is told.
LENGTH = "length"  # by Content-Length
CHUNKED = "chunked"
UNTIL_CLOSE = "until close"  # by neither: it ends with the connection

SECOND_NS = 1_000_000_000
PATIENCE_NS = 30 * SECOND_NS  # without a byte, after which a client gives up
BODILESS = frozenset({204, 304})  # RFC 9110, 6.4.1
DEFAULT_PORTS = {"http": 80, "https": 443}

Headers = tuple[tuple[str, str], ...]


@attrs.frozen
class Reply:
    """What a server sends.

    answer: None where nothing comes, not even a status. A Content-Length in it is what is announced,
    and may be wrong. cut: after so many bytes of the body (without an answer: at once) the connection
    ends with the errno `ending`; ETIMEDOUT is a server that says no more. The body comes in pieces of
    `piece_bytes`, with `pause_ns` before each; 0 is as much as the wire carries in 10 ms.
    """

    answer: Answer | None
    framing: str = LENGTH
    cut: int | None = None
    ending: int = errno.ECONNRESET
    piece_bytes: int = 0
    pause_ns: int = 0


class Server(Protocol):
    """Something that answers. `tls`: it speaks https and no http. `distrust`: why nobody trusts its
    certificate, empty where all do."""

    tls: bool
    distrust: str

    def respond(self, request: Request, now_ns: int) -> Reply:
        """Answer a request; every change that it makes is made now."""


@attrs.frozen
class Arrival:
    """What a client gets of a reply: an answer with the body as far as it comes, and how that ends: 0 or an errno."""

    answer: Answer
    ending: int = 0
    piece_bytes: int = 0
    pause_ns: int = 0

    def piece(self, start: int, bytes_per_s: int) -> tuple[int, int]:
        """Return where the body's piece that begins at `start` ends, and how many nanoseconds it takes
        on a wire of that speed. Behind the last piece is the client's patience, if the server falls silent."""
        stop = min(start + (self.piece_bytes or max(1, bytes_per_s // 100)), len(self.answer.body))
        if stop == start:
            return stop, PATIENCE_NS if self.ending == errno.ETIMEDOUT else 0
        return stop, self.pause_ns + (stop - start) * SECOND_NS // bytes_per_s

    def duration_ns(self, bytes_per_s: int) -> int:
        """Return how long the whole body takes on such a wire, the patience behind it included."""
        start, total_ns = 0, 0
        while start < len(self.answer.body):
            start, piece_ns = self.piece(start, bytes_per_s)
            total_ns += piece_ns
        return total_ns + self.piece(start, bytes_per_s)[1]


def arrival(reply: Reply, method: str) -> Arrival:
    """Return what a client gets that asked by `method`."""
    if reply.answer is None:
        return Arrival(Answer(0), reply.ending)
    bodiless = method == "HEAD" or reply.answer.status in BODILESS
    body, ending = (b"", 0) if bodiless else _body(reply, reply.answer)
    if body and reply.pause_ns >= PATIENCE_NS:
        body, ending = b"", errno.ETIMEDOUT
    return Arrival(_with_framing(reply, reply.answer).replace(body=body), ending, reply.piece_bytes, reply.pause_ns)


def _with_framing(reply: Reply, answer: Answer) -> Answer:
    headers = tuple((name.lower(), value) for name, value in answer.headers)
    if reply.framing == CHUNKED:
        return answer.replace(headers=(*headers, ("transfer-encoding", "chunked")))
    if reply.framing == UNTIL_CLOSE or header(headers, "content-length") or answer.status in BODILESS:
        return answer.replace(headers=headers)
    return answer.replace(headers=(*headers, ("content-length", str(len(answer.body)))))


def _body(reply: Reply, answer: Answer) -> tuple[bytes, int]:
    """Return what comes of a body, and how that ends."""
    said = header(answer.headers, "content-length") if reply.framing == LENGTH else ""
    length = int(said) if said else len(answer.body)
    body = answer.body[:length]
    if reply.cut is not None and reply.cut < len(body):
        unnoticed = reply.framing == UNTIL_CLOSE and reply.ending == errno.ECONNRESET
        return body[: reply.cut], 0 if unnoticed else reply.ending
    return body, reply.ending if len(body) < length else 0


def header(headers: Headers, name: str) -> str:
    """Return the first header of a name in lower case, empty where there is none."""
    return next((value for key, value in headers if key.lower() == name), "")


def origin(address: SplitResult) -> tuple[str, int]:
    """Return the host and the port of an address; raise ValueError for one that is no web address."""
    port = address.port
    if address.scheme not in DEFAULT_PORTS or not address.hostname or port == 0:
        raise ValueError("no web address")
    return address.hostname, port or DEFAULT_PORTS[address.scheme]

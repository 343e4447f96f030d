"""What goes wrong between a client and a fake registry, and when.

registry.mishaps.append(Mishap("GET */blobs/*", cut(1000)))  # the first download of a blob breaks
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from fnmatch import fnmatchcase

import attrs

from bocker.fakes.servers import SECOND_NS, Reply
from bocker.fakes.web import Visit, refusal
from bocker.kernel.http import Answer, Request

Handle = Callable[[Request], Reply]
Act = Callable[[Request, Handle], Reply]

ALWAYS = 1 << 60


@attrs.define
class Mishap:
    """Something that happens to requests.

    pattern: of `METHOD HOST/PATH` without the query, with `*` for anything. It happens to the request
    `number` (from 1) of those that fit, and to those after it, `times` altogether. act: is given the
    request and what would answer it.
    """

    pattern: str
    act: Act
    number: int = 1
    times: int = 1
    count: int = 0

    def is_now(self, visit: Visit) -> bool:
        """Count a request that fits; tell whether it happens to it."""
        if not fnmatchcase(f"{visit.method} {visit.host}{visit.path}", self.pattern):
            return False
        self.count += 1
        return self.number <= self.count < self.number + self.times


def slow(bytes_per_s: int) -> Act:
    """The body comes so slowly."""
    piece = max(1, bytes_per_s // 10)
    pause_ns = piece * SECOND_NS // bytes_per_s
    return lambda request, handle: attrs.evolve(handle(request), piece_bytes=piece, pause_ns=pause_ns)


def cut(after_bytes: int) -> Act:
    """The connection breaks after so many bytes: of the request's body where it has one (the server keeps
    what came), else of the answer's."""
    return lambda request, handle: _ended(request, handle, after_bytes, errno.ECONNRESET)


def stalled(after_bytes: int) -> Act:
    """As `cut`, but the connection stays, and nothing comes any more."""
    return lambda request, handle: _ended(request, handle, after_bytes, errno.ETIMEDOUT)


def _ended(request: Request, handle: Handle, after_bytes: int, ending: int) -> Reply:
    if request.body:
        handle(request.replace(body=request.body[:after_bytes]))
        return Reply(None, ending=ending)
    return attrs.evolve(handle(request), cut=after_bytes, ending=ending)


def corrupted(request: Request, handle: Handle) -> Reply:
    """The first byte of the body is another one."""
    return _with_body(handle(request), lambda body: bytes([body[0] ^ 1]) + body[1:] if body else body)


def garbage(request: Request, handle: Handle) -> Reply:
    """The body is no document, of the same length."""
    return _with_body(handle(request), lambda body: (b"\xff{]\0" * len(body))[: len(body)])


def _with_body(reply: Reply, change: Callable[[bytes], bytes]) -> Reply:
    answer = reply.answer
    return reply if answer is None else attrs.evolve(reply, answer=answer.replace(body=change(answer.body)))


def announced(bytes_more: int) -> Act:
    """The body's length is said to be so much more than it is, or less."""
    return lambda request, handle: _with_length(handle(request), bytes_more)


def _with_length(reply: Reply, bytes_more: int) -> Reply:
    if reply.answer is None:
        return reply
    others = tuple(row for row in reply.answer.headers if row[0].lower() != "content-length")
    length = ("content-length", str(len(reply.answer.body) + bytes_more))
    return attrs.evolve(reply, answer=reply.answer.replace(headers=(*others, length)))


def expired(request: Request, handle: Handle) -> Reply:
    """The token that came along is not good any more: the request is answered as with an unknown one."""
    others = tuple(row for row in request.headers if row[0].lower() != "authorization")
    return handle(request.replace(headers=(*others, ("authorization", "Bearer expired"))))


def busy(retry_after_s: int) -> Act:
    """429, with the time to wait."""
    answer = refusal(429, "TOOMANYREQUESTS", (("retry-after", str(retry_after_s)),))
    return lambda request, handle: Reply(answer)


def broken(request: Request, handle: Handle) -> Reply:
    """500, with an error of the protocol."""
    return Reply(refusal(500, "UNKNOWN"))


def error_page(request: Request, handle: Handle) -> Reply:
    """503 with a page for people, as the machine before a registry says it."""
    page = b"<html><head><title>503 Service Temporarily Unavailable</title></head><body>nginx</body></html>\n"
    return Reply(Answer(503, (("content-type", "text/html"),), page))


def redirected(location: str) -> Act:
    """307 to another place."""
    return lambda request, handle: Reply(Answer(307, (("location", location),)))


def looping(request: Request, handle: Handle) -> Reply:
    """307 to the same place."""
    return Reply(Answer(307, (("location", request.url),)))


def refusing(request: Request, handle: Handle) -> Reply:
    """Nobody listens."""
    return Reply(None, ending=errno.ECONNREFUSED)


def silent(request: Request, handle: Handle) -> Reply:
    """Nothing comes, and the connection stays."""
    return Reply(None, ending=errno.ETIMEDOUT)


def lost_answer(request: Request, handle: Handle) -> Reply:
    """The request is done, and the connection breaks before the answer."""
    handle(request)
    return Reply(None)

"""The port `http`: requests as they are told, and transfers between a server and a file.

The fixture `server` gives a `Server`: `tests/system/http_server.py` serves its pages on loopback, the
fake's from the fake world.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value

# How a body's end is told.
LENGTH = "length"  # by Content-Length
CHUNKED = "chunked"
UNTIL_CLOSE = "until close"  # by neither: it ends with the connection

# What becomes of a request's `Range: bytes=N-`.
HONOURED = "honoured"  # 206 with `Content-Range: bytes N-LAST/ALL`, and what is asked for
IGNORED = "ignored"  # the page as it is
ELSEWHERE = "elsewhere"  # 206, but with the Content-Range and the bytes from the beginning
UNSAID = "unsaid"  # 206 with what is asked for, but no Content-Range
REFUSED = "refused"  # 416

# Addresses where something else is than a server of pages; for `Server.address`.
REFUSING = "refusing"  # nobody listens
SILENT = "silent"  # takes the request and closes without an answer
HANGING = "hanging"  # takes the request and never answers
BABBLING = "babbling"  # answers with what is no HTTP
UNKNOWN = "unknown"  # a host name that nobody has
UNTRUSTED = "untrusted"  # https, with a certificate that nobody trusts

FOREVER_S = 3600.0


class Page(Value):
    """What a path answers. `headers` come besides those of the framing.

    cut: after so many bytes of the body the connection is closed, whatever was announced.
    pause_s: the body comes in pieces of `piece_bytes`, with so long a pause before each.
    A request of the method HEAD gets the headers of the page alone.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    framing: str = LENGTH
    ranges: str = HONOURED
    cut: int | None = None
    pause_s: float = 0.0
    piece_bytes: int = 1


class Seen(Value):
    """A request that arrived with all of its body. target: the path with the query, as it was sent;
    header names in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str) -> str:
        """Return a header by its name in lower case, joined by commas where there are several, empty where none."""
        return ", ".join(value for key, value in self.headers if key == name)


class Server(ABC):
    """A server of pages, gone at the end of the test. What has no page is answered 404."""

    @abstractmethod
    def serve(self, path: str, *pages: Page) -> str:
        """Answer requests of any method to a path (no query) with these pages, one after another, the last
        one again and again; return the path's URL (http, and a host and port of its own)."""

    @abstractmethod
    def seen(self) -> tuple[Seen, ...]:
        """Return the requests that arrived at pages, in their order."""

    @abstractmethod
    def address(self, kind: str) -> str:
        """Return a URL where something of that kind is (see the constants above)."""

"""A server of the fake world that answers from a script, for what no well-behaved registry does."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from bocker.fakes.servers import Reply
from bocker.fakes.world import World
from bocker.kernel.http import Answer, Request
from bocker.registry.client import PULL, Client
from bocker.registry.credentials import Credentials
from bocker.registry.endpoints import Endpoint

HOST = "registry.example"
URL = f"https://{HOST}"
REPOSITORY = "team/app"

Line = Answer | Reply | Callable[[Request], "Answer | Reply"]


class Scripted:
    """Answers to `METHOD /path` in their order, the last one again and again; 404 for what has none."""

    def __init__(self, tls: bool = True, distrust: str = "") -> None:
        self.tls = tls
        self.distrust = distrust
        self.seen: list[Request] = []
        self._lines: dict[str, list[Line]] = {}

    def on(self, what: str, *lines: Line) -> None:
        """Answer `METHOD /path` so."""
        self._lines[what] = list(lines)

    def respond(self, request: Request, now_ns: int) -> Reply:
        self.seen.append(request)
        lines = self._lines.get(f"{request.method} {urlsplit(request.url).path}", [Answer(404)])
        line = lines.pop(0) if len(lines) > 1 else lines[0]
        said = line(request) if callable(line) else line
        return said if isinstance(said, Reply) else Reply(said)

    def asked(self) -> list[str]:
        """Return what was asked, as `METHOD /path?query`."""
        return [f"{request.method} {address(request)}" for request in self.seen]


def address(request: Request) -> str:
    """Return the path and the query."""
    parts = urlsplit(request.url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def authorization(request: Request) -> str:
    """Return the header, empty where there is none."""
    return next((value for name, value in request.headers if name.lower() == "authorization"), "")


def a_client(
    world: World,
    known: Credentials | None = None,
    actions: tuple[str, ...] = PULL,
    url: str = URL,
    name: str = "",
) -> Client:
    """Return a client of a new program in the world."""
    kernel = world.kernel()
    endpoint = Endpoint(url, urlsplit(url).netloc, REPOSITORY)
    return Client(kernel.http, kernel.ambient, endpoint, REPOSITORY, lambda: known, actions, name)

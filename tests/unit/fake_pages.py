"""The contract's server of pages, in the fake world."""

from __future__ import annotations

import errno
from urllib.parse import urlsplit

from bocker.fakes import World
from bocker.fakes.servers import SECOND_NS, Reply
from bocker.kernel.http import Answer, Request
from tests.contracts.http import (
    BABBLING,
    ELSEWHERE,
    HANGING,
    IGNORED,
    REFUSED,
    REFUSING,
    SILENT,
    UNKNOWN,
    UNSAID,
    UNTRUSTED,
    Page,
    Seen,
    Server,
)

HOST = "127.0.0.1"
PORT = 8000
ENDINGS = {SILENT: errno.ECONNRESET, HANGING: errno.ETIMEDOUT, BABBLING: errno.EPROTO}


class Speechless:
    """Takes requests and answers nothing; how that ends is `ending`."""

    def __init__(self, ending: int = errno.ECONNRESET, distrust: str = "") -> None:
        self.ending = ending
        self.tls = bool(distrust)
        self.distrust = distrust

    def respond(self, request: Request, now_ns: int) -> Reply:
        return Reply(None, ending=self.ending)


class FakePages(Server):
    tls = False
    distrust = ""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pages: dict[str, list[Page]] = {}
        self._seen: list[Seen] = []
        self._last_port = PORT
        world.serve(self, f"http://{HOST}:{PORT}")

    def serve(self, path: str, *pages: Page) -> str:
        self._pages[path] = list(pages)
        return f"http://{HOST}:{PORT}{path}"

    def seen(self) -> tuple[Seen, ...]:
        return tuple(self._seen)

    def address(self, kind: str) -> str:
        if kind == UNKNOWN:
            return "http://nobody.invalid/"
        self._last_port += 1
        url = f"{'https' if kind == UNTRUSTED else 'http'}://{HOST}:{self._last_port}"
        if kind == UNTRUSTED:
            self._world.serve(Speechless(distrust="its certificate is signed by itself"), url)
        elif kind != REFUSING:
            self._world.serve(Speechless(ENDINGS[kind]), url)
        return f"{url}/"

    def respond(self, request: Request, now_ns: int) -> Reply:
        address = urlsplit(request.url)
        pages = self._pages.get(address.path)
        if pages is None:
            return Reply(Answer(404))
        target = address._replace(scheme="", netloc="").geturl()
        self._seen.append(Seen(request.method, target, request.headers, request.body))
        return _reply(pages.pop(0) if len(pages) > 1 else pages[0], request)


def _reply(page: Page, request: Request) -> Reply:
    wanted = next((value for name, value in request.headers if name == "range"), "")
    answer = Answer(page.status, page.headers, page.body)
    if wanted and page.ranges != IGNORED:
        answer = _part(page, int(wanted.removeprefix("bytes=").removesuffix("-")))
    pause_ns = int(page.pause_s * SECOND_NS)
    return Reply(answer, page.framing, page.cut, piece_bytes=page.piece_bytes if pause_ns else 0, pause_ns=pause_ns)


def _part(page: Page, first: int) -> Answer:
    if page.status != 200:
        return Answer(page.status, page.headers, page.body)
    if page.ranges == REFUSED:
        return Answer(416)
    first = 0 if page.ranges == ELSEWHERE else first
    body = page.body[first:]
    said = (("Content-Range", f"bytes {first}-{len(page.body) - 1}/{len(page.body)}"),)
    return Answer(206, page.headers + (() if page.ranges == UNSAID else said), body)

"""The contract's server of pages on loopback, and the places where something else is."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.contracts.http import (
    BABBLING,
    CHUNKED,
    ELSEWHERE,
    HANGING,
    HONOURED,
    IGNORED,
    LENGTH,
    REFUSED,
    REFUSING,
    SILENT,
    UNKNOWN,
    UNTRUSTED,
    Page,
    Seen,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOST = "127.0.0.1"
WHOLE_BYTES = 1 << 20


class HttpServer(Server):
    """Threads of the test's process. `directory` is for a certificate."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pages: dict[str, list[Page]] = {}
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._sockets: list[socket.socket] = []
        self._server = self._start()

    def serve(self, path: str, *pages: Page) -> str:
        with self._lock:
            self._pages[path] = list(pages)
        return f"http://{HOST}:{self._server.server_port}{path}"

    def seen(self) -> tuple[Seen, ...]:
        with self._lock:
            return tuple(self._seen)

    def address(self, kind: str) -> str:
        if kind == UNKNOWN:
            return "http://nobody.invalid/"
        if kind == UNTRUSTED:
            return self._untrusted()
        behave = {REFUSING: None, SILENT: _close, HANGING: self._hang, BABBLING: _babble}[kind]
        return f"http://{HOST}:{self._listen(behave)}/"

    def close(self) -> None:
        """End all threads."""
        self._closed.set()
        for listening in self._sockets:
            listening.close()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, seen: Seen, path: str) -> Page:
        """Note a request; return its page."""
        with self._lock:
            pages = self._pages.get(path)
            if pages is None:
                return Page(404)
            self._seen.append(seen)
            return pages.pop(0) if len(pages) > 1 else pages[0]

    def pause(self, seconds: float) -> None:
        """Wait, or until the server ends."""
        self._closed.wait(seconds)

    def _start(self, context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"pages": self})
        server = _Listener((HOST, 0), handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    def _untrusted(self) -> str:
        certificate, key = self_signed(self._directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return f"https://{HOST}:{self._listen(_close, context)}/"

    def _listen(self, behave: Callable[[socket.socket], object] | None, context: ssl.SSLContext | None = None) -> int:
        """Take connections and treat each as told; nobody listens at the port without that."""
        listening = socket.create_server((HOST, 0))
        port: int = listening.getsockname()[1]
        if behave is None:
            listening.close()
            return port
        self._sockets.append(listening)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=treat, args=(connection,), daemon=True).start()

        def treat(connection: socket.socket) -> None:
            try:
                secured = connection if context is None else context.wrap_socket(connection, server_side=True)
                with secured:
                    behave(secured)
            except OSError:
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        return port

    def _hang(self, connection: socket.socket) -> None:
        connection.recv(WHOLE_BYTES)
        self._closed.wait()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: who is served goes away as he likes."""


class _Handler(BaseHTTPRequestHandler):
    pages: HttpServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""

    def _serve(self) -> None:
        seen = Seen(
            self.command,
            self.path,
            tuple((name.lower(), value) for name, value in self.headers.items()),
            self.rfile.read(int(self.headers.get("content-length", "0"))),
        )
        page = _part(self.pages.answer(seen, self.path.partition("?")[0]), self.headers.get("range", ""))
        self.send_response_only(page.status)
        for name, value in (*page.headers, *_framing(page)):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(page)

    def _send_body(self, page: Page) -> None:
        for piece in _pieces(page):
            self.pages.pause(page.pause_s) if page.pause_s else None
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if page.framing == CHUNKED else piece)
        if page.cut is not None or page.framing not in {LENGTH, CHUNKED}:
            self.close_connection = True
        elif page.framing == CHUNKED:
            self.wfile.write(b"0\r\n\r\n")


def _part(page: Page, asked: str) -> Page:
    """Return the page as it answers a Range."""
    if not asked.startswith("bytes=") or page.status != 200 or page.ranges == IGNORED:
        return page
    if page.ranges == REFUSED:
        return Page(416)
    begin = int(asked.removeprefix("bytes=").removesuffix("-"))
    first = 0 if page.ranges == ELSEWHERE else begin
    said = (("Content-Range", f"bytes {first}-{len(page.body) - 1}/{len(page.body)}"),)
    kept = page.replace(status=206, body=page.body[first:])
    return kept.replace(headers=page.headers + said) if page.ranges in {HONOURED, ELSEWHERE} else kept


def _framing(page: Page) -> Iterator[tuple[str, str]]:
    if page.framing == LENGTH and page.status != 204:
        yield "Content-Length", str(len(page.body))
    elif page.framing == CHUNKED:
        yield "Transfer-Encoding", "chunked"
    elif page.framing != LENGTH:
        yield "Connection", "close"


def _pieces(page: Page) -> Iterator[bytes]:
    body = page.body if page.cut is None else page.body[: page.cut]
    step = page.piece_bytes if page.pause_s else WHOLE_BYTES
    for begin in range(0, len(body), step):
        yield body[begin : begin + step]


def _close(connection: socket.socket) -> None:
    """Read what was asked, so that the end of the connection is no reset, and answer nothing."""
    connection.recv(WHOLE_BYTES)


def _babble(connection: socket.socket) -> None:
    connection.recv(WHOLE_BYTES)
    connection.sendall(b"220 mail.example ESMTP at your service\r\n")


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that is its own authority, and may be (Python 3.13 looks); return it and its
    key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    if not certificate.exists():
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
        usage = ["-addext", "keyUsage=critical,keyCertSign,digitalSignature"]
        places = ["-addext", f"subjectAltName=IP:{HOST},DNS:localhost", "-out", str(certificate), "-keyout", str(key)]
        subprocess.run([*command.split(), *usage, *places], check=True, capture_output=True)
    return certificate, key

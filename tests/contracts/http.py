"""The port `http`: requests as they are told, and transfers between a server and a file.

The fixture `server` gives a `Server`: `tests/system/http_server.py` serves its pages on loopback, the
fake's from the fake world.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pytest

from bocker.core.value import Value
from bocker.kernel.errors import (
    EKEYREJECTED,
    Denied,
    Invalid,
    KernelError,
    Missing,
    NoSpace,
    ReadOnly,
    TooLarge,
    Unreachable,
    Untrusted,
)
from bocker.kernel.http import ANSWER_BYTES, Answer, Answered, Failed, Progress, Request
from tests.contracts.lab import DENIED, FULL, MISSING, READ_ONLY
from tests.contracts.refusals import refused
from tests.patience import patience

if TYPE_CHECKING:
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

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


BODY = bytes(range(256)) * 1024
PAGE = Page(body=BODY)
PART_BYTES = 100_000
DIGEST = hashlib.sha256(BODY).hexdigest()
ERROR_PAGE = b"<html><body>Bad gateway</body></html>"
TRICKLE = Page(body=BODY, pause_s=0.02, piece_bytes=64)  # takes more than a minute
PATIENCE_S = patience(20.0)


def end_of(kernel: Kernel, transfer: int) -> Answered | Failed:
    """Wait for the end of a transfer, which is the only one; see that its progress grows."""
    before = 0
    while True:
        news = kernel.http.wait(PATIENCE_S)
        assert news is not None
        assert news.transfer == transfer
        if not isinstance(news, Progress):
            return news
        assert news.bytes_done >= before
        before = news.bytes_done


def failure_of(kernel: Kernel, transfer: int) -> KernelError:
    end = end_of(kernel, transfer)
    assert isinstance(end, Failed)
    return end.error


def answer_of(kernel: Kernel, transfer: int) -> Answered:
    end = end_of(kernel, transfer)
    assert isinstance(end, Answered)
    return end


class HttpContract:
    # Questions

    def test_who_is_prepared_may_ask(self, kernel: Kernel, server: Server) -> None:
        kernel.http.prepare()
        kernel.http.prepare()
        assert kernel.http.ask(Request("GET", server.serve("/page", PAGE))).status == 200

    @pytest.mark.parametrize("framing", [LENGTH, CHUNKED, UNTIL_CLOSE])
    def test_the_answer_is_told_as_it_came(self, kernel: Kernel, server: Server, framing: str) -> None:
        """The body whole, however its end was told; header names small, of several with one name all."""
        headers = (("X-One", "a, B"), ("Www-Authenticate", 'Bearer realm="x"'), ("Www-Authenticate", "Basic"))
        url = server.serve("/page", Page(203, headers, BODY, framing))
        answer = kernel.http.ask(Request("GET", url))
        assert (answer.status, answer.body) == (203, BODY)
        assert answer.get("x-one") == "a, B"
        assert [value for name, value in answer.headers if name == "www-authenticate"] == ['Bearer realm="x"', "Basic"]

    @pytest.mark.parametrize("status", [201, 204, 401, 404, 416, 429, 500, 503])
    def test_every_status_is_an_answer(self, kernel: Kernel, server: Server, status: int) -> None:
        body = b"" if status == 204 else ERROR_PAGE
        url = server.serve("/page", Page(status, (("Retry-After", "7"),), body))
        answer = kernel.http.ask(Request("GET", url))
        assert (answer.status, answer.body, answer.get("retry-after")) == (status, body, "7")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_no_redirect_is_followed(self, kernel: Kernel, server: Server, status: int) -> None:
        target = server.serve("/target", PAGE)
        answer = kernel.http.ask(Request("GET", server.serve("/page", Page(status, (("Location", target),)))))
        assert (answer.status, answer.get("location")) == (status, target)
        assert len(server.seen()) == 1

    @pytest.mark.parametrize("status", [429, 503])
    def test_nothing_is_tried_again(self, kernel: Kernel, server: Server, status: int) -> None:
        kernel.http.ask(Request("GET", server.serve("/page", Page(status, (("Retry-After", "0"),)))))
        assert len(server.seen()) == 1

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("body", [b"", b"\x00body\r\n\r\n\xff", bytes(100_000)], ids=["empty", "small", "large"])
    def test_the_request_is_sent_as_it_is(self, kernel: Kernel, server: Server, method: str, body: bytes) -> None:
        """Method, query, headers and body; the few headers besides are those that the port names."""
        url = server.serve("/v2/a-b_c.d~/", PAGE) + "?digest=sha256%3Aab&from=x/y&empty="
        given = (("Authorization", "Bearer abc="), ("Content-Type", "application/x-y+json"), ("x-many", "a,b"))
        kernel.http.ask(Request(method, url, given, body))
        (seen,) = server.seen()
        assert (seen.method, seen.body) == (method, body)
        assert seen.target == "/v2/a-b_c.d~/?digest=sha256%3Aab&from=x/y&empty="
        for name, value in given:
            assert seen.get(name.lower()) == value
        more = {name for name, _ in seen.headers} - {name.lower() for name, _ in given}
        assert more <= {"host", "content-length", "accept-encoding", "user-agent", "connection"}
        assert seen.get("accept-encoding") == "identity"
        assert url.startswith(f"http://{seen.get('host')}/")
        allowed = {str(len(body))} if body or method in {"POST", "PUT", "PATCH"} else {"", "0"}
        assert seen.get("content-length") in allowed

    def test_several_headers_of_a_name_all_arrive(self, kernel: Kernel, server: Server) -> None:
        url = server.serve("/page", PAGE)
        kernel.http.ask(Request("GET", url, (("Accept", "a/b"), ("accept", "c/d"), ("ACCEPT", "e/f"))))
        assert server.seen()[0].get("accept") == "a/b, c/d, e/f"

    def test_credentials_in_the_address_and_cookies_are_not_used(self, kernel: Kernel, server: Server) -> None:
        url = server.serve("/page", Page(headers=(("Set-Cookie", "a=b; Path=/"),)))
        for _ in range(2):
            assert kernel.http.ask(Request("GET", url.replace("://", "://somebody:secret@"))).status == 200
        for seen in server.seen():
            assert not {"authorization", "cookie"} & {name for name, _ in seen.headers}

    def test_head_has_no_body(self, kernel: Kernel, server: Server) -> None:
        answer = kernel.http.ask(Request("HEAD", server.serve("/page", PAGE)))
        assert (answer.status, answer.body, answer.get("content-length")) == (200, b"", str(len(BODY)))

    def test_what_is_compressed_stays_so(self, kernel: Kernel, server: Server) -> None:
        """Digests are of the bytes that came."""
        body = gzip.compress(b"content")
        url = server.serve("/page", Page(headers=(("Content-Encoding", "gzip"),), body=body))
        assert kernel.http.ask(Request("GET", url)).body == body

    @pytest.mark.parametrize("framing", [LENGTH, CHUNKED, UNTIL_CLOSE])
    def test_a_body_has_a_bound(self, kernel: Kernel, server: Server, framing: str) -> None:
        url = server.serve("/page", Page(body=BODY, framing=framing))
        assert kernel.http.ask(Request("GET", url), len(BODY)).body == BODY
        with refused(TooLarge, errno.EFBIG):
            kernel.http.ask(Request("GET", url), len(BODY) - 1)
        assert kernel.http.ask(Request("GET", url), len(BODY)).body == BODY

    @pytest.mark.parametrize(
        ("kind", "error", "number"),
        [
            (REFUSING, Unreachable, errno.ECONNREFUSED),
            (SILENT, Unreachable, errno.ECONNRESET),
            (HANGING, Unreachable, errno.ETIMEDOUT),
            (BABBLING, Unreachable, errno.EPROTO),
            (UNKNOWN, Unreachable, errno.EHOSTUNREACH),
            (UNTRUSTED, Untrusted, EKEYREJECTED),
        ],
    )
    def test_no_answer(
        self, kernel: Kernel, server: Server, lab: Lab, kind: str, error: type[KernelError], number: int
    ) -> None:
        """Whoever asks, and whichever way."""
        url = server.address(kind)
        with refused(error, number):
            kernel.http.ask(Request("GET", url))
        lab.write_file(f"{lab.directory}/up", BODY)
        transfer = kernel.http.download(Request("GET", url), f"{lab.directory}/down", 5)
        failed = failure_of(kernel, transfer)
        assert (type(failed), failed.errno, failed.operation) == (error, number, "http.download")
        transfer = kernel.http.upload(Request("PUT", url), f"{lab.directory}/up")
        failed = failure_of(kernel, transfer)
        assert (type(failed), failed.operation) == (error, "http.upload")
        assert failed.errno in {number, errno.ECONNRESET}  # who has not read all of it resets the connection
        assert not lab.exists(f"{lab.directory}/down")

    def test_why_a_certificate_is_not_trusted_is_told(self, kernel: Kernel, server: Server) -> None:
        with pytest.raises(Untrusted) as caught:
            kernel.http.ask(Request("GET", server.address(UNTRUSTED)))
        assert "certificate" in caught.value.detail

    @pytest.mark.parametrize("framing", [LENGTH, CHUNKED])
    def test_an_answer_that_breaks_off(self, kernel: Kernel, server: Server, framing: str) -> None:
        with refused(Unreachable, errno.ECONNRESET):
            kernel.http.ask(Request("GET", server.serve("/page", Page(body=BODY, framing=framing, cut=1000))))

    @pytest.mark.parametrize(
        "change",
        [
            {"url": ""},
            {"url": "registry/v2/"},
            {"url": "ftp://127.0.0.1/"},
            {"url": "file:///etc/passwd"},
            {"url": "http://"},
            {"url": "http:///v2/"},
            {"url": "http://127.0.0.1:port/"},
            {"url": "http://127.0.0.1:99999/"},
            {"url": "http://127.0.0.1/\r\nX-Injected: 1"},
            {"url": "http://127.0.0.1/a b"},
            {"url": "http://127.0.0.1/\x7f"},
            {"url": " http://127.0.0.1/"},
            {"method": "GET / HTTP/1.1\r\nX-Injected: 1\r\n\r\nGET"},
            {"method": ""},
            {"method": "GET x"},
            {"headers": (("X-One", "a\r\nX-Injected: 1"),)},
            {"headers": (("X-One", "a\nb"),)},
            {"headers": (("X-One", "a\0b"),)},
            {"headers": (("X-One\r\nX-Injected", "1"),)},
            {"headers": (("X One", "1"),)},
            {"headers": (("X-One:", "1"),)},
            {"headers": (("", "1"),)},
            {"headers": (("X-One", "\u20ac"),)},
        ],
    )
    def test_what_can_not_be_sent(self, kernel: Kernel, server: Server, lab: Lab, change: dict[str, Any]) -> None:
        request = Request("GET", server.serve("/page", PAGE)).replace(**change)
        with refused(Invalid, errno.EINVAL):
            kernel.http.ask(request)
        failed = failure_of(kernel, kernel.http.download(request, f"{lab.directory}/file", 5))
        assert (type(failed), failed.errno) == (Invalid, errno.EINVAL)
        assert server.seen() == ()

    @pytest.mark.parametrize("kind", [REFUSING, SILENT, BABBLING, UNKNOWN, UNTRUSTED])
    def test_an_error_says_no_secret(self, kernel: Kernel, server: Server, kind: str) -> None:
        """Logs and terminals show errors: neither credentials nor what signs an address."""
        url = server.address(kind)
        request = Request(
            "GET", url.replace("://", "://me:secret@") + "v2/?token=secret#secret", (("Authorization", "secret"),)
        )
        with pytest.raises(KernelError) as caught:
            kernel.http.ask(request)
        assert "secret" not in str(caught.value)
        assert caught.value.subject == url + "v2/"
        assert caught.value.operation == "http.ask"

    # Downloads

    @pytest.mark.parametrize("framing", [LENGTH, CHUNKED, UNTIL_CLOSE])
    def test_a_file_is_fetched(self, kernel: Kernel, server: Server, lab: Lab, framing: str) -> None:
        path = f"{lab.directory}/file"
        url = server.serve("/blob", Page(headers=(("X-One", "1"),), body=BODY, framing=framing))
        end = answer_of(kernel, kernel.http.download(Request("GET", url, (("Accept", "x/y"),)), path, len(BODY)))
        assert (end.answer.status, end.answer.get("x-one"), end.answer.body) == (200, "1", b"")
        assert (end.digest, end.size_bytes) == (DIGEST, len(BODY))
        assert lab.read_file(path) == BODY
        assert lab.tree(lab.directory)["file"].mode == 0o600
        assert server.seen()[0].get("accept") == "x/y"
        assert server.seen()[0].get("range") == ""
        assert kernel.http.wait(0.0) is None

    def test_an_empty_file_is_fetched(self, kernel: Kernel, server: Server, lab: Lab) -> None:
        end = answer_of(
            kernel, kernel.http.download(Request("GET", server.serve("/blob", Page())), f"{lab.directory}/file", 0)
        )
        assert (end.digest, end.size_bytes) == (hashlib.sha256().hexdigest(), 0)
        assert lab.read_file(f"{lab.directory}/file") == b""

    @pytest.mark.parametrize("ranges", [HONOURED, IGNORED])
    def test_a_file_is_gone_on_with(self, kernel: Kernel, server: Server, lab: Lab, ranges: str) -> None:
        """Only what is missing is asked for; who sends all of it gets the file begun anew."""
        path = f"{lab.directory}/file"
        part = BODY[:PART_BYTES] if ranges == HONOURED else b"x" * PART_BYTES
        lab.write_file(path, part)
        url = server.serve("/blob", Page(body=BODY, ranges=ranges))
        end = answer_of(kernel, kernel.http.download(Request("GET", url), path, len(BODY)))
        assert end.answer.status == (206 if ranges == HONOURED else 200)
        assert (end.digest, end.size_bytes) == (DIGEST, len(BODY))
        assert lab.read_file(path) == BODY
        assert [seen.get("range") for seen in server.seen()] == [f"bytes={PART_BYTES}-"]

    @pytest.mark.parametrize("ranges", [ELSEWHERE, UNSAID])
    def test_another_part_than_the_missing_one(self, kernel: Kernel, server: Server, lab: Lab, ranges: str) -> None:
        path = f"{lab.directory}/file"
        lab.write_file(path, BODY[:PART_BYTES])
        url = server.serve("/blob", Page(body=BODY, ranges=ranges))
        failed = failure_of(kernel, kernel.http.download(Request("GET", url), path, len(BODY)))
        assert (type(failed), failed.errno) == (Unreachable, errno.EPROTO)
        assert lab.read_file(path) == BODY[:PART_BYTES]

    @pytest.mark.parametrize("page", [Page(body=BODY, ranges=REFUSED), Page(404, body=b"gone")], ids=["416", "404"])
    def test_a_refusal_leaves_the_file(self, kernel: Kernel, server: Server, lab: Lab, page: Page) -> None:
        path = f"{lab.directory}/file"
        lab.write_file(path, BODY[:PART_BYTES])
        end = answer_of(kernel, kernel.http.download(Request("GET", server.serve("/b", page)), path, len(BODY)))
        assert (end.answer.status, end.digest, end.size_bytes) == (416 if page.status == 200 else 404, "", 0)
        assert lab.read_file(path) == BODY[:PART_BYTES]

    def test_what_is_there_is_not_fetched(self, kernel: Kernel, server: Server, lab: Lab) -> None:
        path = f"{lab.directory}/file"
        lab.write_file(path, BODY)
        url = server.serve("/blob", PAGE)
        end = answer_of(kernel, kernel.http.download(Request("GET", url), path, len(BODY)))
        assert (end.answer, end.digest, end.size_bytes) == (Answer(200), DIGEST, len(BODY))
        assert server.seen() == ()

    def test_a_file_that_is_too_long_is_begun_anew(self, kernel: Kernel, server: Server, lab: Lab) -> None:
        path = f"{lab.directory}/file"
        lab.write_file(path, b"x" * (len(BODY) + 1))
        url = server.serve("/blob", PAGE)
        end = answer_of(kernel, kernel.http.download(Request("GET", url), path, len(BODY)))
        assert (end.digest, server.seen()[0].get("range")) == (DIGEST, "")
        assert lab.read_file(path) == BODY

    @pytest.mark.parametrize("status", [204, 302, 401, 404, 429, 500])
    def test_who_refuses_is_heard(self, kernel: Kernel, server: Server, lab: Lab, status: int) -> None:
        """The first bytes of what he says, and no file."""
        body = b"" if status == 204 else ERROR_PAGE + bytes(2 * ANSWER_BYTES)
        url = server.serve("/blob", Page(status, (("Location", "http://elsewhere/"),), body))
        end = answer_of(kernel, kernel.http.download(Request("GET", url), f"{lab.directory}/file", len(body)))
        assert (end.answer.status, end.answer.get("location")) == (status, "http://elsewhere/")
        assert (end.answer.body, end.digest) == (body[:ANSWER_BYTES], "")
        assert not lab.exists(f"{lab.directory}/file")
        assert len(server.seen()) == 1

    @pytest.mark.parametrize(
        "page",
        [
            Page(body=BODY, cut=PART_BYTES),
            Page(body=BODY, cut=PART_BYTES, framing=CHUNKED),
            Page(body=BODY, cut=PART_BYTES, framing=UNTIL_CLOSE),
            Page(body=BODY[:PART_BYTES]),
            Page(body=BODY[:PART_BYTES], framing=CHUNKED),
        ],
        ids=["cut", "cut between chunks", "closed", "too short", "too few chunks"],
    )
    def test_what_broke_off_is_taken_up(self, kernel: Kernel, server: Server, lab: Lab, page: Page) -> None:
        """All that came is kept."""
        path = f"{lab.directory}/file"
        url = server.serve("/blob", page, PAGE)
        failed = failure_of(kernel, kernel.http.download(Request("GET", url), path, len(BODY)))
        assert (type(failed), failed.errno) == (Unreachable, errno.ECONNRESET)
        assert lab.read_file(path) == BODY[:PART_BYTES]
        end = answer_of(kernel, kernel.http.download(Request("GET", url), path, len(BODY)))
        assert (end.answer.status, end.digest) == (206, DIGEST)
        assert lab.read_file(path) == BODY

    @pytest.mark.parametrize("framing", [LENGTH, CHUNKED, UNTIL_CLOSE])
    @pytest.mark.parametrize("more", [1, len(BODY)])
    def test_a_body_that_is_too_long(self, kernel: Kernel, server: Server, lab: Lab, framing: str, more: int) -> None:
        path = f"{lab.directory}/file"
        url = server.serve("/blob", Page(body=BODY + bytes(more), framing=framing))
        failed = failure_of(kernel, kernel.http.download(Request("GET", url), path, len(BODY)))
        assert (type(failed), failed.errno) == (TooLarge, errno.EFBIG)
        assert lab.read_file(path) == BODY

    @pytest.mark.parametrize(
        ("condition", "name", "error"),
        [
            (MISSING, "file", Missing),
            (READ_ONLY, "new", ReadOnly),
            (READ_ONLY, "file", ReadOnly),
            (DENIED, "new", Denied),
            (FULL, "new", NoSpace),
        ],
    )
    def test_a_file_that_can_not_be_written(
        self, kernel: Kernel, server: Server, lab: Lab, condition: str, name: str, error: type[KernelError]
    ) -> None:
        path = f"{lab.place(condition)}/{name}"
        url = server.serve("/blob", Page(body=BODY * 4))
        failed = failure_of(kernel, kernel.http.download(Request("GET", url), path, 4 * len(BODY)))
        assert type(failed) is error

    def test_progress_is_told(self, kernel: Kernel, server: Server, lab: Lab) -> None:
        """While it goes on, with what was there before; not more often than ten times a second."""
        path = f"{lab.directory}/file"
        lab.write_file(path, BODY[:PART_BYTES])
        slow = Page(body=BODY, pause_s=0.05, piece_bytes=len(BODY) // 32)
        transfer = kernel.http.download(Request("GET", server.serve("/blob", slow)), path, len(BODY))
        told = []
        while isinstance(news := kernel.http.wait(PATIENCE_S), Progress):
            told.append(news.bytes_done)
        assert isinstance(news, Answered)
        assert news.transfer == transfer
        assert told == sorted(set(told))
        assert told[0] > PART_BYTES
        assert told[-1] <= len(BODY)
        assert 3 <= len(told) <= 15

    def test_several_go_on_side_by_side(self, kernel: Kernel, server: Server, lab: Lab) -> None:
        """The slow one holds up nobody, not even who asks; each has its own end."""
        slow = kernel.http.download(Request("GET", server.serve("/slow", TRICKLE)), f"{lab.directory}/slow", len(BODY))
        bodies = {f"/{number}": BODY[number:] for number in range(5)}
        transfers = {
            kernel.http.download(
                Request("GET", server.serve(name, Page(body=body))), f"{lab.directory}{name}", len(body)
            ): body
            for name, body in bodies.items()
        }
        assert kernel.http.ask(Request("GET", server.serve("/page", Page(body=b"asked")))).body == b"asked"
        assert len({slow, *transfers}) == 6
        while transfers:
            news = kernel.http.wait(PATIENCE_S)
            assert news is not None
            if not isinstance(news, Progress):
                assert isinstance(news, Answered)
                assert news.digest == hashlib.sha256(transfers.pop(news.transfer)).hexdigest()
        assert all(lab.read_file(f"{lab.directory}{name}") == body for name, body in bodies.items())
        kernel.http.cancel(slow)

    # Waiting and ending

    def test_nothing_is_waited_for_without_a_transfer(self, kernel: Kernel, server: Server) -> None:
        """However long one would."""
        assert kernel.http.wait(FOREVER_S) is None
        kernel.http.ask(Request("GET", server.serve("/page", PAGE)))
        assert kernel.http.wait(FOREVER_S) is None

    def test_waiting_ends_in_its_time(self, kernel: Kernel, server: Server, lab: Lab) -> None:
        transfer = kernel.http.upload(Request("PUT", server.address(HANGING)), f"{lab.directory}/none")
        assert isinstance(kernel.http.wait(PATIENCE_S), Failed)
        begin_ns = kernel.ambient.now_ns()
        transfer = kernel.http.download(Request("GET", server.address(HANGING)), f"{lab.directory}/file", 5)
        assert kernel.http.wait(0.0) is None
        assert kernel.http.wait(0.2) is None
        assert 0.2 <= (kernel.ambient.now_ns() - begin_ns) / 1e9 < 5
        kernel.http.cancel(transfer)

    @pytest.mark.parametrize("kind", ["trickle", HANGING])
    def test_a_cancelled_transfer_is_silent(self, kernel: Kernel, server: Server, lab: Lab, kind: str) -> None:
        """Its file is as it was then, and the next transfer may have it."""
        path = f"{lab.directory}/file"
        lab.write_file(path, BODY[:PART_BYTES])
        url = server.serve("/blob", TRICKLE, PAGE) if kind == "trickle" else server.address(kind)
        transfer = kernel.http.download(Request("GET", url), path, len(BODY))
        if kind == "trickle":
            assert isinstance(kernel.http.wait(PATIENCE_S), Progress)
        kernel.http.cancel(transfer)
        kept = lab.read_file(path)
        assert kernel.http.wait(FOREVER_S) is None
        assert kept == BODY[: len(kept)]
        assert (len(kept) > PART_BYTES) == (kind == "trickle")
        url = server.serve("/blob", PAGE)
        other = kernel.http.download(Request("GET", url), path, len(BODY))
        assert other != transfer
        assert answer_of(kernel, other).digest == DIGEST
        assert lab.read_file(path) == BODY

    def test_what_ended_can_be_cancelled(self, kernel: Kernel, server: Server, lab: Lab) -> None:
        """Whether its end was told or not; and what never was."""
        url = server.serve("/blob", PAGE)
        transfer = kernel.http.download(Request("GET", url), f"{lab.directory}/file", len(BODY))
        answer_of(kernel, transfer)
        kernel.http.cancel(transfer)
        kernel.http.cancel(transfer + 7)
        transfer = kernel.http.download(Request("GET", url), f"{lab.directory}/file", len(BODY))
        kernel.ambient.sleep(0.3)
        kernel.http.cancel(transfer)
        assert kernel.http.wait(0.1) is None

    # Uploads

    @pytest.mark.parametrize("body", [b"", b"x", BODY * 8], ids=["empty", "a byte", "2 MiB"])
    def test_a_file_is_sent(self, kernel: Kernel, server: Server, lab: Lab, body: bytes) -> None:
        """In one piece with its length, and the answer's body comes back."""
        lab.write_file(f"{lab.directory}/file", body)
        url = server.serve("/upload", Page(201, (("Location", "/v2/x"),), ERROR_PAGE))
        given = (("Content-Type", "application/octet-stream"), ("Authorization", "Basic x"))
        end = answer_of(kernel, kernel.http.upload(Request("PUT", url, given), f"{lab.directory}/file"))
        assert (end.answer.status, end.answer.get("location"), end.answer.body) == (201, "/v2/x", ERROR_PAGE)
        assert (end.digest, end.size_bytes) == ("", 0)
        (seen,) = server.seen()
        assert (seen.method, seen.body) == ("PUT", body)
        assert seen.get("content-length") == str(len(body))
        assert seen.get("transfer-encoding") == ""
        assert all(seen.get(name.lower()) == value for name, value in given)

    def test_a_file_that_is_not_there_is_not_sent(self, kernel: Kernel, server: Server, lab: Lab) -> None:
        failed = failure_of(
            kernel, kernel.http.upload(Request("PUT", server.serve("/upload", PAGE)), f"{lab.directory}/none")
        )
        assert (type(failed), failed.errno, server.seen()) == (Missing, errno.ENOENT, ())

    @pytest.mark.parametrize("status", [307, 401, 413, 500])
    def test_a_refused_upload_is_an_answer(self, kernel: Kernel, server: Server, lab: Lab, status: int) -> None:
        lab.write_file(f"{lab.directory}/file", BODY)
        url = server.serve("/upload", Page(status, body=ERROR_PAGE))
        end = answer_of(kernel, kernel.http.upload(Request("PATCH", url), f"{lab.directory}/file"))
        assert (end.answer.status, end.answer.body) == (status, ERROR_PAGE)
        assert len(server.seen()) == 1

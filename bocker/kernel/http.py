"""HTTP as a client: documents that fit in memory, and blobs that go between a server and a file."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.kernel.errors import KernelError

ANSWER_BYTES = 64 << 10  # of the body of a transfer's refusal; the rest is not read


class Request(Value):
    """What is asked. `url` is absolute, `http` or `https`; header names in any case."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Answer(Value):
    """What a server answered; header names in lower case, in their order."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def get(self, name: str) -> str:
        """Return a header by its name in lower case, joined by commas where there are several, empty where none."""
        return ", ".join(value for key, value in self.headers if key == name)


class Progress(Value):
    """So many bytes of a transfer's file are there, or were sent; not more often than ten times a second."""

    transfer: int
    bytes_done: int


class Answered(Value):
    """A transfer ended with an answer. Of a download that succeeded (200, 206): the SHA-256 of the
    whole file, 64 hexadecimal digits, and its size; else the digest is empty, the answer has the
    body's first `ANSWER_BYTES`, and the file is as it was."""

    transfer: int
    answer: Answer
    digest: str = ""
    size_bytes: int = 0


class Failed(Value):
    """A transfer ended without an answer, or in the middle of it. What a download had written stays.

    error: as `Http` tells it, of the operation `http.download` or `http.upload`, or that of the file:
    Missing, Denied, NoSpace, ReadOnly.
    """

    transfer: int
    error: KernelError


class Http(ABC):
    """Requests as they are told: nothing is retried, no redirect is followed, no header is made up but
    Host, Content-Length, Accept-Encoding (`identity`), User-Agent and Connection.

    Proxies and certificates are found as the library `requests` finds them (HTTPS_PROXY, NO_PROXY,
    REQUESTS_CA_BUNDLE); credentials in `.netrc` or in the address are not used, cookies not kept. Of a
    proxy, too, there is only the answer.

    Errors: Unreachable when there is no connection, or it breaks (ECONNREFUSED, ECONNRESET,
    EHOSTUNREACH also where the name is unknown, ETIMEDOUT after 30 s without a byte, EPROTO for what
    is no HTTP); Untrusted for a certificate (EKEYREJECTED, the reason in `detail`); Invalid for what
    can't be sent: an address that is none, a line's end or another control character in it, in a
    method or in a header. The subject of an error is the address without its query and credentials.

    `ask` raises them; transfers raise nothing and tell them by `Failed`.
    """

    __slots__ = ()

    @abstractmethod
    def prepare(self) -> None:
        """Get ready for requests while the caller does something else; what can't be done now is left to them."""

    @abstractmethod
    def ask(self, request: Request, most_bytes: int = 4 << 20) -> Answer:
        """Return the answer with its whole body. Raise TooLarge (EFBIG) for more than `most_bytes`."""

    @abstractmethod
    def download(self, request: Request, path: str, size_bytes: int) -> int:
        """Begin to fetch a body of `size_bytes` into the file `path`; return the transfer's number.

        A file that is there is gone on with, if it is not longer than that: the request is sent with a
        `Range` for what is missing. 206 is appended if its Content-Range begins there, and fails if not
        (EPROTO); 200 begins the file anew. Nothing is sent where nothing is missing (then the answer is
        200 without headers). The file is made with mode 0600, when the answer has come, in a directory
        that is there. A body shorter than said fails (ECONNRESET); one that is longer than `size_bytes`
        too (EFBIG), and the file then ends at `size_bytes`.
        """

    @abstractmethod
    def upload(self, request: Request, path: str) -> int:
        """Begin to send a file as the request's body; return the transfer's number."""

    @abstractmethod
    def wait(self, timeout_s: float) -> Progress | Answered | Failed | None:
        """Return what happened next to any transfer; None when nothing did in that time, and at once
        when no transfer is under way and everything was told. Of several `Progress` of one transfer
        only the last is kept, and none once it ended."""

    @abstractmethod
    def cancel(self, transfer: int) -> None:
        """End a transfer; nothing is reported of it any more, and its file is not written any more.
        What a download had written stays. One that ended already is none of its business."""

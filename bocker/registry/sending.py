"""How a request reaches a server in the end: redirects, waiting, another try, and errors in plain words.

The port `http` does as it is told; what is worth another try, and where a server may send us, is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

import attrs

from bocker.core.errors import BockerError
from bocker.kernel.errors import Invalid, KernelError, TooLarge, Unreachable, Untrusted
from bocker.kernel.http import Answer, Http, Request
from bocker.registry.challenges import origin
from bocker.registry.documents import DOCUMENT_BYTES, Pairs
from bocker.registry.errors import BadDocument, Distrusted, RegistryFailed, TooManyRequests, Unreached
from bocker.registry.refusals import refusal

if TYPE_CHECKING:
    from bocker.kernel.ambient import Ambient

T = TypeVar("T")
Waiting = Callable[[BockerError, float], object]  # for what, and for how many seconds

MOST_REDIRECTS = 10
MOST_FAILURES = 5  # in a row
FIRST_WAIT_S = 1.0  # doubled after each failure
LONGEST_WAIT_S = 60  # a registry that wants a longer one is not waited for
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REASONS = {
    "ECONNREFUSED": "connection refused",
    "ECONNRESET": "the connection broke off",
    "EHOSTUNREACH": "no such host, or no way there",
    "ENETUNREACH": "there is no network",
    "ENETDOWN": "there is no network",
    "ETIMEDOUT": "it does not answer",
    "EPROTO": "it does not speak HTTP",
}


@attrs.frozen
class Reply:
    """An answer, and the request that it is for: the last one, where there were redirects."""

    request: Request = attrs.field(repr=False)
    answer: Answer

    @property
    def is_success(self) -> bool:
        """Tell whether the server did what it was asked for."""
        return HTTPStatus.OK <= self.answer.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_redirect(self) -> bool:
        """Tell whether the server sends us elsewhere, and we go there."""
        return self.answer.status in _REDIRECTS and self.request.method in ("GET", "HEAD")


class Patience:
    """Counts the failures in a row of one errand: each is waited for twice as long as the one before."""

    def __init__(self) -> None:
        self._failures = 0

    def succeeded(self) -> None:
        """Forget the failures: something was achieved."""
        self._failures = 0

    def wait_s(self, error: BockerError) -> float:
        """Return how long to wait before another try; raise the error where there is to be none."""
        asked_s = _asked_s(error)
        self._failures += 1
        if self._failures >= MOST_FAILURES or asked_s is None or asked_s > LONGEST_WAIT_S:
            raise error
        return max(float(asked_s), FIRST_WAIT_S * (1 << (self._failures - 1)))


def patiently(ambient: Ambient, attempt: Callable[[], T], waiting: Waiting | None = None) -> T:
    """Return what `attempt` does, tried again after failures that may pass; `waiting` is told of each wait."""
    patience = Patience()
    while True:
        try:
            return attempt()
        except BockerError as error:
            wait_s = patience.wait_s(error)
            if waiting is not None:
                waiting(error, wait_s)
        ambient.sleep(wait_s)


def follow(
    http: Http, request: Request, subject: str, secrets: Callable[[str], Pairs], most_bytes: int = DOCUMENT_BYTES
) -> Reply:
    """Return what is at the end of the redirects, whatever its status; of GET and HEAD only.

    `secrets` gives the headers that may go to an address besides the request's own. Raises BadDocument,
    Unreached and Distrusted.
    """
    for _ in range(MOST_REDIRECTS + 1):
        reply = _ask(http, request.replace(headers=(*request.headers, *secrets(request.url))), subject, most_bytes)
        if not reply.is_redirect:
            return reply
        request = request.replace(url=next_address(reply, subject))
    raise too_many_redirects(subject)


def next_address(reply: Reply, subject: str) -> str:
    """Return the absolute address in an answer's Location; raise BadDocument for one where we don't go."""
    here, location = reply.request.url, reply.answer.get("location")
    try:
        there = urljoin(here, location) if location else ""
    except ValueError:
        there = ""
    if origin(there) is None:
        raise BadDocument(f"answer for {subject}", "it sends us to what is no address")
    if here.startswith("https:") and not there.lower().startswith("https:"):
        raise BadDocument(f"answer for {subject}", f"it sends us from https to http, to {host_of(there)}")
    return there


def too_many_redirects(subject: str) -> BadDocument:
    """Return the error for a server that sends us in circles."""
    return BadDocument(f"answer for {subject}", f"it sends us on more than {MOST_REDIRECTS} times")


def refused(subject: str, host: str, answer: Answer) -> BockerError:
    """Return the error for an answer that is no success."""
    return refusal(subject, host, answer.status, answer.body, answer.get("retry-after"))


def translated(error: KernelError, url: str, subject: str) -> BockerError | None:
    """Return what a failure of the port says to a person, None for one that is not about the network."""
    host = host_of(url)
    if isinstance(error, Unreachable):
        return Unreached(host, _REASONS.get(error.errno_name, error.errno_name), _hint(error, url))
    if isinstance(error, Untrusted):
        return Distrusted(host, error.detail)
    if isinstance(error, TooLarge):
        return BadDocument(f"answer for {subject}", "it is larger than it may be")
    if isinstance(error, Invalid):
        return BadDocument(f"address of {subject}", f"nothing can be asked of '{host}'")
    return None


def host_of(url: str) -> str:
    """Return the host and port of an address, for people: never a user, a path or a query."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _ask(http: Http, request: Request, subject: str, most_bytes: int) -> Reply:
    try:
        return Reply(request, http.ask(request, most_bytes))
    except KernelError as error:
        plain = translated(error, request.url, subject)
        if plain is None:
            raise
        raise plain from error


def _asked_s(error: BockerError) -> int | None:
    """Return how long a server wants to be left alone, None where another try is in vain."""
    if isinstance(error, TooManyRequests | RegistryFailed):
        return error.retry_after_s or 0
    return 0 if isinstance(error, Unreached) else None


def _hint(error: KernelError, url: str) -> str:
    if error.errno_name == "EPROTO" and url.startswith("https:"):
        return "if it speaks plain http, name it in BOCKER_PLAIN_HTTP, or as plain-http in the settings"
    return "check the name, the network, and HTTPS_PROXY if there is a proxy"

"""What a registry, or its token server, says when it refuses: from status and body to one line.

Sources: the OCI distribution specification (error codes) and RFC 6749, 5.2. A body that is a page of HTML, from
a proxy on the way, is never shown: its status says enough.
"""

from __future__ import annotations

from http import HTTPStatus

import attrs

from bocker.core.errors import BockerError
from bocker.registry.documents import Fields, read_object
from bocker.registry.errors import AccessDenied, NotInRegistry, RegistryError, RegistryFailed, TooManyRequests

LONGEST_BODY_BYTES = 64 << 10
LONGEST_WAIT_S = 24 * 3600
MOST_ERRORS = 16
_GONE = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"})
_DENIED = frozenset({"UNAUTHORIZED", "DENIED"})


@attrs.frozen
class Complaint:
    """What the body of a refusal says: the registry's word for it, and its sentence. Both may be empty."""

    code: str = ""
    message: str = ""


def refusal(subject: str, host: str, status: int, body: bytes, retry_after: str = "") -> RegistryError:
    """Return the error for an answer that is none of success; `retry_after` is the header of that name."""
    complaint = read_complaint(body)
    kind = _kind(status, complaint.code)
    hint = f"run: bocker login {host}" if kind is AccessDenied else None
    error = kind(subject, status, complaint.code, _reason(status, complaint), hint)
    if isinstance(error, TooManyRequests | RegistryFailed):
        error.retry_after_s = read_retry_after(retry_after)
    return error


def read_complaint(body: bytes) -> Complaint:
    """Read an error document of a registry or of a token server; anything else says nothing."""
    try:
        fields = read_object(body, "error", LONGEST_BODY_BYTES)
        return _registry_complaint(fields) or _token_complaint(fields)
    except BockerError:
        return Complaint()


def read_retry_after(header: str) -> int | None:
    """Return the seconds of a Retry-After header, if it says seconds, and no more than a day."""
    if not (header.isascii() and header.isdigit() and len(header) < 10):
        return None
    return min(int(header), LONGEST_WAIT_S)


def _registry_complaint(fields: Fields) -> Complaint | None:
    for error in fields.objects("errors", MOST_ERRORS):
        return Complaint(error.text("code").upper(), _sentence(error.text("message")))
    return None


def _token_complaint(fields: Fields) -> Complaint:
    """Docker's hub says `details`, OAuth `error` and `error_description`."""
    sentences = (fields.text(name) for name in ("error_description", "details", "message", "error"))
    return Complaint("", _sentence(next(filter(None, sentences), "")))


def _sentence(text: str) -> str:
    """A page of HTML is none, even inside of JSON."""
    return "" if text.lstrip().startswith("<") else text.strip()


def _kind(status: int, code: str) -> type[RegistryError]:
    if status == HTTPStatus.TOO_MANY_REQUESTS or code == "TOOMANYREQUESTS":
        return TooManyRequests
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or code in _DENIED:
        return AccessDenied
    if status == HTTPStatus.NOT_FOUND or code in _GONE:
        return NotInRegistry
    return RegistryFailed if status >= HTTPStatus.INTERNAL_SERVER_ERROR else RegistryError


def _reason(status: int, complaint: Complaint) -> str:
    """The registry's sentence, else its word, else HTTP's sentence."""
    phrases = {known.value: known.phrase.lower() for known in HTTPStatus}
    word = complaint.code.replace("_", " ").lower()
    return complaint.message or word or phrases.get(status, "the registry refused")

"""What can be wrong with what a registry says or a person's files hold: one line each, safe to print."""

from __future__ import annotations

from bocker.core.errors import BockerError
from bocker.core.words import printable

LONGEST_SHOWN = 200


def one_line(text: str) -> str:
    """Return somebody else's text on one line, cut, and with nothing in it that could drive a terminal."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 1] + "…"


class BadDocument(BockerError):
    """A manifest, a configuration, a header or a file that breaks its own format."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"The {one_line(subject)} can not be used: {one_line(reason)}")
        self.subject = subject
        self.reason = reason


class Unsupported(BockerError):
    """Something that is well-formed, and that bocker does not do."""

    def __init__(self, subject: str, what: str, hint: str | None = None) -> None:
        super().__init__(f"The {one_line(subject)} is not supported: {one_line(what)}", hint)
        self.subject = subject
        self.what = what


class NoSuchPlatform(BockerError):
    """An index has no image for the platform that is wanted."""

    def __init__(self, subject: str, wanted: str, offered: tuple[str, ...]) -> None:
        there = one_line(", ".join(offered)) or "nothing"
        hint = f"say --platform {one_line(offered[0])}" if offered else None
        super().__init__(f"The {one_line(subject)} has nothing for {one_line(wanted)}, it has {there}", hint)
        self.subject = subject
        self.wanted = wanted
        self.offered = offered


class RegistryError(BockerError):
    """A registry refused or failed. `status` is HTTP's, `code` the registry's own word (or empty)."""

    def __init__(self, subject: str, status: int, code: str, reason: str, hint: str | None = None) -> None:
        super().__init__(f"{one_line(subject)}: {one_line(reason)} ({status})", hint)
        self.subject = subject
        self.status = status
        self.code = code
        self.reason = reason


class NotInRegistry(RegistryError):
    """The registry has no such repository, manifest or blob."""


class AccessDenied(RegistryError):
    """The registry wants other credentials, or any."""


class TooManyRequests(RegistryError):
    """The registry wants to be left alone for a while: `retry_after_s`, where it said how long."""

    retry_after_s: int | None = None


class RegistryFailed(RegistryError):
    """The registry, or something before it, has a defect of its own: worth another try, after
    `retry_after_s` where it said how long."""

    retry_after_s: int | None = None


class Unreached(BockerError):
    """No connection to a host, or none that lasts: worth another try, or another mirror."""

    def __init__(self, host: str, reason: str, hint: str | None = None) -> None:
        super().__init__(f"The registry {one_line(host)} can not be reached: {one_line(reason)}", hint)
        self.host = host
        self.reason = reason


class Distrusted(BockerError):
    """A host whose certificate does not prove that it is the one that was asked for."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(
            f"The registry {one_line(host)} can not be trusted: {one_line(reason) or 'its certificate is not valid'}",
            "name a file with the certificate of its authority in REQUESTS_CA_BUNDLE, "
            "or the host in BOCKER_PLAIN_HTTP if it speaks plain http",
        )
        self.host = host
        self.reason = reason


class WrongDigest(BadDocument):
    """Something that is not what it was asked for as; both digests as text."""

    def __init__(self, subject: str, expected: str, found: str) -> None:
        super().__init__(subject, f"it should be {expected}, and is {found}")
        self.expected = expected
        self.found = found


class HelperFailed(BockerError):
    """A credential helper ended with an error of its own."""

    def __init__(self, program: str, reason: str) -> None:
        super().__init__(f"'{one_line(program)}' failed: {one_line(reason) or 'it said nothing'}")
        self.program = program
        self.reason = reason

"""The one place where the kernel's refusals become the errors that cross a port."""

from __future__ import annotations

import errno
import os

from bocker.kernel.errors import kernel_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

LONGEST_NAME = 255


class translated:
    """A block in which an OSError, or pyroute2's NetlinkError, is raised as a KernelError.

    operation: `port.method`. subject: what it is about. `contextlib` costs too much to import.
    """

    __slots__ = ("operation", "subject")

    def __init__(self, operation: str, subject: str) -> None:
        self.operation = operation
        self.subject = subject

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        number = _errno_of(error)
        if number is not None:
            raise kernel_error(self.operation, self.subject, number, _detail_of(error)) from error


class ToolError(OSError):
    """A program's failure: the errno that it means, and its last words for people."""


def component(name: str) -> bytes:
    """Return a name as the kernel's bytes; raise OSError when it can't be one component of a path."""
    encoded = os.fsencode(name)
    if not encoded or encoded in {b".", b".."} or b"/" in encoded or b"\0" in encoded:
        raise OSError(errno.EINVAL, "not one component of a path")
    if len(encoded) > LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return encoded


def _errno_of(error: BaseException) -> int | None:
    """NetlinkError has its errno in `code`; it is known by that, as importing pyroute2 is slow."""
    number = error.errno if isinstance(error, OSError) else getattr(error, "code", None)
    return abs(number) if isinstance(number, int) and not isinstance(error, SystemExit) else None


def _detail_of(error: BaseException) -> str:
    return str(error.strerror) if isinstance(error, ToolError) else ""

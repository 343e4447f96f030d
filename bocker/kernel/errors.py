"""The one family of errors that crosses a port.

`linux.errors` and the fake's laws both make them with `kernel_error`, so that the same errno has
the same class on both. The engine catches the ones it expects by class, never by text.
"""

from __future__ import annotations

import errno as _errno

EKEYREJECTED = getattr(_errno, "EKEYREJECTED", 129)  # Linux alone has it


class KernelError(Exception):
    """An operation that the kernel refused.

    operation: `port.method`. subject: what it was about. errno: the kernel's number. detail: what
    a tool said, for people only.
    """

    def __init__(self, operation: str, subject: str, errno: int, detail: str = "") -> None:
        super().__init__(operation, subject, errno, detail)
        self.operation = operation
        self.subject = subject
        self.errno = errno
        self.detail = detail

    @property
    def errno_name(self) -> str:
        """The errno's name, such as `EEXIST`."""
        return _errno.errorcode.get(self.errno, str(self.errno))

    def __str__(self) -> str:
        return f"{self.operation} {self.subject}: {self.errno_name}{' ' + self.detail if self.detail else ''}"


class AlreadyExists(KernelError):
    """EEXIST: the name is taken; nothing was changed."""


class Missing(KernelError):
    """ENOENT, ESRCH, ENODEV, ENXIO: there is no such thing."""


class NotEmpty(KernelError):
    """ENOTEMPTY: something lies inside, or at the target."""


class Busy(KernelError):
    """EBUSY, EAGAIN, EWOULDBLOCK: in use just now."""


class Invalid(KernelError):
    """EINVAL, ERANGE, ENAMETOOLONG, ENOTDIR, EISDIR, EADDRNOTAVAIL: can never be right."""


class NoSpace(KernelError):
    """ENOSPC, EDQUOT: the file system is full."""


class ReadOnly(KernelError):
    """EROFS: the file system, or the snapshot, is read-only."""


class Denied(KernelError):
    """EPERM, EACCES: not allowed."""


class Unreachable(KernelError):
    """ENETUNREACH, ENETDOWN, ENOTCONN, EHOSTUNREACH, ECONNREFUSED, ECONNRESET, ETIMEDOUT, EPROTO: no way
    from here to there, or none that lasts."""


class Untrusted(KernelError):
    """EKEYREJECTED: the other side can not prove who it is."""


class Unsupported(KernelError):
    """EOPNOTSUPP, ENOTTY, ENOSYS: this kernel or this kind of object can't."""


class TooLarge(KernelError):
    """EFBIG, E2BIG: more than a bound allows."""


class StepFailed(KernelError):
    """The child could not become the container's program; `step` is one of `core.spec`'s steps.

    The child is gone when this is raised; what it had made in its namespaces goes with it.
    """

    def __init__(self, operation: str, subject: str, errno: int, step: str, detail: str = "") -> None:
        super().__init__(operation, subject, errno, detail)
        self.step = step

    def __str__(self) -> str:
        return f"{super().__str__()} at: {self.step}"


_MEANINGS: tuple[tuple[type[KernelError], tuple[int, ...]], ...] = (
    (AlreadyExists, (_errno.EEXIST,)),
    (Missing, (_errno.ENOENT, _errno.ESRCH, _errno.ENODEV, _errno.ENXIO)),
    (NotEmpty, (_errno.ENOTEMPTY,)),
    (Busy, (_errno.EBUSY, _errno.EAGAIN)),
    (
        Invalid,
        (
            _errno.EINVAL,
            _errno.ERANGE,
            _errno.ENAMETOOLONG,
            _errno.ENOTDIR,
            _errno.EISDIR,
            _errno.EADDRNOTAVAIL,
        ),
    ),
    (NoSpace, (_errno.ENOSPC, getattr(_errno, "EDQUOT", _errno.ENOSPC))),
    (ReadOnly, (_errno.EROFS,)),
    (Denied, (_errno.EPERM, _errno.EACCES)),
    (TooLarge, (_errno.EFBIG, _errno.E2BIG)),
    (
        Unreachable,
        (
            _errno.ENETUNREACH,
            _errno.ENETDOWN,
            _errno.ENOTCONN,
            _errno.EHOSTUNREACH,
            _errno.ECONNREFUSED,
            _errno.ECONNRESET,
            _errno.ETIMEDOUT,
            _errno.EPROTO,
        ),
    ),
    (Untrusted, (EKEYREJECTED,)),
    (Unsupported, (_errno.EOPNOTSUPP, getattr(_errno, "ENOTSUP", _errno.EOPNOTSUPP), _errno.ENOTTY, _errno.ENOSYS)),
)


def kernel_error(operation: str, subject: str, errno: int, detail: str = "") -> KernelError:
    """Return the error of the class that `errno` means; plain KernelError for an unclassed one."""
    for kind, numbers in _MEANINGS:
        if errno in numbers:
            return kind(operation, subject, errno, detail)
    return KernelError(operation, subject, errno, detail)

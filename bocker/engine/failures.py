"""What the kernel refused, in words for a person: the one place where `KernelError` becomes `BockerError`."""

from __future__ import annotations

import errno

from bocker.core.errors import BockerError, HostNotReady, NotPrivileged, OperationFailed, UsageError
from bocker.kernel.errors import (
    AlreadyExists,
    Busy,
    Denied,
    Invalid,
    KernelError,
    Missing,
    NoSpace,
    NotEmpty,
    ReadOnly,
    StepFailed,
    TooLarge,
    Unreachable,
    Unsupported,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from bocker.kernel.host import MountPoint

STORE_KIND = "btrfs"
FORWARDING = "net.ipv4.ip_forward"

_REASONS: tuple[tuple[type[KernelError], str], ...] = (
    (NoSpace, "no space is left"),
    (ReadOnly, "the file system is read-only"),
    (Denied, "it is not permitted"),
    (Missing, "there is no such thing"),
    (AlreadyExists, "there is one already"),
    (NotEmpty, "something is in the way"),
    (Busy, "it is in use"),
    (Invalid, "the kernel finds it invalid"),
    (TooLarge, "it is more than a limit allows"),
    (Unreachable, "there is no way there"),
    (Unsupported, "this kernel can't"),
)


# What has no class of its own, or another meaning in other operations.
_SHORTAGES = {
    errno.EAGAIN: "there is no room for another process",
    errno.ENOMEM: "the machine is out of memory",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "the disk can not be read or written",
}
_REMEDIES: tuple[tuple[frozenset[int], str], ...] = (
    (frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}), "end some programs, and try again"),
    (frozenset({errno.EIO}), "see: dmesg"),
    (frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}), "make room, with: bocker rm, bocker prune"),
    (frozenset({errno.EROFS}), "see: dmesg, then mount it again"),
)
_IN_THE_STORE = ("storage.", "records.", "blobs.", "archives.unpack", "host.copy_tree")


class Doing:
    """A block whose `KernelError` leaves it as a `BockerError` that says what was being done, and why not.

    Where the store, or root's rights, are what is missing, the error says that instead (W13);
    `needs_store` is for what works without.
    """

    __slots__ = ("kernel", "needs_store", "settings", "what")

    def __init__(self, kernel: Kernel, settings: Settings, what: str, needs_store: bool = True) -> None:
        self.kernel = kernel
        self.settings = settings
        self.what = what
        self.needs_store = needs_store

    def __enter__(self) -> None:
        """Do it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, KernelError | BockerError):
            return
        problem = store_problem(self.kernel, self.settings) if self.needs_store else None
        if isinstance(error, KernelError):
            raise (problem or operation_failed(self.what, error)) from error
        if problem is not None and not isinstance(error, HostNotReady | NotPrivileged | UsageError):
            raise problem from error  # what seems not to exist may be where the store should be


def operation_failed(doing: str, error: KernelError) -> OperationFailed:
    """Return the error for an operation that should have worked."""
    left = "something is left of it; run: bocker cleanup" if getattr(error, "__notes__", None) else None
    return OperationFailed(doing, reason_of(error), "; ".join(filter(None, (_remedy(error), left))) or None)


def _remedy(error: KernelError) -> str | None:
    """Return what a person can do about it, None where nobody knows."""
    if isinstance(error, NoSpace | ReadOnly) and not error.operation.startswith(_IN_THE_STORE):
        return None
    return next((remedy for numbers, remedy in _REMEDIES if error.errno in numbers), None)


def reason_of(error: KernelError) -> str:
    """Return why, and in brackets which operation of the kernel it was."""
    where = f"{error.operation} {error.subject}: {error.errno_name}{' ' + error.detail if error.detail else ''}"
    plain = next((reason for kind, reason in _REASONS if isinstance(error, kind)), None)
    if isinstance(error, StepFailed):
        plain = f"the container could not {error.step}"
    plain = _SHORTAGES.get(error.errno, plain)
    return f"{plain} ({where})" if plain else where


def store_problem(kernel: Kernel, settings: Settings) -> BockerError | None:
    """Return what is wrong with the caller's rights or the store, None when nothing is."""
    try:
        if not kernel.host.facts().privileged:
            return NotPrivileged()
        mount = kernel.host.mount_at(settings.store)
    except KernelError:
        return None
    if mount is None:
        missing = f"no {STORE_KIND} file system is mounted at {settings.store}"
        return HostNotReady(missing, "mount it there, or run: bocker setup")
    if mount.kind != STORE_KIND:
        return other_file_system(mount)
    return None


def other_file_system(mount: MountPoint) -> HostNotReady:
    """Return the error for a store where something else is mounted, which `setup` leaves alone."""
    return HostNotReady(
        f"{mount.target} is a {mount.kind} file system, not {STORE_KIND}",
        "unmount it, or choose another place with BOCKER_STORE",
    )

"""Small files of bocker's own, outside any container: records, logs, locks."""

from __future__ import annotations

from abc import ABC, abstractmethod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Records(ABC):
    """Files below one directory, mode 0600 in directories of mode 0700, made as needed.

    A key is `FOLDER/NAME`; both parts are one path component that does not begin with a dot and
    has at most 250 bytes. The directory above the first one is not made: Missing when writing; nor is
    the first one again when it is gone after it was read or written, as what it lies in was unmounted. A
    reader sees a record as it was before or after a write, never half of one.

    Errors of every method: Invalid for a bad key (EINVAL), Denied, ReadOnly, NoSpace (when
    writing).
    """

    __slots__ = ()

    @abstractmethod
    def claim(self, key: str, data: bytes) -> None:
        """Create a record with its whole content at one instant; raise AlreadyExists if there is
        one. Of two that claim one key at once, exactly one succeeds."""

    @abstractmethod
    def write(self, key: str, data: bytes, durable: bool = False) -> None:
        """Create or replace a record at one instant; `durable` returns when it is on disk."""

    @abstractmethod
    def append(self, key: str, data: bytes) -> None:
        """Add to the end of a record, creating it; what two append is never mixed."""

    @abstractmethod
    def read(self, key: str, offset: int = 0) -> bytes:
        """Return a record from `offset` (in bytes) to its end, empty when it is shorter. Raise
        Missing."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove a record. Raise Missing."""

    @abstractmethod
    def list(self, folder: str) -> tuple[str, ...]:
        """Return the names of the records in a folder, sorted; none when there is no folder. Raise Missing when
        the directory of all of them is gone that was there before."""

    @abstractmethod
    def lock(self, name: str, wait: bool = True, shared: bool = False) -> AbstractContextManager[None]:
        """Hold the lock called `name` for the length of a `with` block, alone or with all others that
        share it.

        The kernel lets go of it when the holder dies. Another holder, of this process or another,
        makes it wait, or raise Busy where `wait` is false. The lock is taken by the call, not by
        entering the block.
        """

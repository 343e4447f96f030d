"""Blobs: files of the image store, each named by the SHA-256 of what it holds."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value

DIGEST_DIGITS = 64  # of a SHA-256, in hexadecimal
LONGEST_DRAFT = 200  # bytes
_DIGITS = frozenset("0123456789abcdef")


class Blob(Value):
    """A file and its size. name: of a blob its digest, 64 hexadecimal digits; of a draft any."""

    name: str
    size_bytes: int


def is_digest(text: str) -> bool:
    """Tell whether a word can name a blob: 64 hexadecimal digits in lower case."""
    return len(text) == DIGEST_DIGITS and _DIGITS.issuperset(text)


class Blobs(ABC):
    """Blobs, and drafts: files that are on the way to become blobs, and outlive a kill.

    A digest is 64 hexadecimal digits in lower case; a draft's name is one path component that does not
    begin with a dot, of at most 200 bytes. Files have mode 0600, in directories of mode 0700 that are
    made as needed. The content of a blob is not checked against its name: whoever writes it has hashed it.

    Only plain files count: a link or directory in the place of one is not followed nor told, and Invalid
    (EINVAL) to `keep` and `read`.

    Errors of every method: Invalid for a bad name (EINVAL), Denied, ReadOnly; NoSpace, and Missing when
    there is no store (when writing).
    """

    __slots__ = ()

    @abstractmethod
    def path(self, digest: str) -> str:
        """Return the host's path of a blob, whether it is there or not."""

    @abstractmethod
    def draft(self, name: str) -> str:
        """Return the host's path of a draft, whether it is there or not; the directory is there then."""

    @abstractmethod
    def keep(self, name: str, digest: str) -> None:
        """Make a draft the blob `digest`: on disk first, then renamed at one instant, the name on disk
        when this returns. A blob that is there already is replaced. Raise Missing."""

    @abstractmethod
    def add(self, digest: str, data: bytes) -> None:
        """Make a blob of bytes at one instant, on disk when this returns; one that is there stays."""

    @abstractmethod
    def read(self, digest: str, most_bytes: int = 4 << 20) -> bytes:
        """Return a small blob's content. Raise Missing; TooLarge (EFBIG) when it has more bytes."""

    @abstractmethod
    def has(self, digest: str) -> bool:
        """Tell whether a blob is there."""

    @abstractmethod
    def list(self) -> tuple[Blob, ...]:
        """Return all blobs, sorted; none when there are no directories yet."""

    @abstractmethod
    def drafts(self) -> tuple[Blob, ...]:
        """Return all drafts, sorted."""

    @abstractmethod
    def remove(self, digest: str) -> None:
        """Remove a blob. Raise Missing."""

    @abstractmethod
    def discard(self, name: str) -> None:
        """Remove a draft; one that is not there is no error."""

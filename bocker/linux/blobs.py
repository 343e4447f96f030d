"""Blobs as files below the store's directory of records."""

from __future__ import annotations

import errno
import os
import stat

from bocker.kernel.blobs import LONGEST_DRAFT, Blob, Blobs, is_digest
from bocker.linux.errors import component, translated
from bocker.linux.files import FILE_MODE, READ, discard, linked, make_folder, read_from, sync_folder, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


class LinuxBlobs(Blobs):
    """`STORE/.meta/blobs/DIGEST` and `STORE/.meta/drafts/NAME`; the store itself is never made.

    What has the name of a blob was whole on disk before it got it, so that a power failure leaves no
    empty file there either. Only plain files count: nothing follows a link that somebody put there.
    """

    __slots__ = ("_blobs", "_drafts", "_root")

    def __init__(self, root: str) -> None:
        self._root = root
        self._blobs = f"{root}/blobs"
        self._drafts = f"{root}/drafts"

    def path(self, digest: str) -> str:
        """Return the path of a blob; see the port."""
        with translated("blobs.path", digest):
            return self._path(digest)

    def draft(self, name: str) -> str:
        """Return the path of a draft; see the port."""
        with translated("blobs.draft", name):
            path = self._draft(name)
            if not os.path.isdir(self._drafts):
                self._make(self._drafts)
            return path

    def keep(self, name: str, digest: str) -> None:
        """Make a draft a blob; see the port."""
        with translated("blobs.keep", name):
            source, target = self._draft(name), self._path(digest)
            _sync_draft(source)
            self._in_blobs(lambda: os.rename(source, target))
            sync_folder(self._blobs)
            sync_folder(self._drafts)

    def add(self, digest: str, data: bytes) -> None:
        """Make a blob of bytes; see the port."""
        with translated("blobs.add", digest):
            path = self._path(digest)
            fd = self._in_blobs(lambda: written(self._blobs, data))
            try:
                os.fsync(fd)
                linked(fd, path, durable=True)
            finally:
                os.close(fd)
            sync_folder(self._blobs)

    def read(self, digest: str, most_bytes: int = 4 << 20) -> bytes:
        """Return a blob's content; see the port."""
        with translated("blobs.read", digest):
            fd = _opened(self._path(digest))
            try:
                if os.fstat(fd).st_size > most_bytes:
                    raise OSError(errno.EFBIG, "larger than was asked for")
                return read_from(fd, 0)
            finally:
                os.close(fd)

    def has(self, digest: str) -> bool:
        """Tell whether a blob is there; see the port."""
        with translated("blobs.has", digest):
            try:
                return stat.S_ISREG(os.lstat(self._path(digest)).st_mode)
            except FileNotFoundError:
                return False

    def list(self) -> tuple[Blob, ...]:
        """Return all blobs; see the port."""
        with translated("blobs.list", self._blobs):
            return tuple(blob for blob in _files(self._blobs) if is_digest(blob.name))

    def drafts(self) -> tuple[Blob, ...]:
        """Return all drafts; see the port."""
        with translated("blobs.drafts", self._drafts):
            return tuple(draft for draft in _files(self._drafts) if draft.name[0] != ".")

    def remove(self, digest: str) -> None:
        """Remove a blob; see the port."""
        with translated("blobs.remove", digest):
            os.unlink(self._path(digest))

    def discard(self, name: str) -> None:
        """Remove a draft; see the port."""
        with translated("blobs.discard", name):
            discard(self._draft(name))

    def _path(self, digest: str) -> str:
        if not is_digest(digest):
            raise OSError(errno.EINVAL, "no digest")
        return f"{self._blobs}/{digest}"

    def _draft(self, name: str) -> str:
        if name.startswith(".") or len(os.fsencode(name)) > LONGEST_DRAFT:
            raise OSError(errno.EINVAL, "no name for a draft")
        component(name)
        return f"{self._drafts}/{name}"

    def _in_blobs(self, act: Callable[[], T]) -> T:
        """Do something in the directory of blobs, which is made when the kernel says that it is missing."""
        try:
            return act()
        except FileNotFoundError:
            self._make(self._blobs)
            return act()

    def _make(self, folder: str) -> None:
        make_folder(self._root)
        make_folder(folder)


def _opened(path: str) -> int:
    """Open a plain file to read; raise OSError (EINVAL) for what is none."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "no plain file")
    return os.open(path, READ)


def _sync_draft(path: str) -> None:
    """Return when a draft is on disk, with the mode of a blob, whoever made it."""
    fd = _opened(path)
    try:
        os.fchmod(fd, FILE_MODE)
        os.fsync(fd)
    finally:
        os.close(fd)


def _files(folder: str) -> list[Blob]:
    """Return the plain files in a directory, sorted."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return []
    with entries:
        return sorted(filter(None, map(_file, entries)), key=_name)


def _file(entry: os.DirEntry[str]) -> Blob | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # it went meanwhile
    return Blob(entry.name, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _name(blob: Blob) -> str:
    return blob.name

"""The files of an archive laid out by their digests: none of its names is ever a name on the host.

Each is written without a name while it is hashed, and gets its digest as one when it is whole and on
disk. So nothing has to be confined: what the archive says decides bytes and never places.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from bocker.core import tarmembers, tarstream
from bocker.core.tarstream import BadArchive, Entry, TarStream
from bocker.kernel.archives import STANDARD_STREAM, Bounds, Member
from bocker.linux import inflate
from bocker.linux.errors import ToolError
from bocker.linux.files import READ, discard, linked, make_folder, nameless, sync_folder, write_all
from bocker.linux.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ZEROS = memoryview(bytes(1 << 18))
_STANDARD_INPUT = 0


def spilled(archive: str, directory: str, bounds: Bounds, tell: Callable[[int], None] | None) -> tuple[Member, ...]:
    """Lay out an archive; see the port. Raise OSError, or `progress.Stopped`."""
    file = _STANDARD_INPUT if archive == STANDARD_STREAM else os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _ensure(directory)
        source = inflate.Source(file, tell)
        members = tuple(_Spilling(inflate.stream(source), directory, bounds, source.progress).run())
        sync_folder(directory)
        source.progress.finish()
        return members
    finally:
        if file != _STANDARD_INPUT:
            os.close(file)


def _ensure(directory: str) -> None:
    """Make a directory that is not there; raise OSError when what is there is none."""
    try:
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except FileNotFoundError:
        make_folder(directory)


class _Spilling:
    """One archive on its way into a directory. `size_bytes` is of what was read of it, and of its files."""

    __slots__ = ("_bounds", "_chunks", "_directory", "_files_bytes", "_progress", "_stream_bytes", "_tar")

    def __init__(self, chunks: Iterator[bytes], directory: str, bounds: Bounds, progress: Progress) -> None:
        self._chunks = filter(None, chunks)  # what is compressed may give nothing for a while
        self._directory = directory
        self._bounds = bounds
        self._progress = progress
        self._tar = TarStream(self._read)
        self._stream_bytes = 0
        self._files_bytes = 0

    def run(self) -> Iterator[Member]:
        """Give the members in their order, each when it is laid out."""
        try:
            count = 0
            while (entry := self._tar.next()) is not None:
                count += 1
                if count > self._bounds.entries:
                    raise ToolError(errno.E2BIG, f"more than {self._bounds.entries} entries")
                yield from self._member(entry)
            while self._read(0):
                pass  # the filling after the end: a damaged one is found there
        except BadArchive as error:
            raise ToolError(errno.EINVAL, str(error)) from None

    def _read(self, most_bytes: int) -> bytes:
        chunk = next(self._chunks, b"")
        self._stream_bytes += len(chunk)
        self._check_bound(self._stream_bytes)
        self._progress.tick()
        return chunk

    def _check_bound(self, size_bytes: int) -> None:
        if size_bytes > self._bounds.size_bytes:
            raise ToolError(errno.EFBIG, f"more than {self._bounds.size_bytes} bytes")

    def _member(self, entry: Entry) -> Iterator[Member]:
        if max(len(entry.name), len(entry.link)) > tarmembers.LONGEST_NAME_BYTES:
            raise ToolError(errno.ENAMETOOLONG, "a name that no path can have")
        if entry.kind == tarstream.FILE:
            self._files_bytes += entry.size_bytes
            self._check_bound(self._files_bytes)
            yield Member(tarmembers.name_of(entry), self._laid_out(entry), entry.size_bytes)
        elif entry.kind in tarmembers.LINKS:
            yield Member(tarmembers.name_of(entry), target=tarmembers.target_of(entry))

    def _laid_out(self, entry: Entry) -> str:
        """Write a file and give it its name; return the digest."""
        fd = nameless(self._directory)
        try:
            digest = self._filled(fd, entry)
            path = f"{self._directory}/{digest}"
            os.fsync(fd)
            while not linked(fd, path, durable=True) and self._is_spoilt(path, digest):
                discard(path)
            return digest
        finally:
            os.close(fd)

    def _filled(self, fd: int, entry: Entry) -> str:
        digest = hashlib.sha256()
        at = 0
        for offset, length in (*entry.pieces, (entry.size_bytes, 0)):
            self._hash_hole(digest.update, offset - at)
            os.lseek(fd, offset, os.SEEK_SET)
            at = offset + length
            left = length
            while left:
                piece = self._tar.data(left)
                left -= len(piece)
                digest.update(piece)
                write_all(fd, piece)
        os.ftruncate(fd, entry.size_bytes)
        return digest.hexdigest()

    def _is_spoilt(self, path: str, digest: str) -> bool:
        """Tell whether a file is not what its name says: somebody changed it, or the disk did (btrfs says EIO)."""
        try:
            return stat.S_ISREG(os.lstat(path).st_mode) and self._digest_of(path) != digest
        except OSError as error:
            if error.errno not in {errno.EIO, errno.ENOENT}:
                raise
            return True

    def _digest_of(self, path: str) -> str:
        digest = hashlib.sha256()
        fd = os.open(path, READ)
        try:
            while part := os.read(fd, len(_ZEROS)):
                digest.update(part)
                self._progress.tick()
        finally:
            os.close(fd)
        return digest.hexdigest()

    def _hash_hole(self, update: Callable[[memoryview], None], length: int) -> None:
        while length:
            update(_ZEROS[:length])
            length -= min(length, len(_ZEROS))
            self._progress.tick()

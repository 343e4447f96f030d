"""Writing a layer: the names come from `difference`, what they are from the snapshot itself.

The snapshot's names and links are a container's work. So it is read through a copy of its mount that nothing
is mounted in, and name by name from an open directory: no path is resolved, and no link followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zlib

from bocker.core import tarstream, tarwriter
from bocker.core.tarstream import Entry
from bocker.kernel.archives import GZIP, PLAIN, STANDARD_STREAM, Packed
from bocker.linux import btrfs_search, difference, syscalls
from bocker.linux.errors import ToolError
from bocker.linux.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Self

COMPRESSIONS = (PLAIN, GZIP)
_CHUNK_BYTES = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS  # zlib.h: deflateInit2 for gzip's header, of time 0 and without a name, and trailer
_ZEROS = bytes(_CHUNK_BYTES)
_STANDARD_OUTPUT = 1
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_USER = "user."
_ATTRIBUTES = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
_KINDS = {
    stat.S_IFREG: tarstream.FILE,
    stat.S_IFDIR: tarstream.DIRECTORY,
    stat.S_IFLNK: tarstream.SYMLINK,
    stat.S_IFCHR: tarstream.CHARACTER,
    stat.S_IFBLK: tarstream.BLOCK,
    stat.S_IFIFO: tarstream.FIFO,
}


def packed(tree: str, base: str | None, archive: str, compression: str, tell: Callable[[int], None] | None) -> Packed:
    """Write the layer that makes `tree` out of `base`; see the port."""
    if compression not in COMPRESSIONS:
        raise ToolError(errno.EOPNOTSUPP, f"no compression by {compression}")
    with Snapshot(tree) as new:
        if base is None:
            return _packed(new, None, archive, compression, tell)
        with Snapshot(base) as old:
            return _packed(new, old, archive, compression, tell)


def _packed(
    new: Snapshot, old: Snapshot | None, archive: str, compression: str, tell: Callable[[int], None] | None
) -> Packed:
    with Target(archive, compression) as target:
        progress = Progress(tell, lambda: target.size_bytes)
        with Packing(new, target, progress) as packing:
            done = packing.run(_names(new, old, progress))
        progress.finish()
        return done


def _names(new: Snapshot, old: Snapshot | None, progress: Progress) -> Iterable[tuple[bytes, int]]:
    """Return the path and the inode (or `difference.MARK`) of each entry of a layer, in the order of their names."""
    tree = difference.Tree(new.fd)
    if old is None:
        return difference.everything(tree)
    return difference.Difference(tree, difference.Tree(old.fd), old.taken_at, progress.tick).names()


class Snapshot:
    """A read-only subvolume, open for the length of a block."""

    __slots__ = ("fd", "taken_at")

    def __init__(self, path: str) -> None:
        mount = syscalls.open_tree(syscalls.AT_FDCWD, os.fsencode(path), syscalls.OPEN_TREE_CLONE)
        try:
            self.fd = os.open(".", _DIRECTORY, dir_fd=mount)
        finally:
            os.close(mount)
        try:
            known = btrfs_search.Snapshot(self.fd)
            if not known.read_only:
                raise ToolError(errno.EINVAL, "no read-only snapshot")
        except OSError:
            os.close(self.fd)
            raise
        self.taken_at = known.taken_at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.fd)


class Target:
    """The archive that is written: a file that is replaced, or standard output. `size_bytes` so far."""

    __slots__ = (
        "_compressor",
        "_digest",
        "_fd",
        "_held",
        "_held_bytes",
        "_stream_digest",
        "size_bytes",
        "stream_bytes",
    )

    def __init__(self, archive: str, compression: str) -> None:
        self._compressor = _deflater() if compression == GZIP else None
        self._stream_digest = hashlib.sha256()
        self._digest = hashlib.sha256() if self._compressor is not None else None  # a plain file is its stream
        self._held: list[bytes] = []
        self._held_bytes = self.size_bytes = self.stream_bytes = 0
        self._fd = _STANDARD_OUTPUT if archive == STANDARD_STREAM else _replaced(archive)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._fd != _STANDARD_OUTPUT:
            os.close(self._fd)

    def add(self, data: bytes) -> None:
        """Add to the stream; small parts are held until there is a chunk of them."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _CHUNK_BYTES:
            self._pass_on()

    def _pass_on(self) -> None:
        chunk = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        self.stream_bytes += len(chunk)
        self._stream_digest.update(chunk)
        self._write(chunk if self._compressor is None else self._compressor.compress(chunk))

    def _write(self, data: bytes) -> None:
        if self._digest is not None:
            self._digest.update(data)
        self.size_bytes += len(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]

    def finish(self, entries: int) -> Packed:
        """Write what is held, and return what the archive is."""
        self._pass_on()
        if self._compressor is not None:
            self._write(self._compressor.flush())
        digest = self._digest or self._stream_digest
        return Packed(digest.hexdigest(), self.size_bytes, self._stream_digest.hexdigest(), self.stream_bytes, entries)


def _deflater() -> Any:
    """Return a compressor: isal's is several times as fast as zlib's, which stands in for it."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(wbits=_GZIP)
    return isal_zlib.compressobj(wbits=_GZIP)


def _replaced(archive: str) -> int:
    fd = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):  # and not /dev/null
        os.fchmod(fd, 0o600)
    return fd


class Packing:
    """The entries of one layer on their way from a snapshot to an archive."""

    __slots__ = ("_first_names", "_folders", "_progress", "_target", "_top")

    def __init__(self, tree: Snapshot, target: Target, progress: Progress) -> None:
        self._top = tree.fd
        self._target = target
        self._progress = progress
        self._folders: list[tuple[bytes, int]] = []
        self._first_names: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(0)

    def run(self, names: Iterable[tuple[bytes, int]]) -> Packed:
        """Write an entry for each name; return what came of it."""
        entries = 0
        for path, number in names:
            self._progress.tick()
            if number == difference.MARK:
                self._target.add(tarwriter.header(Entry(tarstream.FILE, path, 0o600, 0, 0, 0)))
            else:
                self._add(path)
            entries += 1
        self._target.add(tarwriter.END)
        return self._target.finish(entries)

    def _folder(self, parts: list[bytes]) -> int:
        """Return the directory that these names lead to; what it has in common with the last one is open."""
        same = 0
        while same < min(len(parts), len(self._folders)) and self._folders[same][0] == parts[same]:
            same += 1
        self._leave(same)
        for name in parts[same:]:
            above = self._folders[-1][1] if self._folders else self._top
            self._folders.append((name, os.open(name, _DIRECTORY, dir_fd=above)))
        return self._folders[-1][1] if self._folders else self._top

    def _leave(self, depth: int) -> None:
        while len(self._folders) > depth:
            os.close(self._folders.pop()[1])

    def _add(self, path: bytes) -> None:
        *above, name = path.split(b"/")
        folder = self._folder(above)
        status = os.stat(name or b".", dir_fd=folder, follow_symlinks=False)
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        if status.st_nlink > 1 and kind != tarstream.DIRECTORY:
            first = self._first_names.setdefault(status.st_ino, path)
            if first != path:
                kind = tarstream.HARD_LINK
        entry = Entry(
            kind,
            path or b".",
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_size if kind == tarstream.FILE else 0,
        )
        if kind == tarstream.FILE:
            self._add_file(folder, name, entry)
        elif kind == tarstream.DIRECTORY:
            self._add_directory(folder, name, entry)
        elif kind == tarstream.SYMLINK:
            self._add_header(entry.replace(link=os.readlink(name, dir_fd=folder)))
        elif kind == tarstream.HARD_LINK:
            self._add_header(entry.replace(link=first))
        else:
            device = (os.major(status.st_rdev), os.minor(status.st_rdev))
            self._add_header(entry.replace(device=device))

    def _add_header(self, entry: Entry) -> None:
        try:
            self._target.add(tarwriter.header(entry))
        except ValueError as error:
            raise ToolError(errno.EINVAL, f"{os.fsdecode(entry.name)}: {error}") from None

    def _add_directory(self, folder: int, name: bytes, entry: Entry) -> None:
        fd = os.open(name or b".", _DIRECTORY, dir_fd=folder)
        try:
            self._add_header(entry.replace(xattrs=_attributes(fd)))
        finally:
            os.close(fd)

    def _add_file(self, folder: int, name: bytes, entry: Entry) -> None:
        fd = os.open(name, _FILE, dir_fd=folder)
        try:
            self._add_header(entry.replace(xattrs=_attributes(fd)))
            at = 0
            while at < entry.size_bytes:
                begin, end = _stretch(fd, at, entry.size_bytes)
                self._add_zeros(begin - at)
                self._add_data(fd, begin, end)
                at = end
            self._target.add(tarwriter.filling(entry.size_bytes))
        finally:
            os.close(fd)

    def _add_zeros(self, count: int) -> None:
        while count:
            zeros = _ZEROS[:count]
            count -= len(zeros)
            self._target.add(zeros)
            self._progress.tick()

    def _add_data(self, fd: int, begin: int, end: int) -> None:
        while begin < end:
            data = os.pread(fd, min(end - begin, _CHUNK_BYTES), begin)
            if not data:
                raise ToolError(errno.EIO, "a file became shorter")
            begin += len(data)
            self._target.add(data)
            self._progress.tick()


def _stretch(fd: int, start: int, size: int) -> tuple[int, int]:
    """Return where the next data begin and end, lseek(2); nothing at the end when only a hole is left."""
    try:
        begin = os.lseek(fd, start, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size, size
        raise
    return begin, os.lseek(fd, begin, os.SEEK_HOLE)


def _attributes(fd: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return the attributes that a layer keeps, in the order of their names; PAX has no place for a `=` in one."""
    names = [name for name in os.listxattr(fd) if name.startswith(_USER) or name in _ATTRIBUTES]
    return tuple((os.fsencode(name), os.getxattr(fd, name)) for name in sorted(names) if "=" not in name)

"""What the unpacking child does: it shuts itself into the target, then writes what the archive says.

The target is the child's root and only mount, its network is empty, and of root's capabilities it
keeps what files need. So the kernel, and no check of names, keeps everything inside: a path is
resolved from the root, and a link can lead nowhere else. As in `child`, everything is imported
before and nothing after.

Nothing is ever opened that the archive or a layer below may have made, but directories.
"""

from __future__ import annotations

import errno
import os
import signal
import stat

from bocker.core import tarstream
from bocker.core.tarstream import BadArchive, Entry, TarStream
from bocker.kernel.archives import Bounds
from bocker.linux import capabilities, child
from bocker.linux import syscalls as k
from bocker.linux.rootfs import pivot_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

DONE = "done"
FAILED = "failed"
_DATA, _STATUS = 3, 4  # the child's only descriptors, besides the standard three
_HIGHEST_DESCRIPTOR = 1 << 20
_KEPT = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
_READ_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 12  # of file systems: fewer zeros make no hole
_STRETCH_BYTES = 1 << 16
_ZEROS = bytes(_STRETCH_BYTES)

_WHITEOUT = b".wh."
_META = b".wh..wh."
_OPAQUE = b".wh..wh..opq"
_XATTRS = (b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_DIRECTORIES = 64
_DEEPEST_TREE = 800  # what is taken away may be deeper than a name can say; Python's own bound is 1000
_NO_DIRECTORY = frozenset({errno.ENOTDIR, errno.ELOOP})


class Beyond(Exception):
    """More than the bounds allow: E2BIG or EFBIG, and a text."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


def become_unpacker(data: int, status: int, target: str, bounds: Bounds) -> NoReturn:
    """Unpack what comes from `data` into `target`, report to `status`, and exit; for a child only."""
    report = f"{FAILED}\0{errno.EIO}\0"
    try:
        _keep_only(data, status)
        child.forget_imports()
        _confine(target)
        report = f"{DONE}\0{Unpacking(lambda most: os.read(_DATA, most), bounds).run()}\0"
    except BadArchive as error:
        report = f"{FAILED}\0{errno.EINVAL}\0{error}"
    except Beyond as error:
        report = f"{FAILED}\0{error.number}\0{error}"
    except OSError as error:
        report = f"{FAILED}\0{error.errno or errno.EIO}\0{_subject(error)}"
    except (OverflowError, RecursionError) as error:
        report = f"{FAILED}\0{errno.EINVAL}\0{error}"
    except BaseException as error:
        report = f"{FAILED}\0{errno.EIO}\0{type(error).__name__}: {error}"
    finally:
        _answer(report)


def _answer(report: str) -> NoReturn:
    try:
        os.write(_STATUS, report.encode("utf-8", "surrogateescape"))
    finally:
        os._exit(0)


def _subject(error: OSError) -> str:
    name = error.filename
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else ""


def _keep_only(data: int, status: int) -> None:
    """Move the two pipes to 3 and 4 and close what else was open: directories of the host among it."""
    data, status = os.dup(data), os.dup(status)
    high = max(data, status, _STATUS) + 1
    os.dup2(data, high)
    os.dup2(status, high + 1)
    os.dup2(high, _DATA)
    os.dup2(high + 1, _STATUS)
    os.closerange(_STATUS + 1, _HIGHEST_DESCRIPTOR)


def _confine(target: str) -> None:
    """Make the target the root, and give up what a writer of files does not need; pivot_root(2)."""
    os.setsid()  # Ctrl-C is the parent's to hear
    k.unshare(k.CLONE_NEWNS | k.CLONE_NEWNET | k.CLONE_NEWIPC)
    k.mount(None, b"/", None, k.MS_REC | k.MS_PRIVATE)
    place = os.fsencode(target)
    k.mount(place, place, None, k.MS_BIND)
    os.chdir(place)
    pivot_here()
    os.umask(0)
    os.setgroups(())
    os.setresgid(0, 0, 0)
    capabilities.limit_to(capabilities.mask_of(_KEPT))
    k.prctl(k.PR_SET_NO_NEW_PRIVS, 1)
    k.prctl(k.PR_SET_PDEATHSIG, signal.SIGKILL)  # last, as a change of group would clear it


class _Place:
    """An open directory. `gives_group`: what is made in it gets its group, as setgid says."""

    __slots__ = ("fd", "gives_group", "inode")

    def __init__(self, fd: int, status: os.stat_result) -> None:
        self.fd = fd
        self.inode = status.st_ino
        self.gives_group = bool(status.st_mode & stat.S_ISGID)


class _Late:
    """What a directory gets when all is written: `entry` of the archive, or only its time again."""

    __slots__ = ("entry", "modified_ns", "path")

    def __init__(self, path: bytes, modified_ns: int, entry: Entry | None) -> None:
        self.path = path
        self.modified_ns = modified_ns
        self.entry = entry


class Unpacking:
    """One archive on its way into the root. `_made` has what came of this archive, as directory's
    inode and name, so that whiteouts spare it by whatever path it was reached."""

    __slots__ = ("_bounds", "_late", "_made", "_places", "_size_bytes", "_tar")

    def __init__(self, read: Callable[[int], bytes], bounds: Bounds) -> None:
        self._tar = TarStream(read)
        self._bounds = bounds
        self._size_bytes = 0
        self._made: set[tuple[int, bytes]] = set()
        self._late: dict[int, _Late] = {}
        self._places: dict[bytes, _Place] = {}

    def run(self) -> int:
        """Apply the archive; return how many entries it has."""
        count = 0
        while (entry := self._tar.next()) is not None:
            count += 1
            if count > self._bounds.entries:
                raise Beyond(errno.E2BIG, f"more than {self._bounds.entries} entries")
            if len(self._places) > _OPEN_DIRECTORIES:
                self._forget_places()
            self._apply(entry)
        self._drain()
        self._finish_directories()
        return count

    def _drain(self) -> None:
        """Take the filling after the end, which is hashed too; the parent would wait."""
        while os.read(_DATA, _READ_BYTES):
            pass

    def _apply(self, entry: Entry) -> None:
        parts = tarstream.components(entry.name)
        if len(parts) > self._bounds.depth:
            raise Beyond(errno.E2BIG, f"more than {self._bounds.depth} directories deep")
        self._size_bytes += entry.size_bytes if entry.kind == tarstream.FILE else 0
        if self._size_bytes > self._bounds.size_bytes:
            raise Beyond(errno.EFBIG, f"files of more than {self._bounds.size_bytes} bytes")
        if not parts:
            self._apply_root(entry)
        elif not any(part.startswith(_WHITEOUT) for part in parts):
            self._write(self._place(parts[:-1]), parts, entry)
        elif parts[-1] == _OPAQUE or not any(part.startswith(_META) for part in parts):
            self._white_out(parts)

    def _apply_root(self, entry: Entry) -> None:
        if entry.kind != tarstream.DIRECTORY:
            raise BadArchive("a root that is no directory")
        self._set_late(b".", entry, os.stat(b"/"))

    # Directories

    def _place(self, parts: list[bytes]) -> _Place:
        """Return the directory that these names lead to, and make what is not there of it."""
        path = b"/".join(parts) or b"."
        if path in self._places:
            return self._places[path]
        if parts:
            self._made.add((self._place(parts[:-1]).inode, parts[-1]))  # since something of ours will be in it
        try:
            return self._open(path)
        except FileNotFoundError:
            return self._make_place(parts, path)

    def _open(self, path: bytes) -> _Place:
        try:
            fd = os.open(path, _DIRECTORY)
        except OSError as error:
            if error.errno in _NO_DIRECTORY:
                raise BadArchive(f"{_shown(path)}: no directory, and something is in it") from None
            raise
        status = os.fstat(fd)
        self._late.setdefault(status.st_ino, _Late(path, status.st_mtime_ns, None))
        self._places[path] = place = _Place(fd, status)
        return place

    def _make_place(self, parts: list[bytes], path: bytes) -> _Place:
        above = self._place(parts[:-1])
        try:
            os.mkdir(parts[-1], 0o700, dir_fd=above.fd)
        except FileExistsError:  # a link that leads nowhere
            raise BadArchive(f"{_shown(path)}: no directory, and something is in it") from None
        plain = Entry(tarstream.DIRECTORY, path, 0o755, 0, 0, 0)
        self._set_late(path, plain, os.stat(parts[-1], dir_fd=above.fd, follow_symlinks=False))
        return self._open(path)

    def _forget_places(self) -> None:
        """Close the open directories: there are many, or a name on their way may mean something else now."""
        for place in self._places.values():
            os.close(place.fd)
        self._places.clear()

    def _set_late(self, path: bytes, entry: Entry, status: os.stat_result) -> None:
        self._late[status.st_ino] = _Late(path, entry.modified_ns, entry)

    def _finish_directories(self) -> None:
        self._forget_places()
        for inode, late in self._late.items():
            try:
                fd = os.open(late.path, _DIRECTORY)
            except OSError:
                continue  # the archive itself took it away again
            if os.fstat(fd).st_ino == inode:
                self._finish_directory(fd, late)
            os.close(fd)

    def _finish_directory(self, fd: int, late: _Late) -> None:
        if late.entry is not None:
            for name in os.listxattr(fd):
                if _is_kept(os.fsencode(name)):
                    os.removexattr(fd, name)
            os.fchown(fd, late.entry.uid, late.entry.gid)
            os.fchmod(fd, late.entry.mode)
            _set_xattrs(fd, late.entry)
        os.utime(fd, ns=(late.modified_ns, late.modified_ns))

    # Entries

    def _write(self, place: _Place, parts: list[bytes], entry: Entry) -> None:
        name = parts[-1]
        make = _MAKERS[entry.kind]
        try:
            make(self, place, name, entry)
        except FileExistsError:
            if not self._stays(place, name, entry):
                self._remove(place.fd, name)
                self._forget_places()
                place = self._place(parts[:-1])
                make(self, place, name, entry)
        self._made.add((place.inode, name))
        if entry.kind == tarstream.DIRECTORY:
            path = b"/".join(parts)
            self._set_late(path, entry, os.stat(name, dir_fd=place.fd, follow_symlinks=False))

    def _stays(self, place: _Place, name: bytes, entry: Entry) -> bool:
        """Tell whether what is there is what the entry asks for: a directory, or the same file."""
        there = os.stat(name, dir_fd=place.fd, follow_symlinks=False)
        if entry.kind == tarstream.DIRECTORY:
            return stat.S_ISDIR(there.st_mode)
        if entry.kind == tarstream.HARD_LINK:
            source, source_name = self._link_source(entry)
            return os.path.samestat(there, os.stat(source_name, dir_fd=source.fd, follow_symlinks=False))
        return False

    def _make_file(self, place: _Place, name: bytes, entry: Entry) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, entry.mode & 0o777, dir_fd=place.fd)
        try:
            self._fill(fd, entry)
            if entry.uid or entry.gid or place.gives_group:
                os.fchown(fd, entry.uid, entry.gid)
            if entry.mode & 0o7000:
                os.fchmod(fd, entry.mode)
            _set_xattrs(fd, entry)
            os.utime(fd, ns=(entry.modified_ns, entry.modified_ns))
        finally:
            os.close(fd)

    def _fill(self, fd: int, entry: Entry) -> None:
        written = 0
        for offset, length in entry.pieces:
            end = offset + length
            while offset < end:
                piece = self._tar.data(end - offset)
                written = _write_at(fd, piece, offset) or written
                offset += len(piece)
        if written < entry.size_bytes:
            os.ftruncate(fd, entry.size_bytes)

    def _make_directory(self, place: _Place, name: bytes, entry: Entry) -> None:
        os.mkdir(name, 0o700, dir_fd=place.fd)

    def _make_symlink(self, place: _Place, name: bytes, entry: Entry) -> None:
        os.symlink(entry.link, name, dir_fd=place.fd)
        _set_owner_and_time(place, name, entry)

    def _make_node(self, place: _Place, name: bytes, entry: Entry) -> None:
        kind = {tarstream.CHARACTER: stat.S_IFCHR, tarstream.BLOCK: stat.S_IFBLK, tarstream.FIFO: stat.S_IFIFO}
        device = 0 if entry.kind == tarstream.FIFO else os.makedev(*entry.device)
        os.mknod(name, kind[entry.kind] | entry.mode & 0o777, device, dir_fd=place.fd)
        _set_owner_and_time(place, name, entry)
        if entry.mode & 0o7000:
            os.chmod(name, entry.mode, dir_fd=place.fd)  # it is ours, and no link

    def _make_hard_link(self, place: _Place, name: bytes, entry: Entry) -> None:
        source, source_name = self._link_source(entry)
        try:
            os.link(source_name, name, src_dir_fd=source.fd, dst_dir_fd=place.fd, follow_symlinks=False)
        except (FileNotFoundError, PermissionError):
            raise BadArchive(f"{_shown(entry.name)}: a hard link to {_shown(entry.link)}, which is no file") from None

    def _link_source(self, entry: Entry) -> tuple[_Place, bytes]:
        parts = tarstream.components(entry.link)
        if not parts:
            raise BadArchive(f"{_shown(entry.name)}: a hard link to a directory")
        path = b"/".join(parts[:-1]) or b"."
        try:
            return self._places.get(path) or self._open(path), parts[-1]
        except FileNotFoundError:
            raise BadArchive(f"{_shown(entry.name)}: a hard link to {_shown(entry.link)}, which is no file") from None

    # What is taken away

    def _white_out(self, parts: list[bytes]) -> None:
        *above, name = parts
        hidden = name.removeprefix(_WHITEOUT)
        odd = any(part.startswith(_WHITEOUT) for part in above) or not name.startswith(_WHITEOUT)
        if odd or hidden in {b"", b".", b".."}:
            raise BadArchive(f"{_shown(b'/'.join(parts))}: a whiteout of nothing")
        try:
            path = b"/".join(above) or b"."
            place = self._places.get(path) or self._open(path)
        except (FileNotFoundError, BadArchive):
            return  # nothing is below what is not there
        if name == _OPAQUE:
            self._hide_below(place.fd, place.inode)
        else:
            self._hide(place.fd, place.inode, hidden)
        self._forget_places()

    def _hide(self, directory: int, inode: int, name: bytes, depth: int = 0) -> None:
        """Take a name away, or, where this archive brought it, what the layers below had in it."""
        if (inode, name) not in self._made:
            self._remove(directory, name, depth)
            return
        try:
            fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        except OSError:
            return
        try:
            self._hide_below(fd, os.fstat(fd).st_ino, depth + 1)
        finally:
            os.close(fd)

    def _hide_below(self, fd: int, inode: int, depth: int = 0) -> None:
        _check_depth(depth)
        for name in os.listdir(fd):
            self._hide(fd, inode, os.fsencode(name), depth)

    def _remove(self, directory: int, name: bytes, depth: int = 0) -> None:
        """Take away whatever has this name, with all below it; nothing is fine too."""
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            _remove_tree(directory, name, depth)


def _remove_tree(directory: int, name: bytes, depth: int) -> None:
    _check_depth(depth)
    fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        for inner in os.listdir(fd):
            try:
                os.unlink(inner, dir_fd=fd)
            except IsADirectoryError:
                _remove_tree(fd, os.fsencode(inner), depth + 1)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=directory)


def _check_depth(depth: int) -> None:
    if depth > _DEEPEST_TREE:
        raise Beyond(errno.E2BIG, f"a tree of more than {_DEEPEST_TREE} directories has to go")


def _write_at(fd: int, data: memoryview, offset: int) -> int:
    """Write to an offset, but not the stretches that are zeros: they become a hole. Return the end of what was
    written, 0 when that was nothing. Stretches begin at their multiples in the file, or where the data do."""
    written = begin = end = 0
    while end < len(data) >= _BLOCK_BYTES:
        at, end = end, min(len(data), end + _STRETCH_BYTES - (offset + end) % _STRETCH_BYTES)
        if _ZEROS.startswith(data[at:end]):
            written = _write_all(fd, data[begin:at], offset + begin) or written
            begin = end
    return _write_all(fd, data[begin:], offset + begin) or written


def _write_all(fd: int, data: memoryview, offset: int) -> int:
    """Write all, if there is any; return where it ends, or 0."""
    if not data:
        return 0
    while data:
        count = os.pwrite(fd, data, offset)
        data = data[count:]
        offset += count
    return offset


def _set_owner_and_time(place: _Place, name: bytes, entry: Entry) -> None:
    if entry.uid or entry.gid or place.gives_group:
        os.chown(name, entry.uid, entry.gid, dir_fd=place.fd, follow_symlinks=False)
    os.utime(name, ns=(entry.modified_ns, entry.modified_ns), dir_fd=place.fd, follow_symlinks=False)


def _set_xattrs(fd: int, entry: Entry) -> None:
    for name, value in entry.xattrs:
        if _is_kept(name):
            os.setxattr(fd, name, value)


def _is_kept(name: bytes) -> bool:
    return name.startswith(b"user.") or name in _XATTRS


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


_MAKERS: dict[str, Callable[[Unpacking, _Place, bytes, Entry], None]] = {
    tarstream.FILE: Unpacking._make_file,
    tarstream.DIRECTORY: Unpacking._make_directory,
    tarstream.SYMLINK: Unpacking._make_symlink,
    tarstream.HARD_LINK: Unpacking._make_hard_link,
    tarstream.CHARACTER: Unpacking._make_node,
    tarstream.BLOCK: Unpacking._make_node,
    tarstream.FIFO: Unpacking._make_node,
}

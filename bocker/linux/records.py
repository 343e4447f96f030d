"""Records as small files, locks as flock(2)."""

from __future__ import annotations

import errno
import fcntl
import os

from bocker.kernel.records import Records
from bocker.linux.errors import LONGEST_NAME, component, translated
from bocker.linux.files import (
    READ,
    discard,
    link,
    linked,
    make_folder,
    opened,
    read_from,
    sync_folder,
    write_all,
    written,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LOCKS = ".locks"  # no record's folder can be called that
_LONGEST = LONGEST_NAME - len("..new")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class LinuxRecords(Records):
    """Files below `root`, which is made when it is first written to; the directory above it is not.

    A new file is written whole before it has a name (O_TMPFILE), so that nothing half is ever seen
    or left by a killed writer. To replace one it is first linked as `.NAME.new`; what a writer
    killed in between leaves there is overwritten by the next one, or goes with the record.
    """

    __slots__ = ("_appending", "_port", "_root", "_was_there")

    def __init__(self, root: str, port: str = "records") -> None:
        self._root = root
        self._port = port  # as which of the two it tells what failed
        self._was_there = False  # then it is not made again: what it was in has been unmounted
        self._appending: tuple[str, int] | None = None  # the path that was last appended to, open

    def __del__(self) -> None:
        if hasattr(self, "_appending"):  # a signal may come while it is made
            self._stop_appending()

    def claim(self, key: str, data: bytes) -> None:
        """Create a record; see the port."""
        with translated(f"{self._port}.claim", key):
            folder, name = self._place(key)
            fd = self._in(folder, lambda: written(folder, data))
            try:
                link(fd, f"{folder}/{name}")
            finally:
                os.close(fd)

    def write(self, key: str, data: bytes, durable: bool = False) -> None:
        """Create or replace a record; see the port."""
        with translated(f"{self._port}.write", key):
            folder, name = self._place(key)
            while not self._replace(folder, name, data, durable):
                pass
            if durable:
                sync_folder(folder)

    def append(self, key: str, data: bytes) -> None:
        """Add to a record in one write(2), which O_APPEND keeps whole; see the port."""
        with translated(f"{self._port}.append", key):
            folder, name = self._place(key)
            write_all(self._open_to_append(folder, f"{folder}/{name}"), data)

    def read(self, key: str, offset: int = 0) -> bytes:
        """Return a record; see the port."""
        with translated(f"{self._port}.read", key):
            folder, name = self._place(key)
            fd = os.open(f"{folder}/{name}", READ)
            self._was_there = True
            try:
                return read_from(fd, offset)
            finally:
                os.close(fd)

    def remove(self, key: str) -> None:
        """Remove a record; see the port."""
        with translated(f"{self._port}.remove", key):
            folder, name = self._place(key)
            discard(f"{folder}/.{name}.new")
            os.unlink(f"{folder}/{name}")

    def list(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder; see the port."""
        with translated(f"{self._port}.list", folder):
            _check(folder)
            try:
                found = os.listdir(f"{self._root}/{folder}")
            except FileNotFoundError:
                if self._was_there:
                    os.stat(self._root)  # or all of it is gone, which is not the same as nothing
                return ()
            self._was_there = True
            return tuple(sorted(name for name in found if name[0] != "."))

    def lock(self, name: str, wait: bool = True, shared: bool = False) -> _Lock:
        """Take a lock; see the port."""
        with translated(f"{self._port}.lock", name):
            _check(name)
            folder = f"{self._root}/{_LOCKS}"
            kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
            while True:
                fd = self._in(folder, lambda: opened(f"{folder}/{name}", _CREATE))
                if _locked(fd, f"{folder}/{name}", kind):
                    return _Lock(fd, f"{folder}/{name}")

    def _place(self, key: str) -> tuple[str, str]:
        folder, _, name = key.partition("/")
        _check(folder)
        _check(name)
        return f"{self._root}/{folder}", name

    def _in(self, folder: str, make: Callable[[], int]) -> int:
        """Do something in a folder, which is made only when the kernel says that it is missing."""
        try:
            done = make()
        except FileNotFoundError:
            if not self._was_there:
                make_folder(self._root)
            make_folder(folder)
            done = make()
        self._was_there = True
        return done

    def _replace(self, folder: str, name: str, data: bytes, durable: bool) -> bool:
        fd = self._in(folder, lambda: written(folder, data))
        try:
            return _published(fd, folder, name, durable)
        finally:
            os.close(fd)

    def _open_to_append(self, folder: str, path: str) -> int:
        """Keep the file open: a log is written to many times. It may have been removed meanwhile."""
        if self._appending is not None:
            open_path, fd = self._appending
            if open_path == path and os.fstat(fd).st_nlink:
                return fd
            self._stop_appending()
        fd = self._in(folder, lambda: opened(path, _CREATE | os.O_APPEND))
        self._appending = (path, fd)
        return fd

    def _stop_appending(self) -> None:
        if self._appending is not None:
            os.close(self._appending[1])
            self._appending = None


class _Lock:
    """A lock that is held.

    It is let go of in so many words, as a child that is just being made has a copy of the
    descriptor; and its file goes first, so that locks leave nothing behind. Whoever waits for it
    sees that the file has no name any more, and takes the lock anew. The last of those who shared
    it takes the file away: the one who gets it alone at the end.
    """

    __slots__ = ("_fd", "_path")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _has_name(self._fd, self._path):
                os.unlink(self._path)
        except OSError:
            pass  # others share it, or the store is read-only or gone: then the file is harmless
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)


def _check(part: str) -> None:
    """Raise OSError (EINVAL) for what can't be a part of a key."""
    if part.startswith(".") or len(component(part)) > _LONGEST:
        raise OSError(errno.EINVAL, "not a part of a key")


def _published(fd: int, folder: str, name: str, durable: bool) -> bool:
    """Give a nameless file the name of a record by way of `.NAME.new`.

    Two that write one record use one way. Whoever finds it taken clears it; whoever was cleared
    away is told so, and starts over with a new file, as a file that lost its name gets no other.
    """
    aside = f"{folder}/.{name}.new"
    while not linked(fd, aside, durable):
        discard(aside)
    try:
        os.rename(aside, f"{folder}/{name}")
    except FileNotFoundError:
        return False
    return True


def _locked(fd: int, path: str, kind: int) -> bool:
    """Lock a file; tell whether that is still the file of that name. Close it when not."""
    try:
        fcntl.flock(fd, kind)
        if _has_name(fd, path):
            return True
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return False


def _has_name(fd: int, path: str) -> bool:
    """Tell whether an open file still is the one of that name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False

"""Subvolumes by the ioctls of btrfs (linux/btrfs.h).

The `btrfs` program costs more than the operation, and nests a snapshot into a target that exists;
the ioctl refuses. Numbers are written out, as Python has no `_IOW`.
"""

from __future__ import annotations

import errno
import fcntl
import os

from bocker.kernel.storage import Storage, Subvolume
from bocker.linux import syscalls
from bocker.linux.errors import component, translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SUBVOL_CREATE_V2 = 0x50009418
_SNAP_CREATE_V2 = 0x50009417
_SNAP_DESTROY = 0x5000940F
_GET_SUBVOL_INFO = 0x81F8943C
_TREE_SEARCH = 0xD0009411
_SYNC = 0x9408

_SUBVOL_RDONLY = 1 << 1  # in btrfs_ioctl_vol_args_v2
_ROOT_RDONLY = 1 << 0  # in btrfs_ioctl_get_subvol_info_args
_SUBVOLUME_INODE = 256  # the root directory of every subvolume
_ROOT_TREE = 1  # the tree that knows all others
_INODE_REF = 12
_ROOT_REF = 156
_HIGHEST = (1 << 64) - 1
_ARGUMENT_SIZE = 4096
_INFO_SIZE = 504

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS


class LinuxStorage(Storage):
    """The subvolumes at the top of `store`, which is opened anew each time: `setup` may mount over it."""

    __slots__ = ("_store",)

    def __init__(self, store: str) -> None:
        self._store = store

    def create(self, name: str) -> None:
        """Make an empty subvolume; see the port."""
        with translated("storage.create", name), _Opened(self._store) as store:
            fcntl.ioctl(store, _SUBVOL_CREATE_V2, _arguments_v2(component(name)))
            os.chmod(name, 0o755, dir_fd=store)
            os.utime(name, ns=(0, 0), dir_fd=store)

    def snapshot(self, source: str, target: str, read_only: bool = False) -> None:
        """Make a snapshot; see the port."""
        with translated("storage.snapshot", target), _Opened(self._store) as store:
            component(source)
            name = component(target)
            flags = _SUBVOL_RDONLY if read_only else 0
            with _Opened(source, store) as origin:
                fcntl.ioctl(store, _SNAP_CREATE_V2, _arguments_v2(name, origin, flags))

    def delete(self, name: str) -> None:
        """Delete a subvolume; see the port."""
        with translated("storage.delete", name):
            *above, last = [component(part) for part in name.split("/")]
            with _Opened(self._store) as store, _Beneath(store, above) as parent:
                fcntl.ioctl(parent, _SNAP_DESTROY, _arguments(last))

    def publish(self, source: str, target: str) -> None:
        """Rename a subvolume; see the port."""
        self._rename("storage.publish", source, target, syscalls.RENAME_NOREPLACE)

    def exchange(self, first: str, second: str) -> None:
        """Swap two names; see the port."""
        self._rename("storage.exchange", first, second, syscalls.RENAME_EXCHANGE)

    def _rename(self, operation: str, source: str, target: str, flags: int) -> None:
        with translated(operation, target), _Opened(self._store) as store:
            _require_btrfs(store)
            syscalls.renameat2(store, component(source), store, component(target), flags)

    def describe(self, name: str) -> Subvolume:
        """Return what the kernel knows of a subvolume; see the port."""
        with translated("storage.describe", name), _Opened(self._store) as store:
            component(name)
            with _Opened(name, store) as subvolume:
                return _described(name, subvolume)

    def names(self) -> tuple[str, ...]:
        """Return the names of the subvolumes; see the port."""
        with translated("storage.names", ""), _Opened(self._store) as store:
            _require_btrfs(store)
            return tuple(sorted(name for name in os.listdir(store) if _is_subvolume(name, store)))

    def nested(self, name: str) -> tuple[str, ...]:
        """Return the subvolumes inside one; see the port."""
        with translated("storage.nested", name), _Opened(self._store) as store:
            component(name)
            with _Opened(name, store) as top:
                _described(name, top)
                return tuple(f"{name}/{os.fsdecode(path)}" for path in _deepest_first(_nested_paths(top)))

    def size_bytes(self, name: str, since: str | None = None) -> int:
        """Return how much room the files of a subvolume take; see the port."""
        from bocker.linux import btrfs_search  # cold

        with translated("storage.size_bytes", name), _Opened(self._store) as store:
            component(name)
            taken_at = 0
            if since is not None:
                component(since)
                with _Opened(since, store) as origin:
                    taken_at = btrfs_search.Snapshot(origin).taken_at
            with _Opened(name, store) as subvolume:
                btrfs_search.Snapshot(subvolume)
                return btrfs_search.allocated_bytes(subvolume, taken_at)

    def sync(self) -> None:
        """Write everything to disk; see the port."""
        with translated("storage.sync", ""), _Opened(self._store) as store:
            fcntl.ioctl(store, _SYNC)


class _Opened:
    """A directory's descriptor for the length of a block; no link is followed at its end but the store's own."""

    __slots__ = ("fd",)

    def __init__(self, path: str, directory: int | None = None) -> None:
        flags = _DIRECTORY if directory is not None else _DIRECTORY & ~os.O_NOFOLLOW
        self.fd = os.open(path, flags, dir_fd=directory)

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *error: object) -> None:
        os.close(self.fd)


class _Beneath(_Opened):
    """A directory below another, reached without following any link: the path may be a container's. It may be long."""

    __slots__ = ()

    def __init__(self, directory: int, path: list[bytes]) -> None:
        self.fd = os.dup(directory)
        for name in path:
            above = self.fd
            try:
                self.fd = syscalls.openat2(above, name, os.O_RDONLY | os.O_DIRECTORY, _BENEATH)
            finally:
                os.close(above)


def _arguments(name: bytes) -> bytearray:
    """Pack `btrfs_ioctl_vol_args`. A bytearray, as fcntl.ioctl refuses immutable bytes of this size."""
    arguments = bytearray(_ARGUMENT_SIZE)
    arguments[8 : 8 + len(name)] = name
    return arguments


def _arguments_v2(name: bytes, fd: int = 0, flags: int = 0) -> bytearray:
    """Pack `btrfs_ioctl_vol_args_v2`."""
    arguments = bytearray(_ARGUMENT_SIZE)
    arguments[0:8] = fd.to_bytes(8, "little")
    arguments[16:24] = flags.to_bytes(8, "little")
    arguments[56 : 56 + len(name)] = name
    return arguments


def _is_subvolume(name: str, store: int) -> bool:
    """Subvolumes alone have directories of this inode number, on btrfs."""
    try:
        status = os.stat(name, dir_fd=store, follow_symlinks=False)
    except FileNotFoundError:  # deleted meanwhile
        return False
    return status.st_ino == _SUBVOLUME_INODE and status.st_mode & 0o170000 == 0o040000


def _require_btrfs(store: int) -> None:
    """Raise OSError (ENOTTY) on any other file system, whose inode 256 would mean nothing."""
    _info(store)


def _info(fd: int) -> bytearray:
    information = bytearray(_INFO_SIZE)
    fcntl.ioctl(fd, _GET_SUBVOL_INFO, information)
    return information


def _described(name: str, fd: int) -> Subvolume:
    """Read `btrfs_ioctl_get_subvol_info_args`, which for a plain directory speaks of what it lies in."""
    information = _info(fd)
    if os.fstat(fd).st_ino != _SUBVOLUME_INODE:
        raise OSError(errno.EINVAL, "not a subvolume")
    parent = information[312:328]
    return Subvolume(
        name, information[296:312].hex(), parent.hex() if any(parent) else None, bool(information[288] & _ROOT_RDONLY)
    )


def _nested_paths(top: int) -> list[bytes]:
    """Return the paths below `top` of all subvolumes in it, at any depth and however long."""
    found = []
    waiting: list[tuple[int, tuple[bytes, ...]]] = [(_tree_of(top), ())]
    while waiting:
        tree, inside = waiting.pop()
        for child, directory, name in _children(top, tree):
            path = (*inside, *_directories(top, tree, directory), name)
            found.append(b"/".join(path))
            waiting.append((child, path))
    return found


def _tree_of(subvolume: int) -> int:
    return int.from_bytes(_info(subvolume)[0:8], "little")


def _children(fd: int, tree: int) -> Iterator[tuple[int, int, bytes]]:
    """Give tree, directory and name of the subvolumes right inside one (`btrfs_root_ref`)."""
    lowest = 0
    while found := list(_items(fd, _ROOT_TREE, tree, _ROOT_REF, lowest)):
        for child, reference in found:
            yield child, int.from_bytes(reference[0:8], "little"), reference[18:]
        lowest = found[-1][0] + 1


def _directories(fd: int, tree: int, directory: int) -> list[bytes]:
    """Return the names of the directories from a subvolume's root down to one of them (`btrfs_inode_ref`).

    One by one: the ioctls that look up a whole path refuse those of more than 4,000 bytes.
    """
    names: list[bytes] = []
    while directory != _SUBVOLUME_INODE:
        reference = next(_items(fd, tree, directory, _INODE_REF, 0), None)
        if reference is None:
            raise OSError(errno.ENOENT, "deleted meanwhile")
        directory = reference[0]
        names.append(reference[1][10:])
    return names[::-1]


def _items(fd: int, tree: int, object_id: int, kind: int, lowest: int) -> Iterator[tuple[int, bytes]]:
    """Give offset and content of the items of one object and kind, as many as fit (`btrfs_ioctl_search_args`)."""
    arguments = bytearray(_ARGUMENT_SIZE)
    for at, value in enumerate((tree, object_id, object_id, lowest, _HIGHEST, 0, _HIGHEST)):
        arguments[8 * at : 8 * at + 8] = value.to_bytes(8, "little")
    for at, value in ((56, kind), (60, kind), (64, _HIGHEST >> 32)):
        arguments[at : at + 4] = value.to_bytes(4, "little")
    fcntl.ioctl(fd, _TREE_SEARCH, arguments)
    at = 104
    for _ in range(int.from_bytes(arguments[64:68], "little")):
        size = int.from_bytes(arguments[at + 28 : at + 32], "little")
        yield int.from_bytes(arguments[at + 16 : at + 24], "little"), bytes(arguments[at + 32 : at + 32 + size])
        at += 32 + size


def _deepest_first(paths: list[bytes]) -> list[bytes]:
    return sorted(paths, key=lambda path: (-path.count(b"/"), path))

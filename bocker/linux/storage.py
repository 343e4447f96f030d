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

_SUBVOL_CREATE_V2 = 0x50009418
_SNAP_CREATE_V2 = 0x50009417
_SNAP_DESTROY = 0x5000940F
_GET_SUBVOL_INFO = 0x81F8943C
_GET_SUBVOL_ROOTREF = 0xD000943D
_INO_LOOKUP_USER = 0xD000943E
_SYNC = 0x9408

_SUBVOL_RDONLY = 1 << 1  # in btrfs_ioctl_vol_args_v2
_ROOT_RDONLY = 1 << 0  # in btrfs_ioctl_get_subvol_info_args
_SUBVOLUME_INODE = 256  # the root directory of every subvolume
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

    def snapshot(self, source: str, target: str, read_only: bool = False) -> None:
        """Make a snapshot; see the port."""
        with translated("storage.snapshot", f"{source} {target}"), _Opened(self._store) as store:
            component(source)
            flags = _SUBVOL_RDONLY if read_only else 0
            with _Opened(source, store) as origin:
                fcntl.ioctl(store, _SNAP_CREATE_V2, _arguments_v2(component(target), origin, flags))

    def delete(self, name: str) -> None:
        """Delete a subvolume; see the port."""
        with translated("storage.delete", name):
            *above, last = [component(part) for part in name.split("/")]
            with _Opened(self._store) as store, _Beneath(store, b"/".join(above)) as parent:
                fcntl.ioctl(parent, _SNAP_DESTROY, _arguments(last))

    def publish(self, source: str, target: str) -> None:
        """Rename a subvolume; see the port."""
        self._rename("storage.publish", source, target, syscalls.RENAME_NOREPLACE)

    def exchange(self, first: str, second: str) -> None:
        """Swap two names; see the port."""
        self._rename("storage.exchange", first, second, syscalls.RENAME_EXCHANGE)

    def _rename(self, operation: str, source: str, target: str, flags: int) -> None:
        with translated(operation, f"{source} {target}"), _Opened(self._store) as store:
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
        with translated("storage.names", self._store), _Opened(self._store) as store:
            _require_btrfs(store)
            return tuple(sorted(name for name in os.listdir(store) if _is_subvolume(name, store)))

    def nested(self, name: str) -> tuple[str, ...]:
        """Return the subvolumes inside one; see the port."""
        with translated("storage.nested", name), _Opened(self._store) as store:
            component(name)
            with _Opened(name, store) as top:
                _described(name, top)
                return tuple(f"{name}/{os.fsdecode(path)}" for path in _deepest_first(_nested_paths(top, b"")))

    def sync(self) -> None:
        """Write everything to disk; see the port."""
        with translated("storage.sync", self._store), _Opened(self._store) as store:
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
    """A directory below another, reached without following any link: the path may be a container's."""

    __slots__ = ()

    def __init__(self, directory: int, path: bytes) -> None:
        self.fd = syscalls.openat2(directory, path or b".", os.O_RDONLY | os.O_DIRECTORY, _BENEATH)


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


def _nested_paths(top: int, inside: bytes) -> list[bytes]:
    """Return the paths below `top` of all subvolumes below its directory `inside`, at any depth."""
    found = []
    with _Beneath(top, inside) as subvolume:
        for tree, directory in _children(subvolume):
            path = inside + (b"/" if inside else b"") + _path_of(subvolume, tree, directory)
            found += [path, *_nested_paths(top, path)]
    return found


def _children(subvolume: int) -> list[tuple[int, int]]:
    """Return tree id and directory of the subvolumes right inside one (`btrfs_ioctl_get_subvol_rootref_args`)."""
    found: list[tuple[int, int]] = []
    lowest = 0
    while True:
        arguments = bytearray(_ARGUMENT_SIZE)
        arguments[0:8] = lowest.to_bytes(8, "little")
        complete = _rootrefs(subvolume, arguments)
        numbers = [int.from_bytes(arguments[at : at + 8], "little") for at in range(8, 8 + 16 * arguments[4088], 8)]
        found += zip(numbers[::2], numbers[1::2], strict=True)
        if complete:
            return found
        lowest = int.from_bytes(arguments[0:8], "little")


def _rootrefs(subvolume: int, arguments: bytearray) -> bool:
    """Tell whether all fitted; the kernel says EOVERFLOW when there are more, and where to go on."""
    try:
        fcntl.ioctl(subvolume, _GET_SUBVOL_ROOTREF, arguments)
    except OSError as error:
        if error.errno != errno.EOVERFLOW:
            raise
        return False
    return True


def _path_of(subvolume: int, tree: int, directory: int) -> bytes:
    """Return the path of a child inside its parent (`btrfs_ioctl_ino_lookup_user_args`)."""
    arguments = bytearray(_ARGUMENT_SIZE)
    arguments[0:8] = directory.to_bytes(8, "little")
    arguments[8:16] = tree.to_bytes(8, "little")
    fcntl.ioctl(subvolume, _INO_LOOKUP_USER, arguments)
    name, path = arguments[16:272], arguments[272:]
    return bytes(path[: path.index(0)] + name[: name.index(0)])


def _deepest_first(paths: list[bytes]) -> list[bytes]:
    return sorted(paths, key=lambda path: (-path.count(b"/"), path))

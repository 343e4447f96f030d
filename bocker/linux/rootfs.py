"""The container's view of files: its mounts, built detached and attached below its root.

Everything that does not need the root file system is made while the engine still takes the
snapshot (`prepare`); then the root is entered (`enter_root`), and the prepared mounts are attached
in their order (`attach`). Every path of the container is resolved by the kernel within the root
(openat2 with RESOLVE_IN_ROOT), so that no link of an image leads out of it (defects S8 to S10).
"""

from __future__ import annotations

import errno
import os
import stat

from bocker.core.spec import ContainerSpec, Device, File, Mount
from bocker.linux import syscalls as k

_ATTRIBUTES = {
    "ro": k.MOUNT_ATTR_RDONLY,
    "nosuid": k.MOUNT_ATTR_NOSUID,
    "nodev": k.MOUNT_ATTR_NODEV,
    "noexec": k.MOUNT_ATTR_NOEXEC,
}
_SAFE = k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOEXEC
_NULL = Device("/dev/null", 1, 3)
_IN_ROOT = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS


class Prepared:
    """Detached mounts, each with the path inside the container where it goes."""

    __slots__ = ("devices", "files", "mask_directory", "mask_file", "mounts")

    def __init__(self) -> None:
        self.mounts: list[tuple[Mount, int]] = []
        self.files: list[tuple[File, int]] = []
        self.devices: list[tuple[Device, int]] = []
        self.mask_file = -1
        self.mask_directory = -1


def prepare(spec: ContainerSpec) -> Prepared:
    """Make all mounts that do not need the root; the caller has its own, private mount namespace."""
    prepared = Prepared()
    for mount in spec.mounts:
        descriptor = _detached(mount)
        if descriptor is not None:
            prepared.mounts.append((mount, descriptor))
    prepared.devices = [(device, _device(device)) for device in spec.devices]
    if spec.masked_paths:
        prepared.mask_file = _device(_NULL)
        options = ((b"mode", b"0555"), (b"size", b"4k"), (b"nr_inodes", b"2"))
        prepared.mask_directory = _scratch(options, _SAFE | k.MOUNT_ATTR_RDONLY)
    if spec.files:
        prepared.files = _files(spec.files, os.path.dirname(spec.root))
    return prepared


def enter_root(root: str) -> int:
    """Mount the root file system on itself, without devices or setuid; return its descriptor."""
    path = os.fsencode(root)
    descriptor = k.open_tree(k.AT_FDCWD, path, k.OPEN_TREE_CLONE)
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    k.mount_setattr(descriptor, b"", k.AT_EMPTY_PATH, k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOSUID, private=True)
    k.move_mount(descriptor, k.AT_FDCWD, path)
    return descriptor


def attach(spec: ContainerSpec, prepared: Prepared, root: int) -> list[str]:
    """Attach everything below the root; return the mount points that the image did not have."""
    targets = _Targets(root)
    for mount, descriptor in prepared.mounts:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        targets.attach(descriptor, mount.target, is_directory)
    for device, descriptor in prepared.devices:
        targets.attach(descriptor, device.path, False)
    for path, destination in spec.links:
        targets.link(path, destination)
    for file, descriptor in prepared.files:
        targets.lay_over(descriptor, file.target)
    for path in spec.directories:
        targets.make_directory(path)
    for path in spec.readonly_paths:
        targets.make_read_only(path)
    for path in spec.masked_paths:
        targets.mask(path, prepared)
    return targets.made


def make_directory(root: int, path: str) -> None:
    """Make a directory within the root, and those above it, where there are none."""
    _Targets(root).make_directory(path)


def pivot(root: int) -> None:
    """Make the descriptor's directory the root of this mount namespace and drop the old root.

    pivot_root(2), "pivot_root(".", ".")": the old root is stacked under the new one and detached.
    """
    os.fchdir(root)
    pivot_here()


def pivot_here() -> None:
    """The same for the working directory, which is a mount point."""
    k.pivot_root(b".", b".")
    k.umount2(b".", k.MNT_DETACH)
    os.chdir("/")


class _Targets:
    """Places inside the root, resolved by the kernel, never by us."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.device = os.fstat(root).st_dev
        self.made: list[str] = []
        self.masks: set[int] = set()

    def attach(self, mount_fd: int, path: str, is_directory: bool) -> None:
        target = self._open_or_make(path, is_directory)
        try:
            k.move_mount(mount_fd, target)
        except OSError as error:
            raise OSError(error.errno, path) from None
        os.close(target)
        os.close(mount_fd)

    def lay_over(self, mount_fd: int, path: str) -> None:
        """Attach a file; where its directory is a link that leads nowhere, nobody could read it: leave it out."""
        try:
            self.attach(mount_fd, path, False)
        except FileExistsError:
            os.close(mount_fd)

    def link(self, path: str, destination: str) -> None:
        parent, name = self._parent(path)
        try:
            os.symlink(destination, name, dir_fd=parent)
        except FileExistsError:
            pass
        finally:
            os.close(parent)

    def make_directory(self, path: str) -> None:
        """Make a directory; raise OSError with the path as its text, whatever part of it is in the way."""
        try:
            os.close(self._open_directory(path))
        except OSError as error:
            raise OSError(error.errno, path) from None

    def make_read_only(self, path: str) -> None:
        target = self._open(path)
        if target is None:
            return
        clone = k.open_tree(target, b"", k.OPEN_TREE_CLONE | k.AT_EMPTY_PATH | k.AT_RECURSIVE)
        k.mount_setattr(clone, b"", k.AT_EMPTY_PATH | k.AT_RECURSIVE, k.MOUNT_ATTR_RDONLY)
        k.move_mount(clone, target)
        os.close(clone)
        os.close(target)

    def mask(self, path: str, prepared: Prepared) -> None:
        target = self._open(path)
        if target is None:
            return
        is_directory = stat.S_ISDIR(os.fstat(target).st_mode)
        source = prepared.mask_directory if is_directory else prepared.mask_file
        if source in self.masks:  # attached by now, so that every kernel can clone it
            source = k.open_tree(source, b"", k.OPEN_TREE_CLONE | k.AT_EMPTY_PATH)
        self.masks.add(source)
        k.move_mount(source, target)
        os.close(target)

    def _open(self, path: str) -> int | None:
        try:
            return k.openat2(self.root, os.fsencode(path), os.O_PATH | os.O_NOFOLLOW, _IN_ROOT)
        except FileNotFoundError:
            return None

    def _open_or_make(self, path: str, is_directory: bool) -> int:
        found = self._open(path)
        if found is None:
            self._make(path, is_directory)
            found = self._open(path)
        if found is None:
            raise OSError(errno.ENOENT, path)
        if is_directory and not stat.S_ISDIR(os.fstat(found).st_mode):
            raise OSError(errno.ENOTDIR, path)
        return found

    def _make(self, path: str, is_directory: bool) -> None:
        parent, name = self._parent(path)
        try:
            if is_directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=parent))
            if os.fstat(parent).st_dev == self.device:
                self.made.append(path)
        finally:
            os.close(parent)

    def _parent(self, path: str) -> tuple[int, str]:
        directory, _, name = path.rpartition("/")
        return os.dup(self.root) if not directory else self._open_directory(directory), name

    def _open_directory(self, path: str) -> int:
        try:
            return k.openat2(self.root, os.fsencode(path), os.O_RDONLY | os.O_DIRECTORY, _IN_ROOT)
        except FileNotFoundError:
            self._make(path, True)
            return k.openat2(self.root, os.fsencode(path), os.O_RDONLY | os.O_DIRECTORY, _IN_ROOT)


def _detached(mount: Mount) -> int | None:
    attributes = sum(_ATTRIBUTES[flag] for flag in mount.flags)
    try:
        if mount.kind == "bind":
            return _bind(mount.source, attributes)
        return k.detached_mount(mount.kind.encode(), _options(mount.data), attributes)
    except OSError as error:
        if mount.optional and error.errno in {errno.ENODEV, errno.ENOENT}:
            return None
        raise OSError(error.errno, mount.target) from None


def _bind(source: str, attributes: int) -> int:
    descriptor = k.open_tree(k.AT_FDCWD, os.fsencode(source), k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
    k.mount_setattr(descriptor, b"", k.AT_EMPTY_PATH | k.AT_RECURSIVE, attributes, private=True)
    return descriptor


def _options(data: str) -> tuple[tuple[bytes, bytes | None], ...]:
    options = []
    for word in data.split(",") if data else ():
        name, has_text, text = word.partition("=")
        options.append((name.encode(), text.encode() if has_text else None))
    return tuple(options)


def _device(device: Device) -> int:
    """Return a detached bind of the host's node: verified by number, its attributes not writable.

    A container's root owns the node's inode; only the read-only mount keeps it from changing the
    host's modes and owners. Reading and writing the device itself is not affected.
    """
    node = os.open(device.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(node)
        if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(device.major, device.minor):
            raise OSError(errno.ENODEV, device.path)
        descriptor = k.open_tree(node, b"", k.OPEN_TREE_CLONE | k.AT_EMPTY_PATH)
    finally:
        os.close(node)
    attributes = k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NOEXEC
    k.mount_setattr(descriptor, b"", k.AT_EMPTY_PATH, attributes, k.MOUNT_ATTR_NODEV, private=True)
    return descriptor


def _scratch(options: tuple[tuple[bytes, bytes | None], ...], attributes: int) -> int:
    return k.detached_mount(b"tmpfs", options, attributes)


def _files(files: tuple[File, ...], directory: str) -> list[tuple[File, int]]:
    """Return a detached mount of each file.

    They lie on a tmpfs that is attached over `directory` for a moment, in this namespace only:
    kernels before 6.15 clone no mount that is attached nowhere.
    """
    place = os.fsencode(directory)
    scratch = _scratch(((b"mode", b"0755"), (b"size", b"1m")), _SAFE)
    k.move_mount(scratch, k.AT_FDCWD, place)
    try:
        return [(file, _file(scratch, str(index), file)) for index, file in enumerate(files)]
    finally:
        k.umount2(place, k.MNT_DETACH)
        os.close(scratch)


def _file(directory: int, name: str, file: File) -> int:
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory)
    os.write(descriptor, file.content)
    os.fchmod(descriptor, file.mode)
    os.close(descriptor)
    return k.open_tree(directory, name.encode(), k.OPEN_TREE_CLONE)

"""Names of network namespaces, kept so that `ip netns` shows and removes them."""

from __future__ import annotations

import errno
import os

from bocker.kernel.namespaces import Namespaces
from bocker.linux import syscalls as k
from bocker.linux.errors import component, translated

_MS_SHARED = 1 << 20
_NAMESPACE = b"/proc/thread-self/ns/net"


class LinuxNamespaces(Namespaces):
    """Files in one folder: bind mounts of namespaces, and symbolic links to those of processes."""

    __slots__ = ("_directory",)

    def __init__(self, directory: str) -> None:
        self._directory = os.fsencode(directory)

    def create(self, name: str) -> None:
        """See the port; a bind mount of /proc/self/ns/net in a new namespace, as ip-netns(8) does."""
        with translated("namespaces.create", name):
            path = self._path(name)
            self._share_directory()
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
            try:
                _mount_new_namespace(path)
            except OSError:
                os.unlink(path)
                raise

    def link(self, name: str, pid: int) -> None:
        """See the port; symlink(2)."""
        with translated("namespaces.link", name):
            path = self._path(name)
            target = b"/proc/%d/ns/net" % pid
            os.stat(target)
            os.makedirs(self._directory, mode=0o755, exist_ok=True)
            os.symlink(target, path)

    def remove(self, name: str) -> None:
        """See the port; umount2(2) with MNT_DETACH, and unlink(2)."""
        with translated("namespaces.remove", name):
            path = self._path(name)
            if not os.path.islink(path):
                _unmount(path)
            os.unlink(path)

    def names(self) -> tuple[str, ...]:
        """See the port."""
        with translated("namespaces.names", os.fsdecode(self._directory)):
            try:
                return tuple(sorted(map(os.fsdecode, os.listdir(self._directory))))
            except FileNotFoundError:
                return ()

    def _path(self, name: str) -> bytes:
        return self._directory + b"/" + component(name)

    def _share_directory(self) -> None:
        """Make the folder a shared mount, as `ip netns` does: a name removed here goes everywhere."""
        os.makedirs(self._directory, mode=0o755, exist_ok=True)
        try:
            k.mount(None, self._directory, None, _MS_SHARED | k.MS_REC)
        except OSError:  # EINVAL: no mount yet
            k.mount(self._directory, self._directory, None, k.MS_BIND | k.MS_REC)
            k.mount(None, self._directory, None, _MS_SHARED | k.MS_REC)


def _mount_new_namespace(path: bytes) -> None:
    own = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        k.unshare(k.CLONE_NEWNET)
        try:
            k.mount(_NAMESPACE, path, None, k.MS_BIND)
        finally:
            k.setns(own, k.CLONE_NEWNET)
    finally:
        os.close(own)


def _unmount(path: bytes) -> None:
    try:
        k.umount2(path, k.MNT_DETACH | k.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.EINVAL:  # it is a plain file: a crash came between file and mount
            raise

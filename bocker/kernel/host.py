"""The host that containers run on: file systems, kernel settings, files that bocker reads."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value


class MountPoint(Value):
    """A mount of the host, the newest at its target. flags: words of mount(8) such as `ro`,
    `nosuid`, `nodev`."""

    target: str
    source: str
    kind: str
    flags: tuple[str, ...]


class HostFacts(Value):
    """What the host is. `interpreter` is the file that this program runs from, which a container
    could reach as `/proc/self/exe`; `interpreter_read_only` whether the mount by which it was
    started protects it: that does not change while the program runs. `kernel_version`: the first two
    numbers of the kernel's release."""

    privileged: bool
    processors: int
    interpreter: str
    interpreter_read_only: bool
    kernel_version: tuple[int, int]


class Host(ABC):
    """The host's own things. Paths are absolute.

    Errors of every method: Missing for a path that is not there, Denied, ReadOnly, NoSpace.
    """

    __slots__ = ()

    @abstractmethod
    def facts(self) -> HostFacts:
        """Return what the host is."""

    @abstractmethod
    def mount_at(self, target: str) -> MountPoint | None:
        """Return what is mounted at exactly `target`, None when nothing is."""

    @abstractmethod
    def make_filesystem(self, path: str, size_bytes: int) -> None:
        """Make a sparse file with an empty btrfs in it, mode 0600, at one instant and on disk when this
        returns. Raise AlreadyExists, NoSpace, Invalid when it is smaller than a btrfs can be (nothing is
        left then)."""

    @abstractmethod
    def mount_image(self, path: str, target: str) -> None:
        """Mount a file system from a file by a loop device that goes with the mount, `nosuid,nodev`;
        make the directory `target`, mode 0700, if need be. Raise Missing, Invalid for a file that
        holds no file system, Busy when it is mounted there already."""

    @abstractmethod
    def restrict(self, target: str) -> None:
        """Make a mounted directory mode 0700 and its mount `nosuid,nodev`. Raise Invalid when
        nothing is mounted there."""

    @abstractmethod
    def protect(self, path: str, target: str) -> None:
        """Mount the file `path` read-only at `target` (which may be the file itself), making an
        empty file there (mode 0600), and the directory that it lies in (mode 0755), if need be. Raise Missing,
        Busy when something is mounted there already."""

    @abstractmethod
    def unmount(self, target: str, detach: bool = False) -> None:
        """Unmount `target`; with `detach` also while it is in use: its users keep what they have.
        Raise Invalid when nothing is mounted there, Busy while it is in use."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete a file, a link, or an empty directory. Raise Missing, NotEmpty, Busy."""

    @abstractmethod
    def copy_tree(self, directory: str, target: str) -> None:
        """Copy all that is in `directory` into the empty directory `target`, and its own attributes
        onto it: owners, modes, times, hard links, symbolic links, devices, FIFOs, extended
        attributes, holes. Raise Missing, Invalid (ENOTDIR) when it is no directory, Invalid (EINVAL)
        when `target` is `directory` or lies in it, NoSpace (a part is left then)."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return a small file's content. Raise Missing."""

    @abstractmethod
    def read_sysctl(self, name: str) -> str:
        """Return a kernel setting such as `net.ipv4.ip_forward`, stripped. Raise Missing."""

    @abstractmethod
    def write_sysctl(self, name: str, value: str) -> None:
        """Change a kernel setting. Raise Missing, Invalid for a value it does not take."""

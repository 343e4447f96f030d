"""What the contracts need and no port offers: plain files, a process in a group, a full disk.

The fixture `lab` gives one; `tests/system/linux_lab.py` and `tests/unit/fake_lab.py` implement it.
Paths are absolute. What a lab made is gone after `close`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.kernel import Kernel

# Conditions of a place, and of a kernel whose store is such a place.
MISSING = "missing"  # nothing is there
PLAIN = "plain"  # a directory of a file system that is no btrfs
READ_ONLY = "read-only"  # a btrfs mounted read-only, with one subvolume `img_42002` and one file `file`
DENIED = "denied"  # a directory of a btrfs whose entries nobody may change, with the same two in it
FULL = "full"  # a btrfs without space, with the same two in it
NO_GROUPS = "no groups"  # for `kernel` only: a host without control groups
NO_FIREWALL = "no firewall"  # for `kernel` only: a host without nftables
NO_RIGHTS = "no rights"  # for `kernel` only: a program that may not administer the network, until the lab is closed


# What a helper does (`add_helper`).
ECHO = "echo"  # prints its argument, a blank, and what it read
REFUSE = "refuse"  # reads nothing, prints `refused`, and exits 3
SUICIDE = "suicide"  # sends itself signal 9
SLOW = "slow"  # closes its output, and takes a minute to end
ENDLESS = "endless"  # prints nothing, and takes a minute to end
FLOOD = "flood"  # prints without end
FORBIDDEN = "forbidden"  # is not executable


class Entry(Value):
    """What a file in a tree is. kind: `file`, `directory`, `link`, `character`, `block`, `fifo`.

    `first_name` is the first path, in order, of the same file (hard links share it); `device` its
    major and minor number; `sparse` whether it has holes; the content of a long file is a digest of it.
    """

    kind: str
    mode: int
    owner: tuple[int, int]
    modified_ns: int
    first_name: str
    content: bytes = b""
    link: str = ""
    device: tuple[int, int] = (0, 0)
    attributes: tuple[tuple[str, bytes], ...] = ()
    sparse: bool = False


class Lab(ABC):
    """Small hands around a kernel; `directory` is an empty directory of the host for one test, on btrfs."""

    directory: str

    @abstractmethod
    def kernel(self, condition: str) -> Kernel:
        """Return a kernel whose store is a place in that condition."""

    @abstractmethod
    def place(self, condition: str) -> str:
        """Return the path of a place in that condition."""

    @abstractmethod
    def make_directory(self, path: str) -> None:
        """Make a plain directory, mode 0755."""

    @abstractmethod
    def make_subvolume(self, path: str) -> None:
        """Make a btrfs subvolume anywhere in the store."""

    @abstractmethod
    def make_link(self, path: str, target: str) -> None:
        """Make a symbolic link."""

    @abstractmethod
    def write_file(self, path: str, data: bytes) -> None:
        """Create or replace a file, mode 0644; raise KernelError (of any operation) when the kernel refuses."""

    @abstractmethod
    def read_file(self, path: str) -> bytes:
        """Return a file's content."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Tell whether there is anything at a path, a link included."""

    @abstractmethod
    def fill(self, path: str) -> None:
        """Make a directory that holds every kind of file and attribute that `Host.copy_tree` keeps."""

    @abstractmethod
    def tree(self, path: str) -> dict[str, Entry]:
        """Return all that is below a directory by relative path, itself as `.`."""

    @abstractmethod
    def add_helper(self, program: str, kind: str) -> None:
        """Put a program into PATH that does one of the things above."""

    @abstractmethod
    def mount(self, path: str) -> None:
        """Mount an empty tmpfs at a directory."""

    @abstractmethod
    def spawn(self, directory: str = "/") -> int:
        """Start a process that does as told below, with its root directory at `directory`; return its pid."""

    @abstractmethod
    def spawn_in(self, namespace: str) -> int:
        """Start such a process in the network namespace with that name (see the port `Namespaces`)."""

    @abstractmethod
    def kill(self, pid: int) -> None:
        """Kill and reap a process that `spawn` started."""

    @abstractmethod
    def kill_unreaped(self, pid: int) -> None:
        """Kill a process that `spawn` started and leave it a zombie."""

    @abstractmethod
    def eat(self, pid: int, size_bytes: int) -> bool:
        """Let a process take memory and write to it; tell whether it lived through that."""

    @abstractmethod
    def fork(self, pid: int) -> int:
        """Let a process make a child that sleeps until its parent ends; return the errno of a refusal, else 0."""

    @abstractmethod
    def open_device(self, pid: int, path: str) -> int:
        """Let a process open `/dev/null` or `/dev/zero` for reading; return the errno of a refusal, else 0."""

    @abstractmethod
    def piped(self, data: bytes, act: Callable[[], object]) -> bytes:
        """Do something while `data` (up to a mebibyte) is all that comes from the program's standard input, a
        pipe; return what went to its standard output, another one."""

    @abstractmethod
    def close(self) -> None:
        """End the processes, and take away what the lab made."""

"""Control groups, version 1 and version 2 behind one port."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.limits import Limits
from bocker.core.spec import DeviceRule
from bocker.core.value import Value


class Layout(Value):
    """What this host offers. version: 1 or 2. controllers: those that can be limited here, of
    `cpu`, `memory`, `pids`, `devices`. swap: whether swap is accounted with memory. hierarchies: on
    version 1 the mounts that these lie on, each by all controllers that it joins (`cpu,cpuacct`),
    as mount(2) takes them: it refuses a part of them."""

    version: int
    controllers: tuple[str, ...]
    swap: bool
    hierarchies: tuple[str, ...] = ()


class Usage(Value):
    """What a group has used. oom_kills: processes that the memory limit killed. processes: its members."""

    oom_kills: int
    memory_bytes: int
    processes: int


class Cgroups(ABC):
    """Groups below the one parent group (`Settings.cgroup_parent`), by name.

    On version 1 a group is one directory in each controller's hierarchy, and all of them are made
    and removed together. A name is one path component, else Invalid (EINVAL).
    """

    __slots__ = ()

    @abstractmethod
    def layout(self) -> Layout:
        """Return what this host offers. Raise Unsupported when there are no control groups: a
        directory that is no cgroup file system does not count, even where it can be written."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Make a group, and the parent if need be. Raise AlreadyExists if any part of it is there
        (what was made is taken away again)."""

    @abstractmethod
    def limit(self, name: str, limits: Limits, device_rules: tuple[DeviceRule, ...] = ()) -> Limits:
        """Set limits and device rules; return the limits as the kernel reads them back.

        Memory is rounded down to a page; shares are kept to 2 to 262144 (version 1). Where swap is
        accounted, memory and swap together have the memory's bound. Device rules deny
        everything and then allow what they list; nothing happens where there is no `devices`
        controller, or when none are given. Raise Missing, Invalid (EINVAL), Busy (EBUSY) when the
        group uses more memory than the new bound already.
        """

    @abstractmethod
    def add(self, name: str, pid: int) -> None:
        """Put a process into the group. Raise Missing when the group (ENOENT) or the process (ESRCH)
        is not there."""

    @abstractmethod
    def members(self, name: str) -> tuple[int, ...]:
        """Return the processes in the group, ascending, zombies left out. Raise Missing."""

    @abstractmethod
    def usage(self, name: str) -> Usage:
        """Return what the group has used so far. Raise Missing."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove the group, from every hierarchy that has a part of it. Raise Missing when none has,
        Busy while it has a process."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the groups below the parent, in any hierarchy, sorted."""

    @abstractmethod
    def remove_parent(self) -> None:
        """Remove the parent group itself, from every hierarchy. Nothing happens when there is
        none; raise Busy while it has groups or processes."""

"""Version 2: one hierarchy, whose controllers are handed down level by level. See admin-guide/cgroup-v2
in the kernel's documentation."""

from __future__ import annotations

import errno
import math
import os

from bocker.core.limits import CPU_PERIOD_US, HIGHEST_CPU_SHARES, LOWEST_CPU_SHARES, Limits
from bocker.core.spec import DeviceRule
from bocker.kernel.cgroups import Layout, Usage
from bocker.linux import device_program
from bocker.linux.cgroup_files import bound, counted, directories, make, number, pids, put, removed
from bocker.linux.files import read_file


class GroupsV2:
    """The groups below `parent` in the hierarchy that is mounted at `root`, with its `controllers`.

    Devices have no controller here: they are programs, of which `device_program` knows.
    """

    __slots__ = ("_controllers", "_parent", "_root")

    def __init__(self, root: str, parent: str, controllers: tuple[str, ...]) -> None:
        self._root = root
        self._parent = f"{root}/{parent}"
        self._controllers = controllers

    def layout(self) -> Layout:
        """Return what can be limited. The root itself has no limits, so any group below it tells of swap."""
        groups = [f"{self._root}/{name}" for name in directories(self._root)]
        devices = ("devices",) if device_program.available(self._root) else ()
        return Layout(
            2, self._controllers + devices, any(os.path.exists(f"{group}/memory.swap.max") for group in groups)
        )

    def create(self, name: str) -> None:
        """Make a group. systemd takes controllers away again, so they are asserted each time."""
        make(self._parent)
        self._hand_down(self._root)
        self._hand_down(self._parent)
        os.mkdir(self._group(name), 0o755)

    def limit(self, name: str, limits: Limits, device_rules: tuple[DeviceRule, ...]) -> Limits:
        """Set limits and return what the kernel made of them; without its controller a limit stays as asked."""
        group = self._group(name)
        os.stat(group)
        if "cpu" in self._controllers:
            limits = _limit_cpu(group, limits)
        if "memory" in self._controllers:
            limits = _limit_memory(group, limits)
        if "pids" in self._controllers:
            put(f"{group}/pids.max", "max" if limits.pids is None else limits.pids)
            limits = limits.replace(pids=bound(f"{group}/pids.max"))
        if device_rules and device_program.available(self._root):
            device_program.attach(group, device_rules)
        return limits

    def add(self, name: str, pid: int) -> None:
        """Move a process with all its threads."""
        put(f"{self._group(name)}/cgroup.procs", pid)

    def members(self, name: str) -> tuple[int, ...]:
        """Return the processes in the group."""
        return tuple(sorted(pids(f"{self._group(name)}/cgroup.procs")))

    def usage(self, name: str) -> Usage:
        """Return the counters; 0 where there is no controller that counts."""
        group = self._group(name)
        oom_kills = memory_bytes = 0
        if "memory" in self._controllers:
            oom_kills = counted(f"{group}/memory.events", b"oom_kill")
            memory_bytes = number(f"{group}/memory.current")
        return Usage(oom_kills, memory_bytes, len(self.members(name)))  # `pids.current` counts zombies and threads

    def remove(self, name: str) -> None:
        """Remove a group."""
        os.rmdir(self._group(name))

    def names(self) -> tuple[str, ...]:
        """Return the groups below the parent."""
        return tuple(sorted(directories(self._parent)))

    def remove_parent(self) -> None:
        """Remove the parent."""
        removed(self._parent)

    def task_files(self, name: str) -> tuple[str, ...]:
        """Return the file that a process joins by."""
        return (f"{self._group(name)}/cgroup.procs",)

    def group_descriptor(self, name: str) -> int:
        """Return a descriptor of the group's directory."""
        return os.open(self._group(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _group(self, name: str) -> str:
        return f"{self._parent}/{name}"

    def _hand_down(self, directory: str) -> None:
        """Give a directory's children the controllers that they have not yet."""
        path = f"{directory}/cgroup.subtree_control"
        there = read_file(path).decode("ascii").split()
        wanted = [f"+{controller}" for controller in self._controllers if controller not in there]
        if wanted:
            put(path, " ".join(wanted))


def weight_of(cpu_shares: int) -> int:
    """Return the `cpu.weight` (1 to 10000) that crun and runc give for shares (2 to 262144).

    The curve goes through the ends of both ranges and through both defaults: 1024 is 100.
    """
    exponent = math.log2(_in_range(cpu_shares))
    return math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def _in_range(cpu_shares: int) -> int:
    return min(max(cpu_shares, LOWEST_CPU_SHARES), HIGHEST_CPU_SHARES)


def _limit_cpu(group: str, limits: Limits) -> Limits:
    put(f"{group}/cpu.weight", weight_of(limits.cpu_shares))
    put(f"{group}/cpu.max", f"{'max' if limits.cpu_quota_us is None else limits.cpu_quota_us} {CPU_PERIOD_US}")
    return limits.replace(cpu_shares=_in_range(limits.cpu_shares), cpu_quota_us=bound(f"{group}/cpu.max"))


def _limit_memory(group: str, limits: Limits) -> Limits:
    """Without swap, memory and swap together have the memory's bound."""
    _make_room(group, limits.memory_bytes)
    swap = f"{group}/memory.swap.max"
    if os.path.exists(swap):
        put(swap, 0)
    put(f"{group}/memory.max", limits.memory_bytes)
    read_back = bound(f"{group}/memory.max")
    return limits if read_back is None else limits.replace(memory_bytes=read_back)


def _make_room(group: str, memory_bytes: int) -> None:
    """Raise OSError (EBUSY) when the group can't shrink: `memory.max` would kill where version 1 refuses.

    Setting `memory.high` takes back what can be had and kills nobody.
    """
    if number(f"{group}/memory.current") <= memory_bytes:
        return
    put(f"{group}/memory.high", memory_bytes)
    used = number(f"{group}/memory.current")
    put(f"{group}/memory.high", "max")
    if used > memory_bytes:
        raise OSError(errno.EBUSY, "uses more memory already")

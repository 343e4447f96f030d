"""Version 1: a hierarchy for each controller, or for several joined. See cgroups(7) and, in the
kernel's documentation, admin-guide/cgroup-v1."""

from __future__ import annotations

import errno
import os

from bocker.core.limits import CPU_PERIOD_US, Limits
from bocker.core.spec import DeviceRule
from bocker.kernel.cgroups import Layout, Usage
from bocker.linux.cgroup_files import bound, counted, directories, make, number, pids, put, removed
from bocker.linux.files import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.linux.mountinfo import Mounted

_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
_FLAGS = frozenset(
    {"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "nofavordynmods"}
)


class GroupsV1:
    """The groups below `parent`; `mounts` tells each controller's hierarchy."""

    __slots__ = ("_hierarchies", "_mounted", "_parent", "_parents", "_swap", "_with_cpuset")

    def __init__(self, mounts: dict[str, Mounted], parent: str) -> None:
        hierarchies = {mount.target: _joined(mount) for mount in mounts.values()}
        self._mounted = mounted = {controller: mount.target for controller, mount in mounts.items()}
        self._parent = parent
        self._parents = tuple(f"{target}/{parent}" for target in hierarchies)
        self._hierarchies = tuple(",".join(controllers) for controllers in hierarchies.values())
        self._with_cpuset = {f"{target}/{parent}" for target, joined in hierarchies.items() if "cpuset" in joined}
        self._swap = "memory" in mounted and os.path.exists(f"{mounted['memory']}/memory.memsw.limit_in_bytes")

    def layout(self) -> Layout:
        """Return what can be limited."""
        return Layout(1, tuple(self._mounted), self._swap, self._hierarchies)

    def create(self, name: str) -> None:
        """Make the group in every hierarchy, or in none."""
        made: list[str] = []
        try:
            for parent in self._parents:
                _make_group(parent, name)
                made.append(f"{parent}/{name}")
                if parent in self._with_cpuset:
                    _hand_down_cpuset(parent)
                    _hand_down_cpuset(f"{parent}/{name}")
        except OSError:
            for path in made:
                removed(path)
            raise

    def limit(self, name: str, limits: Limits, device_rules: tuple[DeviceRule, ...]) -> Limits:
        """Set limits and return what the kernel made of them; without its controller a limit stays as asked."""
        if "cpu" in self._mounted:
            limits = _limit_cpu(self._group("cpu", name), limits)
        if "memory" in self._mounted:
            limits = self._limit_memory(self._group("memory", name), limits)
        if "pids" in self._mounted:
            path = f"{self._group('pids', name)}/pids.max"
            put(path, "max" if limits.pids is None else limits.pids)
            limits = limits.replace(pids=bound(path))
        if "devices" in self._mounted and device_rules:
            _allow_only(self._group("devices", name), device_rules)
        return limits

    def add(self, name: str, pid: int) -> None:
        """Put a process into each hierarchy's group."""
        for path in self.task_files(name):
            put(path, pid)

    def members(self, name: str) -> tuple[int, ...]:
        """Return the processes that are in any of the groups."""
        found: set[int] = set()
        for parent in self._parents:
            found |= pids(f"{parent}/{name}/cgroup.procs")
        return tuple(sorted(found))

    def usage(self, name: str) -> Usage:
        """Return the counters; 0 where there is no controller that counts."""
        oom_kills = memory_bytes = 0
        if "memory" in self._mounted:
            group = self._group("memory", name)
            oom_kills = counted(f"{group}/memory.oom_control", b"oom_kill")
            memory_bytes = number(f"{group}/memory.usage_in_bytes")
        return Usage(oom_kills, memory_bytes, len(self.members(name)))  # `pids.current` counts zombies and threads

    def remove(self, name: str) -> None:
        """Remove the group wherever a part of it is."""
        gone = [removed(f"{parent}/{name}") for parent in self._parents]
        if True not in gone:
            raise OSError(errno.ENOENT, "no such group")

    def names(self) -> tuple[str, ...]:
        """Return the groups that are in any hierarchy."""
        return tuple(sorted(set().union(*(directories(parent) for parent in self._parents))))

    def remove_parent(self) -> None:
        """Remove the parent from every hierarchy."""
        for parent in self._parents:
            removed(parent)

    def task_files(self, name: str) -> tuple[str, ...]:
        """Return each hierarchy's `tasks`; writing to `cgroup.procs` takes twenty times as long."""
        return tuple(f"{parent}/{name}/tasks" for parent in self._parents)

    def group_descriptor(self, name: str) -> None:
        """Return nothing: clone3(2) makes a process in a group of version 2 only."""

    def _group(self, controller: str, name: str) -> str:
        return f"{self._mounted[controller]}/{self._parent}/{name}"

    def _limit_memory(self, group: str, limits: Limits) -> Limits:
        """Memory may never be above memory and swap together, so growing and shrinking go in different order."""
        alone, with_swap = f"{group}/memory.limit_in_bytes", f"{group}/memory.memsw.limit_in_bytes"
        if self._swap and number(with_swap) < limits.memory_bytes:
            put(with_swap, limits.memory_bytes)
        put(alone, limits.memory_bytes)
        if self._swap:
            put(with_swap, limits.memory_bytes)
        return limits.replace(memory_bytes=number(alone))


def _make_group(parent: str, name: str) -> None:
    try:
        os.mkdir(f"{parent}/{name}", 0o755)
    except FileNotFoundError:
        _make_parent(parent)
        os.mkdir(f"{parent}/{name}", 0o755)


def _make_parent(parent: str) -> None:
    """Make the parent; before Linux 5.11 memory was counted upwards only where that was switched on."""
    make(parent)
    switch = f"{parent}/memory.use_hierarchy"
    if os.path.exists(switch) and number(switch) == 0:
        put(switch, 1)


def _joined(mount: Mounted) -> tuple[str, ...]:
    """Return the controllers of a hierarchy; its other options are flags, or have a text."""
    return tuple(option for option in mount.options if option not in _FLAGS and "=" not in option)


def _hand_down_cpuset(group: str) -> None:
    """Give a group that has none the processors and memory nodes of the one above: no task joins before."""
    above = os.path.dirname(group)
    for name in _CPUSET_FILES:
        if not read_file(f"{group}/{name}").strip():
            put(f"{group}/{name}", read_file(f"{above}/{name}").decode("ascii").strip())


def _limit_cpu(group: str, limits: Limits) -> Limits:
    shares, quota = f"{group}/cpu.shares", f"{group}/cpu.cfs_quota_us"
    put(shares, limits.cpu_shares)
    if limits.cpu_quota_us is not None:
        put(f"{group}/cpu.cfs_period_us", CPU_PERIOD_US)
    put(quota, -1 if limits.cpu_quota_us is None else limits.cpu_quota_us)
    read_back = number(quota)
    return limits.replace(cpu_shares=number(shares), cpu_quota_us=None if read_back < 0 else read_back)


def _allow_only(group: str, device_rules: tuple[DeviceRule, ...]) -> None:
    put(f"{group}/devices.deny", "a")
    for rule in device_rules:
        put(f"{group}/devices.allow", str(rule))

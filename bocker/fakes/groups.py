"""Control groups: who is in one, what it uses, and how the kernel rounds: cgroups(7)."""

from __future__ import annotations

import errno

import attrs

from bocker.core.limits import HIGHEST_CPU_SHARES, LOWEST_CPU_SHARES, Limits
from bocker.core.spec import DeviceRule
from bocker.fakes.errors import Refused
from bocker.fakes.state import ZOMBIE, GroupRow, ProcessRow, State

PAGE = 4096
HIGHEST_PIDS = 4_194_304
LOWEST_QUOTA_US = 1000
UNLIMITED = Limits(cpu_shares=1024, memory_bytes=(1 << 63) - PAGE, pids=None, cpu_quota_us=None)  # the kernel's own


def find_group(state: State, parent: str, name: str) -> GroupRow | None:
    """Return a group by its name."""
    for row in state.groups.values():
        if row.parent == parent and row.name == name:
            return row
    return None


def group_called(state: State, parent: str, name: str) -> GroupRow:
    """Return a group by its name; refuse ENOENT."""
    row = find_group(state, parent, name)
    if row is None:
        raise Refused(errno.ENOENT, name)
    return row


def members(state: State, group: int) -> tuple[ProcessRow, ...]:
    """Return the processes in a group; a zombie is in none."""
    found = (row for row in state.processes.values() if row.group == group and row.phase != ZOMBIE)
    return tuple(sorted(found, key=lambda row: row.pid))


def used_bytes(state: State, group: int) -> int:
    """Return the memory that a group's processes have."""
    return sum(row.memory_bytes for row in members(state, group))


def set_limits(before: Limits | None, limits: Limits, used: int) -> tuple[Limits, Refused | None]:
    """Return limits as the kernel keeps them. They are set one after the other: with the first that is refused,
    EINVAL for what can't be and EBUSY for less memory than is used, the ones before it stay."""
    now = before or UNLIMITED
    quota_us = limits.cpu_quota_us
    if limits.is_below_nothing:
        return now, Refused(errno.EINVAL)  # nothing is set
    now = now.replace(cpu_shares=min(max(limits.cpu_shares, LOWEST_CPU_SHARES), HIGHEST_CPU_SHARES))
    if quota_us is not None and quota_us < LOWEST_QUOTA_US:
        return now, Refused(errno.EINVAL)
    now = now.replace(cpu_quota_us=quota_us)
    memory_bytes = limits.memory_bytes // PAGE * PAGE
    if used > memory_bytes:
        return now, Refused(errno.EBUSY)
    now = now.replace(memory_bytes=memory_bytes)
    if limits.pids is not None and limits.pids > HIGHEST_PIDS:
        return now, Refused(errno.EINVAL)
    return now.replace(pids=limits.pids), None


def as_kept(limits: Limits) -> Limits:
    """Return limits as the kernel keeps them in a group that uses nothing; refuse EINVAL for what it does not take."""
    kept, refused = set_limits(None, limits, 0)
    if refused is not None:
        raise refused
    return kept


def has_room_for_a_process(state: State, group: int | None) -> bool:
    """Tell whether fork(2) is allowed: EAGAIN at the bound of the pids controller."""
    row = None if group is None else state.groups[group]
    if row is None or row.limits is None or row.limits.pids is None:
        return True
    return len(members(state, row.id)) < row.limits.pids


def memory_bound(state: State, group: int | None) -> int | None:
    """Return how much memory a group may have, None for no bound."""
    row = None if group is None else state.groups[group]
    return None if row is None or row.limits is None else row.limits.memory_bytes


def count_oom_kill(row: GroupRow) -> GroupRow:
    """Return the group with one more process that its memory limit killed."""
    return attrs.evolve(row, oom_kills=row.oom_kills + 1)


def check_rule(rule: DeviceRule) -> None:
    """Refuse EINVAL for a line that the devices controller can't read."""
    numbers = [number for number in (rule.major, rule.minor) if number is not None]
    if (
        rule.kind not in {"a", "b", "c"}
        or not rule.access
        or set(rule.access) - set("rwm")
        or min(numbers, default=0) < 0
    ):
        raise Refused(errno.EINVAL, str(rule))


def may_open_device(group: GroupRow | None, kind: str, number: tuple[int, int], access: str = "r") -> bool:
    """Tell whether a group's rules let a device be opened: deny all, then what they list."""
    if group is None or not group.device_rules:
        return True
    return any(
        rule.kind in {"a", kind}
        and rule.major in {None, number[0]}
        and rule.minor in {None, number[1]}
        and access in rule.access
        for rule in group.device_rules
    )

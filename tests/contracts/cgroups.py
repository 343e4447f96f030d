from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from bocker.core.limits import Limits
from bocker.core.spec import DeviceRule
from bocker.kernel.errors import AlreadyExists, Busy, Invalid, Missing, Unsupported
from tests.contracts.lab import NO_GROUPS
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

MEGABYTE = 1_000_000
PAGE_BYTES = 4096
NULL = DeviceRule("c", 1, 3, "rwm")
BAD_NAMES = ["", ".", "..", "a/b", "/", "a\0b"]
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("create", ()),
    ("limit", (Limits(),)),
    ("add", (1,)),
    ("members", ()),
    ("usage", ()),
    ("remove", ()),
]


class CgroupsContract:
    def test_the_layout_names_what_can_be_limited(self, kernel: Kernel) -> None:
        """In this order, whatever the version; it is the same each time."""
        layout = kernel.cgroups.layout()
        order = ("cpu", "memory", "pids", "devices")
        assert layout.version in {1, 2}
        assert layout.controllers == tuple(name for name in order if name in layout.controllers)
        assert "memory" in layout.controllers
        assert kernel.cgroups.layout() == layout

    @pytest.mark.parametrize(
        ("method", "arguments"),
        [("layout", ()), ("names", ()), ("remove_parent", ()), *((name, ("ps_1", *more)) for name, more in CALLS)],
    )
    def test_a_host_without_groups_is_unsupported(self, lab: Lab, method: str, arguments: tuple[Any, ...]) -> None:
        """A directory that is no cgroup file system does not count."""
        with refused(Unsupported):
            getattr(lab.kernel(NO_GROUPS).cgroups, method)(*arguments)

    def test_a_created_group_is_listed_and_empty(self, kernel: Kernel) -> None:
        """It has no process."""
        kernel.cgroups.create("ps_1")
        assert kernel.cgroups.names() == ("ps_1",)
        assert kernel.cgroups.members("ps_1") == ()

    def test_creating_what_exists_is_refused(self, kernel: Kernel, lab: Lab) -> None:
        """EEXIST; the group and its process stay."""
        kernel.cgroups.create("ps_1")
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        with refused(AlreadyExists, errno.EEXIST):
            kernel.cgroups.create("ps_1")
        assert kernel.cgroups.members("ps_1") == (pid,)

    def test_names_are_sorted(self, kernel: Kernel) -> None:
        """And there are none before the first group."""
        assert kernel.cgroups.names() == ()
        for name in ("ps_2", "ps_1"):
            kernel.cgroups.create(name)
        assert kernel.cgroups.names() == ("ps_1", "ps_2")

    @pytest.mark.parametrize("name", BAD_NAMES)
    @pytest.mark.parametrize(("method", "arguments"), CALLS)
    def test_what_is_no_single_component_is_invalid(
        self, kernel: Kernel, method: str, arguments: tuple[Any, ...], name: str
    ) -> None:
        """No method can be led out of the parent group by a name."""
        with refused(Invalid, errno.EINVAL):
            getattr(kernel.cgroups, method)(name, *arguments)

    @pytest.mark.parametrize(("method", "arguments"), CALLS[1:])
    def test_a_group_that_is_not_there_is_missing(
        self, kernel: Kernel, method: str, arguments: tuple[Any, ...]
    ) -> None:
        """ENOENT, with and without the parent group."""
        for name in ("ps_2", "ps_3"):
            with refused(Missing, errno.ENOENT):
                getattr(kernel.cgroups, method)("ps_1", *arguments)
            kernel.cgroups.create(name)

    def test_limits_read_back_as_they_were_set(self, kernel: Kernel) -> None:
        """Where the kernel can keep them exactly."""
        kernel.cgroups.create("ps_1")
        limits = Limits(cpu_shares=512, memory_bytes=64 << 20, pids=100, cpu_quota_us=150_000)
        assert kernel.cgroups.limit("ps_1", limits) == limits

    def test_no_bound_reads_back_as_none(self, kernel: Kernel) -> None:
        """After there was one, too."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.limit("ps_1", Limits(pids=10, cpu_quota_us=50_000))
        limits = kernel.cgroups.limit("ps_1", Limits(pids=None, cpu_quota_us=None))
        assert (limits.pids, limits.cpu_quota_us) == (None, None)

    def test_memory_is_rounded_down_to_a_page(self, kernel: Kernel) -> None:
        """The value read is not the value written."""
        kernel.cgroups.create("ps_1")
        limits = kernel.cgroups.limit("ps_1", Limits(memory_bytes=6 * MEGABYTE + 1))
        assert limits.memory_bytes == 6 * MEGABYTE // PAGE_BYTES * PAGE_BYTES

    @pytest.mark.parametrize(("asked", "kept"), [(0, 2), (1, 2), (2, 2), (262_144, 262_144), (10**9, 262_144)])
    def test_shares_are_kept_in_their_range(self, kernel: Kernel, asked: int, kept: int) -> None:
        """2 to 262144, without a word."""
        kernel.cgroups.create("ps_1")
        assert kernel.cgroups.limit("ps_1", Limits(cpu_shares=asked)).cpu_shares == kept

    def test_memory_can_shrink_and_grow(self, kernel: Kernel) -> None:
        """Although memory may never be above memory and swap together."""
        kernel.cgroups.create("ps_1")
        for megabytes in (64, 16, 128, 128):
            limits = kernel.cgroups.limit("ps_1", Limits(memory_bytes=megabytes << 20))
            assert limits.memory_bytes == megabytes << 20

    @pytest.mark.parametrize(
        "limits",
        [
            Limits(cpu_quota_us=1000),
            Limits(pids=0),
            Limits(pids=1),
            Limits(pids=4_194_303),
            Limits(pids=4_194_304),
            Limits(memory_bytes=0),
        ],
    )
    def test_the_furthest_limits_are_taken(self, kernel: Kernel, limits: Limits) -> None:
        """By a group that uses nothing."""
        kernel.cgroups.create("ps_1")
        assert kernel.cgroups.limit("ps_1", limits) == limits

    @pytest.mark.parametrize(
        "limits",
        [
            Limits(pids=-5),
            Limits(pids=-1),
            Limits(pids=4_194_305),
            Limits(cpu_quota_us=10),
            Limits(cpu_quota_us=999),
            Limits(cpu_quota_us=0),
            Limits(cpu_quota_us=-1),
            Limits(cpu_shares=-1),
            Limits(memory_bytes=-5),
            Limits(memory_bytes=-1),
            Limits(memory_bytes=-4096),
        ],
    )
    def test_a_limit_that_can_not_be_is_invalid(self, kernel: Kernel, limits: Limits) -> None:
        """EINVAL."""
        kernel.cgroups.create("ps_1")
        with refused(Invalid, errno.EINVAL):
            kernel.cgroups.limit("ps_1", limits)

    def test_a_bound_below_what_is_used_is_busy(self, kernel: Kernel, lab: Lab) -> None:
        """EBUSY; the process lives."""
        kernel.cgroups.create("ps_1")
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert lab.eat(pid, 40 * MEGABYTE)
        with refused(Busy, errno.EBUSY):
            kernel.cgroups.limit("ps_1", Limits(memory_bytes=6 * MEGABYTE))
        assert kernel.cgroups.members("ps_1") == (pid,)

    def test_added_processes_are_members(self, kernel: Kernel, lab: Lab) -> None:
        """In ascending order; to add one twice changes nothing."""
        kernel.cgroups.create("ps_1")
        pids = sorted(lab.spawn() for _ in range(3))
        for pid in (*reversed(pids), pids[0]):
            kernel.cgroups.add("ps_1", pid)
        assert kernel.cgroups.members("ps_1") == tuple(pids)

    def test_a_process_is_in_one_group(self, kernel: Kernel, lab: Lab) -> None:
        """To add it to another takes it out of the first."""
        pid = lab.spawn()
        for name in ("ps_1", "ps_2"):
            kernel.cgroups.create(name)
            kernel.cgroups.add(name, pid)
        assert kernel.cgroups.members("ps_1") == ()
        assert kernel.cgroups.members("ps_2") == (pid,)

    def test_a_child_is_in_its_parents_group(self, kernel: Kernel, lab: Lab) -> None:
        """It is born there."""
        kernel.cgroups.create("ps_1")
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert lab.fork(pid) == 0
        members = kernel.cgroups.members("ps_1")
        assert len(members) == 2
        assert pid in members

    def test_adding_a_process_that_is_gone_is_missing(self, kernel: Kernel, lab: Lab) -> None:
        """ESRCH, which tells it from a missing group."""
        kernel.cgroups.create("ps_1")
        pid = lab.spawn()
        lab.kill(pid)
        with refused(Missing, errno.ESRCH):
            kernel.cgroups.add("ps_1", pid)

    def test_a_zombie_is_no_member(self, kernel: Kernel, lab: Lab) -> None:
        """It is dead, though it has a number."""
        kernel.cgroups.create("ps_1")
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        lab.kill_unreaped(pid)
        assert kernel.cgroups.members("ps_1") == ()
        assert kernel.cgroups.usage("ps_1").processes == 0

    def test_a_zombie_can_be_put_into_a_group_and_is_not_in_it(self, kernel: Kernel, lab: Lab) -> None:
        """The kernel passes over it; a process that is not there it refuses."""
        kernel.cgroups.create("ps_1")
        pid = lab.spawn()
        lab.kill_unreaped(pid)
        kernel.cgroups.add("ps_1", pid)
        assert kernel.cgroups.members("ps_1") == ()
        kernel.cgroups.remove("ps_1")

    def test_a_new_group_has_used_nothing(self, kernel: Kernel) -> None:
        """Counters of a group of the same name before it are not inherited (L2)."""
        kernel.cgroups.create("ps_1")
        usage = kernel.cgroups.usage("ps_1")
        assert (usage.oom_kills, usage.memory_bytes, usage.processes) == (0, 0, 0)

    def test_usage_counts_memory_and_processes(self, kernel: Kernel, lab: Lab) -> None:
        """What was taken after the process joined."""
        kernel.cgroups.create("ps_1")
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert lab.eat(pid, 20 * MEGABYTE)
        usage = kernel.cgroups.usage("ps_1")
        assert 20 * MEGABYTE <= usage.memory_bytes < 40 * MEGABYTE
        assert (usage.oom_kills, usage.processes) == (0, 1)

    def test_the_memory_limit_kills(self, kernel: Kernel, lab: Lab) -> None:
        """And the kill is counted; swap is no way out (S22)."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.limit("ps_1", Limits(memory_bytes=20 * MEGABYTE))
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert not lab.eat(pid, 60 * MEGABYTE)
        lab.kill(pid)
        assert kernel.cgroups.usage("ps_1").oom_kills == 1

    def test_what_fits_the_memory_limit_lives(self, kernel: Kernel, lab: Lab) -> None:
        """The same process with less."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.limit("ps_1", Limits(memory_bytes=60 * MEGABYTE))
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert lab.eat(pid, 20 * MEGABYTE)
        assert kernel.cgroups.usage("ps_1").oom_kills == 0

    def test_the_limit_on_processes_refuses_a_fork(self, kernel: Kernel, lab: Lab) -> None:
        """EAGAIN, and nothing dies (S21)."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.limit("ps_1", Limits(pids=2))
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert lab.fork(pid) == 0
        assert lab.fork(pid) == errno.EAGAIN
        assert kernel.cgroups.usage("ps_1").processes == 2

    def test_device_rules_deny_what_they_do_not_list(self, kernel: Kernel, lab: Lab) -> None:
        """EPERM, where there is a controller for it."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.limit("ps_1", Limits(), (NULL,))
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        enforced = "devices" in kernel.cgroups.layout().controllers
        assert lab.open_device(pid, "/dev/null") == 0
        assert lab.open_device(pid, "/dev/zero") == (errno.EPERM if enforced else 0)

    @pytest.mark.parametrize(
        "rule",
        [
            DeviceRule("d", 1, 3, "rwm"),
            DeviceRule("", 1, 3, "rwm"),
            DeviceRule("C", 1, 3, "rwm"),
            DeviceRule("c", 1, 3, ""),
            DeviceRule("c", 1, 3, "rwx"),
            DeviceRule("b", 1, 3, "R"),
            DeviceRule("c", -1, 3, "r"),
            DeviceRule("c", 1, -1, "r"),
        ],
    )
    def test_a_rule_that_can_not_be_is_invalid(self, kernel: Kernel, rule: DeviceRule) -> None:
        """EINVAL."""
        kernel.cgroups.create("ps_1")
        with refused(Invalid, errno.EINVAL):
            kernel.cgroups.limit("ps_1", Limits(), (NULL, rule))

    @pytest.mark.parametrize(
        ("rules", "number"),
        [
            ((DeviceRule("c", 1, None, "r"),), 0),
            ((DeviceRule("c", None, 5, "r"),), 0),
            ((DeviceRule("c", None, None, "rwm"),), 0),
            ((DeviceRule("c", 1, 5, "w"),), errno.EPERM),
            ((DeviceRule("c", 1, 5, "wm"), DeviceRule("c", 1, 5, "r")), 0),
            ((DeviceRule("b", 1, 5, "rwm"),), errno.EPERM),
            ((DeviceRule("b", None, None, "rwm"),), errno.EPERM),
            ((DeviceRule("c", 5, 1, "rwm"),), errno.EPERM),
            ((DeviceRule("c", 2, None, "rwm"),), errno.EPERM),
            ((DeviceRule("c", None, 3, "rwm"),), errno.EPERM),
        ],
    )
    def test_a_device_is_opened_where_one_rule_fits(
        self, kernel: Kernel, lab: Lab, rules: tuple[DeviceRule, ...], number: int
    ) -> None:
        """By its kind, its numbers, of which either may be any, and what is done: `/dev/zero` is c 1:5, and is read."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.limit("ps_1", Limits(), rules)
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert lab.open_device(pid, "/dev/zero") == number

    def test_a_process_without_a_group_has_no_bound(self, lab: Lab) -> None:
        """It takes as much as it likes."""
        assert lab.eat(lab.spawn(), 20 * MEGABYTE)

    def test_a_rule_for_all_devices_denies_nothing(self, kernel: Kernel, lab: Lab) -> None:
        """Of both kinds."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.limit("ps_1", Limits(), (DeviceRule("a", None, None, "rwm"),))
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert (lab.open_device(pid, "/dev/null"), lab.open_device(pid, "/dev/zero")) == (0, 0)

    def test_without_device_rules_nothing_is_denied(self, kernel: Kernel, lab: Lab) -> None:
        """An empty list is no list."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.limit("ps_1", Limits())
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        assert lab.open_device(pid, "/dev/zero") == 0

    def test_a_removed_group_is_gone(self, kernel: Kernel) -> None:
        """And can be made again."""
        kernel.cgroups.create("ps_1")
        kernel.cgroups.remove("ps_1")
        assert kernel.cgroups.names() == ()
        kernel.cgroups.create("ps_1")

    def test_a_group_with_a_process_is_busy(self, kernel: Kernel, lab: Lab) -> None:
        """EBUSY until the process is dead."""
        kernel.cgroups.create("ps_1")
        pid = lab.spawn()
        kernel.cgroups.add("ps_1", pid)
        with refused(Busy, errno.EBUSY):
            kernel.cgroups.remove("ps_1")
        assert kernel.cgroups.members("ps_1") == (pid,)
        lab.kill(pid)
        kernel.cgroups.remove("ps_1")
        assert kernel.cgroups.names() == ()

    def test_removing_the_parent(self, kernel: Kernel) -> None:
        """It comes back with the next group; nothing happens when it is not there."""
        kernel.cgroups.remove_parent()
        kernel.cgroups.create("ps_1")
        kernel.cgroups.remove("ps_1")
        kernel.cgroups.remove_parent()
        kernel.cgroups.remove_parent()
        kernel.cgroups.create("ps_1")
        assert kernel.cgroups.names() == ("ps_1",)

    def test_the_parent_is_busy_while_it_has_groups(self, kernel: Kernel) -> None:
        """EBUSY; they stay."""
        kernel.cgroups.create("ps_1")
        with refused(Busy, errno.EBUSY):
            kernel.cgroups.remove_parent()
        assert kernel.cgroups.names() == ("ps_1",)

"""The two mechanisms of control groups. Each is tried on the kernel where the kernel has it (the
sandbox of the usual machine has version 1, the virtual machine version 2); version 2 on a tree of plain
files besides."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.limits import HIGHEST_CPU_SHARES, LOWEST_CPU_SHARES, Limits
from bocker.core.settings import Settings
from bocker.core.spec import ContainerSpec, DeviceRule, NetworkSpec, Process
from bocker.engine import plan
from bocker.kernel.cgroups import Layout, Usage
from bocker.kernel.errors import AlreadyExists, Busy, Invalid, Missing, Unsupported
from bocker.linux import device_program, rootfs
from bocker.linux.cgroups import LinuxCgroups
from bocker.linux.cgroups_v2 import weight_of
from bocker.linux.mountinfo import mounts
from tests.patience import patience
from tests.system import groups as machine
from tests.system import sandbox
from tests.system.fresh_world import fresh_world

GROUP_FILES = {
    "cgroup.procs": "12\n7\n0\n",
    "cpu.max": "max 100000\n",
    "cpu.weight": "",
    "memory.current": "0\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 5\n",
    "memory.high": "",
    "memory.max": "max\n",
    "memory.swap.max": "",
    "pids.current": "3\n",
    "pids.max": "max\n",
}


@pytest.fixture
def fresh(settings: Settings) -> Iterator[Settings]:
    with fresh_world(settings) as world:
        yield world


def line(target: Path, kind: str, options: str = "rw", root: str = "/") -> str:
    device = os.stat(target).st_dev
    return f"31 23 {os.major(device)}:{os.minor(device)} {root} {target} rw,nosuid shared:9 - {kind} {kind} {options}\n"


def groups(tmp_path: Path, *lines: str) -> LinuxCgroups:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text("".join(lines))
    return LinuxCgroups("parent", str(mountinfo))


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    """A tree with the files that a version 2 hierarchy has before anything is made in it."""
    root = tmp_path / "unified"
    parent = root / "parent"
    parent.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma\n")
    for directory in (root, parent):
        (directory / "cgroup.subtree_control").write_text("")
    return root


def make_group(cgroups: LinuxCgroups, root: Path) -> Path:
    cgroups.create("ps_1")
    group = root / "parent" / "ps_1"
    for name, content in GROUP_FILES.items():
        (group / name).write_text(content)
    return group


def detached_groups(layout: Layout) -> None:
    """Mount what a container's plan has for such a host, attached nowhere, and give it up again."""
    network = NetworkSpec("", "", "", "", "", 0, 0, 0)
    spec = ContainerSpec("ps_1", "/", "", Process((), ()), network, "ps_1", mounts=plan.group_mounts(layout))
    for _, descriptor in rootfs.prepare(spec).mounts:
        os.close(descriptor)


class TestDetection:
    def test_this_host_is_seen_as_its_mounts_say(self, fresh: Settings) -> None:
        alone = {name for mount in mounts(b"cgroup ") for name in mount.options}
        names = alone if machine.VERSION == 1 else set(machine.CONTROLLERS)
        expected = tuple(name for name in machine.CONTROLLERS if name in names)
        assert LinuxCgroups(fresh.cgroup_parent).layout().controllers == expected

    def test_joined_controllers_have_one_group(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        cgroups = groups(
            tmp_path,
            line(tmp_path / "first", "cgroup", "rw,cpu,cpuacct,xattr,release_agent=/a,clone_children,name=own"),
            line(tmp_path / "second", "cgroup", "rw,memory,pids,devices"),
        )
        assert cgroups.layout() == Layout(
            1, ("cpu", "memory", "pids", "devices"), False, ("cpu,cpuacct", "memory,pids,devices")
        )
        cgroups.create("ps_1")
        assert cgroups.task_files("ps_1") == tuple(
            f"{tmp_path}/{name}/parent/ps_1/tasks" for name in ("first", "second")
        )
        assert cgroups.group_descriptor("ps_1") is None

    def test_version_2_alone(self, tmp_path: Path, unified: Path) -> None:
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        assert cgroups.layout() == Layout(2, ("cpu", "memory", "pids"), False)

    def test_hybrid_with_the_controllers_in_version_1(self, tmp_path: Path, unified: Path) -> None:
        (unified / "cgroup.controllers").write_text("hugetlb\n")
        (tmp_path / "all").mkdir()
        cgroups = groups(
            tmp_path, line(unified, "cgroup2"), line(tmp_path / "all", "cgroup", "rw,cpu,memory,pids,devices")
        )
        assert cgroups.layout().version == 1

    def test_hybrid_with_the_controllers_in_version_2(self, tmp_path: Path, unified: Path) -> None:
        (tmp_path / "systemd").mkdir()
        (tmp_path / "devices").mkdir()
        cgroups = groups(
            tmp_path,
            line(tmp_path / "systemd", "cgroup", "rw,xattr,name=systemd"),
            line(tmp_path / "devices", "cgroup", "rw,devices"),
            line(unified, "cgroup2"),
        )
        assert cgroups.layout() == Layout(2, ("cpu", "memory", "pids"), False)

    @pytest.mark.parametrize("content", ["", "hugetlb\n"])
    def test_version_2_without_our_controllers_is_unsupported(
        self, tmp_path: Path, unified: Path, content: str
    ) -> None:
        (unified / "cgroup.controllers").write_text(content)
        with pytest.raises(Unsupported):
            groups(tmp_path, line(unified, "cgroup2")).layout()

    def test_a_mount_that_another_covers_does_not_count(self, tmp_path: Path) -> None:
        """The directory that one meets there is of another file system, and may well be writable."""
        covered = line(Path("/proc"), "cgroup", "rw,cpu,memory").replace("/proc", str(tmp_path))
        with pytest.raises(Unsupported):
            groups(tmp_path, covered).create("ps_1")
        assert not (tmp_path / "parent").exists()

    @pytest.mark.parametrize("parent", ["", "..", "a/b"])
    def test_a_bad_parent_is_invalid(self, parent: str) -> None:
        with pytest.raises(Invalid):
            LinuxCgroups(parent).create("ps_1")


@pytest.mark.skipif(machine.VERSION != 1, reason="this machine's controllers are in version 2 of control groups")
class TestVersion1:
    def test_a_group_that_is_half_there_is_not_made(self, fresh: Settings) -> None:
        """What was made of it is taken away again; what was there stays, is listed, and can be removed (L1, L2)."""
        cgroups = LinuxCgroups(fresh.cgroup_parent)
        cgroups.create("ps_1")
        *others, last = (os.path.dirname(path) for path in cgroups.task_files("ps_1"))
        for path in others:
            os.rmdir(path)
        assert cgroups.names() == ("ps_1",)
        with pytest.raises(AlreadyExists):
            cgroups.create("ps_1")
        assert [os.path.exists(path) for path in (*others, last)] == [False] * len(others) + [True]
        cgroups.remove("ps_1")
        assert cgroups.names() == ()

    def test_the_kernels_files_hold_the_limits(self, fresh: Settings) -> None:
        """Memory and swap together have the memory's bound (S22), and the device list is docker's words (S21)."""
        cgroups = LinuxCgroups(fresh.cgroup_parent)
        cgroups.create("ps_1")
        rules = (DeviceRule("c", None, None, "m"), DeviceRule("c", 136, None, "rwm"), DeviceRule("c", 1, 3, "rw"))
        cgroups.limit("ps_1", Limits(memory_bytes=8 << 20, cpu_quota_us=25_000), rules)
        files = {}
        for path in cgroups.task_files("ps_1"):
            for name in ("memory.memsw.limit_in_bytes", "cpu.cfs_period_us", "cpu.cfs_quota_us", "devices.list"):
                file = Path(path).parent / name
                if file.exists():
                    files[name] = file.read_text().splitlines()
        assert files == {
            "memory.memsw.limit_in_bytes": [str(8 << 20)],
            "cpu.cfs_period_us": ["100000"],
            "cpu.cfs_quota_us": ["25000"],
            "devices.list": ["c *:* m", "c 136:* rwm", "c 1:3 rw"],
        }

    def test_a_process_joins_by_writing_0_to_the_task_files(self, fresh: Settings) -> None:
        cgroups = LinuxCgroups(fresh.cgroup_parent)
        cgroups.create("ps_1")
        words = "for file; do echo 0 > $file; done; echo $$; read line"
        command = ("sh", "-c", words, "sh", *cgroups.task_files("ps_1"))
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        assert cgroups.members("ps_1") == (pid,)
        child.communicate("\n")
        cgroups.remove("ps_1")

    def test_a_process_joins_a_group_of_a_hierarchy_that_has_cpuset_too(self, tmp_path: Path, fresh: Settings) -> None:
        """cpuset(7): no task may join before the group has processors and memory nodes, which a new one has not."""
        mount = next(mount for mount in mounts(b"cgroup ") if "cpuset" in mount.options)
        mountinfo = tmp_path / "mountinfo"
        mountinfo.write_text(line(Path(mount.target), "cgroup", "rw,cpuset,pids"))
        cgroups = LinuxCgroups(fresh.cgroup_parent, str(mountinfo))
        child = subprocess.Popen(("sleep", "60"))
        try:
            for name in ("ps_1", "ps_2"):
                cgroups.create(name)
            cgroups.add("ps_2", child.pid)
            assert cgroups.members("ps_2") == (child.pid,)
        finally:
            child.kill()
            child.wait()
            for name in cgroups.names():
                cgroups.remove(name)
            cgroups.remove_parent()

    def test_a_joined_hierarchy_is_mounted_as_the_plan_has_it_and_not_in_parts(self, tmp_path: Path) -> None:
        """By two controllers that this host does not use; the kernel forgets the hierarchy with its last mount."""
        options = "net_cls,net_prio"
        subprocess.run(("mount", "-t", "cgroup", "-o", options, "none", tmp_path), check=True)
        try:
            joined = [mount for mount in mounts(b"cgroup ") if "net_cls" in mount.options]
            assert set(options.split(",")) <= set(joined[0].options)
            detached_groups(Layout(1, (), False, (options,)))
            with pytest.raises(OSError, match="/sys/fs/cgroup/net_cls") as caught:
                detached_groups(Layout(1, (), False, ("net_cls",)))
            assert caught.value.errno == errno.EBUSY
        finally:
            subprocess.run(("umount", tmp_path), check=True)


@pytest.mark.skipif(machine.VERSION != 2, reason="this machine's controllers are in version 1 of control groups")
class TestVersion2OnTheKernel:
    def test_the_kernels_files_hold_the_limits(self, fresh: Settings) -> None:
        cgroups = LinuxCgroups(fresh.cgroup_parent)
        cgroups.create("ps_1")
        limits = Limits(cpu_shares=1024, memory_bytes=8 << 20, pids=100, cpu_quota_us=25_000)
        assert cgroups.limit("ps_1", limits) == limits
        group = Path(machine.directories(f"{fresh.cgroup_parent}/ps_1")[0])
        names = ("cpu.weight", "cpu.max", "memory.max", "memory.swap.max", "memory.high", "pids.max")
        files = {name: (group / name).read_text().strip() for name in names if (group / name).exists()}
        assert files.pop("memory.swap.max", "0") == "0"
        assert files == {
            "cpu.weight": "100",
            "cpu.max": "25000 100000",
            "memory.max": str(8 << 20),
            "memory.high": "max",
            "pids.max": "100",
        }

    def test_controllers_that_were_taken_away_come_back(self, fresh: Settings) -> None:
        """systemd takes `cpu` out of the root when its last unit with a weight stops."""
        cgroups = LinuxCgroups(fresh.cgroup_parent)
        cgroups.create("ps_1")
        parent = Path(machine.directories(fresh.cgroup_parent)[0])
        cgroups.remove("ps_1")
        for directory in (parent, parent.parent):
            with suppress(OSError):  # EBUSY: a group beside it has it too
                (directory / "cgroup.subtree_control").write_text("-cpu")
        cgroups.create("ps_2")
        assert cgroups.limit("ps_2", Limits(cpu_shares=1024)).cpu_shares == 1024
        assert (parent / "ps_2/cpu.weight").read_text() == "100\n"

    def test_cgroup_kill_then_reap_then_rmdir_needs_no_retry(self, fresh: Settings) -> None:
        cgroups = LinuxCgroups(fresh.cgroup_parent)
        cgroups.create("ps_1")
        child = subprocess.Popen(("sleep", "60"))
        cgroups.add("ps_1", child.pid)
        group = machine.directories(f"{fresh.cgroup_parent}/ps_1")[0]
        Path(f"{group}/cgroup.kill").write_text("1")
        assert child.wait(patience(10)) == -9
        cgroups.remove("ps_1")

    def test_a_controller_that_is_not_handed_down_is_missing(self, fresh: Settings) -> None:
        """ENOENT, and not made by opening: the parent's own group has no weight when the root hands none down."""
        cgroups = LinuxCgroups(fresh.cgroup_parent)
        cgroups.create("ps_1")
        inner = f"{machine.directories(fresh.cgroup_parent)[0]}/ps_1/inner"
        os.mkdir(inner)
        try:
            with pytest.raises(FileNotFoundError):
                os.open(f"{inner}/cpu.weight", os.O_WRONLY)
        finally:
            os.rmdir(inner)


class TestDevicePrograms:
    """They need no controllers, only a hierarchy of version 2, which this machine has in any case."""

    @pytest.fixture
    def group(self) -> Iterator[Path]:
        root = next(mount.target for mount in mounts(b"cgroup2"))
        group = Path(root) / f"{os.environ[sandbox.INSIDE]}-devices"
        group.mkdir()
        yield group
        group.rmdir()

    @pytest.mark.parametrize(
        ("rules", "allowed"),
        [
            ((), set()),
            ((DeviceRule("c", 1, 3, "rw"),), {"null r", "null w", "null rw"}),
            ((DeviceRule("c", 1, 3, "r"),), {"null r"}),
            ((DeviceRule("c", 1, 3, "r"), DeviceRule("c", 1, 3, "w")), {"null r", "null w"}),
            ((DeviceRule("c", 1, None, "r"),), {"null r", "zero r"}),
            ((DeviceRule("c", None, 5, "rwm"),), {"zero r", "zero w", "zero rw"}),
            ((DeviceRule("b", None, None, "rwm"), DeviceRule("c", None, None, "m")), set()),
            ((DeviceRule("a", None, None, "w"),), {"null w", "zero w"}),
            (plan.DEVICE_RULES, {"null r", "null w", "null rw", "zero r", "zero w", "zero rw"}),
        ],
    )
    def test_what_is_listed_is_allowed_and_no_more(
        self, group: Path, rules: tuple[DeviceRule, ...], allowed: set[str]
    ) -> None:
        """The second set replaces the first; what was open before stays open."""
        device_program.attach(os.fspath(group), (DeviceRule("a", None, None, "rwm"),))
        device_program.attach(os.fspath(group), rules)
        words = "echo $$ > $0/cgroup.procs; for d in null zero; do (: < /dev/$d) && echo $d r; (: > /dev/$d) && "
        words += "echo $d w; (: <> /dev/$d) && echo $d rw; done; true"
        done = subprocess.run(("sh", "-c", words, group), capture_output=True, text=True, check=True)
        assert set(done.stdout.splitlines()) == allowed

    def test_nodes_are_made_only_where_that_is_listed(self, group: Path, tmp_path: Path) -> None:
        words = "echo $$ > $0/cgroup.procs; mknod $1/b b 7 0; mknod $1/c c 1 3; cd $1; echo *"
        for rules, made in (((DeviceRule("b", None, None, "m"),), "b"), ((DeviceRule("c", 1, 3, "m"),), "c")):
            directory = tmp_path / made
            directory.mkdir()
            device_program.attach(os.fspath(group), rules)
            done = subprocess.run(("sh", "-c", words, group, directory), capture_output=True, text=True, check=True)
            assert done.stdout == f"{made}\n"

    @pytest.mark.parametrize(
        "rule",
        [
            DeviceRule("x", 1, 3, "r"),
            DeviceRule("c", 1, 3, ""),
            DeviceRule("c", 1, 3, "x"),
            DeviceRule("c", -1, 3, "r"),
            DeviceRule("c", 1, 1 << 31, "r"),
        ],
    )
    def test_what_is_no_rule_is_invalid(self, group: Path, rule: DeviceRule) -> None:
        with pytest.raises(OSError) as caught:
            device_program.attach(os.fspath(group), (rule,))
        assert caught.value.errno == errno.EINVAL

    def test_they_are_told_from_what_is_no_hierarchy(self, group: Path, tmp_path: Path) -> None:
        assert device_program.available(os.fspath(group))
        assert not device_program.available(os.fspath(tmp_path))


class TestVersion2:
    def test_controllers_are_handed_down_twice_and_each_time(self, tmp_path: Path, unified: Path) -> None:
        """In the root and in the parent; what is there already is not asked for again."""
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        (unified / "cgroup.subtree_control").write_text("memory pids\n")
        cgroups.create("ps_1")
        assert (unified / "cgroup.subtree_control").read_text().startswith("+cpu")
        assert (unified / "parent" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
        (unified / "parent" / "cgroup.subtree_control").write_text("cpu memory pids\n")
        cgroups.create("ps_2")
        assert (unified / "parent" / "cgroup.subtree_control").read_text() == "cpu memory pids\n"
        assert cgroups.names() == ("ps_1", "ps_2")

    def test_limits_are_written_in_its_words(self, tmp_path: Path, unified: Path) -> None:
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        group = make_group(cgroups, unified)
        (group / "cpu.max").write_text("")
        (group / "memory.max").write_text("")
        (group / "pids.max").write_text("")
        limits = Limits(cpu_shares=512, memory_bytes=8 << 20, pids=100, cpu_quota_us=25_000)
        assert cgroups.limit("ps_1", limits, (DeviceRule("c", 1, 3, "rwm"),)) == limits
        written = {name: (group / name).read_text() for name in GROUP_FILES if ".max" in name or "weight" in name}
        assert written == {
            "cpu.weight": "59",
            "cpu.max": "25000 100000",
            "memory.max": str(8 << 20),
            "memory.swap.max": "0",
            "pids.max": "100",
        }

    def test_no_bound_is_written_as_max(self, tmp_path: Path, unified: Path) -> None:
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        group = make_group(cgroups, unified)
        for name in ("cpu.max", "memory.max", "pids.max"):
            (group / name).write_text("")
        limits = cgroups.limit("ps_1", Limits(pids=None))
        assert (limits.pids, limits.cpu_quota_us) == (None, None)
        assert (group / "cpu.max").read_text() == "max 100000"
        assert (group / "pids.max").read_text() == "max"

    def test_without_swap_accounting_only_memory_is_limited(self, tmp_path: Path, unified: Path) -> None:
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        group = make_group(cgroups, unified)
        (group / "memory.swap.max").unlink()
        (group / "memory.max").write_text("")
        cgroups.limit("ps_1", Limits())
        assert not (group / "memory.swap.max").exists()

    def test_a_bound_below_what_is_used_is_busy(self, tmp_path: Path, unified: Path) -> None:
        """It is tried by `memory.high`, which kills nobody; `memory.max` stays."""
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        group = make_group(cgroups, unified)
        (group / "memory.current").write_text(f"{64 << 20}\n")
        with pytest.raises(Busy) as caught:
            cgroups.limit("ps_1", Limits(memory_bytes=8 << 20))
        assert caught.value.errno == errno.EBUSY
        assert (group / "memory.max").read_text() == "max\n"
        assert (group / "memory.high").read_text().startswith("max")

    def test_usage_members_and_ways_in(self, tmp_path: Path, unified: Path) -> None:
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        group = make_group(cgroups, unified)
        (group / "memory.current").write_text("4096\n")
        assert cgroups.usage("ps_1") == Usage(1, 4096, 2)  # its members; `pids.current` counts zombies too
        assert cgroups.members("ps_1") == (7, 12)
        assert cgroups.task_files("ps_1") == (f"{group}/cgroup.procs",)
        descriptor = cgroups.group_descriptor("ps_1")
        assert descriptor is not None
        assert os.path.samestat(os.fstat(descriptor), os.stat(group))
        os.close(descriptor)

    def test_swap_is_known_by_a_group_that_has_it(self, tmp_path: Path, unified: Path) -> None:
        """The root has no limits of its own."""
        (unified / "parent" / "memory.swap.max").write_text("max\n")
        assert groups(tmp_path, line(unified, "cgroup2")).layout().swap

    def test_what_is_not_there_is_missing(self, tmp_path: Path, unified: Path) -> None:
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        for call in (cgroups.members, cgroups.usage, cgroups.remove, cgroups.group_descriptor):
            with pytest.raises(Missing):
                call("ps_1")
        with pytest.raises(Missing):
            cgroups.limit("ps_1", Limits())

    def test_the_same_name_twice_is_refused(self, tmp_path: Path, unified: Path) -> None:
        cgroups = groups(tmp_path, line(unified, "cgroup2"))
        cgroups.create("ps_1")
        with pytest.raises(AlreadyExists):
            cgroups.create("ps_1")
        cgroups.remove("ps_1")
        assert cgroups.names() == ()


@pytest.mark.parametrize(
    ("shares", "weight"), [(0, 1), (2, 1), (512, 59), (1024, 100), (262_144, 10_000), (10**9, 10_000)]
)
def test_weights_are_those_of_runc_and_crun(shares: int, weight: int) -> None:
    assert weight_of(shares) == weight


@given(st.integers(LOWEST_CPU_SHARES, HIGHEST_CPU_SHARES - 1))
def test_more_shares_are_never_less_weight(shares: int) -> None:
    assert 1 <= weight_of(shares) <= weight_of(shares + 1) <= 10_000

"""A container in the fake's own tables: what a test sees of it (`World.process`, `World.mounts`), and what is left."""

from __future__ import annotations

import errno
from typing import Any

import attrs
import pytest

from bocker.core import spec as plan
from bocker.core.spec import File, Mount
from bocker.fakes import FakeKernel, World
from bocker.fakes.images import file
from bocker.fakes.state import State
from bocker.kernel.processes import Exited
from tests.contracts.refusals import step_fails
from tests.contracts.specs import MOUNTS, SLEEPER, Containers, finish, program, wait_for_output
from tests.unit.fake_lab import FakeStage

SIGKILL = 9


@pytest.fixture
def containers(world: World, kernel: FakeKernel) -> Containers:
    return Containers(kernel, kernel.settings, FakeStage(world, kernel))


def test_what_a_container_has_mounted(world: World, containers: Containers) -> None:
    """In the order of the plan; a read-only path and a mask lie on top."""
    world.add_files("/tmp/source", {})
    process = containers.start(
        *SLEEPER,
        mounts=(
            *MOUNTS,
            Mount("mqueue", "/dev/mqueue"),
            Mount("bind", "/mnt", "/tmp/source", flags=("nosuid",)),
            Mount("none", "/x", optional=True),
        ),
        files=(File("/etc/hosts", b"x"),),
        readonly_paths=("/etc", "/proc/sys", "/none"),
        masked_paths=("/proc/kcore", "/dev/mqueue/own", "/usr", "/none"),
    )
    shown = [(row.target, row.kind, row.source, row.flags) for row in world.mounts(process.identity.pid)]
    assert shown == [
        ("/", "btrfs", "/dev/vdb", ("rw", "nosuid", "nodev", "nosuid", "nodev")),
        ("/proc", "proc", "", ("nosuid", "nodev", "noexec")),
        ("/dev", "tmpfs", "", ()),
        ("/dev/mqueue", "mqueue", "", ()),
        ("/mnt", "bind", "/tmp/source", ("nosuid",)),
        ("/dev/null", "bind", "", ("ro", "nosuid", "noexec")),
        ("/dev/zero", "bind", "", ("ro", "nosuid", "noexec")),
        ("/etc/hosts", "file", "", ("nosuid", "nodev", "noexec")),
        ("/etc", "bind", "/etc", ("ro",)),
        ("/proc/sys", "bind", "/proc/sys", ("ro",)),
        ("/proc/kcore", "mask", "", ("ro",)),
        ("/dev/mqueue/own", "mask", "", ("ro",)),
        ("/usr", "mask", "", ("ro",)),
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_is_not_there_is_met_where_a_process_is_born_in_it(version: int) -> None:
    """By `create` and `enter` themselves in version 2, as Linux 6.1 was seen to answer random programs (seed 5)."""
    world = World(cgroup_version=version)
    kernel = world.prepare().kernel()
    containers = Containers(kernel, kernel.settings, FakeStage(world, kernel))
    first = containers.start(*SLEEPER)
    spec = containers.spec(group="ps_none")
    for start in (lambda: containers.create(spec), lambda: containers.enter(first, group="ps_none")):
        before = world.state
        if version == 1:
            process = start()
            with step_fails(plan.STEP_GROUP, errno.ENOENT):
                kernel.processes.release(process)
        else:
            with step_fails(plan.STEP_GROUP, errno.ENOENT):
                start()
            assert world.state.processes == before.processes


def test_a_program_of_the_hosts_sees_the_hosts_mounts(world: World, kernel: FakeKernel) -> None:
    assert [row.target for row in world.mounts(kernel.pid)] == ["/", kernel.settings.store]


def test_the_modes_of_what_a_plan_mounts(world: World, containers: Containers) -> None:
    mounts = (*MOUNTS, Mount("tmpfs", "/tmp"), Mount("tmpfs", "/mnt", data="size=1m,mode=0700"))
    process = containers.start(*SLEEPER, mounts=mounts, masked_paths=("/usr",), readonly_paths=("/proc/sys",))
    tops = {row.target: row.place for row in world.mounts(process.identity.pid)}
    modes = {target: world.state.subvolumes[place.subvolume].files[place.path].mode for target, place in tops.items()}
    wanted = {"/dev": 0o755, "/tmp": 0o1777, "/mnt": 0o700, "/usr": 0o555, "/proc/sys": 0o555}
    assert {target: modes[target] for target in wanted} == wanted


def test_a_childs_own_settings(world: World, containers: Containers) -> None:
    settings = (("net.ipv4.ip_unprivileged_port_start", "0"),)
    process = containers.start(*SLEEPER, hostname="inside", sysctls=settings)
    row = world.process(process.identity.pid)
    assert (row.hostname, row.sysctls) == ("inside", settings)


def test_numbers_of_processes_follow_each_other(world: World, containers: Containers) -> None:
    first = containers.start(*SLEEPER)
    wait_for_output(containers.kernel, first, b"ready")
    member = containers.execute(first, "fork", *SLEEPER, "|", *SLEEPER)
    assert [pid - first.identity.pid for pid in sorted(world.state.processes)][-3:] == [0, 1, 2]
    child = world.process(member.identity.pid + 1)
    assert (child.parent, child.first, child.start_ticks) == (
        member.identity.pid,
        False,
        world.process(member.identity.pid).start_ticks,
    )


def test_a_child_that_is_made_later_started_later(world: World, containers: Containers) -> None:
    first = containers.start("sleep", "2.5", ",", "fork", *SLEEPER, "|", *SLEEPER)
    world.sleep(3)
    ticks = [row.start_ticks for row in world.state.processes.values() if row.spec]
    assert ticks[1] - ticks[0] == 250
    assert first.identity.start_ticks == ticks[0]


TABLES = [
    "filesystems",
    "subvolumes",
    "mounts",
    "networks",
    "links",
    "routes",
    "names",
    "processes",
    "handles",
    "signals",
    "locks",
]


def counts(state: State) -> dict[str, int]:
    return {table: len(getattr(state, table)) for table in TABLES}


@pytest.mark.parametrize("end", ["by itself", "killed", "discarded", "never released", "refused"])
def test_of_a_container_that_ended_nothing_is_left(
    world: World, kernel: FakeKernel, containers: Containers, end: str
) -> None:
    """In no table: neither its mounts and their files nor its network, whatever became of it."""
    words = ("exit", "0") if end == "by itself" else SLEEPER
    changes = {"files": (File("/etc/hosts", b"x"),), "masked_paths": ("/usr",), "readonly_paths": ("/proc/sys",)}
    spec = containers.spec("fork", "sleep", "60", "|", *words, **changes)
    before = counts(world.state)
    process = containers.create(spec.replace(root="/none") if end == "refused" else spec)
    if end == "refused":
        with pytest.raises(Exception, match="ENOENT"):
            kernel.processes.release(process)
    elif end != "never released":
        kernel.processes.release(process)
    if end == "killed":
        kernel.processes.signal(process.identity, SIGKILL)
    if end in {"by itself", "killed"}:
        assert finish(kernel, process)[2] == (Exited(0, None) if end == "by itself" else Exited(None, SIGKILL))
    kernel.processes.discard(process)
    world.settle()
    assert counts(world.state) == before


def test_a_zombie_has_nothing_but_its_number(world: World, containers: Containers) -> None:
    """No memory, no group, nothing that it waits for."""
    process = containers.start("eat", "1000000", ",", "sleep", "60")
    containers.kernel.processes.signal(process.identity, SIGKILL)
    row = world.process(process.identity.pid)
    assert attrs.astuple(attrs.evolve(row, spec=None), recurse=False)[:4] == (
        row.pid,
        row.start_ticks,
        row.parent,
        "zombie",
    )
    assert (row.group, row.wakes_ns, row.verbs, row.memory_bytes) == (None, None, (), 0)


ROOT: dict[str, Any] = {}
OVERRIDER = {"capabilities": ("DAC_OVERRIDE",)}
MEMBER: dict[str, Any] = {"uid": 1000, "gid": 0}
FURTHER_MEMBER: dict[str, Any] = {"uid": 1000, "gid": 5, "groups": (7, 0)}
OTHER: dict[str, Any] = {"uid": 1000, "gid": 5, "capabilities": ("DAC_OVERRIDE",)}


@pytest.mark.parametrize(
    ("mode", "who", "may"),
    [
        (0o500, ROOT, True),
        (0o677, ROOT, False),
        (0o100, OVERRIDER, True),
        (0o010, OVERRIDER, True),
        (0o001, OVERRIDER, True),
        (0o666, OVERRIDER, False),
        (0o050, MEMBER, True),
        (0o767, MEMBER, False),
        (0o050, FURTHER_MEMBER, True),
        (0o767, FURTHER_MEMBER, False),
        (0o005, OTHER, True),
        (0o776, OTHER, False),
    ],
)
def test_who_may_execute_a_file_of_roots(
    world: World, kernel: FakeKernel, containers: Containers, mode: int, who: dict[str, Any], may: bool
) -> None:
    """path_resolution(7), capabilities(7): no contract can give an image's file its mode."""
    spec = containers.spec(process=program(args=("/own/true",), **who))
    world.add_files(f"/var/bocker/{spec.name}/own", {"true": file(b"#!/bin/busybox true\n", mode)})
    process = containers.create(spec)
    if may:
        kernel.processes.release(process)
        assert world.process(process.identity.pid).program == "/own/true"
        assert finish(kernel, process)[2] == Exited(0, None)
        return
    with step_fails(plan.STEP_EXECUTE, errno.EACCES):
        kernel.processes.release(process)


@pytest.mark.parametrize("interpreter", ["/bin/none", "none"])
def test_a_script_needs_its_interpreter(
    world: World, kernel: FakeKernel, containers: Containers, interpreter: str
) -> None:
    spec = containers.spec(process=program(args=("/own/true",)))
    world.add_files(f"/var/bocker/{spec.name}/own", {"true": file(f"#!{interpreter} x\n".encode(), 0o755)})
    process = containers.create(spec)
    with step_fails(plan.STEP_EXECUTE, errno.ENOENT):
        kernel.processes.release(process)


@pytest.mark.parametrize(("cwd", "is_found"), [("/", True), ("/etc", False)])
def test_an_interpreter_may_be_looked_for_where_the_program_works(
    world: World, kernel: FakeKernel, containers: Containers, cwd: str, is_found: bool
) -> None:
    """As execve(2) says: it is a path as any other."""
    spec = containers.spec(process=program(args=("/own/true",), cwd=cwd))
    world.add_files(f"/var/bocker/{spec.name}/own", {"true": file(b"#!bin/busybox true\n", 0o755)})
    process = containers.create(spec)
    if is_found:
        kernel.processes.release(process)
        assert finish(kernel, process)[2] == Exited(0, None)
        return
    with step_fails(plan.STEP_EXECUTE, errno.ENOENT):
        kernel.processes.release(process)

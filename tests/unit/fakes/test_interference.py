"""What somebody else does to the machine: each of these hands does what it says, and tells whether that changed it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.core.limits import Limits
from bocker.core.settings import Settings
from bocker.fakes import Call, FakeKernel, World, interference
from bocker.kernel.archives import Bounds
from bocker.kernel.errors import KernelError
from bocker.kernel.http import Request
from tests.contracts.layers import archive
from tests.contracts.specs import SLEEPER, Containers, is_there
from tests.unit.fake_lab import FakeStage

if TYPE_CHECKING:
    from collections.abc import Callable

STORE, FOLDER = Settings().store, Settings().namespaces
PARENT = Settings().cgroup_parent
NOBODY = 99_999

HANDS: list[tuple[str, str, Callable[[World, int], bool]]] = [
    ("set_link_down", "eth0", lambda world, pid: interference.set_link_down(world, "eth0", pid)),
    ("delete_link", "eth0", lambda world, pid: interference.delete_link(world, "eth0", pid)),
    ("flush_addresses", "bridge0", lambda world, pid: interference.flush_addresses(world, "bridge0")),
    ("delete_table", "bocker", lambda world, pid: interference.delete_table(world, "bocker")),
    ("set_sysctl", "kernel.pid_max", lambda world, pid: interference.set_sysctl(world, "kernel.pid_max", "7")),
    ("remove_namespace_name", "one", lambda world, pid: interference.remove_namespace_name(world, FOLDER, "one")),
    (
        "set_limits",
        "ps_42002",
        lambda world, pid: interference.set_limits(world, PARENT, "ps_42002", Limits(memory_bytes=64 << 20)),
    ),
    ("move_out", "PID", interference.move_out),
    ("remove_groups", PARENT, lambda world, pid: interference.remove_groups(world, PARENT)),
    ("kill", "PID", interference.kill),
    ("set_clock_back", "5", lambda world, pid: interference.set_clock_back(world, 5)),
    ("refuse_clones", "11", lambda world, pid: interference.refuse_clones(world, errno.EAGAIN)),
    ("make_read_only", STORE, lambda world, pid: interference.make_read_only(world, STORE)),
]


@pytest.fixture
def containers(world: World, kernel: FakeKernel) -> Containers:
    return Containers(kernel, kernel.settings, FakeStage(world, kernel))


def test_each_hand_changes_the_machine_once(world: World, kernel: FakeKernel, containers: Containers) -> None:
    """What is so already is no change; each is written down by what it is about, and as nobody's."""
    pid = containers.start(*SLEEPER).identity.pid
    kernel.namespaces.link("one", pid)
    for name, subject, act in HANDS:
        assert act(world, pid)
        about = str(pid) if subject == "PID" else subject
        assert world.journal[-1].call == Call(0, f"interference.{name}", about)
        if name != "set_clock_back":
            before = world.dump(whole=True)
            assert not act(world, pid)
            assert world.dump(whole=True) == before


def test_about_what_is_not_there_nothing_changes(world: World) -> None:
    hands: list[Callable[[], bool]] = [
        lambda: interference.delete_link(world, "none"),
        lambda: interference.delete_link(world, "eth0", NOBODY),
        lambda: interference.set_link_down(world, "lo", NOBODY),
        lambda: interference.flush_addresses(world, "none"),
        lambda: interference.delete_table(world, "none"),
        lambda: interference.kill(world, NOBODY),
        lambda: interference.move_out(world, NOBODY),
        lambda: interference.exhaust_memory(world, NOBODY),
        lambda: interference.remove_group(world, PARENT, "none"),
        lambda: interference.set_limits(world, PARENT, "none", Limits()),
        lambda: interference.remove_namespace_name(world, FOLDER, "none"),
    ]
    before = world.dump(whole=True)
    assert [act() for act in hands] == [False] * len(hands)
    assert world.dump(whole=True) == before


def test_what_the_hands_leave(world: World, kernel: FakeKernel, containers: Containers) -> None:
    process = containers.start(*SLEEPER)
    host_link = "veth0_ps_42002"
    world.add_table("other")
    interference.flush_addresses(world, "bridge0")
    interference.delete_table(world, "bocker")
    interference.set_sysctl(world, "kernel.pid_max", "7")
    interference.set_limits(world, PARENT, "ps_42002", Limits(memory_bytes=(64 << 20) + 1, cpu_shares=1))
    bridge = kernel.network.link("bridge0")
    assert (bridge.up, bridge.addresses) == (True, ())
    assert kernel.firewall.tables() == ("other",)
    assert kernel.host.read_sysctl("kernel.pid_max") == "7"
    (limits,) = (row.limits for row in world.state.groups.values())
    assert limits == Limits(memory_bytes=64 << 20, cpu_shares=2)
    interference.move_out(world, process.identity.pid)
    assert kernel.cgroups.members("ps_42002") == ()
    assert kernel.processes.alive(process.identity)
    interference.delete_link(world, "eth0", process.identity.pid)
    assert not is_there(kernel, host_link)
    interference.remove_groups(world, PARENT)
    assert kernel.cgroups.names() == ()
    now_ns = world.kernel().ambient.now_ns()
    interference.set_clock_back(world, 100)
    interference.set_clock_back(world, 100)
    assert now_ns - 201_000_000_000 < world.kernel().ambient.now_ns() < now_ns - 199_000_000_000


def test_limits_that_can_not_be_are_given_to_nobody(world: World, kernel: FakeKernel) -> None:
    kernel.cgroups.create("ps_1")
    before = world.dump(whole=True)
    assert not interference.set_limits(world, PARENT, "ps_1", Limits(pids=-7))
    assert world.dump(whole=True) == before


def test_who_needs_a_process_gets_none(world: World, kernel: FakeKernel, containers: Containers) -> None:
    """EAGAIN: `mkfs.btrfs`, `mount`, `cp` and what unpacks; and nothing is made."""
    kernel.storage.create("img_1")
    kernel.host.make_filesystem("/tmp/image", 1 << 30)
    world.write_file("/tmp/layer", archive())
    world.add_files("/tmp/source", {})
    spec = containers.spec()
    calls: list[Callable[[], object]] = [
        lambda: kernel.host.make_filesystem("/tmp/other", 1 << 30),
        lambda: kernel.host.mount_image("/tmp/image", "/tmp/mnt"),
        lambda: kernel.host.copy_tree("/tmp/source", f"{STORE}/img_1"),
        lambda: kernel.archives.unpack("/tmp/layer", f"{STORE}/img_1", Bounds()),
        lambda: containers.create(spec),
    ]
    interference.refuse_clones(world, errno.EAGAIN)
    before = world.dump(whole=True)
    for act in calls:
        with pytest.raises(KernelError) as caught:
            act()
        assert caught.value.errno == errno.EAGAIN
        assert world.dump(whole=True) == before
    interference.refuse_clones(world, 0)
    for act in calls:
        act()


def test_a_group_may_be_given_no_memory_at_all(world: World, kernel: FakeKernel) -> None:
    """While it uses none."""
    kernel.cgroups.create("ps_1")
    assert interference.set_limits(world, PARENT, "ps_1", Limits(memory_bytes=0))


def test_who_has_the_process_for_transfers_needs_none(world: World, kernel: FakeKernel) -> None:
    """It is made by the first transfer, or before; with it, only the server is missing."""
    other = world.kernel()
    kernel.http.prepare()
    interference.refuse_clones(world, errno.EAGAIN)
    for one, number in ((other, errno.EAGAIN), (kernel, errno.EHOSTUNREACH)):
        with pytest.raises(KernelError) as caught:
            one.http.ask(Request("GET", "http://127.0.0.1:1/"))
        assert caught.value.errno == number

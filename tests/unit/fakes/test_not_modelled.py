"""The fake never answers success to what it does not know: it says so, and nothing has changed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import zstandard

from bocker.core import spec as plan
from bocker.core.spec import Mount
from bocker.fakes import FakeKernel, NotModelled, World, images
from bocker.fakes.state import FIFO, Entry
from bocker.kernel.archives import Bounds
from tests.contracts.specs import MOUNTS, SLEEPER, Containers, wait_for_output
from tests.unit.fake_lab import FakeLab, FakeStage

if TYPE_CHECKING:
    from collections.abc import Callable

SIGSTOP = 19
STORE = "/var/bocker"


@pytest.fixture
def containers(world: World, kernel: FakeKernel) -> Containers:
    return Containers(kernel, kernel.settings, FakeStage(world, kernel))


CALLS: dict[str, Callable[[World, FakeKernel], object]] = {
    "a FIFO in the place of an archive": lambda world, kernel: kernel.archives.bundle((), "/tmp/fifo"),
    "a FIFO that is written to": lambda world, kernel: world.write_file("/tmp/fifo", b""),
    "a FIFO that is read": lambda world, kernel: kernel.host.read("/tmp/fifo"),
    "a device that is read": lambda world, kernel: kernel.host.read("/dev/zero"),
    "a person's file that is a FIFO": lambda world, kernel: kernel.accounts.update("/tmp/fifo", lambda data: data),
    "waiting for what never happens": lambda world, kernel: world.wait(None),
    "a subvolume that is deleted as a directory": lambda world, kernel: kernel.host.delete(f"{STORE}/img_1"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_call_whose_end_is_not_known(
    world: World, kernel: FakeKernel, call: Callable[[World, FakeKernel], object]
) -> None:
    kernel.storage.create("img_1")
    world.add_files("/tmp", {"fifo": Entry(FIFO, 0o644)})
    before = world.dump(whole=True)
    with pytest.raises(NotModelled):
        call(world, kernel)
    assert world.dump(whole=True) == before


def test_the_null_device_is_known(world: World, kernel: FakeKernel) -> None:
    """It is empty, and takes all."""
    world.write_file("/dev/null", b"gone")
    assert kernel.host.read("/dev/null") == b""


def test_zstd_without_its_package(world: World, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write_file("/tmp/blob", zstandard.compress(bytes(1024)))
    kernel.storage.create("img_1")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(NotModelled):
        kernel.archives.unpack("/tmp/blob", f"{STORE}/img_1", Bounds())


def test_a_lock_that_is_held_where_something_is_detached(world: World, kernel: FakeKernel) -> None:
    FakeLab(world, kernel).spawn(STORE)
    with kernel.records.lock("names"), pytest.raises(NotModelled):
        kernel.host.unmount(STORE, detach=True)


def test_who_of_two_mounts_is_in_use(world: World, kernel: FakeKernel) -> None:
    lab = FakeLab(world, kernel)
    for path in ("/tmp/place", "/tmp/place/below"):
        lab.make_directory(path)
    lab.mount("/tmp/place")
    lab.mount("/tmp/place")
    lab.spawn("/tmp/place")
    with pytest.raises(NotModelled):
        kernel.host.unmount("/tmp/place", detach=True)


def test_a_container_that_shares_a_namespace_with_the_host(containers: Containers) -> None:
    spec = containers.spec()
    for name in plan.NAMESPACES:
        shared = tuple(one for one in plan.NAMESPACES if one != name)
        with pytest.raises(NotModelled):
            containers.create(spec.replace(namespaces=shared))


@pytest.mark.parametrize("changes", [{"capabilities": ("NONE",)}, {"args": ()}])
def test_a_plan_that_makes_no_sense(containers: Containers, changes: dict[str, tuple[str, ...]]) -> None:
    spec = containers.spec()
    process = containers.create(spec.replace(process=spec.process.replace(**changes)))
    with pytest.raises(NotModelled):
        containers.kernel.processes.release(process)


def test_a_kind_of_namespace_that_there_is_not(containers: Containers) -> None:
    with pytest.raises(NotModelled):
        containers.create(containers.spec(namespaces=(*plan.NAMESPACES, "none")))


def test_a_setting_of_the_hosts_in_a_container(containers: Containers) -> None:
    process = None
    with pytest.raises(NotModelled):
        process = containers.create(containers.spec(sysctls=(("kernel.pid_max", "100"),)))
    assert process is None


def test_a_child_before_its_release(kernel: FakeKernel, containers: Containers) -> None:
    """It can neither be waited for nor entered, and be released only once."""
    process = containers.create(containers.spec(*SLEEPER))
    with pytest.raises(NotModelled):
        kernel.processes.next_event(process, 0.1)
    with pytest.raises(NotModelled):
        containers.enter(process, "exit", "0")
    kernel.processes.release(process)
    with pytest.raises(NotModelled):
        kernel.processes.release(process)
    wait_for_output(kernel, process, b"ready")


def test_a_container_is_not_discarded_before_its_members(kernel: FakeKernel, containers: Containers) -> None:
    first = containers.start(*SLEEPER)
    member = containers.execute(first, *SLEEPER)
    with pytest.raises(NotModelled):
        kernel.processes.discard(first)
    kernel.processes.discard(member)
    kernel.processes.discard(first)


def test_a_stopped_process(kernel: FakeKernel, containers: Containers) -> None:
    """The first process takes no notice of it, as of any signal."""
    first = containers.start(*SLEEPER)
    kernel.processes.signal(first.identity, SIGSTOP)
    member = containers.execute(first, *SLEEPER)
    with pytest.raises(NotModelled):
        kernel.processes.signal(member.identity, SIGSTOP)


@pytest.mark.parametrize("path", ["/proc/version", "/proc/self/../version", "/proc/1/.", "/proc/new"])
@pytest.mark.parametrize("verb", [("read",), ("write", "x")])
def test_what_the_kernel_shows_as_files(containers: Containers, verb: tuple[str, ...], path: str) -> None:
    with pytest.raises(NotModelled):
        containers.start(verb[0], path, *verb[1:])


@pytest.mark.parametrize(
    "args",
    [
        ("/bin/sh",),
        ("/bin/sh", "-c"),
        ("/bin/sh", "-x", "true"),
        ("/bin/sh", "-c", "true", "more"),
        ("/bin/sh", "-c", ""),
        ("/bin/sh", "-c", "true; false"),
        ("/bin/sh", "-c", "echo $HOME"),
        ("/bin/sh", "-c", "busybox ls"),
    ],
)
def test_what_the_shell_would_do(containers: Containers, args: tuple[str, ...]) -> None:
    spec = containers.spec()
    with pytest.raises(NotModelled):
        containers.kernel.processes.release(containers.create(spec.replace(process=spec.process.replace(args=args))))


def test_a_bind_mount_is_what_it_was_when_it_was_opened(world: World, containers: Containers) -> None:
    """Deleted since, it is an empty place all the same."""
    world.add_files("/tmp/source", {"note": images.file(b"x")})
    process = containers.create(containers.spec("exit", "0", mounts=(*MOUNTS, Mount("bind", "/mnt", "/tmp/source"))))
    world.remove("/tmp/source")
    assert containers.kernel.processes.release(process) == ("/mnt",)


def test_whom_the_kernel_kills_beside_a_child_that_was_not_released(kernel: FakeKernel, containers: Containers) -> None:
    """It is a copy of the engine, and may look larger than who takes the memory."""
    first = containers.start(*SLEEPER)
    containers.enter(first, "exit", "0")
    eater = containers.enter(first, "eat", "1000")
    with pytest.raises(NotModelled):
        kernel.processes.release(eater)

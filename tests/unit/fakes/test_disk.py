"""What is on disk, and what a disk takes that is full or read-only by now: no contract can bring that about."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.core.limits import Limits
from bocker.core.settings import Settings
from bocker.fakes import FakeKernel, World, interference, power
from bocker.kernel.archives import Bounds
from bocker.kernel.errors import KernelError
from bocker.kernel.host import MountPoint
from tests.contracts.layers import archive, file
from tests.unit.fake_lab import FakeLab

if TYPE_CHECKING:
    from collections.abc import Callable

STORE = Settings().store
DIGEST, OTHER = "0" * 64, "f" * 64

WRITES: dict[str, Callable[[FakeKernel], object]] = {
    "claim": lambda kernel: kernel.records.claim("a/new", b""),
    "write": lambda kernel: kernel.records.write("a/there", b""),
    "append": lambda kernel: kernel.records.append("a/appended", b"x"),
    "create": lambda kernel: kernel.storage.create("img_2"),
    "snapshot": lambda kernel: kernel.storage.snapshot("img_1", "img_2"),
    "add": lambda kernel: kernel.blobs.add(OTHER, b""),
    "unpack": lambda kernel: kernel.archives.unpack("/tmp/layer", f"{STORE}/img_1", Bounds()),
    "spill": lambda kernel: kernel.archives.spill("/tmp/layer", f"{STORE}/spilled", Bounds()),
    "bundle": lambda kernel: kernel.archives.bundle((), f"{STORE}/bundle"),
    "copy": lambda kernel: kernel.host.copy_tree("/tmp/source", f"{STORE}/img_1"),
    "a person's file": lambda kernel: kernel.accounts.update(f"{STORE}/person", lambda data: data),
}
REMOVALS: dict[str, Callable[[FakeKernel], object]] = {
    "remove": lambda kernel: kernel.records.remove("a/there"),
    "publish": lambda kernel: kernel.storage.publish("img_1", "img_2"),
    "delete a subvolume": lambda kernel: kernel.storage.delete("img_1"),
    "delete": lambda kernel: kernel.host.delete(f"{STORE}/file"),
}
OF_BLOBS: dict[str, Callable[[FakeKernel], object]] = {
    "remove a blob": lambda kernel: kernel.blobs.remove(DIGEST),
    "discard": lambda kernel: kernel.blobs.discard("draft"),
}


@pytest.fixture
def furnished(world: World, kernel: FakeKernel) -> World:
    """A store that everything has its directory in, and an open record."""
    kernel.records.write("a/there", b"there")
    kernel.records.append("a/appended", b"x")
    kernel.storage.create("img_1")
    kernel.blobs.add(DIGEST, b"")
    for path in (f"{STORE}/file", f"{STORE}/.meta/drafts/draft"):
        if "drafts" in path:
            kernel.blobs.draft("draft")
        world.write_file(path, b"")
    world.write_file("/tmp/layer", archive(file(b"x", b"")))
    world.add_files("/tmp/source", {"empty": world.tree(STORE)["file"]})
    world.add_files(f"{STORE}/spilled", {})
    return world


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES.keys())
def test_a_disk_that_is_full_by_now(furnished: World, kernel: FakeKernel, call: Callable[[FakeKernel], object]) -> None:
    """ENOSPC, for what has no content too."""
    furnished.set_free_bytes(STORE, 0)
    before = furnished.dump(whole=True)
    with pytest.raises(KernelError) as caught:
        call(kernel)
    assert caught.value.errno == errno.ENOSPC
    assert furnished.dump(whole=True) == before


@pytest.mark.parametrize("call", [*REMOVALS.values(), *OF_BLOBS.values()], ids=[*REMOVALS, *OF_BLOBS])
def test_from_a_full_disk_all_can_be_removed(
    furnished: World, kernel: FakeKernel, call: Callable[[FakeKernel], object]
) -> None:
    furnished.set_free_bytes(STORE, 0)
    call(kernel)


@pytest.mark.parametrize("call", [*WRITES.values(), *REMOVALS.values()], ids=[*WRITES, *REMOVALS])
def test_a_disk_that_is_read_only_by_now(
    furnished: World, kernel: FakeKernel, call: Callable[[FakeKernel], object]
) -> None:
    """EROFS, from whoever has something open too; its mount says so."""
    assert interference.make_read_only(furnished, STORE)
    before = furnished.dump(whole=True)
    with pytest.raises(KernelError) as caught:
        call(kernel)
    assert caught.value.errno == errno.EROFS
    assert furnished.dump(whole=True) == before
    assert kernel.host.mount_at(STORE) == MountPoint(STORE, "/dev/vdb", "btrfs", ("ro", "nosuid", "nodev"))


def test_a_lock_on_a_disk_that_is_read_only_by_now(furnished: World, kernel: FakeKernel) -> None:
    with kernel.records.lock("layers", shared=True):
        assert interference.make_read_only(furnished, STORE)
        with pytest.raises(KernelError) as caught:
            kernel.records.lock("layers", shared=True)
        assert caught.value.errno == errno.EROFS


def test_blobs_are_on_disk(world: World, kernel: FakeKernel) -> None:
    """Under their names, and no more as drafts."""
    kernel.blobs.add(DIGEST, b"x")
    assert not world.unsynced(kernel.blobs.path(DIGEST))
    draft = kernel.blobs.draft("name")
    world.write_file(draft, b"y")
    assert world.unsynced(draft)
    kernel.blobs.keep("name", OTHER)
    assert not world.unsynced(kernel.blobs.path(OTHER))
    assert not world.unsynced(draft)
    names = [path.rpartition("/")[2] for tree in power.failed(world.state).subvolumes.values() for path in tree.files]
    assert {DIGEST, OTHER} <= set(names)
    assert "name" not in names


def test_a_blob_that_was_there_is_on_disk_when_it_is_added_again(world: World, kernel: FakeKernel) -> None:
    kernel.blobs.add(OTHER, b"")
    world.write_file(kernel.blobs.path(DIGEST), b"x")
    assert world.unsynced(kernel.blobs.path(DIGEST))
    kernel.blobs.add(DIGEST, b"x")
    assert not world.unsynced(kernel.blobs.path(DIGEST))


def test_a_blob_has_the_time_of_its_making(world: World, kernel: FakeKernel) -> None:
    kernel.blobs.add(DIGEST, b"x")
    entry = world.entry(kernel.blobs.path(DIGEST))
    assert entry is not None
    assert world.state.clock_ns - 1_000_000 < entry.mtime_ns <= world.state.clock_ns


def test_what_is_synced_takes_the_names_beside_it_along_and_none_below(world: World, kernel: FakeKernel) -> None:
    for path in ("beside", "below/deep"):
        world.add_files("/tmp/dir", {path.partition("/")[0]: world.tree("/")["etc"]} if "/" in path else {})
        world.write_file(f"/tmp/dir/{path}", b"x")
    kernel.accounts.update("/tmp/dir/file", lambda data: b"x")
    (tree,) = (tree for tree in power.failed(world.state).subvolumes.values() if "tmp/dir" in tree.files)
    kept = {path: row.content for path, row in tree.files.items() if path.startswith("tmp/dir/")}
    assert kept == {"tmp/dir/file": b"x", "tmp/dir/beside": b"", "tmp/dir/below": b""}


def test_a_lock_is_waited_for_as_it_was_asked_for(world: World, kernel: FakeKernel) -> None:
    """Shared, it can be shared with others then; alone, with none."""
    for shared in (True, False):
        other, third = world.kernel(), world.kernel()
        held = other.records.lock("layers")
        world.schedule(1.0, lambda held=held: held.__exit__(None, None, None))
        with kernel.records.lock("layers", shared=shared):
            if shared:
                with third.records.lock("layers", wait=False, shared=True):
                    pass
            else:
                with pytest.raises(KernelError):
                    third.records.lock("layers", wait=False, shared=True)


def test_an_open_record_is_added_to_wherever_its_name_leads_by_now(world: World, kernel: FakeKernel) -> None:
    """Its store was detached: nothing is made where it was."""
    kernel.records.append("a/log", b"one")
    pid = FakeLab(world, kernel).spawn(STORE)
    kernel.host.unmount(STORE, detach=True)
    kernel.records.append("a/log", b"two")
    assert world.tree(STORE).keys() == {""}
    contents = [
        tree.files[".meta/a/log"].content for tree in world.state.subvolumes.values() if ".meta/a/log" in tree.files
    ]
    assert contents == [b"onetwo"]
    assert world.process(pid).root == ""


def test_groups_are_in_the_hierarchies_of_their_version() -> None:
    for version, parts in ((1, {"cpu", "memory", "pids", "devices"}), (2, {"unified"})):
        world = World(cgroup_version=version)
        kernel = world.kernel()
        kernel.cgroups.create("ps_1")
        assert [row.parts for row in world.state.groups.values()] == [parts]
        assert world.state.parents == {kernel.settings.cgroup_parent}
        kernel.cgroups.remove("ps_1")
        kernel.cgroups.remove_parent()
        assert world.state.parents == set()


def test_what_was_set_before_a_limit_that_is_refused_stays(world: World, kernel: FakeKernel) -> None:
    """The kernel is told one after the other."""
    kernel.cgroups.create("ps_1")
    with pytest.raises(KernelError):
        kernel.cgroups.limit("ps_1", Limits(cpu_shares=700, pids=5_000_000, memory_bytes=64 << 20))
    (limits,) = (row.limits for row in world.state.groups.values())
    assert limits is not None
    assert (limits.cpu_shares, limits.memory_bytes, limits.pids) == (700, 64 << 20, None)


def test_a_mount_is_read_only_once(furnished: World, kernel: FakeKernel) -> None:
    """By itself, by its file system, and by both."""
    kernel.host.protect(f"{STORE}/file", "/tmp/protected")
    interference.make_read_only(furnished, STORE)
    found = kernel.host.mount_at("/tmp/protected")
    assert found is not None
    assert found.flags == ("ro", "nosuid", "nodev")


def test_a_file_system_goes_with_its_file_when_nobody_has_it_mounted(world: World, kernel: FakeKernel) -> None:
    before = len(world.state.filesystems), len(world.state.subvolumes)
    for is_mounted in (False, True):
        kernel.host.make_filesystem("/tmp/image", 1 << 30)
        if is_mounted:
            kernel.host.mount_image("/tmp/image", "/tmp/mnt")
        kernel.host.delete("/tmp/image")
        more = int(is_mounted)
        assert (len(world.state.filesystems), len(world.state.subvolumes)) == (before[0] + more, before[1] + more)


def test_a_lock_that_another_got_first_is_waited_for_on(world: World, kernel: FakeKernel) -> None:
    """Until that one lets it go."""
    others = [world.kernel().records, world.kernel().records]
    held = [others[0].lock("layers")]
    begun_ns = world.state.clock_ns

    def hand_on() -> None:
        held.pop().__exit__(None, None, None)
        held.append(others[1].lock("layers"))

    world.schedule(1.0, hand_on)
    world.schedule(2.0, lambda: held.pop().__exit__(None, None, None))
    with kernel.records.lock("layers"):
        assert world.state.clock_ns - begun_ns >= 2_000_000_000

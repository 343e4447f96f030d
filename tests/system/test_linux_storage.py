from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from bocker.core.settings import Settings
from bocker.kernel.errors import AlreadyExists, Busy, Invalid, Missing, NotEmpty
from bocker.linux import syscalls
from bocker.linux.mountinfo import mounts
from bocker.linux.storage import LinuxStorage
from tests.patience import patience
from tests.system.fresh_world import fresh_world

LISTING_S = patience(0.02)
EMPTY_DIRECTORY_INODE = 2
SMALL_DISK = "256M"


@pytest.fixture
def store(settings: Settings) -> Iterator[str]:
    with fresh_world(settings) as fresh:
        yield fresh.store


def test_many_subvolumes_are_listed_in_milliseconds(store: str) -> None:
    storage = LinuxStorage(store)
    for number in range(250):
        storage.create(f"img_{number:03d}")
    started = time.perf_counter()
    names = storage.names()
    assert time.perf_counter() - started < LISTING_S
    assert names == tuple(f"img_{number:03d}" for number in range(250))


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_mode_does_not_depend_on_the_umask(store: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        LinuxStorage(store).create("img_1")
    finally:
        os.umask(before)
    assert os.stat(f"{store}/img_1").st_mode & 0o7777 == 0o755


def test_a_store_behind_a_link_is_the_store(store: str) -> None:
    """A person may have put the store elsewhere; only what is in it is not trusted."""
    link = f"{store}/../link"
    os.symlink(store, link)
    LinuxStorage(link).create("img_1")
    assert LinuxStorage(store).names() == ("img_1",)
    os.unlink(link)


def test_a_store_that_is_a_file_is_invalid(store: str) -> None:
    path = f"{store}/file"
    with open(path, "wb"):
        pass
    with pytest.raises(Invalid) as caught:
        LinuxStorage(path).names()
    assert caught.value.errno == errno.ENOTDIR


def test_no_descriptor_is_left_open(store: str) -> None:
    storage = LinuxStorage(store)
    before = os.listdir("/proc/self/fd")
    storage.create("img_1")
    storage.create("img_2")
    LinuxStorage(f"{store}/img_1").create("inner")
    for _ in range(3):
        storage.describe("img_1")
        storage.nested("img_1")
        storage.exchange("img_1", "img_2")
        storage.exchange("img_1", "img_2")
        storage.sync()
        with pytest.raises(NotEmpty):
            storage.delete("img_1")
        with pytest.raises(Missing):
            storage.snapshot("img_3", "img_4")
        with pytest.raises(Missing):
            storage.delete("img_1/no/inner")
    assert os.listdir("/proc/self/fd") == before


def test_an_open_file_stays_readable_after_its_subvolume_was_deleted(store: str) -> None:
    storage = LinuxStorage(store)
    storage.create("ps_1")
    with open(f"{store}/ps_1/file", "w+b", buffering=0) as file:
        file.write(b"kept")
        storage.delete("ps_1")
        storage.sync()
        file.seek(0)
        assert file.read() == b"kept"
    assert storage.names() == ()


def test_deleting_a_bind_mounted_subvolume_takes_the_mount_away(store: str) -> None:
    storage = LinuxStorage(store)
    storage.create("ps_1")
    place = f"{store}/ps_1"
    subprocess.run(("mount", "--bind", place, place), check=True)
    assert _is_mounted(place)
    storage.delete("ps_1")
    assert storage.names() == ()
    assert not _is_mounted(place)


def test_a_subvolume_that_is_mounted_elsewhere_can_be_exchanged(store: str) -> None:
    """The mount stays with its content. One that is itself a mount point here is EBUSY, unlike in deletion."""
    storage = LinuxStorage(store)
    for name in ("img_1", "img_2"):
        storage.create(name)
        with open(f"{store}/{name}/file", "w") as file:
            file.write(name)
    place = f"{store}/place"
    os.mkdir(place)
    subprocess.run(("mount", "--bind", f"{store}/img_1", place), check=True)
    storage.exchange("img_1", "img_2")
    assert _content(f"{place}/file") == _content(f"{store}/img_2/file") == "img_1"
    subprocess.run(("umount", place), check=True)
    subprocess.run(("mount", "--bind", f"{store}/img_1", f"{store}/img_1"), check=True)
    with pytest.raises(Busy):
        storage.exchange("img_1", "img_2")
    subprocess.run(("umount", f"{store}/img_1"), check=True)


def _content(path: str) -> str:
    with open(path) as file:
        return file.read()


def _is_mounted(path: str) -> bool:
    return any(mounted.target == path for mounted in mounts())


def test_what_was_nested_is_inode_2_in_a_snapshot(store: str) -> None:
    """An empty directory that nothing can be put into, until it was removed and made again."""
    storage = LinuxStorage(store)
    storage.create("img_1")
    LinuxStorage(f"{store}/img_1").create("inner")
    storage.snapshot("img_1", "ps_1")
    assert os.stat(f"{store}/ps_1/inner").st_ino == EMPTY_DIRECTORY_INODE
    assert os.listdir(f"{store}/ps_1/inner") == []
    with pytest.raises(OSError):
        os.mkdir(f"{store}/ps_1/inner/directory")
    os.rmdir(f"{store}/ps_1/inner")


def test_the_program_nests_where_the_ioctl_refuses(store: str) -> None:
    storage = LinuxStorage(store)
    for name in ("img_1", "ps_1"):
        storage.create(name)
    subprocess.run(("btrfs", "-q", "subvolume", "snapshot", f"{store}/img_1", f"{store}/ps_1"), check=True)
    assert storage.nested("ps_1") == ("ps_1/img_1",)
    with pytest.raises(AlreadyExists):
        storage.snapshot("img_1", "ps_1")


def test_a_read_only_snapshot_stays_in_its_directory(store: str) -> None:
    """EROFS for any other, alone or in exchange; in its own it takes any name, and one that is taken is ENOTEMPTY."""
    storage = LinuxStorage(store)
    storage.create("img_1")
    storage.snapshot("img_1", "frozen", read_only=True)
    os.mkdir(f"{store}/folder")
    LinuxStorage(f"{store}/folder").create("other")
    with pytest.raises(OSError) as refused:
        os.rename(f"{store}/frozen", f"{store}/folder/frozen")
    assert refused.value.errno == errno.EROFS
    with pytest.raises(OSError) as refused:
        syscalls.renameat2(
            syscalls.AT_FDCWD,
            f"{store}/frozen".encode(),
            syscalls.AT_FDCWD,
            f"{store}/folder/other".encode(),
            syscalls.RENAME_EXCHANGE,
        )
    assert refused.value.errno == errno.EROFS
    os.rename(f"{store}/frozen", f"{store}/ice")
    with pytest.raises(OSError) as refused:
        os.rename(f"{store}/ice", f"{store}/img_1")
    assert refused.value.errno == errno.ENOTEMPTY
    LinuxStorage(f"{store}/folder").delete("other")


@pytest.mark.long
def test_the_space_of_a_deleted_subvolume_comes_back_after_a_sync(store: str) -> None:
    """Until then the disk is as full as it was."""
    image, place = f"{store}/image", f"{store}/small"
    os.mkdir(place)
    subprocess.run(("truncate", "-s", SMALL_DISK, image), check=True)
    subprocess.run(("mkfs.btrfs", "--quiet", image), check=True)
    subprocess.run(("mount", "-o", "loop", image, place), check=True)
    try:
        storage = LinuxStorage(place)
        storage.create("img_1")
        before = _free_bytes(place)
        with open(f"{place}/img_1/ballast", "wb", buffering=0) as file:
            file.write(bytes(before // 2))
            os.fsync(file.fileno())
        storage.delete("img_1")
        assert _free_bytes(place) < before * 0.75
        subprocess.run(("btrfs", "-q", "subvolume", "sync", place), check=True)
        storage.sync()
        assert _free_bytes(place) > before * 0.9
    finally:
        subprocess.run(("umount", place), check=True)


def _free_bytes(path: str) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize

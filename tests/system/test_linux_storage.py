from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator

import pytest

from bocker.core.settings import Settings
from bocker.kernel.errors import Invalid, Missing, NotEmpty
from bocker.linux.storage import LinuxStorage
from tests.system.fresh_world import fresh_world

LISTING_S = 0.02


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

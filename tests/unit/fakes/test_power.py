"""What the fake loses when power fails, and what it keeps: as kind as Linux, and no kinder.

`test_a_name_and_its_content_come_to_disk_apart` of the system tests is the same on a btrfs that is cut off.
"""

from __future__ import annotations

import hashlib

import pytest

from bocker.core.settings import Settings
from bocker.fakes import FakeKernel, World, files
from bocker.fakes.state import HOST
from bocker.kernel.errors import Missing

DATA = b"new"
DIGEST = hashlib.sha256(DATA).hexdigest()
EITHER_WAY = pytest.mark.parametrize("names", [False, True], ids=["as before", "names are there"])


@pytest.fixture(autouse=True)
def set_up_long_ago(world: World) -> None:
    world.sync()


def after_a_power_failure(world: World, names: bool) -> FakeKernel:
    """Lose power, start again and mount the store; return a new program."""
    (store,) = (mount for mount in world.state.mounts[HOST] if mount.target == Settings().store)
    world.lose_power(names)
    world.state = files.add_mount(world.state, store)
    return world.kernel()


def read(kernel: FakeKernel, key: str) -> bytes | None:
    try:
        return kernel.records.read(key)
    except Missing:
        return None


@EITHER_WAY
def test_what_is_durable_is_there_and_nothing_else_is_sure(world: World, kernel: FakeKernel, names: bool) -> None:
    """A name and its content come to disk apart: a new file is empty, one that replaced another is whole."""
    kernel.records.write("a/replaced", b"old")
    kernel.storage.sync()
    kernel.records.write("a/replaced", DATA)
    kernel.records.write("b/durable", DATA, durable=True)
    kernel.records.write("c/new", DATA)
    kernel.records.claim("c/claimed", DATA)
    after = after_a_power_failure(world, names)
    found = {key: read(after, key) for key in ("a/replaced", "b/durable", "c/new", "c/claimed")}
    lost = {"c/new": b"", "c/claimed": b""} if names else {"a/replaced": b"old", "c/new": None, "c/claimed": None}
    assert found == {"a/replaced": DATA, "b/durable": DATA} | lost


def test_with_a_durable_record_come_the_names_of_its_folder_but_not_what_is_in_them(
    world: World, kernel: FakeKernel
) -> None:
    kernel.records.write("a/replaced", b"old")
    kernel.storage.sync()
    kernel.records.write("a/replaced", DATA)
    kernel.records.write("a/durable", DATA, durable=True)
    after = after_a_power_failure(world, names=False)
    assert (read(after, "a/replaced"), read(after, "a/durable")) == (b"", DATA)


@EITHER_WAY
def test_a_blob_that_was_added_or_kept_is_there_whole(world: World, kernel: FakeKernel, names: bool) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    kernel.blobs.add(other, b"other")
    world.write_file(kernel.blobs.draft("draft"), DATA)
    kernel.blobs.keep("draft", DIGEST)
    after = after_a_power_failure(world, names)
    assert (after.blobs.read(DIGEST), after.blobs.read(other)) == (DATA, b"other")
    assert after.blobs.drafts() == ()


@EITHER_WAY
def test_a_draft_is_nobodys_promise(world: World, kernel: FakeKernel, names: bool) -> None:
    kernel.storage.sync()
    world.write_file(kernel.blobs.draft("draft"), DATA)
    after = after_a_power_failure(world, names)
    assert [(one.name, one.size_bytes) for one in after.blobs.drafts()] == ([("draft", 0)] if names else [])


@EITHER_WAY
def test_after_a_sync_all_of_the_store_is_there(world: World, kernel: FakeKernel, names: bool) -> None:
    kernel.storage.create("ps_1")
    world.write_file(f"{Settings().store}/ps_1/file", DATA)
    kernel.storage.snapshot("ps_1", "ps_2")
    kernel.records.append("logs/ps_1", DATA)
    kernel.storage.delete("ps_1")
    kernel.storage.sync()
    after = after_a_power_failure(world, names)
    assert after.storage.names() == ("ps_2",)
    assert world.read_file(f"{Settings().store}/ps_2/file") == DATA
    assert read(after, "logs/ps_1") == DATA


@EITHER_WAY
def test_what_was_removed_and_not_synced_is_there_again_or_gone(world: World, kernel: FakeKernel, names: bool) -> None:
    kernel.storage.create("ps_1")
    kernel.records.write("a/removed", DATA)
    kernel.storage.sync()
    kernel.storage.delete("ps_1")
    kernel.records.remove("a/removed")
    after = after_a_power_failure(world, names)
    assert after.storage.names() == (() if names else ("ps_1",))
    assert read(after, "a/removed") == (None if names else DATA)

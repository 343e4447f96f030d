"""What only Linux's side of the blobs has: modes, descriptors, a kill, a power failure."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.kernel.errors import Invalid, KernelError, Missing
from bocker.linux import files
from bocker.linux.blobs import LinuxBlobs
from bocker.linux.records import LinuxRecords
from tests.system.fresh_world import fresh_world
from tests.system.power import Machine

DATA = bytes(range(256)) * 400
DIGEST = hashlib.sha256(DATA).hexdigest()
ADDER = """
import hashlib, sys
from bocker.linux.blobs import LinuxBlobs
blobs = LinuxBlobs(sys.argv[1])
print("ready", flush=True)
for number in range(100_000):
    data = b"%d" % number * 200_000
    blobs.add(hashlib.sha256(data).hexdigest(), data)
"""


@pytest.fixture
def root(settings: Settings) -> Iterator[str]:
    with fresh_world(settings) as fresh:
        yield f"{fresh.store}/.meta"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(str(tmp_path))
    yield made
    made.close()


def test_the_places_of_blobs_and_drafts(root: str) -> None:
    """Others lay files there, and find them."""
    blobs = LinuxBlobs(root)
    assert blobs.path(DIGEST) == f"{root}/blobs/{DIGEST}"
    assert blobs.draft("layer") == f"{root}/drafts/layer"


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277])
def test_modes_do_not_depend_on_the_umask(root: str, umask: int) -> None:
    blobs = LinuxBlobs(root)
    before = os.umask(umask)
    try:
        blobs.add("f" * 64, DATA)
        Path(blobs.draft("a")).write_bytes(DATA)
        blobs.keep("a", DIGEST)
    finally:
        os.umask(before)
    assert [os.stat(blobs.path(blob.name)).st_mode & 0o7777 for blob in blobs.list()] == [0o600] * 2
    assert [os.stat(path).st_mode & 0o7777 for path in (root, f"{root}/blobs", f"{root}/drafts")] == [0o700] * 3


def test_a_fifo_in_the_place_of_a_blob_holds_nobody_up(root: str) -> None:
    blobs = LinuxBlobs(root)
    os.mkfifo(blobs.draft("fifo"))
    with pytest.raises(Invalid):
        blobs.keep("fifo", DIGEST)
    blobs.add("f" * 64, b"")
    os.mkfifo(blobs.path(DIGEST))
    with pytest.raises(Invalid):
        blobs.read(DIGEST)
    assert (blobs.has(DIGEST), len(blobs.list()), blobs.drafts()) == (False, 1, ())


def test_no_descriptor_is_left_open(root: str) -> None:
    before = os.listdir("/proc/self/fd")
    blobs = LinuxBlobs(root)
    for _ in range(2):
        blobs.add(DIGEST, DATA)
    Path(blobs.draft("a")).write_bytes(DATA)
    blobs.keep("a", DIGEST)
    blobs.read(DIGEST)
    blobs.list(), blobs.drafts()
    for call in (lambda: blobs.read(DIGEST, 1), lambda: blobs.read("0" * 64), lambda: blobs.keep("a", DIGEST)):
        with pytest.raises(KernelError):
            call()
    assert os.listdir("/proc/self/fd") == before


def test_a_killed_writer_leaves_whole_blobs_and_nothing_else(root: str) -> None:
    adder = subprocess.Popen((sys.executable, "-c", ADDER, root), stdout=subprocess.PIPE, text=True)
    assert adder.stdout is not None
    assert adder.stdout.readline() == "ready\n"
    blobs = LinuxBlobs(root)
    while len(blobs.list()) < 3:
        time.sleep(0.001)
    adder.send_signal(signal.SIGKILL)
    adder.communicate()
    names = os.listdir(f"{root}/blobs")
    assert sorted(names) == [blob.name for blob in blobs.list()]
    assert [name for name in names if hashlib.sha256(blobs.read(name)).hexdigest() != name] == []


def test_a_blob_survives_a_power_failure(machine: Machine) -> None:
    """Name and content, as soon as the call returned; and what was only written is lost, so the test can fail."""
    root = f"{machine.store}/.meta"
    LinuxBlobs(root).add(DIGEST, DATA)
    machine.cut_power()
    blobs = LinuxBlobs(root)
    assert blobs.read(DIGEST) == DATA
    for name in ("kept", "not kept"):
        Path(blobs.draft(name)).write_bytes(DATA[1:])
    blobs.keep("kept", "f" * 64)
    machine.cut_power()
    assert blobs.read("f" * 64) == DATA[1:]
    assert sum(draft.size_bytes for draft in blobs.drafts()) == 0


def test_a_name_comes_to_disk_without_its_content(machine: Machine) -> None:
    """Of a file that was linked or made and not synced itself, syncing its directory saves the name alone."""
    place = Path(machine.store)
    fd = files.written(machine.store, DATA)
    files.link(fd, f"{place}/linked")
    os.close(fd)
    (place / "made").write_bytes(DATA)
    files.sync_folder(machine.store)
    machine.cut_power()
    assert {path.name: path.stat().st_size for path in place.iterdir()} == {"linked": 0, "made": 0}


def test_a_durable_record_survives_a_power_failure(machine: Machine) -> None:
    records = LinuxRecords(f"{machine.store}/.meta")
    records.write("contents/durable", DATA, durable=True)
    records.write("contents/other", DATA)
    machine.cut_power()
    assert records.read("contents/durable") == DATA
    with pytest.raises(Missing):
        records.read("contents/other")

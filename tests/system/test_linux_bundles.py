"""What only Linux's side of archives of files has: GNU tar, pipes and devices, a kill, a power failure."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bocker.core.settings import Settings
from bocker.kernel.archives import Bounds, Member
from bocker.kernel.errors import KernelError, Missing
from bocker.linux import bundle, files
from bocker.linux.archives import LinuxArchives
from tests.contracts import layers
from tests.patience import patience
from tests.system.power import Machine
from tests.unit.core.test_tarmembers import NAMES

CONTENT = bytes(range(256)) * 8000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LARGE_BYTES = 200 << 20
BUNDLER = """
import sys
from bocker.linux.archives import LinuxArchives
print("ready", flush=True)
while True:
    LinuxArchives().bundle(((sys.argv[1], sys.argv[2]),), sys.argv[3])
"""
SPILLER = """
import sys
from bocker.kernel.archives import Bounds
from bocker.linux.archives import LinuxArchives
print("ready", flush=True)
LinuxArchives().spill(sys.argv[1], sys.argv[2], Bounds())
"""


@pytest.fixture
def place(settings: Settings) -> Iterator[Path]:
    """Give a directory on btrfs."""
    with tempfile.TemporaryDirectory(prefix=".bundles-", dir=settings.store) as directory:
        yield Path(directory)


def spill(archive: Path, directory: Path) -> tuple[Member, ...]:
    return LinuxArchives().spill(str(archive), str(directory), Bounds())


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = (sys.executable, "-c", program, *map(str, arguments))
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def test_gnu_tar_reads_what_we_write(place: Path) -> None:
    """Names of every kind, and it warns of nothing."""
    (place / "content").write_bytes(CONTENT)
    contents = {"index.json": b"{}", "blobs/sha256/" + "f" * 64: CONTENT, "ü/" + "n" * 150: b"x", "empty": b""}
    members = tuple((name, str(place / "content") if data is CONTENT else data) for name, data in contents.items())
    LinuxArchives().bundle(members, f"{place}/archive")
    (place / "tree").mkdir()
    done = subprocess.run(
        ("tar", "--extract", "--file", f"{place}/archive", "--directory", f"{place}/tree", "--numeric-owner"),
        check=True,
        capture_output=True,
    )
    assert done.stderr == b""
    assert {name: (place / "tree" / name).read_bytes() for name in contents} == contents
    status = (place / "tree/blobs/sha256").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime) == (0o755, 0, 0.0)


@pytest.mark.parametrize("kind", ["gnu", "pax", "ustar", "oldgnu"])
@pytest.mark.parametrize("compression", ["--no-auto-compress", "--gzip", "--zstd"])
def test_what_gnu_tar_writes_is_laid_out(place: Path, kind: str, compression: str) -> None:
    """With a symbolic and a hard link, a sparse file where the format has them, and a directory for all."""
    tree = place / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a/layer.tar").write_bytes(CONTENT)
    (tree / "b").symlink_to("a/layer.tar")
    (tree / "c").hardlink_to(tree / "a/layer.tar")
    with (tree / "holes").open("wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"middle")
    sparse = () if kind == "ustar" else ("--sparse",)
    command = ("tar", "--create", f"--format={kind}", *sparse, "--sort=name", compression)
    with (place / "archive").open("wb") as archive:
        subprocess.run((*command, "--directory", tree, "."), check=True, stdout=archive)
    members = {member.name: member for member in spill(place / "archive", place / "blobs")}
    assert members["a/layer.tar"] == Member("a/layer.tar", DIGEST, len(CONTENT))
    assert (members["b"].target, members["c"].target) == ("a/layer.tar", "a/layer.tar")
    assert members["holes"].digest == hashlib.sha256((tree / "holes").read_bytes()).hexdigest()
    assert set(members) == {"a/layer.tar", "b", "c", "holes"}
    if sparse:
        assert (place / "blobs" / members["holes"].digest).stat().st_blocks * 512 < 1 << 20


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NAMES, st.binary(max_size=2000)), max_size=6))
def test_what_is_bundled_is_laid_out_with_the_same_digests(place: Path, members: list[tuple[str, bytes]]) -> None:
    LinuxArchives().bundle(tuple(members), f"{place}/archive")
    expected = tuple(Member(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in members)
    assert spill(place / "archive", place / "blobs") == expected


def test_through_a_fifo(place: Path) -> None:
    """Written to as it is, and read from: it is not replaced by a file."""
    os.mkfifo(place / "fifo")
    given: list[tuple[Member, ...]] = []
    reader = threading.Thread(target=lambda: given.append(spill(place / "fifo", place / "blobs")), daemon=True)
    reader.start()
    LinuxArchives().bundle((("a", CONTENT),), f"{place}/fifo")
    reader.join(patience(20))
    assert given == [(Member("a", DIGEST, len(CONTENT)),)]
    assert sorted(os.listdir(place)) == ["blobs", "fifo"]


def test_a_device_is_not_replaced(place: Path) -> None:
    LinuxArchives().bundle((("a", CONTENT),), "/dev/null")
    assert not Path("/dev/null").is_file()
    assert not [name for name in os.listdir("/dev") if name.startswith(".bocker")]


def test_progress_is_told_while_nothing_comes(place: Path) -> None:
    """Whoever types the archive may be slow, and wants to end it."""
    os.mkfifo(place / "fifo")
    writer = os.open(place / "fifo", os.O_RDWR)
    os.write(writer, layers.file(b"x", b"1234")[:514])
    told: list[int] = []

    def tell(done_bytes: int) -> None:
        told.append(done_bytes)
        if len(told) == 3:
            raise ZeroDivisionError

    try:
        with pytest.raises(ZeroDivisionError):
            LinuxArchives().spill(f"{place}/fifo", f"{place}/blobs", Bounds(), tell)
    finally:
        os.close(writer)
    assert told == [514] * 3
    assert os.listdir(place / "blobs") == []


def test_progress_is_told_about_five_times_a_second(place: Path) -> None:
    """In a hole too, which is long to hash and of which nothing is read."""
    (place / "archive").write_bytes(layers.archive(layers.pax_sparse(b"x", ((0, b"1"),), 1 << 30)))
    moments = [time.monotonic()]
    LinuxArchives().spill(
        f"{place}/archive", f"{place}/blobs", Bounds(), lambda done_bytes: moments.append(time.monotonic())
    )
    assert len(moments) > 3
    assert max(late - early for early, late in itertools.pairwise(moments)) < 1.0


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR])
def test_where_there_are_no_nameless_files(place: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """An archive may go to any file system: then it has a name of its own until it is whole."""

    def refused(folder: str) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(bundle, "nameless", refused)
    (place / ".bocker-1.new").write_bytes(b"another's")
    LinuxArchives().bundle((("a", CONTENT),), f"{place}/archive")
    with pytest.raises(Missing):
        LinuxArchives().bundle((("a", CONTENT), ("b", f"{place}/no")), f"{place}/other")
    assert sorted(os.listdir(place)) == [".bocker-1.new", "archive"]
    assert (place / "archive").stat().st_mode & 0o7777 == 0o600


def test_a_bundle_that_fails_late_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nameless files and without."""
    (place / "content").write_bytes(CONTENT)
    (place / "archive").write_bytes(b"as it was")

    def shrinking(fd: int, data: bytes) -> None:
        os.truncate(place / "content", 10)
        files.write_all(fd, data)

    monkeypatch.setattr(bundle, "write_all", shrinking)
    for nameless in (files.nameless, lambda folder: os.open("/nowhere/x", os.O_RDONLY)):
        (place / "content").write_bytes(CONTENT)
        monkeypatch.setattr(bundle, "nameless", nameless)
        with pytest.raises(KernelError):
            LinuxArchives().bundle((("a", f"{place}/content"),), f"{place}/archive")
        assert sorted(os.listdir(place)) == ["archive", "content"]
    assert (place / "archive").read_bytes() == b"as it was"


def test_a_killed_bundle_leaves_nothing(place: Path) -> None:
    with (place / "content").open("wb") as file:
        file.truncate(LARGE_BYTES)
    bundler = start(BUNDLER, "a", place / "content", place / "archive")
    time.sleep(0.05)
    bundler.send_signal(signal.SIGKILL)
    bundler.communicate()
    assert set(os.listdir(place)) <= {"content", "archive"}


def test_a_killed_spill_leaves_whole_files_only(place: Path) -> None:
    contents = [b"%d" % number * 300_000 for number in range(200)]
    entries = [layers.file(b"%d" % number, content) for number, content in enumerate(contents)]
    (place / "archive").write_bytes(layers.archive(*entries))
    (place / "blobs").mkdir()
    spiller = start(SPILLER, place / "archive", place / "blobs")
    while len(os.listdir(place / "blobs")) < 3:
        time.sleep(0.001)
    spiller.send_signal(signal.SIGKILL)
    spiller.communicate()
    names = os.listdir(place / "blobs")
    assert 3 <= len(names) < len(contents)
    assert [name for name in names if hashlib.sha256((place / "blobs" / name).read_bytes()).hexdigest() != name] == []


def test_no_descriptor_is_left_open(place: Path) -> None:
    before = os.listdir("/proc/self/fd")
    LinuxArchives().bundle((("a", CONTENT),), f"{place}/archive")
    spill(place / "archive", place / "blobs")
    (place / "bad").write_bytes((place / "archive").read_bytes()[:-2000])
    for act in (
        lambda: spill(place / "bad", place / "more"),
        lambda: spill(place / "archive", place / "bad"),
        lambda: LinuxArchives().bundle((("a", f"{place}/no"),), f"{place}/other"),
        lambda: LinuxArchives().bundle((("..", b""),), f"{place}/other"),
        lambda: LinuxArchives().bundle((), f"{place}"),
    ):
        with pytest.raises(KernelError):
            act()
    assert os.listdir("/proc/self/fd") == before


def test_what_is_laid_out_or_bundled_survives_a_power_failure(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path))
    try:
        archive = Path(machine.store) / "archive"
        archive.write_bytes(layers.archive(layers.file(b"a", CONTENT), layers.file(b"b", b"small")))
        spill(archive, Path(machine.store) / "blobs")
        LinuxArchives().bundle((("a", CONTENT),), f"{machine.store}/bundle")
        files.sync_folder(machine.store)
        machine.cut_power()
        assert spill(Path(machine.store) / "bundle", Path(machine.store) / "again")[0].digest == DIGEST
        found = {path.name: path.read_bytes() for path in (Path(machine.store) / "blobs").iterdir()}
        assert found == {DIGEST: CONTENT, hashlib.sha256(b"small").hexdigest(): b"small"}
    finally:
        machine.close()

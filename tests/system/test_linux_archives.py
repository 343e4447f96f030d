"""What only Linux's side of unpacking has: libraries that may be absent, a child, descriptors."""

from __future__ import annotations

import gzip
import os
import select
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from bocker.kernel.archives import Bounds
from bocker.kernel.errors import Invalid, KernelError, Unsupported
from bocker.linux.archives import LinuxArchives
from bocker.linux.capabilities import mask_of
from tests.contracts import layers
from tests.patience import patience

CONTENT = bytes(range(256)) * 8000
LAYER = layers.archive(layers.file(b"file", CONTENT))


def unpack(folder: Path, blob: bytes) -> None:
    (folder / "blob").write_bytes(blob)
    (folder / "tree").mkdir(exist_ok=True)
    LinuxArchives().unpack(f"{folder}/blob", f"{folder}/tree", Bounds())


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_gzip_without_isal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    unpack(tmp_path, gzip.compress(LAYER))
    assert (tmp_path / "tree/file").read_bytes() == CONTENT
    with pytest.raises(Invalid):
        unpack(tmp_path, gzip.compress(LAYER)[:-6] + b"wrong!")


def test_zstd_without_its_library_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(Unsupported, match="needs the package zstandard"):
        unpack(tmp_path, zstandard.compress(LAYER))


@pytest.mark.parametrize("blob", [LAYER, b"<html>" * 100, gzip.compress(LAYER)[:-100], LAYER[:-2000]], ids=len)
def test_no_process_and_no_descriptor_is_left(tmp_path: Path, blob: bytes) -> None:
    """Whether it succeeds, is refused by the child, or by the parent."""
    before = children(), descriptors()
    try:
        unpack(tmp_path, blob)
    except KernelError:
        pass
    assert (children(), descriptors()) == before


def slow_layer(folder: Path) -> None:
    """Write one that takes seconds although it is read in no time: the child is what is busy."""
    entries = (layers.file(b"d%d/f%d" % (number % 50, number)) for number in range(60_000))
    (folder / "blob").write_bytes(gzip.compress(layers.archive(*entries), 1))
    (folder / "tree").mkdir()


class Enough(Exception):
    pass


def test_progress_is_told_while_the_child_is_busy(tmp_path: Path) -> None:
    """Every fifth of a second, though it takes nothing (it is stopped); what it raises ends the child."""
    slow_layer(tmp_path)
    before = children(), descriptors()
    told: list[tuple[float, int]] = []

    def tell(done_bytes: int) -> None:
        told.append((time.monotonic(), done_bytes))
        for child in children() - before[0]:
            os.kill(int(child), signal.SIGSTOP)
        if len(told) == 4:
            raise Enough

    started = time.monotonic()
    with pytest.raises(Enough):
        LinuxArchives().unpack(f"{tmp_path}/blob", f"{tmp_path}/tree", Bounds(), tell)
    assert (children(), descriptors()) == before
    moments = [started, *(moment for moment, _ in told)]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert 0.15 < min(gaps) <= max(gaps) < patience(0.6)


def test_the_child_has_few_of_roots_rights(tmp_path: Path) -> None:
    """What a writer of files needs, and a root of its own: also where the kernel had a hole."""
    slow_layer(tmp_path)
    before = children()
    seen: list[tuple[int, str, set[str]]] = []

    def tell(done_bytes: int) -> None:
        for child in children() - before:
            lines = dict(line.split(":\t") for line in Path(f"/proc/{child}/status").read_text().splitlines())
            seen.append((int(lines["CapEff"], 16), lines["NoNewPrivs"], set(os.listdir(f"/proc/{child}/root"))))
        if seen and seen[-1][1] == "1":  # it drops them before it reads the archive, and may just have been made
            raise Enough

    with pytest.raises(Enough):
        LinuxArchives().unpack(f"{tmp_path}/blob", f"{tmp_path}/tree", Bounds(), tell)
    kept = mask_of(("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"))
    assert seen[-1][:2] == (kept, "1")
    assert seen[-1][2] <= set(os.listdir(tmp_path / "tree"))


def test_progress_is_told_of_a_pipe_too(tmp_path: Path) -> None:
    """Also while nothing comes through it."""
    blob = gzip.compress(LAYER)
    (tmp_path / "data").write_bytes(blob)
    (tmp_path / "tree").mkdir()
    os.mkfifo(tmp_path / "blob")
    slowly = "{ head -c 100 data; sleep 0.7; tail -c +101 data; } > blob"
    told: list[int] = []
    with subprocess.Popen(["sh", "-c", slowly], cwd=tmp_path):
        LinuxArchives().unpack(f"{tmp_path}/blob", f"{tmp_path}/tree", Bounds(), told.append)
    assert told[0] == 100
    assert told[-1] == len(blob)
    assert (tmp_path / "tree/file").read_bytes() == CONTENT


def test_ctrl_c_ends_the_child(tmp_path: Path) -> None:
    """While the parent waits for it, and at once."""
    slow_layer(tmp_path)
    before = children(), descriptors()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupted)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            LinuxArchives().unpack(f"{tmp_path}/blob", f"{tmp_path}/tree", Bounds())
        assert time.monotonic() - started < 1.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert (children(), descriptors()) == before


PARENT = """
import sys
from bocker.kernel.archives import Bounds
from bocker.linux.archives import LinuxArchives
from bocker.linux.capabilities import mask_of
LinuxArchives().unpack(sys.argv[1], sys.argv[2], Bounds(), lambda done: print(done, flush=True))
"""


def test_a_killed_parent_takes_its_child_along(tmp_path: Path) -> None:
    """It writes no file more, though the layer was all in its hands."""
    slow_layer(tmp_path)
    command = (sys.executable, "-c", PARENT, f"{tmp_path}/blob", f"{tmp_path}/tree")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        pidfd = os.pidfd_open(int(child))
        parent.kill()
    try:
        assert select.select([pidfd], [], [], 1.0)[0]
    finally:
        os.close(pidfd)

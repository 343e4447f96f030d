"""What only Linux's side of unpacking has: libraries that may be absent, a child, descriptors."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import pytest
import zstandard

from bocker.kernel.archives import Bounds
from bocker.kernel.errors import Invalid, KernelError, Unsupported
from bocker.linux.archives import LinuxArchives
from tests.contracts import layers

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


@pytest.mark.parametrize("blob", [LAYER, b"<html>" * 100, gzip.compress(LAYER)[:-100], LAYER[:-2000]])
def test_no_process_and_no_descriptor_is_left(tmp_path: Path, blob: bytes) -> None:
    """Whether it succeeds, is refused by the child, or by the parent."""
    before = children(), descriptors()
    try:
        unpack(tmp_path, blob)
    except KernelError:
        pass
    assert (children(), descriptors()) == before

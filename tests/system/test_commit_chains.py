"""Commits on commits: whenever the layers between were written, no file is missing from what goes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from tests.system.program import Bocker


@pytest.fixture
def clean(bocker: Bocker, kernel: LinuxKernel) -> Iterator[None]:
    """Take away all containers, images and downloads after the test."""
    yield
    for thing in (*bocker("ps", "-q").out.split(), *bocker("images", "-q").out.split()):
        bocker("rm", thing)
    for blob in kernel.blobs.list():
        kernel.blobs.remove(blob.name)


def gone_out_and_back(bocker: Bocker, settings: Settings, tag: str, archive: Path) -> Path:
    """Save an image, remove all there is, load it; return its tree."""
    assert bocker("save", "-o", str(archive), tag).code == 0
    for thing in (*bocker("ps", "-q").out.split(), *bocker("images", "-q").out.split()):
        assert bocker("rm", thing).code == 0
    assert bocker("load", "-i", str(archive)).code == 0
    (image,) = bocker("images", "-q").out.split()
    return Path(settings.store) / image


@pytest.mark.usefixtures("clean")
def test_what_a_container_wrote_before_its_images_layer_was_written_is_in_its_commit(
    bocker: Bocker, busybox_root: Path, settings: Settings, tmp_path: Path
) -> None:
    """The layer of a commit is written when it first goes out, which may be long after containers of it began."""
    base = bocker.created("init", str(busybox_root), "-t", "base")
    assert bocker("run", "--name", "first", base, "/bin/sh", "-c", "echo 1 > /one").code == 0
    assert bocker("commit", "first", "one:1").code == 0
    assert bocker("run", "--name", "second", "one:1", "/bin/sh", "-c", "echo 2 > /two; rm /etc/passwd").code == 0
    assert bocker("save", "-o", str(tmp_path / "one.tar"), "one:1").code == 0
    assert bocker("commit", "second", "two:1").code == 0
    tree = gone_out_and_back(bocker, settings, "two:1", tmp_path / "two.tar")
    assert (tree / "one").read_text() == "1\n"
    assert (tree / "two").read_text() == "2\n"
    assert not (tree / "etc/passwd").exists()

"""`bocker init` and `bocker commit` on the real kernel: nothing is lost."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.system.trees import attributes, awkward_tree


def test_init_keeps_every_attribute(bocker, make_image, tmp_path, settings):
    """W4, W5: dot files, owners, modes, setuid, hard links, times, attributes, devices, odd names."""
    tree = tmp_path / "tree"
    awkward_tree(tree)
    image = make_image(tree)
    assert attributes(f"{settings.store}/{image}") == attributes(tree)


@pytest.mark.parametrize("name", ["empty", "-n", "with blank", "new\nline", "caf\udce9"])
def test_init_takes_any_directory(bocker, make_image, tmp_path, name):
    """W6: an empty one, and any name."""
    directory = os.path.join(os.fspath(tmp_path), name)
    os.mkdir(os.fsencode(directory))
    result = bocker("init", directory) if not name.startswith("-") else bocker("init", "--", name, cwd=tmp_path)
    assert result.code == 0, result
    assert bocker("rm", result.out.split()[-1]).code == 0


def test_init_refuses_what_is_no_directory(bocker, tmp_path):
    """The original's words, exit code 1, and nothing made."""
    file = tmp_path / "file"
    file.write_text("x")
    for path in (str(file), str(tmp_path / "missing")):
        result = bocker("init", path)
        assert (result.code, result.err.splitlines()[0]) == (1, f"No directory named '{path}' exists")
    assert bocker("images", "-q").out == ""


def test_init_with_a_tag(bocker, make_image, busybox_root):
    """The tag names the image wherever an id goes, and goes over to the next that asks for it."""
    image = make_image(busybox_root, "-t", "small:1")
    assert bocker("run", "--rm", "small:1", "/bin/echo", "x").out == "x\n"
    later = make_image(busybox_root, "-t", "small:1")
    assert bocker("rm", "small:1").out == f"Removed: {later}\n"
    assert bocker("run", "--rm", image, "/bin/echo", "x").out == "x\n"


def test_commit_makes_and_replaces(bocker, image, settings):
    """W12, D6: a new name makes an image; an existing one is replaced, its id stays."""
    bocker("run", "--name", "worker", image, "/bin/sh", "-c", "echo one > /made")
    made = bocker.created("commit", "worker", "made:1")
    assert bocker("run", "--rm", "made:1", "/bin/cat", "/made").out == "one\n"
    bocker("run", "--name", "again", "made:1", "/bin/sh", "-c", "echo two >> /made")
    replaced = bocker("commit", "again", "made:1")
    assert replaced.out.splitlines() == [f"Removed: {made}", f"Created: {made}"]
    assert bocker("run", "--rm", made, "/bin/cat", "/made").out == "one\ntwo\n"
    assert bocker("run", "--rm", image, "/bin/sh", "-c", "[ -e /made ] || echo clean").out == "clean\n"
    for name in ("worker", "again", made):
        assert bocker("rm", name).code == 0


@pytest.mark.parametrize(
    "words",
    [["..", "IMG"], [".", "IMG"], ["path", "IMG"], ["5", "IMG"], ["ps_.*", "IMG"], ["IMG", "IMG"], ["none", "IMG"]],
)
def test_commit_of_what_is_no_container_changes_nothing(bocker, image, settings, words):
    """D4, D5, D8: the image is as it was."""
    before = attributes(f"{settings.store}/{image}")
    result = bocker("commit", *[image if word == "IMG" else word for word in words])
    assert result.code == 1
    assert attributes(f"{settings.store}/{image}") == before
    assert bocker("images", "-q").out.split() == [image]


def test_commit_of_a_running_container(bocker, image, running):
    """It goes on running."""
    name = running(image)
    bocker("exec", name, "/bin/sh", "-c", "echo here > /here")
    made = bocker.created("commit", name, "snap:1")
    assert bocker("run", "--rm", made, "/bin/cat", "/here").out == "here\n"
    assert bocker("exec", name, "/bin/true").code == 0
    bocker("rm", made)


def test_D7_D11_nested_subvolumes_are_refused_by_name_and_removed_with_their_container(bocker, image, settings):
    """A snapshot would drop them without a word."""
    bocker("run", "--name", "nest", image, "/bin/true")
    container = bocker("ps", "-q").out.strip()
    subprocess.run(["btrfs", "-q", "subvolume", "create", f"{settings.store}/{container}/inner"], check=True)
    subprocess.run(["btrfs", "-q", "subvolume", "create", f"{settings.store}/{container}/inner/deep"], check=True)
    result = bocker("commit", "nest", "nested:1")
    assert result.code == 1
    assert "inner" in result.err
    assert bocker("rm", "nest").code == 0
    assert not os.path.lexists(f"{settings.store}/{container}")


def test_D12_a_full_disk_leaves_no_image(bocker, elsewhere, busybox_root, tmp_path):
    """`init` of more than fits: an error, no image, and the space is there again."""
    assert bocker("setup", "--size", "256M", environment=elsewhere).code == 0
    small = bocker("init", str(busybox_root), environment=elsewhere).out.split()[-1]
    tree = tmp_path / "big"
    tree.mkdir()
    for number in range(5):
        (tree / f"data{number}").write_bytes(os.urandom(64 << 20))
    result = bocker("init", str(tree), environment=elsewhere)
    assert result.code == 1
    assert "space" in result.err.lower()
    assert bocker("images", "-q", environment=elsewhere).out.split() == [small]
    assert bocker("cleanup", environment=elsewhere).out == "Nothing to clean up\n"
    again = bocker("run", "--rm", small, "/bin/echo", "works", environment=elsewhere)
    assert again.out == "works\n", again
    assert bocker("setup", "--undo", "--delete-data", environment=elsewhere).code == 0

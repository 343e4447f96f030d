"""`bocker rm` and `bocker cleanup` on the real kernel."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.patience import patience
from tests.system import groups
from tests.system.waiting import wait_until


def test_what_names_nothing_removes_nothing(bocker, image, settings):
    """D1, W10, W11: the words that deleted the host's /var."""
    before = sorted(os.listdir(settings.store))
    for word in (
        "..",
        ".",
        "",
        "img_",
        "ps_",
        "5",
        "path",
        ".*",
        "../x",
        "[",
        "-v",
        "img_4299",
        "/",
        "img_42002/../..",
    ):
        result = bocker("rm", "--", word)
        assert result.code == 1, word
    assert sorted(os.listdir(settings.store)) == before


def test_several_at_once(bocker, image):
    """U5: every word, a line each."""
    for name in ("one", "two", "three"):
        bocker("run", "--name", name, image, "/bin/true")
    ids = bocker("ps", "-q").out.split()
    assert bocker("rm", "one", ids[1], "three").out.splitlines() == [f"Removed: {container}" for container in ids]
    assert bocker("ps", "-q").out == ""


def test_a_running_container_is_refused_and_forced(bocker, image, running, settings):
    """D10: its process does not outlive it."""
    name = running(image)
    refused = bocker("rm", name)
    assert refused.code == 1
    assert "-f" in refused.err
    assert bocker("exec", name, "/bin/true").code == 0
    container = bocker("ps", "-q").out.strip()
    assert bocker("rm", "-f", name).out == f"Removed: {container}\n"
    for directory in groups.directories(settings.cgroup_parent):
        assert os.path.exists(directory)
        assert not os.path.exists(f"{directory}/{container}")
    assert not os.path.lexists(f"{settings.store}/{container}")


def test_an_image_may_go_while_containers_stay(bocker, busybox_root):
    """They are snapshots of their own."""
    image = bocker.created("init", str(busybox_root))
    bocker("run", "--name", "orphan", image, "/bin/true")
    assert bocker("rm", image).code == 0
    made = bocker.created("commit", "orphan", "back:1")
    assert bocker("run", "--rm", made, "/bin/echo", "x").out == "x\n"
    bocker("rm", "orphan", made)


def test_cleanup_of_nothing(bocker, image):
    """It says so, and touches nothing."""
    assert bocker("cleanup").out == "Nothing to clean up\n"
    assert bocker("images", "-q").out.split() == [image]


@pytest.mark.parametrize("moment", range(6))
def test_cleanup_after_a_kill_at_any_moment(bocker, image, start, settings, moment):
    """L1, L3: a killed engine's leftovers go, `cleanup` twice changes nothing, and ids are usable."""
    engine = start("run", "--name", "doomed", image, "/bin/sleep", "30")
    try:
        engine.wait(0.004 * (moment + 1))
    except subprocess.TimeoutExpired:
        pass
    engine.kill()
    engine.wait()
    bocker("cleanup")
    assert bocker("cleanup").out == "Nothing to clean up\n"
    for container in bocker("ps", "-q").out.split():
        assert bocker("rm", container).code == 0
    assert [name for name in os.listdir(settings.store) if name.startswith("ps_")] == []
    assert bocker("run", "--rm", image, "/bin/echo", "again").out == "again\n"


def test_cleanup_keeps_what_was_written_just_now_although_the_record_is_empty(bocker, image, settings):
    """Its size is not on disk yet: whether somebody wrote files is asked after a sync."""
    bocker("run", "--name", "web", image, "/bin/sh", "-c", "echo data > /mine")
    (container,) = bocker("ps", "-q").out.split()
    os.truncate(f"{settings.store}/.meta/containers/{container}", 0)
    assert bocker("cleanup").out == f"Repaired: the record of {container}\n"
    with open(f"{settings.store}/{container}/mine") as file:
        assert file.read() == "data\n"
    assert bocker("rm", container).code == 0


def test_cleanup_leaves_what_is_not_ours(bocker, image, settings):
    """A link, a subvolume and a group of somebody else's stay."""
    subprocess.run(["ip", "link", "add", "veth0_mine", "type", "veth", "peer", "veth1_mine"], check=True)
    subprocess.run(["btrfs", "-q", "subvolume", "create", f"{settings.store}/mine"], check=True)
    try:
        bocker("cleanup")
        assert os.path.isdir(f"{settings.store}/mine")
        subprocess.run(["ip", "link", "show", "veth0_mine"], check=True, capture_output=True)
    finally:
        subprocess.run(["ip", "link", "del", "veth0_mine"], check=True)
        subprocess.run(["btrfs", "-q", "subvolume", "delete", f"{settings.store}/mine"], check=True)


def test_rm_force_from_two_sides(bocker, image, running, start):
    """Two at once: the container goes, and neither hangs."""
    name = running(image)
    first, second = start("rm", "-f", name), start("rm", "-f", name)
    assert 0 in {first.wait(patience(20)), second.wait(patience(20))}
    wait_until(lambda: bocker("ps", "-q").out == "")

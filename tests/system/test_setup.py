"""`bocker setup` on the real kernel: a second host beside the sandbox's own, by its settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.patience import patience
from tests.system.program import FORWARDING


def world(names: dict[str, str]) -> tuple[str, ...]:
    """What setup may change, as text; loop devices are the machine's, so only our own of them."""
    addresses = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True).stdout
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    files = subprocess.run(
        ["losetup", "-l", "-n", "-O", "BACK-FILE"], capture_output=True, text=True, check=True
    ).stdout
    loops = [file for file in files.splitlines() if names["BOCKER_STATE"] in file]
    mounts = [
        line.split()[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if names["BOCKER_STORE"] in line
    ]
    paths = tuple(os.path.lexists(names[name]) for name in ("BOCKER_STORE", "BOCKER_STATE"))
    links = sorted(
        line.split()[1] + line.split()[3] for line in addresses.splitlines() if "bridge" in line and "inet " in line
    )
    return (str(links), tables, str(loops), str(mounts), Path(FORWARDING).read_text(), str(paths))


def test_setup_makes_it_all_and_undo_takes_it_back(bocker, elsewhere, busybox_root):
    """From nothing to a container, and back to nothing."""
    before = world(elsewhere)
    assert bocker("setup", "--check", environment=elsewhere).code == 1
    unready = bocker("run", "img_42002", "/bin/true", environment=elsewhere)
    assert unready.code == 125
    assert "setup" in unready.err
    made = bocker("setup", "--size", "512M", environment=elsewhere)
    assert made.code == 0, made
    assert bocker("setup", "--check", environment=elsewhere).code == 0
    assert world(elsewhere)[2] == str([f"{elsewhere['BOCKER_STATE']}/btrfs.img"])
    image = bocker("init", str(busybox_root), environment=elsewhere).out.split()[-1]
    ran = bocker("run", "--rm", image, "/bin/sh", "-c", "ip -4 addr show eth0", environment=elsewhere)
    assert "inet 10.7.0.2/28" in ran.out, ran
    refused = bocker("setup", "--undo", environment=elsewhere)
    assert bocker("setup", "--undo", "--delete-data", environment=elsewhere).code == 0, refused
    assert world(elsewhere) == before


def test_setup_twice_changes_nothing(bocker, elsewhere):
    """What is there is left as it is."""
    assert bocker("setup", "--size", "256M", environment=elsewhere).code == 0
    between = world(elsewhere)
    assert bocker("setup", environment=elsewhere).code == 0
    assert world(elsewhere) == between
    assert bocker("setup", "--undo", "--delete-data", environment=elsewhere).code == 0


def test_a_small_pool_fills_and_says_so(bocker, elsewhere, busybox_root):
    """L5: a /28 has 13 containers; the fourteenth is refused in one line, and one free id is found."""
    assert bocker("setup", "--size", "512M", environment=elsewhere).code == 0
    image = bocker("init", str(busybox_root), environment=elsewhere).out.split()[-1]
    for _ in range(13):
        assert bocker("run", image, "/bin/true", environment=elsewhere).code == 0
    full = bocker("run", image, "/bin/true", environment=elsewhere)
    assert full.code == 125
    assert "13" in full.err
    assert len(bocker("ps", "-q", environment=elsewhere).out.split()) == 13
    assert bocker("rm", "ps_42005", environment=elsewhere).code == 0
    assert bocker("run", "--rm", image, "/bin/echo", "found", environment=elsewhere).out == "found\n"
    assert bocker("setup", "--undo", "--delete-data", environment=elsewhere).code == 0


def test_undo_refuses_while_a_container_runs(bocker, elsewhere, busybox_root, start):
    """Nothing is taken from under it."""
    assert bocker("setup", "--size", "512M", environment=elsewhere).code == 0
    image = bocker("init", str(busybox_root), environment=elsewhere).out.split()[-1]
    engine = start("run", "--rm", image, "/bin/probe", "echo", "ready", ",", "sleep", "30", environment=elsewhere)
    assert engine.stdout.readline() == b"ready\n"
    refused = bocker("setup", "--undo", environment=elsewhere)
    assert refused.code == 1
    assert "run" in refused.err
    container = bocker("ps", "-q", environment=elsewhere).out.strip()
    assert bocker("rm", "-f", container, environment=elsewhere).code == 0
    engine.wait(patience(10))
    assert bocker("setup", "--undo", "--delete-data", environment=elsewhere).code == 0


def test_a_host_prepared_by_hand_is_used_as_it_is(bocker, elsewhere, busybox_root, tmp_path):
    """A bridge with an address of its own: that is the gateway, and its subnet the pool."""
    subprocess.run(["ip", "link", "add", "bridge_t", "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", "10.9.0.254/24", "dev", "bridge_t"], check=True)
    subprocess.run(["ip", "link", "set", "bridge_t", "up"], check=True)
    assert bocker("setup", "--size", "512M", environment=elsewhere).code == 0
    image = bocker("init", str(busybox_root), environment=elsewhere).out.split()[-1]
    ran = bocker("run", "--rm", image, "/bin/ip", "route", environment=elsewhere)
    assert "default via 10.9.0.254" in ran.out, ran
    assert bocker("setup", "--undo", "--delete-data", environment=elsewhere).code == 0
    assert (
        "10.9.0.254"
        in subprocess.run(["ip", "addr", "show", "bridge_t"], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.parametrize("subnet", ["10.0.0.0/31", "10.0.0.0/8", "10.0.0.1/24", "x", "10.0.0.0", "300.0.0.0/24"])
def test_a_bad_subnet_is_refused_before_anything_is_made(bocker, elsewhere, subnet):
    """Usage, and the world as it was."""
    before = world(elsewhere)
    assert bocker("setup", "--subnet", subnet, environment={**elsewhere, "BOCKER_SUBNET": "10.7.0.0/28"}).code in {1, 2}
    assert world(elsewhere) == before

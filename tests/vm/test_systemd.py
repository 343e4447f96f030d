"""bocker beside systemd, in one hierarchy of control groups: limits hold, and reloading takes nothing away."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.program import Bocker
from tests.vm.units import group_of, start, systemctl

LIMITS = ("--memory", "64m", "--cpu-shares", "1024", "--pids-limit", "40")
FILES = {"cpu.weight": "100", "memory.max": str(64 << 20), "pids.max": "40"}
RELOADS = {
    "nothing": (),
    "daemon-reload": (("systemctl", "daemon-reload"),),
    "daemon-reexec": (("systemctl", "daemon-reexec"),),
    "the last unit with a weight stops": (
        ("systemd-run", "--quiet", "--wait", "--property=CPUWeight=50", "/bin/true"),
        ("systemctl", "daemon-reload"),
    ),
}


@pytest.fixture(scope="module")
def container(bocker: Bocker, image: str) -> Iterator[str]:
    start(bocker, "limited", *LIMITS, image, "/bin/sleep", "3600")
    yield "limited"
    assert bocker("rm", "-f", "limited").code == 0


def limits_of(group: str) -> dict[str, str]:
    return {name: Path(group, name).read_text().strip() for name in FILES}


def test_the_host_is_set_up_and_stays_so(bocker: Bocker) -> None:
    """The unit has run and will at the next boot; setting up again changes nothing."""
    assert systemctl("is-enabled", "bocker.service") == "enabled"
    assert systemctl("is-active", "bocker.service") == "active"
    checked = bocker("setup", "--check")
    assert checked.code == 0, checked
    assert "version 2: cpu, memory, pids, devices" in checked.out
    assert "/dev/vd" in checked.out
    assert bocker("setup").out == ""


@pytest.mark.parametrize("what", RELOADS)
def test_limits_outlive(what: str, bocker: Bocker, container: str, image: str) -> None:
    """Those of a container that runs, and the next one gets its own."""
    for command in RELOADS[what]:
        subprocess.run(command, check=True)
    assert limits_of(group_of(bocker, container)) == FILES
    assert bocker("exec", container, "/bin/cat", "/sys/fs/cgroup/cpu.weight").out == "100\n"
    shown = bocker("run", "--rm", "--cpu-shares", "200", image, "/bin/cat", "/sys/fs/cgroup/cpu.weight")
    assert shown.out == "29\n", shown


def test_devices_stay_closed(bocker: Bocker, container: str) -> None:
    """After systemd has looked at the groups again; a node may be made, as in docker, and not be opened."""
    subprocess.run(("systemctl", "daemon-reload"), check=True)
    words = "mknod /tmp/disk b 254 0 && (: < /tmp/disk) 2>/dev/null && echo opened; (: < /dev/null) && echo null"
    assert bocker("exec", container, "/bin/sh", "-c", words).out == "null\n"


def test_the_memory_limit_kills_and_says_so(bocker: Bocker, image: str) -> None:
    words = ("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=60M", "count=1")
    killed = bocker("run", "--rm", "--memory", "20m", image, *words)
    assert killed.code == 137
    assert "out of memory" in killed.err


def test_the_limit_on_processes_holds(bocker: Bocker, image: str) -> None:
    words = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo never"
    refused = bocker("run", "--rm", "--pids-limit", "5", image, "/bin/sh", "-c", words)
    assert "never" not in refused.out
    assert "fork" in refused.err


def test_a_unit_that_stops_ends_its_container_in_order(bocker: Bocker, image: str) -> None:
    """systemd sends SIGTERM to the engine, which passes it on; nothing is left."""
    start(bocker, "stopped", image, "/bin/probe", "trap", "15", "7", ",", "sleep", "3600")
    group = group_of(bocker, "stopped")
    systemctl("stop", "vm-stopped.service")
    assert not Path(group).exists()
    assert "(7)" in bocker("ps", "-a", "--format", "{{.Names}} {{.Status}}").out
    assert bocker("rm", "stopped").code == 0

"""Containers that systemd starts, as a person's unit would: `bocker run` in the foreground."""

from __future__ import annotations

import subprocess

from tests.system.program import Bocker
from tests.system.waiting import wait_until


def systemctl(*words: str) -> str:
    return subprocess.run(("systemctl", *words), check=True, capture_output=True, text=True).stdout.strip()


def start(bocker: Bocker, name: str, *words: str) -> None:
    """Run a container in a unit of its own, and wait until its program answers."""
    order = ("--property=After=bocker.service", "--property=TimeoutStopSec=10")  # it ends before the store's mount
    unit = ("systemd-run", "--quiet", "--collect", f"--unit=vm-{name}", *order)
    subprocess.run((*unit, bocker.launcher, "run", "--name", name, *words), check=True)
    wait_until(lambda: bocker("exec", name, "/bin/true").code == 0)


def group_of(bocker: Bocker, name: str) -> str:
    """Return the directory of a container's group."""
    row = next(line for line in bocker("ps", "--format", "{{.ID}} {{.Names}}").out.splitlines() if line.endswith(name))
    return f"/sys/fs/cgroup/bocker/{row.split()[0]}"

"""What is there when the machine goes down: `test_after_reboot` looks for it."""

from __future__ import annotations

from tests.system.program import Bocker
from tests.vm.units import start


def test_containers_run_and_have_ended(bocker: Bocker, image: str) -> None:
    assert bocker("run", "--name", "ended", image, "/bin/sh", "-c", "echo kept > /file; exit 5").code == 5
    start(bocker, "ran", image, "/bin/sh", "-c", "echo kept > /file; sync; exec sleep 3600")
    rows = bocker("ps", "-a", "--format", "{{.Names}} {{.State}}").out.splitlines()
    assert {"ended exited", "ran running"} <= set(rows)

"""The machine was rebooted with containers present: what `ps` says is true, and everything works again."""

from __future__ import annotations

from tests.system.program import Bocker
from tests.vm.units import systemctl


def test_the_boot_has_set_the_host_up(bocker: Bocker) -> None:
    assert systemctl("is-active", "bocker.service") == "active"
    assert bocker("setup", "--check").code == 0
    assert bocker("setup").out == ""


def test_ps_tells_the_truth(bocker: Bocker) -> None:
    """Who ran is dead, by no code of its own; who had ended, had ended."""
    rows = set(bocker("ps", "-a", "--format", "{{.Names}} {{.State}}").out.splitlines())
    assert {"ended exited", "ran dead"} <= rows
    assert not [row for row in rows if row.endswith("running")]


def test_files_are_there_and_containers_start_again(bocker: Bocker, image: str) -> None:
    for name in ("ended", "ran"):
        made = bocker.created("commit", name, f"vm:{name}")
        assert bocker("run", "--rm", made, "/bin/cat", "/file").out == "kept\n"
        assert bocker("rm", name, made).code == 0
    shown = bocker("run", "--rm", image, "/bin/ping", "-c", "1", "-w", "5", "10.0.0.1")
    assert shown.code == 0, shown
    assert bocker("ps", "-a", "-q").out == ""

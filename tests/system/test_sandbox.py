"""The sandbox's own house-keeping, on directories that stand for control groups."""

from __future__ import annotations

import os

from tests.system import sandbox, world

NOBODY = 2**22 + 1  # above the highest number that a process can have


def test_groups_of_killed_sandboxes_go(tmp_path, monkeypatch):
    """The parent, those of the contracts' worlds beside it, and what is in them; not those of who still runs."""
    monkeypatch.setattr(world, "GROUPS", os.fspath(tmp_path))
    kept = (f"cpu/bocker-test-{os.getpid()}-x", f"cpu/bocker-test-{os.getpid()}", "cpu/bocker-test-x", "cpu/other-1")
    for path in (f"cpu/bocker-test-{NOBODY}/ps_1", f"memory/bocker-test-{NOBODY}-_x/ps_1/inner", *kept):
        os.makedirs(tmp_path / path)
    sandbox.sweep_killed()
    assert sorted(os.listdir(tmp_path / "cpu")) == sorted(path.removeprefix("cpu/") for path in kept)
    assert os.listdir(tmp_path / "memory") == []


def test_a_group_that_somebody_lives_in_stays(tmp_path, monkeypatch):
    """A file stands for the process: the kernel refuses with EBUSY, a directory with ENOTEMPTY."""
    monkeypatch.setattr(world, "GROUPS", os.fspath(tmp_path))
    os.makedirs(tmp_path / f"cpu/bocker-test-{NOBODY}/ps_1")
    (tmp_path / f"cpu/bocker-test-{NOBODY}/ps_1/process").touch()
    sandbox.sweep_killed()
    assert os.listdir(tmp_path / f"cpu/bocker-test-{NOBODY}") == ["ps_1"]

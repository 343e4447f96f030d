"""The sandbox's own house-keeping, and what the tests see when they look around."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

from tests.system import sandbox, side_by_side, world

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


def test_the_look_around_sees_what_the_tools_see(settings, kernel, tmp_path):
    """It asks the kernel itself: what it says is what btrfs, losetup and nft list, however much there is."""
    before = world.look(settings)
    names = [f"seen-{number}" for number in range(100)]  # more than one answer of the kernel's holds
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    for name in (*names, "seen-0/inner"):
        run("btrfs", "-q", "subvolume", "create", f"{settings.store}/{name}")
    run("truncate", "--size", "128M", str(image))
    run("mkfs.btrfs", "--quiet", str(image))
    run("mount", "-o", "loop", str(image), str(mounted))
    run("nft", "add", "table", "ip", "looked_at")
    seen = world.look(settings)
    listed = run("btrfs", "subvolume", "list", "-a", settings.store).splitlines()
    assert (
        world.loop_device_of(str(image)) == run("findmnt", "--noheadings", "--output", "SOURCE", str(mounted)).strip()
    )
    ruleset = run("nft", "list", "ruleset").splitlines()
    run("nft", "delete", "table", "ip", "looked_at")
    run("umount", str(mounted))
    for name in ("seen-0/inner", *names):
        kernel.storage.delete(name)
    assert len(seen["subvolume"]) == len(listed) >= 101
    assert {entry.split()[0] for entry in seen["subvolume"] - before["subvolume"]} == {*names, "inner"}
    assert seen["loop device"] - before["loop device"] == {f"1 of {image}"}
    assert seen["firewall rule"] == frozenset(ruleset)
    assert "table ip looked_at {" in seen["firewall rule"] - before["firewall rule"]


def test_a_loop_device_is_known_by_its_file(settings, tmp_path):
    """Its number is the machine's: what is unmounted and mounted again may have another one, and is the same."""
    image, other, mounted = tmp_path / "image", tmp_path / "other", tmp_path / "mounted"
    mounted.mkdir()
    run("truncate", "--size", "128M", str(image), str(other))
    run("mkfs.btrfs", "--quiet", str(image))
    run("mount", "-o", "loop", str(image), str(mounted))
    before = world.look(settings, "loop device")
    run("umount", str(mounted))
    taken = run("losetup", "--find", "--show", str(other)).strip()
    run("mount", "-o", "loop", str(image), str(mounted))
    after = world.look(settings, "loop device")
    run("umount", str(mounted))
    run("losetup", "--detach", taken)
    assert world.difference(before, after) == [f"loop device left: 1 of {other}"]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


ONE_OF_TWO = """
import os, sys
number = 0
while True:
    try:
        os.mkdir(os.path.join(os.environ["BOCKER_TEST_CLAIMS"], str(number)))
        break
    except FileExistsError:
        number += 1
print(*sys.argv[1:], flush=True)
open(os.environ["BOCKER_TEST_RESULTS"] + os.environ["BOCKER_TEST_SANDBOX"], "x")
sys.exit(int(sys.argv[1 + number]))
"""


@pytest.mark.parametrize(("codes", "code"), [(("0", "0"), 0), (("3", "0"), 3), (("0", "3"), 3)])
def test_sandboxes_side_by_side_share_what_they_take(monkeypatch, capfd, tmp_path, codes, code):
    """Both run the command and are seen, each with its number; who fails makes it fail, and nothing is left."""
    monkeypatch.setattr(side_by_side, "SANDBOX", [sys.executable, "-c", ONE_OF_TWO])
    monkeypatch.setattr(sandbox, "fetch_materials", dict)
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path))
    monkeypatch.setenv("BOCKER_TEST_RESULTS", f"{tmp_path}/result-")
    assert side_by_side.main(["2", "--", *codes]) == code
    assert capfd.readouterr().out == 2 * f"{' '.join(codes)}\n"
    assert sorted(os.listdir(tmp_path)) == ["result-0", "result-1"]

"""`bocker ps` and `bocker images`: the original's columns, and what scripts read."""

from __future__ import annotations

import json
import subprocess

from tests.patience import patience


def test_two_columns_where_no_terminal_is(bocker, image, busybox_root):
    """The header first, two tabs between, every container whether it runs or not."""
    bocker("run", "--name", "listed", image, "/bin/sh", "-c", "echo  a")
    container = bocker("ps", "-q").out.strip()
    assert bocker("ps").out == f"CONTAINER_ID\t\tCOMMAND\n{container}\t\t/bin/sh -c echo  a\n"
    assert bocker("images").out == f"IMAGE_ID\t\tSOURCE\n{image}\t\t{busybox_root}\n"
    bocker("rm", "listed")


def test_scripts_for_the_original_keep_working(bocker, busybox_root):
    """The lines that its own tests were made of."""
    script = f"""
        set -e
        IMG=$({bocker.launcher} init {busybox_root} | awk '{{print $2}}')
        {bocker.launcher} images | grep -qw "$IMG"
        {bocker.launcher} run "$IMG" echo "hello from a script" >/dev/null
        PS=$({bocker.launcher} ps | grep 'hello from a script' | awk '{{print $1}}')
        {bocker.launcher} logs "$PS"
        {bocker.launcher} rm "$PS"
        {bocker.launcher} rm "$IMG"
    """
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=patience(60), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "hello from a script"
    assert done.stdout.splitlines()[1].startswith("Removed: ps_")
    assert done.stdout.splitlines()[2].startswith("Removed: img_")


def test_states(bocker, image, running):
    """Running, exited with a code; as JSON, one object a line."""
    name = running(image)
    bocker("run", "--name", "seven", image, "/bin/sh", "-c", "exit 7")
    rows = {row["Names"]: row for row in map(json.loads, bocker("ps", "--format", "json").out.splitlines())}
    assert rows[name]["State"] == "running"
    assert rows[name]["Status"].startswith("Up ")
    assert rows["seven"]["State"] == "exited"
    assert rows["seven"]["Status"].startswith("Exited (7)")
    bocker("rm", "seven")


def test_S13_a_command_can_not_drive_the_terminal(bocker, image):
    """Escapes, tabs and newlines are shown, not sent."""
    bocker("run", "--name", "esc", image, "/bin/echo", "\x1b[2J\nps_49999\t\tforged\x07")
    out = bocker("ps").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
    assert "\\x1b[2J" in out
    bocker("rm", "esc")


def test_W21_only_records_are_listed(bocker, image, settings):
    """A subvolume of somebody else's in the store is no image."""
    subprocess.run(["btrfs", "-q", "subvolume", "create", f"{settings.store}/img_notours"], check=True)
    try:
        assert bocker("images", "-q").out.split() == [image]
    finally:
        subprocess.run(["btrfs", "-q", "subvolume", "delete", f"{settings.store}/img_notours"], check=True)


def test_a_closed_pipe_is_quiet(bocker, image):
    """`bocker images | true` says nothing."""
    done = subprocess.run(["/bin/sh", "-c", f"{bocker.launcher} images | true"], capture_output=True, check=False)
    assert done.stderr == b""

"""What /proc/PID/stat says, proc_pid_stat(5)."""

from __future__ import annotations

from pathlib import Path


def state_of(pid: int) -> str:
    """Return the letter of a process's state: S sleeps, Z is a zombie."""
    return _fields(pid)[0]


def parent_of(pid: int) -> int:
    """Return the pid of a process's parent."""
    return int(_fields(pid)[1])


def _fields(pid: int) -> list[str]:
    """Return what stands behind the name, in which there may be anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

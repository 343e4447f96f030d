"""What /proc tells of processes and of this boot."""

from __future__ import annotations

from bocker.linux.files import read_file

_boot_id = ""
_DEAD = frozenset({b"Z", b"X", b"x"})


def boot_id() -> str:
    """Return the kernel's word for this boot, random(4)."""
    global _boot_id
    if not _boot_id:
        _boot_id = read_file("/proc/sys/kernel/random/boot_id").decode().strip()
    return _boot_id


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks after the boot; None when it is gone or a zombie.

    Field 22 of /proc/PID/stat, proc_pid_stat(5), counted after the name, which may hold anything.
    """
    try:
        fields = read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in _DEAD else int(fields[19])

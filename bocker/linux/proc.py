"""What /proc tells of processes and of this boot."""

from __future__ import annotations

from bocker.linux.files import read_file

_boot_id = ""
_DEAD = frozenset({b"Z", b"X", b"x"})
# Fields 3, 9, 20 and 22, counted after the name, which may hold anything.
_STATE, _FLAGS, _THREADS, _START = 0, 6, 17, 19
_EXITING = 0x4  # PF_EXITING of the kernel's `sched.h`


def boot_id() -> str:
    """Return the kernel's word for this boot, random(4)."""
    global _boot_id
    if not _boot_id:
        _boot_id = read_file("/proc/sys/kernel/random/boot_id").decode().strip()
    return _boot_id


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks after the boot; None when it is gone, a zombie or about to be one:
    proc_pid_stat(5).

    The first process of a pid namespace waits in its exit until all others are reaped: pid_namespaces(7). A first
    thread that has ended is no end while others run.
    """
    try:
        fields = read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    ended = fields[_STATE] in _DEAD or int(fields[_FLAGS]) & _EXITING
    return None if ended and int(fields[_THREADS]) < 2 else int(fields[_START])

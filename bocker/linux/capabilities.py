"""Capabilities by name, capabilities(7); the number of each is its place in this list."""

from __future__ import annotations

import errno
import os

from bocker.linux import syscalls

NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
).split()
_HIGHEST = 63


def mask_of(names: tuple[str, ...]) -> int:
    """Return the bit mask of capabilities by name; raise ValueError for an unknown one."""
    return sum(1 << NAMES.index(name) for name in names)


def bound_to(mask: int) -> int:
    """Drop all but `mask` from the bounding set for ever; return what of `mask` this process has.

    The kernel tells its highest capability by refusing the next one. Needs CAP_SETPCAP.
    """
    for number in range(_HIGHEST):
        if not mask >> number & 1:
            try:
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                break
    return mask & syscalls.permitted_capabilities()


def limit_to(mask: int) -> None:
    """Keep the capabilities in `mask`, as far as root has them; none for another user.

    Inheritable and ambient sets are emptied.
    """
    held = bound_to(mask) if os.geteuid() == 0 else 0
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    syscalls.capset(held, held, 0)

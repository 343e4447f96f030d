"""The mounts of this mount namespace, as /proc/self/mountinfo lists them (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os

from bocker.core.value import Value
from bocker.linux.files import read_file

MOUNTINFO = "/proc/self/mountinfo"


class Mounted(Value):
    """One line: flags are the mount's own, options those of its file system."""

    device: int
    target: str
    flags: tuple[str, ...]
    kind: str
    source: str
    options: tuple[str, ...]


def mounts(only_kind: bytes = b"", path: str = MOUNTINFO) -> tuple[Mounted, ...]:
    """Return the mounts, the newest last, or those whose file system's type begins with `only_kind`."""
    marked = b" - " + only_kind
    return tuple(_parse(line) for line in read_file(path).splitlines() if marked in line)


def _parse(line: bytes) -> Mounted:
    head, _, tail = line.partition(b" - ")
    fields = head.split(b" ")
    kind, source, options = [*tail.split(b" "), b"", b""][:3]
    major, minor = fields[2].split(b":")
    return Mounted(
        os.makedev(int(major), int(minor)),
        _unescaped(fields[4]),
        _words(fields[5]),
        os.fsdecode(kind),
        _unescaped(source),
        _words(options),
    )


def _words(field: bytes) -> tuple[str, ...]:
    return tuple(os.fsdecode(field).split(","))


def _unescaped(field: bytes) -> str:
    r"""Blank, tab, newline and backslash stand there as three octal digits (`\040`)."""
    head, *parts = field.split(b"\\")
    return os.fsdecode(head + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in parts))

"""Small files, and the kernel's own files, in whole reads and single writes."""

from __future__ import annotations

import os


def read_file(path: str) -> bytes:
    """Return the whole of a small file; its size need not be known, as in /proc."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65_536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def write_file(path: str, data: bytes) -> None:
    """Write to a file of the kernel's in one write(2), so that its answer is seen; never make the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)

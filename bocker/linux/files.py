"""Files of the host: the kernel's own in single writes, bocker's own with a name only when they are whole."""

from __future__ import annotations

import os

FILE_MODE = 0o600
FOLDER_MODE = 0o700
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMELESS = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC


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


def make_folder(path: str) -> None:
    """Make a directory of mode 0700, whatever the umask, unless it is there."""
    try:
        os.mkdir(path, FOLDER_MODE)
    except FileExistsError:
        return
    os.chmod(path, FOLDER_MODE)


def opened(path: str, flags: int) -> int:
    """Open or create a file of mode 0600, whatever the umask."""
    fd = os.open(path, flags, FILE_MODE)
    if os.fstat(fd).st_mode & 0o777 != FILE_MODE:
        os.fchmod(fd, FILE_MODE)
    return fd


def nameless(folder: str) -> int:
    """Return a new file in a directory that has no name yet, open(2), O_TMPFILE: a kill leaves nothing of it."""
    return opened(folder, _NAMELESS)


def written(folder: str, data: bytes) -> int:
    """Return a file of that content that has no name yet."""
    fd = nameless(folder)
    try:
        write_all(fd, data)
    except OSError:
        os.close(fd)
        raise
    return fd


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it, in one write(2) if the kernel takes it so."""
    count = os.write(fd, data)
    while count < len(data):
        count += os.write(fd, data[count:])


def link(fd: int, path: str, durable: bool = False) -> None:
    """Give a nameless file its name, open(2). Python follows the link in /proc only when given a directory.

    With `durable` it keeps its content under that name over a power failure. An fsync(2) before is not
    enough: btrfs passed over files without a name when it wrote its log (Linux 6.1 does, 6.18 does not),
    and gives back an empty file, though the directory was synced after.
    """
    os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
    if durable:
        os.fsync(fd)


def linked(fd: int, path: str, durable: bool = False) -> bool:
    """Give a nameless file its name; tell whether that was free."""
    try:
        link(fd, path, durable)
    except FileExistsError:
        return False
    return True


def discard(path: str) -> None:
    """Remove a file, if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def sync_folder(folder: str) -> None:
    """Return when the names in a directory are on disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_from(fd: int, offset: int) -> bytes:
    """Return what a file has from `offset` to its end."""
    parts = []
    size = max(os.fstat(fd).st_size - offset, 0) + 1
    while part := os.pread(fd, size, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)

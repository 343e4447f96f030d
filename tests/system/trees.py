"""Trees of files with everything that a copy can lose, and what there is to compare."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
CHUNK_BYTES = 1 << 20
SECTOR_BYTES = 512


class Attributes(NamedTuple):
    """What must be the same in a copy. links: names of the file, None of a directory. first: the first of
    its names here. content: of a file its SHA-256, of a link its target, of a node its device."""

    mode: int
    uid: int
    gid: int
    modified_ns: int
    links: int | None
    first: bytes
    xattrs: tuple[tuple[str, bytes], ...]
    size: int | None
    content: object


def awkward_tree(root: Path) -> None:
    """Make a tree with each kind of file, odd names, and every attribute that tends to get lost."""
    root.mkdir()
    fill(root)


def fill(root: Path) -> None:
    """Make the awkward tree in a directory that is there."""
    (root / ".hidden").write_text("dot")
    (root / "dir").mkdir()
    (root / "dir/-n").write_text("a name like a flag")
    (root / "setuid").write_text("x")
    os.chown(root / "setuid", 1000, 1001)
    os.chmod(root / "setuid", 0o6751)
    os.link(root / "setuid", root / "dir/hard")
    os.symlink("/etc/passwd", root / "absolute")
    os.symlink("../outside", root / "dangling")
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.chmod(root / "null", 0o600)
    with open(os.fsencode(root) + b"/\xff\xfe bytes", "wb") as file:
        file.write(b"not UTF-8")
    with open(root / "sparse", "wb") as file:
        file.truncate(8 << 20)
    os.setxattr(root / "setuid", "user.note", b"kept")
    os.setxattr(root / "dir", "trusted.opaque", b"y")
    (root / "ping").write_text("x")
    os.setxattr(root / "ping", "security.capability", CAPABILITY)
    os.utime(root / "absolute", ns=(1_000_000_001, 1_000_000_002), follow_symlinks=False)
    os.utime(root / ".hidden", ns=(5, 1_234_567_890_123_456_789))
    os.chmod(root, 0o1775)
    os.chown(root, 0, 5)
    os.utime(root, ns=(7, 1_111_111_111_111_111_111))


def attributes(root: str | os.PathLike[str]) -> dict[bytes, Attributes]:
    """Return each entry below `root`, itself included, with all that must be the same in a copy."""
    base = os.fsencode(root)
    found: dict[bytes, Attributes] = {}
    first_names: dict[int, bytes] = {}
    for path in _walk(base):
        found[path[len(base) :]] = _entry(path, first_names, base)
    return found


def allocated(root: str | os.PathLike[str]) -> dict[bytes, int]:
    """Return how many bytes each file below `root` takes on the disk: what has holes takes less than its size."""
    base = os.fsencode(root)
    status = {path[len(base) :]: os.lstat(path) for path in _walk(base)}
    return {name: info.st_blocks * SECTOR_BYTES for name, info in status.items() if stat.S_ISREG(info.st_mode)}


def _walk(base: bytes) -> list[bytes]:
    paths = [base]
    for folder, names, files in os.walk(base):
        paths += [os.path.join(folder, name) for name in sorted(names + files)]
    return sorted(paths)


def _entry(path: bytes, first_names: dict[int, bytes], base: bytes) -> Attributes:
    info = os.lstat(path)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return Attributes(
        info.st_mode,
        info.st_uid,
        info.st_gid,
        info.st_mtime_ns,
        info.st_nlink if not stat.S_ISDIR(info.st_mode) else None,
        first_names.setdefault(info.st_ino, path[len(base) :]),
        tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names),
        info.st_size if stat.S_ISREG(info.st_mode) else None,
        _content(path, info),
    )


def _content(path: bytes, info: os.stat_result) -> object:
    if stat.S_ISREG(info.st_mode):
        return _digest(path)
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path)
    return info.st_rdev if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode) else None


def _digest(path: bytes) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

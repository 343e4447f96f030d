"""Trees of files with everything that a copy can lose, and what there is to compare."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def awkward_tree(root: Path) -> None:
    """Make a tree with each kind of file, odd names, and every attribute that tends to get lost."""
    root.mkdir()
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
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    (root / "ping").write_text("x")
    os.setxattr(root / "ping", "security.capability", capability)
    os.utime(root / "absolute", ns=(1_000_000_001, 1_000_000_002), follow_symlinks=False)
    os.utime(root / ".hidden", ns=(5, 1_234_567_890_123_456_789))
    os.chmod(root, 0o1775)
    os.chown(root, 0, 5)
    os.utime(root, ns=(7, 1_111_111_111_111_111_111))


def attributes(root: str | os.PathLike[str]) -> dict[bytes, tuple[object, ...]]:
    """Return each entry below `root`, itself included, with all that must be the same in a copy."""
    base = os.fsencode(root)
    found: dict[bytes, tuple[object, ...]] = {}
    first_names: dict[int, bytes] = {}
    for path in _walk(base):
        found[path[len(base) :]] = _entry(path, first_names, base)
    return found


def _walk(base: bytes) -> list[bytes]:
    paths = [base]
    for folder, names, files in os.walk(base):
        paths += [os.path.join(folder, name) for name in sorted(names + files)]
    return sorted(paths)


def _entry(path: bytes, first_names: dict[int, bytes], base: bytes) -> tuple[object, ...]:
    info = os.lstat(path)
    first = first_names.setdefault(info.st_ino, path[len(base) :])
    extended = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    content: object = None
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            content = hash(file.read())
    elif stat.S_ISLNK(info.st_mode):
        content = os.readlink(path)
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        content = info.st_rdev
    links = info.st_nlink if not stat.S_ISDIR(info.st_mode) else None
    return (
        info.st_mode,
        info.st_uid,
        info.st_gid,
        info.st_mtime_ns,
        links,
        first,
        tuple(sorted(extended.items())),
        content,
    )

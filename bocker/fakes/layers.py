"""A layer applied to a table of files: the OCI image specification, "Image Layer Filesystem Changeset"."""

from __future__ import annotations

import errno

import attrs

from bocker.core import tarstream
from bocker.core.tarstream import BadArchive
from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.files import LONGEST_NAME, MOST_LINKS, joined
from bocker.fakes.state import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, SUBVOLUME, SYMLINK, Entry
from bocker.kernel.archives import Bounds

WHITEOUT = ".wh."
META = ".wh..wh."
OPAQUE = ".wh..wh..opq"
LONGEST_PATH = 4096
STRETCH_BYTES = 1 << 16  # of zeros, from one of its multiples on, become a hole
BLOCK_BYTES = 1 << 12  # fewer zeros make none
KEPT = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
KINDS = {
    tarstream.DIRECTORY: DIRECTORY,
    tarstream.FILE: FILE,
    tarstream.SYMLINK: SYMLINK,
    tarstream.CHARACTER: CHARACTER,
    tarstream.BLOCK: BLOCK,
    tarstream.FIFO: FIFO,
}


class Tree:
    """The files below one directory, by path (`""` is the directory), while layers are applied to them.

    `made` are the paths that this layer brought; `next_inode` numbers a file's names once it has two.
    """

    def __init__(self, files: dict[str, Entry], next_inode: int) -> None:
        self.files = files
        self.made: set[str] = set()
        self.next_inode = next_inode

    def apply(self, archive: bytes, bounds: Bounds) -> int:
        """Apply an archive; return how many entries it has."""
        stream = stream_of(archive)
        count = size_bytes = 0
        while (entry := stream.next()) is not None:
            count += 1
            parts = [_text(part) for part in tarstream.components(entry.name)]
            size_bytes += entry.size_bytes if entry.kind == tarstream.FILE else 0
            if count > bounds.entries or len(parts) > bounds.depth:
                raise Refused(errno.E2BIG)
            if size_bytes > bounds.size_bytes:
                raise Refused(errno.EFBIG)
            self._apply(parts, entry, stream)
        return count

    def _apply(self, parts: list[str], entry: tarstream.Entry, stream: tarstream.TarStream) -> None:
        if not any(part.startswith(WHITEOUT) for part in parts):
            self._write(parts, entry, stream)
        elif parts[-1] == OPAQUE or not any(part.startswith(META) for part in parts):
            self._white_out(parts)

    def _write(self, parts: list[str], entry: tarstream.Entry, stream: tarstream.TarStream) -> None:
        if not parts and entry.kind != tarstream.DIRECTORY:
            raise BadArchive("a root that is no directory")
        if any(len(part.encode("utf-8", "surrogateescape")) > LONGEST_NAME for part in parts):
            raise Refused(errno.ENAMETOOLONG)
        path = joined(self._directory(parts[:-1]), parts[-1]) if parts else ""
        made = self._linked(entry) if entry.kind == tarstream.HARD_LINK else _made(entry, stream)
        self._put(path, made)

    def _put(self, path: str, made: Entry) -> None:
        there = self.files.get(path)
        same = there is not None and there.inode and there.inode == made.inode
        if there is not None and not same and not (there.kind == made.kind == DIRECTORY):
            self._drop(path)
        self.files[path] = made
        self.made.add(path)

    def _drop(self, path: str) -> None:
        for name in [name for name in self.files if name == path or name.startswith(f"{path}/")]:
            if self.files.pop(name).kind == SUBVOLUME:
                raise NotModelled("a subvolume in the way of a layer")

    def _linked(self, entry: tarstream.Entry) -> Entry:
        """Return the file that a hard link leads to; it and its new name share a number."""
        parts = [_text(part) for part in tarstream.components(entry.link)]
        try:
            path = joined(self._resolved(parts[:-1]), parts[-1]) if parts else ""
        except Refused:
            raise BadArchive("a hard link to what is no file") from None
        there = self.files.get(path)
        if there is None or there.kind == DIRECTORY:
            raise BadArchive("a hard link to what is no file")
        if not there.inode:
            self.next_inode += 1
            there = self.files[path] = attrs.evolve(there, inode=self.next_inode)
        return there

    def _directory(self, parts: list[str]) -> str:
        """Return the directory that names lead to, making what is not there of it."""
        for count in range(1, len(parts) + 1):
            try:
                self._resolved(parts[:count])
            except Refused:
                path = joined(self._resolved(parts[: count - 1]), parts[count - 1])
                if path in self.files:
                    raise BadArchive("a link that leads nowhere, and something is in it") from None
                self.files[path] = Entry(DIRECTORY, 0o755)
                self.made.add(path)
        return self._resolved(parts)

    def _resolved(self, parts: list[str], links_left: int = MOST_LINKS) -> str:
        """Return the path of an existing directory, links followed below the root: chroot(2)."""
        path = ""
        for number, name in enumerate(parts):
            if name == "..":
                path = path.rpartition("/")[0]
                continue
            there = self.files.get(joined(path, name))
            if there is None:
                raise Refused(errno.ENOENT)
            if there.kind == SYMLINK and links_left:
                start = [] if there.target.startswith("/") else path.split("/")
                words = [word for word in (*start, *there.target.split("/")) if word not in {"", "."}]
                return self._resolved([*words, *parts[number + 1 :]], links_left - 1)
            if there.kind != DIRECTORY:
                raise BadArchive("no directory, and something is in it")
            path = joined(path, name)
        return path

    def _white_out(self, parts: list[str]) -> None:
        *above, name = parts
        hidden = name.removeprefix(WHITEOUT)
        odd = any(part.startswith(WHITEOUT) for part in above) or not name.startswith(WHITEOUT)
        if odd or hidden in {"", ".", ".."}:
            raise BadArchive("a whiteout of nothing")
        try:
            directory = self._resolved(above)
        except (Refused, BadArchive):
            return
        self._hide(directory if name == OPAQUE else joined(directory, hidden), inside=name == OPAQUE)

    def _hide(self, path: str, inside: bool) -> None:
        """Take away what the layers below have at a path, or inside it only."""
        prefix = f"{path}/" if path else ""
        kept = {above for made in self.made for above in _ancestry(made)}
        for name in list(self.files):
            below = name.startswith(prefix) and name not in {"", path}
            if (below or (name == path and not inside)) and name not in kept:
                self._drop(name)


def _ancestry(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def stream_of(archive: bytes) -> tarstream.TarStream:
    """Return a reader of a plain archive."""
    position = 0

    def read(most: int) -> bytes:
        nonlocal position
        position += most
        return archive[position - most : position]

    return tarstream.TarStream(read)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _made(entry: tarstream.Entry, stream: tarstream.TarStream) -> Entry:
    kind = KINDS[entry.kind]
    xattrs = {_text(name): value for name, value in entry.xattrs} if kind in {FILE, DIRECTORY} else {}
    content = content_of(entry, stream) if kind == FILE else b""
    return Entry(
        kind,
        0o777 if kind == SYMLINK else entry.mode,
        entry.uid,
        entry.gid,
        entry.modified_ns,
        content,
        _text(entry.link) if kind == SYMLINK else "",
        entry.device,
        tuple(sorted((name, value) for name, value in xattrs.items() if name.startswith("user.") or name in KEPT)),
        sparse=sum(length for _, length in entry.pieces) < entry.size_bytes or _has_long_zeros(content),
    )


def _has_long_zeros(content: bytes) -> bool:
    stretches = (content[at : at + STRETCH_BYTES] for at in range(0, len(content), STRETCH_BYTES))
    return any(len(stretch) >= BLOCK_BYTES and not stretch.strip(b"\0") for stretch in stretches)


def content_of(entry: tarstream.Entry, stream: tarstream.TarStream) -> bytes:
    """Return the content of a file, its holes as zeros."""
    content = bytearray(entry.size_bytes)
    for offset, length in entry.pieces:
        end = offset + length
        while offset < end:
            piece = stream.data(end - offset)
            content[offset : offset + len(piece)] = piece
            offset += len(piece)
    return bytes(content)

"""Layers written on the fake: what differs between two tables of files."""

from __future__ import annotations

import errno
import hashlib
import zlib
from collections.abc import Iterator, Mapping

from bocker.core import tarstream
from bocker.core.tarwriter import END, filling, header
from bocker.fakes import bundles, files
from bocker.fakes.errors import Refused
from bocker.fakes.layers import KEPT, KINDS, WHITEOUT
from bocker.fakes.state import DIRECTORY, FILE, Entry, State
from bocker.kernel.archives import GZIP, PLAIN, Packed

DEEPEST = 512  # directories; what Linux can hold open, and more than any image has
_GZIP = 16 + zlib.MAX_WBITS
_TYPES = {kind: type_ for type_, kind in KINDS.items()}

Files = Mapping[str, Entry]


def pack(state: State, tree: str, base: str | None, archive: str, compression: str) -> tuple[State, Packed]:
    """Write the layer that makes one snapshot out of another."""
    if compression not in {PLAIN, GZIP}:
        raise Refused(errno.EOPNOTSUPP, compression)
    new, old = _snapshot(state, tree), {} if base is None else _snapshot(state, base)
    entries = [_with_content(path, row, first) for path, row, first in _differing(new, old)]
    parts = [part for entry, content in entries for part in _parts(entry, content)]
    stream = b"".join((*parts, END))
    data = stream if compression == PLAIN else _deflated(stream)
    state = bundles.written(state, archive, data)
    digests = (hashlib.sha256(part).hexdigest() for part in (data, stream))
    return state, Packed(next(digests), len(data), next(digests), len(stream), len(entries))


def _snapshot(state: State, path: str) -> Files:
    """Return the files of a read-only snapshot that a layer can say."""
    spot, there = files.existing(state, path)
    if there.kind != DIRECTORY:
        raise Refused(errno.ENOTDIR, path)
    if files.filesystem_of(state, spot.place).kind != "btrfs":
        raise Refused(errno.ENOTTY, path)
    row = state.subvolumes[spot.place.subvolume]
    if spot.place.path or not row.read_only:
        raise Refused(errno.EINVAL, "no read-only snapshot")
    return {path: entry for path, entry in row.files.items() if not _is_unspeakable(path)}


def _is_unspeakable(path: str) -> bool:
    return any(part.startswith(WHITEOUT) for part in path.split("/"))


def _differing(new: Files, old: Files) -> Iterator[tuple[str, Entry | None, str]]:
    """Give path, file and first name of each entry, in the order of their names; no file for a whiteout."""
    changed = {path for path, entry in new.items() if old.get(path) != entry}
    inodes = {new[path].inode for path in changed} - {0}
    changed |= {path for path, entry in new.items() if entry.inode in inodes}
    first_names: dict[int, str] = {}
    for path in sorted([*changed, *_whiteouts(new, old)], key=_order):
        if path.count("/") >= DEEPEST:
            raise Refused(errno.ENAMETOOLONG, path)
        entry = new.get(path)
        yield path, entry, first_names.setdefault(entry.inode, path) if entry and entry.inode else path


def _order(path: str) -> list[bytes]:
    return path.encode("utf-8", "surrogateescape").split(b"/")


def _whiteouts(new: Files, old: Files) -> Iterator[str]:
    """Give the marks for what went while the directory that it was in stays."""
    for path in old.keys() - new.keys():
        above, _, name = path.rpartition("/")
        if above in new and new[above].kind == DIRECTORY:
            yield files.joined(above, WHITEOUT + name)


def _with_content(path: str, row: Entry | None, first: str) -> tuple[tarstream.Entry, bytes]:
    name = path.encode("utf-8", "surrogateescape") or b"."
    if row is None:
        return tarstream.Entry(tarstream.FILE, name, 0o600, 0, 0, 0), b""
    entry = tarstream.Entry(_TYPES[row.kind], name, row.mode, row.uid, row.gid, row.mtime_ns)
    if first != path:
        return entry.replace(kind=tarstream.HARD_LINK, link=first.encode("utf-8", "surrogateescape")), b""
    entry = entry.replace(xattrs=_attributes(row), link=row.target.encode("utf-8", "surrogateescape"))
    if row.kind != FILE:
        return entry.replace(device=row.device), b""
    return entry.replace(size_bytes=len(row.content)), row.content


def _attributes(row: Entry) -> tuple[tuple[bytes, bytes], ...]:
    kept = [found for found in row.xattrs if (found[0].startswith("user.") or found[0] in KEPT) and "=" not in found[0]]
    return tuple((name.encode("utf-8", "surrogateescape"), value) for name, value in sorted(kept))


def _parts(entry: tarstream.Entry, content: bytes) -> tuple[bytes, ...]:
    try:
        return header(entry), content, filling(len(content))
    except ValueError as error:
        raise Refused(errno.EINVAL, str(error)) from None


def _deflated(stream: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=_GZIP)
    return compressor.compress(stream) + compressor.flush()

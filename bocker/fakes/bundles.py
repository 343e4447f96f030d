"""Archives of files on the fake: laid out by their digests, and written."""

from __future__ import annotations

import errno
import hashlib

import attrs

from bocker.core import tarstream
from bocker.core.tarmembers import LINKS, LONGEST_NAME_BYTES, laid_out, name_of, target_of
from bocker.core.tarstream import BadArchive
from bocker.core.tarwriter import END, filling, header
from bocker.fakes import files
from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.layers import content_of, stream_of
from bocker.fakes.state import DIRECTORY, FILE, Entry, State
from bocker.kernel.archives import STANDARD_STREAM, Bounds, Member

FILE_MODE = 0o600
FOLDER_MODE = 0o700

Content = str | bytes


def source(state: State, archive: str) -> tuple[State, bytes]:
    """Return what an archive is read from: a file, or all of the standard input."""
    if archive == STANDARD_STREAM:
        return attrs.evolve(state, standard_input=b""), state.standard_input
    return state, files.read_file(state, archive)


def ensured(state: State, directory: str) -> State:
    """Make a directory that is not there."""
    return files.make_directory(state, directory, FOLDER_MODE)


def spill(state: State, archive: bytes, directory: str, bounds: Bounds) -> tuple[State, tuple[Member, ...]]:
    """Lay the files of a plain archive out in a directory; return its members."""
    try:
        found = _members(archive, bounds)
    except BadArchive as error:
        raise Refused(errno.EINVAL, str(error)) from None
    for member, content in found:
        if member.digest:
            state = _with_file(state, f"{directory}/{member.digest}", content)
    return state, tuple(member for member, _ in found)


def _members(archive: bytes, bounds: Bounds) -> list[tuple[Member, bytes]]:
    tar = stream_of(archive)
    found: list[tuple[Member, bytes]] = []
    count = size_bytes = 0
    while (entry := tar.next()) is not None:
        count += 1
        size_bytes += entry.size_bytes if entry.kind == tarstream.FILE else 0
        if count > bounds.entries:
            raise Refused(errno.E2BIG)
        if max(len(entry.name), len(entry.link)) > LONGEST_NAME_BYTES:
            raise Refused(errno.ENAMETOOLONG)
        if size_bytes > bounds.size_bytes:
            raise Refused(errno.EFBIG)
        if entry.kind == tarstream.FILE:
            content = content_of(entry, tar)
            found.append((Member(name_of(entry), hashlib.sha256(content).hexdigest(), len(content)), content))
        elif entry.kind in LINKS:
            found.append((Member(name_of(entry), target=target_of(entry)), b""))
    return found


def _with_file(state: State, path: str, content: bytes) -> State:
    """Give a file its name, which its content makes, unless it is there so already; it is on disk then."""
    spot = files.locate(state, path, follow=False)
    files.check_writable(state, spot)
    files.check_space(state, spot.place)
    there = files.entry_at(state, spot.place)
    if there is not None:
        if there.kind != FILE or there.content == content:
            return state
        state = files.drop_entry(state, spot.place)
    state = files.put_entry(state, spot.place, Entry(FILE, FILE_MODE, mtime_ns=state.clock_ns, content=content))
    return files.synced(state, spot.place)


def bundle(state: State, members: tuple[tuple[str, Content], ...], archive: str) -> State:
    """Write an archive of files."""
    return written(state, archive, _archive_of(state, members))


def written(state: State, archive: str, data: bytes) -> State:
    """Write an archive: to a file that is replaced, or to standard output."""
    if archive == STANDARD_STREAM:
        return attrs.evolve(state, standard_output=state.standard_output + data)
    spot = files.locate(state, archive)
    there = files.entry_at(state, spot.place)
    if there is not None and there.kind == DIRECTORY:
        raise Refused(errno.EISDIR, archive)
    if there is not None and there.kind != FILE:
        raise NotModelled(f"writing to the {there.kind} {archive}")
    files.existing(state, spot.path.rpartition("/")[0] or "/")
    files.check_writable(state, spot)
    files.check_space(state, spot.place)
    return files.put_entry(state, spot.place, Entry(FILE, FILE_MODE, mtime_ns=state.clock_ns, content=data))


def _archive_of(state: State, members: tuple[tuple[str, Content], ...]) -> bytes:
    contents = [(name, content if isinstance(content, bytes) else _plain(state, content)) for name, content in members]
    left = iter([content for _, content in contents])
    parts = []
    try:
        for entry in laid_out((name, len(content)) for name, content in contents):
            content = next(left) if entry.kind == tarstream.FILE else b""
            parts += [header(entry), content, filling(len(content))]
    except ValueError as error:
        raise Refused(errno.EINVAL, str(error)) from None
    return b"".join((*parts, END))


def _plain(state: State, path: str) -> bytes:
    _, entry = files.existing(state, path, follow=False)
    if entry.kind != FILE:
        raise Refused(errno.EINVAL, "no plain file")
    return entry.content

"""The tar format, written: POSIX's ustar with PAX headers where it needs them; pax(1), tar(5), and GNU tar's
manual, "Tar Internals".

Pure functions from an entry to its bytes. An archive is, of each entry, `header`, its whole content, and
`filling`; at last `END`. The same entry gives the same bytes: names of owners and the time of writing are nowhere.
Holes are zeros: docker and podman read a map of them, but fail when they are to save an image with one.
"""

from __future__ import annotations

from bocker.core.tarstream import (
    BLOCK,
    BLOCK_BYTES,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    SECOND_NS,
    SYMLINK,
    Entry,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

END = bytes(2 * BLOCK_BYTES)
LONGEST_EXTENSION_BYTES = 1 << 20  # readers take no more: ours and Go's

_TYPES = {FILE: b"0", HARD_LINK: b"1", SYMLINK: b"2", CHARACTER: b"3", BLOCK: b"4", DIRECTORY: b"5", FIFO: b"6"}
_LONGEST_NAME = 100
_MOST_OWNER = 0o7777777
_MOST_SIZE = 0o77777777777
_EXTENSION_NAME = b"PaxHeaders"  # no reader uses it


def header(entry: Entry) -> bytes:
    """Return what stands before an entry's data: its header, and the extended one before it when it needs one.
    `Entry.pieces` is of no account. Raise ValueError when an extended header were longer than readers take."""
    name = entry.name
    if entry.kind == DIRECTORY and not name.endswith(b"/"):
        name += b"/"
    extended = b""
    if records := _records(entry, name):
        data = b"".join(_record(key, value) for key, value in records)
        if len(data) > LONGEST_EXTENSION_BYTES:
            raise ValueError(f"{len(data)} bytes of names and attributes")
        extension = Entry(FILE, _EXTENSION_NAME, 0o644, 0, 0, 0, len(data))
        extended = _block(extension, _EXTENSION_NAME, b"x") + data + filling(len(data))
    return extended + _block(entry, name, _TYPES[entry.kind])


def filling(size_bytes: int) -> bytes:
    """Return the zeros after so much data, up to a whole block."""
    return bytes(-size_bytes % BLOCK_BYTES)


def _records(entry: Entry, name: bytes) -> list[tuple[bytes, bytes]]:
    """Return what the header's own fields can't say."""
    records = []
    if _is_odd(name):
        records.append((b"path", name))
    if _is_odd(entry.link):
        records.append((b"linkpath", entry.link))
    records += [(key, b"%d" % value) for key, value in _large(entry)]
    if entry.modified_ns % SECOND_NS or not 0 <= entry.modified_ns // SECOND_NS <= _MOST_SIZE:
        records.append((b"mtime", _seconds(entry.modified_ns)))
    return records + [(b"SCHILY.xattr." + key, value) for key, value in entry.xattrs]


def _is_odd(name: bytes) -> bool:
    return len(name) > _LONGEST_NAME or not name.isascii()


def _large(entry: Entry) -> Sequence[tuple[bytes, int]]:
    owners = ((b"uid", entry.uid, _MOST_OWNER), (b"gid", entry.gid, _MOST_OWNER))
    numbers = (*owners, (b"size", entry.size_bytes, _MOST_SIZE))
    return [(key, value) for key, value, most in numbers if value > most]


def _seconds(modified_ns: int) -> bytes:
    """Return a time in decimal; one before 1970 is less than nothing, its fraction too."""
    seconds, fraction = divmod(abs(modified_ns), SECOND_NS)
    text = b"-%d" % seconds if modified_ns < 0 else b"%d" % seconds
    return text + (b".%09d" % fraction).rstrip(b"0") if fraction else text


def _record(key: bytes, value: bytes) -> bytes:
    """Return `LENGTH KEY=VALUE` and a newline; the length counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(b"%d" % len(rest))
    if len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def _block(entry: Entry, name: bytes, kind: bytes) -> bytes:
    """Return a header of 512 bytes; what does not fit into it is cut off, or 0, and said by a record."""
    seconds = entry.modified_ns // SECOND_NS
    fields = (
        name[:_LONGEST_NAME].ljust(_LONGEST_NAME, b"\0"),
        b"%07o\0" % (entry.mode & 0o7777),
        *(b"%07o\0" % (number if number <= _MOST_OWNER else 0) for number in (entry.uid, entry.gid)),
        b"%011o\0" % (entry.size_bytes if entry.size_bytes <= _MOST_SIZE else 0),
        b"%011o\0" % (seconds if 0 <= seconds <= _MOST_SIZE else 0),
        b" " * 8,
        kind,
        entry.link[:_LONGEST_NAME].ljust(_LONGEST_NAME, b"\0"),
        b"ustar\x0000",
        bytes(64),
        b"%07o\0%07o\0" % entry.device,
    )
    block = b"".join(fields).ljust(BLOCK_BYTES, b"\0")
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])

"""The tar format, read as a stream: pax(1), tar(5), and GNU tar's manual, "Tar Internals".

Nothing of the file is held but a chunk. Whatever the bytes, the only error is `BadArchive`.
"""

from __future__ import annotations

from bocker.core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCK_BYTES = 512
CHUNK_BYTES = 1 << 18
LONGEST_EXTENSION_BYTES = 1 << 20  # of names and attributes; Go's reader has the same bound
LONGEST_NUMBER = 20  # digits
SECOND_NS = 1_000_000_000
_NO_OWNER = (1 << 32) - 1
_LATEST_NS = (1 << 63) * SECOND_NS

FILE = "file"
DIRECTORY = "directory"
SYMLINK = "link"
HARD_LINK = "hard link"
CHARACTER = "character"
BLOCK = "block"
FIFO = "fifo"

_KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"S": FILE,
    b"1": HARD_LINK,
    b"2": SYMLINK,
    b"3": CHARACTER,
    b"4": BLOCK,
    b"5": DIRECTORY,
    b"6": FIFO,
}
_ZEROS = bytes(BLOCK_BYTES)
_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_PIECE_BYTES = 24  # of a sparse file's map: an offset and a length


class BadArchive(Exception):
    """These bytes are no tar archive, or a broken one; the text says why."""


class Entry(Value):
    """What an archive says of a file.

    size_bytes is the file's, `pieces` the offsets and lengths of what is stored of it; that follows
    in the stream, one piece after the other (`TarStream.data`). link is a link's target; xattrs are
    in the archive's order.
    """

    kind: str
    name: bytes
    mode: int
    uid: int
    gid: int
    modified_ns: int
    size_bytes: int = 0
    pieces: tuple[tuple[int, int], ...] = ()
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class TarStream:
    """An archive that `read` gives: some bytes at a call, none at the end.

    `next` gives the entries in their order, `data` the content of the newest one. Both raise
    BadArchive.
    """

    __slots__ = ("_at", "_chunk", "_left", "_padding", "_read")

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._chunk = b""
        self._at = 0
        self._left = 0  # of the newest entry's data
        self._padding = 0  # after it

    def next(self) -> Entry | None:
        """Return the next entry, None at the archive's end; what is left of the one before is passed over."""
        extensions: dict[bytes, bytes] = {}
        while True:
            if self._left or self._padding:
                self._skip(self._left + self._padding)
                self._left = self._padding = 0
            block = self._take(BLOCK_BYTES)
            if block == _ZEROS:
                _check_used(extensions)
                return None
            _check(block)
            kind = block[156:157]
            if kind in b"xgLK":
                _extend(extensions, kind, self._extension(block))
            else:
                return self._entry(block, kind, extensions)

    def data(self, most_bytes: int) -> memoryview:
        """Return some of the newest entry's data, at most so much; nothing when there is no more."""
        wanted = min(most_bytes, self._left)
        if wanted and self._at == len(self._chunk):
            self._fill()
        piece = memoryview(self._chunk)[self._at : self._at + wanted]
        self._at += len(piece)
        self._left -= len(piece)
        return piece

    def _fill(self) -> None:
        self._chunk = self._read(CHUNK_BYTES)
        self._at = 0
        if not self._chunk:
            raise BadArchive("it ends too early")

    def _take(self, count: int) -> bytes:
        taken = self._chunk[self._at : self._at + count]
        self._at += len(taken)
        while len(taken) < count:
            self._fill()
            more = self._chunk[: count - len(taken)]
            self._at = len(more)
            taken += more
        return taken

    def _skip(self, count: int) -> None:
        while count:
            if self._at == len(self._chunk):
                self._fill()
            passed = min(count, len(self._chunk) - self._at)
            self._at += passed
            count -= passed

    def _extension(self, block: bytes) -> bytes:
        size = _size(block[124:136])
        if size > LONGEST_EXTENSION_BYTES:
            raise BadArchive(f"a header of {size} bytes")
        data = self._take(size)
        self._padding = -size % BLOCK_BYTES
        return data

    def _entry(self, block: bytes, kind: bytes, extensions: dict[bytes, bytes]) -> Entry:
        entry = _plain_entry(block, kind)
        if extensions:
            entry = _extended(entry, extensions)
        _check_fields(entry)
        if kind == b"\0" and entry.name.endswith(b"/"):
            return entry.replace(kind=DIRECTORY)  # as archives from before POSIX say it
        if entry.kind == FILE:
            self._left = entry.size_bytes
            self._padding = -entry.size_bytes % BLOCK_BYTES
            entry = self._with_pieces(entry, block, kind, extensions)
        return entry

    def _with_pieces(self, entry: Entry, block: bytes, kind: bytes, extensions: dict[bytes, bytes]) -> Entry:
        """Return a file's entry with what is stored of it; the map of a sparse one is found in four places."""
        if kind == b"S":
            numbers, size = self._old_gnu_map(block), _size(block[483:495])
        elif extensions and any(key.startswith(_SPARSE) for key in extensions):
            numbers, size = self._pax_map(extensions), _sparse_size(extensions)
        else:
            return entry
        pieces = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        _check_pieces(pieces, size, self._left)
        return entry.replace(size_bytes=size, pieces=tuple(piece for piece in pieces if piece[1]))

    def _old_gnu_map(self, block: bytes) -> list[int]:
        numbers = _map_in(block[386:482])
        more = block[482]
        while more:
            block = self._take(BLOCK_BYTES)
            numbers += _map_in(block[:504])
            more = block[504]
            if len(numbers) * _PIECE_BYTES > LONGEST_EXTENSION_BYTES:
                raise BadArchive("a sparse file of too many pieces")
        return numbers

    def _pax_map(self, extensions: dict[bytes, bytes]) -> list[int]:
        version = extensions.get(_SPARSE + b"major", b"0"), extensions.get(_SPARSE + b"minor", b"")
        if version == (b"1", b"0"):
            return self._map_in_data()
        if version[0] != b"0" or _SPARSE + b"map" not in extensions:
            raise BadArchive("a sparse file of an unknown version")
        numbers = [_decimal(word) for word in extensions[_SPARSE + b"map"].split(b",") if word]
        if len(numbers) % 2:
            raise BadArchive("a sparse file with half a piece")
        return numbers

    def _map_in_data(self) -> list[int]:
        """Read the map that stands before the data, in lines of decimal numbers, filled up to a block."""
        lines: list[bytes] = []
        rest = b""
        wanted = 1
        while len(lines) < wanted:
            if self._left < BLOCK_BYTES:
                raise BadArchive("a sparse file without its map")
            *more, rest = (rest + self._take(BLOCK_BYTES)).split(b"\n")
            self._left -= BLOCK_BYTES
            lines += more
            wanted = 1 + 2 * _decimal(lines[0]) if lines else 1
            if max(wanted * 2, len(rest)) > LONGEST_EXTENSION_BYTES:
                raise BadArchive("a sparse file of too many pieces")
        return [_decimal(line) for line in lines[1:wanted]]


def components(name: bytes) -> list[bytes]:
    """Return the parts of a name below the root; what would lead above it stays there."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in {b"", b"."}:
            parts.append(part)
    return parts


def _check_fields(entry: Entry) -> None:
    """Refuse what no file can have; 2^32 - 1 is what chown(2) reads as "leave it"."""
    if b"\0" in entry.name or b"\0" in entry.link or not entry.name:
        raise BadArchive("a name that is empty or has a NUL in it")
    if entry.kind == SYMLINK and not entry.link:
        raise BadArchive("a link to nothing")
    if not (0 <= entry.uid < _NO_OWNER and 0 <= entry.gid < _NO_OWNER):
        raise BadArchive("an owner that is none")
    if not -_LATEST_NS < entry.modified_ns < _LATEST_NS:
        raise BadArchive("a time that is none")
    major, minor = entry.device
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise BadArchive("a device that is none")


def _check_used(extensions: dict[bytes, bytes]) -> None:
    if extensions:
        raise BadArchive("it ends with a header that belongs to nothing")


def _check(block: bytes) -> None:
    if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 0x20:
        raise BadArchive("a header with a wrong checksum")


def _number(field: bytes) -> int:
    """Read a number: octal digits, or two's complement in base 256 after a first bit that is set."""
    text = field.strip(b" \0")
    if not text.isdigit():
        return _odd_number(field)
    try:
        return int(text, 8)
    except ValueError:
        raise BadArchive("a number that is none") from None


def _odd_number(field: bytes) -> int:
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        number = int.from_bytes(field, "big") & (1 << bits) - 1
        return number - (1 << bits) if number >> (bits - 1) else number
    text = field.lstrip(b" \0").partition(b"\0")[0].rstrip(b" ")  # what follows a NUL is no part of it
    if text and (not text.isdigit() or b"8" in text or b"9" in text):
        raise BadArchive("a number that is none")
    return int(text or b"0", 8)


def _size(field: bytes) -> int:
    size = _number(field)
    if not 0 <= size < 1 << 63:
        raise BadArchive("a size that is none")
    return size


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > LONGEST_NUMBER:
        raise BadArchive("a number that is none")
    return int(text)


def _moment_ns(text: bytes) -> int:
    """Read a time in seconds with a fraction; what is finer than a nanosecond is cut off."""
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    if fraction and not fraction.isdigit():
        raise BadArchive("a time that is none")
    moment = _decimal(whole) * SECOND_NS + int(fraction[:9].ljust(9, b"0"))
    return -moment if text.startswith(b"-") else moment


def _plain_entry(block: bytes, kind: bytes) -> Entry:
    if kind not in _KINDS:
        raise BadArchive(f"an entry of the unknown type {kind!r}")
    name = _text(block[:100])
    posix = block[257:263] == b"ustar\0"
    prefix = _text(block[345:476] if block[508:512] == b"tar\0" else block[345:500]) if posix else b""
    size = _size(block[124:136])
    device = (_number(block[329:337]), _number(block[337:345])) if kind in b"34" else (0, 0)
    return Entry(
        _KINDS[kind],
        prefix + b"/" + name if prefix else name,
        _number(block[100:108]) & 0o7777,
        _number(block[108:116]),
        _number(block[116:124]),
        _number(block[136:148]) * SECOND_NS,
        size,
        ((0, size),) if size else (),
        _text(block[157:257]) if kind in b"12" else b"",
        device,
        (),
    )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _extend(extensions: dict[bytes, bytes], kind: bytes, data: bytes) -> None:
    """Take in a header for the next entry; one for all that follow, `g`, says nothing about a layer's files."""
    if kind == b"L":
        extensions[b"path"] = _text(data)
    elif kind == b"K":
        extensions[b"linkpath"] = _text(data)
    elif kind == b"x":
        extensions.update(_records(data))


def _records(data: bytes) -> dict[bytes, bytes]:
    """Read `LENGTH KEY=VALUE` lines; of a sparse file's oldest form, whose keys repeat, make the newer map."""
    found: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + LONGEST_NUMBER)
        end = at + _decimal(data[at : max(blank, at)])
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if end > len(data) or data[end - 1 : end] != b"\n" or not equals or not key:
            raise BadArchive("a broken PAX header")
        if key in {_SPARSE + b"offset", _SPARSE + b"numbytes"}:
            sparse.append(value)
        found[key] = value
        at = end
    if sparse:
        found[_SPARSE + b"map"] = b",".join(sparse)
    return found


def _extended(entry: Entry, extensions: dict[bytes, bytes]) -> Entry:
    said = extensions.get
    size = _said(said(b"size"), entry.size_bytes)
    return Entry(
        entry.kind,
        said(_SPARSE + b"name") or said(b"path") or entry.name,
        entry.mode,
        _said(said(b"uid"), entry.uid),
        _said(said(b"gid"), entry.gid),
        _moment_ns(extensions[b"mtime"]) if said(b"mtime") else entry.modified_ns,
        size,
        ((0, size),) if size else (),
        said(b"linkpath") or entry.link if entry.kind in {SYMLINK, HARD_LINK} else b"",
        entry.device,
        tuple((key[len(_XATTR) :], value) for key, value in extensions.items() if key.startswith(_XATTR)),
    )


def _said(text: bytes | None, otherwise: int) -> int:
    return _decimal(text) if text else otherwise


def _sparse_size(extensions: dict[bytes, bytes]) -> int:
    text = extensions.get(_SPARSE + b"realsize") or extensions.get(_SPARSE + b"size")
    if text is None:
        raise BadArchive("a sparse file without its size")
    return _decimal(text)


def _map_in(area: bytes) -> list[int]:
    numbers: list[int] = []
    for at in range(0, len(area), _PIECE_BYTES):
        if not area[at]:
            break
        numbers += (_size(area[at : at + 12]), _size(area[at + 12 : at + 24]))
    return numbers


def _check_pieces(pieces: Sequence[tuple[int, int]], size: int, stored: int) -> None:
    end = 0
    for offset, length in pieces:
        if offset < end:
            raise BadArchive("a sparse file whose pieces overlap")
        end = offset + length
    if end > size or sum(length for _, length in pieces) != stored:
        raise BadArchive("a sparse file whose map and size differ")

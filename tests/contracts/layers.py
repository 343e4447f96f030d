"""A small writer of layers, good ones and awkward ones, that shares nothing with the reader: tar(5), pax(1)."""

from __future__ import annotations

BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)
USTAR = b"ustar\x0000"
OLD_GNU = b"ustar  \0"
V7 = bytes(8)
FILE, HARD_LINK, LINK, CHARACTER, BLOCK, DIRECTORY, FIFO = (b"%d" % number for number in range(7))
SPARSE, LONG_NAME, LONG_LINK = b"S", b"L", b"K"


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def base_256(value: int, width: int) -> bytes:
    number = bytearray(value.to_bytes(width, "big", signed=True))
    number[0] |= 0x80
    return bytes(number)


def header(
    name: bytes,
    kind: bytes = FILE,
    size: int = 0,
    *,
    mode: int = 0o644,
    owner: tuple[int, int] = (0, 0),
    seconds: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    magic: bytes = USTAR,
    prefix: bytes = b"",
    number: object = octal,
) -> bytes:
    """Return a header of 512 bytes; names are cut off as their fields are."""
    assert callable(number)
    block = bytearray(BLOCK_BYTES)
    block[0:100] = name[:100].ljust(100, b"\0")
    block[100:108] = octal(mode, 8)
    block[108:116] = number(owner[0], 8)
    block[116:124] = number(owner[1], 8)
    block[124:136] = number(size, 12)
    block[136:148] = number(seconds, 12)
    block[156:157] = kind
    block[157:257] = link[:100].ljust(100, b"\0")
    block[257:265] = magic
    block[329:337] = octal(device[0], 8)
    block[337:345] = octal(device[1], 8)
    block[345:500] = prefix.ljust(155, b"\0")
    return summed(block)


def summed(block: bytearray) -> bytes:
    """Return a header with its checksum."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def filled(data: bytes) -> bytes:
    """Return data filled up to a block."""
    return data + bytes(-len(data) % BLOCK_BYTES)


def file(name: bytes, content: bytes = b"", **attributes: object) -> bytes:
    return header(name, FILE, len(content), **attributes) + filled(content)  # type: ignore[arg-type]


def directory(name: bytes, mode: int = 0o755, **attributes: object) -> bytes:
    return header(name + b"/", DIRECTORY, mode=mode, **attributes)  # type: ignore[arg-type]


def link(name: bytes, target: bytes, **attributes: object) -> bytes:
    return header(name, LINK, mode=0o777, link=target, **attributes)  # type: ignore[arg-type]


def hard_link(name: bytes, target: bytes) -> bytes:
    return header(name, HARD_LINK, link=target)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """Return an extended header for what comes next."""
    data = b"".join(record(key, value) for key, value in records)
    return header(b"PaxHeaders/next", kind, len(data)) + filled(data)


def record(key: bytes, value: bytes) -> bytes:
    """Return `LENGTH KEY=VALUE` and a newline; the length counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length + rest) != length:
        length = len(b"%d" % length + rest)
    return b"%d" % length + rest


def gnu_long(name: bytes, kind: bytes = LONG_NAME) -> bytes:
    """Return GNU tar's header for a long name, or link, of what comes next."""
    return header(b"././@LongLink", kind, len(name) + 1, magic=OLD_GNU) + filled(name + b"\0")


def gnu_sparse(name: bytes, pieces: tuple[tuple[int, bytes], ...], size: int) -> bytes:
    """Return a sparse file as GNU tar wrote it first: four pieces in the header, 21 in each block after it."""
    content = b"".join(data for _, data in pieces)
    numbers = [octal(offset, 12) + octal(len(data), 12) for offset, data in pieces]
    block = bytearray(header(name, SPARSE, len(content), magic=OLD_GNU))
    block[345:500] = bytes(155)
    block[386:482] = b"".join(numbers[:4]).ljust(96, b"\0")
    block[482] = len(numbers) > 4
    block[483:495] = octal(size, 12)
    more = b""
    for at in range(4, len(numbers), 21):
        more += b"".join(numbers[at : at + 21]).ljust(504, b"\0") + bytes([len(numbers) > at + 21]) + bytes(7)
    return summed(block) + more + filled(content)


def pax_sparse(name: bytes, pieces: tuple[tuple[int, bytes], ...], size: int, version: bytes = b"1.0") -> bytes:
    """Return a sparse file as PAX has it: version 1.0 with the map before the data, 0.1 and 0.0 in the header."""
    content = b"".join(data for _, data in pieces)
    major, _, minor = version.partition(b".")
    numbers = [number for offset, data in pieces for number in (offset, len(data))]
    if version == b"1.0":
        lines = b"%d\n" % len(pieces) + b"".join(b"%d\n" % number for number in numbers)
        content = filled(lines) + content
        said = ((b"GNU.sparse.major", major), (b"GNU.sparse.minor", minor), (b"GNU.sparse.realsize", b"%d" % size))
        return pax((b"GNU.sparse.name", name), *said) + file(b"GNUSparseFile.0/file", content)
    if version == b"0.1":
        listed = ((b"GNU.sparse.map", b",".join(b"%d" % number for number in numbers)),)
        return pax((b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.name", name), *listed) + file(b"x", content)
    keys = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
    each = tuple((keys[at % 2], b"%d" % number) for at, number in enumerate(numbers))
    return pax((b"GNU.sparse.size", b"%d" % size), *each) + file(name, content)


def archive(*entries: bytes) -> bytes:
    return b"".join(entries) + END

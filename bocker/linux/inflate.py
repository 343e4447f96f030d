"""Blobs as streams: what they are compressed with, and the bytes in them, a chunk at a time.

A chunk has a bound, so that no input, however small, becomes large in memory. isal inflates twice as
fast as zlib, which does the same where isal is not installed.
"""

from __future__ import annotations

import errno
import os
import select
import zlib

from bocker.linux.errors import ToolError
from bocker.linux.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

CHUNK_BYTES = 1 << 20
INPUT_BYTES = 1 << 17
LARGEST_WINDOW_BYTES = 1 << 27  # what the zstd program takes without being asked
_GZIP = 16 + zlib.MAX_WBITS  # zlib.h: inflateInit2 for a stream with gzip's header and trailer
_UNKNOWN = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x04\x22\x4d\x18": "lz4"}


class Source:
    """What is read once, from its start on: a file, or what comes out of a pipe.

    `progress` tells how many bytes were read so far, and ticks while nothing comes.
    """

    __slots__ = ("_file", "_poll", "_start", "_taken_bytes", "progress")

    def __init__(self, file: int, tell: Callable[[int], None] | None) -> None:
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLIN)
        self._start = b""
        self._taken_bytes = 0
        self.progress = Progress(tell, lambda: self._taken_bytes)

    def start(self, count: int) -> bytes:
        """Return the first bytes, fewer when there are no more; they are still to be read."""
        while len(self._start) < count and (more := self._read(count - len(self._start))):
            self._start += more
        return self._start

    def read(self, most_bytes: int) -> bytes:
        """Return some bytes, none at the end."""
        taken, self._start = self._start, b""
        return taken or self._read(most_bytes)

    def _read(self, most_bytes: int) -> bytes:
        while not self._poll.poll(self.progress.interval_ms):
            self.progress.tick()
        taken = os.read(self._file, most_bytes)
        self._taken_bytes += len(taken)
        return taken


def _inflater() -> Any:
    """Return the library that inflates: isal's has the names that zlib's has."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


def stream(source: Source) -> Iterator[bytes]:
    """Give what comes from a source, uncompressed; raise OSError (EINVAL, EOPNOTSUPP) when that can't be told."""
    start = source.start(6)
    if start[:2] == b"\x1f\x8b":
        return _from_gzip(source)
    if start[:4] == b"\x28\xb5\x2f\xfd" or (start[1:4] == b"\x2a\x4d\x18" and start[0] >> 4 == 5):
        return _from_zstd(source)
    for magic, name in _UNKNOWN.items():
        if start.startswith(magic):
            raise ToolError(errno.EOPNOTSUPP, f"it is compressed by {name}")
    return iter(lambda: source.read(CHUNK_BYTES), b"")


def _from_gzip(source: Source) -> Iterator[bytes]:
    """Give the content of all members, gzip(1); zeros after the last one are its filling."""
    library = _inflater()
    given = source.read(INPUT_BYTES)
    while given:
        member = library.decompressobj(_GZIP)
        while not member.eof:
            if not given:
                raise ToolError(errno.EINVAL, "its compressed data end too early")
            yield _inflated(member.decompress, given, library.error)
            given = member.unconsumed_tail or member.unused_data or source.read(INPUT_BYTES)
        given = (member.unused_data or source.read(INPUT_BYTES)).lstrip(b"\0")


def _inflated(decompress: Callable[[bytes, int], bytes], given: bytes, refusal: type[Exception]) -> bytes:
    try:
        return decompress(given, CHUNK_BYTES)
    except refusal as error:
        raise ToolError(errno.EINVAL, f"its compressed data are broken: {error}") from None


def _from_zstd(source: Source) -> Iterator[bytes]:
    """Give the content of all frames; that the last one is whole is told by the archive's own end."""
    try:
        import zstandard
    except ImportError:
        raise ToolError(errno.EOPNOTSUPP, "it is compressed by zstd, which needs the package zstandard") from None
    library = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW_BYTES)
    file: Any = source  # all that it asks for is `read`
    reader = library.stream_reader(file, read_size=INPUT_BYTES, read_across_frames=True)
    try:
        while chunk := reader.read(CHUNK_BYTES):
            yield chunk
    except zstandard.ZstdError as error:
        raise ToolError(errno.EINVAL, f"its compressed data are broken: {error}") from None

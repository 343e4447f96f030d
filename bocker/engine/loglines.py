r"""The container's log: lines as the container runtime interface has them.

    2026-11-21T01:17:21.320945530Z stdout F a whole line, or the end of one
    2026-11-21T01:17:21.320945530Z stderr P a part that more follows

Bytes are kept as they are; only the newline that ends a line is not written, `F` stands for it. So
any output can be had back exactly, whatever is in it and wherever it was cut.
"""

from __future__ import annotations

from bocker.core.timestamps import rfc3339
from bocker.core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_PIECE = 16_384
STREAMS = {1: b"stdout", 2: b"stderr"}
_NUMBERS = {word: number for number, word in STREAMS.items()}
_FULL, _PARTIAL = b"F", b"P"


class Entry(Value):
    """One line of the log. `ends_line`: a newline of the program's follows `content`."""

    time: bytes
    stream: int
    ends_line: bool
    content: bytes

    @property
    def output(self) -> bytes:
        """What the program wrote."""
        return self.content + b"\n" if self.ends_line else self.content


def encode(time_ns: int, stream: int, data: bytes) -> bytes:
    """Return the log's lines for what a program wrote to a stream at one moment."""
    start = rfc3339(time_ns).encode() + b" " + STREAMS[stream] + b" "
    *whole, rest = data.split(b"\n")
    lines = [line for content in whole for line in _pieces(start, content, _FULL)]
    lines.extend(_pieces(start, rest, _PARTIAL) if rest else ())
    return b"".join(lines)


def decode(log: bytes) -> Iterator[Entry]:
    """Return the entries of a log; a last line that is not whole yet, or is damaged, is left out."""
    for line in log.split(b"\n")[:-1]:
        time, _, rest = line.partition(b" ")
        stream, _, rest = rest.partition(b" ")
        mark, blank, content = rest.partition(b" ")
        if blank and stream in _NUMBERS and mark in {_FULL, _PARTIAL}:
            yield Entry(time, _NUMBERS[stream], mark == _FULL, content)


def whole_length(log: bytes) -> int:
    """Return the length of the part of a log that ends with a whole entry."""
    return log.rfind(b"\n") + 1


def last_lines(entries: list[Entry], count: int) -> list[Entry]:
    """Return the entries of the last `count` lines that the program wrote, an unfinished one included."""
    seen = 0
    streams: set[int] = set()
    for index in range(len(entries) - 1, -1, -1):
        entry = entries[index]
        if entry.ends_line or entry.stream not in streams:
            seen += 1
            streams.add(entry.stream)
        if seen > count:
            return entries[index + 1 :]
    return entries


def _pieces(start: bytes, content: bytes, last_mark: bytes) -> Iterator[bytes]:
    for offset in range(0, max(len(content), 1), LONGEST_PIECE):
        piece = content[offset : offset + LONGEST_PIECE]
        mark = last_mark if offset + LONGEST_PIECE >= len(content) else _PARTIAL
        yield start + mark + b" " + piece + b"\n"

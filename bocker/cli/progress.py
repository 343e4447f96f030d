"""How a pull, a push, a save or a load gets on: a line for each part, on standard error.

On a terminal the lines are drawn again in their place; the cursor always rests below them, so that an error,
a prompt or Ctrl-C finds a clean line. Elsewhere each thing that is done gets a line of its own.
"""

from __future__ import annotations

import os

from bocker.cli.output import STDERR, asked_columns, decimal_size, write
from bocker.core.value import Value
from bocker.core.words import printable
from bocker.images.watch import (
    COMPLETE,
    DOWNLOADED,
    DOWNLOADING,
    EXISTS,
    EXTRACTING,
    MOUNTED,
    PACKING,
    PUSHED,
    PUSHING,
    RETRYING,
    Unwatched,
    Watch,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    Clock = Callable[[], int]
    Size = Callable[[], tuple[int, int]]
    Write = Callable[[str], None]

MEASURED = frozenset({DOWNLOADING, EXTRACTING, PACKING, PUSHING})
FINISHED = frozenset({COMPLETE, EXISTS, MOUNTED, PUSHED})
TOLD = FINISHED | {DOWNLOADED, RETRYING}
MOST_A_SECOND = 10
SECOND_NS = 1_000_000_000
SHORT_DIGITS = 12
LONGEST_BAR, SHORTEST_BAR = 50, 6
USUAL_SIZE = (80, 24)
UP, ERASE_LINE, ERASE_BELOW = "\x1b[{}A", "\x1b[K", "\x1b[J"


class Part(Value):
    """What is known of a part; total 0 where nobody knows it."""

    digest: str
    state: str
    done_bytes: int = 0
    total_bytes: int = 0


class ShownWatch(Watch):
    """A watch that is closed when the work has ended, or failed: what it shows is left complete."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Show how things stand in the end."""


class QuietWatch(Unwatched, ShownWatch):
    """Nothing is shown."""

    __slots__ = ()


class PlainWatch(ShownWatch):
    """A line for a file or a pipe: what is said, and of each part what is done, each once."""

    __slots__ = ("_told", "_write")

    def __init__(self, write: Write) -> None:
        self._write = write
        self._told: set[tuple[str, str]] = set()

    def say(self, line: str) -> None:
        """Write the line."""
        self._write(f"{printable(line)}\n")

    def part(self, digest: str, state: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        """Write a line when the part comes to a state that is worth one."""
        if state in TOLD and (digest, state) not in self._told:
            self._told.add((digest, state))
            self._write(f"{_short(digest)}: {state}\n")


class TerminalWatch(ShownWatch):
    """Lines that are drawn again in their place, not more often than ten times a second.

    write: takes text for the terminal. size: tells its columns and lines. now_ns: a clock.
    """

    __slots__ = ("_drawn", "_drawn_ns", "_now_ns", "_parts", "_size", "_write")

    def __init__(self, write: Write, size: Size, now_ns: Clock) -> None:
        self._write = write
        self._size = size
        self._now_ns = now_ns
        self._parts: dict[str, Part] = {}
        self._drawn: list[str] = []  # the lines above the cursor that are ours
        self._drawn_ns: list[int] = []  # when something was drawn within the last second

    def say(self, line: str) -> None:
        """Write the line, where it stays: above the parts, or below them once all are finished."""
        if all(part.state in FINISHED for part in self._parts.values()):
            self.close()
        columns, rows = self._size()
        self._replace([printable(line)], columns, rows)
        self._drawn = []
        self._draw(columns, rows)

    def part(self, digest: str, state: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        """Show the part, at once if its state is a new one, unless too much was drawn just now."""
        before = self._parts.get(digest)
        self._parts[digest] = Part(digest, state, done_bytes, total_bytes)
        if self._may_draw(is_news=before is None or before.state != state):
            self._draw(*self._size())

    def close(self) -> None:
        """Draw all parts a last time, also those that there was no room for, and leave them there."""
        columns, rows = self._size()
        self._replace([part_line(part, columns) for part in self._parts.values()], columns, rows)
        self._drawn = []
        self._parts = {}

    def _may_draw(self, is_news: bool) -> bool:
        now_ns = self._now_ns()
        self._drawn_ns = [then for then in self._drawn_ns if 0 <= now_ns - then < SECOND_NS]
        is_soon = bool(self._drawn_ns) and now_ns - self._drawn_ns[-1] < SECOND_NS // MOST_A_SECOND
        if len(self._drawn_ns) >= MOST_A_SECOND or (is_soon and not is_news):
            return False
        self._drawn_ns.append(now_ns)
        return True

    def _draw(self, columns: int, rows: int) -> None:
        self._replace(_lines(tuple(self._parts.values()), columns, rows - 1), columns, rows)

    def _replace(self, lines: Sequence[str], columns: int, rows: int) -> None:
        """Put lines where ours are, in one write; a terminal that became narrower has broken ours in two."""
        above = min(sum(max(1, -(-len(line) // columns)) for line in self._drawn), rows - 1)
        text = "".join(f"{line}{ERASE_LINE}\n" for line in lines)
        if text or above:
            self._write(f"{UP.format(above) if above else ''}\r{text}{ERASE_BELOW}")
        self._drawn = list(lines)


def chosen_watch(environ: Mapping[str, str], quiet: bool, now_ns: Clock) -> ShownWatch:
    """Return the watch for standard error as it is: silent if that is wanted, lively on a terminal that can be."""
    if quiet:
        return QuietWatch()
    if os.isatty(STDERR) and environ.get("TERM", "dumb") != "dumb":
        return TerminalWatch(to_stderr, lambda: terminal_size(environ), now_ns)
    return PlainWatch(to_stderr)


def to_stderr(text: str) -> None:
    """Write text to standard error; when that is closed, the work goes on all the same."""
    try:
        write(STDERR, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def terminal_size(environ: Mapping[str, str]) -> tuple[int, int]:
    """Return columns (COLUMNS, if that is less) and lines of the terminal at standard error."""
    try:
        columns, rows = os.get_terminal_size(STDERR)
    except OSError:
        columns, rows = 0, 0
    columns, rows = columns or USUAL_SIZE[0], rows or USUAL_SIZE[1]
    return min(columns, asked_columns(environ) or columns), rows


def part_line(part: Part, columns: int) -> str:
    """Return docker's line for a part, shorter than `columns`."""
    line = f"{_short(part.digest)}: {part.state}"
    if part.state in MEASURED and part.total_bytes > 0:
        done = min(part.done_bytes, part.total_bytes)
        amount = f" {decimal_size(done):>8}/{decimal_size(part.total_bytes)}"
        line += _bar(done, part.total_bytes, columns - len(line) - len(amount) - 1) + amount
    elif part.state in MEASURED and part.done_bytes > 0:
        line += f" {decimal_size(part.done_bytes):>8}"
    return line[: max(columns - 1, 1)]


def _bar(done: int, total: int, room: int) -> str:
    length = min(room - len(" [>]"), LONGEST_BAR)
    if length < SHORTEST_BAR:
        return ""
    filled = length * done // total
    return f" [{'=' * filled}>{' ' * (length - filled)}]"


def _lines(parts: tuple[Part, ...], columns: int, most: int) -> list[str]:
    """Return a line for each part; where there are too many, first those that are finished are left out."""
    if len(parts) <= most:
        return [part_line(part, columns) for part in parts]
    room = max(most - 1, 0)
    done = [part for part in parts if part.state in FINISHED][: len(parts) - room]
    shown = [part for part in parts if part not in done][:room]
    rest = f"... {len(parts) - len(shown)} more, {len(done)} of them done"
    return [*(part_line(part, columns) for part in shown), rest[: max(columns - 1, 1)]]


def _short(digest: str) -> str:
    return printable(digest.rpartition(":")[2][:SHORT_DIGITS])

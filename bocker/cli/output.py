"""What a person and a script see: tables, JSON, durations, and bytes that reach their descriptor.

Nothing here is coloured, so there is nothing for NO_COLOR to turn off. `sys.stdout` is not used:
its buffer would have to be flushed before `os._exit`, and it can't carry any byte.
"""

from __future__ import annotations

import os

from bocker.core.errors import FAILED
from bocker.core.timestamps import rfc3339
from bocker.core.words import printable, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bocker.core.errors import BockerError

STDOUT = 1
STDERR = 2
GAP = "   "
LONGEST_COMMAND = 20
NARROWEST = 8
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_SECOND_NS = 1_000_000_000


def write(descriptor: int, data: bytes) -> None:
    """Write all of `data`; raise BrokenPipeError when nobody reads, OSError when it can't be written."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # a caller that shares its terminal or pipe may have left it non-blocking
            _wait_writable(descriptor)


def say(text: str) -> None:
    """Print a line on standard output; bytes that are no UTF-8 leave as they came."""
    write(STDOUT, f"{text}\n".encode("utf-8", "surrogateescape"))


def say_lines(lines: Sequence[str]) -> None:
    """Print lines in one go, so that `| head -1` sees all of them or a closed pipe."""
    if lines:
        say("\n".join(lines))


def complain(text: str) -> None:
    """Print one line on standard error; a closed standard error is nobody's business."""
    try:
        write(STDERR, f"{printable(text)}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return


def error_line(error: BockerError) -> str:
    """Return what went wrong, what could not be undone, and what to do, on one line."""
    parts = (error.message, *getattr(error, "__notes__", ()), error.hint)
    return "; ".join(part for part in parts if part)


def complain_of(errors: Sequence[BockerError]) -> int:
    """Say what went wrong, a line each; return the exit code of a command that did the rest."""
    for error in errors:
        complain(error_line(error))
    return FAILED if errors else 0


def on_terminal() -> bool:
    """Tell whether standard output is a terminal."""
    return os.isatty(STDOUT)


def columns(environ: Mapping[str, str]) -> int:
    """Return the width to print in: COLUMNS, or else the terminal's."""
    asked = asked_columns(environ)
    if asked is not None:
        return asked
    try:
        return os.get_terminal_size(STDOUT).columns or 80
    except OSError:
        return 80


def asked_columns(environ: Mapping[str, str]) -> int | None:
    """Return COLUMNS, None where it is no number of columns."""
    given = environ.get("COLUMNS", "")
    is_number = given.isascii() and given.isdigit() and len(given) < 10
    return int(given) or None if is_number else None


def two_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the original's two columns, with two tabs between them, for scripts."""
    return [f"{first}\t\t{second}" for first, second in (header, *rows)]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], flexible: int, width: int | None = None) -> list[str]:
    """Return aligned columns with docker's gap.

    Where a line is wider than `width`, the column `flexible` is cut, to no less than 8 characters.
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    if width is not None:
        excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
        if excess > 0:
            widths[flexible] = max(NARROWEST, len(header[flexible]), widths[flexible] - excess)
    return [_line(row, widths, flexible) for row in (header, *rows)]


def _line(row: Sequence[str], widths: Sequence[int], flexible: int) -> str:
    cells = [shortened(cell, widths[column]) if column == flexible else cell for column, cell in enumerate(row)]
    return GAP.join(cell.ljust(size) for cell, size in zip(cells, widths, strict=True)).rstrip()


def shortened(text: str, longest: int) -> str:
    """Return `text` with `…` for what is beyond `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def quoted(command: tuple[str, ...], whole: bool) -> str:
    """Return a command as docker shows it: quoted, and cut to 20 characters unless `whole`."""
    text = shown(command)
    return f'"{text if whole else shortened(text, LONGEST_COMMAND)}"'


def status(state: str, exit_code: int | None, started_ns: int | None, finished_ns: int | None, now_ns: int) -> str:
    """Return docker's words for a container's state: `Up 5 seconds`, `Exited (137) 3 seconds ago`."""
    if state == "running":
        return f"Up {_since(started_ns, now_ns)}"
    if state == "paused":
        return f"Up {_since(started_ns, now_ns)} (Paused)"
    if state == "exited":
        return f"Exited ({exit_code}) {_since(finished_ns, now_ns)} ago"
    return state.capitalize()


def _since(then_ns: int | None, now_ns: int) -> str:
    return duration(0 if then_ns is None else now_ns - then_ns)


def duration(nanoseconds: int) -> str:
    """Return a length of time in docker's words (go-units' `HumanDuration`)."""
    seconds = max(0, nanoseconds) // _SECOND_NS
    minutes = seconds // 60
    hours = (seconds + 1800) // 3600
    if seconds < 60:
        return "Less than a second" if seconds < 1 else "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    return _long_duration(hours, seconds)


def _long_duration(hours: int, seconds: int) -> str:
    for below, length, unit in ((24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks"), (24 * 730, 24 * 30, "months")):
        if hours < below:
            return f"{hours // length} {unit}"
    return f"{seconds // (3600 * 24 * 365)} years"


def decimal_size(size_bytes: int, digits: int = 4) -> str:
    """Return a size as docker writes it: `13.3kB`, with so many significant digits.

    4 is what docker has in `df` and in progress, 3 in `images` and `history`.
    """
    value, units = float(size_bytes), list(_UNITS)
    while float(f"{value:.{digits}g}") >= 1000 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.{digits}g}{units[0]}"


def docker_time(time_ns: int) -> str:
    """Return a time as docker's lists show it: `2026-11-21 00:29:51 +0000 UTC`."""
    text = rfc3339(time_ns)
    return f"{text[:10]} {text[11:19]} +0000 UTC"


def _wait_writable(descriptor: int) -> None:
    import select

    select.select([], [descriptor], [])

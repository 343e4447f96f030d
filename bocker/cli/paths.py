"""Files that a person names on the command line, or leaves to standard input and output."""

from __future__ import annotations

import os

from bocker.core.errors import UsageError
from bocker.kernel.archives import STANDARD_STREAM

STDIN = 0


def absolute(path: str) -> str:
    """Return the path from the root, not normalized: `link/..` is where the kernel says. Raise UsageError."""
    if not path or "\0" in path:
        raise UsageError("the name of a file can not be empty")
    try:
        return os.path.join(os.getcwd(), path)
    except OSError:
        raise UsageError(f"'{path}' can not be found from here", "the directory that you are in is gone") from None


def output_path(path: str | None, on_terminal: bool) -> str:
    """Return where to write an archive; raise UsageError where that would be a terminal."""
    if path is not None and path != STANDARD_STREAM:
        return absolute(path)
    if on_terminal:
        raise UsageError("an archive does not go to a terminal", "use -o FILE, or send it to a program or a file")
    return STANDARD_STREAM


def input_path(path: str | None) -> str:
    """Return where to read an archive from; raise UsageError where that would be a terminal."""
    if path is not None and path != STANDARD_STREAM:
        return absolute(path)
    if os.isatty(STDIN):
        raise UsageError("an archive does not come from a terminal", "name a file, or get it from a program")
    return STANDARD_STREAM

"""The terminal, pipe or file that a program's output goes to."""

from __future__ import annotations

from bocker.cli.output import complain, write
from bocker.engine.console import Console


class StandardStreams(Console):
    """Stream 1 to standard output, stream 2 to standard error."""

    __slots__ = ()

    def write(self, stream: int, data: bytes) -> bool:
        """Write at once; False when the reader is gone, or when what it writes to is full (said once)."""
        try:
            write(stream, data)
        except BrokenPipeError:
            return False
        except OSError as error:
            complain(f"bocker: the program's output can not be written: {error.strerror}")
            return False
        return True

    def notice(self, text: str) -> None:
        """Show a line on standard error."""
        complain(text)

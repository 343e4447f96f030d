"""Where a program's output goes: given by the caller, as the engine knows no terminal."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Console(ABC):
    """Takes the output of one program."""

    __slots__ = ()

    @abstractmethod
    def write(self, stream: int, data: bytes) -> bool:
        """Pass on what the program wrote to stream 1 or 2; return False when nobody reads it any more.

        Nothing is written to a stream again after it answered False.
        """

    @abstractmethod
    def notice(self, text: str) -> None:
        """Show a line of bocker's own beside the program's output (on standard error)."""

"""What surrounds a program: the time, the boot, sleep."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Ambient(ABC):
    """The clock and the boot, the only sources of either."""

    __slots__ = ()

    @abstractmethod
    def now_ns(self) -> int:
        """Return the time in nanoseconds since 1970, UTC; it never goes back within a program."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Return after `seconds`; what the kernel does by itself goes on meanwhile."""

    @abstractmethod
    def boot_id(self) -> str:
        """Return a word that is the same until the machine is started again."""

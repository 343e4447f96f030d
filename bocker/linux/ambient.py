"""The machine's clock and boot."""

from __future__ import annotations

import time

from bocker.kernel.ambient import Ambient
from bocker.linux.errors import translated


class LinuxAmbient(Ambient):
    """The real clock, held when somebody sets it back."""

    __slots__ = ("_latest_ns",)

    def __init__(self) -> None:
        self._latest_ns = 0

    def now_ns(self) -> int:
        """Return the time; see the port."""
        self._latest_ns = max(self._latest_ns, time.time_ns())
        return self._latest_ns

    def sleep(self, seconds: float) -> None:
        """Sleep; see the port."""
        time.sleep(seconds)

    def boot_id(self) -> str:
        """Return the kernel's random boot id, random(4)."""
        from bocker.linux import proc  # `images` wants the clock only

        with translated("ambient.boot_id", ""):
            return proc.boot_id()

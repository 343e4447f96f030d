"""A command that kills itself at one of its calls on the kernel.

    python -m tests.system.killed PLACE NUMBER FILE WORD...

PLACE is `before` or `after`. With the number 0 it runs to its end. The calls that it made are written
into FILE, a line each, as they are made.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from bocker.cli.main import main
from bocker.core.settings import Settings
from bocker.kernel import PORTS, Kernel
from bocker.linux import LinuxKernel


class KilledKernel(Kernel):
    """This machine's kernel, on which call `number` is the last one."""

    __slots__ = ("_kernel", "_note", "_number", "_place", "count")

    def __init__(self, settings: Settings, place: str, number: int, note: int) -> None:
        self._kernel = LinuxKernel(settings)
        self._place, self._number, self._note = place, number, note
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        if name not in PORTS:
            raise AttributeError(name)
        return _Port(self, name, getattr(self._kernel, name))

    def call(self, operation: str, act: Callable[..., Any], words: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Make a call, the last one if it is the one."""
        self.count += 1
        last = self.count == self._number
        os.write(self._note, f"{operation}\n".encode())
        if last and self._place == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        outcome = act(*words, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome


class _Port:
    """A port whose calls are counted."""

    def __init__(self, kernel: KilledKernel, name: str, port: Any) -> None:
        self._kernel, self._name, self._port = kernel, name, port

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not callable(found):
            return found
        return lambda *words, **named: self._kernel.call(f"{self._name}.{method}", found, words, named)


if __name__ == "__main__":
    place, number, file, *words = sys.argv[1:]
    note = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    os._exit(main(tuple(words), kernel_factory=lambda settings: KilledKernel(settings, place, int(number), note)))

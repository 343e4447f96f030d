"""What the contract of processes needs of Linux: a root file system, a signal, something to read."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from tests.contracts.specs import Stage
from tests.system.program import make_busybox_root


class LinuxStage(Stage):
    def __init__(self, kernel: LinuxKernel, settings: Settings) -> None:
        self._kernel = kernel
        self._store = settings.store
        self._input = os.dup(0)

    def root_filesystem(self, name: str) -> str:
        root = f"{self._store}/{name}"
        self._kernel.storage.create(name)
        make_busybox_root(Path(root))
        return root

    def interrupt(self, number: int) -> None:
        """To this thread: bocker has one, where pytest may have more, which do not block the signal."""
        signal.pthread_kill(threading.get_ident(), number)

    def give_input(self, data: bytes) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            os.dup2(file.fileno(), 0)

    def close(self) -> None:
        """Give this program its own standard input back."""
        os.dup2(self._input, 0)
        os.close(self._input)

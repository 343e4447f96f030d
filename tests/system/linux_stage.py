"""The stage of the processes' contract on Linux: a busybox root, signals to this program, its input."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.contracts.specs import Stage

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

APPLETS = ("sh", "true", "false", "echo", "sleep", "cat", "env")
FOLDERS = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin")
PROBE = os.path.join(os.path.dirname(__file__), "probe.sh")


class LinuxStage(Stage):
    def __init__(self, kernel: Kernel, settings: Settings) -> None:
        self._kernel = kernel
        self._settings = settings
        self._input = os.dup(0)

    def root_filesystem(self, name: str) -> str:
        self._kernel.storage.create(name)
        path = f"{self._settings.store}/{name}"
        for folder in FOLDERS:
            os.mkdir(f"{path}/{folder}", 0o755)
        shutil.copy("/bin/busybox", f"{path}/bin/busybox")
        shutil.copyfile(PROBE, f"{path}/bin/probe")
        os.chmod(f"{path}/bin/probe", 0o755)
        for applet in APPLETS:
            os.symlink("busybox", f"{path}/bin/{applet}")
        for file in ("hostname", "hosts", "resolv.conf"):
            with open(f"{path}/etc/{file}", "w") as written:
                written.write("image\n")
        return path

    def interrupt(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def give_input(self, data: bytes) -> None:
        read_end, write_end = os.pipe()
        os.write(write_end, data)
        os.close(write_end)
        os.dup2(read_end, 0)
        os.close(read_end)

    def close(self) -> None:
        os.dup2(self._input, 0)
        os.close(self._input)

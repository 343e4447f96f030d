"""A btrfs whose power can be cut: what its disk holds at an instant is copied, and mounted in its place.

What the kernel has not sent to the disk by then is lost, as in a power failure; the copy's log is
replayed as at the next boot.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from bocker.linux import syscalls

DISK = "128M"


class Machine:
    """A disk below `directory`, mounted at `store`; `close` takes the mounts away.

    What is seen where the store is not mounted is no btrfs, wherever `directory` is.
    """

    def __init__(self, directory: str) -> None:
        self._disk = f"{directory}/disk"
        self.store = f"{self._disk}/mounted"
        os.mkdir(self._disk)
        syscalls.mount(b"disk", os.fsencode(self._disk), b"tmpfs", 0)
        os.mkdir(self.store)
        subprocess.run(("truncate", "-s", DISK, self._image), check=True)
        subprocess.run(("mkfs.btrfs", "--quiet", self._image), check=True, capture_output=True)
        self._mount()

    @property
    def _image(self) -> str:
        return f"{self._disk}/image"

    def _mount(self) -> None:
        subprocess.run(("mount", "-o", "loop", self._image, self.store), check=True)

    def cut_power(self) -> None:
        """Lose what is not on the disk, and start again."""
        shutil.copyfile(self._image, f"{self._disk}/copy")
        subprocess.run(("umount", self.store), check=True)
        os.rename(f"{self._disk}/copy", self._image)
        self._mount()

    def close(self) -> None:
        subprocess.run(("umount", self.store), check=True)
        subprocess.run(("umount", "--lazy", self._disk), check=True)  # the loop device lets go of it in its own time

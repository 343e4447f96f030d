"""A world of its own for each contract test: a store, a state folder and groups that nobody else has."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bocker.kernel.errors import Busy
from bocker.linux import LinuxKernel
from tests.patience import patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bocker.core.settings import Settings

PATIENCE_S = patience(5.0)


@contextmanager
def fresh_world(settings: Settings) -> Iterator[Settings]:
    """Give settings whose store is an empty directory of the sandbox's btrfs; take away all that was made there."""
    base = tempfile.mkdtemp(prefix=".world-", dir=settings.store)
    os.mkdir(f"{base}/store")
    number = os.path.basename(base).removeprefix(".world-")
    fresh = settings.replace(
        store=f"{base}/store", state=f"{base}/state", cgroup_parent=f"{settings.cgroup_parent}-{number}"
    )
    try:
        yield fresh
    finally:
        _sweep(LinuxKernel(fresh))
        shutil.rmtree(base)


def _sweep(kernel: LinuxKernel) -> None:
    remove_groups(kernel)
    for name in kernel.storage.names():
        for inside in kernel.storage.nested(name):
            kernel.storage.delete(inside)
        kernel.storage.delete(name)


def remove_groups(kernel: LinuxKernel) -> None:
    """Remove all groups below a world's parent, and that."""
    for group in kernel.cgroups.names():
        _remove_group(kernel, group)
    kernel.cgroups.remove_parent()


def _remove_group(kernel: LinuxKernel, name: str) -> None:
    """A process that was killed with its parent may be on its way out still."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return kernel.cgroups.remove(name)
        except Busy:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.001)

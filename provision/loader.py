"""Imports bocker from one file of compiled code; `install.py` puts this at the head of that file.

A short command's time is mostly imports: finding, opening and reading fifty files, with their
docstrings. One file, read where a module lies in it, halves that
(`docs/decisions/0007-one-file-of-code.md`). The launcher executes this and calls `install`.
"""

from __future__ import annotations

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    Index = dict[str, tuple[int, int, bool]]


class Finder:
    """A finder and loader of `sys.meta_path` in one.

    index: offset from `start`, length and is-package of each module in the file open at `descriptor`.
    """

    def __init__(self, descriptor: int, index: Index, start: int) -> None:
        self.descriptor = descriptor
        self.index = index
        self.start = start

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return where a module of bocker's is, None for any other."""
        place = self.index.get(name)
        loader: Any = self
        return None if place is None else ModuleSpec(name, loader, origin="bundle", is_package=place[2])

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave making the module to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code in it."""
        offset, length, _ = self.index[module.__name__]
        exec(marshal.loads(posix.pread(self.descriptor, length, self.start + offset)), module.__dict__)


def install(descriptor: int, index: Index, start: int) -> None:
    """Import bocker from the open file from now on."""
    gc.disable()  # what is made while importing is never garbage, and a short command collects none
    finder: Any = Finder(descriptor, index, start)
    sys.meta_path.insert(0, finder)

"""Imports bocker from one file of compiled code; `install.py` puts this at the head of that file.

A short command's time is mostly imports: finding, opening and reading fifty files, with their
docstrings. One file, read where a module lies in it, halves that
(`docs/decisions/0007-one-file-of-code.md`). What a hot command imports lies together in the order of
its imports, and is run without asking the import system at all. The launcher executes this and
calls `install`.
"""

from __future__ import annotations

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
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


def install(descriptor: int, index: Index, groups: dict[str, tuple[int, int]], start: int) -> None:
    """Import bocker from the open file from now on, and all that this command needs at once."""
    gc.disable()  # what is made while importing is never garbage, and a short command collects none
    finder: Any = Finder(descriptor, index, start)
    sys.meta_path.insert(0, finder)
    if len(sys.argv) > 1 and sys.argv[1] in groups:
        offset, length = groups[sys.argv[1]]
        run_all(marshal.loads(posix.pread(descriptor, length, start + offset)))


def run_all(modules: tuple[tuple[str, bool, CodeType], ...]) -> None:
    """Make modules of their code; what each of them imports comes before it."""
    make = type(sys)
    for name, is_package, code in modules:
        parent, _, own_name = name.rpartition(".")
        module = make(name)
        module.__package__ = name if is_package else parent
        if is_package:
            module.__path__ = []
        sys.modules[name] = module
        exec(code, module.__dict__)
        if parent:
            setattr(sys.modules[parent], own_name, module)

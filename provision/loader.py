"""Imports bocker from one file of compiled code; `install.py` puts this at the head of that file.

A short command's time is mostly imports: finding, opening and reading fifty files, with their
docstrings. One file, read where a module lies in it, halves that
(`docs/decisions/0007-one-file-of-code.md`). The launcher runs this code with three names set:
`descriptor` of the open file, `index` of offset, length and is-package by module, and `start`,
where the first module lies.
"""

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    descriptor: int
    index: dict[str, tuple[int, int, bool]]
    start: int


class Finder:
    """A finder and loader of `sys.meta_path` in one."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return where a module of bocker's is, None for any other."""
        place = index.get(name)
        return None if place is None else ModuleSpec(name, Finder, origin="bundle", is_package=place[2])  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Leave making the module to the import system."""

    @staticmethod
    def exec_module(module: "ModuleType") -> None:
        """Run a module's code in it."""
        offset, length, _ = index[module.__name__]
        exec(marshal.loads(posix.pread(descriptor, length, start + offset)), module.__dict__)


# Nothing that is made while importing is ever garbage, and a command that ends soon collects none.
gc.disable()
sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]

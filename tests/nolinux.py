"""A pytest plugin that hides what only Linux, or only a full installation, has.

`python -m pytest -p tests.nolinux tests/unit --ignore tests/unit/linux` shows that the rules, the
engine and the fake kernel need none of it.
"""

from __future__ import annotations

import sys

HIDDEN = frozenset({"fcntl", "pyroute2", "requests"})


class Hider:
    """Finds the hidden modules first, and says that there are none."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r} (hidden)", name=name)


for _name in HIDDEN:
    sys.modules.pop(_name, None)
sys.meta_path.insert(0, Hider())

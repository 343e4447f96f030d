"""What a planted bug is."""

from __future__ import annotations

import attrs

# The mistakes that are made in an engine,
LOST_UNDO = "a lost undo"
CHECK_BEFORE_USE = "a check before a use"
FORGOTTEN_FSYNC = "a forgotten fsync"
WRONG_ORDER = "a wrong order"
WRONG_MASK = "a wrong mask"
ENGINE_KINDS = (LOST_UNDO, CHECK_BEFORE_USE, FORGOTTEN_FSYNC, WRONG_ORDER, WRONG_MASK)
# and those in what answers for the kernel.
LAW_LEFT_OUT = "a law left out"
WRONG_ERRNO = "a wrong errno"
WRONG_FLAG = "a wrong flag"
FORGOTTEN_STEP = "a step left out"


@attrs.frozen
class Bug:
    """A mistake, and what finds it.

    kind: which mistake. file: where, from the top of the tree. before: the text in it, which it has once.
    after: what is put in its place. found_by: the tests that are to fail, in pytest's words;
    `BOCKER_…=…` among them is a setting of the environment.
    """

    name: str
    kind: str
    file: str
    before: str
    after: str
    found_by: tuple[str, ...]

"""How long tests wait: longer on a machine without hardware virtualisation (BOCKER_TEST_SLOWNESS, a factor)."""

from __future__ import annotations

import os

SLOWNESS = float(os.environ.get("BOCKER_TEST_SLOWNESS", "1"))


def patience(seconds: float) -> float:
    """Return how long something may take here that takes no longer than `seconds` on a machine of today."""
    return seconds * SLOWNESS

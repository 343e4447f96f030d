"""Waiting for something to become true."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.patience import patience


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Ask again and again; fail when it does not come true in time."""
    deadline = time.monotonic() + patience(seconds)
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)

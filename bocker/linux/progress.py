"""Telling how far a long work is, while it is done."""

from __future__ import annotations

import time
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERVAL_S = 0.2


class Stopped(Exception):
    """Whom the progress was told raised `error`, which is passed on as it is: it is no error of the kernel's."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def passed_on() -> Iterator[None]:
    """Raise what Stopped carries in its place."""
    try:
        yield
    except Stopped as stopped:
        raise stopped.error from None


class Progress:
    """`tell` is called with what `done_bytes` says, every fifth of a second if `tick` is called often enough."""

    __slots__ = ("_done_bytes", "_due_s", "_tell")

    def __init__(self, tell: Callable[[int], None] | None, done_bytes: Callable[[], int]) -> None:
        self._tell = tell
        self._done_bytes = done_bytes
        self._due_s = time.monotonic() + INTERVAL_S

    @property
    def interval_ms(self) -> int | None:
        """How long one may wait for something else until the next tick, None for as long as one likes."""
        return None if self._tell is None else int(INTERVAL_S * 1000)

    def tick(self) -> None:
        """Tell, if it is time to."""
        if self._tell is not None and time.monotonic() >= self._due_s:
            self.finish()

    def finish(self) -> None:
        """Tell now. Raise Stopped with what the other side raised."""
        if self._tell is None:
            return
        try:
            self._tell(self._done_bytes())
        except BaseException as error:
            raise Stopped(error) from error
        self._due_s = time.monotonic() + INTERVAL_S

"""Ctrl-C, SIGTERM and SIGHUP in the middle of long work: the first one ends it, and nothing disturbs the undoing."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType
    from typing import Any
else:
    import _signal as signal  # no import of more, as it may be one that was disturbed

MOMENT_S = 0.001
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A person, or the system, wants the command to end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def end_once() -> None:
    """From now on raise Stopped at the first signal that wants us to end, and be deaf to the next ones.

    What is ignored already, as by nohup(1), stays so.
    """
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def raise_later(lost: Any) -> None:
    """Raise what a signal raised where nothing can be raised, as at the end of an object, a moment later.

    For `sys.unraisablehook`: Python prints such a thing and goes on, so Ctrl-C would be lost, and who is deaf to the
    next one would go on for ever.
    """
    error = lost.exc_value
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGALRM, lambda number, frame: _raise(error))
        signal.setitimer(signal.ITIMER_REAL, MOMENT_S)
    else:
        sys.__unraisablehook__(lost)


def _raise(error: BaseException) -> None:
    raise error

"""Ctrl-C, SIGTERM and SIGHUP in the middle of long work: the first one ends it, and nothing disturbs the undoing."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

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
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)

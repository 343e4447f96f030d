"""Signals by their names, signal(7): the numbers of Linux on every processor but three old ones."""

from __future__ import annotations

from bocker.core.errors import InvalidValue
from bocker.core.words import printable

_NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG "
    "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()
_NUMBERS = {name: number for number, name in enumerate(_NAMES, 1)} | {"IOT": 6, "CLD": 17, "POLL": 29}
REALTIME_LOWEST, HIGHEST = 34, 64
TERM = _NUMBERS["TERM"]


def parse_signal(text: str, setting: str) -> int:
    """Read a signal as docker does: `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `SIGRTMAX-1`. Raise InvalidValue."""
    number = _number_of(text.upper().removeprefix("SIG"))
    if number is None:
        raise InvalidValue(f"'{printable(text)}' is not a signal for {setting}", "write it like TERM or 15")
    return number


def signal_or_term(text: str) -> int:
    """Read the signal that an image's configuration names; one that makes no sense is TERM, as with docker."""
    return _number_of(text.upper().removeprefix("SIG")) or TERM


def _number_of(word: str) -> int | None:
    if word in _NUMBERS:
        return _NUMBERS[word]
    if word[:5] in {"RTMIN", "RTMAX"}:
        return _realtime(word)
    number = _digits(word)
    return number if number is not None and 1 <= number <= HIGHEST else None


def _realtime(word: str) -> int | None:
    """Return RTMIN, RTMIN+n, RTMAX or RTMAX-n as a number."""
    first, sign = (REALTIME_LOWEST, "+") if word.startswith("RTMIN") else (HIGHEST, "-")
    distance = _digits(word[6:]) if word[5:6] == sign else 0 if not word[5:] else None
    if distance is None or distance > HIGHEST - REALTIME_LOWEST:
        return None
    return first + distance if sign == "+" else first - distance


def _digits(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 4 else None

"""A moment as a person writes it: `10m` ago, seconds since 1970, or RFC 3339."""

from __future__ import annotations

from bocker.core.errors import InvalidValue
from bocker.core.timestamps import SECOND_NS, parse_rfc3339
from bocker.core.words import printable

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}


def parse_moment(text: str, now_ns: int, flag: str) -> int:
    """Return nanoseconds since 1970; raise InvalidValue naming the flag. A date without a zone is UTC."""
    try:
        if "-" in text[1:]:
            return parse_rfc3339(text)
        if text[-1:].isalpha():
            return now_ns - _duration_ns(text)
        return _decimal(text, SECOND_NS)
    except ValueError:
        hint = "write it like 10m, 1732150141 or 2026-11-21T00:49:01Z"
        raise InvalidValue(f"'{printable(text)}' is not a moment for {flag}", hint) from None


def _duration_ns(text: str) -> int:
    """Read Go's durations: `1h30m`, `1.5h`, `90s`."""
    total, number, unit = 0, "", ""
    for character in f"{text}0":  # the digit at the end closes the last unit
        if unit and not character.isalpha():
            total += _decimal(number, _UNITS_NS.get(unit, 0))
            number, unit = "", ""
        if character.isalpha():
            unit += character
        else:
            number += character
    return total


def _decimal(text: str, unit_ns: int) -> int:
    """Return a decimal number of units in nanoseconds; raise ValueError."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (unit_ns and digits.isascii() and digits.isdigit() and len(digits) <= 30):
        raise ValueError(text)
    return int(digits) * unit_ns // int("1" + "0" * len(fraction))

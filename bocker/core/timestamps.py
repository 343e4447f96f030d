"""Times as nanoseconds since 1970 (UTC), and as RFC 3339 text. `core` never asks what time it is."""

from __future__ import annotations

SECOND_NS = 1_000_000_000
_DAY_S = 86_400


def rfc3339(time_ns: int) -> str:
    """Return `2026-11-21T00:29:51.124909991Z`, always with nine decimals, so that text sorts."""
    seconds, nanoseconds = divmod(time_ns, SECOND_NS)
    days, second_of_day = divmod(seconds, _DAY_S)
    year, month, day = _civil(days)
    hour, rest = divmod(second_of_day, 3600)
    minute, second = divmod(rest, 60)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{nanoseconds:09d}Z"


def parse_rfc3339(text: str) -> int:
    """Read RFC 3339 in UTC or with an offset; raise ValueError for anything else."""
    date, _, clock = text.replace("t", "T").partition("T")
    clock, offset_s = _split_offset(clock or "00:00:00Z")
    year, month, day = (int(part) for part in date.split("-"))
    hms, _, fraction = clock.partition(".")
    hour, minute, second = (int(part) for part in hms.split(":"))
    _check(month, day, hour, minute, second)
    seconds = _days(year, month, day) * _DAY_S + hour * 3600 + minute * 60 + second - offset_s
    return seconds * SECOND_NS + int((fraction + "000000000")[:9])


def _split_offset(clock: str) -> tuple[str, int]:
    if clock[-1:] in ("Z", "z"):
        return clock[:-1], 0
    for sign in "+-":
        if sign in clock:
            head, _, offset = clock.partition(sign)
            hours, _, minutes = offset.partition(":")
            return head, (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "+" else -1)
    return clock, 0


def _check(month: int, day: int, hour: int, minute: int, second: int) -> None:
    if not (1 <= month <= 12 and 1 <= day <= 31 and 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60):
        raise ValueError("no such time")


def _civil(days: int) -> tuple[int, int, int]:
    """Return year, month, day of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`)."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * day_of_year + 2) // 153
    month = month_index + 3 if month_index < 10 else month_index - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * month_index + 2) // 5 + 1


def _days(year: int, month: int, day: int) -> int:
    """The inverse of `_civil`."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468

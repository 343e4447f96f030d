"""Limits of a container, read from words before anything is created (defect W15 of the original)."""

from __future__ import annotations

from bocker.core.errors import InvalidValue
from bocker.core.value import Value

MEGABYTE = 1_000_000
DEFAULT_CPU_SHARES = 512
DEFAULT_MEMORY_BYTES = 512 * MEGABYTE
DEFAULT_PIDS = 2048
LOWEST_MEMORY_BYTES = 6 * MEGABYTE
HIGHEST_MEMORY_BYTES = 1 << 50
LOWEST_CPU_SHARES = 2
HIGHEST_CPU_SHARES = 262_144
LOWEST_CPUS_MICRO = 10_000
HIGHEST_PIDS = 4_194_304
CPU_PERIOD_US = 100_000
_SUFFIXES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Limits(Value):
    """What a container may use.

    `cpu_shares` is relative to docker's 1024. `cpu_quota_us` is processor time in each period of
    100,000 microseconds, None for no bound. `memory_bytes` bounds memory and, where the kernel
    accounts it, memory and swap together. `pids` bounds processes and threads, None for no bound.
    """

    cpu_shares: int = DEFAULT_CPU_SHARES
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    pids: int | None = DEFAULT_PIDS
    cpu_quota_us: int | None = None

    @property
    def is_below_nothing(self) -> bool:
        """Whether one of them is negative, which version 1 of control groups would take for no bound at all."""
        return min(self.cpu_shares, self.memory_bytes, self.pids or 0, self.cpu_quota_us or 0) < 0


def parse_cpu_shares(text: str, setting: str) -> int:
    """Read relative processor shares, 2 to 262144; `setting` is named when they can't be read."""
    return _whole(text, setting, LOWEST_CPU_SHARES, HIGHEST_CPU_SHARES)


def parse_pids(text: str, setting: str) -> int | None:
    """Read a number of processes; -1 means no bound, as in docker."""
    if text == "-1":
        return None
    return _whole(text, setting, 1, HIGHEST_PIDS)


def parse_megabytes(text: str, setting: str) -> int:
    """Read `BOCKER_MEM_LIMIT`: units of 1,000,000 bytes. Returns bytes."""
    megabytes = _whole(text, setting, 0, HIGHEST_MEMORY_BYTES // MEGABYTE)
    return _enough_memory(megabytes * MEGABYTE, text, setting)


def parse_memory(text: str, setting: str) -> int:
    """Read docker's memory words, as `parse_size` does, and no less than a program needs. Returns bytes."""
    return _enough_memory(parse_size(text, setting), text, setting)


def parse_size(text: str, setting: str) -> int:
    """Read bytes, or a number with b, k, m, g, t (binary). Returns bytes."""
    number, suffix = text.lower(), ""
    if number[-1:].isalpha():
        number, suffix = number[:-1], number[-1]
    if suffix not in _SUFFIXES:
        raise InvalidValue(f"'{text}' is not a size for {setting}", "write it like 512m or 2g")
    size = _whole(number, setting, 0, HIGHEST_MEMORY_BYTES, shown=text) * _SUFFIXES[suffix]
    if size > HIGHEST_MEMORY_BYTES:
        raise InvalidValue(f"'{text}' is too large for {setting}", "the most is 1024t")
    return size


def parse_cpus(text: str, setting: str, processors: int) -> int:
    """Read a number of processors such as `1.5`; return its quota in microseconds a period."""
    whole, _, fraction = text.partition(".")
    if not _digits(whole or "0") or not _digits(fraction or "0") or not (whole or fraction) or len(fraction) > 6:
        raise InvalidValue(f"'{text}' is not a number of processors for {setting}", "write it like 1.5")
    micro = int(whole or "0") * 1_000_000 + int((fraction + "000000")[:6])
    if not LOWEST_CPUS_MICRO <= micro <= processors * 1_000_000:
        raise InvalidValue(
            f"Range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available"
        )
    return micro * CPU_PERIOD_US // 1_000_000


def _whole(text: str, setting: str, lowest: int, highest: int, shown: str | None = None) -> int:
    word = text if shown is None else shown
    if not _digits(text) or (len(text) > 1 and text[0] == "0"):
        raise InvalidValue(f"'{word}' is not a whole number for {setting}", "write it in decimal, without a leading 0")
    if not lowest <= int(text) <= highest:
        raise InvalidValue(f"'{word}' is out of range for {setting}", f"it is from {lowest} to {highest}")
    return int(text)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def _enough_memory(memory_bytes: int, text: str, setting: str) -> int:
    if memory_bytes < LOWEST_MEMORY_BYTES:
        raise InvalidValue(f"'{text}' is too little for {setting}: Minimum memory limit allowed is 6MB")
    return memory_bytes

"""Ids of containers and images: `ps_42045`, `img_42150`.

A container's number is its address: 42000 plus the host part of its IP address in the bridge's
subnet (see `addresses`). An image's number is only a number. Both start at 42002, as the first
host part that is free for a container is 2.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

BASE = 42000
FIRST = 42002
LAST_IMAGE = 999_999
LAST_CONTAINER = BASE + 65_534  # the last host part of the widest subnet, a /16


class Id:
    """The id of one kind of object; ids of different kinds are never equal."""

    __slots__ = ("number",)
    prefix = ""
    last = 0

    def __init__(self, number: int) -> None:
        if not FIRST <= number <= self.last:
            raise ValueError(f"{self.prefix}{number} is outside {FIRST} to {self.last}")
        self.number = number

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the id that `text` spells exactly (`ps_42045`), or None."""
        digits = text[len(cls.prefix) :]
        if not text.startswith(cls.prefix) or not (digits.isascii() and digits.isdigit()):
            return None
        if len(digits) not in (5, 6) or digits[0] == "0" or not FIRST <= int(digits) <= cls.last:
            return None
        return cls(int(digits))

    def __str__(self) -> str:
        return f"{self.prefix}{self.number}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.number})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.number == other.number

    def __lt__(self, other: Self) -> bool:
        return self.number < other.number

    def __hash__(self) -> int:
        return hash((self.prefix, self.number))


class ContainerId(Id):
    """`ps_` and 42000 plus the host part of the container's address."""

    __slots__ = ()
    prefix = "ps_"
    last = LAST_CONTAINER

    @property
    def host_part(self) -> int:
        """The host part of the container's address: 45 for `ps_42045`."""
        return self.number - BASE


class ImageId(Id):
    """`img_` and a number that means nothing."""

    __slots__ = ()
    prefix = "img_"
    last = LAST_IMAGE


def next_free(last: int | None, taken: frozenset[int], lowest: int, highest: int) -> int | None:
    """Return the number after `last` that is not `taken`, wrapping round; None when all are.

    Next-after-last and not lowest-free: the kernel lets go of a name some time after it was given
    up (kernel-facts, "delete a named namespace"), so a name just released is the worst to take.
    """
    start = lowest if last is None or not lowest <= last < highest else last + 1
    for candidates in (range(start, highest + 1), range(lowest, start)):
        for number in candidates:
            if number not in taken:
                return number
    return None

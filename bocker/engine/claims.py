"""Which id comes next. An id is taken by creating its record, never by looking whether it is free (L4)."""

from __future__ import annotations

from bocker.core.ids import FIRST, next_free
from bocker.engine.store import COUNTERS, ids_among
from bocker.kernel.errors import KernelError, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    from bocker.core.ids import Id
    from bocker.kernel import Kernel

    AnyId = TypeVar("AnyId", bound=Id)


def candidates(
    kernel: Kernel, folder: str, kind: type[AnyId], highest: int, reserved: frozenset[int] = frozenset()
) -> Iterator[AnyId]:
    """Yield the ids that may be free, from the one after the last given, each once.

    The records are listed only when the first one is taken: most often it is free.
    """
    number = next_free(_last_given(kernel, folder), reserved, FIRST, highest)
    seen = set(reserved)
    listed = False
    while number is not None:
        yield kind(number)
        seen.add(number)
        if not listed:
            seen.update(identity.number for identity in ids_among(kernel.records.list(folder), kind))
            listed = True
        number = next_free(number, frozenset(seen), FIRST, highest)


def remember(kernel: Kernel, folder: str, claimed: Id) -> None:
    """Write down the last number given; nothing depends on it but which id is tried first."""
    try:
        kernel.records.write(f"{COUNTERS}/{folder}", f"{claimed.number}\n".encode())
    except KernelError:
        return


def _last_given(kernel: Kernel, folder: str) -> int | None:
    try:
        text = kernel.records.read(f"{COUNTERS}/{folder}").strip()
    except Missing:
        return None
    return int(text) if text.isdigit() and len(text) <= 6 else None

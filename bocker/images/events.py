"""What transfers report, told to whoever watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.images import watch as words
from bocker.registry.transfers import Done, Progress, Retrying

if TYPE_CHECKING:
    from bocker.images.watch import Watch
    from bocker.registry.digests import Digest
    from bocker.registry.transfers import Event, Transfers

WAIT_S = 1.0  # for something to happen


def see_through(
    transfers: Transfers, watch: Watch, moving: str, done: str, untold: frozenset[Digest] = frozenset()
) -> None:
    """Go on until everything has come through, and tell of it as `tell` does, but for the blobs in `untold`."""
    while transfers.is_busy:
        for event in transfers.step(WAIT_S):
            if event.digest not in untold:
                tell(watch, event, moving, done)


def tell(watch: Watch, event: Event, moving: str, done: str) -> None:
    """Tell of an event in words of `watch`: of what is on its way, and of what has come through."""
    digest = event.digest.hexadecimal
    if isinstance(event, Done):
        watch.part(digest, done)
    elif isinstance(event, Retrying):
        watch.part(digest, words.RETRYING)
    elif isinstance(event, Progress):
        watch.part(digest, moving, event.done_bytes, event.total_bytes)

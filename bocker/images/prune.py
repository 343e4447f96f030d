"""`prune`: space is given back. Nothing that is in use goes, and nothing that somebody works with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.core.errors import BockerError
from bocker.core.value import Value
from bocker.engine import layers, store
from bocker.engine.failures import Doing
from bocker.engine.removal import remove
from bocker.images.blobs import blobs_in_use, documents_in_use
from bocker.images.errors import AtWork
from bocker.images.space import ImageUsage, has_ended, image_usages
from bocker.kernel.errors import Busy

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from bocker.kernel.blobs import Blob

BLOB_LOCK = "blob_"  # of whoever downloads it: `registry.transfers`


class Sought(Value):
    """What to prune beside images without a tag and what belongs to no image.

    everything: tagged images, too. containers: those that have ended. downloads: the layers as they were
    downloaded, of images that are here, too; what then is pushed is fetched again.
    """

    everything: bool = False
    containers: bool = False
    downloads: bool = False


class Plan(Value):
    """What would go, by id or digest, and about how many bytes that gives back."""

    containers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()
    size_bytes: int = 0

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to do."""
        return not (self.containers or self.images or self.blobs or self.drafts)


class Pruned(Value):
    """What went, in lines to print, with its bytes; and what did not go, and why."""

    lines: tuple[str, ...]
    size_bytes: int
    errors: tuple[BockerError, ...] = ()


def plan(kernel: Kernel, settings: Settings, sought: Sought) -> Plan:
    """Return what `prune` would take away now, of what is there; layers that nothing needs then come on top."""
    with Doing(kernel, settings, "Looking for what can go"):
        store.check_format(kernel, settings)
        ended = _ended(kernel) if sought.containers else ()
        images = tuple(usage for usage in image_usages(kernel, settings) if _may_go(kernel, usage, sought, ended))
        blobs = _blobs(kernel, sought, frozenset(usage.image for usage in images))
        drafts = kernel.blobs.drafts()
        size_bytes = sum(usage.own_bytes for usage in images) + sum(file.size_bytes for file in (*blobs, *drafts))
        size_bytes += sum(kernel.storage.size_bytes(container, container) for container in ended)
        return Plan(
            ended,
            tuple(usage.image for usage in images),
            tuple(blob.name for blob in blobs),
            tuple(draft.name for draft in drafts),
            size_bytes,
        )


def prune(kernel: Kernel, settings: Settings, sought: Sought) -> Pruned:
    """Take away what nobody needs. Raise AtWork, before anything went, while images come in or go out."""
    with Doing(kernel, settings, "Pruning"):
        store.check_format(kernel, settings)
        _refuse_at_work(kernel)
        planned = plan(kernel, settings, sought)
        removals = remove(kernel, settings, (*planned.containers, *planned.images))
        lines = [str(removal.removed) for removal in removals if removal.error is None]
        lines += layers.collect(kernel)
        try:
            lock = kernel.records.lock(layers.LOCK, wait=False)
        except Busy:
            raise AtWork from None
        with lock:
            lines += _remove_blobs(kernel, sought)
            lines += _discard_drafts(kernel)
        return Pruned(tuple(lines), planned.size_bytes, tuple(r.error for r in removals if r.error is not None))


def _refuse_at_work(kernel: Kernel) -> None:
    try:
        with kernel.records.lock(layers.LOCK, wait=False):
            return
    except Busy:
        raise AtWork from None


def _ended(kernel: Kernel) -> tuple[str, ...]:
    return tuple(str(one) for one in store.container_ids(kernel) if has_ended(kernel, one))


def _may_go(kernel: Kernel, usage: ImageUsage, sought: Sought, ended: tuple[str, ...]) -> bool:
    """Tell whether an image is without a tag, or all are meant, and no container that stays was made of it."""
    if usage.tags and not sought.everything:
        return False
    if not usage.containers:
        return True
    uuid = kernel.storage.describe(usage.image).uuid
    return sum(kernel.storage.describe(one).parent_uuid == uuid for one in ended) == usage.containers


def _blobs(kernel: Kernel, sought: Sought, without: frozenset[str] = frozenset()) -> tuple[Blob, ...]:
    """Return the blobs that no image needs but those in `without`."""
    going = frozenset(kernel.storage.describe(image).uuid for image in without)
    used = (documents_in_use if sought.downloads else blobs_in_use)(kernel, going)
    return tuple(blob for blob in kernel.blobs.list() if blob.name not in used)


def _remove_blobs(kernel: Kernel, sought: Sought) -> list[str]:
    unused = _blobs(kernel, sought)
    for blob in unused:
        kernel.blobs.remove(blob.name)
    return [blob.name for blob in unused]


def _discard_drafts(kernel: Kernel) -> list[str]:
    gone = []
    for draft in kernel.blobs.drafts():
        try:
            lock = kernel.records.lock(f"{BLOB_LOCK}{draft.name}", wait=False)
        except Busy:
            continue
        with lock:
            kernel.blobs.discard(draft.name)
        gone.append(draft.name)
    return gone

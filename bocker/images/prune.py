"""`prune`: space is given back. Nothing that is in use goes, and nothing that somebody works with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.core.errors import BockerError, NoSuchObject
from bocker.core.ids import ImageId
from bocker.core.value import Value
from bocker.engine import layers, store
from bocker.engine.failures import Doing
from bocker.engine.removal import collect, remove
from bocker.engine.tags import remove_idle
from bocker.images.blobs import blobs_in_use, blobs_to_keep
from bocker.images.errors import AtWork
from bocker.images.space import ImageUsage, has_ended, image_usages, written_bytes
from bocker.kernel.errors import Busy, Missing
from bocker.registry.transfers import lock_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bocker.core.settings import Settings
    from bocker.engine.removal import Removal
    from bocker.kernel import Kernel
    from bocker.kernel.blobs import Blob


class Sought(Value):
    """What to prune beside images without a tag and what belongs to no image.

    everything: tagged images, too. containers: those that have ended. downloads: the layers as they were
    downloaded, of images that are here, too, where a registry has them; what then is pushed is fetched again.
    """

    everything: bool = False
    containers: bool = False
    downloads: bool = False


class Plan(Value):
    """What would go, by id, name or digest, and about how many bytes that gives back."""

    containers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()
    size_bytes: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """All of it, in the order in which it goes."""
        return (*self.containers, *self.images, *self.layers, *self.blobs, *self.drafts)

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to do."""
        return not self.names


class Pruned(Value):
    """What went, by id, name or digest, with its bytes; and what did not go, and why."""

    lines: tuple[str, ...]
    size_bytes: int
    errors: tuple[BockerError, ...] = ()


def plan(kernel: Kernel, settings: Settings, sought: Sought) -> Plan:
    """Return what `prune` would take away now."""
    with Doing(kernel, settings, "Looking for what can go"):
        store.check_format(kernel, settings)
        sizes = _sizes(kernel, settings, sought)
        containers, images, unneeded, blobs, drafts = map(tuple, sizes)
        return Plan(containers, images, unneeded, blobs, drafts, sum(sum(part.values()) for part in sizes))


def prune(kernel: Kernel, settings: Settings, sought: Sought) -> Pruned:
    """Take away what nobody needs. Raise AtWork, before anything went, while images come in or go out; whoever
    wants to do that meanwhile waits."""
    with Doing(kernel, settings, "Pruning"):
        store.check_format(kernel, settings)
        try:
            lock = kernel.records.lock(layers.LOCK, wait=False)
        except Busy:
            raise AtWork from None
        with lock:
            containers, images, unneeded, *_ = _sizes(kernel, settings, sought)
            removals = remove(kernel, settings, tuple(containers))
            went = {one.removed: containers[one.removed] for one in removals if one.removed is not None}
            went |= _remove_images(kernel, images, sought)
            went |= {name: unneeded.get(name, 0) for name in layers.collect_held(kernel)}
            went |= _remove_blobs(kernel, sought)
            went |= _discard_drafts(kernel)
        return Pruned(tuple(went), sum(went.values()), _errors(removals))


def _remove_images(kernel: Kernel, planned: dict[str, int], sought: Sought) -> dict[str, int]:
    images = store.ids_among(planned, ImageId)
    gone = [str(image) for image in images if remove_idle(kernel, image, sought.everything)]
    collect(kernel)
    return {image: planned[image] for image in gone}


def _errors(removals: tuple[Removal, ...]) -> tuple[BockerError, ...]:
    """Return why containers did not go; one that somebody else removed did."""
    return tuple(one.error for one in removals if one.error is not None and not isinstance(one.error, NoSuchObject))


def _sizes(kernel: Kernel, settings: Settings, sought: Sought) -> tuple[dict[str, int], ...]:
    """Return what would go with its bytes: containers, images, layers, blobs, drafts."""
    ended = _ended(kernel) if sought.containers else {}
    usages = [usage for usage in image_usages(kernel, settings) if _may_go(kernel, usage, sought, ended)]
    images = {usage.image: usage.pending_bytes for usage in usages}
    leaving = _leaving(kernel, frozenset({*ended, *images}))
    return (ended, images, _layers(kernel, leaving), _blobs(kernel, sought, leaving), _named(kernel.blobs.drafts()))


def _leaving(kernel: Kernel, going: frozenset[str]) -> frozenset[str]:
    """Return the UUIDs that nothing has any more when these containers and images are gone."""
    staying = (name for name in kernel.storage.names() if name not in going)
    kept = frozenset(uuid for name in staying for uuid in store.uuids_of(kernel, name))
    return store.uuids_in_use(kernel) - kept


def _layers(kernel: Kernel, leaving: frozenset[str]) -> dict[str, int]:
    """Return the layers that nothing is made of when the contents with these UUIDs are gone."""
    contents = store.contents_in_use(kernel)
    needed = {chain_id for content in contents if content.uuid not in leaving for chain_id in content.layers}
    records = {chain_id: layers.load(kernel, chain_id) for chain_id in sorted(layers.present(kernel) - needed)}
    return {layers.name_of(chain_id): record.size_bytes if record else 0 for chain_id, record in records.items()}


def _named(files: Iterable[Blob]) -> dict[str, int]:
    return {file.name: file.size_bytes for file in files}


def _ended(kernel: Kernel) -> dict[str, int]:
    """Return the containers that have ended, with the bytes that were written into each."""
    found = {}
    for container in store.container_ids(kernel):
        try:
            if has_ended(kernel, container):
                found[str(container)] = written_bytes(kernel, container)
        except Missing:  # its files are gone already
            found[str(container)] = 0
    return found


def _may_go(kernel: Kernel, usage: ImageUsage, sought: Sought, ended: Iterable[str]) -> bool:
    """Tell whether an image is without a tag, or all are meant, and no container that stays was made of it."""
    if usage.tags and not sought.everything:
        return False
    if not usage.containers:
        return True
    own = frozenset(store.uuids_of(kernel, usage.image))
    return sum(not own.isdisjoint(store.uuids_of(kernel, one)) for one in ended) == usage.containers


def _blobs(kernel: Kernel, sought: Sought, leaving: frozenset[str] = frozenset()) -> dict[str, int]:
    """Return the blobs that no image needs when the contents with these UUIDs are gone."""
    used = (blobs_to_keep if sought.downloads else blobs_in_use)(kernel, leaving)
    return _named(blob for blob in kernel.blobs.list() if blob.name not in used)


def _remove_blobs(kernel: Kernel, sought: Sought) -> dict[str, int]:
    unused = _blobs(kernel, sought)
    for name in unused:
        kernel.blobs.remove(name)
    return unused


def _discard_drafts(kernel: Kernel) -> dict[str, int]:
    gone = {}
    for draft in kernel.blobs.drafts():
        try:
            lock = kernel.records.lock(lock_of(draft.name), wait=False)
        except Busy:
            continue
        with lock:
            kernel.blobs.discard(draft.name)
        gone[draft.name] = draft.size_bytes
    return gone

"""`df`: what takes the space, and how much of it could be given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.core import lifecycle
from bocker.core.errors import Damaged
from bocker.core.ids import ContainerId, ImageId
from bocker.core.value import Value
from bocker.engine import layers, listing, resolve, store
from bocker.engine.failures import Doing
from bocker.images.blobs import blobs_in_use
from bocker.kernel.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bocker.core.model import ImageContent
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel


class Usage(Value):
    """One kind of thing: how many there are, how many of them are in use, and their bytes."""

    kind: str
    total: int
    active: int
    size_bytes: int
    reclaimable_bytes: int


class ImageUsage(Value):
    """An image's bytes: `shared_bytes` in layers that other images have too, `own_bytes` in none but this.

    pending_bytes: those of its own that were not written as a layer yet.
    """

    image: str
    tags: tuple[str, ...]
    created_ns: int
    shared_bytes: int
    own_bytes: int
    containers: int
    pending_bytes: int = 0


class ContainerUsage(Value):
    """A container's bytes: what was written into it since it was made of its image."""

    container: str
    image: str
    name: str
    state: str
    created_ns: int
    size_bytes: int


def image_usages(kernel: Kernel, settings: Settings) -> tuple[ImageUsage, ...]:
    """Return the bytes of every image, ascending ids."""
    with Doing(kernel, settings, "Measuring the images"):
        store.check_format(kernel, settings)
        return _image_usages(kernel)


def container_usages(kernel: Kernel, settings: Settings) -> tuple[ContainerUsage, ...]:
    """Return the bytes of every container, ascending ids; one whose record can't be read is left out."""
    with Doing(kernel, settings, "Measuring the containers"):
        store.check_format(kernel, settings)
        found = (_container_usage(kernel, container) for container in store.container_ids(kernel))
        return tuple(usage for usage in found if usage is not None)


def usages(kernel: Kernel, settings: Settings) -> tuple[Usage, ...]:
    """Return what takes the space: images with their layers, containers, downloads, and what is half downloaded."""
    with Doing(kernel, settings, "Measuring the store"):
        store.check_format(kernel, settings)
        return (_images(kernel), _containers(kernel), _downloads(kernel), _drafts(kernel))


def _image_usages(kernel: Kernel) -> tuple[ImageUsage, ...]:
    contents = dict(store.image_contents(kernel))
    counts = _counted(chain_id for content in contents.values() for chain_id in set(content.layers))
    made = _counted(uuid for uuid in _parents(kernel))
    found = (_image_usage(kernel, image, content, counts, made) for image, content in contents.items())
    return tuple(usage for usage in found if usage is not None)


def _image_usage(
    kernel: Kernel, image: ImageId, content: ImageContent, counts: dict[str, int], made: dict[str, int]
) -> ImageUsage | None:
    """Return an image's bytes, None when somebody has removed it meanwhile."""
    own = shared = 0
    for chain_id, size_bytes in layers.own_bytes(kernel, content):
        if counts[chain_id] > 1:
            shared += size_bytes
        else:
            own += size_bytes
    try:
        pending = _pending_bytes(kernel, image, content)
    except Missing:
        return None
    tags, containers = resolve.tags_of(kernel, image), made.get(content.uuid, 0)
    return ImageUsage(str(image), tags, content.created_ns, shared, own + pending, containers, pending)


def _container_usage(kernel: Kernel, container: ContainerId) -> ContainerUsage | None:
    try:
        record = listing.current(kernel, container)
        size_bytes = written_bytes(kernel, container)
    except (Missing, Damaged):
        return None
    if record is None:
        return None
    return ContainerUsage(record.id, record.image, record.name or "", record.state, record.created_ns, size_bytes)


def written_bytes(kernel: Kernel, container: ContainerId) -> int:
    """Return how much was written into a container since it was made of its image. Raise Missing."""
    return kernel.storage.size_bytes(str(container), str(container))


def _pending_bytes(kernel: Kernel, image: ImageId, content: ImageContent) -> int:
    """Return what an image has beside its layers: what was committed, and not written as a layer yet."""
    if content.config is not None:
        return 0
    if not content.layers and content.size_bytes is not None:
        return content.size_bytes
    return kernel.storage.size_bytes(str(image), layers.name_of(content.layers[-1]) if content.layers else None)


def _parents(kernel: Kernel) -> list[str]:
    """Return the UUID of the image's subvolume for each container."""
    found = []
    for container in store.container_ids(kernel):
        try:
            parent = kernel.storage.describe(str(container)).parent_uuid
        except Missing:
            continue
        found += [parent] if parent else []
    return found


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


def _images(kernel: Kernel) -> Usage:
    found = _image_usages(kernel)
    records = {chain_id: layers.load(kernel, chain_id) for chain_id in layers.present(kernel)}
    in_layers = sum(record.size_bytes for record in records.values() if record)
    pending = sum(usage.pending_bytes for usage in found)
    active = [usage for usage in found if usage.containers]
    idle = sum(usage.own_bytes for usage in found if not usage.containers)
    return Usage("Images", len(found), len(active), in_layers + pending, idle)


def _containers(kernel: Kernel) -> Usage:
    sizes = {}
    for container in store.container_ids(kernel):
        try:
            sizes[container] = written_bytes(kernel, container)
        except Missing:
            continue
    ended = [container for container in sizes if has_ended(kernel, container)]
    total = sum(sizes.values())
    return Usage("Containers", len(sizes), len(sizes) - len(ended), total, sum(sizes[one] for one in ended))


def has_ended(kernel: Kernel, container: ContainerId) -> bool:
    """Tell whether a container has ended; one that nothing is known of has not."""
    try:
        return store.load_container(kernel, container).state not in lifecycle.UNFINISHED
    except (Missing, Damaged):
        return False


def _downloads(kernel: Kernel) -> Usage:
    used, blobs = blobs_in_use(kernel), kernel.blobs.list()
    idle = [blob.size_bytes for blob in blobs if blob.name not in used]
    total = sum(blob.size_bytes for blob in blobs)
    return Usage("Downloads", len(blobs), len(blobs) - len(idle), total, sum(idle))


def _drafts(kernel: Kernel) -> Usage:
    drafts = kernel.blobs.drafts()
    size_bytes = sum(draft.size_bytes for draft in drafts)
    return Usage("Partial downloads", len(drafts), 0, size_bytes, size_bytes)

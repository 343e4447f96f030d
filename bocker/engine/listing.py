"""`ps` and `images`: what the records say, and the kernel confirms."""

from __future__ import annotations

from bocker.core import lifecycle
from bocker.core.errors import Damaged
from bocker.core.value import Value
from bocker.engine import resolve, store
from bocker.engine.failures import Doing
from bocker.kernel.errors import Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.ids import ContainerId, ImageId
    from bocker.core.model import ContainerRecord, ImageContent
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel


class ImageSummary(Value):
    """An image as a list shows it. source: the directory or the tag that it was made from.

    created_ns: what its configuration says, or else when it came to be here. digests:
    HOST/REPOSITORY@sha256:… where a registry has it. size_bytes: None where it is not known.
    """

    id: str
    tags: tuple[str, ...]
    source: str
    created_ns: int
    digests: tuple[str, ...] = ()
    size_bytes: int | None = None


def containers(kernel: Kernel, settings: Settings) -> tuple[ContainerRecord, ...]:
    """Return every container, running or not, ascending; one whose engine was killed is dead. Raise Damaged, with
    all `others`."""
    with Doing(kernel, settings, "Listing the containers"):
        store.check_format(kernel, settings)
        found, damaged = [], None
        for container in store.container_ids(kernel):
            try:
                found.append(current(kernel, container))
            except Damaged as error:
                damaged = damaged or error
        records = tuple(record for record in found if record is not None)
        if damaged is not None:
            damaged.others = records
            raise damaged
        return records


def images(kernel: Kernel, settings: Settings) -> tuple[ImageSummary, ...]:
    """Return every image that is whole, ascending."""
    with Doing(kernel, settings, "Listing the images"):
        store.check_format(kernel, settings)
        found = (_summary(kernel, image, content) for image, content in store.image_contents(kernel))
        return tuple(summary for summary in found if summary is not None)


def current(kernel: Kernel, container: ContainerId) -> ContainerRecord | None:
    """Return a container's record as the kernel confirms it, None when there is none any more. Raise Damaged."""
    try:
        record = store.load_container(kernel, container)
    except Missing:
        return None  # it was removed since the listing
    if record.state not in lifecycle.UNFINISHED:
        return record
    if record.process is not None and kernel.processes.alive(record.process):
        return record
    from bocker.engine.repair import reconcile

    return reconcile(kernel, record)


def _summary(kernel: Kernel, image: ImageId, content: ImageContent) -> ImageSummary | None:
    """Return what a list shows of an image, None when it has gone since, and its tags with it."""
    created_ns = content.created_ns if content.dated_ns is None else content.dated_ns
    tags = resolve.tags_of(kernel, image)
    if not tags and not store.has_subvolume(kernel, str(image)):
        return None
    return ImageSummary(str(image), tags, content.source, created_ns, content.digests, content.size_bytes)

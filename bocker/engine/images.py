"""`init` and `commit`: an image is built aside, and becomes one at a single instant.

    claim the id, fill `.img_N.new`, write down what it is under its UUID, sync,
    then rename it to `img_N`, or exchange it with the image that it replaces

Before that instant there is nothing, or the old image; after it the new one (D6, D12).
"""

from __future__ import annotations

from bocker.core.errors import NestedSubvolumes, NoSuchDirectory, NoSuchImage, PoolFull
from bocker.core.ids import FIRST, LAST_IMAGE, ImageId
from bocker.core.model import ImageContent, ImageTags
from bocker.core.reference import looks_like_id, parse_tag
from bocker.core.value import Value
from bocker.engine import resolve, store
from bocker.engine.claims import candidates, remember
from bocker.engine.failures import Doing
from bocker.engine.undo import UndoStack
from bocker.kernel.errors import AlreadyExists, Busy, Invalid, KernelError, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

    Fill = Callable[[str], None]


class Committed(Value):
    """An image that a commit made, or replaced the content of."""

    image: ImageId
    replaced: bool


def init(
    kernel: Kernel, settings: Settings, directory: str, tag: str | None = None, source: str | None = None
) -> ImageId:
    """Make an image of a directory (an absolute path) and return its id.

    source: the same directory in a person's words, which are shown. A tag that another image has
    moves to the new one. Raise NoSuchDirectory, InvalidValue for the
    tag, PoolFull; then there is no image.
    """
    wanted = None if tag is None else parse_tag(tag)
    shown = directory if source is None else source
    with Doing(kernel, settings, f"Making an image of '{shown}'"):
        store.check_format(kernel, settings)

        def fill(aside: str) -> None:
            kernel.storage.create(aside)
            try:
                kernel.host.copy_tree(directory, f"{settings.store}/{aside}")
            except (Missing, Invalid) as error:
                raise NoSuchDirectory(shown) from error

        return _new_image(kernel, fill, shown, wanted)


def commit(kernel: Kernel, settings: Settings, container: str, target: str) -> Committed:
    """Make an image of a container's files, running or not.

    target is the id or the tag of an image, whose content is replaced, or a new tag. Raise
    NoSuchContainer, NoSuchImage for an id that nothing has, NestedSubvolumes; then nothing changed.
    """
    with Doing(kernel, settings, f"Committing '{container}'"):
        store.check_format(kernel, settings)
        record = resolve.container(kernel, container)
        image, tag = _target(kernel, target)
        nested = kernel.storage.nested(record.id)
        if nested:
            raise NestedSubvolumes(container, tuple(name.partition("/")[2] for name in nested))

        def fill(aside: str) -> None:
            kernel.storage.snapshot(record.id, aside)

        if image is None:
            return Committed(_new_image(kernel, fill, record.image_source, tag), False)
        _replace(kernel, image, fill, record.image_source)
        return Committed(image, True)


def aside_of(image: ImageId) -> str:
    """Return the name of what is built, or was replaced, beside an image."""
    return f".{image}.new"


def _target(kernel: Kernel, target: str) -> tuple[ImageId | None, str | None]:
    """Return the image to replace, or None and the tag of a new one."""
    if looks_like_id(target):
        whole = ImageId.parse(target)
        if whole is None or whole not in store.image_ids(kernel):
            raise NoSuchImage(target)
        return whole, None
    tag = parse_tag(target)
    return resolve.tagged(kernel, tag), tag


def _new_image(kernel: Kernel, fill: Fill, source: str, tag: str | None) -> ImageId:
    store.ensure_format(kernel)
    for image in candidates(kernel, store.IMAGES, ImageId, LAST_IMAGE):
        try:
            lock = kernel.records.lock(str(image), wait=False)
        except Busy:
            continue
        with lock:
            # A subvolume without a record is not ours to touch.
            if not store.has_subvolume(kernel, str(image)) and _claim(kernel, image, tag):
                _build(kernel, image, fill, source)
                if tag is not None:
                    _take_tag(kernel, tag, image)
                return image
    raise PoolFull(LAST_IMAGE - FIRST + 1, "image ids")


def _claim(kernel: Kernel, image: ImageId, tag: str | None) -> bool:
    tags = ImageTags(str(image), () if tag is None else (tag,))
    try:
        kernel.records.claim(store.image_key(image), store.encode(tags))
    except AlreadyExists:
        return False
    return True


def _build(kernel: Kernel, image: ImageId, fill: Fill, source: str) -> None:
    with UndoStack() as undo:
        undo.push_journal(kernel.records.remove, store.image_key(image))
        remember(kernel, store.IMAGES, image)
        uuid = _filled(kernel, image, fill, source, undo)
        try:
            kernel.storage.publish(aside_of(image), str(image))
        except KernelError:
            if _uuid_of(kernel, image) != uuid:  # it may have been done in spite of the answer
                raise
        undo.commit()


def _replace(kernel: Kernel, image: ImageId, fill: Fill, source: str) -> None:
    with kernel.records.lock(str(image)):
        old_uuid = _uuid_of(kernel, image)
        if old_uuid is None:
            raise NoSuchImage(str(image))
        with UndoStack() as undo:
            uuid = _filled(kernel, image, fill, source, undo)
            try:
                kernel.storage.exchange(aside_of(image), str(image))
            except KernelError:
                if _uuid_of(kernel, image) != uuid:
                    raise
            undo.commit()
        _forget(kernel, aside_of(image), old_uuid)


def _filled(kernel: Kernel, image: ImageId, fill: Fill, source: str, undo: UndoStack) -> str:
    """Build the content aside, on disk with its record; return its UUID."""
    aside = aside_of(image)
    undo.push(kernel.storage.sync)  # or the space of what is deleted next is not there yet for whoever tries again
    undo.push(store.delete_subvolume, kernel, aside)  # before: a copy that fails leaves a part
    try:
        fill(aside)
    except AlreadyExists:  # left by an engine that was killed; the lock says that nobody builds it now
        store.delete_subvolume(kernel, aside)
        fill(aside)
    uuid = kernel.storage.describe(aside).uuid
    content = ImageContent(uuid, source, kernel.ambient.now_ns())
    undo.push(kernel.records.remove, store.content_key(uuid))
    kernel.records.write(store.content_key(uuid), store.encode(content), durable=True)
    kernel.storage.sync()
    return uuid


def _forget(kernel: Kernel, aside: str, uuid: str) -> None:
    """Delete what was replaced. The image is the new one by now: what fails here is left to `cleanup`."""
    try:
        store.delete_subvolume(kernel, aside)
        kernel.records.remove(store.content_key(uuid))
    except KernelError:
        return


def _take_tag(kernel: Kernel, tag: str, image: ImageId) -> None:
    """Take a tag from those that had it. The newest counts anyway: what fails here is left to `cleanup`."""
    try:
        resolve.give_up_tag(kernel, tag, image)
    except KernelError:
        return


def _uuid_of(kernel: Kernel, image: ImageId) -> str | None:
    try:
        return kernel.storage.describe(str(image)).uuid
    except Missing:
        return None

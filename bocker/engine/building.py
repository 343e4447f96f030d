"""How an image comes to be: it is built aside, and becomes one at a single instant.

    claim the id, fill `.img_N.new`, sync, write down what it is under its UUID,
    then rename it to `img_N`, or exchange it with the image that it replaces, and sync

Before that instant there is nothing, or the old image; after it the new one (D6, D12), and whoever is
told of it finds it after a power failure too.
"""

from __future__ import annotations

from bocker.core.errors import NoSuchImage, PoolFull
from bocker.core.ids import FIRST, LAST_IMAGE, ImageId
from bocker.core.model import ImageContent, ImageTags
from bocker.core.value import Value
from bocker.engine import resolve, store
from bocker.engine.claims import candidates, remember
from bocker.engine.undo import UndoStack
from bocker.kernel.errors import AlreadyExists, Busy, KernelError, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.kernel import Kernel


class Recipe(Value):
    """How an image's tree is made, and what is to be known of it.

    begin: makes the subvolume of the name it is given, by one operation. fill: what is left to do
    in it. content: the record, but for its UUID, time and size. created_ns: when it came to be, if not now.
    """

    content: ImageContent
    begin: Callable[[str], None]
    fill: Callable[[str], None] | None = None
    created_ns: int | None = None


def new_image(kernel: Kernel, recipe: Recipe, tag: str | None) -> ImageId:
    """Make an image of an id of its own. A tag that another image has moves to it. Raise PoolFull."""
    store.ensure_format(kernel)
    for image in candidates(kernel, store.IMAGES, ImageId, LAST_IMAGE):
        try:
            lock = kernel.records.lock(str(image), wait=False)
        except Busy:
            continue
        with lock:
            # A subvolume without a record is not ours to touch.
            if not store.has_subvolume(kernel, str(image)) and _claim(kernel, image, tag):
                _build(kernel, image, recipe, tag)
                if tag is not None:
                    _take_tag(kernel, tag, image)
                return image
    raise PoolFull(LAST_IMAGE - FIRST + 1, "image ids")


def replace_image(kernel: Kernel, image: ImageId, recipe: Recipe) -> None:
    """Give an image another content, at one instant. Raise NoSuchImage."""
    with kernel.records.lock(str(image)):
        replace_held(kernel, image, recipe)


def replace_held(kernel: Kernel, image: ImageId, recipe: Recipe) -> None:
    """As `replace_image`, for a caller who holds the image's lock."""
    old_uuid = _uuid_of(kernel, image)
    if old_uuid is None:
        raise NoSuchImage(str(image))
    with UndoStack() as undo:
        uuid = _filled(kernel, image, recipe, undo)
        try:
            kernel.storage.exchange(aside_of(image), str(image))
        except KernelError:
            if _uuid_of(kernel, image) != uuid:
                raise
        undo.push(kernel.storage.exchange, aside_of(image), str(image))
        kernel.storage.sync()
        undo.commit()
    _forget(kernel, aside_of(image), old_uuid)


def aside_of(image: ImageId) -> str:
    """Return the name of what is built, or was replaced, beside an image."""
    return f".{image}.new"


def frozen_of(name: object) -> str:
    """Return the name of the snapshot that an image's layer, or a container's archive, is written from."""
    return f".{name}.frozen"


def freeze(kernel: Kernel, source: str) -> str:
    """Make the read-only snapshot `frozen_of(source)`, and return its name. The caller holds a lock for it."""
    frozen = frozen_of(source)
    try:
        kernel.storage.snapshot(source, frozen, read_only=True)
    except AlreadyExists:  # left by an engine that was killed
        store.delete_subvolume(kernel, frozen)
        kernel.storage.snapshot(source, frozen, read_only=True)
    return frozen


def _claim(kernel: Kernel, image: ImageId, tag: str | None) -> bool:
    tags = ImageTags(str(image), () if tag is None else (tag,))
    try:
        kernel.records.claim(store.image_key(image), store.encode(tags))
    except AlreadyExists:
        return False
    return True


def _build(kernel: Kernel, image: ImageId, recipe: Recipe, tag: str | None) -> None:
    with UndoStack() as undo:
        undo.push_journal(kernel.records.remove, store.image_key(image))
        uuid = _filled(kernel, image, recipe, undo)
        try:
            _publish(kernel, image, tag)
        except KernelError:
            if _uuid_of(kernel, image) != uuid:  # it may have been done in spite of the answer
                raise
        undo.push(store.delete_subvolume, kernel, str(image))
        kernel.storage.sync()
        remember(kernel, store.IMAGES, image)  # not before: what fails uses no id up
        undo.commit()


def _publish(kernel: Kernel, image: ImageId, tag: str | None) -> None:
    """Give an image its name. With a tag, while nobody takes that away with the image that has it."""
    if tag is None:
        kernel.storage.publish(aside_of(image), str(image))
    else:
        with kernel.records.lock(store.NAMES_LOCK):
            kernel.storage.publish(aside_of(image), str(image))


def _filled(kernel: Kernel, image: ImageId, recipe: Recipe, undo: UndoStack) -> str:
    """Build the content aside, on disk with its record; return its UUID."""
    aside = aside_of(image)
    undo.push(kernel.storage.sync)  # or the space of what is deleted next is not there yet for whoever tries again
    undo.push(store.delete_subvolume, kernel, aside)  # before: a copy that fails leaves a part
    try:
        recipe.begin(aside)
    except AlreadyExists:  # left by an engine that was killed; the lock says that nobody builds it now
        store.delete_subvolume(kernel, aside)
        recipe.begin(aside)
    if recipe.fill is not None:
        recipe.fill(aside)
    kernel.storage.sync()  # its size, too, is known only when it is on disk
    uuid = kernel.storage.describe(aside).uuid
    created_ns = kernel.ambient.now_ns() if recipe.created_ns is None else recipe.created_ns
    content = recipe.content.replace(uuid=uuid, created_ns=created_ns, size_bytes=kernel.storage.size_bytes(aside))
    undo.push(kernel.records.remove, store.content_key(uuid))
    kernel.records.write(store.content_key(uuid), store.encode(content), durable=True)
    return uuid


def _forget(kernel: Kernel, aside: str, uuid: str) -> None:
    """Delete what was replaced. The image is the new one by now: what fails here is left to `cleanup`."""
    try:
        store.delete_subvolume(kernel, aside)
        store.forget_content(kernel, uuid)
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

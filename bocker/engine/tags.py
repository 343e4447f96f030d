"""`tag` and `rmi`: names of images come and go; an image goes with its last one."""

from __future__ import annotations

from bocker.core.errors import BockerError, Damaged, NoSuchImage
from bocker.core.model import ImageTags
from bocker.core.reference import parse_tag
from bocker.core.value import Value
from bocker.engine import resolve, store
from bocker.engine.failures import Doing
from bocker.engine.removal import collect, destroy_image
from bocker.engine.undo import UndoStack
from bocker.kernel.errors import Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.ids import ImageId
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel


class Untagged(Value):
    """What became of one word of `rmi`: the tags that went, the image if it went too, or why nothing did."""

    reference: str
    tags: tuple[str, ...] = ()
    removed: str | None = None
    error: BockerError | None = None


def tag(kernel: Kernel, settings: Settings, reference: str, wanted: str) -> ImageId:
    """Give an image one more tag; one that another image has moves. Raise NoSuchImage, InvalidValue."""
    name = parse_tag(wanted)
    with Doing(kernel, settings, f"Tagging '{reference}'"):
        store.check_format(kernel, settings)
        image = resolve.image(kernel, reference)
        # Asked again: or the store went, and who had the tag before was not to be seen.
        add_tag(kernel, image, name, reference, lambda: store.check_format(kernel, settings))
        return image


def add_tag(
    kernel: Kernel, image: ImageId, name: str, reference: str, confirm: Callable[[], object] | None = None
) -> None:
    """Give an image a tag, and take it from the one that had it. Raise NoSuchImage, with `reference`, when it is gone.

    In between both have it: whichever then counts, it is one of them. Where `confirm` raises, it is taken back.
    """
    with kernel.records.lock(str(image)):
        if not store.has_subvolume(kernel, str(image)):
            raise NoSuchImage(reference)
        with kernel.records.lock(store.NAMES_LOCK), UndoStack() as undo:
            tags = resolve.tags_of(kernel, image)
            if name not in tags:
                _change(kernel, image, tags, (*tags, name), undo)
            for holder, theirs in resolve.others_with(kernel, name, image):
                _change(kernel, holder, theirs, resolve.without(theirs, name), undo)
            if confirm is not None:
                confirm()
            undo.commit()


def remove_images(
    kernel: Kernel, settings: Settings, references: tuple[str, ...], force: bool = False
) -> tuple[Untagged, ...]:
    """Take tags away, as docker's `rmi`: an image goes with its last one, or when it is named by its id.

    One that has several tags goes by its id only with `force`. What fails does not keep the others.
    Raise only what concerns all of them.
    """
    with Doing(kernel, settings, "Looking up what to remove"):
        store.check_format(kernel, settings)
    return tuple(_removed(kernel, settings, reference, force) for reference in dict.fromkeys(references))


def _removed(kernel: Kernel, settings: Settings, reference: str, force: bool) -> Untagged:
    try:
        with Doing(kernel, settings, f"Removing '{reference}'"):
            done = _taken(kernel, reference, force)
    except BockerError as error:
        return Untagged(reference, error=error)
    if done.removed is not None:
        collect(kernel)
    return done


def _taken(kernel: Kernel, reference: str, force: bool) -> Untagged:
    """Decide and act while nobody can give the image a tag, or take one from it."""
    while True:
        image = resolve.image(kernel, reference)
        with kernel.records.lock(str(image)), kernel.records.lock(store.NAMES_LOCK):
            if resolve.find_image(kernel, reference) != image:  # a tag moved meanwhile, or somebody was faster
                continue
            tags = _own_tags(kernel, image)
            named = resolve.tag_meant(reference, tags)
            for going in tags if named is None else (named,):  # an engine that gave one to another image was killed
                resolve.take_from_others(kernel, going, image)
            if named is not None and len(tags) > 1:
                _write(kernel, image, resolve.without(tags, named))
                return Untagged(reference, (named,))
            if len(tags) > 1 and not force:
                raise SeveralTags(reference, tags)
            destroy_image(kernel, image)
            return Untagged(reference, tags, str(image))


def _own_tags(kernel: Kernel, image: ImageId) -> tuple[str, ...]:
    """Return an image's tags without those that a newer image has, whose maker was killed before it took them away."""
    return tuple(tag for tag in resolve.tags_of(kernel, image) if resolve.tagged(kernel, tag) == image)


def remove_idle(kernel: Kernel, image: ImageId, tagged_too: bool) -> bool:
    """Remove an image unless it is gone, or has a tag by now; return whether it was removed. What its layers
    take is given back by `removal.collect`."""
    with kernel.records.lock(str(image)), kernel.records.lock(store.NAMES_LOCK):
        if image not in store.image_ids(kernel) or not (tagged_too or _has_no_tag(kernel, image)):
            return False
        destroy_image(kernel, image)
        return True


def _has_no_tag(kernel: Kernel, image: ImageId) -> bool:
    """Tell whether an image's record says so; one that can't be read says nothing."""
    try:
        return not store.load_tags(kernel, image).tags
    except (Missing, Damaged):
        return False


class SeveralTags(BockerError):
    """An image that has more names than one was named by its id."""

    def __init__(self, reference: str, tags: tuple[str, ...]) -> None:
        shown = ", ".join(tags[:4]) + (", …" if len(tags) > 4 else "")
        super().__init__(f"Image '{reference}' has several tags: {shown}", "say which, or use: bocker rmi -f")
        self.reference = reference
        self.tags = tags


def _change(kernel: Kernel, image: ImageId, before: tuple[str, ...], after: tuple[str, ...], undo: UndoStack) -> None:
    undo.act(lambda: _write(kernel, image, after), _write, kernel, image, before)


def _write(kernel: Kernel, image: ImageId, tags: tuple[str, ...]) -> None:
    kernel.records.write(store.image_key(image), store.encode(ImageTags(str(image), tags)), durable=True)

"""From a word to a container or an image: whole ids, names, tags, prefixes of ids. Nothing else (D1, W11).

A whole id costs one record and a name two, as `run` and `exec` wait for it; tags are looked for in
all of the images' records.
"""

from __future__ import annotations

from bocker.core.errors import AmbiguousReference, Damaged, InvalidValue, NoSuchContainer, NoSuchImage, NoSuchObject
from bocker.core.ids import ContainerId, ImageId
from bocker.core.model import ImageTags
from bocker.core.reference import (
    DEFAULT_HOST,
    DEFAULT_NAMESPACE,
    is_prefix_word,
    matching,
    parse_name,
    parse_tag,
    split_tag,
)
from bocker.engine import store
from bocker.kernel.errors import Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeVar

    from bocker.core.ids import Id
    from bocker.core.model import ContainerRecord
    from bocker.kernel import Kernel

    AnyId = TypeVar("AnyId", bound=Id)


def container(kernel: Kernel, reference: str) -> ContainerRecord:
    """Return the container that a word names. Raise NoSuchContainer, AmbiguousReference, Damaged."""
    found = find_container(kernel, reference)
    if found is None:
        raise NoSuchContainer(reference, _image_hint(kernel, reference) or _left_hint(kernel, reference))
    return found


def image(kernel: Kernel, reference: str) -> ImageId:
    """Return the image that a word names. Raise NoSuchImage, AmbiguousReference.

    A whole id may be that of an image that is not finished: it has no subvolume yet.
    """
    found = find_image(kernel, reference)
    if found is None:
        raise NoSuchImage(reference, _lost_tags_hint(kernel))
    return found


def anything(kernel: Kernel, reference: str) -> ContainerId | ImageId:
    """Return what a word names. Raise NoSuchObject, AmbiguousReference when it names one of each."""
    found: list[ContainerId | ImageId] = []
    record = find_container_id(kernel, reference)
    if record is not None:
        found.append(record)
    picture = find_image(kernel, reference)
    if picture is not None:
        found.append(picture)
    if not found:
        raise NoSuchObject(reference)
    if len(found) > 1:
        raise AmbiguousReference(reference, tuple(str(identity) for identity in found))
    return found[0]


def find_container(kernel: Kernel, reference: str) -> ContainerRecord | None:
    """Return the container that a word names, None when it names none."""
    whole = ContainerId.parse(reference)
    record = None if whole is not None else _record_named(kernel, reference)
    if record is not None:
        return record
    found = whole or _by_prefix(kernel, reference)
    try:
        return None if found is None else store.load_container(kernel, found)
    except Missing:
        return None


def find_container_id(kernel: Kernel, reference: str) -> ContainerId | None:
    """Return the id of the container that a word names, None when it names none."""
    whole = ContainerId.parse(reference)
    if whole is not None:
        return whole if _claimed(kernel, store.container_key(whole)) else None
    return named(kernel, reference) or _by_prefix(kernel, reference)


def _by_prefix(kernel: Kernel, reference: str) -> ContainerId | None:
    if not is_prefix_word(reference, ContainerId.prefix):
        return None
    return _only(reference, store.container_ids(kernel))


def find_image(kernel: Kernel, reference: str) -> ImageId | None:
    """Return the image that a word names, None when it names none."""
    whole = ImageId.parse(reference)
    if whole is not None:
        return whole if _claimed(kernel, store.image_key(whole)) else None
    if is_prefix_word(reference, ImageId.prefix):
        return _only(reference, store.image_ids(kernel))
    if "@" in reference:
        return _by_digest(kernel, reference)
    try:
        tag = parse_tag(reference)
    except InvalidValue:
        return None
    return tagged(kernel, tag)


def _by_digest(kernel: Kernel, reference: str) -> ImageId | None:
    """Return the image that was pulled, or pushed, as NAME@sha256:… (with a tag or without)."""
    words, _, digest = reference.partition("@")
    name = split_tag(words)[0]
    meant = {f"{prefix}{name}@{digest}" for prefix in ("", DEFAULT_HOST, DEFAULT_HOST + DEFAULT_NAMESPACE)}
    for image, content in store.image_contents(kernel):
        if meant.intersection(content.digests):
            return image
    return None


def tagged(kernel: Kernel, tag: str) -> ImageId | None:
    """Return the image that has a tag, None when none has.

    A tag moves to a new image at the instant when that is published; until the older image has
    given the tag up, both have it, and the newer one counts.
    """
    holders = _holders(kernel, tag)
    if len(holders) < 2:
        return holders[0] if holders else None
    return max(holders, key=lambda image: (_created_ns(kernel, image), image.number))


def _holders(kernel: Kernel, tag: str) -> list[ImageId]:
    """Return the images that have a tag.

    They are looked at one after the other, so a tag that moves meanwhile can be missed: that none has it
    counts only when all were seen the same twice in a row (a double collect: Afek and others, "Atomic
    snapshots of shared memory", 1993).
    """
    before = None
    while True:
        seen = [(image, tags_of(kernel, image)) for image in store.image_ids(kernel)]
        holders = [image for image, tags in seen if tag in tags]
        if holders or seen == before or not seen:
            return holders
        before = seen


def _created_ns(kernel: Kernel, image: ImageId) -> int:
    try:
        return store.image_content(kernel, image).created_ns
    except Missing:
        return 0


def tag_meant(reference: str, tags: tuple[str, ...]) -> str | None:
    """Return which of an image's tags a word is, None for an id, a prefix or a digest."""
    try:
        name = parse_tag(reference)
    except InvalidValue:
        return None
    return name if name in tags else None


def tags_of(kernel: Kernel, image: ImageId) -> tuple[str, ...]:
    """Return an image's tags; none where its record can't be read."""
    try:
        return store.load_tags(kernel, image).tags
    except (Missing, Damaged):
        return ()


def give_up_tag(kernel: Kernel, tag: str, winner: ImageId | None = None) -> ImageId | None:
    """Take a tag from every image but one, the one that counts unless said; return it, None when nothing changed.

    Where the winner lost it meanwhile, it is somebody else's by right.
    """
    with kernel.records.lock(store.NAMES_LOCK):
        holders = [image for image in store.image_ids(kernel) if tag in tags_of(kernel, image)]
        winner = tagged(kernel, tag) if winner is None else winner
        if winner not in holders or len(holders) < 2:
            return None
        take_from_others(kernel, tag, winner)
        return winner


def take_from_others(kernel: Kernel, tag: str, winner: ImageId) -> None:
    """Take a tag from every image but one. The caller holds the names' lock."""
    for image, tags in others_with(kernel, tag, winner):
        kept = ImageTags(str(image), without(tags, tag))
        kernel.records.write(store.image_key(image), store.encode(kept), durable=True)


def others_with(kernel: Kernel, tag: str, winner: ImageId) -> Iterator[tuple[ImageId, tuple[str, ...]]]:
    """Give every image but one that has a tag, with all of its tags."""
    for image in store.image_ids(kernel):
        tags = tags_of(kernel, image)
        if image != winner and tag in tags:
            yield image, tags


def without(tags: tuple[str, ...], tag: str) -> tuple[str, ...]:
    """Return tags without one of them."""
    return tuple(other for other in tags if other != tag)


def named(kernel: Kernel, name: str) -> ContainerId | None:
    """Return the id of the container that has a name, None when none has. Raise Damaged where nobody can tell."""
    record = _record_named(kernel, name)
    return None if record is None else store.id_of(record)


def _record_named(kernel: Kernel, name: str) -> ContainerRecord | None:
    """Return the container that has a name.

    A record of its own says which it is, so that no other has to be read; what counts is the
    container's record, as the other may be left from a container that is gone.
    """
    found = noted(kernel, name)
    try:
        record = None if found is None else store.load_container(kernel, found)
    except Missing:
        return None
    return record if record is not None and record.name == name else None


def note_name(kernel: Kernel, name: str, container: ContainerId) -> None:
    """Write down that a container has a name. The caller holds the names' lock and has found it free."""
    kernel.records.write(store.name_key(name), f"{container}\n".encode())


def is_noted(kernel: Kernel, name: str) -> bool:
    """Tell whether a name leads to a container that has it, or whose record can't be read."""
    found = noted(kernel, name)
    try:
        return found is not None and store.load_container(kernel, found).name == name
    except Missing:  # its files may be there: then its record will be, too
        return store.has_subvolume(kernel, str(found))
    except Damaged:
        return True


def give_up_name(kernel: Kernel, name: str, container: ContainerId) -> None:
    """Forget that a container has a name, unless another has taken it since."""
    with kernel.records.lock(store.NAMES_LOCK):
        if noted(kernel, name) == container:
            kernel.records.remove(store.name_key(name))


def noted(kernel: Kernel, name: str) -> ContainerId | None:
    """Return the container to which a name leads, whether it is there or not."""
    try:
        noted = kernel.records.read(store.name_key(parse_name(name)))
    except (Missing, InvalidValue):  # a word that can't be a name makes no path
        return None
    return ContainerId.parse(noted.decode("ascii", "replace").strip())


def _claimed(kernel: Kernel, key: str) -> bool:
    try:
        kernel.records.read(key)
    except Missing:
        return False
    return True


def _only(reference: str, ids: Iterable[AnyId]) -> AnyId | None:
    found = matching(reference, ids)
    if len(found) > 1:
        raise AmbiguousReference(reference, tuple(str(identity) for identity in found))
    return found[0] if found else None


def _left_hint(kernel: Kernel, reference: str) -> str | None:
    """Return what to do where a container's files are there and its record is gone."""
    found = ContainerId.parse(reference) or noted(kernel, reference)
    is_left = found is not None and store.has_subvolume(kernel, str(found))
    return f"the record of {found} is gone; run: bocker cleanup" if is_left else None


def _lost_tags_hint(kernel: Kernel) -> str | None:
    """Return what to do where an image's record can't be read: that one may be meant."""
    for image in store.image_ids(kernel):
        try:
            store.load_tags(kernel, image)
        except Missing:
            continue
        except Damaged:
            return f"the record of {image} is damaged, and its tags with it; run: bocker cleanup, and tag it again"
    return None


def _image_hint(kernel: Kernel, reference: str) -> str | None:
    try:
        found = find_image(kernel, reference)
    except AmbiguousReference:
        return None
    return None if found is None else f"{found} is an image; to start a container of it, use: bocker run {found}"

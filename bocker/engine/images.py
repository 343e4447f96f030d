"""`init` and `commit`: an image from a directory, or from a container's files."""

from __future__ import annotations

import errno

from bocker.core.errors import HoldsTheStore, NestedSubvolumes, NoSuchDirectory, NoSuchImage
from bocker.core.ids import ImageId
from bocker.core.model import ImageContent, StepRecord
from bocker.core.reference import looks_like_id, parse_tag
from bocker.core.value import Value
from bocker.engine import layers, resolve, store
from bocker.engine.building import Recipe, new_image, replace_image
from bocker.engine.failures import Doing
from bocker.engine.removal import collect
from bocker.kernel.errors import Invalid, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.model import ContainerRecord
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

    Changes = Callable[[ImageContent], ImageContent]


class Committed(Value):
    """An image that a commit made, or replaced the content of."""

    image: ImageId
    replaced: bool


def init(
    kernel: Kernel, settings: Settings, directory: str, tag: str | None = None, source: str | None = None
) -> ImageId:
    """Make an image of a directory (an absolute path) and return its id.

    source: the same directory in a person's words, which are shown. A tag that another image has
    moves to the new one. Raise NoSuchDirectory, HoldsTheStore, InvalidValue for the
    tag, PoolFull; then there is no image.
    """
    wanted = None if tag is None else parse_tag(tag)
    shown = directory if source is None else source
    with Doing(kernel, settings, f"Making an image of '{shown}'"):
        store.check_format(kernel, settings)

        def fill(aside: str) -> None:
            try:
                kernel.host.copy_tree(directory, f"{settings.store}/{aside}")
            except (Missing, Invalid) as error:
                if error.errno == errno.EINVAL:
                    raise HoldsTheStore(shown, settings.store) from error
                raise NoSuchDirectory(shown) from error

        return new_image(kernel, Recipe(ImageContent("", shown, 0), kernel.storage.create, fill), wanted)


def commit(
    kernel: Kernel, settings: Settings, container: str, target: str, changes: Changes | None = None
) -> Committed:
    """Make an image of a container's files, running or not.

    target is the id or the tag of an image, whose content is replaced, or a new tag. changes: what
    the new image's configuration has else than that of the container's image. Raise
    NoSuchContainer, NoSuchImage for an id that nothing has, NestedSubvolumes; then nothing changed.
    """
    with Doing(kernel, settings, f"Committing '{container}'"):
        store.check_format(kernel, settings)
        record = resolve.container(kernel, container)
        meant = store.Meant(kernel, store.id_of(record), container)
        with meant:
            nested = kernel.storage.nested(record.id)
        if nested:
            raise NestedSubvolumes(container, tuple(name.partition("/")[2] for name in nested))
        with layers.in_work(kernel), meant:  # the new image has the layers that the container was made of
            content = _descended(kernel, record)
            recipe = Recipe(
                content if changes is None else changes(content),
                lambda aside: kernel.storage.snapshot(record.id, aside),
            )
            committed = _committed(kernel, target, recipe)
        if committed.replaced:
            collect(kernel)  # layers that only the content before had
        return committed


def _committed(kernel: Kernel, target: str, recipe: Recipe) -> Committed:
    while True:
        image, tag = _target(kernel, target)
        if image is None:
            return Committed(new_image(kernel, recipe, tag), False)
        try:
            replace_image(kernel, image, recipe)
        except NoSuchImage:
            if tag is None:
                raise
            continue  # somebody has removed it meanwhile, so its tag is a new one
        return Committed(image, True)


def _descended(kernel: Kernel, record: ContainerRecord) -> ImageContent:
    """Return what is known of the image that a container was made from, as the base of another one.

    A container's subvolume is a snapshot of that image's, also where the image is another one by now.
    What `run` was told of environment, user, directory, labels and signal stays, as with docker; the
    command is the image's own.
    """
    parent = kernel.storage.describe(record.id).parent_uuid
    content = store.content_or_unknown(kernel, parent or "none")
    return content.replace(
        source=record.image_source,
        environment=record.environment or content.environment,
        working_directory=record.working_directory or content.working_directory,
        user=record.user or content.user,
        stop_signal=record.stop_signal or content.stop_signal,
        labels=record.labels or content.labels,
        base=content.config or content.base,
        earlier=() if content.config or not content.created_ns else (*content.earlier, _step(content)),
        config=None,
        digests=(),
        dated_ns=None,
        author="",
        message="",
    )


def _step(content: ImageContent) -> str:
    return store.encode(StepRecord(content.created_ns, content.author, content.message)).decode()


def _target(kernel: Kernel, target: str) -> tuple[ImageId | None, str | None]:
    """Return the image to replace, or None and the tag of a new one."""
    if looks_like_id(target):
        whole = ImageId.parse(target)
        if whole is None or whole not in store.image_ids(kernel):
            raise NoSuchImage(target)
        return whole, None
    tag = parse_tag(target)
    return resolve.tagged(kernel, tag), tag

"""`history`: how an image came about, the newest step first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.core.value import Value
from bocker.engine import layers, resolve, store
from bocker.engine.failures import Doing
from bocker.images.contents import config_of
from bocker.images.seal import steps_of

if TYPE_CHECKING:
    from bocker.core.model import ImageContent
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel


class Step(Value):
    """One step. image: the id, of the newest step alone. size_bytes: what its layer adds, 0 where it has none."""

    image: str | None
    created_ns: int | None
    created_by: str
    size_bytes: int
    comment: str


def history(kernel: Kernel, settings: Settings, reference: str) -> tuple[Step, ...]:
    """Return the steps that made an image. Raise NoSuchImage."""
    with Doing(kernel, settings, f"Reading the history of '{reference}'"):
        store.check_format(kernel, settings)
        image = resolve.image(kernel, reference)
        with store.Meant(kernel, image, reference):
            content = store.image_content(kernel, image)
            steps = [*_written(kernel, content), *_pending(kernel, str(image), content)]
    newest_first = list(reversed(steps))
    return tuple(step.replace(image=str(image) if number == 0 else None) for number, step in enumerate(newest_first))


def _written(kernel: Kernel, content: ImageContent) -> list[Step]:
    config = config_of(kernel, content)
    if config is None:
        return []
    sizes = iter([size for _, size in layers.own_bytes(kernel, content)])
    told = [
        Step(None, entry.created_ns, entry.created_by, 0 if entry.empty_layer else next(sizes, 0), entry.comment)
        for entry in config.history
    ]
    return told + [Step(None, None, "", size, "") for size in sizes]  # layers that the history says nothing of


def _pending(kernel: Kernel, image: str, content: ImageContent) -> list[Step]:
    """Return the steps of an image whose own layer was not written yet."""
    if content.config is not None:
        return []
    below = layers.name_of(content.layers[-1]) if content.layers else None
    size_bytes = kernel.storage.size_bytes(image, below)
    *earlier, last = (
        Step(None, step.created_ns, step.created_by, 0, step.comment) for step in steps_of(content, has_layer=True)
    )
    return [*earlier, last.replace(size_bytes=size_bytes)]

"""What every image that comes in goes through, from a registry or from an archive."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bocker.engine import layers, store
from bocker.kernel.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from bocker.core.ids import ImageId
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.registry.config import ImageConfig
    from bocker.registry.platforms import Platform


def tell_platform(offered: Platform, wanted: Platform, watch: Watch) -> None:
    """Say that an image, which no index chose, is for other machines. Whoever wants it all the same has it."""
    if offered not in wanted.accepts():
        watch.say(f"Warning: the image is for {offered}, not for {wanted}")


def only_once(kernel: Kernel, config: ImageConfig) -> AbstractContextManager[None]:
    """Keep others who want the same image waiting: it is one, of one id."""
    return kernel.records.lock(f"config_{config.image_id.hexadecimal}")


def image_of(kernel: Kernel, config: str) -> ImageId | None:
    """Return the image that has a configuration (its digest as text), None when none has."""
    found = (image for image, content in store.image_contents(kernel) if content.config == config)
    return next(found, None)


@contextmanager
def tidied(kernel: Kernel) -> Iterator[None]:
    """Take away, where the block fails, the layers that were unpacked for nothing."""
    try:
        yield
    except BaseException as error:
        try:
            layers.collect(kernel)
        except KernelError as failure:  # left to `cleanup`
            error.add_note(f"not taken back: {failure}")
        raise

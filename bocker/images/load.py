"""`load`: images from an archive, docker's or OCI's, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bocker.core.errors import NoSuchImage
from bocker.core.value import Value
from bocker.engine import layers, store
from bocker.engine.building import Recipe, new_image
from bocker.engine.failures import Doing
from bocker.engine.tags import add_tag
from bocker.images.archive import read_archive
from bocker.images.assembly import AllHere, Assembly
from bocker.images.contents import content_of, put_document
from bocker.images.incoming import image_of, only_once, tell_platform, tidied
from bocker.kernel.archives import Bounds
from bocker.registry.config import layers_of

if TYPE_CHECKING:
    from bocker.core.ids import ImageId
    from bocker.core.settings import Settings
    from bocker.images.archive import Packaged
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.registry.platforms import Platform

EMPTY_NAME = "<none>"


class LoadRequest(Value):
    """What to load: a file's absolute path or `STANDARD_STREAM`. bounds: of the archive, and of each layer."""

    path: str
    platform: Platform
    bounds: Bounds = Bounds()


@attrs.frozen
class Loaded:
    """An image that an archive held, with the tags that it has from there."""

    image: ImageId
    tags: tuple[str, ...]


def load(kernel: Kernel, settings: Settings, request: LoadRequest, watch: Watch) -> tuple[Loaded, ...]:
    """Bring the images of an archive here; a tag that another image has moves. One that is here keeps its id.

    All documents are read before the first image is made. Raise BadArchive, BadDocument, BadLayer.
    """
    with Doing(kernel, settings, "Loading the archive"):
        store.check_format(kernel, settings)
        store.ensure_format(kernel)
        with tidied(kernel), layers.in_work(kernel):
            packaged = read_archive(kernel, request.path, request.platform, request.bounds)
            return tuple(_loaded(kernel, settings, request, one, watch) for one in packaged)


def _loaded(kernel: Kernel, settings: Settings, request: LoadRequest, one: Packaged, watch: Watch) -> Loaded:
    tell_platform(one.config.platform, request.platform, watch)
    put_document(kernel, one.config.image_id.hexadecimal, one.config.data)
    put_document(kernel, one.manifest.digest.hexadecimal, one.manifest.data)
    with only_once(kernel, one.config):
        while True:
            here = image_of(kernel, str(one.config.image_id))
            image = _made(kernel, settings, request, one, watch) if here is None else here
            try:
                for tag in one.tags:
                    add_tag(kernel, image, tag, tag)
            except NoSuchImage:  # somebody has removed it meanwhile
                continue
            return Loaded(image, one.tags)


def _made(kernel: Kernel, settings: Settings, request: LoadRequest, one: Packaged, watch: Watch) -> ImageId:
    called = one.tags[0] if one.tags else EMPTY_NAME
    content = content_of(one.config, one.manifest, called)
    wanted = layers_of(one.manifest, one.config, f"image {called}")
    assembly = Assembly(kernel, settings, wanted, request.bounds, AllHere(), watch)
    return new_image(kernel, Recipe(content, assembly.begin, assembly.fill), one.tags[0] if one.tags else None)

"""`pull`: an image from a registry. Its layers are fetched side by side while the first ones are unpacked."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bocker.core.errors import NoSuchImage
from bocker.core.value import Value
from bocker.engine import layers, store
from bocker.engine.building import Recipe, new_image
from bocker.engine.failures import Doing
from bocker.engine.tags import add_tag
from bocker.images import sources
from bocker.images import watch as words
from bocker.images.assembly import Assembly, Supply, present_below
from bocker.images.contents import content_of, put_document, remember_origin
from bocker.images.errors import BadLayer
from bocker.images.events import WAIT_S, tell
from bocker.images.incoming import image_of, only_once, tell_platform, tidied
from bocker.kernel.archives import Bounds
from bocker.kernel.errors import KernelError
from bocker.registry.config import layers_of
from bocker.registry.transfers import Done, Transfers

if TYPE_CHECKING:
    from bocker.core.ids import ImageId
    from bocker.core.model import ImageContent
    from bocker.core.settings import Settings
    from bocker.images.sources import Found, Remote
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.registry.config import Layer
    from bocker.registry.digests import Digest
    from bocker.registry.manifests import Descriptor
    from bocker.registry.names import ImageName
    from bocker.registry.platforms import Platform


class PullRequest(Value):
    """What to pull. bounds: of each layer."""

    name: ImageName
    platform: Platform
    remote: Remote
    bounds: Bounds = Bounds()


class Pulled(Value):
    """What a pull gave. digest: of what the name led to in the registry. fresh: the image was not here before."""

    image: ImageId
    digest: str
    fresh: bool


def pull(kernel: Kernel, settings: Settings, request: PullRequest, watch: Watch) -> Pulled:
    """Bring an image here and give it its name as a tag, unless it was asked for by its digest.

    An image that is here already keeps its id. After an error there is no image, and nothing else but what
    was downloaded, which the next pull goes on with. Raise NoSuchImage and what `sources.obtain`, `Transfers`
    and `Assembly` raise.
    """
    name = request.name.familiar
    with Doing(kernel, settings, f"Pulling '{name}'"):
        store.check_format(kernel, settings)
        store.ensure_format(kernel)
        with tidied(kernel), layers.in_work(kernel):
            watch.say(f"{request.name.reference}: Pulling from {request.name.repository}")

            def bring(found: Found) -> Pulled:
                return _brought(kernel, settings, request, found, watch)

            return sources.obtain(kernel, request.name, request.platform, request.remote, watch, bring)


def _brought(kernel: Kernel, settings: Settings, request: PullRequest, found: Found, watch: Watch) -> Pulled:
    tell_platform(found.config.platform, request.platform, watch)
    origin = request.name.pinned(found.digest)
    tag = request.name.familiar if request.name.digest is None else None
    put_document(kernel, found.config.image_id.hexadecimal, found.config.data)
    put_document(kernel, found.manifest.digest.hexadecimal, found.manifest.data)
    with only_once(kernel, found.config):
        image = _kept(kernel, found, origin, tag)
        fresh = image is None
        if image is None:
            content = content_of(found.config, found.manifest, request.name.familiar, (origin,))
            image = _made(kernel, settings, request, found, content, tag, watch)
    watch.say(f"Digest: {found.digest}")
    return Pulled(image, str(found.digest), fresh)


def _kept(kernel: Kernel, found: Found, origin: str, tag: str | None) -> ImageId | None:
    """Give the image that is here already its names; return it, None when there is none."""
    while (here := image_of(kernel, str(found.config.image_id))) is not None:
        try:
            remember_origin(kernel, here, origin)
            if tag is not None:
                add_tag(kernel, here, tag, tag)
        except NoSuchImage:  # somebody has removed it meanwhile
            continue
        return here
    return None


def _made(
    kernel: Kernel,
    settings: Settings,
    request: PullRequest,
    found: Found,
    content: ImageContent,
    tag: str | None,
    watch: Watch,
) -> ImageId:
    wanted = layers_of(found.manifest, found.config, f"image {request.name.familiar}")
    spoilt: set[Digest] = set()
    while True:
        there = present_below(kernel, wanted)
        for layer in wanted[:there]:
            watch.part(layer.blob.digest.hexadecimal, words.EXISTS)
        with Transfers(found.client, kernel.blobs, kernel.records) as transfers:
            supply = _Downloads(transfers, wanted[there:], spoilt, watch)
            assembly = Assembly(kernel, settings, wanted, request.bounds, supply, watch)
            try:
                return new_image(kernel, Recipe(content, assembly.begin, assembly.fill), tag)
            except (BadLayer, KernelError) as error:
                spoilt.add(supply.blamed(error))


class _Downloads(Supply):
    """The missing layers' blobs, on their way; `spoilt` ones even though they are here."""

    def __init__(self, transfers: Transfers, missing: tuple[Layer, ...], spoilt: set[Digest], watch: Watch) -> None:
        self._transfers = transfers
        self._watch = watch
        self._here: dict[str, Done] = {}
        self._latest: Done | None = None
        for blob in dict.fromkeys(layer.blob for layer in missing):
            watch.part(blob.digest.hexadecimal, words.WAITING, 0, blob.size_bytes)
            transfers.start(blob, replace=blob.digest in spoilt)

    def need(self, blob: Descriptor) -> None:
        while blob.digest.hexadecimal not in self._here:
            self._step(WAIT_S)
        self._latest = self._here[blob.digest.hexadecimal]

    def blamed(self, error: BadLayer | KernelError) -> Digest:
        """Return the layer that could not be unpacked, if it was here before: somebody changed it, or the disk did
        (btrfs says EIO). Raise the error otherwise."""
        unpacking = isinstance(error, BadLayer) or (error.operation, error.errno) == ("archives.unpack", errno.EIO)
        if not unpacking or self._latest is None or not self._latest.was_there:
            raise error
        self._watch.say(f"Layer {self._latest.digest} was here, and can not be used; fetching it again")
        return self._latest.digest

    def go_on(self) -> None:
        self._step(0)

    def _step(self, timeout_s: float) -> None:
        for event in self._transfers.step(timeout_s):
            tell(self._watch, event, words.DOWNLOADING, words.DOWNLOADED)
            if isinstance(event, Done):
                self._here[event.digest.hexadecimal] = event

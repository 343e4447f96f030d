"""`push`: an image into a registry, only what is missing there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.core.errors import NoSuchImage
from bocker.core.value import Value
from bocker.engine import layers, resolve, store
from bocker.engine.failures import Doing
from bocker.images import watch as words
from bocker.images.blobs import fetch_again
from bocker.images.contents import remember_origin
from bocker.images.events import see_through
from bocker.images.seal import seal
from bocker.images.sources import client_for
from bocker.images.watch import Unwatched
from bocker.registry.client import PUSH
from bocker.registry.endpoints import own_endpoint
from bocker.registry.names import parse_name
from bocker.registry.transfers import Transfers, is_whole

if TYPE_CHECKING:
    from bocker.core.ids import ImageId
    from bocker.core.model import ImageContent
    from bocker.core.settings import Settings
    from bocker.images.seal import Sealed
    from bocker.images.sources import Remote
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.registry.client import Client
    from bocker.registry.manifests import Descriptor
    from bocker.registry.names import ImageName
    from bocker.registry.platforms import Platform


class PushRequest(Value):
    """What to push. reference: an image here. name: where to, with the tag that it gets there."""

    reference: str
    name: ImageName
    platform: Platform
    remote: Remote


class Pushed(Value):
    """What a push made: the manifest's digest, and its size."""

    digest: str
    size_bytes: int


def push(kernel: Kernel, settings: Settings, request: PushRequest, watch: Watch) -> Pushed:
    """Send an image. What the registry has is not sent, what another repository of it has is mounted.

    The manifest is the one that was pulled, byte for byte, or the one that is written now. Raise
    NoSuchImage, BlobGone, and what `Client` and `Transfers` raise.
    """
    called = request.name.familiar
    with Doing(kernel, settings, f"Pushing '{called}'"):
        store.check_format(kernel, settings)
        image = resolve.image(kernel, request.reference)
        watch.say(f"The push refers to repository [{request.name.host}/{request.name.repository}]")
        with layers.in_work(kernel):
            sealed = seal(kernel, settings, image, request.platform, watch)
            registry = own_endpoint(request.name, request.remote.registries)
            client = client_for(kernel, request.name, registry, request.remote, watch, PUSH)
            _send_blobs(kernel, client, request, sealed, watch)
            manifest = sealed.manifest
            digest = client.put_manifest(request.name.reference, manifest.data, manifest.media_type)
            _remember(kernel, image, request.name.pinned(digest))
        return Pushed(str(digest), len(manifest.data))


def _remember(kernel: Kernel, image: ImageId, origin: str) -> None:
    """Write down where an image is now; one that was removed here meanwhile has gone out all the same."""
    try:
        remember_origin(kernel, image, origin)
    except NoSuchImage:
        return


def _send_blobs(kernel: Kernel, client: Client, request: PushRequest, sealed: Sealed, watch: Watch) -> None:
    blobs = dict.fromkeys((*sealed.manifest.layers, sealed.manifest.config))
    with Transfers(client, kernel.blobs, kernel.records) as transfers:
        for blob in blobs:
            told = watch if blob in sealed.manifest.layers else Unwatched()
            told.part(blob.digest.hexadecimal, words.WAITING, 0, blob.size_bytes)
            _send(kernel, client, transfers, request, sealed, blob, told)
        see_through(transfers, watch, words.PUSHING, words.PUSHED, untold=frozenset({sealed.manifest.config.digest}))


def _send(
    kernel: Kernel,
    client: Client,
    transfers: Transfers,
    request: PushRequest,
    sealed: Sealed,
    blob: Descriptor,
    watch: Watch,
) -> None:
    """Begin to send a blob, unless the registry has it, in this repository or in one that we know of."""
    digits = blob.digest.hexadecimal
    if client.has_blob(blob.digest):
        watch.part(digits, words.EXISTS)
        return
    location = None
    for repository in _neighbours(kernel, request.name, sealed.content):
        location = client.mount(blob.digest, repository)
        if location is None:
            watch.part(digits, words.MOUNTED)
            return
    if not is_whole(kernel.blobs, digits, blob.size_bytes):
        fetch_again(kernel, sealed.content, blob, request.reference, request.remote, watch)
    transfers.send(blob.digest, kernel.blobs.path(digits), blob.size_bytes, location)


def _neighbours(kernel: Kernel, name: ImageName, content: ImageContent) -> tuple[str, ...]:
    """Return another repository of the same registry that has the image, or one that shares its base; none if none."""
    related = [other for other in store.contents_in_use(kernel) if other.layers[:1] == content.layers[:1]]
    known = (parse_name(digest) for other in (content, *related) for digest in other.digests)
    there = [other.repository for other in known if other.host == name.host and other.repository != name.repository]
    return tuple(dict.fromkeys(there))[:1]

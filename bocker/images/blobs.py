"""Blobs of images that are here: which are needed, and one that was pruned is fetched again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.core.errors import BockerError
from bocker.engine import store
from bocker.images import watch as words
from bocker.images.contents import digits_of
from bocker.images.errors import BlobGone
from bocker.images.events import see_through
from bocker.images.sources import client_for
from bocker.kernel.errors import Missing
from bocker.registry.endpoints import own_endpoint
from bocker.registry.manifests import Manifest, parse_manifest
from bocker.registry.names import parse_name
from bocker.registry.transfers import Transfers

if TYPE_CHECKING:
    from bocker.core.model import ImageContent
    from bocker.images.sources import Remote
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.registry.client import Client
    from bocker.registry.manifests import Descriptor


def documents_in_use(kernel: Kernel, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the digests (64 digits) of all manifests and configurations that images and containers refer to,
    but for the contents whose UUIDs are in `without`."""
    found: set[str] = set()
    for content in store.contents_in_use(kernel):
        if content.uuid in without:
            continue
        found.update(digest for digest in (content.config, content.base, content.manifest) if digest)
    return frozenset(map(digits_of, found))


def blobs_in_use(kernel: Kernel, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the digests (64 digits) of those documents, and of the layers that their manifests name."""
    documents = documents_in_use(kernel, without)
    layers = (layer.digest.hexadecimal for digits in documents for layer in _layers(kernel, digits))
    return documents | frozenset(layers)


def blobs_to_keep(kernel: Kernel, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the digests (64 digits) of those blobs but for the layers that can be fetched again: a registry has
    an image that is here, and that they belong to."""
    there = [content for content in store.contents_in_use(kernel) if content.digests and content.uuid not in without]
    layers = {layer.digest.hexadecimal for content in there for layer in _layers_of(kernel, content)}
    return blobs_in_use(kernel, without) - (layers - documents_in_use(kernel, without))


def fetch_again(
    kernel: Kernel, content: ImageContent, blob: Descriptor, image: str, remote: Remote, watch: Watch
) -> None:
    """Fetch a layer that was pruned, from the first registry that has the image, or one that the layer is of too.

    Raise BlobGone.
    """
    for origin in _origins(kernel, content, blob):
        name = parse_name(origin)
        client = client_for(kernel, name, own_endpoint(name, remote.registries), remote, watch)
        try:
            _fetch(kernel, client, blob, watch)
        except BockerError as error:
            watch.say(f"{origin}: {error.message}")
        else:
            return
    raise BlobGone(str(blob.digest), image)


def _origins(kernel: Kernel, content: ImageContent, blob: Descriptor) -> tuple[str, ...]:
    others = (other for other in store.contents_in_use(kernel) if other.digests and other.uuid != content.uuid)
    related = (other for other in others if blob.digest in {layer.digest for layer in _layers_of(kernel, other)})
    return tuple(dict.fromkeys(origin for one in (content, *related) for origin in one.digests))


def _fetch(kernel: Kernel, client: Client, blob: Descriptor, watch: Watch) -> None:
    with Transfers(client, kernel.blobs, kernel.records) as transfers:
        transfers.start(blob)
        see_through(transfers, watch, words.DOWNLOADING, words.DOWNLOADED)


def _layers_of(kernel: Kernel, content: ImageContent) -> tuple[Descriptor, ...]:
    return _layers(kernel, digits_of(content.manifest)) if content.manifest else ()


def _layers(kernel: Kernel, digits: str) -> tuple[Descriptor, ...]:
    """Return the layers of a document, if it is a manifest."""
    try:
        document = parse_manifest(kernel.blobs.read(digits))
    except (BockerError, Missing):
        return ()
    return document.layers if isinstance(document, Manifest) else ()

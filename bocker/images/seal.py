"""What `init` and `commit` made gets a layer, a configuration and a manifest, so that it can go out.

A commit is a snapshot and takes no time; its layer is written when somebody first wants it, from what
btrfs has written since the layer below was taken. From then on the image is a snapshot of its layer: so the
layer is older than all that containers of the image write. A container that was there before descends from
what the image was, whose record says so as long as it is needed, and its commit is made on the layer below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bocker.core.errors import NoSuchImage
from bocker.core.value import Value
from bocker.engine import layers, store
from bocker.engine.building import Recipe, frozen_of, replace_held
from bocker.engine.undo import UndoStack
from bocker.images import watch as words
from bocker.images.contents import content_of, run_fields
from bocker.kernel.errors import AlreadyExists, Missing
from bocker.registry.config import HistoryEntry, compose_config, parse_config
from bocker.registry.digests import Digest, digest_of
from bocker.registry.manifests import (
    GZIP,
    OCI_CONFIG,
    Descriptor,
    Manifest,
    compose_manifest,
    oci_layer,
    parse_manifest,
)

if TYPE_CHECKING:
    from bocker.core.ids import ImageId
    from bocker.core.model import ImageContent
    from bocker.core.settings import Settings
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.kernel.archives import Packed
    from bocker.registry.config import ImageConfig
    from bocker.registry.platforms import Platform

COMMIT = "bocker commit"
INIT = "bocker init"


class Sealed(Value):
    """An image with all its documents."""

    content: ImageContent
    manifest: Manifest
    config: ImageConfig


def seal(kernel: Kernel, settings: Settings, image: ImageId, platform: Platform, watch: Watch) -> Sealed:
    """Return an image's documents, written now if it has none yet. The caller shares the layers' lock.

    platform: of this machine, for an image that was made here. Raise NoSuchImage, Damaged.
    """
    with kernel.records.lock(str(image)):
        try:
            content = store.load_content(kernel, kernel.storage.describe(str(image)).uuid)
        except Missing:
            raise NoSuchImage(str(image)) from None
        if content.config is None:
            content = _sealed(kernel, settings, image, content, platform, watch)
        manifest = load_manifest(kernel, content)
        return Sealed(content, manifest, parse_config(_blob(kernel, str(manifest.config.digest))))


def load_manifest(kernel: Kernel, content: ImageContent) -> Manifest:
    """Return the manifest of an image that has one, or of its base. Raise Missing, BadDocument."""
    document = parse_manifest(_blob(kernel, content.manifest or ""), subject=f"manifest {content.manifest}")
    assert isinstance(document, Manifest)
    return document


def _sealed(
    kernel: Kernel, settings: Settings, image: ImageId, content: ImageContent, platform: Platform, watch: Watch
) -> ImageContent:
    base = _blob(kernel, content.base) if content.base else b""
    below = load_manifest(kernel, content).layers if content.base else ()
    frozen = frozen_of(image)
    with UndoStack() as undo:
        undo.push(store.delete_subvolume, kernel, frozen)
        _freeze(kernel, image, frozen)
        packed = _pack(kernel, settings, image, content, watch)
        added = None if packed.entries == 0 and base else packed
        entry = HistoryEntry(
            content.created_ns, INIT if not base else COMMIT, content.author, content.message, not added
        )
        diff_id = Digest(packed.diff_id) if added else None
        config = compose_config(base, run_fields(content), platform, diff_id, entry)
        manifest = _manifest(config, below, added)
        parsed = parse_config(config)
        if added:
            kernel.blobs.keep(str(image), packed.digest)
            top, diff = parsed.chain_ids[-1].hexadecimal, parsed.diff_ids[-1].hexadecimal
            layers.keep(kernel, frozen, top, diff, content.layers[-1] if content.layers else None)
        else:
            kernel.blobs.discard(str(image))
        kernel.blobs.add(parsed.image_id.hexadecimal, config)
        kernel.blobs.add(manifest.digest.hexadecimal, manifest.data)
    complete = content_of(parsed, manifest, content.source).replace(
        uuid=content.uuid, created_ns=content.created_ns, size_bytes=content.size_bytes, base=content.base
    )
    if added is None:
        kernel.records.write(store.content_key(content.uuid), store.encode(complete), durable=True)
        return complete
    return _on_its_layer(kernel, image, complete)


def _on_its_layer(kernel: Kernel, image: ImageId, content: ImageContent) -> ImageContent:
    """Make the image a snapshot of its layer; return its record."""
    layer = layers.name_of(content.layers[-1])
    recipe = Recipe(content, lambda aside: kernel.storage.snapshot(layer, aside), created_ns=content.created_ns)
    replace_held(kernel, image, recipe)
    return store.load_content(kernel, kernel.storage.describe(str(image)).uuid)


def _freeze(kernel: Kernel, image: ImageId, frozen: str) -> None:
    try:
        kernel.storage.snapshot(str(image), frozen, read_only=True)
    except AlreadyExists:  # left by an engine that was killed
        store.delete_subvolume(kernel, frozen)
        kernel.storage.snapshot(str(image), frozen, read_only=True)


def _pack(kernel: Kernel, settings: Settings, image: ImageId, content: ImageContent, watch: Watch) -> Packed:
    base = f"{settings.store}/{layers.name_of(content.layers[-1])}" if content.layers else None
    return kernel.archives.pack(
        f"{settings.store}/{frozen_of(image)}",
        base,
        kernel.blobs.draft(str(image)),
        progress=lambda done_bytes: watch.part(str(image), words.PACKING, done_bytes, 0),
    )


def _manifest(config: bytes, below: tuple[Descriptor, ...], added: Packed | None) -> Manifest:
    own = Descriptor(OCI_CONFIG, digest_of(config), len(config))
    top = () if added is None else (Descriptor(oci_layer(GZIP), Digest(added.digest), added.size_bytes),)
    lower = (attrs.evolve(layer, media_type=oci_layer(layer.compression)) for layer in below)
    return compose_manifest(own, (*lower, *top))


def _blob(kernel: Kernel, digest: str) -> bytes:
    return kernel.blobs.read(digest.rpartition(":")[2])

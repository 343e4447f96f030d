"""What `init` and `commit` made gets a layer, a configuration and a manifest, so that it can go out.

A commit is a snapshot and takes no time; its layer is written when somebody first wants it, from what
btrfs has written since the layer below was taken. From then on the image is a snapshot of its layer: so the
layer is older than all that containers of the image write. A container that was there before descends from
what the image was, whose record says so as long as it is needed, and its commit is made on the layer below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bocker.core import jsontext
from bocker.core.model import StepRecord, from_data
from bocker.core.value import Value
from bocker.engine import layers, store
from bocker.engine.building import Recipe, freeze, frozen_of, replace_held
from bocker.engine.undo import UndoStack
from bocker.images import watch as words
from bocker.images.contents import content_of, document, known_content, run_fields
from bocker.registry.config import HistoryEntry, compose_config, parse_config
from bocker.registry.digests import Digest, digest_of
from bocker.registry.errors import BadDocument
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

    platform: of this machine, for an image that was made here. Raise NoSuchImage, Damaged, DocumentGone.
    """
    with kernel.records.lock(str(image)):
        content = known_content(kernel, image)
        if content.config is None:
            content = _sealed(kernel, settings, image, content, platform, watch)
        manifest = load_manifest(kernel, content)
        return Sealed(content, manifest, parse_config(document(kernel, str(manifest.config.digest))))


def load_manifest(kernel: Kernel, content: ImageContent) -> Manifest:
    """Return the manifest of an image that has one, or of its base. Raise DocumentGone, BadDocument."""
    subject = f"manifest {content.manifest}"
    manifest = parse_manifest(document(kernel, content.manifest or ""), subject=subject)
    if not isinstance(manifest, Manifest):
        raise BadDocument(subject, "it is an index")
    return manifest


def steps_of(content: ImageContent, has_layer: bool) -> tuple[HistoryEntry, ...]:
    """Return the steps of an image that no configuration tells of yet; the last one has its layer, if there is one."""
    earlier = (from_data(StepRecord, jsontext.loads(text.encode()), "step") for text in content.earlier)
    own = StepRecord(content.created_ns, content.author, content.message)
    names = [COMMIT if content.base else INIT] + [COMMIT] * len(content.earlier)
    return tuple(
        HistoryEntry(step.created_ns, name, step.author, step.message, step is not own or not has_layer)
        for name, step in zip(names, (*earlier, own), strict=True)
    )


def _sealed(
    kernel: Kernel, settings: Settings, image: ImageId, content: ImageContent, platform: Platform, watch: Watch
) -> ImageContent:
    with UndoStack() as undo:
        undo.push(store.delete_subvolume, kernel, frozen_of(image))
        freeze(kernel, str(image))
        undo.push(kernel.blobs.discard, str(image))  # no draft is left; one that became a blob is none any more
        packed = _pack(kernel, settings, image, content, watch)
        added = None if packed.entries == 0 and content.base else packed
        config = _configuration(kernel, content, platform, added)
        manifest = _manifest(kernel, content, config.data, added)
        _keep_layer(kernel, image, content, config, added)
        kernel.blobs.add(config.image_id.hexadecimal, config.data)
        kernel.blobs.add(manifest.digest.hexadecimal, manifest.data)
    complete = content_of(config, manifest, content.source).replace(
        uuid=content.uuid, created_ns=content.created_ns, size_bytes=content.size_bytes, base=content.base
    )
    if added is None:
        kernel.records.write(store.content_key(content.uuid), store.encode(complete), durable=True)
        return complete
    return _on_its_layer(kernel, image, complete)


def _configuration(kernel: Kernel, content: ImageContent, platform: Platform, added: Packed | None) -> ImageConfig:
    base = document(kernel, content.base) if content.base else b""
    diff_id = None if added is None else Digest(added.diff_id)
    steps = steps_of(content, added is not None)
    return parse_config(compose_config(base, run_fields(content), platform, diff_id, steps))


def _keep_layer(
    kernel: Kernel, image: ImageId, content: ImageContent, config: ImageConfig, added: Packed | None
) -> None:
    if added is None:
        return
    kernel.blobs.keep(str(image), added.digest)
    top, diff_id = config.chain_ids[-1].hexadecimal, config.diff_ids[-1].hexadecimal
    layers.keep(kernel, frozen_of(image), top, diff_id, content.layers[-1] if content.layers else None)


def _on_its_layer(kernel: Kernel, image: ImageId, content: ImageContent) -> ImageContent:
    """Make the image a snapshot of its layer; return its record."""
    layer = layers.name_of(content.layers[-1])
    recipe = Recipe(content, lambda aside: kernel.storage.snapshot(layer, aside), created_ns=content.created_ns)
    replace_held(kernel, image, recipe)
    return known_content(kernel, image)


def _pack(kernel: Kernel, settings: Settings, image: ImageId, content: ImageContent, watch: Watch) -> Packed:
    base = f"{settings.store}/{layers.name_of(content.layers[-1])}" if content.layers else None
    return kernel.archives.pack(
        f"{settings.store}/{frozen_of(image)}",
        base,
        kernel.blobs.draft(str(image)),
        progress=lambda done_bytes: watch.part(str(image), words.PACKING, done_bytes, 0),
    )


def _manifest(kernel: Kernel, content: ImageContent, config: bytes, added: Packed | None) -> Manifest:
    below = load_manifest(kernel, content).layers if content.base else ()
    lower = (attrs.evolve(layer, media_type=oci_layer(layer.compression)) for layer in below)
    top = () if added is None else (Descriptor(oci_layer(GZIP), Digest(added.digest), added.size_bytes),)
    return compose_manifest(Descriptor(OCI_CONFIG, digest_of(config), len(config)), (*lower, *top))

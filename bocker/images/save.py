"""`save`: images into one archive that docker, podman, skopeo and umoci read, as an OCI layout and as docker's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from bocker.core.value import Value
from bocker.engine import layers, resolve, store
from bocker.engine.failures import Doing
from bocker.images.archive import DOCKERS, FULL_NAME, INDEX, LAYOUT, SHORT_NAME
from bocker.images.blobs import fetch_again
from bocker.images.errors import written_to
from bocker.images.seal import seal
from bocker.kernel.archives import STANDARD_STREAM
from bocker.registry.digests import ALGORITHM
from bocker.registry.manifests import Descriptor, compose_index
from bocker.registry.names import parse_name
from bocker.registry.transfers import is_whole

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.images.seal import Sealed
    from bocker.images.sources import Remote
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.registry.platforms import Platform

    Members = dict[str, str | bytes]


class SaveRequest(Value):
    """What to save. references: images here; one that is said by its id goes with all its tags. path: a file's
    absolute path, or `STANDARD_STREAM`."""

    references: tuple[str, ...]
    platform: Platform
    remote: Remote
    path: str = STANDARD_STREAM


@attrs.frozen
class _Chosen:
    """An image to save, and the names that it goes with."""

    sealed: Sealed
    names: tuple[str, ...]


def save(kernel: Kernel, settings: Settings, request: SaveRequest, watch: Watch) -> None:
    """Write an archive of images with all that they are made of; the same images give the same bytes.

    Raise NoSuchImage, BlobGone, and what the archive's file refuses; then there is no new file.
    """
    with Doing(kernel, settings, "Saving the images"):
        store.check_format(kernel, settings)
        with layers.in_work(kernel):
            chosen = tuple(_chosen(kernel, settings, request, reference, watch) for reference in request.references)
            for image, reference in zip(chosen, request.references, strict=True):
                _ensure_blobs(kernel, image.sealed, reference, request.remote, watch)
            with written_to(request.path):
                kernel.archives.bundle(tuple(_members(kernel, _merged(chosen)).items()), request.path)


def _chosen(kernel: Kernel, settings: Settings, request: SaveRequest, reference: str, watch: Watch) -> _Chosen:
    image = resolve.image(kernel, reference)
    tags = resolve.tags_of(kernel, image)
    meant = resolve.tag_meant(reference, tags)
    return _Chosen(seal(kernel, settings, image, request.platform, watch), tags if meant is None else (meant,))


def _merged(chosen: tuple[_Chosen, ...]) -> tuple[_Chosen, ...]:
    """Return each image once, with all names that it was said by."""
    found: dict[str, _Chosen] = {}
    for image in chosen:
        known = found.get(str(image.sealed.manifest.digest), _Chosen(image.sealed, ()))
        names = tuple(dict.fromkeys((*known.names, *image.names)))
        found[str(image.sealed.manifest.digest)] = _Chosen(image.sealed, names)
    return tuple(found.values())


def _ensure_blobs(kernel: Kernel, sealed: Sealed, reference: str, remote: Remote, watch: Watch) -> None:
    for layer in sealed.manifest.layers:
        if not is_whole(kernel.blobs, layer.digest.hexadecimal, layer.size_bytes):
            fetch_again(kernel, sealed.content, layer, reference, remote, watch)


def _members(kernel: Kernel, chosen: tuple[_Chosen, ...]) -> Members:
    """Return the archive's members: the documents that say what there is, then the blobs by their digits."""
    blobs: Members = {}
    for image in chosen:
        manifest = image.sealed.manifest
        blobs[_place(manifest.digest.hexadecimal)] = manifest.data
        for blob in (manifest.config, *manifest.layers):
            blobs[_place(blob.digest.hexadecimal)] = kernel.blobs.path(blob.digest.hexadecimal)
    index = compose_index(tuple(entry for image in chosen for entry in _entries(image)))
    return {
        LAYOUT: _written({"imageLayoutVersion": "1.0.0"}),
        INDEX: index.data,
        DOCKERS: _written([_dockers(image) for image in chosen]),
        **dict(sorted(blobs.items())),
    }


def _entries(image: _Chosen) -> tuple[Descriptor, ...]:
    """Return an entry of the index for each name, or one without any."""
    manifest = image.sealed.manifest
    plain = Descriptor(manifest.media_type, manifest.digest, len(manifest.data), platform=image.sealed.config.platform)
    return tuple(attrs.evolve(plain, annotations=_annotations(name)) for name in image.names) or (plain,)


def _annotations(tag: str) -> tuple[tuple[str, str], ...]:
    name = parse_name(tag)
    return (FULL_NAME, str(name)), (SHORT_NAME, name.reference)


def _dockers(image: _Chosen) -> dict[str, Any]:
    manifest = image.sealed.manifest
    return {
        "Config": _place(manifest.config.digest.hexadecimal),
        "RepoTags": list(image.names),
        "Layers": [_place(layer.digest.hexadecimal) for layer in manifest.layers],
    }


def _place(digits: str) -> str:
    return f"blobs/{ALGORITHM}/{digits}"


def _written(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")

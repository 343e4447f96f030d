"""Manifests and indexes, docker's and OCI's: from bytes to values, and which image of an index is taken.

Sources: the OCI image specification (manifest.md, image-index.md, descriptor.md) and docker's "Image Manifest
Version 2, Schema 2". A value keeps the bytes that it came from, since its digest is theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

from bocker.registry.digests import Digest, digest_of
from bocker.registry.documents import DOCUMENT_BYTES, Fields, Pairs, read_object
from bocker.registry.errors import BadDocument, NoSuchPlatform, Unsupported
from bocker.registry.platforms import Platform, uniform

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
DEEPEST_INDEX = 4  # an index may name an index
ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))

PLAIN, GZIP, ZSTD = "plain", "gzip", "zstd"
_COMPRESSIONS = {
    OCI_LAYER: PLAIN,
    f"{OCI_LAYER}+gzip": GZIP,
    f"{OCI_LAYER}+zstd": ZSTD,
    DOCKER_LAYER: PLAIN,
    f"{DOCKER_LAYER}.gzip": GZIP,
    f"{DOCKER_LAYER}.zstd": ZSTD,
}
_FOREIGN = ("application/vnd.docker.image.rootfs.foreign.", "application/vnd.oci.image.layer.nondistributable.")
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
_ATTESTATION = ("vnd.docker.reference.type", "attestation-manifest")


@attrs.frozen
class Bounds:
    """What a registry may ask of us at most."""

    document_bytes: int = DOCUMENT_BYTES
    layers: int = 512
    entries: int = 1024
    layer_bytes: int = 64 << 30


DEFAULT_BOUNDS = Bounds()


@attrs.frozen
class Descriptor:
    """What something is, its digest and its size. `urls` are other places that have it; we never go there."""

    media_type: str
    digest: Digest
    size_bytes: int
    urls: tuple[str, ...] = ()
    annotations: Pairs = ()
    platform: Platform | None = None

    @property
    def compression(self) -> str:
        """What the media type promises of a layer: `plain`, `gzip` or `zstd`."""
        return _COMPRESSIONS[self.media_type]

    @property
    def is_image(self) -> bool:
        """Tell whether an entry of an index is an image, or an index again: not an attestation, not an artifact."""
        known = self.media_type in MANIFESTS | INDEXES
        hidden = self.platform is not None and self.platform.is_unknown
        return known and not hidden and _ATTESTATION not in self.annotations


@attrs.frozen
class Manifest:
    """One image: its configuration and its layers, the base first. `data` are the bytes it came as."""

    data: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Pairs = ()

    @property
    def digest(self) -> Digest:
        """The digest of the bytes."""
        return digest_of(self.data)


@attrs.frozen
class Index:
    """Manifests for several platforms, in the order of the document. `data` are the bytes it came as."""

    data: bytes
    media_type: str
    entries: tuple[Descriptor, ...]
    annotations: Pairs = ()

    @property
    def digest(self) -> Digest:
        """The digest of the bytes."""
        return digest_of(self.data)


def parse_manifest(
    data: bytes, sent_as: str = "", bounds: Bounds = DEFAULT_BOUNDS, subject: str = "manifest"
) -> Manifest | Index:
    """Read what a registry sent with the header `Content-Type: sent_as`; `subject` names it in errors.

    Raises BadDocument, and Unsupported for schema 1, foreign layers and what is no image.
    """
    fields = read_object(data, subject, bounds.document_bytes)
    media_type = _media_type(fields, sent_as)
    if media_type in INDEXES:
        return _index(fields, data, media_type, bounds)
    return _manifest(fields, data, media_type, bounds)


def choose(index: Index, wanted: Platform, subject: str = "index") -> Descriptor:
    """Return the best image of an index for a platform; raise NoSuchPlatform, which says what there is.

    A single image that does not name its platform is taken. The entry may be an index again.
    """
    images = [entry for entry in index.entries if entry.is_image]
    for platform in wanted.accepts():
        for entry in images:
            if entry.platform == platform:
                return entry
    if len(images) == 1 and images[0].platform is None:
        return images[0]
    offered = dict.fromkeys(str(entry.platform) for entry in images if entry.platform)
    raise NoSuchPlatform(subject, str(wanted), tuple(offered))


def choose_manifest(
    document: Manifest | Index, wanted: Platform, fetch: Callable[[Descriptor], Manifest | Index], subject: str
) -> Manifest:
    """Return the image for a platform that a document is, or leads to; `fetch` reads what an index names.

    Raise what `choose` raises, and BadDocument where it goes from index to index without an end.
    """
    for _ in range(DEEPEST_INDEX):
        if isinstance(document, Manifest):
            return document
        document = fetch(choose(document, wanted, subject))
    raise BadDocument(subject, f"it leads from index to index more than {DEEPEST_INDEX} times")


def compose_manifest(
    config: Descriptor, layers: tuple[Descriptor, ...], annotations: Pairs = (), media_type: str = OCI_MANIFEST
) -> Manifest:
    """Return a new manifest; the same values give the same bytes."""
    document = {"config": _described(config), "layers": [_described(layer) for layer in layers]}
    return Manifest(_written(media_type, document, annotations), media_type, config, layers, annotations)


def compose_index(entries: tuple[Descriptor, ...], annotations: Pairs = (), media_type: str = OCI_INDEX) -> Index:
    """Return a new index; the same values give the same bytes."""
    document = {"manifests": [_described(entry) for entry in entries]}
    return Index(_written(media_type, document, annotations), media_type, entries, annotations)


def oci_layer(compression: str) -> str:
    """Return OCI's media type of a layer of that compression."""
    return OCI_LAYER if compression == PLAIN else f"{OCI_LAYER}+{compression}"


def _media_type(fields: Fields, sent_as: str) -> str:
    """Return what the document is. Two answers to that question are refused (CVE-2021-41190)."""
    own, sent = fields.text("mediaType"), sent_as.partition(";")[0].strip()
    version = fields.number("schemaVersion", 2**31, default=0)
    if version == 1 or own.startswith(_SCHEMA_1) or sent.startswith(_SCHEMA_1):
        raise Unsupported(
            fields.subject, "it has schema 1, which docker gave up", "push it again with a current docker or skopeo"
        )
    if version != 2:
        raise fields.bad("schemaVersion", "is not 2")
    known = sent if sent in MANIFESTS | INDEXES else ""
    if own and known and own != known:
        raise fields.bad("mediaType", f"is {own}, and it was sent as {known}")
    return _fitting(fields, own or known or _guessed(fields))


def _guessed(fields: Fields) -> str:
    """OCI lets both kinds go without a media type."""
    return OCI_INDEX if "manifests" in fields else OCI_MANIFEST


def _fitting(fields: Fields, media_type: str) -> str:
    if media_type not in MANIFESTS | INDEXES:
        raise Unsupported(fields.subject, f"it is neither an image nor an index, but {media_type}")
    foreign = ("layers", "config") if media_type in INDEXES else ("manifests",)
    own = "manifests" if media_type in INDEXES else "config"
    if own not in fields or any(name in fields for name in foreign):
        raise BadDocument(fields.subject, f"its fields are not those of {media_type}")
    return media_type


def _manifest(fields: Fields, data: bytes, media_type: str, bounds: Bounds) -> Manifest:
    config = _descriptor(fields.object("config"), bounds.document_bytes)
    if config.media_type not in CONFIGS:
        raise Unsupported(fields.subject, f"it is no image: its configuration is {config.media_type or 'of no type'}")
    layers = tuple(_layer(inner, bounds) for inner in fields.objects("layers", bounds.layers))
    return Manifest(data, media_type, config, layers, fields.pairs("annotations"))


def _layer(fields: Fields, bounds: Bounds) -> Descriptor:
    layer = _descriptor(fields, bounds.layer_bytes)
    if layer.media_type.startswith(_FOREIGN):
        raise Unsupported(fields.subject, f"layer {layer.digest} is a foreign one, which its registry does not have")
    if layer.media_type not in _COMPRESSIONS:
        raise Unsupported(fields.subject, f"layer {layer.digest} is {layer.media_type or 'of no type'}")
    return layer


def _index(fields: Fields, data: bytes, media_type: str, bounds: Bounds) -> Index:
    entries = fields.objects("manifests", bounds.entries)
    return Index(data, media_type, tuple(_entry(inner, bounds) for inner in entries), fields.pairs("annotations"))


def _entry(fields: Fields, bounds: Bounds) -> Descriptor:
    words = fields.object("platform")
    platform = uniform(words.text("os"), words.text("architecture"), words.text("variant"))
    return attrs.evolve(_descriptor(fields, bounds.layer_bytes), platform=platform if platform.os else None)


def _descriptor(fields: Fields, most_bytes: int) -> Descriptor:
    return Descriptor(
        media_type=fields.text("mediaType"),
        digest=fields.digest("digest"),
        size_bytes=fields.number("size", most_bytes),
        urls=fields.texts("urls"),
        annotations=fields.pairs("annotations"),
    )


def _described(descriptor: Descriptor) -> dict[str, Any]:
    platform = descriptor.platform
    optional = {
        "urls": list(descriptor.urls),
        "annotations": dict(descriptor.annotations),
        "platform": platform and {name: word for name, word in attrs.asdict(platform).items() if word},
    }
    required = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size_bytes,
    }
    return required | {name: value for name, value in optional.items() if value}


def _written(media_type: str, document: dict[str, Any], annotations: Pairs) -> bytes:
    whole = {"schemaVersion": 2, "mediaType": media_type, **document}
    if annotations:
        whole["annotations"] = dict(annotations)
    return json.dumps(whole, separators=(",", ":"), allow_nan=False).encode("ascii")

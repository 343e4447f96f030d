"""Images as registries hold them, for tests: archives in, documents out.

It writes its own JSON, so that a mistake in bocker's formats is not made here again.
Sources: the OCI image specification, docker's "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from bocker.fakes.errors import NotModelled

OCI, DOCKER = "oci", "docker"
PLAIN, GZIP, ZSTD = "plain", "gzip", "zstd"
CREATED = "2026-11-21T00:00:00Z"
_GZIP = 16 + zlib.MAX_WBITS

_MANIFEST = {
    OCI: "application/vnd.oci.image.manifest.v1+json",
    DOCKER: "application/vnd.docker.distribution.manifest.v2+json",
}
_INDEX = {
    OCI: "application/vnd.oci.image.index.v1+json",
    DOCKER: "application/vnd.docker.distribution.manifest.list.v2+json",
}
_CONFIG = {
    OCI: "application/vnd.oci.image.config.v1+json",
    DOCKER: "application/vnd.docker.container.image.v1+json",
}
_LAYER = {
    (OCI, PLAIN): "application/vnd.oci.image.layer.v1.tar",
    (OCI, GZIP): "application/vnd.oci.image.layer.v1.tar+gzip",
    (OCI, ZSTD): "application/vnd.oci.image.layer.v1.tar+zstd",
    (DOCKER, PLAIN): "application/vnd.docker.image.rootfs.diff.tar",
    (DOCKER, GZIP): "application/vnd.docker.image.rootfs.diff.tar.gzip",
    (DOCKER, ZSTD): "application/vnd.docker.image.rootfs.diff.tar.zstd",
}


@attrs.frozen
class Platform:
    """What an image runs on."""

    architecture: str
    os: str = "linux"
    variant: str = ""

    def fields(self) -> dict[str, str]:
        """Return the fields that a document has of it."""
        return attrs.asdict(self, filter=lambda _, value: bool(value))


LINUX = Platform("amd64")


@attrs.frozen
class Layer:
    """A layer: an archive, and how it is packed."""

    archive: bytes
    compression: str = GZIP

    @property
    def packed(self) -> bytes:
        """The blob: always the same of the same archive."""
        if self.compression == PLAIN:
            return self.archive
        return _zstd(self.archive) if self.compression == ZSTD else _gzip(self.archive)


def _gzip(data: bytes) -> bytes:
    compressor = zlib.compressobj(6, wbits=_GZIP)
    return compressor.compress(data) + compressor.flush()


def _zstd(data: bytes) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise NotModelled("zstd without the package zstandard") from None
    return zstandard.compress(data)


def digest_of(data: bytes) -> str:
    """Return the digest of bytes, as documents write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def configuration(layers: Sequence[Layer], platform: Platform, changes: Mapping[str, Any]) -> bytes:
    """Return an image's configuration."""
    content = {
        "created": CREATED,
        **platform.fields(),
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer.archive) for layer in layers]},
        "history": [{"created": CREATED, "created_by": f"layer {number}"} for number in range(1, len(layers) + 1)],
    }
    return _written({**content, **changes})


def manifest(kind: str, configured: bytes, layers: Sequence[Layer]) -> tuple[str, bytes]:
    """Return a manifest's media type and its bytes."""
    content = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST[kind],
        "config": _descriptor(_CONFIG[kind], configured),
        "layers": [_descriptor(_LAYER[kind, layer.compression], layer.packed) for layer in layers],
    }
    return _MANIFEST[kind], _written(content)


def index(kind: str, images: Sequence[tuple[Platform, str, bytes]]) -> tuple[str, bytes]:
    """Return the media type and the bytes of an index over manifests: platform, media type, bytes of each."""
    rows = [{**_descriptor(media_type, data), "platform": platform.fields()} for platform, media_type, data in images]
    return _INDEX[kind], _written({"schemaVersion": 2, "mediaType": _INDEX[kind], "manifests": rows})


def named_by(document: Mapping[str, Any]) -> list[str]:
    """Return the digests that a manifest or an index names and a registry has to hold; layers from elsewhere
    (`urls`) are not among them. Raise KeyError or TypeError for one that is neither."""
    if "manifests" in document:
        return [row["digest"] for row in document["manifests"]]
    own = [row for row in document["layers"] if not row.get("urls")]
    return [row["digest"] for row in (document["config"], *own)]


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _written(content: object) -> bytes:
    return json.dumps(content, indent=3).encode("ascii")

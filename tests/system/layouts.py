"""A writer of OCI image layouts (image-spec, image-layout.md) that takes layers just as they are given.

The tools of others write every layer in their own way; here a test says what is in it, byte by byte.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PLAIN, GZIP, ZSTD = "", "+gzip", "+zstd"

Descriptor = dict[str, Any]
Archive = Iterable[bytes]  # of tar, in pieces; each becomes a member or a frame of its own


class Layout:
    """A directory that skopeo reads as `oci:PATH:NAME`."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        (self.directory / "blobs/sha256").mkdir(parents=True)
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self._named: list[Descriptor] = []

    def reference(self, name: str) -> str:
        """Return what skopeo calls an image in here."""
        return f"oci:{self.directory}:{name}"

    def image(
        self,
        name: str | None,
        layers: list[tuple[Archive, str]],
        configuration: dict[str, Any] | None = None,
        architecture: str = "amd64",
    ) -> Descriptor:
        """Write an image of layers, each an archive and its compression."""
        written = [self._layer(archive, how) for archive, how in layers]
        config = {
            "architecture": architecture,
            "os": "linux",
            "created": "2020-02-02T02:02:02Z",
            "config": configuration or {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in written]},
            "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(CONFIG, [_json(config)]),
            "layers": [layer for layer, _ in written],
        }
        described = self._blob(MANIFEST, [_json(manifest)])
        self._name(name, described)
        return described

    def index(self, name: str, images: dict[str, Descriptor]) -> None:
        """Write an index of images by their architectures."""
        manifests = [
            {**image, "platform": {"architecture": architecture, "os": "linux"}}
            for architecture, image in images.items()
        ]
        described = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        self._name(name, self._blob(INDEX, [_json(described)]))

    def _layer(self, archive: Archive, how: str) -> tuple[Descriptor, str]:
        """Write a layer; return its descriptor and diff id."""
        diff_id = hashlib.sha256()

        def members() -> Iterable[bytes]:
            for piece in archive:
                diff_id.update(piece)
                yield _compressed(piece, how)

        described = self._blob(LAYER + how, members())
        return described, f"sha256:{diff_id.hexdigest()}"

    def _blob(self, kind: str, pieces: Iterable[bytes]) -> Descriptor:
        digest = hashlib.sha256()
        new = self.directory / "blobs/new"
        with open(new, "wb") as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        size = new.stat().st_size
        new.rename(self.directory / "blobs/sha256" / digest.hexdigest())
        return {"mediaType": kind, "digest": f"sha256:{digest.hexdigest()}", "size": size}

    def _name(self, name: str | None, described: Descriptor) -> None:
        if name is not None:
            self._named.append({**described, "annotations": {"org.opencontainers.image.ref.name": name}})
            (self.directory / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": self._named}))


def halves(tar: bytes) -> Archive:
    """Return an archive in two pieces."""
    return tar[: len(tar) // 2], tar[len(tar) // 2 :]


def _compressed(piece: bytes, how: str) -> bytes:
    if how == GZIP:
        return gzip.compress(piece, 6, mtime=0)
    if how == ZSTD:
        return subprocess.run(["zstd", "--stdout", "--quiet"], input=piece, check=True, stdout=subprocess.PIPE).stdout
    return piece


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()

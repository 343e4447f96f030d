"""What an archive of images holds: an OCI layout, or docker's `manifest.json` with layers under any names.

Sources: the OCI image specification (image-layout.md), and docker's image specification v1.2 (`docker save`).
Nothing is found by a path: a member's content is a blob by its digest, its name only leads to that.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import attrs

from bocker.core import jsontext
from bocker.core.errors import BockerError
from bocker.core.reference import parse_tag
from bocker.images.errors import BadArchive, read_from
from bocker.kernel.errors import Missing
from bocker.registry.config import parse_config
from bocker.registry.digests import Digest, digest_of
from bocker.registry.documents import read_object
from bocker.registry.errors import BadDocument
from bocker.registry.manifests import (
    GZIP,
    OCI_CONFIG,
    PLAIN,
    Descriptor,
    Index,
    Manifest,
    choose_manifest,
    compose_manifest,
    oci_layer,
    parse_manifest,
)
from bocker.registry.names import parse_name

if TYPE_CHECKING:
    from bocker.kernel import Kernel
    from bocker.kernel.archives import Bounds, Member
    from bocker.registry.config import ImageConfig
    from bocker.registry.documents import Fields
    from bocker.registry.platforms import Platform

LAYOUT, INDEX, DOCKERS = "oci-layout", "index.json", "manifest.json"
FULL_NAME, SHORT_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
MOST_IMAGES = 1024
MOST_LAYERS = 512
MOST_LINKS = 8


@attrs.frozen
class Packaged:
    """One image of an archive: its documents, and the tags that it has there."""

    manifest: Manifest
    config: ImageConfig
    tags: tuple[str, ...]


def read_archive(kernel: Kernel, path: str, platform: Platform, bounds: Bounds) -> tuple[Packaged, ...]:
    """Put an archive's files among the blobs, and return its images; of an index of platforms the fitting one.

    Raise BadArchive for what holds no image, BadDocument for one whose documents break their format.
    """
    files = _spilled(kernel, path, bounds)
    reader = _Reader(kernel, files, platform)
    if LAYOUT in files and INDEX in files:
        return reader.layout()
    if DOCKERS in files:
        return reader.dockers()
    raise BadArchive(path, f"it has neither {INDEX} nor {DOCKERS}")


def _spilled(kernel: Kernel, path: str, bounds: Bounds) -> dict[str, Member]:
    """Return the archive's members by name; the last one counts where two have the same."""
    directory = posixpath.dirname(kernel.blobs.path("0" * 64))
    with read_from(path):
        members = kernel.archives.spill(path, directory, bounds)
    return {member.name: member for member in members}


class _Reader:
    """The documents of one archive."""

    def __init__(self, kernel: Kernel, files: dict[str, Member], platform: Platform) -> None:
        self._kernel = kernel
        self._files = files
        self._platform = platform

    def layout(self) -> tuple[Packaged, ...]:
        """Return the images of an OCI layout, each once with all its names."""
        index = parse_manifest(self._read(INDEX), subject=INDEX)
        if not isinstance(index, Index):
            raise BadDocument(INDEX, "it is no index")
        named = dict(self._names_by_config())
        found: dict[Digest, Packaged] = {}
        for entry in index.entries:
            if entry.is_image:
                manifest = self._manifest(entry)
                known = found.get(manifest.digest) or self._packaged(manifest, named.get(manifest.config.digest, ()))
                tags = tuple(dict.fromkeys((*known.tags, *_names(entry))))
                found[manifest.digest] = attrs.evolve(known, tags=tags)
        return tuple(found.values())

    def dockers(self) -> tuple[Packaged, ...]:
        """Return the images of docker's own format."""
        return tuple(self._docker_image(fields) for fields in self._docker_entries())

    def _names_by_config(self) -> list[tuple[Digest, tuple[str, ...]]]:
        """Return what docker's document calls the images, where an archive has both."""
        if DOCKERS not in self._files:
            return []
        return [
            (Digest(self._member(fields.text("Config")).digest), _tags(fields)) for fields in self._docker_entries()
        ]

    def _docker_entries(self) -> tuple[Fields, ...]:
        try:
            entries = jsontext.loads(self._read(DOCKERS))
        except ValueError:
            raise BadDocument(DOCKERS, "it is no JSON") from None
        whole = read_object(jsontext.dumps({"images": entries}), DOCKERS)
        return whole.objects("images", MOST_IMAGES)

    def _docker_image(self, fields: Fields) -> Packaged:
        config = self._read(fields.text("Config"))
        parsed = parse_config(config, subject=fields.text("Config"))
        members = [self._member(name) for name in fields.texts("Layers", MOST_LAYERS)]
        layers = (
            Descriptor(
                oci_layer(PLAIN if member.digest == diff_id.hexadecimal else GZIP),
                Digest(member.digest),
                member.size_bytes,
            )
            for member, diff_id in zip(members, parsed.diff_ids, strict=False)
        )
        if len(members) != len(parsed.diff_ids):
            raise BadDocument(DOCKERS, f"it names {len(members)} layers, the configuration {len(parsed.diff_ids)}")
        own = Descriptor(OCI_CONFIG, digest_of(config), len(config))
        return Packaged(compose_manifest(own, tuple(layers)), parsed, _tags(fields))

    def _manifest(self, entry: Descriptor) -> Manifest:
        return choose_manifest(self._entry(entry), self._platform, self._entry, subject=f"index {entry.digest}")

    def _entry(self, entry: Descriptor) -> Manifest | Index:
        return parse_manifest(self._blob(entry.digest), entry.media_type, subject=f"manifest {entry.digest}")

    def _packaged(self, manifest: Manifest, tags: tuple[str, ...]) -> Packaged:
        for layer in manifest.layers:
            if not self._kernel.blobs.has(layer.digest.hexadecimal):
                raise BadArchive(INDEX, f"layer {layer.digest} is missing")
        return Packaged(manifest, parse_config(self._blob(manifest.config.digest)), tags)

    def _blob(self, digest: Digest) -> bytes:
        try:
            return self._kernel.blobs.read(digest.hexadecimal)
        except Missing:
            raise BadArchive(INDEX, f"{digest} is missing") from None

    def _read(self, name: str) -> bytes:
        return self._kernel.blobs.read(self._member(name).digest)

    def _member(self, name: str) -> Member:
        """Return a file of the archive, where it is a link the one that it leads to."""
        member = self._files.get(posixpath.normpath(name))
        for _ in range(MOST_LINKS):
            if member is None or not member.target:
                break
            member = self._files.get(member.target)
        if member is None or member.target:
            raise BadArchive(DOCKERS, f"'{name}' is missing")
        return member


def _names(entry: Descriptor) -> tuple[str, ...]:
    """Return what an index calls an image, if that is a whole name."""
    annotations = dict(entry.annotations)
    text = annotations.get(FULL_NAME) or annotations.get(SHORT_NAME, "")
    whole = text and (":" in text or "/" in text)
    return (_familiar(text),) if whole else ()


def _tags(fields: Fields) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_familiar(text) for text in fields.texts("RepoTags", MOST_IMAGES)))


def _familiar(text: str) -> str:
    try:
        return parse_tag(parse_name(text).familiar)
    except BockerError as error:
        raise BadDocument("archive", f"'{text}' can not be a tag") from error

"""Between OCI's documents and the engine's record: what a configuration says, as `run` wants it."""

from __future__ import annotations

from bocker.core.errors import NoSuchImage
from bocker.core.model import ImageContent
from bocker.engine import store
from bocker.images.errors import DocumentGone
from bocker.kernel.errors import Missing
from bocker.registry.config import parse_config
from bocker.registry.digests import digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bocker.core.ids import ImageId
    from bocker.kernel import Kernel
    from bocker.registry.config import ImageConfig
    from bocker.registry.manifests import Manifest


def content_of(config: ImageConfig, manifest: Manifest, source: str, digests: tuple[str, ...] = ()) -> ImageContent:
    """Return the record of an image that has these documents; UUID, time and size are the builder's to fill in."""
    return ImageContent(
        uuid="",
        source=source,
        created_ns=0,
        command=config.cmd,
        entrypoint=config.entrypoint,
        environment=config.env,
        working_directory=config.working_dir,
        user=config.user,
        exposed_ports=tuple(map(str, config.exposed_ports)),
        volumes=config.volumes,
        stop_signal=config.stop_signal,
        labels=tuple(f"{name}={value}" for name, value in config.labels),
        layers=tuple(chain_id.hexadecimal for chain_id in config.chain_ids),
        config=str(config.image_id),
        manifest=str(manifest.digest),
        digests=digests,
        author=config.author,
        dated_ns=config.created_ns,
    )


def known_content(kernel: Kernel, image: ImageId) -> ImageContent:
    """Return the record of an image. Raise NoSuchImage, Damaged."""
    try:
        return store.load_content(kernel, kernel.storage.describe(str(image)).uuid)
    except Missing:
        raise NoSuchImage(str(image)) from None


def remember_origin(kernel: Kernel, image: ImageId, origin: str) -> None:
    """Write down that a registry has an image that is here: HOST/REPOSITORY@sha256:…. Raise NoSuchImage."""
    with kernel.records.lock(str(image)):
        content = known_content(kernel, image)
        if origin not in content.digests:
            content = content.replace(digests=(*content.digests, origin))
            kernel.records.write(store.content_key(content.uuid), store.encode(content), durable=True)


def config_of(kernel: Kernel, content: ImageContent) -> ImageConfig | None:
    """Return an image's configuration, or that of the image that it was made on; None where there is none."""
    digest = content.config or content.base
    try:
        return parse_config(document(kernel, digest)) if digest else None
    except DocumentGone:
        return None


def document(kernel: Kernel, digest: str) -> bytes:
    """Return a document by its digest, as a record has it. Raise DocumentGone for one that somebody removed or
    changed."""
    try:
        data = kernel.blobs.read(digits_of(digest))
    except Missing:
        raise DocumentGone(digest) from None
    if digest_of(data).hexadecimal != digits_of(digest):
        raise DocumentGone(digest)
    return data


def put_document(kernel: Kernel, digits: str, data: bytes) -> None:
    """Make a blob of a document; one that somebody changed is put right."""
    if kernel.blobs.has(digits) and digest_of(kernel.blobs.read(digits)).hexadecimal != digits:
        kernel.blobs.remove(digits)
    kernel.blobs.add(digits, data)


def digits_of(digest: str) -> str:
    """Return what names the blob of a digest that is written as `sha256:…`."""
    return digest.rpartition(":")[2]


def run_fields(content: ImageContent) -> dict[str, Any]:
    """Return an image's record as the `config` of OCI's configuration; what it does not say is empty."""
    return {
        "Cmd": list(content.command),
        "Entrypoint": list(content.entrypoint),
        "Env": list(content.environment),
        "WorkingDir": content.working_directory,
        "User": content.user,
        "ExposedPorts": {port: {} for port in content.exposed_ports},
        "Volumes": {volume: {} for volume in content.volumes},
        "StopSignal": content.stop_signal,
        "Labels": dict(label.split("=", 1) for label in content.labels),
    }

"""An image's configuration: what it was made for, of which layers, and how its program is started.

Sources: the OCI image specification (config.md); docker's older configurations are the same but for a `Cmd` or
`Entrypoint` that is one text. The image's id is the digest of these bytes.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

import attrs

from bocker.core import jsontext
from bocker.core.timestamps import parse_rfc3339, rfc3339
from bocker.registry.digests import Digest, digest_of
from bocker.registry.documents import Fields, Pairs, read_object
from bocker.registry.errors import BadDocument
from bocker.registry.manifests import DEFAULT_BOUNDS, Bounds, Descriptor, Manifest
from bocker.registry.platforms import Platform, uniform

LONGEST_TIME = 64
HISTORY_ENTRIES = 4096
_DOCKERS_OWN = frozenset({"container", "container_config", "docker_version", "id", "parent"})
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


@attrs.frozen
class ExposedPorts:
    """Ports that the program listens on, from first to last; mostly the two are the same."""

    first: int
    last: int
    protocol: str

    def __str__(self) -> str:
        numbers = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{numbers}/{self.protocol}"


@attrs.frozen
class HistoryEntry:
    """How one layer, or one change to the configuration alone (`empty_layer`), came about."""

    created_ns: int | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@attrs.frozen
class ImageConfig:
    """All that `run`, `inspect` and `history` ask of an image. Empty is what the document does not say."""

    data: bytes
    platform: Platform
    diff_ids: tuple[Digest, ...]
    created_ns: int | None = None
    author: str = ""
    history: tuple[HistoryEntry, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    exposed_ports: tuple[ExposedPorts, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: Pairs = ()

    @property
    def image_id(self) -> Digest:
        """The digest of the bytes."""
        return digest_of(self.data)

    @property
    def chain_ids(self) -> tuple[Digest, ...]:
        """The names of the trees that the layers make, the base first."""
        return chain_ids(self.diff_ids)


@attrs.frozen
class Layer:
    """One step of an image: the blob, the digest of what is packed in it, and the tree up to and with it."""

    blob: Descriptor
    diff_id: Digest
    chain_id: Digest


def parse_config(data: bytes, bounds: Bounds = DEFAULT_BOUNDS, subject: str = "image configuration") -> ImageConfig:
    """Read an image's configuration; `subject` names it in errors. Raises BadDocument."""
    fields = read_object(data, subject, bounds.document_bytes)
    run = fields.object("config")
    return ImageConfig(
        data=data,
        platform=_platform(fields),
        diff_ids=_diff_ids(fields.object("rootfs"), bounds),
        created_ns=_time(fields, "created"),
        author=fields.text("author"),
        history=tuple(_history_entry(inner) for inner in fields.objects("history", HISTORY_ENTRIES)),
        env=run.texts("Env"),
        entrypoint=_words(run, "Entrypoint"),
        cmd=_words(run, "Cmd"),
        working_dir=run.text("WorkingDir"),
        user=run.text("User"),
        exposed_ports=_exposed_ports(run),
        volumes=run.object("Volumes").names(),
        stop_signal=run.text("StopSignal"),
        labels=run.pairs("Labels"),
    )


def read_ports(word: str) -> ExposedPorts | None:
    """Read `80`, `53/udp` or `8000-8010/tcp`; None for what is no port."""
    found = _PORT.fullmatch(word)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not found or not 0 < first <= last < 65_536:
        return None
    return ExposedPorts(first, last, (found[3] or "tcp").lower())


def compose_config(
    base: bytes,
    run: dict[str, Any],
    platform: Platform,
    diff_id: Digest | None,
    steps: tuple[HistoryEntry, ...],
) -> bytes:
    """Return the configuration of an image made on another one, or of a first one where `base` is empty.

    run: the fields of OCI's `config` that the new image has; one that is empty is left out, and what else
    the base had there is kept. diff_id: of the layer that was added, None where there is none. steps: what
    the history goes on with, one at least, the newest last. The same values give the same bytes. What docker
    once wrote of its own containers is left out.
    """
    document: dict[str, Any] = jsontext.loads(base) if base else {}
    kept = {name: value for name, value in document.items() if name not in _DOCKERS_OWN}
    below = [str(digest) for digest in parse_config(base).diff_ids] if base else []
    inner = {name: value for name, value in (document.get("config") or {}).items() if name not in run}
    whole = kept | {
        "created": rfc3339(steps[-1].created_ns or 0),
        "architecture": document.get("architecture") or platform.architecture,
        "os": document.get("os") or platform.os,
        "config": inner | {name: value for name, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": below + ([str(diff_id)] if diff_id else [])},
        "history": [*(document.get("history") or []), *(_history_written(step) for step in steps)],
    }
    if platform.variant and not base:
        whole["variant"] = platform.variant
    if steps[-1].author:
        whole["author"] = steps[-1].author
    return json.dumps(whole, separators=(",", ":"), allow_nan=False).encode("ascii")


def _history_written(entry: HistoryEntry) -> dict[str, Any]:
    words = {
        "created_by": entry.created_by,
        "author": entry.author,
        "comment": entry.comment,
        "empty_layer": entry.empty_layer,
    }
    return {"created": rfc3339(entry.created_ns or 0)} | {name: word for name, word in words.items() if word}


def chain_ids(diff_ids: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """Return each layer's chain id: the digest of the chain id below it, a space, and its own diff id."""
    return tuple(accumulate(diff_ids, lambda below, diff_id: digest_of(f"{below} {diff_id}".encode("ascii"))))


def layers_of(manifest: Manifest, config: ImageConfig, subject: str = "image") -> tuple[Layer, ...]:
    """Return the image's layers, the base first; raise BadDocument where the two documents count differently."""
    blobs, diff_ids = manifest.layers, config.diff_ids
    if len(blobs) != len(diff_ids):
        raise BadDocument(subject, f"its manifest has {len(blobs)} layers and its configuration {len(diff_ids)}")
    return tuple(map(Layer, blobs, diff_ids, config.chain_ids))


def _platform(fields: Fields) -> Platform:
    for name in ("os", "architecture"):
        if not fields.text(name):
            raise fields.bad(name, "is missing")
    return uniform(fields.text("os"), fields.text("architecture"), fields.text("variant"))


def _diff_ids(fields: Fields, bounds: Bounds) -> tuple[Digest, ...]:
    if fields.text("type") != "layers":
        raise fields.bad("type", "is not 'layers'")
    return fields.digests("diff_ids", bounds.layers)


def _time(fields: Fields, name: str) -> int | None:
    """Go's zero time, in the year 1, stands for none."""
    text = fields.text(name)
    if not text:
        return None
    try:
        time_ns = parse_rfc3339(text) if len(text) <= LONGEST_TIME else None
    except ValueError:
        time_ns = None
    if time_ns is None:
        raise fields.bad(name, "is no time")
    return time_ns if time_ns >= 0 else None


def _history_entry(fields: Fields) -> HistoryEntry:
    return HistoryEntry(
        created_ns=_time(fields, "created"),
        created_by=fields.text("created_by"),
        author=fields.text("author"),
        comment=fields.text("comment"),
        empty_layer=fields.flag("empty_layer"),
    )


def _words(fields: Fields, name: str) -> tuple[str, ...]:
    """Old docker wrote a command of one word as a text."""
    if fields.is_text(name):
        return (fields.text(name),)
    return fields.texts(name)


def _exposed_ports(fields: Fields) -> tuple[ExposedPorts, ...]:
    return tuple(_exposed(fields, word) for word in fields.object("ExposedPorts").names())


def _exposed(fields: Fields, word: str) -> ExposedPorts:
    ports = read_ports(word)
    if ports is None:
        raise fields.bad("ExposedPorts", f"has '{word}', which is no port")
    return ports

"""Valid documents, and what hypothesis makes of them: the same with something replaced or left out."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st

from bocker.core.errors import BockerError
from bocker.registry.digests import Digest, digest_of
from bocker.registry.manifests import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from tests.strategies import JSON_VALUES

T = TypeVar("T")


def digest(seed: int) -> Digest:
    return digest_of(str(seed).encode())


def descriptor(media_type: str, seed: int, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest(seed)), "size": seed, **more}


def manifest(**more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, 1),
        "layers": [descriptor(f"{OCI_LAYER}+gzip", 2), descriptor(f"{OCI_LAYER}+zstd", 3)],
        "annotations": {"org.opencontainers.image.created": "2026-11-21T00:00:00Z"},
        **more,
    }


def entry(seed: int, platform: str | None = None, **more: Any) -> dict[str, Any]:
    if platform is not None:
        words = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        more["platform"] = words
    return descriptor(OCI_MANIFEST, seed, **more)


def index(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), **more}


def config(**run: Any) -> dict[str, Any]:
    return {
        "created": "2026-11-21T01:17:21Z",
        "author": "somebody",
        "architecture": "arm64",
        "os": "linux",
        "variant": "v8",
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [str(digest(20)), str(digest(30))]},
        "history": [{"created": "2026-11-21T00:00:00Z", "created_by": "ADD x"}, {"empty_layer": True}],
    }


def written(document: Any) -> bytes:
    return json.dumps(document).encode()


def tried(parse: Callable[[], T], refusal: type[BockerError] = BockerError) -> T | None:
    """Return what a parser makes of something; None where it refuses it, in a line that can be shown."""
    try:
        return parse()
    except refusal as error:
        said = error
    assert (said.message + (said.hint or "")).isprintable()
    return None


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 2**70, 1e400, "", "\0", "\ud800", "x", [], {}, [None], [[]], "sha256:", "sha512:" + "0" * 128]
).map(copy.deepcopy)  # a later mutation may go on inside


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """Draw the document with up to three of its values replaced or gone, as JSON, and maybe cut."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, changed)
    data = written(changed)
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


def _mutate(draw: st.DrawFn, node: Any) -> None:
    while node:
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        inner = node[key]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            node = inner
        elif draw(st.booleans()):
            node[key] = draw(ODD | JSON_VALUES)
            return
        else:
            del node[key]
            return


def any_bytes(*documents: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Draw random bytes, random JSON, and mutations of valid documents."""
    return st.one_of(st.binary(max_size=60), JSON_VALUES.map(written), *(mutated(document) for document in documents))

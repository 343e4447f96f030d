"""Whatever the bytes: every reader of what strangers wrote answers, or refuses with our own error, in bounded time.

The changes know the formats: bytes are flipped, cut out, doubled and moved, values of JSON become others of every
type, nest deeply or grow huge; of an archive the checksums are made right again. A long run with a seed of its own:

    python -m tests.unit.registry.test_fuzz SECONDS SEED
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bocker.core.errors import BockerError
from bocker.core.settings import Settings
from bocker.core.tarstream import BadArchive, TarStream
from bocker.engine.store import ensure_format
from bocker.fakes import FakeKernel, World
from bocker.images.archive import read_archive
from bocker.kernel.archives import Bounds
from bocker.kernel.errors import KernelError
from bocker.registry import challenges, config, credentials, endpoints, manifests, names, platforms, refusals
from tests.contracts import layers
from tests.unit.core.test_tarstream import GOOD
from tests.unit.images.bench import LINUX, ImageBench, archive, root_filesystem, three_layers
from tests.unit.images.test_two_engines import saved
from tests.unit.registry import samples

pytestmark = pytest.mark.sweep

OURS = (BockerError, KernelError, BadArchive)
SLOWEST_S = 5.0
MOST_BYTES = 1 << 20  # of a document
BOUNDS = Bounds(entries=1000, size_bytes=4 << 20, depth=64)
HUGE: tuple[Any, ...] = (10**400, -(10**400), 1e308, 2**63, 2**64, -1, 0)
VALUES: tuple[Any, ...] = (None, True, False, "", "x" * 5000, "\0", "\ud800", "sha256:" + "0" * 64, [], {}, *HUGE)

Reader = Callable[[bytes], object]


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def machine() -> FakeKernel:
    kernel = World().prepare(Settings()).kernel(Settings())
    ensure_format(kernel)
    return kernel


KERNEL = machine()
START = KERNEL.world.state


def fresh() -> FakeKernel:
    KERNEL.world.state = START
    KERNEL.world.journal.clear()
    return KERNEL


def from_archive(data: bytes) -> object:
    kernel = fresh()
    kernel.world.write_file("/in.tar", data)
    return read_archive(kernel, "/in.tar", LINUX, BOUNDS)


def unpacked(data: bytes) -> object:
    kernel = fresh()
    kernel.storage.create("img_42002")
    kernel.world.write_file("/in.tar", data)
    return kernel.archives.unpack("/in.tar", f"{Settings().store}/img_42002", BOUNDS)


def spilled(data: bytes) -> object:
    kernel = fresh()
    kernel.world.write_file("/in.tar", data)
    return kernel.archives.spill("/in.tar", "/spilled", BOUNDS)


def streamed(data: bytes) -> int:
    position = 0

    def read(most: int) -> bytes:
        nonlocal position
        position += most
        return data[position - most : position]

    stream, count = TarStream(read), 0
    while stream.next() is not None:
        count += 1
        if count % 2:
            stream.data(1 << 16)
    return count


def oci_and_dockers() -> bytes:
    """Return an archive as `save` writes it: an OCI layout, and docker's."""
    bench = ImageBench()
    three_layers(bench, layers=[archive(("a", "1")), archive((".wh.a", ""), ("b", "2"))])
    bench.pull("app:1")
    saved(bench, "img_42002")
    return bench.world.read_file("/out.tar")


AUTHS = {
    "auths": {"registry.example": {"auth": "am86c2VjcmV0"}, "https://index.docker.io/v1/": {"username": "jo"}},
    "credsStore": "pass",
    "credHelpers": {"other.example": "pass"},
}
COMPLAINT = {"errors": [{"code": "DENIED", "message": "no", "detail": {"x": 1}}], "details": "no"}
CHALLENGE = b'Bearer realm="https://auth.example/token",service="registry",scope="repository:app:pull", Basic realm="x"'

DOCUMENTS: dict[str, tuple[Reader, Any]] = {
    "manifest": (manifests.parse_manifest, samples.manifest()),
    "index": (
        manifests.parse_manifest,
        samples.index(samples.entry(1, "linux/amd64"), samples.entry(2, "linux/arm/v7")),
    ),
    "configuration": (config.parse_config, samples.config(Cmd=["a"], Env=["A=b"], ExposedPorts={"80/tcp": {}})),
    "token": (challenges.parse_token, {"token": "abc", "expires_in": 60, "issued_at": "2026-11-21T00:00:00Z"}),
    "credentials": (credentials.parse_auth_file, AUTHS),
    "complaint": (refusals.read_complaint, COMPLAINT),
}
WORDS: dict[str, tuple[Reader, bytes]] = {
    "challenges": (lambda data: challenges.parse_challenges(text(data)), CHALLENGE),
    "name": (lambda data: names.parse_name(text(data)), b"registry.example:5000/a/b:tag@sha256:" + b"0" * 64),
    "platform": (lambda data: platforms.parse_platform(text(data)), b"linux/arm64/v8"),
    "mirror": (lambda data: endpoints.parse_mirror("docker.io", text(data)), b"https://mirror.example:5000/prefix"),
    "plain http": (lambda data: endpoints.parse_plain_http(text(data)), b"10.0.0.0/8"),
    "retry after": (lambda data: refusals.read_retry_after(text(data)), b"120"),
    "helper": (lambda data: credentials.parse_helper_answer("pass", 0, data), b'{"Username":"jo","Secret":"x"}'),
}
IMAGES = oci_and_dockers()
ARCHIVES: dict[str, tuple[Reader, bytes]] = {
    "tar": (streamed, GOOD),
    "layer": (unpacked, GOOD),
    "layer of a system": (unpacked, root_filesystem(("x", "1"))),
    "members": (spilled, GOOD),
    "images": (from_archive, IMAGES),
}


def damaged(chance: random.Random, data: bytes) -> bytes:
    """Return bytes with some of them changed, gone, doubled or moved."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randint(0, len(found)), chance.choice((1, 2, 8, 100, 512))
        piece = found[at : at + length]
        act = chance.randrange(6)
        if act == 0 and piece:
            found[at] = chance.choice((0, 0xFF, 0x22, 0x5C, found[at] ^ (1 << chance.randrange(8))))
        elif act == 1:
            del found[at : at + length]
        elif act == 2:
            found[at:at] = piece * chance.choice((1, 2, 50))
        elif act == 3:
            found[at : at + length] = bytes(chance.randrange(256) for _ in piece)
        elif act == 4:
            there = chance.randint(0, len(found))
            found[there:there] = piece
        else:
            found[at:at] = str(chance.choice(HUGE)).encode()
    return bytes(found)


def changed_value(chance: random.Random, document: Any) -> Any:
    """Return a document in which values are others, gone, doubled, deep, or in each other's place."""
    found = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        spots = list(_spots(found))
        if not spots:
            return chance.choice(VALUES)
        node, key = chance.choice(spots)
        other, place = chance.choice(spots)
        act = chance.randrange(6)
        if act == 0:
            del node[key]
        elif act == 1:
            node[key] = copy.deepcopy(other[place])
        elif act == 2:
            node[key] = _deep(chance.choice((10, 200, 3000)), node[key])
        elif act == 3:
            node[key] = [copy.deepcopy(node[key])] * chance.choice((0, 1, 2, 40))
        elif act == 4 and isinstance(node, dict):
            node[chance.choice(("", "\0", "mediaType", "digest", "x" * 3000))] = node[key]
        else:
            node[key] = copy.deepcopy(chance.choice(VALUES))
    return found


def _spots(node: Any) -> Any:
    """Give every place in a document: what holds it, and its key."""
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        if not (isinstance(node[key], list) and len(node[key]) > 50):
            yield from _spots(node[key])


def _deep(levels: int, value: Any) -> Any:
    """Nest as text, as the standard library's writer has a limit of its own."""
    return _Raw("[" * levels + json.dumps(value if isinstance(value, str) else 0) + "]" * levels)


class _Raw(str):
    """JSON that is written as it is."""

    __slots__ = ()


def written(document: Any) -> bytes:
    raws: list[str] = []

    def held(node: Any) -> Any:
        if isinstance(node, _Raw):
            raws.append(str(node))
            return f"@raw{len(raws) - 1}@"
        if isinstance(node, dict):
            return {name: held(value) for name, value in node.items()}
        return [held(value) for value in node] if isinstance(node, list) else node

    said = json.dumps(held(document))
    for number, raw in enumerate(raws):
        said = said.replace(f'"@raw{number}@"', raw if len(said) < MOST_BYTES else "0")
    return said.encode()


def resummed(data: bytes) -> bytes:
    """Make the checksums of an archive right again, so that the damage gets past them."""
    found = bytearray(data)
    for at in range(0, len(found) - 511, layers.BLOCK_BYTES):
        if found[at + 257 : at + 262] == b"ustar":
            found[at : at + 512] = layers.summed(found[at : at + 512])
    return bytes(found)


def changed_archive(chance: random.Random, data: bytes) -> bytes:
    """Damage an archive; or the documents in it, so that only what they say is wrong."""
    made = damaged(chance, data)
    made = resummed(made) if chance.random() < 0.7 else made
    return gzip.compress(made, 1) if chance.random() < 0.2 else made


def changed_images(chance: random.Random, data: bytes) -> bytes:
    """Change the documents in an archive of images."""
    import io
    import tarfile

    members = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            content = b"" if not member.isfile() else tar.extractfile(member).read()  # type: ignore[union-attr]
            if content.startswith((b"{", b"[")) and chance.random() < 0.5:
                content = written(changed_value(chance, json.loads(content)))
            members.append((member.name, content if member.isfile() else None))
    return archive(*members)


def tried(read: Reader, data: bytes) -> None:
    """Read; whatever comes of it is an answer, or one of our errors, and soon."""
    began = time.monotonic()
    try:
        read(data)
    except OURS:
        pass
    assert time.monotonic() - began < SLOWEST_S


def attempts(chance: random.Random) -> list[tuple[str, Reader, bytes]]:
    """Return one attempt on every reader."""
    found = [
        (
            name,
            read,
            written(changed_value(chance, document)) if chance.random() < 0.7 else damaged(chance, written(document)),
        )
        for name, (read, document) in DOCUMENTS.items()
    ]
    found += [(name, read, damaged(chance, words)) for name, (read, words) in WORDS.items()]
    found += [(name, read, changed_archive(chance, data)) for name, (read, data) in ARCHIVES.items()]
    return [*found, ("documents of images", from_archive, changed_images(chance, IMAGES))]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_whatever_the_bytes_they_are_read_or_refused(seed: int) -> None:
    for name, read, data in attempts(random.Random(seed)):
        try:
            tried(read, data)
        except Exception as error:
            raise AssertionError(f"{name}: {data[:300]!r}") from error


@pytest.mark.parametrize("name", sorted({**DOCUMENTS, **WORDS, **ARCHIVES}))
def test_what_is_changed_is_read_as_it_is(name: str) -> None:
    """Else nothing would be tried but the refusal."""
    if name in DOCUMENTS:
        read, document = DOCUMENTS[name]
        read(written(document))
    else:
        read, data = {**WORDS, **ARCHIVES}[name]
        read(data)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000, b'"' + b"\\u0000" * 50_000, b"1" * 100_000, b"\xff"]
)
def test_deep_long_and_endless_ones_are_refused(name: str, data: bytes) -> None:
    tried(DOCUMENTS[name][0], data)


def main(seconds: float, seed: int) -> None:
    """Try for so long; print how many, and what the process took at most."""
    chance, count, ends = random.Random(seed), 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        for name, read, data in attempts(chance):
            count += 1
            try:
                tried(read, data)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {error}\n  {data[:2000]!r}", flush=True)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{count} attempts in {seconds:.0f} s, seed {seed}, at most {peak_mib} MiB")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.registry import manifests
from bocker.registry.errors import BadDocument, NoSuchPlatform, Unsupported
from bocker.registry.manifests import Bounds, Descriptor, Index, Manifest, choose, choose_manifest, parse_manifest
from bocker.registry.platforms import Platform, parse_platform, uniform
from tests.unit.registry import samples
from tests.unit.registry.samples import any_bytes, digest, entry, index, manifest, tried, written

SENT = st.sampled_from(["", "text/html; charset=utf-8", *manifests.MANIFESTS, *manifests.INDEXES, "application/json"])
MULTI = index(entry(1, "linux/amd64"), entry(2, "linux/arm64/v8"), entry(3))


def parse_one(document: dict[str, Any], sent_as: str = "") -> Manifest:
    found = parse_manifest(written(document), sent_as)
    assert isinstance(found, Manifest)
    return found


def parse_index(*entries: dict[str, Any]) -> Index:
    found = parse_manifest(written(index(*entries)))
    assert isinstance(found, Index)
    return found


@pytest.mark.parametrize("media_type", sorted(manifests.MANIFESTS))
def test_P1_a_manifest_is_read(media_type: str) -> None:
    data = written(manifest(mediaType=media_type))
    found = parse_manifest(data, f"{media_type}; charset=utf-8")
    assert isinstance(found, Manifest)
    assert (found.data, found.media_type) == (data, media_type)
    assert found.config == Descriptor(manifests.OCI_CONFIG, digest(1), 1)
    assert [layer.digest for layer in found.layers] == [digest(2), digest(3)]
    assert [layer.compression for layer in found.layers] == ["gzip", "zstd"]
    assert found.annotations == (("org.opencontainers.image.created", "2026-11-21T00:00:00Z"),)


def test_P4_the_digest_is_that_of_the_bytes_as_they_came() -> None:
    data = written(manifest()).replace(b", ", b",\n  ")
    assert str(parse_manifest(data).digest) == "sha256:" + hashlib.sha256(data).hexdigest()
    data = written(MULTI) + b"\n"
    assert str(parse_manifest(data).digest) == "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("media_type", sorted(manifests.INDEXES))
def test_P1_an_index_is_read(media_type: str) -> None:
    found = parse_manifest(written(MULTI | {"mediaType": media_type}), media_type)
    assert isinstance(found, Index)
    assert [made.platform for made in found.entries] == [uniform("linux", "amd64"), uniform("linux", "arm64"), None]


def test_a_media_type_may_be_said_by_one_side_or_by_none() -> None:
    unsaid = {name: value for name, value in manifest().items() if name != "mediaType"}
    assert parse_one(unsaid).media_type == manifests.OCI_MANIFEST
    assert parse_one(unsaid, f"{manifests.DOCKER_MANIFEST} ; charset=utf-8").media_type == manifests.DOCKER_MANIFEST
    assert parse_one(manifest(), "application/octet-stream").media_type == manifests.OCI_MANIFEST


@pytest.mark.parametrize(
    ("document", "sent_as"),
    [
        (manifest(), manifests.OCI_INDEX),
        (manifest(), manifests.DOCKER_MANIFEST),
        (manifest(manifests=[]), ""),
        (MULTI | {"layers": []}, ""),
        (MULTI | {"config": {}}, ""),
        (manifest() | {"config": None}, ""),
        ({"schemaVersion": 2}, manifests.OCI_INDEX),
        ({"schemaVersion": 2}, ""),
        (manifest(schemaVersion=3), ""),
        (manifest(schemaVersion=None), ""),
    ],
)
def test_what_is_two_things_at_once_or_none_is_refused(document: dict[str, Any], sent_as: str) -> None:
    with pytest.raises(BadDocument):
        parse_manifest(written(document), sent_as)


@pytest.mark.parametrize(
    ("document", "sent_as"),
    [
        ({"schemaVersion": 1, "name": "x", "fsLayers": []}, ""),
        ({"name": "x"}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ({"mediaType": "application/vnd.docker.distribution.manifest.v1+json"}, ""),
    ],
)
def test_schema_1_is_refused_by_its_name(document: dict[str, Any], sent_as: str) -> None:
    with pytest.raises(Unsupported, match="schema 1") as caught:
        parse_manifest(written(document), sent_as)
    assert caught.value.hint


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    ],
)
def test_a_foreign_layer_is_named_and_refused(media_type: str) -> None:
    layer = samples.descriptor(media_type, 7, urls=["https://elsewhere.example/x"])
    with pytest.raises(Unsupported, match=f"{digest(7)} is a foreign one"):
        parse_one(manifest(layers=[layer]))


@pytest.mark.parametrize(
    "changes",
    [
        {"config": samples.descriptor("application/vnd.cncf.helm.config.v1+json", 1)},
        {"config": samples.descriptor("", 1)},
        {"layers": [samples.descriptor("application/vnd.oci.image.layer.v1.tar+encrypted", 1)]},
        {"layers": [samples.descriptor("", 1)]},
        {"mediaType": "application/vnd.oci.artifact.manifest.v1+json"},
    ],
)
def test_what_is_no_image_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        parse_one(manifest(**changes))


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (Bounds(layers=1), "'layers' has 2 entries"),
        (Bounds(entries=2), "'manifests' has 3 entries"),
        (Bounds(layer_bytes=2), r"'layers\[1\]\.size' is no number from 0 to 2"),
        (Bounds(document_bytes=100), "bytes, and 100 is the limit"),
    ],
)
def test_size_and_number_have_limits(bounds: Bounds, reason: str) -> None:
    parse_manifest(written(manifest()), bounds=Bounds(layers=2, layer_bytes=3))
    document = MULTI if "manifests" in reason else manifest()
    with pytest.raises(BadDocument, match=reason):
        parse_manifest(written(document), bounds=bounds)


def test_a_configuration_is_no_larger_than_a_document() -> None:
    large = samples.descriptor(manifests.OCI_CONFIG, 1) | {"size": 5 << 20}
    with pytest.raises(BadDocument, match=r"config\.size"):
        parse_one(manifest(config=large))


def test_a_digest_that_can_not_be_checked_is_named() -> None:
    layer = samples.descriptor(manifests.OCI_LAYER, 1) | {"digest": "sha512:" + "0" * 128}
    with pytest.raises(BadDocument, match=r"'layers\[0\]\.digest' is no digest .*'sha512'"):
        parse_one(manifest(layers=[layer]))


@pytest.mark.parametrize(
    ("wanted", "offered", "taken"),
    [
        ("amd64", ["linux/arm64", "linux/amd64"], 2),
        ("amd64", ["windows/amd64", "linux/amd64"], 2),
        ("amd64", ["linux/amd64", "linux/amd64"], 1),
        ("amd64", ["linux/amd64/v2", "linux/amd64"], 2),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], 2),
        ("arm64", ["linux/arm/v7", "linux/arm64/v8"], 2),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5", "linux/arm/v6"], 3),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 2),
        ("amd64", ["unknown/unknown", "linux/amd64"], 2),
        ("amd64", [None], 1),
    ],
)
def test_the_best_image_for_a_platform_is_taken(wanted: str, offered: list[str | None], taken: int) -> None:
    found = parse_index(*(entry(number, platform) for number, platform in enumerate(offered, 1)))
    assert choose(found, parse_platform(wanted)).digest == digest(taken)


@pytest.mark.parametrize(
    ("offered", "shown"),
    [
        (["linux/arm64", "linux/s390x", "linux/arm64"], "it has linux/arm64, linux/s390x"),
        (["linux/amd64/v2"], "it has linux/amd64/v2"),
        (["unknown/unknown"], "it has nothing"),
        ([None, None], "it has nothing"),
        ([None, "linux/arm64"], "it has linux/arm64"),
        ([], "it has nothing"),
    ],
)
def test_a_platform_that_is_not_there_is_refused_with_those_that_are(offered: list[str | None], shown: str) -> None:
    found = parse_index(*(entry(number, platform) for number, platform in enumerate(offered)))
    with pytest.raises(NoSuchPlatform) as caught:
        choose(found, Platform("linux", "amd64"))
    assert caught.value.message.endswith(shown)
    assert bool(caught.value.hint) == ("nothing" not in shown)


def test_attestations_and_artifacts_are_never_taken() -> None:
    marked = entry(1, "linux/amd64", annotations={"vnd.docker.reference.type": "attestation-manifest"})
    artifact = entry(2, "linux/amd64") | {"mediaType": "application/vnd.oci.artifact.manifest.v1+json"}
    nested = entry(3, "linux/amd64") | {"mediaType": manifests.OCI_INDEX}
    assert choose(parse_index(marked, artifact, nested), Platform("linux", "amd64")).digest == digest(3)


@pytest.mark.parametrize(("deep", "leads"), [(0, True), (1, True), (3, True), (4, False), (1000, False)])
def test_an_index_may_lead_to_an_index_and_not_for_ever(deep: int, leads: bool) -> None:
    inner = parse_index(entry(1, "linux/amd64") | {"mediaType": manifests.OCI_INDEX})
    way = iter([inner] * deep + [parse_one(manifest())])
    found = tried(lambda: choose_manifest(next(way), Platform("linux", "amd64"), lambda _: next(way), "index"))
    assert found == (parse_one(manifest()) if leads else None)


@given(any_bytes(manifest(), MULTI), SENT)
def test_any_bytes_are_a_manifest_or_refused(data: bytes, sent_as: str) -> None:
    found = tried(lambda: parse_manifest(data, sent_as))
    assert found is None or found.data == data
    if isinstance(found, Index):
        taken = tried(lambda: choose(found, Platform("linux", "amd64")))
        assert taken is None or taken in found.entries


DESCRIPTORS = st.builds(
    Descriptor,
    st.sampled_from([manifests.OCI_LAYER, f"{manifests.DOCKER_LAYER}.gzip"]),
    st.integers(0, 9).map(digest),
    st.integers(0, 1 << 36),
    st.just(()) | st.just(("https://x.example/é",)),
    st.just(()) | st.just((("a", "b"), ("c", "\u2028"))),
)
ENTRIES = st.builds(
    Descriptor,
    st.sampled_from([manifests.OCI_MANIFEST, manifests.DOCKER_LIST]),
    st.integers(0, 9).map(digest),
    st.integers(0, 1 << 20),
    platform=st.none()
    | st.sampled_from(["arm/v6", "arm64", "amd64/v3"]).map(lambda word: parse_platform("linux/" + word)),
)
NOTES = st.just(()) | st.just((("note", "x"),))


@given(st.lists(DESCRIPTORS, max_size=4).map(tuple), NOTES, st.sampled_from(sorted(manifests.MANIFESTS)))
def test_a_manifest_that_is_written_is_read_again(
    layers: tuple[Descriptor, ...], notes: tuple[tuple[str, str], ...], media_type: str
) -> None:
    made = manifests.compose_manifest(Descriptor(manifests.OCI_CONFIG, digest(1), 1), layers, notes, media_type)
    assert parse_manifest(made.data) == parse_manifest(made.data, media_type) == made


@given(st.lists(ENTRIES, max_size=4).map(tuple), NOTES, st.sampled_from(sorted(manifests.INDEXES)))
def test_an_index_that_is_written_is_read_again(
    entries: tuple[Descriptor, ...], notes: tuple[tuple[str, str], ...], media_type: str
) -> None:
    made = manifests.compose_index(entries, notes, media_type)
    assert parse_manifest(made.data) == parse_manifest(made.data, media_type) == made


def test_what_is_accepted_names_both_kinds_of_both_makers() -> None:
    assert set(manifests.ACCEPT.split(", ")) == manifests.MANIFESTS | manifests.INDEXES

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given

from bocker.registry.config import ExposedPorts, HistoryEntry, ImageConfig, chain_ids, layers_of, parse_config
from bocker.registry.errors import BadDocument
from bocker.registry.manifests import Bounds, Manifest, parse_manifest
from bocker.registry.platforms import Platform
from tests.unit.registry import samples
from tests.unit.registry.samples import any_bytes, config, digest, manifest, tried, written

RUN: dict[str, Any] = {
    "Env": ["PATH=/bin", "EMPTY="],
    "Entrypoint": ["/entry", "-x"],
    "Cmd": ["serve"],
    "WorkingDir": "/srv",
    "User": "www-data:33",
    "ExposedPorts": {"80": {}, "53/udp": {}, "8000-8010/TCP": {}},
    "Volumes": {"/var/lib/x": {}, "/a": {}},
    "StopSignal": "SIGQUIT",
    "Labels": {"b": "2", "a": "1"},
}
FULL = config(**RUN)
NS = 10**9


def parse(document: dict[str, Any]) -> ImageConfig:
    return parse_config(written(document))


def test_everything_that_run_needs_is_read() -> None:
    found = parse(FULL)
    assert found.platform == Platform("linux", "arm64")
    assert (found.created_ns, found.author) == (1_795_223_841 * NS, "somebody")
    assert (found.env, found.entrypoint, found.cmd) == (("PATH=/bin", "EMPTY="), ("/entry", "-x"), ("serve",))
    assert (found.working_dir, found.user, found.stop_signal) == ("/srv", "www-data:33", "SIGQUIT")
    assert found.exposed_ports == (
        ExposedPorts(53, 53, "udp"),
        ExposedPorts(80, 80, "tcp"),
        ExposedPorts(8000, 8010, "tcp"),
    )
    assert [str(ports) for ports in found.exposed_ports] == ["53/udp", "80/tcp", "8000-8010/tcp"]
    assert (found.volumes, found.labels) == (("/a", "/var/lib/x"), (("a", "1"), ("b", "2")))
    assert found.diff_ids == (digest(20), digest(30))
    assert found.history == (
        HistoryEntry(created_ns=1_795_219_200 * NS, created_by="ADD x"),
        HistoryEntry(empty_layer=True),
    )


def test_most_of_it_may_be_absent_or_null() -> None:
    for run in ({}, dict.fromkeys(RUN)):
        document = config(**run) | {"history": None, "created": None, "author": None, "variant": None}
        found = parse(document)
        expected = ImageConfig(written(document), Platform("linux", "arm64"), (digest(20), digest(30)))
        assert found == expected
    assert parse(config() | {"config": None}).env == ()


def test_the_image_id_is_the_digest_of_the_bytes_as_they_came() -> None:
    data = written(FULL).replace(b", ", b" ,")
    assert str(parse_config(data).image_id) == "sha256:" + hashlib.sha256(data).hexdigest()


def test_the_variant_belongs_to_the_platform() -> None:
    assert parse(config() | {"variant": "v9"}).platform == Platform("linux", "arm64", "v9")


def test_old_docker_s_command_of_one_word_is_read() -> None:
    assert parse(config(Cmd="/bin/sh", Entrypoint="/entry")).cmd == ("/bin/sh",)
    assert parse(config(Cmd="/bin/sh", Entrypoint="/entry")).entrypoint == ("/entry",)


def test_go_s_zero_time_is_none() -> None:
    assert parse(config() | {"created": "0001-01-01T00:00:00Z"}).created_ns is None
    assert parse(config() | {"created": "1970-01-01T00:00:00Z"}).created_ns == 0


def test_chain_ids_are_those_of_the_specification() -> None:
    first, second, third = digest(1), digest(2), digest(3)
    middle = "sha256:" + hashlib.sha256(f"{first} {second}".encode()).hexdigest()
    last = "sha256:" + hashlib.sha256(f"{middle} {third}".encode()).hexdigest()
    assert [str(made) for made in chain_ids((first, second, third))] == [str(first), middle, last]
    assert chain_ids(()) == ()


def test_P2_layers_go_from_the_base_to_the_top() -> None:
    made, found = parse_manifest(written(manifest())), parse(FULL)
    assert isinstance(made, Manifest)
    base, top = layers_of(made, found)
    assert (base.blob.digest, base.diff_id, base.chain_id) == (digest(2), digest(20), digest(20))
    assert (top.blob.digest, top.diff_id) == (digest(3), digest(30))
    assert top.chain_id == found.chain_ids[-1] == chain_ids((digest(20), digest(30)))[1]


def test_manifest_and_configuration_have_as_many_layers() -> None:
    made = parse_manifest(written(manifest(layers=[])))
    assert isinstance(made, Manifest)
    with pytest.raises(BadDocument, match="its manifest has 0 layers and its configuration 2"):
        layers_of(made, parse(FULL))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"os": ""}, "os"),
        ({"architecture": None}, "architecture"),
        ({"rootfs": None}, "rootfs.type"),
        ({"rootfs": {"type": "layers", "diff_ids": ["sha512:x"]}}, "rootfs.diff_ids"),
        ({"created": "yesterday"}, "created"),
        ({"created": "2026-11-21T00:00:00." + "0" * 60 + "Z"}, "created"),
        ({"history": [{"empty_layer": 1}]}, r"history\[0\].empty_layer"),
        ({"config": {"Env": "PATH=/bin"}}, "config.Env"),
        ({"config": {"Cmd": ["a\0b"]}}, "config.Cmd"),
        ({"config": {"Labels": ["x"]}}, "config.Labels"),
        ({"config": {"ExposedPorts": {"http": {}}}}, "config.ExposedPorts"),
        ({"config": {"ExposedPorts": {"0/tcp": {}}}}, "config.ExposedPorts"),
        ({"config": {"ExposedPorts": {"90-80": {}}}}, "config.ExposedPorts"),
        ({"config": {"ExposedPorts": {"65536": {}}}}, "config.ExposedPorts"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(BadDocument, match=f"'{path}' "):
        parse(FULL | changes)


def test_the_limits_are_those_of_the_manifest() -> None:
    with pytest.raises(BadDocument, match="2 entries, and 1 is the limit"):
        parse_config(written(FULL), Bounds(layers=1))
    with pytest.raises(BadDocument, match="is the limit"):
        parse_config(written(FULL), Bounds(document_bytes=10))


@given(any_bytes(FULL, samples.config()))
def test_any_bytes_are_a_configuration_or_refused(data: bytes) -> None:
    found = tried(lambda: parse_config(data))
    assert found is None or (found.data == data and len(found.chain_ids) == len(found.diff_ids))

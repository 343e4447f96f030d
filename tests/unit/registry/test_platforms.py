from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.errors import InvalidValue
from bocker.registry.platforms import Platform, parse_platform, platform_of_machine, uniform
from tests.strategies import ANY_WORD
from tests.unit.registry.samples import tried


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("Linux/AMD64/V3", "linux/amd64/v3"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/s390x", "linux/s390x"),
    ],
)
def test_what_people_type(text: str, expected: str) -> None:
    assert str(parse_platform(text)) == expected


@pytest.mark.parametrize("text", ["", "linux", "windows/amd64", "linux/", "linux//v8", "a/b/c/d", "linux/x y", "\n"])
def test_what_is_no_platform_of_linux_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_platform(text)


@given(ANY_WORD | st.from_regex(r"\A(linux/)?[a-z0-9]{1,5}(/v?[0-9.]{1,3})?\Z"))
def test_any_word_is_a_platform_or_refused_and_a_platform_is_stable(text: str) -> None:
    found = tried(lambda: parse_platform(text), InvalidValue)
    if found is None:
        return
    assert parse_platform(str(found)) == found
    assert found.accepts()[0] == found


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("armv6l", "linux/arm/v6"),
        ("i686", "linux/386"),
        ("riscv64", "linux/riscv64"),
    ],
)
def test_the_machine_of_uname(machine: str, expected: str) -> None:
    assert str(platform_of_machine(machine)) == expected


@pytest.mark.parametrize(
    ("wanted", "variants"),
    [
        ("linux/amd64", [""]),
        ("linux/amd64/v3", ["v3", "v2", ""]),
        ("linux/arm/v7", ["v7", "v6", "v5"]),
        ("linux/arm/v5", ["v5"]),
        ("linux/arm64", [""]),
        ("linux/arm64/v9.2", ["v9.2", "v9", ""]),
        ("linux/riscv64/rva22u64", ["rva22u64", ""]),
    ],
)
def test_older_variants_run_on_newer_processors(wanted: str, variants: list[str]) -> None:
    assert [platform.variant for platform in parse_platform(wanted).accepts()] == variants


def test_what_builders_call_unknown_is_no_platform() -> None:
    assert uniform("unknown", "unknown").is_unknown
    assert not Platform("linux", "amd64").is_unknown

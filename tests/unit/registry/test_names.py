from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bocker.core.errors import InvalidValue
from bocker.core.reference import parse_tag
from bocker.registry.names import ImageName, parse_host, parse_name
from tests.strategies import ANY_WORD
from tests.unit.registry.samples import digest, tried

DIGEST = str(digest(1))
HOSTS = st.sampled_from(["docker.io", "localhost", "localhost:5000", "a.example", "10.0.0.1:80", "x:1"])
PARTS = st.lists(st.sampled_from(["library", "a", "b-c", "d__e", "f.g", "localhost", "img_1"]), min_size=1, max_size=3)
NAMES = st.builds(
    ImageName,
    HOSTS,
    PARTS.map("/".join),
    st.none() | st.sampled_from(["latest", "12", "V_1.0-x"]),
    st.none() | st.integers(0, 9).map(digest),
)
TYPED = st.one_of(
    ANY_WORD, st.from_regex(r"\A([a-zA-Z.]{1,4}(:[0-9]{1,3})?/)?[a-z._/-]{1,12}(:[a-zA-Z.]{1,4})?(@.*)?\Z")
)


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("debian", "docker.io/library/debian:latest", "debian:latest"),
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("library/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("somebody/x", "docker.io/somebody/x:latest", "somebody/x:latest"),
        ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("registry-1.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"),
        ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("docker.io/localhost/x", "docker.io/localhost/x:latest", "docker.io/localhost/x:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("host:5000/x:y", "host:5000/x:y", "host:5000/x:y"),
        ("QUAY.io/x", "quay.io/x:latest", "quay.io/x:latest"),
        (f"host:5000/a/b:tag@{DIGEST}", f"host:5000/a/b:tag@{DIGEST}", f"host:5000/a/b:tag@{DIGEST}"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
    ],
)
def test_P12_what_people_type(text: str, canonical: str, familiar: str) -> None:
    found = parse_name(text)
    assert (str(found), found.familiar) == (canonical, familiar)


def test_the_digest_is_what_is_asked_for_where_there_is_one() -> None:
    assert parse_name("debian:12").reference == "12"
    assert parse_name(f"debian:12@{DIGEST}").reference == DIGEST
    assert parse_name(f"debian@{DIGEST}").tag is None


def test_the_default_registry_is_spoken_to_at_another_host() -> None:
    assert parse_name("debian").api_host == "registry-1.docker.io"
    assert parse_name("quay.io/x").api_host == "quay.io"


def test_the_original_s_second_word_is_the_tag() -> None:
    assert parse_name("debian", "12") == parse_name("debian:12")
    for typed in ("debian:11", f"debian@{DIGEST}"):
        with pytest.raises(InvalidValue, match="already"):
            parse_name(typed, "12")


@given(NAMES)
def test_a_name_is_read_from_each_of_its_texts(name: ImageName) -> None:
    assume(name.host != "docker.io" or name.repository not in {"library", "img_1", "library/img_1"})
    assume(name.host != "docker.io" or "/" in name.repository)
    expected = name if name.tag or name.digest else ImageName(name.host, name.repository)
    assert parse_name(str(name)) == expected
    assert parse_name(name.familiar) == expected


@given(TYPED, st.none() | ANY_WORD)
def test_any_word_is_a_name_or_refused_and_a_name_is_stable(text: str, tag: str | None) -> None:
    found = tried(lambda: parse_name(text, tag), InvalidValue)
    if found is None:
        return
    assert parse_name(str(found)) == found
    assert parse_name(found.familiar) == found
    if found.digest is None:
        assert parse_tag(found.familiar) == found.familiar


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "a/", "/a", "a//b", "A", "Foo/bar", "a b", "..", "a/../b", "-a", "a_", "a___b", "a..b", "a:", ":b",
        "a:b:c", "a:-x", "a:" + "x" * 129, "host:0/a", "host:65536/a", "host:/a", "-h.x/a", "[::1]:5000/a", "a@b", "a@",
        f"a@{DIGEST}x", f"@{DIGEST}", "https://quay.io/x", "img_42150", "docker.io/img_42150:1", DIGEST[7:],
        "x/" * 200 + "x", "quay.io/", "a\n", "debian:12\n", "é",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_name(text)


def test_an_address_is_refused_as_one() -> None:
    with pytest.raises(InvalidValue, match="is an address, not a name"):
        parse_name("https://quay.io/x")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("Quay.io", "quay.io"),
        ("http://localhost:5000", "localhost:5000"),
        ("quay.io/a/b", "quay.io"),
    ],
)
def test_the_registry_of_a_login(text: str, host: str) -> None:
    assert parse_host(text) == host


@given(ANY_WORD)
def test_any_word_is_a_registry_or_refused(text: str) -> None:
    host = tried(lambda: parse_host(text), InvalidValue)
    assert host is None or parse_host(host) == host

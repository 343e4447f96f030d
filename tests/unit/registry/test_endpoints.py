from __future__ import annotations

import pytest

from bocker.core.errors import InvalidValue
from bocker.registry.endpoints import (
    Endpoint,
    Registries,
    endpoints,
    is_plain_http,
    parse_mirror,
    parse_plain_http,
)
from bocker.registry.names import parse_name


def test_a_registry_is_asked_by_https() -> None:
    assert endpoints(parse_name("quay.io/a/b"), Registries()) == (Endpoint("https://quay.io", "quay.io", "a/b"),)
    assert endpoints(parse_name("quay.io:8443/a"), Registries()) == (
        Endpoint("https://quay.io:8443", "quay.io:8443", "a"),
    )


def test_docker_s_registry_is_spoken_to_at_another_host_and_keeps_its_name() -> None:
    assert endpoints(parse_name("debian"), Registries()) == (
        Endpoint("https://registry-1.docker.io", "docker.io", "library/debian"),
    )


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.255.1.2", True),
        ("[::1]:5000", True),
        ("[::2]:5000", False),
        ("128.0.0.1:5000", False),
        ("127.0.0.1.example.org", False),
        ("localhost.example.org", False),
        ("xlocalhost", False),
        ("registry.example.org", False),
    ],
)
def test_loopback_is_plain_http_without_asking(host: str, plain: bool) -> None:
    assert is_plain_http(host, Registries()) == plain


@pytest.mark.parametrize(
    ("entry", "host", "plain"),
    [
        ("registry.example.org", "registry.example.org", True),
        ("registry.example.org", "registry.example.org:5000", True),
        ("registry.example.org:5000", "registry.example.org:5000", True),
        ("registry.example.org:5000", "registry.example.org:5001", False),
        ("registry.example.org:5000", "registry.example.org", False),
        ("example.org", "registry.example.org", False),
        ("10.1.0.0/16", "10.1.2.3:5000", True),
        ("10.1.0.0/16", "10.2.2.3:5000", False),
        ("fd00::/8", "[fd00::1]:5000", True),
        ("10.1.0.0/16", "registry.example.org", False),
    ],
)
def test_plain_http_is_for_those_who_are_named(entry: str, host: str, plain: bool) -> None:
    assert is_plain_http(host, Registries(plain_http=(entry,))) == plain


def test_docker_s_registry_is_plain_http_only_by_the_name_that_is_spoken_to() -> None:
    """Nobody means it; but what is sent in the clear is said by the host it goes to."""
    name = parse_name("debian")
    assert endpoints(name, Registries(plain_http=("docker.io",)))[0].url == "https://registry-1.docker.io"
    assert endpoints(name, Registries(plain_http=("registry-1.docker.io",)))[0].url == "http://registry-1.docker.io"


def test_mirrors_go_before_their_registry_in_their_order() -> None:
    mirrors = (
        parse_mirror("docker.io", "https://second.example/docker/"),
        parse_mirror("quay.io", "https://other.example"),
        parse_mirror("index.docker.io", "http://Third.example:5000/v2/proxied/hub"),
    )
    assert endpoints(parse_name("debian"), Registries(mirrors)) == (
        Endpoint("https://second.example/docker", "second.example", "library/debian", is_mirror=True),
        Endpoint("http://third.example:5000", "third.example:5000", "proxied/hub/library/debian", is_mirror=True),
        Endpoint("https://registry-1.docker.io", "docker.io", "library/debian"),
    )
    assert len(endpoints(parse_name("gcr.io/a"), Registries(mirrors))) == 1


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://m.example", "https://m.example"),
        ("HTTPS://M.example/", "https://m.example"),
        ("https://m.example/v2", "https://m.example"),
        ("https://m.example/v2/", "https://m.example"),
        ("https://m.example/v2/a/b/", "https://m.example/v2/a/b"),
        ("https://m.example/Api/docker/v2/a", "https://m.example/Api/docker/v2/a"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_a_mirror_is_written_in_one_way(url: str, clean: str) -> None:
    assert parse_mirror("docker.io", url) == ("docker.io", clean)
    assert parse_mirror("docker.io", clean) == ("docker.io", clean)


@pytest.mark.parametrize(
    "url",
    ["", "m.example", "ftp://m.example", "https://", "https:///a", "https://me:secret@m.example", "https://m.example?x",
     "https://m.example/a?x=1", "https://m.example/a#x", "https://m.example/a b", "https://m.example/../a/%2e",
     "https://m.example:99999", "https://m.example/v2/UPPER", "https://m.example\\@x", "https://m.example/v2/a\n"],
)  # fmt: skip
def test_what_is_no_mirror_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="can not be a mirror"):
        parse_mirror("docker.io", url)


def test_a_mirror_of_what_is_no_registry_is_refused() -> None:
    with pytest.raises(InvalidValue, match="can not be a registry"):
        parse_mirror("no host", "https://m.example")


@pytest.mark.parametrize("text", ["Registry.example:5000", "10.0.0.0/8", "fd00::/8", "[::2]:80", "nas"])
def test_a_plain_http_registry(text: str) -> None:
    assert parse_plain_http(text) == text.lower()


@pytest.mark.parametrize("text", ["", "http://x.example", "x.example/team", "10.0.0.1/8", "x y", "x.example:0", "*"])
def test_what_is_no_plain_http_registry_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is no registry to speak plain http to"):
        parse_plain_http(text)

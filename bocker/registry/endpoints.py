"""Where to ask for an image: its registry's mirrors in their order, then the registry itself; https or plain http."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import attrs

from bocker.core.errors import InvalidValue
from bocker.registry.errors import one_line
from bocker.registry.names import ImageName, is_host, parse_host

API = "/v2/"
_IPV6 = re.compile(r"\[[0-9a-f:.]+\](?::[0-9]{1,5})?")
_NAMESPACE = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


@attrs.frozen
class Registries:
    """What the settings say. mirrors: (registry's host, address) in the order to ask them. plain_http:
    HOST, HOST:PORT, or a subnet of addresses, that are spoken to without TLS."""

    mirrors: tuple[tuple[str, str], ...] = ()
    plain_http: tuple[str, ...] = ()


@attrs.frozen
class Endpoint:
    """One place to ask: `{url}/v2/{repository}/…`. host: with its port, for credentials and for errors."""

    url: str
    host: str
    repository: str
    is_mirror: bool = False


def endpoints(name: ImageName, registries: Registries) -> tuple[Endpoint, ...]:
    """Return where a name's image may be, in the order to ask; the last is the registry itself."""
    mirrors = [_mirror(url, name) for host, url in registries.mirrors if host == name.host]
    return (*mirrors, own_endpoint(name, registries))


def own_endpoint(name: ImageName, registries: Registries) -> Endpoint:
    """Return the registry that a name says, and no mirror of it: where pushes and logins go."""
    scheme = "http" if is_plain_http(name.api_host, registries) else "https"
    return Endpoint(f"{scheme}://{name.api_host}", name.host, name.repository)


def is_plain_http(host: str, registries: Registries) -> bool:
    """Tell whether a host (with or without a port) is spoken to without TLS: loopback is, as docker has it."""
    bare = _without_port(host)
    return _is_loopback(bare) or any(
        entry in {host, bare} or ("/" in entry and _is_within(bare, entry)) for entry in registries.plain_http
    )


def parse_mirror(host: str, url: str) -> tuple[str, str]:
    """Read a mirror of a registry; raise InvalidValue.

    A path stands before the API (`https://example.org/docker`). What follows `/v2/` stands before the
    repository, as containerd writes it (`https://example.org/v2/proxied`).
    """
    registry = parse_host(host)
    before, _, namespace = (url.rstrip("/") + "/").partition(API)
    scheme, separator, address = before.rstrip("/").partition("://")
    netloc, slash, path = address.partition("/")
    if scheme.lower() not in {"http", "https"} or not separator or not _is_address(netloc.lower()):
        raise _no_mirror(url)
    namespace = namespace.rstrip("/")
    if not _PATH.fullmatch(slash + path) or (namespace and not _NAMESPACE.fullmatch(namespace)):
        raise _no_mirror(url)
    clean = f"{scheme.lower()}://{netloc.lower()}{slash}{path}"
    return registry, clean + (API + namespace if namespace else "")


def parse_plain_http(text: str) -> str:
    """Read a registry that is spoken to without TLS: HOST, HOST:PORT or a subnet; raise InvalidValue."""
    word = text.lower()
    if _is_address(word) or _is_subnet(word):
        return word
    raise InvalidValue(
        f"'{one_line(text)}' is no registry to speak plain http to", "write it like registry.example.org:5000"
    )


def _mirror(url: str, name: ImageName) -> Endpoint:
    base, _, namespace = url.partition(API)
    repository = f"{namespace}/{name.repository}" if namespace else name.repository
    return Endpoint(base, urlsplit(base).netloc, repository, is_mirror=True)


def _no_mirror(url: str) -> InvalidValue:
    return InvalidValue(f"'{one_line(url)}' can not be a mirror", "write it like https://mirror.example.org")


def _is_address(netloc: str) -> bool:
    return is_host(netloc) or _IPV6.fullmatch(netloc) is not None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _is_loopback(bare: str) -> bool:
    return bare == "localhost" or _is_within(bare, "127.0.0.0/8") or _is_within(bare, "::1/128")


def _is_within(bare: str, subnet: str) -> bool:
    try:
        return ip_address(bare.strip("[]")) in ip_network(subnet)
    except ValueError:
        return False


def _is_subnet(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return "/" in text

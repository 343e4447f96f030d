"""What the settings say of registries and of images that come in, read when a command has to do with them.

Beside bocker's own settings, those that docker and podman are given on the same host count too, as far as
they mean the same: docker's `registry-mirrors` and `insecure-registries`, and of podman's registries.conf(5)
the `insecure` and `mirror` of a whole registry. Bocker's mirrors are asked first.
"""

from __future__ import annotations

import os

from bocker.core.errors import InvalidValue, UsageError
from bocker.core.words import printable
from bocker.images.accounts import AuthPlaces
from bocker.registry.endpoints import Registries, parse_mirror, parse_plain_http
from bocker.registry.names import DEFAULT_HOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from bocker.cli.settings import Chosen, Configuration
    from bocker.kernel.archives import Bounds

    T = TypeVar("T")

DOCKER_FILE = "/etc/docker/daemon.json"
PODMAN_FILE = "/etc/containers/registries.conf"
_MOST = 1_000_000_000


def registries(
    configuration: Configuration, docker_file: str = DOCKER_FILE, podman_file: str = PODMAN_FILE
) -> Registries:
    """Return mirrors and plain-http registries; raise InvalidValue or UsageError with the source of what is wrong."""
    found = (_own(configuration), _dockers(docker_file), _podmans(podman_file))
    return Registries(
        tuple(dict.fromkeys(mirror for each in found for mirror in each.mirrors)),
        tuple(dict.fromkeys(host for each in found for host in each.plain_http)),
    )


def bounds(configuration: Configuration) -> Bounds:
    """Return what a layer may hold at most; raise InvalidValue with the source of a bad one."""
    from bocker.core.limits import parse_size
    from bocker.kernel.archives import Bounds

    size = configuration.max_size
    return Bounds(
        entries=_number(configuration.max_entries),
        size_bytes=parse_size(size.text, size.source),
        depth=_number(configuration.max_depth),
    )


def auth_places(environ: Mapping[str, str]) -> AuthPlaces:
    """Return where podman and docker keep the credentials of the person who has this environment."""
    home = environ.get("HOME") or _home()
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.geteuid()}"
    podman = "containers/auth.json" if environ.get("XDG_RUNTIME_DIR") else "auth.json"
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    files = (
        environ.get("REGISTRY_AUTH_FILE", ""),
        f"{runtime}/{podman}",
        f"{config}/containers/auth.json",
        (environ.get("DOCKER_CONFIG") or f"{home}/.docker") + "/config.json",
    )
    return AuthPlaces(tuple(dict.fromkeys(os.path.abspath(path) for path in files if path)))


def _home() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_dir


def _own(configuration: Configuration) -> Registries:
    mirrors, plain = configuration.mirrors, configuration.plain_http
    return Registries(
        tuple(_named(mirrors.source, _mirror, word) for word in _words(mirrors)),
        tuple(_named(plain.source, parse_plain_http, word) for word in _words(plain)),
    )


def _words(value: Chosen) -> list[str]:
    return [word for part in value.text.split(",") if (word := part.strip())]


def _mirror(word: str) -> tuple[str, str]:
    host, equals, url = word.partition("=")
    if not equals:
        raise InvalidValue(
            f"'{printable(word)}' can not be a mirror", "write it like docker.io=https://mirror.example.org"
        )
    return parse_mirror(host, url)


def _named(source: str, read: Callable[[str], T], word: str) -> T:
    try:
        return read(word)
    except InvalidValue as error:
        raise InvalidValue(f"{source}: {error.message}", error.hint) from None


def _number(value: Chosen) -> int:
    text = value.text
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST)) and 0 < int(text) <= _MOST):
        raise InvalidValue(f"{value.source}: '{printable(text)}' is no number from 1 to {_MOST}")
    return int(text)


def _dockers(path: str) -> Registries:
    content = _content(path)
    if content is None:
        return Registries()
    from bocker.core import jsontext

    table = _parsed(path, content, jsontext.loads)
    mirrors = [_text(path, item) for item in _items(path, table, "registry-mirrors")]
    insecure = [_text(path, item) for item in _items(path, table, "insecure-registries")]
    return Registries(
        tuple(_named(path, lambda word: parse_mirror(DEFAULT_HOST, word), url) for url in mirrors),
        tuple(_named(path, parse_plain_http, host) for host in insecure),
    )


def _podmans(path: str) -> Registries:
    content = _content(path)
    if content is None:
        return Registries()
    import tomllib

    table = _parsed(path, content, lambda data: tomllib.loads(data.decode()))
    rows = [(_whole_host(path, row), row) for row in _items(path, table, "registry")]
    return Registries(
        tuple(mirror for host, row in rows if host for mirror in _podman_mirrors(path, host, row)),
        tuple(_named(path, parse_plain_http, host) for host, row in rows if host and row.get("insecure") is True),
    )


def _whole_host(path: str, row: Any) -> str:
    """Return the registry that an entry is for; an empty text where it is for a part of one, or for many."""
    fields = _object(path, row)
    place = _text(path, fields.get("prefix") or fields.get("location") or "")
    return "" if "/" in place or "*" in place else place


def _podman_mirrors(path: str, host: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    mirrors = [_object(path, mirror) for mirror in _items(path, row, "mirror")]
    addresses = [_address(_text(path, row.get("location", "")), row.get("insecure") is True) for row in mirrors]
    return [_named(path, lambda url: parse_mirror(host, url), address) for address in addresses]


def _address(location: str, insecure: bool) -> str:
    """Return podman's `HOST/NAMESPACE` as an address."""
    host, _, namespace = location.partition("/")
    return f"{'http' if insecure else 'https'}://{host}/v2/{namespace}"


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path} can not be read: {error.strerror}") from None


def _parsed(path: str, content: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    try:
        return _object(path, parse(content))
    except ValueError as error:
        raise UsageError(f"{path} can not be read: {error}") from None


def _object(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: a table of names was expected")
    return value


def _items(path: str, table: dict[str, Any], name: str) -> list[Any]:
    value = table.get(name, [])
    if not isinstance(value, list):
        raise UsageError(f"{path}, {name}: a list was expected")
    return value


def _text(path: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{path}: {printable(repr(value))} is no text")
    return value

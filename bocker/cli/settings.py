"""Settings: the file, over it the environment, over it the original's `--NAME=VALUE`.

Every value keeps the words that a person knows it by (`BOCKER_STORE`, `--store`, the file and its
key), so that a bad one is refused with its source.
"""

from __future__ import annotations

from bocker.core.errors import InvalidValue, UsageError
from bocker.core.settings import Settings
from bocker.core.value import Value
from bocker.core.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIG_FILE = "/etc/bocker/config.toml"
PREFIX = "BOCKER_"

_DEFAULTS = Settings()
# name: what it means, and its default, as help shows them
MEANINGS = {
    "cpu_share": ("share of processor time, relative to 1024", "512"),
    "mem_limit": ("limit of memory, in units of 1,000,000 bytes", "512"),
    "store": ("btrfs file system with the images and containers", _DEFAULTS.store),
    "state": ("what setup changed, and the store's file", _DEFAULTS.state),
    "runtime": ("what does not outlive a boot", _DEFAULTS.runtime),
    "namespaces": ("where ip netns looks", _DEFAULTS.namespaces),
    "bridge": ("the bridge's name", _DEFAULTS.bridge),
    "table": ("the firewall table's name", _DEFAULTS.table),
    "cgroup_parent": ("the control group above the containers'", _DEFAULTS.cgroup_parent),
    "subnet": ("subnet of a new bridge", _DEFAULTS.subnet),
    "mirrors": ("where to ask before a registry: docker.io=https://mirror.example.org,...", "none"),
    "plain_http": ("registries without TLS, HOST[:PORT],...; those of this machine need not be told", "none"),
    "max_size": ("most bytes of an image's layer, unpacked", "64g"),
    "max_entries": ("most files of a layer", "1000000"),
    "max_depth": ("most directories one within the other", "256"),
}
# The tables of the file, beside the names above.
_TABLES = {
    "registries": {"mirrors": "mirrors", "plain-http": "plain_http"},
    "images": {"max-size": "max_size", "max-entries": "max_entries", "max-depth": "max_depth"},
}
_PATHS = frozenset({"store", "state", "runtime", "namespaces"})
_WORDS = frozenset({"cpu_share", "mem_limit", "mirrors", "plain_http", "max_size", "max_entries", "max_depth"})
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_NAME = _LETTERS | frozenset("0123456789_-.")


class Chosen(Value):
    """A setting's words, and where they come from."""

    text: str
    source: str


class Configuration(Value):
    """All settings. What is no name or place on the host stays words: it is read by what uses it."""

    settings: Settings = Settings()
    cpu_share: Chosen = Chosen("512", "BOCKER_CPU_SHARE")
    mem_limit: Chosen = Chosen("512", "BOCKER_MEM_LIMIT")
    mirrors: Chosen = Chosen("", "BOCKER_MIRRORS")
    plain_http: Chosen = Chosen("", "BOCKER_PLAIN_HTTP")
    max_size: Chosen = Chosen("64g", "BOCKER_MAX_SIZE")
    max_entries: Chosen = Chosen("1000000", "BOCKER_MAX_ENTRIES")
    max_depth: Chosen = Chosen("256", "BOCKER_MAX_DEPTH")


def load(
    environ: Mapping[str, str],
    assigned: Iterable[tuple[str, str, str]] = (),
    config_file: str = CONFIG_FILE,
) -> Configuration:
    """Return the settings; raise UsageError for an unknown name, InvalidValue for a bad value.

    assigned: (NAME, VALUE, as written) of each `--NAME=VALUE`. An empty variable is none, as in the
    original. Other `BOCKER_*` variables belong to somebody else and are left alone.
    """
    chosen = _from_file(config_file)
    for name in MEANINGS:
        variable = PREFIX + name.upper()
        if environ.get(variable):
            chosen[name] = Chosen(environ[variable], variable)
    for written, text, source in assigned:
        name = written.lower().replace("-", "_")
        if name not in MEANINGS:
            raise UsageError(f"unknown setting: {printable(source)}", "see: bocker help")
        chosen[name] = Chosen(text, source)
    return _checked(chosen) if chosen else Configuration()


def _checked(chosen: dict[str, Chosen]) -> Configuration:
    places = {name: _read(name, value) for name, value in chosen.items() if name not in _WORDS}
    words = {name: value for name, value in chosen.items() if name in _WORDS}
    return Configuration(Settings(**places), **words)


def _read(name: str, value: Chosen) -> str:
    if name in _PATHS:
        return _path(value)
    if name == "subnet":
        return _subnet(value)
    if name == "cgroup_parent":
        return _group(value)
    return _plain_name(value, longest=15 if name == "bridge" else 64)


def _path(value: Chosen) -> str:
    parts = value.text.split("/")
    if parts[0] or len(parts) < 2 or not any(parts) or ".." in parts or not value.text.isprintable():
        raise _refused(value, "is not an absolute path", "write it like /var/bocker")
    return "/" + "/".join(part for part in parts if part not in {"", "."})


def _subnet(value: Chosen) -> str:
    from bocker.core.addresses import parse_subnet

    try:
        return str(parse_subnet(value.text))
    except InvalidValue as error:
        raise InvalidValue(f"{value.source}: {error.message}", error.hint) from None


def _group(value: Chosen) -> str:
    for part in value.text.split("/"):
        _plain_name(Chosen(part, value.source), longest=64)
    return value.text


def _plain_name(value: Chosen, longest: int) -> str:
    text = value.text
    if not 0 < len(text) <= longest or text[0] not in _LETTERS or not _NAME.issuperset(text):
        raise _refused(value, "can not be a name", f"a name has 1 to {longest} letters, digits, _ . and -")
    return text


def _refused(value: Chosen, why: str, hint: str) -> InvalidValue:
    return InvalidValue(f"{value.source}: '{printable(value.text)}' {why}", hint)


def _from_file(path: str) -> dict[str, Chosen]:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path} can not be read: {error.strerror}") from None
    return _from_toml(path, content)


def _from_toml(path: str, content: bytes) -> dict[str, Chosen]:
    import tomllib  # twelve milliseconds, only where a person has written the file

    try:
        table = tomllib.loads(content.decode())
    except ValueError as error:
        raise UsageError(f"{path} can not be read: {error}") from None
    chosen = {}
    for name, value in table.items():
        if name in _TABLES and isinstance(value, dict):
            chosen.update(_table(path, name, value))
        else:
            chosen[name] = _entry(path, name, value)
    return chosen


def _table(path: str, table: str, entries: dict[str, object]) -> dict[str, Chosen]:
    chosen = {}
    for key, value in entries.items():
        source = f"{path}, {table}.{printable(key)}"
        if key not in _TABLES[table]:
            raise UsageError(f"unknown setting: {source}", "see: bocker help")
        chosen[_TABLES[table][key]] = Chosen(_joined(source, value), source)
    return chosen


def _joined(source: str, value: object) -> str:
    """Return a list, or a table of lists, as a variable of the environment would have it: HOST=URL,HOST=URL."""
    if isinstance(value, dict):
        return ",".join(f"{name}={_scalar(source, item)}" for name, items in value.items() for item in _listed(items))
    return ",".join(_scalar(source, item) for item in _listed(value))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _entry(path: str, name: str, value: object) -> Chosen:
    source = f"{path}, {printable(name)}"
    if name not in MEANINGS:
        raise UsageError(f"unknown setting: {source}", "see: bocker help")
    return Chosen(_scalar(source, value), source)


def _scalar(source: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(f"{source}: neither text nor a whole number")
    return str(value)

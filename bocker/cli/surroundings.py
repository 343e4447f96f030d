"""Variables of the environment as they are typed for `run` and `exec`: on the command line or in a file."""

from __future__ import annotations

import os

from bocker.core.errors import InvalidValue
from bocker.core.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bocker.cli.main import Call

_FILE_BYTES = 1 << 20


def environment(call: Call) -> tuple[str, ...]:
    """Return NAME=VALUE of `--env-file` and `--env`, the latter last.

    A NAME alone takes the caller's value; where the caller has none it stays alone, which takes the
    variable out of the image's. Raise InvalidValue for what is neither.
    """
    found = [entry for path in call.values("env-file") for entry in _entries_of(path)]
    return tuple(_with_value(call, entry) for entry in (*found, *call.values("env")))


def labels(call: Call) -> tuple[str, ...]:
    """Return NAME=VALUE of `--label`; a NAME alone has an empty value, as in docker."""
    return tuple(label if "=" in label else f"{label}=" for label in call.values("label"))


def _with_value(call: Call, entry: str) -> str:
    if "=" in entry or entry not in call.environ:
        return entry
    return f"{entry}={call.environ[entry]}"


def _entries_of(path: str) -> Iterable[str]:
    """Read docker's file of variables: a line each, `#` begins a remark, blanks before a name do not count."""
    try:
        with open(path, "rb") as file:
            content = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidValue(f"The file '{printable(path)}' for --env-file can not be read: {error.strerror}") from None
    if len(content) > _FILE_BYTES:
        raise InvalidValue(f"The file '{printable(path)}' for --env-file is longer than {_FILE_BYTES} bytes")
    for number, line in enumerate(content.split(b"\n"), 1):
        entry = os.fsdecode(line.lstrip().removesuffix(b"\r"))
        if entry and not entry.startswith("#"):
            yield _checked(entry, path, number)


def _checked(entry: str, path: str, number: int) -> str:
    name = entry.partition("=")[0]
    if not name or any(letter.isspace() for letter in name):
        raise InvalidValue(
            f"'{printable(entry)}' is no variable of the environment, in line {number} of '{printable(path)}'",
            "write it like NAME=VALUE",
        )
    return entry

"""`--change`: lines of a Dockerfile that change an image's configuration, as docker's `commit` and `import` read them.

Source: the Dockerfile reference. A command is a JSON list, or a line for `/bin/sh -c`.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from bocker.core.errors import InvalidValue
from bocker.core.signals import parse_signal
from bocker.registry.config import read_ports
from bocker.registry.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.model import ImageContent

SHELL = ("/bin/sh", "-c")
_NAME = re.compile(r"[^\s=\0]+")
_OLDER = re.compile(r"\s+")


def apply_changes(content: ImageContent, changes: tuple[str, ...]) -> ImageContent:
    """Return the record with all changes made, in their order; raise InvalidValue for one that can't be read."""
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None or not rest.strip() or "\0" in change:
            raise _refused(change)
        content = instruction(content, rest.strip(), change)
    return content


def _command(content: ImageContent, text: str, change: str) -> ImageContent:
    return content.replace(command=_words(text, change))


def _entrypoint(content: ImageContent, text: str, change: str) -> ImageContent:
    """A new entrypoint takes away the command that was meant for the old one, as in docker's builder."""
    return content.replace(entrypoint=_words(text, change), command=())


def _environment(content: ImageContent, text: str, change: str) -> ImageContent:
    return content.replace(environment=_overlaid(content.environment, _pairs(text, change)))


def _labels(content: ImageContent, text: str, change: str) -> ImageContent:
    return content.replace(labels=_overlaid(content.labels, _pairs(text, change)))


def _user(content: ImageContent, text: str, change: str) -> ImageContent:
    return content.replace(user=_one_word(text, change))


def _workdir(content: ImageContent, text: str, change: str) -> ImageContent:
    """A relative one is below the one before."""
    path = text if text.startswith("/") else f"{content.working_directory or ''}/{text}"
    return content.replace(working_directory=path)


def _stop_signal(content: ImageContent, text: str, change: str) -> ImageContent:
    parse_signal(text, "STOPSIGNAL")
    return content.replace(stop_signal=_one_word(text, change))


def _expose(content: ImageContent, text: str, change: str) -> ImageContent:
    ports = tuple(_port(word, change) for word in text.split())
    return content.replace(exposed_ports=tuple(dict.fromkeys((*content.exposed_ports, *ports))))


def _volume(content: ImageContent, text: str, change: str) -> ImageContent:
    places = _listed(text, change) if text.startswith("[") else tuple(text.split())
    if not all(place.startswith("/") for place in places):
        raise _refused(change)
    return content.replace(volumes=tuple(dict.fromkeys((*content.volumes, *places))))


_INSTRUCTIONS: dict[str, Callable[[ImageContent, str, str], ImageContent]] = {
    "CMD": _command,
    "ENTRYPOINT": _entrypoint,
    "ENV": _environment,
    "EXPOSE": _expose,
    "LABEL": _labels,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


def _words(text: str, change: str) -> tuple[str, ...]:
    return _listed(text, change) if text.startswith("[") else (*SHELL, text)


def _listed(text: str, change: str) -> tuple[str, ...]:
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        raise _refused(change) from None
    if not isinstance(words, list) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise _refused(change)
    return tuple(words)


def _pairs(text: str, change: str) -> tuple[str, ...]:
    """Read `A=b C="d e"`, or the older `A b`."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise _refused(change) from None
    if words and "=" not in words[0]:
        words = ["=".join(_OLDER.split(text, maxsplit=1))] if _NAME.fullmatch(words[0]) else []
    if not words or not all("=" in word and _NAME.match(word) for word in words):
        raise _refused(change)
    return tuple(words)


def _overlaid(pairs: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    found = {pair.partition("=")[0]: pair for pair in (*pairs, *more)}
    return tuple(found.values())


def _port(word: str, change: str) -> str:
    ports = read_ports(word)
    if ports is None:
        raise _refused(change)
    return str(ports)


def _one_word(text: str, change: str) -> str:
    if len(text.split()) != 1:
        raise _refused(change)
    return text


def _refused(change: str) -> InvalidValue:
    known = ", ".join(sorted(_INSTRUCTIONS))
    return InvalidValue(f"'{one_line(change)}' is no change", f"write it like 'CMD [\"ls\"]'; there are {known}")

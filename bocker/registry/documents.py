"""JSON that somebody else wrote, read field by field: what has the wrong type is refused by its path.

`null` is as good as absent, as in Go, where these formats come from. No text holds a NUL or half a character:
neither could be handed to the kernel or printed.
"""

from __future__ import annotations

from typing import Any

from bocker.core import jsontext
from bocker.core.errors import InvalidValue
from bocker.registry.digests import Digest, parse_digest
from bocker.registry.errors import BadDocument

Pairs = tuple[tuple[str, str], ...]
DOCUMENT_BYTES = 4 << 20


class Fields:
    """One object of a document. `subject` is what the document is called in an error, `path` where in it we are."""

    def __init__(self, values: dict[str, Any], subject: str, path: str = "") -> None:
        self._values = values
        self._path = path
        self.subject = subject

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def bad(self, name: str, reason: str) -> BadDocument:
        """Return the error that says what is wrong with a field."""
        return BadDocument(self.subject, f"'{self._path}{name}' {reason}")

    def text(self, name: str) -> str:
        """Return a text, empty where there is none."""
        return self._text(name, self._values.get(name))

    def is_text(self, name: str) -> bool:
        """Tell whether a field is a text."""
        return isinstance(self._values.get(name), str)

    def number(self, name: str, largest: int, default: int | None = None) -> int:
        """Return a whole number from 0 to `largest`; without a default it must be there."""
        value = self._values.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
            raise self.bad(name, f"is no number from 0 to {largest}")
        return value

    def flag(self, name: str) -> bool:
        """Return a truth, false where there is none."""
        value = self._values.get(name)
        if not isinstance(value, bool | None):
            raise self.bad(name, "is neither true nor false")
        return bool(value)

    def digest(self, name: str) -> Digest:
        """Return a digest, which must be there."""
        return self._digest(name, self.text(name))

    def digests(self, name: str, most: int) -> tuple[Digest, ...]:
        """Return a list of digests."""
        return tuple(self._digest(name, text) for text in self.texts(name, most))

    def texts(self, name: str, most: int | None = None) -> tuple[str, ...]:
        """Return a list of texts, empty where there is none."""
        return tuple(self._text(name, value) for value in self._list(name, most))

    def objects(self, name: str, most: int) -> tuple[Fields, ...]:
        """Return a list of objects, of no more than `most`."""
        return tuple(self._fields(f"{name}[{index}]", value) for index, value in enumerate(self._list(name, most)))

    def object(self, name: str) -> Fields:
        """Return an object, empty where there is none."""
        return self._fields(name, self._values.get(name))

    def pairs(self, name: str) -> Pairs:
        """Return an object of texts as pairs, sorted."""
        inner = self.object(name)
        return tuple((key, inner.text(key)) for key in inner.names())

    def names(self) -> tuple[str, ...]:
        """Return the names of all fields, sorted."""
        return tuple(sorted(self._text(name, name) for name in self._values))

    def _fields(self, name: str, value: Any) -> Fields:
        if not isinstance(value, dict | None):
            raise self.bad(name, "is no object")
        return Fields(value or {}, self.subject, f"{self._path}{name}.")

    def _list(self, name: str, most: int | None) -> list[Any]:
        value = self._values.get(name)
        if not isinstance(value, list | None):
            raise self.bad(name, "is no list")
        if most is not None and value and len(value) > most:
            raise self.bad(name, f"has {len(value)} entries, and {most} is the limit")
        return value or []

    def _text(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.bad(name, "is no text")
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise self.bad(name, "holds a NUL or half a character")
        return value

    def _digest(self, name: str, text: str) -> Digest:
        try:
            return parse_digest(text)
        except InvalidValue as error:
            raise self.bad(name, f"is no digest that can be checked: {error.message}") from None


def read_object(data: bytes, subject: str, most_bytes: int = DOCUMENT_BYTES) -> Fields:
    """Read a document that is one JSON object; raise BadDocument."""
    if len(data) > most_bytes:
        raise BadDocument(subject, f"it has {len(data)} bytes, and {most_bytes} is the limit")
    try:
        value = jsontext.loads(data)
    except ValueError:
        raise BadDocument(subject, "it is not JSON") from None
    if not isinstance(value, dict):
        raise BadDocument(subject, "it is JSON, but no object")
    return Fields(value, subject)

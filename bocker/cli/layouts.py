"""Lists by a template: `--format '{{.ID}}'`, and `table …` with headers above and columns below each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bocker.cli.output import say_lines
from bocker.cli.template_functions import HEADER_FUNCTIONS, Method
from bocker.cli.templates import Template
from bocker.core.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

TABLE = "table "
NARROWEST = 10
GAP = 3
_HEADERS = {"CreatedSince": "CREATED", "RunningFor": "CREATED"}
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Layout:
    """A list's form, read from what `--format` says."""

    def __init__(self, text: str) -> None:
        r"""Raise InvalidValue for a template that can't be read. `\t` and `\n` may be typed so, as with docker."""
        self._has_header = text.startswith(TABLE)
        self._template = Template(text.removeprefix(TABLE).strip().replace("\\t", "\t").replace("\\n", "\n"))

    @property
    def names(self) -> frozenset[str]:
        """The names of the fields that it asks for."""
        return self._template.names

    def show(self, rows: Iterable[Mapping[str, Any]], identity: str) -> None:
        """Print a line, or what the template makes of it, for each row; `identity` is the header of its id."""
        lines = [self._template.render(_visible(row)) for row in rows]
        if self._has_header:
            lines = _aligned([self._header(identity), *lines])
        say_lines(lines)

    def _header(self, identity: str) -> str:
        words: dict[str, Any] = {name: _HEADERS.get(name, _HUMP.sub(" ", name).upper()) for name in self.names}
        words |= {"ID": identity, "Label": Method(_of_label)}
        return self._template.render(words, HEADER_FUNCTIONS)


def _of_label(name: str) -> str:
    """Return the header of a label: `com.example.the-role` is shown as THE ROLE."""
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ").upper()


def _visible(value: Any) -> Any:
    """Return a value without what could drive a terminal or forge a row."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {name: _visible(item) for name, item in value.items()}
    if isinstance(value, Method):
        return Method(lambda word: printable(value.answer(word)))
    return [_visible(item) for item in value] if isinstance(value, list) else value


def _aligned(texts: list[str]) -> list[str]:
    """Align what tabs separate, as Go's tabwriter does for docker: at least 10 wide, 3 blanks between."""
    rows = [line.split("\t") for text in texts for line in text.split("\n")]
    widths: dict[int, int] = {}
    for row in rows:
        for column, cell in enumerate(row[:-1]):
            widths[column] = max(widths.get(column, NARROWEST), len(cell) + GAP)
    return [
        "".join([*(cell.ljust(widths[column]) for column, cell in enumerate(row[:-1])), row[-1]]).rstrip()
        for row in rows
    ]

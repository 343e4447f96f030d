"""What `ps` and `images` have in common: the forms in which a list is printed."""

from __future__ import annotations

from bocker.cli import output
from bocker.core.errors import UsageError
from bocker.core.jsontext import dumps
from bocker.core.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol, TypeVar

    from bocker.cli.main import Call

    T_contra = TypeVar("T_contra", contravariant=True)

    class View(Protocol[T_contra]):
        """How one kind of record is shown. `flexible` is the column that a narrow terminal cuts."""

        script_header: tuple[str, ...]
        header: tuple[str, ...]
        flexible: int

        def identity(self, record: T_contra) -> str:
            """Return the record's id."""

        def script_row(self, record: T_contra) -> tuple[str, ...]:
            """Return the original's two columns."""

        def row(self, record: T_contra) -> tuple[str, ...]:
            """Return the columns for a person."""

        def data(self, record: T_contra) -> dict[str, Any]:
            """Return docker's keys and values."""


def show(call: Call, records: Sequence[T_contra], view: View[T_contra]) -> int:
    """Print records as the flags ask for it: for a terminal a table, for a script what the original printed."""
    form = chosen_format(call)
    if call.has("quiet"):
        output.say_lines([view.identity(record) for record in records])
    elif form == "json":
        output.write(output.STDOUT, b"".join(dumps(view.data(record)) for record in records))
    elif form == "table" or (form is None and output.on_terminal()):
        width = None if call.has("no-trunc") or not output.on_terminal() else output.columns(call.environ)
        rows = [view.row(record) for record in records]
        output.say_lines(output.table(view.header, rows, view.flexible, width))
    else:
        rows = [view.script_row(record) for record in records]
        output.say_lines(output.two_columns(view.script_header, rows))
    return 0


def chosen_format(call: Call) -> str | None:
    """Return `json`, `table` or None; raise UsageError for another word."""
    form = call.value("format")
    if form not in {None, "json", "table"}:
        raise UsageError(f"--format does not know '{printable(str(form))}'", "it is json or table")
    return form

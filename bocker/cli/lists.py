"""What the commands that list something have in common: the forms in which a list is printed."""

from __future__ import annotations

from bocker.cli import output
from bocker.core.errors import UsageError
from bocker.core.jsontext import dumps
from bocker.core.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol, TypeVar

    from bocker.cli.layouts import Layout
    from bocker.cli.main import Call

    T_contra = TypeVar("T_contra", contravariant=True)

    class View(Protocol[T_contra]):
        """How one kind of record is shown. `flexible` is the column that a narrow terminal cuts."""

        header: tuple[str, ...]
        flexible: int

        def identity(self, record: T_contra) -> str:
            """Return the record's id."""

        def row(self, record: T_contra) -> tuple[str, ...]:
            """Return the columns for a person."""

        def data(self, record: T_contra) -> dict[str, Any]:
            """Return docker's keys and values."""

        def fields(self, record: T_contra) -> dict[str, Any]:
            """Return what a template can ask for."""


JSON, TABLE = "json", "table"


def show(
    call: Call,
    form: str | Layout | None,
    records: Sequence[T_contra],
    view: View[T_contra],
    script: Sequence[tuple[str, str]] = (),
) -> int:
    """Print records as the flags ask for it: a table, or for a script what the original printed.

    script: its two columns with their header, for lists that it had.
    """
    if call.has("quiet"):
        output.say_lines([view.identity(record) for record in records])
    elif form == JSON:
        output.write(output.STDOUT, b"".join(dumps(view.data(record)) for record in records))
    elif form == TABLE or (form is None and (not script or output.on_terminal())):
        width = None if call.has("no-trunc") or not output.on_terminal() else output.columns(call.environ)
        rows = [view.row(record) for record in records]
        output.say_lines(output.table(view.header, rows, view.flexible, width))
    elif form is None or isinstance(form, str):
        output.say_lines(output.two_columns(script[0], script[1:]))
    else:
        form.show([view.fields(record) for record in records], view.header[0])
    return 0


def chosen_format(call: Call) -> str | Layout | None:
    """Return `json`, `table`, a template that was read, or None; raise UsageError for another word."""
    form = call.value("format")
    if form is None or form in {JSON, TABLE}:
        return form
    if "{{" not in form:
        hint = "it is json, table or a template such as '{{.ID}}'"
        raise UsageError(f"--format does not know '{printable(form)}'", hint)
    from bocker.cli.layouts import Layout  # scripts that are in a hurry ask for no template

    return Layout(form)

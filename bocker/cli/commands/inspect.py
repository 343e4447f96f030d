"""`bocker inspect`: all that is known of images and containers."""

from __future__ import annotations

import json

from bocker.cli import output
from bocker.cli.output import complain_of, say
from bocker.cli.remote import own_platform
from bocker.cli.templates import Template
from bocker.core.errors import UsageError
from bocker.core.words import printable
from bocker.images.inspect import CONTAINER, IMAGE, inspect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Print what was found, as a JSON array or by the template; and say of each word that it names nothing."""
    kind, template = chosen_kind(call), chosen_template(call)
    found = inspect(call.kernel, call.configuration.settings, call.arguments.words, own_platform(), kind)
    show([one.document for one in found if one.document is not None], template)
    return complain_of([one.error for one in found if one.error is not None])


def chosen_kind(call: Call) -> str | None:
    """Return what kind of thing is asked for, None for any; raise UsageError."""
    kind = call.value("type")
    if kind not in {None, IMAGE, CONTAINER}:
        raise UsageError(f"--type does not know '{printable(str(kind))}'", "it is image or container")
    return kind


def chosen_template(call: Call) -> Template | None:
    """Return the template, None for JSON; raise InvalidValue."""
    form = call.value("format")
    return None if form in {None, "json"} else Template(str(form))


def show(documents: list[dict[str, Any]], template: Template | None) -> None:
    """Print the documents. JSON escapes what drives a terminal; of a template's text only a terminal is spared that."""
    if template is None:
        say(json.dumps(documents, indent=4))
        return
    for document in documents:
        text = template.render(document)
        say("\n".join(map(printable, text.split("\n"))) if output.on_terminal() else text)

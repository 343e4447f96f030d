"""`bocker stop`: containers end."""

from __future__ import annotations

from bocker.cli.output import complain, error_line, say
from bocker.core.errors import FAILED, InvalidValue
from bocker.core.words import printable
from bocker.engine.stop import PATIENCE_S, stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Stop each, print it as it was typed; what can't be stopped is said and doesn't keep the others."""
    patience_s = seconds_to_wait(call.value("time"))
    results = stop(
        call.kernel, call.configuration.settings, call.arguments.words, patience_s, signal=call.value("signal")
    )
    for result in results:
        if result.error is None:
            say(printable(result.reference))
        else:
            complain(error_line(result.error))
    return FAILED if any(result.error for result in results) else 0


def seconds_to_wait(text: str | None) -> int | None:
    """Read whole seconds; None for -1, which waits for ever as in docker."""
    if text is None:
        return PATIENCE_S
    if text == "-1":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidValue(f"'{printable(text)}' is not a number of seconds for --time", "write it like --time 10")
    return int(text)

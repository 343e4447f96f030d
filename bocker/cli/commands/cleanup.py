"""`bocker cleanup`: what a crash left behind is repaired or removed."""

from __future__ import annotations

from bocker.cli.output import complain_of, say_lines
from bocker.engine.repair import cleanup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Repair, and print a line for each thing done; what can't be done is said and doesn't stop the others."""
    cleaned = cleanup(call.kernel, call.configuration.settings)
    nothing = () if cleaned.errors else ("Nothing to clean up",)
    say_lines(cleaned.lines or nothing)
    return complain_of(cleaned.errors)

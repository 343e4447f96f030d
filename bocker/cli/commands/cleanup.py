"""`bocker cleanup`: what a crash left behind is repaired or removed."""

from __future__ import annotations

from bocker.cli.output import say_lines
from bocker.engine.repair import cleanup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Repair, and print a line for each thing done."""
    lines = cleanup(call.kernel, call.configuration.settings)
    say_lines(lines or ("Nothing to clean up",))
    return 0

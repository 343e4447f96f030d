"""`bocker rm`: containers and images go."""

from __future__ import annotations

from bocker.cli.output import complain, error_line, say
from bocker.core.errors import FAILED
from bocker.engine.removal import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Remove each, print its id; what can't be removed is said and doesn't stop the others."""
    removals = remove(call.kernel, call.configuration.settings, call.arguments.words, call.has("force"))
    for removal in removals:
        if removal.error is None:
            say(f"Removed: {removal.removed}")
        else:
            complain(error_line(removal.error))
    return FAILED if any(removal.error for removal in removals) else 0

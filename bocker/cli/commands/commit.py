"""`bocker commit`: an image from a container."""

from __future__ import annotations

from bocker.cli.output import say, say_lines
from bocker.engine.images import commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Make or replace the image and print its id, as the original did."""
    container, target = call.arguments.words
    made = commit(call.kernel, call.configuration.settings, container, target)
    if made.replaced:
        say_lines([f"Removed: {made.image}", f"Created: {made.image}"])
    else:
        say(f"Created: {made.image}")
    return 0

"""`bocker init`: an image from a directory."""

from __future__ import annotations

from bocker.cli.output import say
from bocker.engine.images import init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Make the image and print its id."""
    directory = call.arguments.words[0]
    image = init(call.kernel, call.configuration.settings, directory, call.value("tag"))
    say(f"Created: {image}")
    return 0

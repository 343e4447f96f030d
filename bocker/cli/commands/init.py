"""`bocker init`: an image from a directory."""

from __future__ import annotations

import os

from bocker.cli.output import say
from bocker.core.errors import NoSuchDirectory
from bocker.engine.images import init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Make the image and print its id."""
    directory = call.arguments.words[0]
    if not directory:
        raise NoSuchDirectory(directory)
    try:
        place = os.path.join(os.getcwd(), directory)  # not normalized: `link/..` is where the kernel says
        image = init(call.kernel, call.configuration.settings, place, call.value("tag"))
    except NoSuchDirectory as error:
        raise NoSuchDirectory(directory) from error
    say(f"Created: {image}")
    return 0

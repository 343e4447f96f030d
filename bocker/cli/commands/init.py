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
    image = init(call.kernel, call.configuration.settings, _absolute(directory), call.value("tag"), source=directory)
    say(f"Created: {image}")
    return 0


def _absolute(directory: str) -> str:
    """Return the path from the root, not normalized: `link/..` is where the kernel says."""
    if directory.startswith("/"):
        return directory
    try:
        here = os.getcwd()
    except OSError:  # it was deleted
        here = ""
    if not directory or not here:
        raise NoSuchDirectory(directory)
    return os.path.join(here, directory)

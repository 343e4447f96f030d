"""`bocker rmi`: names of images go, and an image with its last one."""

from __future__ import annotations

from bocker.cli.output import complain, error_line, say
from bocker.core.errors import FAILED
from bocker.engine.tags import remove_images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Take each away, and print what went; what can't is said and doesn't stop the others."""
    results = remove_images(call.kernel, call.configuration.settings, call.arguments.words, call.has("force"))
    for result in results:
        if result.error is not None:
            complain(error_line(result.error))
        for name in result.tags:
            say(f"Untagged: {name}")
        if result.removed is not None:
            say(f"Removed: {result.removed}")
    return FAILED if any(result.error for result in results) else 0

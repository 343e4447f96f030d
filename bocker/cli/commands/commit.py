"""`bocker commit`: an image from a container."""

from __future__ import annotations

from bocker.cli.output import say, say_lines
from bocker.core.model import ImageContent
from bocker.engine.images import commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call
    from bocker.engine.images import Changes


def main(call: Call) -> int:
    """Make or replace the image and print its id, as the original did."""
    container, target = call.arguments.words
    made = commit(call.kernel, call.configuration.settings, container, target, changes(call))
    if made.replaced:
        say_lines([f"Removed: {made.image}", f"Created: {made.image}"])
    else:
        say(f"Created: {made.image}")
    return 0


def changes(call: Call) -> Changes | None:
    """Return what the flags change of the configuration; raise InvalidValue. Without flags nothing is imported."""
    if not call.arguments.values:
        return None
    from bocker.images.changes import apply_changes

    lines, author, message = call.values("change"), call.value("author") or "", call.value("message") or ""
    apply_changes(ImageContent("", "", 0), lines)
    return lambda content: apply_changes(content.replace(author=author, message=message), lines)

"""`bocker tag`: one more name for an image."""

from __future__ import annotations

from bocker.engine.tags import tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Give the image the name and print nothing, as docker does."""
    tag(call.kernel, call.configuration.settings, *call.arguments.words)
    return 0

"""`bocker import`: an image from an archive of files."""

from __future__ import annotations

from bocker.cli.interrupts import end_once
from bocker.cli.output import say
from bocker.cli.paths import input_path
from bocker.cli.registries import bounds
from bocker.images.flat import ImportRequest, import_archive
from bocker.kernel.archives import STANDARD_STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Make the image and print its id."""
    end_once()
    file, *rest = call.arguments.words
    request = ImportRequest(
        input_path(None if file == STANDARD_STREAM else file),
        rest[0] if rest else None,
        call.values("change"),
        call.value("message") or "",
        bounds(call.configuration),
    )
    say(f"Created: {import_archive(call.kernel, call.configuration.settings, request)}")
    return 0

"""`bocker save`: images into an archive."""

from __future__ import annotations

from bocker.cli.output import on_terminal
from bocker.cli.paths import output_path
from bocker.cli.remote import own_platform, remote, watching
from bocker.images.save import SaveRequest, save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Write the archive to the file that is said, or to standard output."""
    path = output_path(call.value("output"), on_terminal())
    request = SaveRequest(call.arguments.words, own_platform(), remote(call), path)
    with watching(call) as watch:
        save(call.kernel, call.configuration.settings, request, watch)
    return 0

"""`bocker load`: images from an archive."""

from __future__ import annotations

from bocker.cli.output import say
from bocker.cli.paths import input_path
from bocker.cli.registries import bounds
from bocker.cli.remote import platform, watching
from bocker.images.load import LoadRequest, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Load the archive, and print the names of its images in docker's words."""
    path = input_path(call.value("input"))
    request = LoadRequest(path, platform(call), bounds(call.configuration))
    with watching(call) as watch:
        loaded = load(call.kernel, call.configuration.settings, request, watch)
    for one in loaded:
        for tag in one.tags:
            say(f"Loaded image: {tag}")
        if not one.tags:
            say(f"Loaded image ID: {one.image}")
    return 0

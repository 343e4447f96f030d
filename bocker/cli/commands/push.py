"""`bocker push`: an image into a registry."""

from __future__ import annotations

from bocker.cli.output import say
from bocker.cli.remote import own_platform, remote, watching
from bocker.images.push import PushRequest, push
from bocker.registry.names import parse_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Push the image to where its name says, and print its digest there."""
    reference = call.arguments.words[0]
    name = parse_name(reference)
    request = PushRequest(reference, name, own_platform(), remote(call))
    with watching(call) as watch:
        pushed = push(call.kernel, call.configuration.settings, request, watch)
    line = f"{name.reference}: digest: {pushed.digest} size: {pushed.size_bytes}"
    say(name.familiar if call.has("quiet") else line)
    return 0

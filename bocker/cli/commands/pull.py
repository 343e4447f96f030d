"""`bocker pull`: an image from a registry."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Pull the image and print its id."""
    call.kernel.http.prepare()  # before the imports of `_pull`, which take as long
    return _pull(call)


def _pull(call: Call) -> int:
    from bocker.cli.output import say
    from bocker.cli.registries import bounds
    from bocker.cli.remote import platform, remote, watching
    from bocker.images.pull import PullRequest, pull
    from bocker.registry.names import parse_name

    name = parse_name(*call.arguments.words)
    request = PullRequest(name, platform(call), remote(call), bounds(call.configuration))
    with watching(call) as watch:
        pulled = pull(call.kernel, call.configuration.settings, request, watch)
        watch.say(f"Status: {'Downloaded newer image' if pulled.fresh else 'Image is up to date'} for {name.familiar}")
    say(str(pulled.image) if call.has("quiet") else f"Created: {pulled.image}")
    return 0

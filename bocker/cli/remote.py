"""What the verbs about images in registries and archives have in common."""

from __future__ import annotations

import os

from bocker.cli.interrupts import end_once
from bocker.cli.progress import chosen_watch
from bocker.cli.registries import auth_places, registries
from bocker.images.sources import Remote
from bocker.registry.platforms import parse_platform, platform_of_machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call
    from bocker.cli.progress import ShownWatch
    from bocker.registry.platforms import Platform

DEFAULT_PLATFORM = "DOCKER_DEFAULT_PLATFORM"


def remote(call: Call) -> Remote:
    """Return how registries are reached, and where the caller's credentials are."""
    return Remote(registries(call.configuration), auth_places(call.environ))


def watching(call: Call) -> ShownWatch:
    """Return what shows a person how the work gets on, to be closed when it has ended.

    From now on a signal that ends the work does so once, so that what was begun is taken back.
    """
    end_once()
    return chosen_watch(call.environ, call.has("quiet"), call.kernel.ambient.now_ns)


def platform(call: Call) -> Platform:
    """Return the platform that is asked for, or this machine's; raise InvalidValue."""
    asked = call.value("platform") or call.environ.get(DEFAULT_PLATFORM)
    return own_platform() if not asked else parse_platform(asked)


def own_platform() -> Platform:
    """Return this machine's platform."""
    return platform_of_machine(os.uname().machine)

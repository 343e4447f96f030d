"""`bocker logout`: a registry's credentials, given up."""

from __future__ import annotations

from bocker.cli.output import complain, say
from bocker.cli.registries import auth_places
from bocker.images.accounts import logout
from bocker.registry.credentials import registry_key
from bocker.registry.names import DEFAULT_HOST, parse_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Take them out of docker's file and its helper; say so, in docker's words, and where there are others."""
    host = parse_host((*call.arguments.words, DEFAULT_HOST)[0])
    gone = logout(call.kernel, auth_places(call.environ), host)
    say(f"{'Removing login credentials for' if gone.removed else 'Not logged in to'} {registry_key(host)}")
    for path in gone.elsewhere:
        complain(f"{path} has credentials for {host} too; to remove those use: podman logout {host}")
    return 0

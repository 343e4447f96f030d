"""`bocker login`: a registry's credentials, tried and kept."""

from __future__ import annotations

import os

from bocker.cli.output import complain, say
from bocker.cli.progress import to_stderr
from bocker.cli.registries import auth_places, registries
from bocker.core.errors import BockerError, NotPrivileged, UsageError
from bocker.images.accounts import login
from bocker.registry.credentials import Credentials
from bocker.registry.names import DEFAULT_HOST, parse_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call
    from bocker.kernel import Kernel

STDIN = 0
_MOST_BYTES = 64 << 10


def main(call: Call) -> int:
    """Ask for what was not told, try it, keep it."""
    host = parse_host((*call.arguments.words, DEFAULT_HOST)[0])
    _check_flags(call)
    places, known = auth_places(call.environ), registries(call.configuration)
    kernel = _kernel(call)  # whoever may not use it is told so before he types a password
    stored = login(kernel, places, known, host, _credentials(call))
    if not stored.helper:
        complain(
            f"WARNING! Your password is stored unencrypted in {stored.path}. A credential helper, "
            "named there as credsStore, keeps it safe."
        )
    say("Login Succeeded")
    return 0


def _kernel(call: Call) -> Kernel:
    try:
        return call.kernel
    except NotPrivileged as error:
        error.hint = "run it with sudo"  # and not the words that were typed, with the password among them
        raise


def _check_flags(call: Call) -> None:
    if call.has("password-stdin") and call.value("password") is not None:
        raise UsageError("--password and --password-stdin are mutually exclusive")
    if call.has("password-stdin") and not call.value("username"):
        raise UsageError("Must provide --username with --password-stdin")
    if call.value("password") is not None:
        complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")


def _credentials(call: Call) -> Credentials:
    user = call.value("username") or _asked_user()
    if call.has("password-stdin"):
        password = _piped()
    else:
        password = call.value("password") or _asked_password()
    if not user or not password:
        raise BockerError(f"{'Password' if user else 'Username'} Required")
    return Credentials(user, password)


def _piped() -> str:
    """Return standard input without the end of its line."""
    data = b""
    while part := os.read(STDIN, _MOST_BYTES):
        data += part
        if len(data) > _MOST_BYTES:
            raise BockerError(f"The password on standard input has more than {_MOST_BYTES} bytes")
    return data.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _asked_user() -> str:
    import sys

    _check_terminal()
    to_stderr("Username: ")
    return sys.stdin.readline().strip()


def _asked_password() -> str:
    from getpass import getpass

    _check_terminal()
    return getpass("Password: ")


def _check_terminal() -> None:
    if not os.isatty(STDIN):
        raise BockerError(
            "There is no terminal to ask for a name and a password on", "use --username and --password-stdin"
        )

"""`bocker prune`: space is given back."""

from __future__ import annotations

import os
import sys

from bocker.cli.output import complain_of, decimal_size, say, say_lines
from bocker.core.errors import UsageError
from bocker.images.prune import Plan, Sought, plan, prune
from bocker.kernel.blobs import is_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call

STDIN = 0
YES = frozenset({"y", "yes"})


def main(call: Call) -> int:
    """Say what would go, ask, and take it away; print what went, a line each."""
    asks = not (call.has("force") or call.has("dry-run"))
    if asks and not os.isatty(STDIN):
        raise UsageError("There is no terminal to ask on", "use -f, or --dry-run to see what would go")
    sought = Sought(call.has("all"), call.has("containers"), call.has("downloads"))
    if call.has("dry-run") or asks:
        planned = plan(call.kernel, call.configuration.settings, sought)
        announce(planned)
        if call.has("dry-run") or not (planned.is_empty or agreed()):
            return 0
    return pruned(call, sought)


def announce(planned: Plan) -> None:
    """Print what would go."""
    say_lines([f"Would remove: {called(name)}" for name in planned.names])
    say(f"Would reclaim about: {decimal_size(planned.size_bytes)}")


def agreed() -> bool:
    """Ask, and tell whether the answer was yes."""
    say("Are you sure you want to continue? [y/N] ")
    return sys.stdin.readline().strip().lower() in YES


def pruned(call: Call, sought: Sought) -> int:
    """Take it away and say so."""
    done = prune(call.kernel, call.configuration.settings, sought)
    say_lines([f"Removed: {called(name)}" for name in done.lines])
    code = complain_of(done.errors)
    say(f"Total reclaimed space: {decimal_size(done.size_bytes)}")
    return code


def called(name: str) -> str:
    """Return what a person is told that went: a file that is known by its digest is a download."""
    return f"download sha256:{name}" if is_digest(name) else name

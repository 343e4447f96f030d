"""`bocker setup`: what containers need on this host, made, reported or taken back."""

from __future__ import annotations

from bocker.cli.output import say_lines
from bocker.cli.paths import absolute
from bocker.core.addresses import parse_subnet
from bocker.core.errors import FAILED, UsageError
from bocker.core.limits import parse_size
from bocker.engine.setup import DEFAULT_SIZE_BYTES, SetupOptions, check, setup, undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call

MAKING = ("storage", "size", "subnet")


def main(call: Call) -> int:
    """Do the one of the three that the flags ask for."""
    _refuse_contradictions(call)
    kernel, settings = call.kernel, call.configuration.settings
    if call.has("check"):
        return _report(call)
    if call.has("undo"):
        say_lines(undo(kernel, settings, call.has("delete-data")))
        return 0
    say_lines(setup(kernel, settings, options(call)))
    return 0


def options(call: Call) -> SetupOptions:
    """Read what to make. The interpreter of an installed bocker is its own, and protected where it is."""
    size, subnet, storage = call.value("size"), call.value("subnet"), call.value("storage")
    return SetupOptions(
        storage=None if storage is None else absolute(storage),
        size_bytes=DEFAULT_SIZE_BYTES if size is None else parse_size(size, "--size"),
        subnet=None if subnet is None else parse_subnet(subnet),
        interpreter_mount=call.interpreter_mount,
    )


def _report(call: Call) -> int:
    needs = check(call.kernel, call.configuration.settings)
    width = max(len(need.name) for need in needs)
    say_lines([f"{'ok' if need.met else 'missing':<7}  {need.name:<{width}}  {need.detail}".rstrip() for need in needs])
    return 0 if all(need.met for need in needs) else FAILED


def _refuse_contradictions(call: Call) -> None:
    making = [f"--{flag}" for flag in MAKING if call.value(flag) is not None]
    if call.has("check") and (call.has("undo") or making):
        raise UsageError("--check changes nothing, so it stands alone")
    if call.has("undo") and making:
        raise UsageError(f"--undo does not go with {making[0]}")
    if call.has("delete-data") and not call.has("undo"):
        raise UsageError("--delete-data needs --undo")

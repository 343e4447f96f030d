"""`bocker exec`: a further program in a running container."""

from __future__ import annotations

from bocker.cli.console import StandardStreams
from bocker.engine.execute import ExecRequest, execute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Run the program and return its exit code."""
    container, *command = call.arguments.words
    request = ExecRequest(container, tuple(command), standard_input=call.has("interactive"))
    if call.arguments.values:
        from bocker.cli.surroundings import environment

        request = request.replace(
            environment=environment(call),
            working_directory=call.value("workdir") or "",
            user=call.value("user") or "",
        )
    return execute(call.kernel, call.configuration.settings, request, StandardStreams())

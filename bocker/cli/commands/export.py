"""`bocker export`: all files of a container as one archive."""

from __future__ import annotations

from bocker.cli.interrupts import end_once
from bocker.cli.output import on_terminal
from bocker.cli.paths import output_path
from bocker.images.flat import export

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Write the archive to the file that is said, or to standard output."""
    end_once()
    path = output_path(call.value("output"), on_terminal())
    export(call.kernel, call.configuration.settings, call.arguments.words[0], path)
    return 0

"""`bocker logs`: what a container wrote."""

from __future__ import annotations

from bocker.cli.console import StandardStreams
from bocker.cli.moments import parse_moment
from bocker.core.errors import InvalidValue
from bocker.core.words import printable
from bocker.engine.logs import LogsRequest, logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Print the log: its stdout on standard output, its stderr on standard error."""
    since = call.value("since")
    request = LogsRequest(
        call.arguments.words[0],
        follow=call.has("follow"),
        timestamps=call.has("timestamps"),
        tail=lines_to_show(call.value("tail")),
        since_ns=None if since is None else parse_moment(since, call.kernel.ambient.now_ns(), "--since"),
    )
    logs(call.kernel, call.configuration.settings, request, StandardStreams())
    return 0


def lines_to_show(text: str | None) -> int | None:
    """Read a number of lines; None, `all` and -1 mean all of them, as in docker."""
    if text in {None, "all", "-1"}:
        return None
    word = str(text)
    if not (word.isascii() and word.isdigit() and len(word) <= 18):
        raise InvalidValue(f"'{printable(word)}' is not a number of lines for --tail", "write it like --tail 10")
    return int(word)

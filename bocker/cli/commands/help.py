"""`bocker help`: every command, or one of them."""

from __future__ import annotations

from bocker.cli.help import of_verb, overview
from bocker.cli.output import say
from bocker.cli.parser import unknown_verb
from bocker.cli.verbs import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Print the help."""
    if not call.arguments.words:
        say(overview())
        return 0
    verb = find(call.arguments.words[0])
    if verb is None:
        raise unknown_verb(call.arguments.words[0])
    say(of_verb(verb))
    return 0

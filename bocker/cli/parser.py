"""Reads a command line by the table of verbs; every mistake is a UsageError that says how it is written.

Flags are written as in docker: `--name web`, `--name=web`, `-n 5`, `-n5`, `-n=5`, `-it` for two switches, and
`--` ends them. For `run` and `exec` the first word ends them too: the rest is the program's.
"""

from __future__ import annotations

from bocker.cli.verbs import HELP, VERBS, Flag, Verb
from bocker.core.errors import UsageError
from bocker.core.value import Value
from bocker.core.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION_WORDS = frozenset({"--version", "-v"})
HELP_WORDS = frozenset({"--help", "-h"})
DEBUG_WORDS = frozenset({"--debug", "-D"})


class Globals(Value):
    """What stood before the command: `assigned` are the original's `--NAME=VALUE`, as (NAME, VALUE, as written)."""

    rest: tuple[str, ...]
    debug: bool = False
    help: bool = False
    version: bool = False
    assigned: tuple[tuple[str, str, str], ...] = ()


class Arguments(Value):
    """What stood after the command: words, and flags by their long names with each value that was given."""

    words: tuple[str, ...]
    switches: frozenset[str]
    values: dict[str, tuple[str, ...]]


def parse_globals(argv: tuple[str, ...]) -> Globals:
    """Read what stands before the command; raise UsageError for an unknown flag."""
    debug = False
    assigned: list[tuple[str, str, str]] = []
    for index, word in enumerate(argv):
        if word in HELP_WORDS or word in VERSION_WORDS:
            return Globals((), debug, word in HELP_WORDS, word in VERSION_WORDS, tuple(assigned))
        if word in DEBUG_WORDS:
            debug = True
        elif word.startswith("--") and "=" in word:
            name, _, value = word[2:].partition("=")
            assigned.append((name, value, f"--{name}"))
        elif word.startswith("-"):
            raise UsageError(f"unknown flag: {printable(word)}", "see: bocker help")
        else:
            return Globals(argv[index:], debug, assigned=tuple(assigned))
    return Globals((), debug, help=True, assigned=tuple(assigned))


def parse_arguments(verb: Verb, argv: tuple[str, ...]) -> Arguments:
    """Read what stands after the command; raise UsageError for what the table does not have."""
    switches: set[str] = set()
    values: dict[str, tuple[str, ...]] = {}
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--":
            words += rest
        elif word == "-" or not word.startswith("-"):
            words.append(word)
            if verb.program:
                words += rest
        elif word.startswith("--"):
            _read_long(verb, word, rest, switches, values)
        else:
            _read_short(verb, word, rest, switches, values)
    if HELP.name not in switches:
        _check_number(verb, words)
    return Arguments(tuple(words), frozenset(switches), values)


def unknown_verb(name: str) -> UsageError:
    """Return the error for a command that there is none of, with the nearest one."""
    nearest = min(VERBS, key=lambda verb: _distance(name, verb.name)).name
    close = _distance(name, nearest) <= max(1, len(nearest) // 2)
    return UsageError(
        f"unknown command: {printable(name)}", f"did you mean: bocker {nearest}" if close else "see: bocker help"
    )


def _read_long(
    verb: Verb, word: str, rest: Iterator[str], switches: set[str], values: dict[str, tuple[str, ...]]
) -> None:
    name, equals, value = word[2:].partition("=")
    flag = _flag(verb, f"--{name}", name)
    if flag.value is None:
        if equals and value not in {"true", "false"}:
            raise _misuse(verb, f"flag --{name} takes no value")
        (switches.discard if value == "false" else switches.add)(flag.name)
    else:
        _keep(flag, value if equals else _next(verb, f"--{name}", rest), values)


def _read_short(
    verb: Verb, word: str, rest: Iterator[str], switches: set[str], values: dict[str, tuple[str, ...]]
) -> None:
    for index, letter in enumerate(word[1:], start=2):
        flag = _flag(verb, f"-{letter}" if len(word) == 2 else f"-{letter} in {word}", letter)
        if flag.value is not None:
            given = word[index:].removeprefix("=")
            _keep(flag, given if len(word) > index else _next(verb, f"-{letter}", rest), values)
            return
        switches.add(flag.name)


def _keep(flag: Flag, value: str, values: dict[str, tuple[str, ...]]) -> None:
    values[flag.name] = (*values.get(flag.name, ()), value)


def _flag(verb: Verb, shown: str, name: str) -> Flag:
    for flag in (*verb.flags, HELP):
        if name in (flag.name, flag.short) and shown.startswith("--") == (name == flag.name):
            return flag
    raise _misuse(verb, f"unknown flag: {printable(shown)}")


def _next(verb: Verb, shown: str, rest: Iterator[str]) -> str:
    for value in rest:
        return value
    raise _misuse(verb, f"flag {shown} needs a value")


def _check_number(verb: Verb, words: list[str]) -> None:
    if len(words) < verb.least:
        raise _misuse(verb, f"bocker {verb.name} needs {verb.words}")
    if verb.most is not None and len(words) > verb.most:
        raise _misuse(verb, f"unexpected argument: {printable(words[verb.most])}")


def _misuse(verb: Verb, message: str) -> UsageError:
    return UsageError(message, f"usage: {verb.usage}")


def _distance(first: str, second: str) -> int:
    """Return how many letters to insert, delete, replace or swap with their neighbour."""
    before, row = [0] * (len(second) + 1), list(range(len(second) + 1))
    for i, letter in enumerate(first):
        following = [i + 1]
        for j, other in enumerate(second):
            best = min(row[j + 1] + 1, following[j] + 1, row[j] + (letter != other))
            if i and j and letter == second[j - 1] and first[i - 1] == other:
                best = min(best, before[j - 1] + 1)
            following.append(best)
        before, row = row, following
    return row[-1]

"""The fixture `agree`: runs a program on both kernels, and fails at the first step at which they differ.

    def test_what_was_found(agree: Agree) -> None:
        agree(("storage.create", ("tree",)), ("storage.names", ()))

A difference that is found by chance is printed as such a test.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator

import pytest

from tests.differential import (
    MEDIUM_S,
    PATIENT_MEDIUM_S,
    Played,
    has_sleepers,
    pasted,
    played,
    root_files,
    timed,
)
from tests.player import Call
from tests.system.replay import Difference, Replayer, Request

Agree = Callable[..., None]


@pytest.fixture(scope="module")
def replayer() -> Iterator[Replayer]:
    """What runs programs on Linux."""
    made = Replayer(root_files())
    yield made
    made.close()


@pytest.fixture
def agree(replayer: Replayer) -> Agree:
    """Run calls on both kernels."""

    def run(*calls: Call) -> None:
        agreed(replayer, played(calls))

    return run


def agreed(replayer: Replayer, program: Played, name: str = "a_difference") -> None:
    """Run a program that the fake has run on Linux. Raise AssertionError where that is different.

    Where somebody sleeps the machine may have been too slow, in waking him as well: then it is tried once more.
    """
    found = replayed(replayer, program, MEDIUM_S)
    for number, medium_s in enumerate(PATIENT_MEDIUM_S if has_sleepers(program.calls) else ()):
        if found is not None and (number == 0 or found.late):
            program = played(program.calls, medium_s)
            found = replayed(replayer, program, medium_s)
    if found is not None:
        until = program.calls[: found.step + 1]
        raise AssertionError(f"\n{told(program, found)}\n\n{pasted(until, name, summary(program, found))}")


def replayed(replayer: Replayer, program: Played, medium_s: float) -> Difference | None:
    """Run a program on Linux; return the first difference."""
    calls = tuple(timed(call, medium_s) for call in program.calls)
    return replayer.run(Request(calls, program.answers, program.worlds, medium_s))


def summary(program: Played, found: Difference) -> str:
    """Return in one line what is different."""
    operation, answer = program.calls[found.step][0], program.answers[found.step]
    release = f"Linux {os.uname().release.partition('-')[0]}"
    if answer == found.answer:
        return f"{operation}: afterwards {release} is another world than the fake."
    return f"{operation}: {release} answers {found.answer}, the fake {answer}."


def told(program: Played, found: Difference) -> str:
    """Return what is different: the answer, and the lines of the world."""
    expected = program.worlds[found.step].splitlines()
    lines = difflib.unified_diff(expected, found.world.splitlines(), "the fake", "Linux", lineterm="", n=0)
    return "\n".join([f"step {found.step}, {summary(program, found)}", *lines])

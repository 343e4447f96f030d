"""Which errors the kernels give. What Linux was seen to give is written down, and the fake gives nothing else.

`tests/contracts/errnos.txt` has a line for each operation and errno that Linux gave, with who brought it about: a
contract, what somebody else does to the host (`test_fake_interference.py`, which does the same on both kernels), a
random program of the differential runs, or another test alone. An operation is `port.method`, and where
a child says at which of its steps it failed, that too; how a transfer ended is told of `http.download` or
`http.upload`. As root,

    python -m tests.system.sandbox -- python -m pytest tests/system --record-errnos

writes it anew. What the fake gives is what its steps refuse (`World.apply`), so not what a gate does: an injected
fault is no answer of the fake.
"""

from __future__ import annotations

import errno
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bocker.fakes import World
from bocker.fakes.errors import Refused
from bocker.kernel import PORTS
from bocker.kernel.errors import KernelError, StepFailed
from bocker.kernel.http import Failed

FILE = Path(__file__).parent / "contracts/errnos.txt"
HEADER = """\
# What Linux was seen to give: operation, errno, and by what. tests/errnos.py says how this is made.
"""
CONTRACT, INTERFERENCE, PROGRAM, TEST = WAYS = "contract", "interference", "program", "test"
FILES = {
    "test_contracts.py": CONTRACT,
    "test_fake_interference.py": INTERFERENCE,
    "test_differential.py": PROGRAM,
}
STEP = " at "
SAME = {"ENOTSUP": "EOPNOTSUPP"}  # on Linux two names of one number
Given = tuple[str, str]  # an operation, and the errno's name

# What the fake gives and Linux was not seen to give, with the reason.
FAKE_ALONE: dict[Given, str] = {
    ("processes.create at clone", "ENOMEM"): "a machine that has no memory left, which no test can be",
    ("processes.enter at clone", "ENOMEM"): "the same",
}

# What Linux gave in the virtual machine, where control groups are of version 2; the list is of version 1.
VERSION_2: frozenset[Given] = frozenset(
    (f"processes.{method} at join the control group", "ENOENT") for method in ("create", "enter")
)

given: dict[Given, str] = {}  # with what brought it about, the first of WAYS
_current = [TEST]


def begin(item: pytest.Item) -> None:
    """Say which test runs now."""
    _current[0] = FILES.get(item.path.name, TEST)


def note(operation: str, name: str, way: str | None = None) -> None:
    """Write down that an operation gave an errno."""
    key = (_of_records(operation), SAME.get(name, name))
    given[key] = min(given.get(key, TEST), way or _current[0], key=WAYS.index)


def note_outcomes(operations: Iterable[str], outcomes: Iterable[str]) -> None:
    """Write down what the calls of a program gave, which another process made."""
    for operation, outcome in zip(operations, outcomes, strict=True):
        found = re.fullmatch(r"[A-Z]\w+ (E[A-Z0-9]+)", outcome)
        if found:
            note(operation, found[1], PROGRAM)


def watch_fake() -> None:
    """Write down from now on what steps on fake worlds refuse."""
    apply = World.apply

    @functools.wraps(apply)
    def watched(
        self: World, operation: str, subject: str, step: Any, kernel: Any = None, on_refusal: Any = None
    ) -> Any:
        return apply(
            self, operation, subject, step if kernel is None else _watching(operation, step), kernel, on_refusal
        )

    World.apply = watched  # type: ignore[method-assign]


def _watching(operation: str, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def watching(state: Any) -> Any:
        try:
            after, outcome = step(state)
        except Refused as refused:
            _note_refusal(operation, refused)
            raise
        if isinstance(outcome, Refused):
            _note_refusal(operation, outcome)
        elif isinstance(outcome, Failed):
            note(outcome.error.operation, outcome.error.errno_name)
        return after, outcome

    return watching


def _note_refusal(operation: str, refused: Refused) -> None:
    step = "" if refused.step is None else STEP + refused.step
    note(operation + step, errno.errorcode[refused.errno])


def watch_linux() -> None:
    """Write down from now on what the ports of Linux give."""
    for name in PORTS:
        if name != "state":
            port = getattr(import_module(f"bocker.linux.{name}"), f"Linux{name.capitalize()}")
            for method in port.__mro__[1].__abstractmethods__:
                setattr(port, method, _told(f"{name}.{method}", getattr(port, method)))


def _told(operation: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def told(*words: Any, **named: Any) -> Any:
        try:
            outcome = method(*words, **named)
        except KernelError as error:
            step = STEP + error.step if isinstance(error, StepFailed) else ""
            note(operation + step, error.errno_name)
            raise
        if isinstance(outcome, Failed):
            note(outcome.error.operation, outcome.error.errno_name)
        return outcome

    return told


def listed() -> dict[Given, str]:
    """Return what is written down of Linux."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    rows = [line.rsplit(maxsplit=2) for line in lines]
    return {(operation, name): way for operation, name, way in rows}


def write() -> None:
    """Write down what Linux gave in this run."""
    lines = [f"{operation} {name} {way}\n" for (operation, name), way in sorted(given.items())]
    FILE.write_text(HEADER + "".join(lines))


def never_seen(found: Iterable[Given]) -> Iterator[str]:
    """Give what the fake gave and Linux was not seen to give, a line each."""
    for operation, name in sorted(set(found) - listed().keys() - FAKE_ALONE.keys() - VERSION_2):
        yield f"the fake gave what Linux was never seen to give: {operation} {name}"


def not_listed() -> list[str]:
    """Return what contracts, interferences and programs made Linux give and is not in the list, a line each.

    What tests of Linux alone bring about has no counterpart on the fake.
    """
    shared = {one for one, way in given.items() if way != TEST}
    return [
        f"Linux gave what is not listed: {operation} {name}"
        for operation, name in sorted(shared - listed().keys() - VERSION_2)
    ]


def _of_records(operation: str) -> str:
    return operation.replace("state.", "records.", 1) if operation.startswith("state.") else operation

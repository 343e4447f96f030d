"""What the contracts observed of the ports: which method answered, and which error it gave.

A method's declared errors are the classes of `KernelError` that its docstring names. An error that
the port's own docstring names must be given by at least one of its methods.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import TYPE_CHECKING

from bocker.kernel import PORTS, errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bocker.fakes import World

OK = "ok"
ERRORS = {
    name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, errors.KernelError)
}
CALLS: set[tuple[str, str]] = set()
# What no contract can bring about on a healthy machine; the sweep meets it through a fault.
OUT_OF_REACH = {
    ("processes.create", "StepFailed"): "clone3 fails only where processes or memory have run out",
}


def add(world: World) -> None:
    """Keep what the programs of a world were answered."""
    CALLS.update((row.call.operation, row.outcome.split()[0]) for row in world.journal if row.call.program)


def ports() -> dict[str, type]:
    """Return the ports by name; `state` is a second one of the class of `records`."""
    return {
        name: getattr(import_module(f"bocker.kernel.{name}"), name.capitalize()) for name in PORTS if name != "state"
    }


def missing() -> list[str]:
    """Return what was declared and never observed, a line each."""
    return sorted(line for name, port in ports().items() for line in _missing_of(name, port))


def _missing_of(name: str, port: type) -> Iterator[str]:
    methods = sorted(getattr(port, "__abstractmethods__", ()))
    for method in methods:
        operation = f"{name}.{method}"
        for outcome in (OK, *declared(getattr(port, method))):
            if (operation, outcome) not in CALLS and (operation, outcome) not in OUT_OF_REACH:
                yield f"{operation} {outcome}"
    for error in declared(port):
        if not any((f"{name}.{method}", error) in CALLS for method in methods):
            yield f"any method of {name} {error}"


def declared(subject: object) -> list[str]:
    """Return the errors that a docstring names."""
    return sorted(set(re.findall(r"\b[A-Z]\w+\b", inspect.getdoc(subject) or "")) & ERRORS)

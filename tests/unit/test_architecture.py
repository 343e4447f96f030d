"""The seam holds: every contract on both kernels, every signature the port's own.

That every method and every declared error was *observed* can be told only after the contracts ran:
`conftest.py` checks it at the end of a run that had all of them (`observed.missing`).
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from bocker import fakes, kernel
from bocker.fakes import World
from bocker.kernel import PORTS
from tests import contracts
from tests.unit import observed

ROOT = Path(kernel.__file__).parents[2]
BOUND = [ROOT / "tests/unit/test_contracts.py", ROOT / "tests/system/test_contracts.py"]
MODULES = [name for name in PORTS if name != "state"]
HIDDEN = ("fcntl", "pyroute2", "requests", "resource", "termios", "pwd", "grp")


def contract_classes() -> set[str]:
    """Return the names of all contracts: the classes of `tests/contracts` that end so, but for parts of another."""
    found: dict[str, type] = {}
    for path in Path(next(iter(contracts.__path__))).glob("*.py"):
        module = import_module(f"tests.contracts.{path.stem}")
        found |= {name: value for name, value in vars(module).items() if name.endswith("Contract")}
    parts = {base.__name__ for value in found.values() for base in value.__mro__[1:]}
    return set(found) - parts


def bound_classes(path: Path) -> set[str]:
    """Return the names of the contracts that a test module has a test class of."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return {ast.unparse(base) for node in classes if node.name.startswith("Test") for base in node.bases}


def methods(path: Path, name: str) -> dict[str, ast.arguments]:
    """Return the public methods of a class from its source, so that it need not be imported."""
    (found,) = (
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef) and node.name == name
    )
    return {
        node.name: node.args
        for node in found.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


@pytest.mark.parametrize("path", BOUND, ids=["fake", "linux"])
def test_every_contract_is_bound(path: Path) -> None:
    assert contract_classes()
    assert bound_classes(path) >= contract_classes()


def test_every_port_has_a_contract() -> None:
    of_all = "SubjectsContract"
    assert contract_classes() == {*(f"{name.capitalize()}Contract" for name in MODULES), of_all}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("room", ["fakes", "linux"])
def test_signatures_are_the_ports(room: str, name: str) -> None:
    prefix = {"fakes": "Fake", "linux": "Linux"}[room]
    port = methods(ROOT / f"bocker/kernel/{name}.py", name.capitalize())
    made = methods(ROOT / f"bocker/{room}/{name}.py", f"{prefix}{name.capitalize()}")
    assert port
    assert {method: ast.unparse(made[method]) for method in port} == {
        method: ast.unparse(arguments) for method, arguments in port.items()
    }


@pytest.mark.parametrize("name", MODULES)
def test_every_method_of_a_port_is_abstract_and_specified(name: str) -> None:
    port = observed.ports()[name]
    public = {method for method in vars(port) if not method.startswith("_")}
    assert public == set(getattr(port, "__abstractmethods__", ()))
    assert all(inspect.getdoc(getattr(port, method)) for method in public)
    assert not vars(port)["__slots__"]


def test_what_no_contract_observed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check at the end of a run is no empty one."""
    monkeypatch.setattr(observed, "CALLS", set())
    before = observed.missing()
    assert "storage.create ok" in before
    assert "storage.create AlreadyExists" in before
    assert "any method of storage ReadOnly" in before
    world = World().prepare()
    program = world.kernel()
    program.storage.create("img_42002")
    with pytest.raises(Exception, match="EEXIST"):
        program.storage.create("img_42002")
    observed.add(world)
    assert set(before) - set(observed.missing()) == {"storage.create ok", "storage.create AlreadyExists"}


def test_what_is_out_of_reach_is_declared() -> None:
    """An exception of the check that nobody needs any more is taken out."""
    for operation, error in observed.OUT_OF_REACH:
        name, _, method = operation.partition(".")
        assert error in observed.declared(getattr(observed.ports()[name], method))


def test_the_fake_needs_attrs_and_the_standard_library_only() -> None:
    """Neither Linux's own modules nor the libraries of the real kernel."""
    code = (
        "import sys\n"
        f"for name in {HIDDEN!r}: sys.modules[name] = None\n"
        "import bocker.fakes\n"
        "bocker.fakes.World().prepare().kernel().storage.create('img_42002')\n"
        "assert not [name for name in sys.modules if name.startswith('bocker.linux')]\n"
    )
    subprocess.run((sys.executable, "-c", code), check=True, cwd=Path(fakes.__file__).parents[2])

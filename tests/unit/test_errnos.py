"""The check that the fake gives no error that Linux was never seen to give (`tests/errnos.py`) is no empty one."""

from __future__ import annotations

import pytest

from bocker.fakes import World
from bocker.fakes.faults import RefuseCall
from bocker.kernel.errors import KernelError
from tests import errnos
from tests.unit import observed

STRANGE = 18  # EXDEV


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[errnos.Given, str]:
    found: dict[errnos.Given, str] = {}
    monkeypatch.setattr(errnos, "given", found)
    return found


def test_what_a_step_refuses_is_noted(given: dict[errnos.Given, str]) -> None:
    kernel = World().prepare().kernel()
    kernel.storage.create("img_1")
    for act in (lambda: kernel.storage.create("img_1"), lambda: kernel.state.read("a/b")):
        with pytest.raises(KernelError):
            act()
    assert given == {("storage.create", "EEXIST"): errnos.TEST, ("records.read", "ENOENT"): errnos.TEST}
    assert list(errnos.never_seen(given)) == []


def test_an_injected_fault_is_not_noted(given: dict[errnos.Given, str]) -> None:
    kernel = World().prepare().kernel()
    kernel.gate = RefuseCall(1, STRANGE)
    with pytest.raises(KernelError, match="EXDEV"):
        kernel.storage.create("img_1")
    assert given == {}


def test_what_linux_was_never_seen_to_give_is_told() -> None:
    (line,) = errnos.never_seen([("storage.create", "EXDEV"), ("storage.create", "EEXIST")])
    assert "storage.create EXDEV" in line


def test_what_brings_an_error_about_is_the_first_of_the_ways(given: dict[errnos.Given, str]) -> None:
    for way in reversed(errnos.WAYS):
        errnos.note("storage.create", "EEXIST", way)
    errnos.note_outcomes(["storage.sync", "storage.delete"], ["None", "Missing ENOENT"])
    assert given == {("storage.create", "EEXIST"): errnos.CONTRACT, ("storage.delete", "ENOENT"): errnos.PROGRAM}


def test_the_list_is_of_operations_that_are_there() -> None:
    operations = {f"{name}.{method}" for name, port in observed.ports().items() for method in vars(port)}
    assert errnos.listed()
    assert [one for one, _ in errnos.listed() if one.partition(errnos.STEP)[0] not in operations] == []


def test_what_linux_gives_is_brought_about_where_both_kernels_are_asked() -> None:
    """Whatever a random program or another test alone found is worth a contract of its own."""
    alone = {errnos.PROGRAM, errnos.TEST}
    assert [given for given, way in errnos.listed().items() if way in alone] == []


def test_no_exception_is_left_that_nobody_needs() -> None:
    assert not errnos.FAKE_ALONE.keys() & errnos.listed().keys()

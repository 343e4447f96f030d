"""Which interpreter a command goes on in: see docs/decisions/0004 and 0011."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from bocker.cli import main as main_module
from bocker.cli.parser import parse_arguments
from bocker.cli.verbs import find

BASE = "/opt/base/python3"
pytestmark = pytest.mark.skipif(not hasattr(os, "ST_RDONLY"), reason="mounts are read-only on systems like Linux only")


class Changed(Exception):
    """The program would go on in the interpreter that this names."""


@pytest.fixture
def choose(monkeypatch, tmp_path):
    """A function that chooses the interpreter of a command line, on a host that `setup` has prepared or not."""

    def change(path, words):
        raise Changed(path)

    monkeypatch.setattr(os, "execv", change)
    monkeypatch.setattr(sys, "_base_executable", BASE, raising=False)
    protected = tmp_path / "interpreter"

    def call(words, read_only, pip, is_set_up=True):
        if is_set_up:
            protected.touch()
        flags = os.ST_RDONLY if read_only else 0
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=flags))
        verb = find(words[0])
        try:
            main_module._choose_interpreter(verb, parse_arguments(verb, words[1:]), str(protected) if pip else None)
        except Changed as changed:
            return {str(protected): "protected", BASE: "base"}[changed.args[0]]
        return "this"

    return call


@pytest.mark.parametrize(
    ("words", "installed", "pip"),
    [
        (("run", "img", "true"), "this", "protected"),
        (("exec", "web", "true"), "this", "protected"),
        (("setup", "--check"), "this", "protected"),
        (("ps",), "this", "this"),
        (("setup",), "this", "this"),
        (("setup", "--undo"), "base", "this"),
    ],
)
def test_programs_are_started_by_an_interpreter_that_they_can_not_write(choose, words, installed, pip):
    assert choose(words, read_only=True, pip=False) == installed
    assert choose(words, read_only=False, pip=True) == pip


def test_where_nothing_is_protected_the_engine_says_so_itself(choose):
    assert choose(("run", "img", "true"), read_only=False, pip=True, is_set_up=False) == "this"
    assert choose(("run", "img", "true"), read_only=False, pip=False) == "this"


def test_the_protected_interpreter_is_not_changed_again(choose):
    assert choose(("run", "img", "true"), read_only=True, pip=True) == "this"

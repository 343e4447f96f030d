"""The planted bugs (`tests.planted`) can be planted still: their texts are there, and the tests that find them too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.planted import engine, fakes, linux, original
from tests.planted.bug import ENGINE_KINDS, Bug

ROOT = Path(__file__).parents[2]
LISTS = {"engine": engine.BUGS, "fakes": fakes.BUGS, "original": original.BUGS, "linux": linux.BUGS}
BUGS = [bug for bugs in LISTS.values() for bug in bugs]
AT_LEAST = {"engine": 12, "fakes": 10, "original": 8, "linux": 8}


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """Its text is there once, and what takes its place is a program, too."""
    text = (ROOT / bug.file).read_text()
    assert text.count(bug.before) == 1
    assert bug.before != bug.after
    compile(text.replace(bug.before, bug.after), bug.file, "exec")


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_the_tests_that_find_a_bug_are_there(bug: Bug) -> None:
    files = [word for word in bug.found_by if word.startswith("tests/")]
    assert files
    for word in files:
        path, *names = word.split("::")
        source = (ROOT / path).read_text()
        assert [name for name in names if f" {name.partition('[')[0]}(" not in source] == []


def test_every_list_is_long_enough_and_no_name_is_there_twice() -> None:
    assert {name: len(bugs) >= AT_LEAST[name] for name, bugs in LISTS.items()} == dict.fromkeys(LISTS, True)
    assert [name for name, count in Counter(bug.name for bug in BUGS).items() if count > 1] == []


def test_every_kind_of_mistake_is_planted_in_the_engine_twice() -> None:
    kinds = Counter(bug.kind for bug in engine.BUGS)
    assert [kind for kind in ENGINE_KINDS if kinds[kind] < 2] == []


def test_the_page_has_every_bug() -> None:
    page = (ROOT / "docs/proof.md").read_text()
    assert [bug.name for bug in BUGS if f"`{bug.name}`" not in page] == []

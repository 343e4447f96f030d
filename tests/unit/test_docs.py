"""The two tables of the documentation name tests, and those are there; so is what pages lead to and speak of."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from bocker.cli.verbs import VERBS

ROOT = Path(__file__).parents[2]
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"(?:^[$#] |`)(?:sudo )?bocker ([a-z]+)", re.MULTILINE)
PAGES = sorted(
    path.relative_to(ROOT)
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("benchmarks/*.md"),
        *ROOT.glob("examples/*/*.md"),
    )
)
FACTS, BUGS = "kernel-facts.md", "bash-bugs.md"
WAITING_FACTS = 2
WAITS = "waits: "
MAY_WAIT = {"S2", "W19", "L7"}
WAIT_ALONE = {"W19"}
LAST = {"D": 12, "S": 22, "W": 23, "X": 5, "L": 7, "U": 10, "P": 12}
BUG_IDS = {f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)}
FACT_COLUMNS, BUG_COLUMNS = 3, 5


def rows(name: str) -> list[list[str]]:
    """Return the cells of each row of a page's tables; what stands above a line of dashes is a header."""
    lines = (ROOT / "docs" / name).read_text().splitlines()
    following = [*lines[1:], ""]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line, below in zip(lines, following, strict=True)
        if line.startswith("| ") and not below.startswith("|---")
    ]


@cache
def named_in(path: str) -> frozenset[str]:
    """Return the tests of a file as pytest names them, without importing it."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def missing_tests(cell: str) -> list[str]:
    """Return the tests that a cell names and nobody wrote."""
    return [
        f"{path}::{name}"
        for path, name in REFERENCE.findall(cell)
        if not (ROOT / path).is_file() or name not in named_in(path)
    ]


def is_proved(cell: str, may_wait: bool) -> bool:
    """Tell whether a cell names a test, or why it has none yet."""
    return bool(REFERENCE.search(cell)) or (may_wait and cell.startswith(WAITS) and len(cell) > len(WAITS))


@pytest.mark.parametrize("page", [FACTS, BUGS])
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    assert [missing for row in rows(page) for cell in row for missing in missing_tests(cell)] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_page_leads_to_what_is_there_and_speaks_of_commands_that_are(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert [target for target in LINK.findall(text) if not (ROOT / page.parent / target).exists()] == []
    assert [word for word in COMMAND.findall(text) if word not in {verb.name for verb in VERBS}] == []


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    assert [verb.name for verb in VERBS if f"`{verb.name}" not in text and f"bocker {verb.name}" not in text] == []


def test_every_fact_of_the_kernel_names_its_proof() -> None:
    facts = rows(FACTS)
    assert {len(row) for row in facts} == {FACT_COLUMNS}
    assert [row[0] for row in facts if not is_proved(row[-1], may_wait=True)] == []


def test_few_facts_wait() -> None:
    """And only for a machine that is not here yet."""
    waiting = [row for row in rows(FACTS) if WAITS in row[-1]]
    assert len(waiting) <= WAITING_FACTS
    assert all("version 2 of control groups" in row[-1] for row in waiting)


def test_every_defect_of_the_original_is_listed_once() -> None:
    ids = [row[0] for row in rows(BUGS)]
    assert sorted(ids) == sorted(BUG_IDS)


def test_every_defect_names_its_tests_and_the_change_that_turns_them_red() -> None:
    for name, _, _, proof, change in rows(BUGS):
        assert is_proved(proof, may_wait=name in WAIT_ALONE), name
        assert change or proof.startswith(WAITS), name


def test_only_what_was_agreed_waits() -> None:
    assert {row[0] for row in rows(BUGS) if WAITS in row[3]} <= MAY_WAIT


def test_a_page_without_proof_would_be_seen() -> None:
    """The check of a check: a name that nobody wrote, an empty cell, a wait that says nothing."""
    assert missing_tests("`tests/unit/test_docs.py::test_that_nobody_wrote`")
    assert missing_tests("`tests/unit/no_such_file.py::test_x`")
    assert not missing_tests("`tests/contracts/storage.py::StorageContract::test_sync_keeps_everything`")
    assert not is_proved("", may_wait=True)
    assert not is_proved("waits: ", may_wait=True)
    assert not is_proved("waits: for something", may_wait=False)

"""What docs/when-things-go-wrong.md says that bocker says, a test has seen it say."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/when-things-go-wrong.md"
TESTS = (
    "system/test_interference.py",
    "unit/engine/test_interference.py",
    "unit/engine/test_run.py",
    "unit/images/test_cut_blobs.py",
)
ANY = "…"


def rows() -> list[list[str]]:
    """Return the cells of the tables, without headers."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "what happened"]


def messages() -> list[str]:
    """Return what is said, all of it: what stands in a cell as code and is no command."""
    found = [text for row in rows() for text in re.findall(r"`([^`]+)`", row[1])]
    return [text for text in found if not text.startswith("bocker ")]


@cache
def seen() -> frozenset[str]:
    """Return every text that stands in the tests."""
    trees = (ast.parse((ROOT / "tests" / name).read_text()) for name in TESTS)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def unseen(message: str) -> list[str]:
    """Return the parts of a message, between its names and numbers, that no test knows."""
    parts = [part.strip(" ;():") for part in message.split(ANY)]
    return [part for part in parts if part and not any(part in text for text in seen())]


def test_each_table_has_three_columns() -> None:
    assert len(rows()) > 25
    assert {len(row) for row in rows()} == {3}


@pytest.mark.parametrize("message", messages())
def test_what_is_said_is_said_in_a_test(message: str) -> None:
    assert unseen(message) == []


def test_a_message_that_nobody_says_would_be_seen() -> None:
    assert unseen("The host is not set up: the moon is … in the way") == [
        "The host is not set up: the moon is",
        "in the way",
    ]

"""What the virtual machine's lane decides and counts, without a machine."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "provision/vm"))

import lane
import results

XML = """<testsuites><testsuite name="pytest" time="61.5">
<testcase classname="a" name="passes"/>
<testcase classname="a" name="fails"><failure message="x"/></testcase>
<testcase classname="a" name="fails after the test"><error message="left"/></testcase>
<testcase classname="a" name="of the other version"><skipped message="version 1"/></testcase>
<testcase classname="a" name="late"><skipped message="the time was up"/></testcase>
</testsuite></testsuites>"""
TABLE = (
    "# Title\n\n| kernel of | release |\n|---|---|\n| sid | 9.9 | old |\n| trixie-backports | 7.2 |\n\nText.\n\n"
    "| what | test |\n|---|---|\n| a | 1 |\n"
)


def row(suite: str) -> results.Row:
    counts = Counter({"passed": 3, "left out": 2, "skipped: a": 1, "skipped: b": 1})
    return results.Row(suite, "6.1.0-50", "v2, systemd", counts, 125, [])


def test_every_test_is_in_the_order_once_and_the_telling_ones_come_first() -> None:
    tests = lane.system_tests()
    order = lane.in_order(tests, "0123abc")
    assert sorted(order) == sorted(tests)
    assert order[: len(lane.FIRST)] == lane.FIRST
    assert all((lane.ROOT / name.partition("::")[0]).exists() for name in tests)


def test_another_commit_has_another_order() -> None:
    tests = lane.system_tests()
    assert lane.in_order(tests, "0123abc") == lane.in_order(tests, "0123abc")
    assert lane.in_order(tests, "0123abc") != lane.in_order(tests, "0123abd")


def test_results_are_counted_and_failures_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.xml").write_text(XML)
    (tmp_path / "two.xml").write_text(XML.replace("61.5", "30"))
    files = sorted(tmp_path.glob("*.xml"))
    assert results.count(files) == {"passed": 2, "failed": 4, "skipped: version 1": 2, "left out": 2}
    assert capsys.readouterr().out.splitlines()[:2] == ["FAILED a::fails", "FAILED a::fails after the test"]
    assert results.duration_seconds(files) == 62


@pytest.mark.parametrize("suite", ["sid", "bookworm"])
def test_a_kernel_has_one_row(tmp_path: Path, suite: str) -> None:
    """In place of the one that it had, or below the others."""
    file = tmp_path / "table.md"
    file.write_text(TABLE)
    row(suite).write(file)
    row(suite).write(file)
    lines = file.read_text().splitlines()
    assert [line for line in lines if line.startswith(f"| {suite} ")] == [row(suite).text()]
    assert lines[lines.index("Text.") - 2] == row(suite).text()
    assert "3 | 0 | 2 | 2 | 2 min" in row(suite).text()

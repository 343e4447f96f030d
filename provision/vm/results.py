#!/usr/bin/python3
"""Counts tests in JUnit XML, and writes the row of a kernel into docs/virtual-machine.md.

    provision/vm/results.py FILE...    for the kernel that this runs on, where `pytest --junit-xml FILE` ran too

`lane.py` does it for the kernels of its machines.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

TABLE = Path(__file__).resolve().parents[2] / "docs/virtual-machine.md"
LEFT_OUT = "the time was up"  # why tests/system/conftest.py skips what there is no time for


def main(names: Sequence[str]) -> int:
    """Write the row of this machine."""
    if not names:
        print(__doc__, file=sys.stderr)
        return 2
    files = [Path(name) for name in names]
    version = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"
    systemd = ", systemd" if os.path.isdir("/run/systemd/system") else ""
    release = re.sub(r"[^.\d].*", "", os.uname().release)  # what a vendor adds says nothing to others
    row = Row("the sandbox's machine", release, version + systemd, count(files), duration_seconds(files), [])
    print("\n".join(row.report()))
    row.write(TABLE)
    return 0


def count(files: Sequence[Path]) -> Counter[str]:
    """Return how many tests passed, failed, were skipped for a reason, and had no time; print those that failed."""
    counts: Counter[str] = Counter()
    for case in (case for file in files for case in ElementTree.parse(file).iter("testcase")):
        kinds = {child.tag: child.get("message") or "" for child in case}
        if {"failure", "error"} & set(kinds):
            counts["failed"] += 1
            print(f"FAILED {case.get('classname')}::{case.get('name')}")
        elif "skipped" in kinds:
            counts["left out" if LEFT_OUT in kinds["skipped"] else f"skipped: {kinds['skipped']}"] += 1
        else:
            counts["passed"] += 1
    return counts


def duration_seconds(files: Sequence[Path]) -> int:
    """Return how long the longest of the runs took."""
    return round(
        max(float(suite.get("time", 0)) for file in files for suite in ElementTree.parse(file).iter("testsuite"))
    )


class Row(NamedTuple):
    """What is known of a kernel when its tests have run."""

    suite: str
    kernel: str
    groups: str
    counts: Counter[str]
    seconds: int
    only: Sequence[str]

    def report(self) -> list[str]:
        """Return the counts as a person reads them."""
        head = f"Linux {self.kernel}, control groups {self.groups}"
        return [head, *(f"  {number:5} {what}" for what, number in sorted(self.counts.items()))]

    def text(self) -> str:
        """Return the table's line."""
        skipped = sum(number for what, number in self.counts.items() if what.startswith("skipped"))
        numbers = (self.counts["passed"], self.counts["failed"], skipped, self.counts["left out"])
        date = time.strftime("%Y-%m-%d") + (f", only {', '.join(self.only)}" if self.only else "")
        cells = (self.suite, self.kernel, self.groups, *numbers, f"{self.seconds // 60} min", date)
        return f"| {' | '.join(map(str, cells))} |"

    def write(self, file: Path) -> None:
        """Put it into the table, in place of the one that this kernel had."""
        lines = [line for line in file.read_text().splitlines() if not line.startswith(f"| {self.suite} | ")]
        last = next(place for place, line in enumerate(lines) if line.startswith("| kernel of |")) + 1
        while last + 1 < len(lines) and lines[last + 1].startswith("|"):
            last += 1
        lines.insert(last + 1, self.text())
        file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Plants bugs in a copy of the tree, and runs the tests that are to find them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.planted.bug import Bug
from tests.planted.verdict import FILE

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "dist", "build")
SANDBOX = ("-m", "tests.system.sandbox", "--", sys.executable)
TIMEOUT_S = 600
ENOUGH = "--maxfail=5"
SETTING = re.compile("BOCKER_[A-Z]+=")  # among pytest's words: one of the environment
PASSED, FAILED = 0, 1  # pytest's exit codes


@attrs.frozen
class Verdict:
    """How a run of tests ended: pytest's exit code, the tests that failed by an assertion, and those that failed
    in another way."""

    code: int
    asserted: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    output: str = ""


@attrs.frozen
class Finding:
    """What became of a planted bug; `problem` is empty where it was found."""

    bug: Bug
    problem: str
    red: tuple[str, ...] = ()


class Field:
    """A copy of the tree that bugs are planted in, one at a time."""

    def __init__(self, tree: Path, in_sandbox: bool) -> None:
        self.tree = tree
        self._in_sandbox = in_sandbox
        self._healthy: dict[tuple[str, ...], Verdict] = {}

    def find(self, bug: Bug) -> Finding:
        """Plant a bug, and tell whether its tests find it."""
        healthy = self._without(bug.found_by)
        if healthy.code != PASSED:
            return Finding(bug, f"its tests do not pass without it\n{healthy.output}")
        with self.planted(bug):
            verdict = self.run(bug.found_by)
        if verdict.code == FAILED and verdict.asserted:
            return Finding(bug, "", verdict.asserted)
        return Finding(bug, f"NOT FOUND: {_ending(verdict)}", verdict.others)

    @contextmanager
    def planted(self, bug: Bug) -> Iterator[None]:
        """Let a bug be in the tree for the length of a block."""
        path = self.tree / bug.file
        text = path.read_text()
        if text.count(bug.before) != 1:
            raise ValueError(f"{bug.name}: {bug.file} does not have its text once")
        path.write_text(text.replace(bug.before, bug.after))
        try:
            yield
        finally:
            path.write_text(text)

    def run(self, words: tuple[str, ...]) -> Verdict:
        """Run tests on the tree as it is now."""
        with tempfile.TemporaryDirectory() as directory:
            verdict = Path(directory, "verdict")
            verdict.touch()
            # No bytecode: a text that changes twice within a second would be taken for the old one.
            environment = {
                **os.environ,
                **dict(word.split("=") for word in words if SETTING.match(word)),
                FILE: str(verdict),
                "PYTHONPATH": str(self.tree),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            code, output = _ran(self._command(words), self.tree, environment)
            return _read(verdict, code, output)

    def _without(self, words: tuple[str, ...]) -> Verdict:
        if words not in self._healthy:
            self._healthy[words] = self.run(words)
        return self._healthy[words]

    def _command(self, words: tuple[str, ...]) -> tuple[str, ...]:
        sandbox = SANDBOX if self._in_sandbox else ()
        return (
            sys.executable,
            *sandbox,
            "-m",
            "pytest",
            "-p",
            "tests.planted.verdict",
            "-q",
            ENOUGH,
            *(one for one in words if not SETTING.match(one)),
        )


@contextmanager
def field(in_sandbox: bool = False) -> Iterator[Field]:
    """Give a copy of the tree. in_sandbox: its tests are those of the system."""
    with tempfile.TemporaryDirectory(prefix="bocker-planted-") as directory:
        tree = Path(directory, "tree")
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT, symlinks=True)
        yield Field(tree, in_sandbox)


def _ran(command: tuple[str, ...], tree: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command to its end, or kill it with all its children when it hangs."""
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    return process.returncode, output


def _read(file: Path, code: int, output: str) -> Verdict:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    asserted = tuple(row["test"] for row in rows if row["asserted"])
    return Verdict(code, asserted, tuple(row["test"] for row in rows if not row["asserted"]), output)


def _ending(verdict: Verdict) -> str:
    if verdict.code == PASSED:
        return "all of its tests pass"
    return f"no assertion failed, pytest ended with {verdict.code}\n{verdict.output}"

"""Which test runs which statement, and how long it takes: one run of everything, kept until a file changes.

Each statement gets a mark before it that costs some nanoseconds; a tracer would make the run three times as long.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import os
import pickle
import re
import sys
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from _pytest.tmpdir import tmppath_result_key

from tests.mutation.swap import Functions, functions_by_place, give_code

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "mutation"
MARKS = "__marks__"
SKIPPED = (pytest.skip.Exception, pytest.xfail.Exception)
# A call that the changed arguments don't fit: it says nothing of the tests.
MISFIT = re.compile(
    r"missing \d+ required|takes .*positional argument|unexpected keyword argument|multiple values for|"
    r"\w needs '|at least \w+ argument|expected \w+ (at (least|most) )?\d* ?argument|exactly \w+ argument"
)


class Selection(NamedTuple):
    """What the tests do to the code as it is: processor seconds of each test that passes, the tests of each line
    on which a statement begins."""

    seconds: dict[str, float]
    names: tuple[str, ...]
    tests: dict[str, dict[int, array[int]]]

    def of(self, path: str, line: int) -> list[str]:
        return [self.names[number] for number in self.tests.get(path, {}).get(line, ())]


def selection(items: Sequence[pytest.Item], paths: Iterable[str]) -> Selection:
    """Return what was noted of these files, else note it, in a process of its own."""
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / f"selection-{_digest(items)}.pickle"
    if not kept.exists():
        print(f"Noting which of {len(items)} tests runs which statement", flush=True)
        if in_child(lambda: kept.write_bytes(pickle.dumps(_note(items, sorted(paths))))):
            raise pytest.UsageError("the tests could not be run")
    return pickle.loads(kept.read_bytes())


def in_child(act: Callable[[], object]) -> int:
    """Do something in a fork of this process, and return how that ended."""
    child = os.fork()
    if not child:
        code = 1
        try:
            act()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def run_item(item: pytest.Item, following: pytest.Item | None) -> BaseException | None:
    """Run one test with its fixtures and without any report; return why it failed."""
    item.stash[tmppath_result_key] = {}  # the fixture tmp_path reads there what the report said
    error = _phase(lambda: item.ihook.pytest_runtest_setup(item=item), "setup")
    if error is None:
        error = _phase(lambda: item.ihook.pytest_runtest_call(item=item), "call")
    undone = _phase(lambda: item.ihook.pytest_runtest_teardown(item=item, nextitem=following), "teardown")
    return error or undone


def _phase(act: Callable[[], Any], when: Any) -> BaseException | None:
    call = pytest.CallInfo.from_call(act, when=when, reraise=(KeyboardInterrupt,))
    return None if call.excinfo is None or isinstance(call.excinfo.value, SKIPPED) else call.excinfo.value


def is_misfit(error: BaseException) -> bool:
    return isinstance(error, TypeError) and MISFIT.search(str(error)) is not None


def _digest(items: Sequence[pytest.Item]) -> str:
    files = [path for folder in ("bocker", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
    files = [path for path in files if path.parent != Path(__file__).parent]
    names = [item.nodeid.encode() for item in items]
    return hashlib.sha256(b"\0".join([*(path.read_bytes() for path in files), *names])).hexdigest()[:16]


def _note(items: Sequence[pytest.Item], paths: Sequence[str]) -> Selection:
    marks, places = bytearray(), []
    functions = functions_by_place()
    for path in paths:
        places += _mark(path, functions, marks, len(places))
    names, tests = [], defaultdict(lambda: defaultdict(lambda: array("H")))
    seconds = {}
    for name, taken in _timed(items, marks):
        seconds[name] = taken
        for number in _ones(marks):
            path, line = places[number]
            tests[path][line].append(len(names))
        names.append(name)
    return Selection(seconds, tuple(names), {path: dict(lines) for path, lines in tests.items()})


def _mark(path: str, functions: Functions, marks: bytearray, first: int) -> list[tuple[str, int]]:
    """Give all functions of a module code that sets a mark before each statement; return where these stand."""
    tree = ast.parse((ROOT / path).read_text())
    lines = []
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list) and block and not isinstance(node, ast.Module | ast.ClassDef):
                block[:] = list(_with_marks(block, lines, first))
    marks.extend(bytes(len(lines)))
    vars(import_module(module_of(path)))[MARKS] = marks
    give_code(compile(ast.fix_missing_locations(tree), str(ROOT / path), "exec", dont_inherit=True), functions)
    return [(path, line) for line in lines]


def _with_marks(block: Sequence[ast.stmt], lines: list[int], first: int) -> Iterator[ast.stmt]:
    for statement in block:
        mark = ast.parse(f"{MARKS}[{first + len(lines)}] = 1").body[0]
        lines.append(statement.lineno)
        yield ast.copy_location(mark, statement)
        yield statement


def _ones(marks: bytearray) -> Iterator[int]:
    place = marks.find(1)
    while place >= 0:
        yield place
        place = marks.find(1, place + 1)


def _timed(items: Sequence[pytest.Item], marks: bytearray) -> Iterator[tuple[str, float]]:
    for item, following in zip(items, [*items[1:], None], strict=True):
        marks[:] = bytes(len(marks))
        begun = time.process_time()
        error = run_item(item, following)
        if error is None:
            yield item.nodeid, time.process_time() - begun
        else:
            print(f"left out, it fails as it is: {item.nodeid}: {error!r}"[:300], flush=True)
    gc.collect()

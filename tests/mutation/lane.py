"""Each mutant in a fork of a pytest that has collected everything: what is changed is the code of one function."""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, settings

from tests.mutation.mutants import Mutant
from tests.mutation.selection import ROOT, Selection, is_misfit, module_of, run_item, selection
from tests.mutation.swap import Functions, functions_by_place, give_code

KILLED, SURVIVED, TIMED_OUT, MISFIT, NOT_RUN, UNTESTED = (
    "killed",
    "survived",
    "timeout",
    "misfit",
    "not run",
    "untested",
)
MEMORY_BYTES = 1 << 30
PATIENCE_S = 2.0  # of the processor, for a test that takes no time
RECENT = 12
NEAR, AROUND = 50, 10  # how much slower a test may be that killed a mutant of the same function, of the same module


class Result(NamedTuple):
    """What became of a mutant: the test that killed it, or how many it survived, of how many."""

    outcome: str
    test: str = ""
    ran: int = 0
    of: int = 0


class Lane:
    """A plugin of pytest that runs the tests once for each mutant instead of once."""

    def __init__(self, mutants: Sequence[Mutant], paths: Sequence[str], seconds: float, note: Any) -> None:
        self.mutants, self.paths, self.seconds, self.note = mutants, paths, seconds, note
        self.killers: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=RECENT))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        settings.register_profile(
            "mutation", deadline=None, database=None, derandomize=True, phases=(Phase.explicit, Phase.generate)
        )
        settings.load_profile("mutation")
        for path in self.paths:
            import_module(module_of(path))
        chosen = selection(session.items, self.paths)
        items = {item.nodeid: item for item in session.items}
        functions = functions_by_place()
        gc.collect()
        gc.freeze()
        for mutant in self.mutants:
            names = self._tests(mutant, chosen)
            result = _attempt(mutant, [items[name] for name in names if name in items], chosen, functions, self.seconds)
            if result.outcome == KILLED:
                for key in (mutant.path, f"{mutant.path} {mutant.function}"):
                    self._remember(key, result.test)
            self.note(mutant, result)
        return True

    def _remember(self, key: str, test: str) -> None:
        if test in self.killers[key]:
            self.killers[key].remove(test)
        self.killers[key].appendleft(test)

    def _tests(self, mutant: Mutant, chosen: Selection) -> list[str]:
        """Return the tests that run a mutant's statement, the fastest first, and before them what killed its neighbours
        and is not much slower."""
        found = chosen.of(mutant.path, mutant.statement_line)
        near, around = self.killers[f"{mutant.path} {mutant.function}"], self.killers[mutant.path]

        def cost(name: str) -> float:
            return chosen.seconds[name] / (NEAR if name in near else AROUND if name in around else 1)

        return sorted(found, key=cost)


def change(mutant: Mutant, functions: Functions) -> bool:
    """Give the functions that are changed their new code; tell whether there are any."""
    path = ROOT / mutant.path
    changed = compile(mutant.apply(path.read_text()), str(path), "exec", dont_inherit=True)
    return give_code(changed, functions, (str(path), mutant.function, mutant.first_line))


def _attempt(
    mutant: Mutant, items: Sequence[pytest.Item], chosen: Selection, functions: Functions, seconds: float
) -> Result:
    if not items:
        return Result(UNTESTED)
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.close(read_end)
        try:
            _in_child(mutant, items, chosen, functions, seconds, write_end)
        finally:
            os._exit(1)
    os.close(write_end)
    patience = 60 + 5 * min(seconds, sum(chosen.seconds[item.nodeid] for item in items))
    try:
        return _answer(read_end, child, patience)
    finally:
        os.close(read_end)


def _answer(read_end: int, child: int, patience: float) -> Result:
    """Wait for a child's result; what was killed by its clock, by a full memory or by us ran out of something."""
    deadline, data = time.monotonic() + patience, b""
    while select.select([read_end], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(read_end, 65536)
        if not piece:
            break
        data += piece
    else:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lines = data.decode().splitlines()
    if lines and lines[-1].startswith("["):
        return Result(*json.loads(lines[-1]))
    return Result(TIMED_OUT, lines[-1] if lines else "")


def _in_child(
    mutant: Mutant,
    items: Sequence[pytest.Item],
    chosen: Selection,
    functions: Functions,
    seconds: float,
    write_end: int,
) -> None:
    if not change(mutant, functions):
        result = Result(NOT_RUN)
    else:
        gc.disable()
        resource.setrlimit(resource.RLIMIT_AS, (_size_bytes() + MEMORY_BYTES,) * 2)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        result = _run(items, chosen, seconds, write_end)
    os.write(write_end, (json.dumps(result) + "\n").encode())


def _size_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _run(items: Sequence[pytest.Item], chosen: Selection, seconds: float, write_end: int) -> Result:
    left = seconds
    for number, item in enumerate(items, 1):
        expected = chosen.seconds[item.nodeid]
        left -= expected
        if left < 0:
            return Result(SURVIVED, "", number - 1, len(items))
        os.write(write_end, f"{item.nodeid}\n".encode())
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S + 10 * expected)
        error = run_item(item, items[number] if number < len(items) else None)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if error is not None:
            return Result(MISFIT if is_misfit(error) else KILLED, item.nodeid, number, len(items))
    return Result(SURVIVED, "", len(items), len(items))

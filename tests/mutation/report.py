"""What survived, and what was read of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.mutation.lane import KILLED, MISFIT, NOT_RUN, SURVIVED, TIMED_OUT, UNTESTED, Result
from tests.mutation.mutants import Mutant

READ = Path(__file__).with_name("survivors.txt")
WORDING, UNREAD = "wording", "unread"


def read(path: Path) -> dict[str, Result]:
    """Return the last result of each mutant."""
    if not path.exists():
        return {}
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {name: Result(*result) for name, *result in rows}


def is_open(result: Result) -> bool:
    """Tell whether a mutant lived."""
    return result.outcome in {SURVIVED, UNTESTED}


def together(before: Result | None, now: Result) -> Result:
    """Return the result of two attempts with different tests: what one of them killed is dead."""
    if before is None or not is_open(now):
        return now
    return before if before.ran > now.ran else now


def readings() -> dict[str, str]:
    """Return the class of each survivor that was read."""
    found, kind = {}, ""
    for line in READ.read_text().splitlines() if READ.exists() else ():
        if line.startswith("== "):
            kind = line.removeprefix("== ").split(":")[0]
        elif line and not line.startswith("#"):
            found[line] = kind
    return found


def kind_of(mutant: Mutant, read_before: Mapping[str, str]) -> str:
    """Return the class of a survivor."""
    if mutant.is_wording:
        return WORDING
    return read_before.get(mutant.name, UNREAD)


def show(tried: Mapping[str, tuple[Mutant, Result]]) -> int:
    """Print the table; return 1 when something survived that nobody has read."""
    read_before = readings()
    rooms: dict[str, Counter[str]] = defaultdict(Counter)
    unread = []
    for mutant, result in tried.values():
        kind = kind_of(mutant, read_before) if is_open(result) else result.outcome
        for key in (mutant.path, str(Path(mutant.path).parent)):
            rooms[key][kind] += 1
        if kind == UNREAD:
            unread.append(f"{result.outcome} {result.ran}/{result.of} {mutant.name}")
    for line in unread:
        print(line)
    for room, counts in sorted(rooms.items()):
        dead = counts[KILLED] + counts[TIMED_OUT]
        of = counts.total() - counts[MISFIT] - counts[NOT_RUN]
        rest = ", ".join(f"{kind} {number}" for kind, number in sorted(counts.items()) if kind not in {KILLED})
        print(f"{room}: {counts.total()} mutants, {dead} of {of} killed ({100 * dead / max(1, of):.1f} %); {rest}")
    return 1 if unread else 0

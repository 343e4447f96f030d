"""The command: `python -m tests.mutation`. Ends with 1 when something survived that nobody has read."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.mutation import report
from tests.mutation.lane import Lane, Result
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.selection import CACHE, ROOT

ROOMS = ("bocker/engine", "bocker/fakes")
# A plugin of pytest: its tests start a pytest of their own, where no code is changed.
LEFT_OUT = frozenset({"bocker/fakes/testing/plugin.py"})
# These count the engine's calls: any change fails them, and says nothing of what is wrong.
COUNTING = "not test_the_number_of_calls_is_known"
PYTEST = ["-q", "-p", "no:cacheprovider", "-k", COUNTING]
# Without the tests that try one fault, crash or meeting after the other.
QUICK = ["-m", "not sweep"]
RESULTS = CACHE / "results.jsonl"


def main() -> int:
    options = _options()
    results = report.read(RESULTS)
    found = sorted(_mutants(options.paths), key=lambda mutant: _drawn(mutant.name, options.seed))
    mutants = found[: len(found) * options.sample // 100]
    mutants = [one for one in mutants if options.match in one.name]
    if options.new or options.survivors:
        mutants = [one for one in mutants if _is_wanted(results.get(one.name), options.new, options.survivors)]
    print(f"{len(mutants)} mutants", flush=True)
    begun = time.monotonic()
    CACHE.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as kept:

        def note(mutant: Mutant, result: Result) -> None:
            result = report.together(results.get(mutant.name), result)
            kept.write(json.dumps([mutant.name, *result]) + "\n")
            kept.flush()
            results[mutant.name] = result
            if options.verbose:
                print(f"{time.monotonic() - begun:.1f} {result.outcome} {result.test} {mutant.name}", flush=True)

        lanes = [*QUICK, *options.tests] if options.quick else options.tests
        code = pytest.main([*PYTEST, *lanes], plugins=[Lane(mutants, all_paths(), options.seconds, note)])
    if code:
        return int(code)
    print(f"{time.monotonic() - begun:.0f} s")
    return report.show({one.name: (one, results[one.name]) for one in found if one.name in results})


def _is_wanted(before: Result | None, new: bool, survivors: bool) -> bool:
    return new if before is None else survivors and report.is_open(before)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", default=ROOMS, help="modules or directories of them")
    parser.add_argument("--sample", type=int, default=100, help="of a hundred mutants, how many")
    parser.add_argument("--seed", default="1", help="another sample")
    parser.add_argument("--seconds", type=float, default=20.0, help="of tests for one mutant at most")
    parser.add_argument("--tests", nargs="+", default=["tests/unit"], help="only these tests")
    parser.add_argument(
        "--quick", action="store_true", help="without the sweeps; what survives may be tried again with them"
    )
    parser.add_argument("--survivors", action="store_true", help="only what survived so far")
    parser.add_argument("--new", action="store_true", help="only what was never tried; with --survivors both")
    parser.add_argument("--match", default="", help="only those in whose text this stands")
    parser.add_argument("--verbose", action="store_true", help="a line for each")
    return parser.parse_args()


def _mutants(paths: Iterable[str]) -> Iterator[Mutant]:
    for path in all_paths():
        if any(Path(path).is_relative_to(given) for given in paths):
            yield from mutants_of(ROOT / path, ROOT)


def all_paths() -> list[str]:
    """All modules that are mutated, where no path is given."""
    found = sorted(str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return [path for path in found if path not in LEFT_OUT]


def _drawn(name: str, seed: str) -> str:
    """Draw by the mutant itself: a run that is stopped is a sample, and a sample stays the same where the code does."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())

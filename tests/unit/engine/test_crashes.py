"""Power fails at every instant; `cleanup` is killed after every crash; and `setup` is killed on a bare host.

What a command reported survives a power failure that comes at once. What it did not report has happened
as a whole or not at all.
"""

from __future__ import annotations

import random

import pytest

from bocker.fakes import files
from bocker.fakes.faults import Call, Gate, Moments
from bocker.fakes.state import HOST
from tests.unit.crashes import SEED, Crashes
from tests.unit.engine.bench import Bench
from tests.unit.images.test_crashes import NAMES, crashes_of

SEVERAL = frozenset({"load", "save", "push", "prune", "cleanup"})  # they do one thing after the other
# What these report is no promise to the disk: a container that ran, and that something is gone.
PASSING = frozenset({"run", "run --name", "rm container", "rm image", "rmi", "prune", "stop", "cleanup", "ps"})
# Archives are the person's, who may sync them; where a name is noted is found again by asking all.
NO_PROMISE = (".meta/names/", "host /out.tar", "host /web.tar")
PAIRS = 60
NAMES_ONLY = (False, True)


class SyncAt(Moments):
    """Lets the file system be written as a whole before one call, as the kernel does whenever it wants."""

    def __init__(self, bench: Bench, number: int) -> None:
        super().__init__(lambda: bench.world.state)
        self._bench = bench
        self._number = number

    def around(self, call: Call, act: object, refuse: object) -> object:  # type: ignore[override]
        if len(self.calls) + 1 == self._number:
            self._bench.world.sync()
        return super().around(call, act, refuse)  # type: ignore[arg-type]


def power_fails(crashes: Crashes, names: bool) -> None:
    """Lose power, start again, mount the store and set the host up, and clean up."""
    bench = crashes.bench
    (store,) = (mount for mount in crashes.start.mounts[HOST] if mount.target == bench.settings.store)
    bench.world.lose_power(names)
    bench.world.state = files.add_mount(bench.world.state, store)
    bench.kernel = bench.program()
    bench.setup()
    bench.cleanup()


def held(crashes: Crashes) -> list[str]:
    return promised(crashes.holdings())


def promised(lines: list[str]) -> list[str]:
    return [line for line in lines if not any(word in line for word in NO_PROMISE)]


def outcomes(crashes: Crashes) -> tuple[list[str], list[str]]:
    return promised(crashes.before), promised(crashes.done)


def told(found: list[str], expected: list[str]) -> str:
    more = [f"+ {line}" for line in found if line not in expected]
    return "\n".join(["", *more, *(f"- {line}" for line in expected if line not in found)])


def fits(crashes: Crashes, found: list[str]) -> bool:
    """Tell whether a command happened or not; one that does several things, whether some of them happened."""
    before, done = outcomes(crashes)
    if crashes.command.name in SEVERAL:
        return set(before) & set(done) <= set(found) <= set(before) | set(done)
    return found in (before, done)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_reported_survives_a_power_failure(name: str) -> None:
    crashes = crashes_of(name)
    for names in NAMES_ONLY:
        crashes.again(Gate())
        crashes.command.act(crashes.bench)
        power_fails(crashes, names)
        found = held(crashes)
        if name in PASSING:
            assert fits(crashes, found), told(found, outcomes(crashes)[1])
        else:
            assert found == outcomes(crashes)[1], f"names: {names}" + told(found, outcomes(crashes)[1])
        assert crashes.repeats()


@pytest.mark.parametrize("name", NAMES)
def test_power_fails_at_any_instant(name: str) -> None:
    crashes = crashes_of(name)
    for point in crashes.points:
        for names in NAMES_ONLY:
            crashes.machine(point.moment.state, point.registry)
            power_fails(crashes, names)
            found = held(crashes)
            assert fits(crashes, found), f"{point}, names: {names}" + told(found, outcomes(crashes)[1])
    print(f"{name}: {2 * len(crashes.points)} power failures")


@pytest.mark.parametrize("name", NAMES)
def test_power_fails_some_time_after_the_kernel_wrote(name: str, request: pytest.FixtureRequest) -> None:
    crashes = crashes_of(name)
    chance, tried = random.Random(SEED), 0
    numbers = range(2, crashes.calls_made + 1)
    for number in (
        numbers if request.config.getoption("--crashes") == "all" else chance.sample(numbers, min(8, len(numbers)))
    ):
        moments = SyncAt(crashes.bench, number)
        crashes.again(moments)
        crashes.command.act(crashes.bench)
        later = [moment for moment in moments.all() if moment.number >= number]
        for moment in chance.sample(later, min(4, len(later))):
            for names in NAMES_ONLY:
                crashes.machine(moment.state, crashes.points[0].registry)
                power_fails(crashes, names)
                found = held(crashes)
                assert fits(crashes, found), f"written at {number}, lost at {moment.number} {moment.place}" + told(
                    found, outcomes(crashes)[1]
                )
                tried += 1
    print(f"{name}: {tried} power failures")

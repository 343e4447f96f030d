"""Engines side by side, call by call: every pair of commands with two switches, and two or three with many, by chance.

Each time a part of it, with a fixed seed; `--interleavings all` tries every schedule with two switches, `one` each
with one, `--interleavings N` N schedules by chance. One that fails is printed as short as it could be made, as a line
for `FAILED_ONCE`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest

from bocker.engine import store
from bocker.fakes import FakeKernel, World
from bocker.fakes.records import FakeRecords
from tests.unit.images.meetings import ABOUT_UP, COMMANDS, NAMES, Names, Stage
from tests.unit.interleaving import (
    ALL,
    TO_ITS_END,
    Deadlock,
    Interleaving,
    Schedule,
    parse_schedule,
    schedule_text,
    shortest,
)
from tests.unit.switches import FIRST, SECOND, Trace, schedule, trace_of, two_switches

pytestmark = pytest.mark.sweep

SEED = 20261121
OF_EACH = 6  # schedules of one pair for each command, in the usual run
GROUPS = 5  # so many pairs and threes meet by chance
SOME = 20  # times each
WHOLE = ("all", "one")  # each schedule of each pair
FAILED_ONCE: tuple[tuple[Names, str], ...] = (
    (("history", "prune all"), "0:5 1:*"),
    (("history", "prune all"), "0:8 1:*"),
    (("commit", "rm container"), "0:3 1:*"),
    (("commit onto", "prune all"), "0:6 1:*"),
    (("export", "rm container"), "0:4 1:*"),
    (("run --name", "prune all"), "0:13 1:*"),
    (("rm -f", "rm -f"), "1:2 0:* 1:*"),
    (("rm -f", "prune all"), "0:27 1:*"),
    (("run", "init onto"), "0:2 1:* 0:* 1:*"),
    (("commit onto", "init onto"), "0:4 1:* 0:* 1:*"),
    (("rm image", "init onto"), "0:3 1:14 0:* 1:*"),
    (("tag", "rmi"), "1:4 0:*"),
    (("init onto", "rm image"), "1:18 0:1"),
    (("run old", "commit onto"), "0:8 1:* 0:* 1:*"),
    (("run old", "commit onto"), "0:8 1:24 0:* 1:*"),
    (("run mine", "push"), "0:8 1:* 0:* 1:*"),
    (("images", "prune all"), "0:4 1:* 0:* 1:*"),
    (("push", "rmi last"), "0:103 1:36 0:* 1:*"),
    (("commit onto", "rm image"), "1:9 0:1"),
)


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def orphaned() -> Stage:
    return Stage(orphan=True)


@pytest.fixture
def number(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--interleavings"))


def check(stage: Stage, names: Names, tried: Schedule, found: list[str] | None = None) -> None:
    """Fail when something is wrong, with the shortest schedule that shows it."""
    wrong = stage.wrong(names, tried) if found is None else found
    if wrong:
        short = shortest(tried, lambda one: bool(stage.wrong(names, one)))
        lines = stage.wrong(names, short) or wrong
        pytest.fail("\n".join([f"({names!r}, {schedule_text(short)!r}),", *lines[:40]]))


@pytest.mark.parametrize(("names", "text"), FAILED_ONCE)
def test_what_failed_once(stage: Stage, names: Names, text: str) -> None:
    check(stage, names, parse_schedule(text))


@pytest.mark.parametrize("first", NAMES)
def test_every_pair_with_two_switches(stage: Stage, first: str, number: str) -> None:
    tried = pairs(stage, first, NAMES, number)
    print(f"{first}: {tried} schedules")


@pytest.mark.parametrize("first", ABOUT_UP)
def test_two_that_find_a_container_whose_engine_was_killed(orphaned: Stage, first: str, number: str) -> None:
    tried = pairs(orphaned, first, ABOUT_UP, number)
    print(f"{first}: {tried} schedules")


def pairs(stage: Stage, first: str, others: Sequence[str], number: str) -> int:
    """Let a command meet the others, or one of them by chance; return how many schedules there were."""
    tried = 0
    for second in others if number in WHOLE else [random.Random(first).choice(others)]:
        names = (first, second)
        met = {}

        def play(one: Schedule, names: Names = names, met: dict[Schedule, list[str]] = met) -> Trace:
            meeting = stage.meet(names, one)
            trace = trace_of(meeting.together, meeting.last)
            met[one] = stage.judged(names, meeting)
            return trace

        schedules = {"all": two_switches(play), "one": one_switch(stage, names)}
        for one in schedules.get(number, sampled(stage, names)):
            check(stage, names, one, met.pop(one, None))
            tried += 1
    return tried


def one_switch(stage: Stage, names: Names) -> Iterator[Schedule]:
    """Give each schedule in which the second goes on to its end between two calls of the first."""
    for calls in range(calls_of(stage, names[FIRST])):
        yield schedule(calls, ALL)


def sampled(stage: Stage, names: Names) -> Iterator[Schedule]:
    """Give some schedules with two switches."""
    chance = random.Random(SEED)
    sizes = [calls_of(stage, name) for name in names]
    for _ in range(OF_EACH):
        yield schedule(chance.randrange(sizes[FIRST]), chance.randint(1, sizes[SECOND]))


def calls_of(stage: Stage, name: str) -> int:
    """Return how many calls a command makes when it is alone."""
    return len(stage.meet((name,), ((0, TO_ITS_END),)).programs[0].calls)


def test_many_switches_by_chance(stage: Stage, number: str) -> None:
    """The number of switches is chosen first, as few find more than many do; then where they are."""
    groups, times = (GROUPS, SOME) if number in {"some", *WHOLE} else (max(1, int(number) // 50), 50)
    for group in range(groups):
        chance = random.Random(SEED + group)
        names = tuple(chance.choice(NAMES) for _ in range(chance.choice((2, 2, 3))))
        sizes = [calls_of(stage, name) for name in names]
        for _ in range(times):
            check(stage, names, by_chance(chance, sizes))
    print(f"{groups * times} schedules of {groups} pairs and threes")


def by_chance(chance: random.Random, sizes: list[int]) -> Schedule:
    """Return a schedule of turns that are long where there are few of them."""
    turns = chance.choice((3, 4, 6, 10, 40))
    longest = max(2, 3 * sum(sizes) // turns)
    return tuple((chance.randrange(len(sizes)), chance.randint(1, longest)) for _ in range(turns))


# What all of that rests on


@pytest.mark.parametrize("names", [("export", "rm container"), ("rmi", "tag")])
def test_nothing_is_left_out_that_ends_otherwise(stage: Stage, names: Names, number: str) -> None:
    """All schedules have the endings that those have which are tried."""

    def play(one: Schedule) -> Trace:
        meeting = stage.meet(names, one)
        endings.add((meeting.succeeded, meeting.holds))
        return trace_of(meeting.together, meeting.last)

    endings: set[tuple[object, object]] = set()
    tried = len(list(two_switches(play)))
    found, endings = endings, set()
    sizes = [calls_of(stage, name) for name in names]
    every = [schedule(i, j) for i in range(sizes[0]) for j in range(1, sizes[1] + 1)]
    for one in every if number == "all" else random.Random(SEED).sample(every, 60):
        play(one)
    assert endings <= found
    assert tried < len(every) / 4


def test_the_same_schedule_is_the_same_meeting(stage: Stage) -> None:
    names, tried = ("commit onto", "prune", "run"), parse_schedule("0:9 2:20 1:30 0:11 1:3 2:5 0:7")
    once = [str(step) for step in stage.meet(names, tried).together.steps]
    assert [str(step) for step in stage.meet(names, tried).together.steps] == once
    assert {line[0] for line in once[:80]} == {"0", "1", "2"}


def test_a_schedule_is_read_as_it_is_written() -> None:
    text = "0:5 1:12 0:* 1:end"
    assert schedule_text(parse_schedule(text)) == text
    assert parse_schedule(text) == ((0, 5), (1, 12), (0, ALL), (1, TO_ITS_END))


def both(kernel: FakeKernel, first: str, second: str) -> None:
    with kernel.records.lock(first), kernel.records.lock(second):
        kernel.records.write("a/b", b"")


def test_two_that_wait_for_each_other_are_a_failure_and_no_thread_stays() -> None:
    world = World().prepare()
    together = Interleaving(world, parse_schedule("0:1 1:1"))
    for order in ("ab", "ba"):
        together.add(kernel := world.kernel(), lambda kernel=kernel, order=order: both(kernel, *order))  # type: ignore[misc]
    with pytest.raises(Deadlock, match=r"program 1 waits after records\.lock a"):
        together.play()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("program")] == []


def test_a_lock_that_another_has_lets_that_one_go_on() -> None:
    world = World().prepare()
    together = Interleaving(world, parse_schedule("0:1 1:9"))
    for _ in range(2):
        together.add(kernel := world.kernel(), lambda kernel=kernel: both(kernel, "a", "b"))  # type: ignore[misc]
    together.play()
    assert "".join(str(step.who) for step in together.steps) == "010011"


def test_a_lock_that_is_not_taken_is_found_and_the_schedule_is_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that is put in: that a name is free, and that it is taken, are two steps again."""

    def lock(self: FakeRecords, name: str, wait: bool = True, shared: bool = False) -> AbstractContextManager[None]:
        return nullcontext() if name == store.NAMES_LOCK else real(self, name, wait, shared)

    real = FakeRecords.lock
    monkeypatch.setattr(FakeRecords, "lock", lock)
    stage, names = Stage(), ("run --name", "run --name")

    def fails(one: Schedule) -> bool:
        return bool(stage.wrong(names, one))

    chance = random.Random(SEED)
    found = next(one for one in (by_chance(chance, [40, 40]) for _ in range(100)) if fails(one))
    short = shortest(found, fails)
    assert len(short) <= 3
    assert fails(short)


def test_every_verb_is_among_the_commands() -> None:
    """But `help`, which asks no kernel."""
    from bocker.cli.verbs import VERBS

    assert {verb.name for verb in VERBS} - {"help"} <= {name.split()[0] for name in COMMANDS}
    assert {*ABOUT_UP} <= {*NAMES}

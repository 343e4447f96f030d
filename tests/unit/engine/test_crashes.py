"""Power fails at every instant; `cleanup` is killed after every crash; and `setup` is killed on a bare host.

What a command reported survives a power failure that comes at once. What it did not report has happened
as a whole or not at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from bocker.core.errors import BockerError
from bocker.engine.setup import undo
from bocker.fakes import FakeKernel, files
from bocker.fakes.faults import Call, Gate, Moment, Moments
from bocker.fakes.state import HOST, State
from tests.unit.crashes import SEED, Crashes, Point, as_machine
from tests.unit.engine.bench import Bench
from tests.unit.images.bench import ImageBench
from tests.unit.images.test_crashes import COMMANDS, NAMES, crashes_of
from tests.unit.images.test_crashes import command as command_of

pytestmark = pytest.mark.sweep

SEVERAL = frozenset({"load", "save", "push", "prune", "cleanup"})  # they do one thing after the other
# What these report is no promise to the disk: a container that ran, and that something is gone.
PASSING = frozenset({"run", "run --name", "rm container", "rm image", "rmi", "prune", "stop", "cleanup", "ps"})
# Archives are the person's, who may sync them; where a name is noted is found again by asking all.
NO_PROMISE = (".meta/names/", "host /out.tar", "host /web.tar")
NAMES_ONLY = (False, True)
OTHERS = 1  # command after each command, in the usual run
TAG_ANOTHER = command_of("tag another", lambda bench: bench.tag("base", "another:1"))  # syncs the folder of all tags


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


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SEVERAL])
def test_what_two_commands_reported_survives_a_power_failure(name: str, request: pytest.FixtureRequest) -> None:
    """What the second one syncs of a folder must not take what the first one left there along, empty."""
    crashes = crashes_of(name)
    chance, tried = random.Random(SEED), 0
    others = [one for one in COMMANDS if one.name not in SEVERAL]
    if request.config.getoption("--crashes") != "all":
        others = chance.sample(others, OTHERS)
    for other in (TAG_ANOTHER, *others):
        expected: list[str] = []
        for names in (None, *NAMES_ONLY):
            crashes.again(Gate())
            ended = [crashes.attempted(one) for one in (crashes.command, other)]
            if names is None:
                crashes.recover()
                expected = held(crashes)
                continue
            power_fails(crashes, names)
            found = held(crashes)
            what = f"{name}, then {other.name}: {ended}, names: {names}"
            if PASSING.isdisjoint((name, other.name)):
                assert found == expected, what + told(found, expected)
            assert crashes.repeats(), what
            tried += 1
    print(f"{name}: {tried} power failures")


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


# A host on which nothing is set up


class Hosts:
    """A host on which `setup` was killed at every instant, and then perhaps `setup --undo`."""

    def __init__(self) -> None:
        self.bench = Bench(ready=False)
        self.bench.world.sync()
        self.instants = 0
        self.start = self.bench.world.state
        self.bare = self.holds()
        self.points = self.moments(self.start, self.set_up)
        self.at(self.start)
        self.set_up()
        self.ready = self.holds()
        self.ready_state = self.bench.world.state
        self.undoing = self.moments(self.ready_state, self.take_back)

    def set_up(self) -> object:
        return self.bench.setup(size_bytes=1 << 30)

    def take_back(self) -> object:
        return undo(self.bench.kernel, self.bench.settings, delete_data=True)

    def at(self, state: State) -> None:
        """Put a machine in the place of the one that is there, with no program on it but a new one."""
        self.bench.world.state = state
        for row in tuple(state.processes.values()):
            self.bench.world.kill_program(FakeKernel(self.bench.world, self.bench.settings, row.pid, Gate()))
        self.bench.world.kernels.clear()
        self.bench.kernel = self.bench.program()

    def moments(self, state: State, act: Callable[[], object]) -> list[Moment]:
        self.at(state)
        gate = Moments(lambda: self.bench.world.state)
        self.bench.kernel.gate = gate
        act()
        instants = list(gate.all())
        self.instants += len(instants)
        return [one for one, other in zip(instants, [None, *instants], strict=False) if is_new(one, other)]

    def holds(self) -> list[str]:
        world = self.bench.world
        host = [path for path in ("/var/bocker", "/var/lib/bocker", "/run/bocker") if world.entry(path)]
        return [*self.bench.traces(), *host, world.state.sysctls["net.ipv4.ip_forward"]]


@pytest.fixture(scope="module")
def hosts() -> Hosts:
    return Hosts()


def test_setup_killed_at_any_instant_is_made_or_taken_back(hosts: Hosts) -> None:
    for moment in (*hosts.points, *hosts.undoing):
        hosts.at(moment.state)
        hosts.set_up()
        assert hosts.holds() == hosts.ready, f"{moment.place} {moment.number} {moment.call}"
        assert hosts.bench.setup() == ()
        assert hosts.bench.add_image(tag="app")
        assert hosts.bench.run("probe", "echo", "hi", image="app").code == 0
        hosts.at(moment.state)
        hosts.take_back()
        assert hosts.holds() == hosts.bare, f"{moment.place} {moment.number} {moment.call}"
    print(f"setup: {len(hosts.points)} machines, setup --undo: {len(hosts.undoing)} machines")


def test_setup_and_then_undo_killed_is_taken_back(hosts: Hosts) -> None:
    tried = 0
    for moment in hosts.points:
        for later in hosts.moments(moment.state, hosts.take_back):
            hosts.at(later.state)
            hosts.take_back()
            assert hosts.holds() == hosts.bare, f"{moment.number} {moment.call}, then {later.number} {later.call}"
            tried += 1
    print(f"setup and setup --undo: {hosts.instants} instants, {tried} pairs of machines")


def test_every_command_on_a_host_that_is_half_set_up_says_why_not_or_works(hosts: Hosts) -> None:
    for moment in hosts.points:
        for command in COMMANDS:
            if command.name in {"exec", "setup"}:
                continue
            hosts.at(moment.state)
            bench = ImageBench.__new__(ImageBench)
            bench.__dict__.update(hosts.bench.__dict__)
            bench.registry, bench.remote = crashes_of("pull").bench.registry, crashes_of("pull").bench.remote  # type: ignore[attr-defined]
            try:
                command.act(bench)
            except BockerError:
                pass
            hosts.at(bench.world.state)
            hosts.set_up()
            assert hosts.bench.cleanup() == ()


def test_a_host_loses_power_while_it_is_set_up(hosts: Hosts) -> None:
    for moment in hosts.points:
        for names in NAMES_ONLY:
            hosts.at(moment.state)
            hosts.bench.world.lose_power(names)
            hosts.bench.kernel = hosts.bench.program()
            hosts.set_up()
            assert set(hosts.holds()) - set(hosts.ready) == set(), f"{moment.number} {moment.call} {names}"


# Two crashes in a row


MAIN = ("run", "run --name", "commit", "commit onto", "pull", "rm container", "rm image", "init", "prune", "load")


@pytest.mark.parametrize("name", MAIN)
def test_cleanup_killed_after_any_crash(name: str, request: pytest.FixtureRequest) -> None:
    """At every instant of it; then `cleanup` again does what the first one would have done."""
    crashes = crashes_of(name)
    tried = killed = 0
    chance = random.Random(SEED)
    for point in crashes.points:
        crashes.crash(point)
        moments = Moments(lambda: crashes.bench.world.state)
        crashes.bench.kernel.gate = moments
        crashes.bench.cleanup()
        cleaned = crashes.holdings()
        instants = list(moments.all())
        killed += len(instants)
        different = [one for one, other in zip(instants, [None, *instants], strict=False) if is_new(one, other)]
        if request.config.getoption("--crashes") != "all":
            different = chance.sample(different, min(3, len(different)))
        for moment in different:
            crashes.crash(Point(moment, point.registry))
            crashes.bench.cleanup()
            assert crashes.holdings() == cleaned, f"{point}, then cleanup {moment.place} {moment.number} {moment.call}"
            tried += 1
    print(f"{name}: {killed} pairs of instants, {tried} machines")


def is_new(moment: Moment, other: Moment | None) -> bool:
    """Tell whether the machine is another one than at the instant before."""
    return other is None or as_machine(moment.state) != as_machine(other.state)


@pytest.mark.parametrize("name", MAIN)
def test_another_command_killed_after_a_crash(name: str, request: pytest.FixtureRequest) -> None:
    """By chance: then `cleanup` leaves what both, one of them or none did."""
    crashes = crashes_of(name)
    chance = random.Random(SEED)
    for _ in range(400 if request.config.getoption("--crashes") == "all" else 12):
        point, other = chance.choice(crashes.points), chance.choice([one for one in COMMANDS if one.name in MAIN])
        crashes.crash(point)
        moments = Moments(lambda: crashes.bench.world.state)
        crashes.bench.kernel.gate = moments
        crashes.attempted(other)
        moment = chance.choice(list(moments.all()))
        crashes.crash(Point(moment, point.registry))
        crashes.bench.cleanup()
        found = crashes.holdings()
        allowed = [list(crashes.reference(other, happened).holds) for happened in (False, True)]
        allowed += [crashes.before, crashes.done]
        several = {name, other.name} & SEVERAL
        between = set.intersection(*map(set, allowed)) <= set(found) <= set.union(*map(set, allowed))
        assert between if several else found in allowed, f"{point}, then {other.name} {moment.place} {moment.call}"
        assert crashes.repeats()

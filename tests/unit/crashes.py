"""One command killed at every instant, and what another one, and `cleanup`, find then.

A command has happened or not: so whatever comes after its crash must do what it would have done in
one of these two worlds. `Crashes` has both, and the machine of every instant.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator

import attrs

from bocker.core.errors import BockerError
from bocker.fakes import Crashed, FakeKernel, World
from bocker.fakes.faults import Gate, Moment, Moments
from bocker.fakes.state import State
from tests.unit.engine.test_sweep import Command, ended, holdings
from tests.unit.images.bench import ImageBench
from tests.unit.images.test_sweep import DOWNLOADS, ImageSweep

SEED = 20261121
HOST_FILES = ("/out.tar", "/flat.tar", "/root/.docker/config.json")
CREDENTIALS = HOST_FILES[-1]
OK = "ok"
MOST_LINES = 24
_TAGS = re.compile(r"^image (\S+) \(([^)]*?),?\)")


@attrs.frozen
class Outcome:
    """How a command ended, and what the machine held when it was cleaned up."""

    ended: str
    holds: tuple[str, ...]


@attrs.frozen
class Point:
    """An instant at which a program was killed, and the registry at that instant."""

    moment: Moment
    registry: dict[str, object]

    def __str__(self) -> str:
        call = self.moment.call
        return f"{self.moment.place} call {self.moment.number}, {call.operation} {call.subject}"


class Crashes(ImageSweep):
    """A command, the two outcomes that it may have, and the machine at every instant of it."""

    def __init__(self, command: Command) -> None:
        super().__init__(command)
        self.points, self.instants = self._points()
        self._references: dict[tuple[str, bool], Outcome] = {}

    def _points(self) -> tuple[list[Point], int]:
        """Return the points at which the machine differs from the one before, and how many instants there were."""
        bench = self.bench
        assert isinstance(bench, ImageBench)
        registries: list[dict[str, object]] = []

        def look() -> State:
            registries.append(copy.deepcopy(bench.registry.__dict__))
            return bench.world.state

        moments = Moments(look)
        self.again(moments)
        self.command.act(bench)
        self.calls_made = len(moments.calls)
        instants = list(moments.all())
        found: list[Point] = []
        for moment in instants:
            if not found or as_machine(found[-1].moment.state) != as_machine(moment.state):
                found.append(Point(moment, registries[2 * (moment.number - 1) + (moment.place != "before")]))
        return found, len(instants)

    def crash(self, point: Point) -> None:
        """Let the machine be as it was at an instant, and all programs dead."""
        self.machine(point.moment.state, point.registry)
        for kernel in self.programs():
            self.bench.world.kill_program(kernel)
        self.bench.kernel = self.bench.program()

    def machine(self, state: State, registry: dict[str, object]) -> None:
        """Put a machine in the place of the one that is there."""
        bench = self.bench
        assert isinstance(bench, ImageBench)
        bench.world.state = state
        bench.world.kernels.clear()
        bench.world.journal.clear()
        bench.registry.__dict__.update(copy.deepcopy(registry))

    def programs(self) -> list[FakeKernel]:
        """Return bocker's programs that run on the machine."""
        rows = [row for row in self.bench.world.state.processes.values() if row.spec is None]
        return [FakeKernel(self.bench.world, self.bench.settings, row.pid, Gate()) for row in rows]

    def then(self, command: Command) -> Outcome:
        """Give another command, clean up, and tell how that was."""
        how = self.attempted(command)
        self.recover()
        return Outcome(how, tuple(self.holdings()))

    def attempted(self, command: Command) -> str:
        """Give a command; return `OK` or the class of its error."""
        try:
            command.act(self.bench)
        except (BockerError, Crashed) as error:
            return type(error).__name__
        return OK

    def reference(self, command: Command, happened: bool) -> Outcome:
        """Return what another command does after this one, or in its place."""
        key = (command.name, happened)
        if key not in self._references:
            self.again(Gate())
            if happened:
                self.command.act(self.bench)
                self.bench.world.kill_program(self.bench.kernel)
                self.bench.kernel = self.bench.program()
            self._references[key] = self.then(command)
        return self._references[key]

    def holdings(self) -> list[str]:
        lines = [line for line in holdings(self.bench, self.known) if not any(word in line for word in DOWNLOADS)]
        world = self.bench.world
        lines = [_TAGS.sub(lambda found: f"image {found[1]} {sorted(found[2].split(', '))}", line) for line in lines]
        kept = world.entry(CREDENTIALS)
        credentials = [] if kept is None else [f"credentials {kept.content!r}"]
        return sorted([*ended(lines), *host_files(world), *credentials])

    def repeats(self) -> bool:
        """Tell whether `cleanup` finds nothing any more."""
        before = self.holdings()
        return self.bench.cleanup() == () and self.holdings() == before


def host_files(world: World) -> list[str]:
    """Return a line for each file that commands here leave outside of the store."""
    return [f"host {path}" for path in HOST_FILES if world.entry(path) is not None]


def as_machine(state: State) -> State:
    """Return a state without what only counts: two such states are the same machine."""
    return attrs.evolve(state, clock_ns=0, serial=0, last_pid=0)


def sampled(pairs: list[tuple[Point, Command]], crashes: str, number: int) -> Iterator[tuple[Point, Command]]:
    """Give all pairs, or so many by chance with a fixed seed: `--crashes`."""
    if crashes == "all" or len(pairs) <= number:
        yield from pairs
    else:
        yield from random.Random(SEED).sample(pairs, number)


def differences(found: Outcome, allowed: list[Outcome]) -> str:
    """Return what is not as it may be, for a person."""
    lines = [f"it ended with {found.ended}, allowed: {[one.ended for one in allowed]}"]
    for number, one in enumerate(allowed):
        lines += [f"{number} + {line}" for line in found.holds if line not in one.holds][:MOST_LINES]
        lines += [f"{number} - {line}" for line in one.holds if line not in found.holds][:MOST_LINES]
    return "\n".join(lines)

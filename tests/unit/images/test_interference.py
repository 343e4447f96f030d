"""Somebody interferes at any call of any command: what that command says, and what `cleanup` finds then.

The interferences, and what "survived" means, are those of `bocker.fakes.interference`. A container runs
meanwhile, whose engine goes on afterwards.

By default some of them at some calls, by chance with a fixed seed; `--interference all` tries each at every call,
`--interference 5` at each fifth.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache

import attrs
import pytest

from bocker.cli.output import error_line
from bocker.core.errors import BockerError
from bocker.core.ids import ContainerId, ImageId
from bocker.core.words import printable
from bocker.engine import resolve, store
from bocker.fakes.faults import Gate, Meanwhile, Recorder
from tests.unit.crashes import SEED
from tests.unit.engine.bench import Bench, Screen
from tests.unit.engine.test_sweep import Command, ids_of
from tests.unit.images import soundness
from tests.unit.images.bench import ImageBench
from tests.unit.images.test_crashes import COMMANDS as OTHERS
from tests.unit.images.test_crashes import command
from tests.unit.images.test_sweep import ImageSweep
from tests.unit.interferences import INTERFERENCES, Interference

pytestmark = pytest.mark.sweep

LIVE = "live2"
NOBODY = ""  # there was nothing of that kind
OTHER_STORE = "store /var/lib/"  # that `setup` made while the person's own was not mounted
LONGEST_LINE = 400
INTERFERENCES_OF_EACH, CALLS_OF_EACH = 5, 2  # in the usual run, of each command
_ENDED = re.compile(r"container (\S+) (?:exited|dead) \S+ (\S+) .*")
_TAGS = re.compile(r"^image (\S+) \(([^)]*?),?\)")

COMMANDS = [
    *(one for one in OTHERS if one.name != "exec"),
    command("exec", lambda bench: bench.execute(LIVE, "probe", "echo", "hi")),
]
NAMES = [one.name for one in COMMANDS]


@attrs.define
class Story:
    """What happened: how the command ended, how the engine that was at work did, and what was left."""

    victim: str = NOBODY
    error: BockerError | None = None
    owners_error: BockerError | None = None
    owners_notices: list[str] = attrs.field(factory=list)
    first_cleanup: BockerError | None = None
    holds: frozenset[str] = frozenset()
    again: tuple[str, ...] = ()
    holds_again: frozenset[str] = frozenset()


class Interferences(ImageSweep):
    """A command, and its calls, while a container runs."""

    def __init__(self, command: Command) -> None:
        self.registry = None
        self.command = command
        self.bench = command.before()
        self.known = ids_of(self.bench)
        self.start = self.bench.world.state
        recorder = Recorder()
        self.again(recorder)
        self._meanwhile(lambda: command.act(self.bench), Story())
        self.calls = list(recorder.calls)
        self.before = self.story(lambda: None).holds
        self.done = self.story(lambda: command.act(self.bench)).holds
        self._references: dict[tuple[str, str], tuple[frozenset[str], frozenset[str]]] = {}

    def story(
        self, act: Callable[[], object], mend: Callable[[Bench], object] = lambda bench: None, gate: Gate | None = None
    ) -> Story:
        """Do something while a container runs, let that end, clean up, put right what only a person can, clean up."""
        self.again(gate or Gate())
        told = Story()
        self._meanwhile(act, told)
        self._new_program()
        try:
            self.bench.cleanup()
        except BockerError as error:
            told.first_cleanup = error
        mend(self.bench)
        self._new_program()
        self.bench.cleanup()
        told.holds = self._held()
        told.again = self.bench.cleanup()
        told.holds_again = self._held()
        return told

    def attempt_at(self, number: int, interference: Interference) -> Story:
        """Give the command; somebody interferes right before call `number`."""
        victims: list[str] = []

        def intrude() -> None:
            victim = interference.victim(self.bench)
            if victim is not None:
                victims.append(victim)
                interference.act(self.bench, victim)

        told = self.story(lambda: self.command.act(self.bench), interference.mend, Meanwhile(number, intrude))
        told.victim = victims[0] if victims else NOBODY
        return told

    def references(self, interference: Interference, victim: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return what is held when somebody interferes and the command is not given, and when it was given before."""
        key = (interference.name, victim)
        if key not in self._references:

            def afterwards() -> None:
                self.command.act(self.bench)
                interference.act(self.bench, victim)

            self._references[key] = (
                self.story(lambda: interference.act(self.bench, victim), interference.mend).holds,
                self.story(afterwards, interference.mend).holds,
            )
        return self._references[key]

    def _meanwhile(self, act: Callable[[], object], told: Story) -> None:
        """Act while a container runs in another terminal."""

        def now(data: bytes) -> None:
            if data == b"up\n":
                try:
                    act()
                except BockerError as error:
                    told.error = error

        screen = Screen(now)
        owner = self.bench.in_another_terminal()
        try:
            owner.run("probe", "echo", "up", ",", "sleep", "5", name=LIVE, screen=screen)
        except BockerError as error:
            told.owners_error = error
        told.owners_notices = screen.notices
        self.bench.world.kill_program(owner.kernel)

    def _new_program(self) -> None:
        self.bench.world.kill_program(self.bench.kernel)
        self.bench.kernel = self.bench.program()

    def _held(self) -> frozenset[str]:
        lines = (line for line in self.holdings() if not line.startswith(OTHER_STORE))
        lines = (_ENDED.sub(r"container \1 ended \2", line) for line in lines)
        return frozenset(one for line in lines for one in _apart(line))


def _apart(line: str) -> list[str]:
    """Return an image's line as one for it, and one for each of its tags."""
    found = _TAGS.match(line)
    if found is None:
        return [line]
    return [f"image {found[1]}{line[found.end() :]}", *(f"tag {tag} of {found[1]}" for tag in found[2].split(", "))]


@cache
def commands_sweep(name: str) -> Interferences:
    return Interferences(COMMANDS[NAMES.index(name)])


@pytest.mark.parametrize("name", NAMES)
def test_somebody_interferes(name: str, request: pytest.FixtureRequest) -> None:
    sweep = commands_sweep(name)
    tried = 0
    for interference, number in chosen(name, len(sweep.calls), request.config.getoption("--interference")):
        where = f"{interference.name} before call {number} of {name}, {sweep.calls[number - 1]}"
        check(sweep, interference, sweep.attempt_at(number, interference), where)
        tried += 1
    print(f"{name}: {len(sweep.calls)} calls, {tried} interferences")


def chosen(name: str, calls: int, option: str) -> Iterator[tuple[Interference, int]]:
    """Give who interferes before which call of a command."""
    chance = random.Random(f"{SEED} {name}")
    if option == "some":
        for interference in chance.sample(INTERFERENCES, INTERFERENCES_OF_EACH):
            yield from (
                (interference, number) for number in chance.sample(range(1, calls + 1), min(CALLS_OF_EACH, calls))
            )
        return
    stride = 1 if option == "all" else int(option)
    for offset, interference in enumerate(INTERFERENCES):
        yield from ((interference, number) for number in range(1 + offset % stride, calls + 1, stride))


def check(sweep: Interferences, interference: Interference, told: Story, where: str) -> None:
    """See that it was survived."""
    for error in (told.error, told.owners_error, told.first_cleanup):
        assert error is None or is_for_people(error), f"{where}: {error!r}"
    alone, afterwards = sweep.references(interference, told.victim)
    allowed = [sweep.before, sweep.done, alone, afterwards]
    lost = frozenset.intersection(*allowed) - told.holds
    strange = told.holds - frozenset.union(*allowed)
    untrue = (sweep.done & afterwards) - told.holds if told.error is None else frozenset()
    undone = told.holds & (sweep.before - sweep.done - afterwards) if told.error is None else frozenset()
    undone -= {line for line in undone if not gets_its_tag(line, sweep.done, told.holds)}
    assert not lost | strange | untrue | undone, "\n".join(
        [
            f"{where}: {told.error!r} {told.owners_error!r} {told.first_cleanup!r} {told.owners_notices}",
            *(f"lost: {line}" for line in sorted(lost)),
            *(f"strange: {line}" for line in sorted(strange)),
            *(f"reported: {line}" for line in sorted(untrue)),
            *(f"reported to be gone: {line}" for line in sorted(undone)),
        ]
    )
    assert (told.again, told.holds_again) == ((), told.holds), f"{where}: cleanup did more the second time"
    assert soundness.leftovers(sweep.bench) + unlisted(sweep.bench) == [], where
    assert runs(sweep.bench), where


def gets_its_tag(line: str, done: frozenset[str], holds: frozenset[str]) -> bool:
    """Tell whether what a tag was moved to still has it; where somebody took it from there, it may be as it was."""
    tag = line.partition(" of ")[0]
    return not line.startswith("tag ") or {one for one in done if one.partition(" of ")[0] == tag} <= holds


def unlisted(bench: Bench) -> list[str]:
    """Return the containers and images that are there and that no list shows, and names that lead nowhere."""
    kernel = bench.program()
    known = {*bench.ps(), *bench.images()}
    names = kernel.storage.names()
    found = [
        str(one) for kind in (ContainerId, ImageId) for one in store.ids_among(names, kind) if str(one) not in known
    ]
    named = {record.name: record.id for record in bench.records() if record.name is not None}
    return found + [name for name in named if resolve.named(kernel, name) is None]


def is_for_people(error: BockerError) -> bool:
    """Tell whether an error is one line that can be read."""
    line = error_line(error)
    return line == printable(line) and "\n" not in line and len(line) <= LONGEST_LINE and "Error(" not in line


def runs(bench: ImageBench) -> bool:
    """Tell whether a fresh container runs."""
    if not any("base" in tags for tags in bench.images().values()):
        bench.add_image(tag="base")
    return bench.run("probe", "echo", "hi").out == b"hi\n"

"""Commands that meet on one machine, call by call, and what may come of it.

A `Stage` has a host on which every command finds something to do and has reason to meet every other one: the
same names, the same images, a container `up` that runs in a terminal of its own where one of them needs that.

What is right is told by the commands one after the other (`Stage.allowed`): the machine in the end is the one
that some of them leave in some order, and those that are not among them said why not, with a clear word.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, permutations

import attrs

from bocker.core.errors import BockerError, NotRunning, OperationFailed, RemovedMeanwhile
from bocker.core.model import ContainerRecord, ImageTags
from bocker.core.spec import ContainerSpec
from bocker.engine import listing, removal, stop, store
from bocker.engine.listing import ImageSummary
from bocker.engine.removal import MovedMeanwhile
from bocker.fakes import NotModelled, files
from bocker.fakes.state import RUNNING, State
from bocker.images.accounts import login, logout
from bocker.images.errors import AtWork
from bocker.images.flat import ImportRequest, export, import_archive
from bocker.images.history import history
from bocker.images.prune import Sought, prune
from bocker.images.space import usages
from bocker.registry.credentials import Credentials
from bocker.registry.endpoints import Registries
from tests.unit.crashes import host_files
from tests.unit.engine.test_sweep import crash, holdings, ids_of, of_themselves
from tests.unit.images.bench import HOME, HOST, ImageBench
from tests.unit.images.soundness import Ancestry, complaints, leftovers
from tests.unit.images.test_crashes import everything, inspected
from tests.unit.images.test_sweep import loaded, pruned, saved, untagged
from tests.unit.interleaving import ALL, TO_ITS_END, Deadlock, Interleaving, Program, Schedule

Act = Callable[[ImageBench], object]
SECOND = f"{HOST}/app:1"
MINE = f"{HOST}/mine:1"
DOWNLOADS = (".meta/blobs", ".meta/drafts", "transfer ")  # of an image that is gone they are no matter


def removed(bench: ImageBench, reference: str, force: bool = False) -> str | None:
    (one,) = removal.remove(bench.kernel, bench.settings, (reference,), force)
    if one.error is not None:
        raise one.error
    return one.removed


def stopped(bench: ImageBench, reference: str) -> None:
    (one,) = stop.stop(bench.kernel, bench.settings, (reference,))
    if one.error is not None:
        raise one.error


def pruned_all(bench: ImageBench) -> None:
    done = prune(bench.kernel, bench.settings, Sought(everything=True, containers=True, downloads=True))
    if done.errors:
        raise done.errors[0]


def ran(bench: ImageBench, image: str, **options: object) -> None:
    assert bench.run("probe", "echo", "hi", image=image, **options).out == b"hi\n"


def ran_as_it_says(bench: ImageBench, image: str, *outputs: bytes) -> None:
    """Run what an image says, on its own files: `outputs` are what it prints, as it was and as it will be."""
    try:
        assert bench.run(image=image).out in outputs
    except NotModelled:
        return  # `sh`: what the image of that name in the archive says


def up(bench: ImageBench) -> object:
    """Run a container that ends when it is told to, or after a second."""
    return bench.run("probe", "trap", "15", "0", ",", "echo", "up", ",", "sleep", "1", name="up")


COMMANDS: dict[str, Act] = {
    "setup": lambda bench: bench.setup(),
    "init": lambda bench: bench.add_image(tag="made"),
    "init onto": lambda bench: bench.add_image(tag="old"),
    "run": lambda bench: ran(bench, "old"),
    "run old": lambda bench: ran_as_it_says(bench, "old", b"data", b"base\n"),
    "run mine": lambda bench: ran_as_it_says(bench, MINE, b"x"),
    "run --rm": lambda bench: ran(bench, "base", remove_on_exit=True),
    "run --name": lambda bench: ran(bench, "base", name="db"),
    "exec": lambda bench: bench.execute("up", "probe", "echo", "hi"),
    "stop": lambda bench: stopped(bench, "up"),
    "logs -f": lambda bench: bench.logs("up", follow=True),
    "rm -f": lambda bench: removed(bench, "up", force=True),
    "logs": lambda bench: bench.logs("web"),
    "ps": lambda bench: listing.containers(bench.kernel, bench.settings),
    "images": lambda bench: listing.images(bench.kernel, bench.settings),
    "inspect": lambda bench: inspected(bench, "web", "old"),
    "inspect up": lambda bench: inspected(bench, "up"),
    "history": lambda bench: history(bench.kernel, bench.settings, "old"),
    "df": lambda bench: usages(bench.kernel, bench.settings),
    "commit": lambda bench: bench.commit("web", "new"),
    "commit onto": lambda bench: bench.commit("web", "old"),
    "rm container": lambda bench: removed(bench, "web"),
    "rm image": lambda bench: removed(bench, "old"),
    "rmi": lambda bench: untagged(bench, "second:2"),
    "rmi last": lambda bench: untagged(bench, MINE),
    "tag": lambda bench: bench.tag("base", "second:2"),
    "cleanup": lambda bench: bench.cleanup(),
    "pull": lambda bench: bench.pull("app:1"),
    "push": lambda bench: bench.push(MINE, "mine:1"),
    "save": saved,
    "load": loaded,
    "export": lambda bench: export(bench.kernel, bench.settings, "web", "/web.tar"),
    "import": lambda bench: import_archive(bench.kernel, bench.settings, ImportRequest("/flat.tar", "flat:1")),
    "prune": pruned,
    "prune all": pruned_all,
    "login": lambda bench: login(bench.kernel, HOME, Registries(), HOST, Credentials("jo", "secret")),
    "logout": lambda bench: logout(bench.kernel, HOME, HOST),
}
NAMES = list(COMMANDS)
LIVE = frozenset({"exec", "stop", "logs -f", "rm -f", "inspect up"})  # they need the container `up`
UNTAGGED = re.compile(r"image img_NEW \(\) \S+")
COLLECTED = ("Removed: layer_", "Removed: the record of content")
SEVERAL = frozenset({"prune", "prune all", "cleanup", "load"})
ABOUT_UP = ("exec", "stop", "logs -f", "rm -f", "ps", "inspect up", "run --name", "cleanup", "prune all", "df")
Names = tuple[str, ...]


Holds = tuple[str, ...]


@attrs.frozen
class Ending:
    """Which commands succeeded, in alphabetical order, and what the machine held then."""

    succeeded: tuple[bool, ...]
    holds: Holds


@attrs.frozen
class Allowed:
    """How some commands may end."""

    endings: frozenset[Ending]
    may_fail: frozenset[str]  # in some order of all

    def has(self, names: Names, ending: Ending) -> bool:
        """Tell whether it may end so. What does several things may do each before or after another command; of two
        new images of the same name one has it, where the second commit did not find the first to replace it."""
        if names.count("commit") > 1:
            ending = Ending(ending.succeeded, tuple(line for line in ending.holds if not UNTAGGED.fullmatch(line)))
            return any({*ending.holds} == {*one.holds} for one in self.endings)
        if not SEVERAL & {*names}:
            return ending in self.endings
        held = [{*one.holds} for one in self.endings]
        in_between = set.intersection(*held) <= {*ending.holds} <= set.union(*held)
        return in_between and ending.succeeded in {one.succeeded for one in self.endings}

    def nearest(self, ending: Ending) -> Iterator[str]:
        """Give what is not as in the ending that is most like it."""
        found = Counter(ending.holds)
        alike = [one for one in self.endings if one.succeeded == ending.succeeded] or self.endings
        best = min((Counter(one.holds) for one in alike), key=lambda one: len(one - found) + len(found - one))
        yield f"succeeded: {ending.succeeded}, allowed: {sorted({one.succeeded for one in self.endings})}"
        yield from (f"+ {line}" for line in found - best)
        yield from (f"- {line}" for line in best - found)


@attrs.frozen
class Meeting:
    """What happened: the programs of the commands, which succeeded, and the machine as they left it."""

    together: Interleaving
    programs: tuple[Program, ...]
    succeeded: tuple[bool, ...]
    last: State
    holds: Holds


class Stage:
    """One machine, again and again from its beginning. orphan: the engine of the container `up` was killed."""

    def __init__(self, orphan: bool = False) -> None:
        self.orphan = orphan
        self.bench = everything()
        self.bench.cleanup()
        self.bench.configure("base", command=("probe", "echo", "base"))
        self.bench.configure("old", command=("probe", "read", "/etc/mine"))
        self.bench.configure(MINE, command=("probe", "read", "/own"))
        if orphan:
            crash(self.bench, up, "processes.next_event")
        self.bench.world.settle()
        self.bench.world.sync()
        self.start = self.bench.world.state
        self.known = ids_of(self.bench)
        self.ancestry = Ancestry()
        self.ancestry.look(self.bench.program())
        self.registry = copy.deepcopy(self.bench.registry.__dict__)
        self._allowed: dict[Names, Allowed] = {}
        self._fine: set[tuple[Names, Ending]] = set()

    def again(self) -> None:
        """Let the machine be as it was in the beginning."""
        world = self.bench.world
        world.state = self.start
        world.kernels.clear()
        world.journal.clear()
        self.bench.registry.__dict__.update(copy.deepcopy(self.registry))

    def meet(self, names: Names, schedule: Schedule) -> Meeting:
        """Let commands meet by a schedule. Raise Deadlock."""
        together, programs = self._together(names, schedule, self.needs_up(names))
        together.play()
        return self._met(together, programs)

    def _together(self, names: Names, schedule: Schedule, live: bool) -> tuple[Interleaving, tuple[Program, ...]]:
        self.again()
        together = Interleaving(self.bench.world, (((len(names), ALL),) if live else ()) + schedule)
        programs = tuple(self._add(together, COMMANDS[name]) for name in names)
        if live:
            self._add(together, up)
        return together, programs

    def _add(self, together: Interleaving, act: Act) -> Program:
        bench = self.bench.in_another_terminal()
        return together.add(bench.kernel, lambda: act(bench))

    def needs_up(self, names: Names) -> bool:
        """Tell whether a container has to run in another terminal."""
        return not self.orphan and bool(LIVE & {*names})

    def _met(self, together: Interleaving, programs: tuple[Program, ...]) -> Meeting:
        last = self.bench.world.state
        return Meeting(together, programs, tuple(program.error is None for program in programs), last, self.holds())

    def holds(self) -> Holds:
        """Return what the machine holds, but for downloads."""
        lines = of_themselves(holdings(self.bench, self.known))
        lines = [line for line in lines if not any(word in line for word in DOWNLOADS)]
        return (*lines, *host_files(self.bench.world))

    def allowed(self, names: Names) -> Allowed:
        """Return how it may end: some of the commands in some order, the others as if they had not been given."""
        key = tuple(sorted(names))
        if key not in self._allowed:
            orders = {order for size in range(len(key) + 1) for order in permutations(key, size)}
            ends = {order: tuple(self._serial(key, order)) for order in orders}
            failed = {name for order, (end, _) in ends.items() for name in _failed(key, end) if len(order) == len(key)}
            self._allowed[key] = Allowed(frozenset(chain.from_iterable(ends.values())), frozenset(failed))
        return self._allowed[key]

    def _serial(self, names: Names, order: Names) -> Iterator[Ending]:
        """Let some of the commands run one after the other; give the end, and that after `cleanup`."""
        serial = tuple((one, TO_ITS_END) for one in range(len(order)))
        together, programs = self._together(order, serial, self.needs_up(names))
        together.play()
        met = self._met(together, programs)
        succeeded = [name for name, went in zip(order, met.succeeded, strict=True) if went]
        flags = tuple(_taken(succeeded, name) for name in names)
        yield Ending(flags, met.holds)
        self.bench.in_another_terminal().cleanup()
        yield Ending(flags, self.holds())

    def wrong(self, names: Names, schedule: Schedule) -> list[str]:
        """Return what is not as it should be when the commands meet by a schedule."""
        try:
            return self.judged(names, self.meet(names, schedule))
        except Deadlock as error:
            return [str(error)]

    def judged(self, names: Names, met: Meeting) -> list[str]:
        """Return what is not as it should be after a meeting. How a machine is cleaned up is tried once for each."""
        allowed = self.allowed(names)
        self.bench.world.state = met.last  # which was another one, if these have met for the first time
        found = [*unclear(met), *same_addresses(met), *half_seen(names, met), *self._without_reason(names, met)]
        ending = _sorted(names, met)
        if found or (names, ending) in self._fine:
            return found
        is_allowed = allowed.has(names, ending)
        found = self._left_over(names)
        if not is_allowed:
            settled = Ending(ending.succeeded, self.holds())
            if not allowed.has(names, settled):
                found = ["no order of them ends like this", *allowed.nearest(settled), *found]
        if not found:
            self._fine.add((names, ending))
        return found

    def _without_reason(self, names: Names, met: Meeting) -> Iterator[str]:
        """Give the commands that failed, and fail in no order."""
        for name, program in zip(names, met.programs, strict=True):
            reasons = (AtWork, MovedMeanwhile, RemovedMeanwhile, *((NotRunning,) if name in LIVE else ()))
            excused = isinstance(program.error, reasons)
            if program.error is not None and not excused and name not in self.allowed(names).may_fail:
                yield f"program {program.number} failed for no reason: {program.error!r}"

    def _left_over(self, names: Names) -> list[str]:
        """Return what is broken, and what `cleanup` finds, or leaves, or does when it is called again.

        It may find what nothing is made of any more: nobody collects that while another one works with images,
        or runs a container of it.
        """
        bench = self.bench.in_another_terminal()
        found = complaints(bench, Ancestry(self.ancestry), downloads="prune all" not in names)
        lines = [line for line in bench.cleanup() if not self.orphan and not line.startswith(COLLECTED)]
        found += [f"cleanup found: {line}" for line in lines]
        found += [f"cleanup left: {line}" for line in leftovers(bench)]
        return found + [f"cleanup found later: {line}" for line in bench.cleanup()]


def _failed(names: Names, ending: Ending) -> list[str]:
    return [name for name, went in zip(names, ending.succeeded, strict=True) if not went]


def _taken(words: list[str], word: str) -> bool:
    """Take a word out of a list; tell whether it was there."""
    if word in words:
        words.remove(word)
        return True
    return False


def _sorted(names: Names, met: Meeting) -> Ending:
    """Return an ending as that of the commands in alphabetical order; of the same one twice it is no matter which."""
    pairs = sorted(zip(names, met.succeeded, strict=True), key=lambda pair: (pair[0], not pair[1]))
    return Ending(tuple(went for _, went in pairs), met.holds)


def unclear(met: Meeting) -> list[str]:
    """Return the errors that tell a person nothing: all that is no BockerError, and what only names a call."""
    errors = [(program.number, program.error) for program in met.together.programs if program.error is not None]
    return [
        f"program {number}: {error!r}"
        for number, error in errors
        if not isinstance(error, BockerError) or isinstance(error, OperationFailed) or not error.message
    ]


def same_addresses(met: Meeting) -> Iterator[str]:
    """Give the addresses, links and groups that two containers had at one instant."""
    seen: set[int] = set()
    for state in _machines(met):
        if id(state.processes) not in seen:
            seen.add(id(state.processes))
            rows = [row.spec for row in state.processes.values() if row.first and row.phase == RUNNING]
            specs = [spec for spec in rows if isinstance(spec, ContainerSpec)]
            for taken in ("address", "mac", "host_link"):
                values = [getattr(spec.network, taken) for spec in specs]
                yield from (f"two containers have {taken} {one}" for one in {*values} if values.count(one) > 1)


def half_seen(names: Names, met: Meeting) -> Iterator[str]:
    """Give what a list showed that was not so at any instant, and what it did not show that was always there."""
    for name, program in zip(names, met.programs, strict=True):
        if name in {"ps", "images"} and program.error is None:
            machines = [records(state) for state in _machines(met, program)]
            assert isinstance(program.value, tuple)
            shown = {row.id for row in program.value}
            folder = "containers" if name == "ps" else "images"
            always = frozenset.intersection(*(frozenset(one[folder]) for one in machines))
            yield from (f"{name} did not show {one}" for one in always - shown)
            yield from (f"{name} showed what never was: {row}" for row in program.value if not _was(row, machines))


Records = dict[str, dict[str, bytes]]


def _was(row: ContainerRecord | ImageSummary, machines: list[Records]) -> bool:
    if isinstance(row, ContainerRecord):
        return any(one["containers"].get(row.id) == store.encode(row) for one in machines)
    tags = store.encode(ImageTags(row.id, row.tags))
    return any(one["images"].get(row.id) == tags for one in machines)


def records(state: State) -> Records:
    """Return the records of containers that there are, and of images that are whole."""
    root = files.locate(state, "/var/bocker").place
    tree = state.subvolumes[root.subvolume].files
    found: Records = {"containers": {}, "images": {}}
    for path, entry in tree.items():
        _, _, folder_and_name = path.partition(".meta/")
        folder, _, name = folder_and_name.partition("/")
        if folder in found and name and (folder == "containers" or name in tree):
            found[folder][name] = entry.content
    return found


def _machines(met: Meeting, program: Program | None = None) -> list[State]:
    """Return the machine before each call of a program and of all in between, and after the last one."""
    steps = met.together.steps
    if program is not None:
        own = [number for number, step in enumerate(steps) if step.who == program.number]
        steps = steps[own[0] : own[-1] + 2]
        if own[-1] + 1 < len(met.together.steps):
            return [step.before for step in steps]
    return [*(step.before for step in steps), met.last]

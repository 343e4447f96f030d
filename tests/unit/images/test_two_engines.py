"""Two engines at once: between any two calls of one command another one runs whole, and nothing is broken or lost.

What both leave is what they leave one after the other, in one order or the other; one that can't be done then
says so, and leaves nothing.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

import attrs
import pytest

from bocker.core.errors import BockerError
from bocker.engine.tags import remove_images
from bocker.images.flat import export
from bocker.images.load import LoadRequest, load
from bocker.images.prune import Sought, prune
from bocker.images.save import SaveRequest, save
from tests.unit.images.bench import BASE, HOST, LINUX, MIDDLE, TOP, Diary, ImageBench, archive
from tests.unit.images.engines import Turns
from tests.unit.images.soundness import Ancestry, complaints, leftovers

pytestmark = pytest.mark.sweep

OUT = "/out.tar"
OLD, MINE, ARCHIVED = f"{HOST}/app:0", f"{HOST}/mine:1", f"{HOST}/archived:1"
# Every call of every pair is tried where this is 1: tens of thousands of runs. Usually each so many-th.
STRIDE = int(os.environ.get("BOCKER_STRIDE", "31"))


def busy_host() -> ImageBench:
    """Return a bench with something for every command to do."""
    bench = ImageBench()
    for name, tag, layers in (
        ("app", "0", [BASE, MIDDLE]),
        ("app", "1", [BASE, MIDDLE, TOP]),
        ("other", "1", [BASE, MIDDLE, archive(("other", "1"))]),
        ("lone", "1", [BASE, archive(("lone", "1"))]),
    ):
        bench.registry.put_image(name, tag, layers)
    bench.pull("app:0")
    bench.pull(f"lone@{bench.registry.repository('lone').tags['1']}")
    bench.run("probe", "write", "/own", "x", image=OLD, name="web")
    bench.commit("web", ARCHIVED)
    saved(bench, ARCHIVED, OLD)
    bench.rm(ARCHIVED)
    bench.commit("web", MINE)
    bench.world.settle()
    return bench


def saved(bench: ImageBench, *references: str, path: str = OUT) -> None:
    save(bench.kernel, bench.settings, SaveRequest(references, LINUX, bench.remote, path), Diary())


def untagged(bench: ImageBench, reference: str, force: bool = False) -> None:
    (one,) = remove_images(bench.kernel, bench.settings, (reference,), force)
    if one.error is not None:
        raise one.error


def pruned(bench: ImageBench, sought: Sought) -> None:
    done = prune(bench.kernel, bench.settings, sought)
    if done.errors:
        raise done.errors[0]


def removed(bench: ImageBench, reference: str) -> None:
    (line,) = bench.rm(reference)
    if not line.startswith("Removed"):
        raise BockerError(line)


ALL = Sought(everything=True, containers=True, downloads=True)
COMMANDS: dict[str, Callable[[ImageBench], object]] = {
    "pull": lambda bench: bench.pull("app:1"),
    "pull what shares layers": lambda bench: bench.pull("other:1"),
    "pull what is here": lambda bench: bench.pull("lone:1"),
    "rmi": lambda bench: untagged(bench, OLD),
    "rmi of a commit": lambda bench: untagged(bench, MINE),
    "tag": lambda bench: bench.tag(MINE, f"{HOST}/second:1"),
    "move a tag": lambda bench: bench.tag(OLD, MINE),
    "prune": lambda bench: pruned(bench, Sought()),
    "prune all": lambda bench: pruned(bench, ALL),
    "push": lambda bench: bench.push(MINE, "mine:1"),
    "push what was pulled": lambda bench: bench.push(OLD, "copy:1"),
    "commit": lambda bench: bench.commit("web", f"{HOST}/fresh:1"),
    "commit onto": lambda bench: bench.commit("web", OLD),
    "save": lambda bench: saved(bench, MINE, OLD, path="/other.tar"),
    "load": lambda bench: load(bench.kernel, bench.settings, LoadRequest(OUT, LINUX), Diary()),
    "export": lambda bench: export(bench.kernel, bench.settings, "web", "/flat.tar"),
    "run": lambda bench: bench.run("probe", "exit", "0", image=OLD, remove_on_exit=True),
    "rm": lambda bench: removed(bench, "web"),
    "cleanup": lambda bench: bench.cleanup(),
}


@attrs.frozen
class Ending:
    """What two commands left: whether each succeeded, and the images, by their names and files."""

    succeeded: tuple[bool, bool]
    images: frozenset[tuple[tuple[str, ...], int, frozenset[tuple[str, bytes]]]]

    def __str__(self) -> str:
        rows = sorted((names, count, sorted(path for path, _ in files)[-3:]) for names, count, files in self.images)
        return f"{self.succeeded} {rows}"


class Stage:
    """One machine that two commands meet on, again and again from its beginning."""

    def __init__(self) -> None:
        self.bench = busy_host()
        self.start = self.bench.world.state
        self.ancestry = Ancestry()
        self.ancestry.look(self.bench.program())
        self.registry = copy.deepcopy(self.bench.registry.__dict__)

    def meeting(self, first: str, second: str, number: int) -> tuple[Turns, Ending]:
        """Let the second command run before call `number` of the first; return what both left."""
        self.bench.world.state = self.start
        self.bench.world.kernels.clear()
        self.bench.world.journal.clear()
        self.bench.registry.__dict__.update(copy.deepcopy(self.registry))
        one, two = self.bench.in_another_terminal(), self.bench.in_another_terminal()
        turns = Turns(self.bench.world, (one.kernel, two.kernel))
        turns.play(lambda: COMMANDS[first](one), lambda: COMMANDS[second](two), number)
        return turns, self.ending(turns)

    def ending(self, turns: Turns) -> Ending:
        for outcome in turns.outcomes:
            if outcome is not None and not isinstance(outcome, BockerError):
                raise outcome
        listed = [
            (tags, frozenset(self.bench.tree(image).items()))
            for image, tags in self.bench.in_another_terminal().images().items()
        ]
        rows = frozenset((tuple(sorted(tags)), listed.count((tags, files)), files) for tags, files in listed)
        return Ending((turns.outcomes[0] is None, turns.outcomes[1] is None), rows)

    def judge(self, second: str, downloads: bool) -> None:
        """Raise when anything is broken, or left over after a cleanup."""
        ancestry = Ancestry(self.ancestry)
        bench = self.bench.in_another_terminal()
        assert complaints(bench, ancestry, downloads) == []
        bench.cleanup()
        assert leftovers(bench) == []
        assert bench.cleanup() == ()
        assert complaints(bench, ancestry, downloads) == []
        for image in bench.images():
            saved(bench, image, path="/judged.tar")


def in_between(first: str, second: str, endings: list[Ending]) -> list[Ending]:
    """Return what else is right, which neither order gives."""
    (both, _, _, _, neither) = endings
    if "prune all" in {first, second} and {"run", "rm"} & {first, second}:  # what a container was made of then stays
        used = frozenset(row for row in neither.images if row[0] == (OLD,))
        return [Ending((True, True), used)]
    if first == second == "commit":  # each makes an image, and the later one has the tag
        (made,) = both.images - neither.images
        return [Ending((True, True), both.images | {((), 1, made[2])})]
    return []


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


def endings(stage: Stage, first: str, second: str) -> list[Ending]:
    """Return how it may end: one after the other, and where one fails as if it had not been given."""
    nothing = "nothing"
    COMMANDS[nothing] = lambda bench: None
    in_order = stage.meeting(first, second, 0)[1]
    swapped = stage.meeting(second, first, 0)[1]
    alone, other = stage.meeting(first, nothing, 0)[1], stage.meeting(second, nothing, 0)[1]
    neither = stage.meeting(nothing, nothing, 0)[1]
    return [
        in_order,
        Ending((swapped.succeeded[1], swapped.succeeded[0]), swapped.images),
        Ending((True, False), alone.images),
        Ending((False, True), other.images),
        Ending((False, False), neither.images),
    ]


@pytest.mark.parametrize("second", list(COMMANDS))
@pytest.mark.parametrize("first", list(COMMANDS))
def test_a_command_in_the_middle_of_another_breaks_nothing(stage: Stage, first: str, second: str) -> None:
    allowed = endings(stage, first, second)
    allowed += in_between(first, second, allowed)
    downloads = "prune all" not in {first, second}
    calls = len(stage.meeting(first, second, 0)[0].calls)
    offset = hash((len(first), len(second))) % STRIDE
    for number in range(1 + offset, calls + 1, STRIDE):
        turns, ending = stage.meeting(first, second, number)
        where = turns.calls[number - 1] if number <= len(turns.calls) else "the end"
        assert ending in allowed, f"before {where} ({number}): {ending}\n" + "\n".join(map(str, allowed))
        try:
            stage.judge(second, downloads)
        except (AssertionError, BockerError) as error:
            raise AssertionError(f"before {where} ({number}), {ending.succeeded}: {error!r}") from error

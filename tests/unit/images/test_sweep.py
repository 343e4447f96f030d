"""Every fault at every call of what moves images: none is lost, none half there, and the same command then works.

The sweep is the engine's. What was downloaded may stay after a fault, as the next try goes on with it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from bocker.core.errors import BockerError
from bocker.fakes import Crashed
from bocker.fakes.faults import Gate, faults_of
from bocker.images.flat import ImportRequest, export, import_archive
from bocker.images.prune import Sought, prune
from tests.unit.engine.bench import Bench
from tests.unit.engine.test_sweep import Command, Sweep, is_a_lie, of_themselves, told
from tests.unit.images.bench import BASE, HOST, MIDDLE, OUT, ImageBench, three_layers

pytestmark = pytest.mark.sweep

PRUNE = "prune"  # several things may go, so some of them may have gone
DOWNLOADS = (".meta/blobs", ".meta/drafts", "transfer ")


class ImageSweep(Sweep):
    """A sweep in whose outcomes downloads are no matter."""

    def __init__(self, command: Command) -> None:
        self.registry: object = None
        super().__init__(command)

    def again(self, gate: Gate) -> None:
        bench = self.bench
        assert isinstance(bench, ImageBench)
        if self.registry is None:
            self.registry = copy.deepcopy(bench.registry.__dict__)
        bench.registry.__dict__.update(copy.deepcopy(self.registry))  # type: ignore[call-overload]
        super().again(gate)

    def holdings(self) -> list[str]:
        return [line for line in super().holdings() if not any(word in line for word in DOWNLOADS)]


def with_registry() -> ImageBench:
    """Return a bench and a registry with an image of three layers."""
    bench = ImageBench()
    three_layers(bench)
    return bench


def with_base_here() -> ImageBench:
    """Return a bench that has an image of the two lower layers under the tag that is pulled."""
    bench = with_registry()
    bench.registry.put_image("app", "1", [BASE, MIDDLE])
    bench.pull("app:1")
    three_layers(bench)
    return bench


def with_image() -> ImageBench:
    """Return a bench that has pulled the image, and has an image without a tag besides."""
    bench = with_base_here()
    bench.pull("app:1")
    return bench


def with_two_tags() -> ImageBench:
    bench = with_image()
    bench.tag(f"{HOST}/app:1", "second:2")
    return bench


def pulled(bench: Bench) -> object:
    assert isinstance(bench, ImageBench)
    return bench.pull("app:1")


def on(act: Callable[[ImageBench], object]) -> Callable[[Bench], object]:
    """Return a command of an image bench as one of a bench."""

    def command(bench: Bench) -> object:
        assert isinstance(bench, ImageBench)
        return act(bench)

    return command


def untagged(bench: ImageBench, reference: str) -> None:
    """`bocker rmi` of one word; raise what stopped it."""
    from bocker.engine.tags import remove_images

    (one,) = remove_images(bench.kernel, bench.settings, (reference,))
    if one.error is not None:
        raise one.error


def pruned(bench: ImageBench) -> None:
    """`bocker prune`; raise what stopped it."""
    found = prune(bench.kernel, bench.settings, Sought())
    if found.errors:
        raise found.errors[0]


def with_commit() -> ImageBench:
    """Return a bench with an image that was committed, and not pushed yet."""
    bench = with_image()
    bench.run("probe", "write", "/own", "x", image=f"{HOST}/app:1", name="web")
    bench.commit("web", f"{HOST}/mine:1")
    bench.world.settle()
    return bench


def with_archive() -> ImageBench:
    """Return a bench with an archive of two images, one of which it has not."""
    bench = with_commit()
    saved(bench)
    bench.rm(f"{HOST}/mine:1")
    return bench


def saved(bench: ImageBench) -> None:
    """`bocker save` of two images."""
    bench.save(f"{HOST}/mine:1", f"{HOST}/app:1")


def loaded(bench: ImageBench) -> object:
    """`bocker load`."""
    return bench.load()


def exported(bench: ImageBench) -> None:
    """`bocker export`."""
    export(bench.kernel, bench.settings, "web", OUT)


def imported(bench: ImageBench) -> object:
    """`bocker import` of what was exported."""
    return import_archive(bench.kernel, bench.settings, ImportRequest(OUT, "flat:1"))


def with_export() -> ImageBench:
    """Return a bench with an archive of a container's files."""
    bench = with_commit()
    exported(bench)
    return bench


COMMANDS = [
    Command("pull", with_registry, pulled, 0),
    Command("pull one layer more", with_base_here, pulled, 0),
    Command("pull again", with_image, pulled, 0),
    Command("tag", with_image, on(lambda bench: bench.tag(f"{HOST}/app:1", "other:1")), 0),
    Command("tag what has one", with_image, on(lambda bench: bench.tag("img_42002", f"{HOST}/app:1")), 0),
    Command("rmi of a tag", with_two_tags, on(lambda bench: untagged(bench, "second:2")), 0, True),
    Command("rmi of the last tag", with_image, on(lambda bench: untagged(bench, f"{HOST}/app:1")), 0, True),
    Command("push", with_commit, on(lambda bench: bench.push(f"{HOST}/mine:1", "mine:1")), 0, True),
    Command("save", with_commit, on(saved), 0, True),
    Command("load", with_archive, on(loaded), 0, True),
    Command("export", with_commit, on(exported), 0),
    Command("import", with_export, on(imported), 0),
    Command(PRUNE, with_image, on(pruned), 0, True),
]


@pytest.fixture(scope="module", params=COMMANDS, ids=lambda command: command.name)
def sweep(request: pytest.FixtureRequest) -> ImageSweep:
    return ImageSweep(request.param)


def test_a_fault_leaves_nothing_that_cleanup_does_not_take_back(sweep: ImageSweep) -> None:
    for gate in faults_of(sweep.calls):
        if is_a_lie(gate, sweep.calls):
            continue
        succeeded, _, after = sweep.attempt(gate)
        if sweep.command.name == PRUNE:
            done, found, before = (set(of_themselves(lines)) for lines in (sweep.done, after, sweep.before))
            assert done <= found <= before, told(sweep, gate, succeeded, after)
        else:
            assert after in sweep.allowed(gate, succeeded), told(sweep, gate, succeeded, after)


def test_after_any_fault_the_same_command_works(sweep: ImageSweep, pytestconfig: pytest.Config) -> None:
    """After one in five of them, unless `--crashes all` is said: each is a whole command more."""
    step = 1 if pytestconfig.getoption("--crashes") == "all" else 5
    for gate in list(faults_of(sweep.calls))[::step]:
        sweep.again(gate)
        try:
            sweep.command.act(sweep.bench)
            continue
        except (BockerError, Crashed):
            sweep.recover()
        if sweep.holdings() == sweep.before:
            sweep.command.act(sweep.bench)
            sweep.recover()
            assert sweep.holdings() == sweep.done, told(sweep, gate, False, sweep.holdings())

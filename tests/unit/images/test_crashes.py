"""Every command killed at every instant, then every command once, then `cleanup`: it happened, or it did not.

Some pairs of an instant and a command are chosen by chance with a fixed seed; `--crashes all` tries all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from bocker.engine import listing
from bocker.images.accounts import login, logout
from bocker.images.flat import ImportRequest, export, import_archive
from bocker.images.history import history
from bocker.images.inspect import inspect
from bocker.images.space import usages
from bocker.registry.credentials import Credentials
from bocker.registry.endpoints import Registries
from tests.unit.crashes import OK, Crashes, Outcome, differences, sampled
from tests.unit.engine.bench import Bench
from tests.unit.engine.test_sweep import Command, crash, removed, stopped, while_it_runs
from tests.unit.images.bench import BASE, HOME, HOST, LINUX, MIDDLE, ImageBench, three_layers
from tests.unit.images.test_sweep import loaded, on, pruned, saved, untagged

pytestmark = pytest.mark.sweep

PRUNE = "prune"
PAIRS = 25  # of each command, in the usual run
# What these show of what is going is what is still there.
READING = frozenset({"logs", "ps", "images", "inspect", "history", "df"})


def everything() -> ImageBench:
    """Return a bench on which every command has something to do.

    `base` was made here, `web` runs from it no more, `old` was committed from `web`, which was written to
    since; app:1 was pulled, has one layer more in its registry by now, and a commit that is not sealed yet;
    there are an archive of images and one of files, and a container whose engine was killed.
    """
    bench = ImageBench()
    bench.add_image(tag="base")
    bench.run("probe", "write", "/etc/mine", "data", name="web")
    bench.commit("web", "old")
    bench.write(bench.records()[0].id, "etc/mine", "newer")
    bench.registry.put_image("app", "1", [BASE, MIDDLE])
    bench.pull("app:1")
    bench.tag(f"{HOST}/app:1", "second:2")
    bench.run("probe", "write", "/own", "x", image=f"{HOST}/app:1", name="sealed")
    bench.commit("sealed", f"{HOST}/mine:1")
    saved(bench)
    export(bench.kernel, bench.settings, "web", "/flat.tar")
    bench.commit("sealed", f"{HOST}/mine:1")
    three_layers(bench)
    crash(bench, lambda one: one.run("probe", "echo", "up", ",", "sleep", "9", name="live"), "processes.next_event")
    bench.world.settle()
    bench.world.sync()
    return bench


def with_login() -> ImageBench:
    """Return that bench, with credentials that `logout` can give up."""
    bench = everything()
    logged_in(bench)
    bench.world.sync()
    return bench


def logged_in(bench: ImageBench) -> None:
    login(bench.kernel, HOME, Registries(), HOST, Credentials("jo", "secret"))


def imported_flat(bench: ImageBench) -> object:
    return import_archive(bench.kernel, bench.settings, ImportRequest("/flat.tar", "flat:1"))


def listed(bench: Bench) -> None:
    listing.containers(bench.kernel, bench.settings)


def images_listed(bench: Bench) -> None:
    listing.images(bench.kernel, bench.settings)


def inspected(bench: ImageBench, *references: str) -> None:
    """`bocker inspect`; raise what is wrong with one of them."""
    for one in inspect(bench.kernel, bench.settings, references, LINUX):
        if one.error is not None:
            raise one.error


def command(name: str, act: Callable[[ImageBench], object]) -> Command:
    return Command(name, everything, on(act), 0)


COMMANDS = [
    command("setup", lambda bench: bench.setup()),
    command("init", lambda bench: bench.add_image(tag="made")),
    command("run", lambda bench: bench.run("probe", "echo", "hi")),
    command("run --rm", lambda bench: bench.run("probe", "echo", "hi", remove_on_exit=True)),
    command("run --name", lambda bench: bench.run("probe", "echo", "hi", name="db")),
    Command("exec", everything, while_it_runs(lambda bench: bench.execute("live2", "probe", "echo", "hi"), "live2"), 0),
    command("commit", lambda bench: bench.commit("web", "new")),
    command("commit onto", lambda bench: bench.commit("web", "old")),
    command("rm container", lambda bench: removed(bench, "web")),
    command("rm image", lambda bench: removed(bench, "old")),
    command("stop", lambda bench: stopped(bench, "live")),
    command("logs", lambda bench: bench.logs("web")),
    command("ps", listed),
    command("images", images_listed),
    command("inspect", lambda bench: inspected(bench, "web", "old")),
    command("history", lambda bench: history(bench.kernel, bench.settings, "old")),
    command("df", lambda bench: usages(bench.kernel, bench.settings)),
    command("cleanup", lambda bench: bench.cleanup()),
    command("pull", lambda bench: bench.pull("app:1")),
    command("push", lambda bench: bench.push(f"{HOST}/mine:1", "mine:1")),
    command("save", saved),
    command("load", loaded),
    command("export", lambda bench: export(bench.kernel, bench.settings, "web", "/web.tar")),
    command("import", imported_flat),
    command("tag", lambda bench: bench.tag("base", "second:2")),
    command("rmi", lambda bench: untagged(bench, "second:2")),
    command("prune", pruned),
    command("login", logged_in),
    Command("logout", with_login, on(lambda bench: logout(bench.kernel, HOME, HOST)), 0),
]
NAMES = [one.name for one in COMMANDS]


@cache
def crashes_of(name: str) -> Crashes:
    return Crashes(COMMANDS[NAMES.index(name)])


@pytest.mark.parametrize("name", NAMES)
def test_whatever_comes_after_a_crash_finds_it_happened_or_not(name: str, request: pytest.FixtureRequest) -> None:
    crashes = crashes_of(name)
    pairs = [(point, other) for point in crashes.points for other in COMMANDS]
    tried = 0
    for point, other in sampled(pairs, request.config.getoption("--crashes"), PAIRS):
        crashes.crash(point)
        found = crashes.then(other)
        assert is_allowed(crashes, other, found), f"{other.name} after {name} was killed {point}\n" + told(
            crashes, other, found
        )
        assert crashes.repeats(), f"cleanup after {other.name} after {name} was killed {point}"
        tried += 1
    print(f"{name}: {crashes.instants} instants, {len(crashes.points)} machines, {tried} pairs")


def is_allowed(crashes: Crashes, other: Command, found: Outcome) -> bool:
    """Tell whether the two commands did what they do one after the other, or the second one alone; or whether the
    second one said why not, and left it at that."""
    references = [crashes.reference(other, happened) for happened in (False, True)]
    if other.name in READING and list(found.holds) in (crashes.before, crashes.done):
        return True
    if found.ended != OK and list(found.holds) in (crashes.before, crashes.done):
        return True
    return found in references or (other.name == PRUNE and is_between(crashes, found))


def is_between(crashes: Crashes, found: Outcome) -> bool:
    """Tell whether all that was there after `prune` may be there: an image whose tag is another's by now may have
    stayed, as that was not settled yet."""
    left = set(crashes.before) | set(crashes.done)
    outcomes = [set(crashes.reference(COMMANDS[NAMES.index(PRUNE)], happened).holds) for happened in (False, True)]
    return outcomes[0] & outcomes[1] <= set(found.holds) <= left


def told(crashes: Crashes, other: Command, found: Outcome) -> str:
    return differences(found, [crashes.reference(other, happened) for happened in (False, True)])

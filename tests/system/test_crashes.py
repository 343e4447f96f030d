"""SIGKILL before and after every call of a command on the kernel, then `cleanup`: the fake's sweep, on Linux.

By default some of the points, by chance with a fixed seed; `--crashes all` tries them all.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.linux.files import sync_folder
from bocker.linux.records import LinuxRecords
from bocker.linux.storage import LinuxStorage
from tests.system import sandbox, test_setup, world
from tests.system.layouts import GZIP
from tests.system.power import Machine
from tests.system.program import Bocker
from tests.system.shelf import BASE, TOP, Shelf
from tests.system.waiting import wait_until

SEED = 20261121
SOME = 8  # points of each command
KILLS = 50
NOTHING = "Nothing to clean up\n"
TIMEOUT_S = 60


class Victim:
    """The program that kills itself."""

    def __init__(self, launcher: Path, note: Path) -> None:
        self._interpreter = os.fspath(launcher.parent / "python3")
        self._note = note

    def __call__(self, place: str, number: int, *words: str, environment: dict[str, str] | None = None) -> int:
        """Run a command to its end, or to a call; return its exit code."""
        paths = [
            os.fspath(Path(__file__).parents[2]),
            *os.environ.get("PYTHONPATH", "").split(":"),
            *(path for path in sys.path if path.endswith("site-packages")),
        ]
        command = (self._interpreter, "-m", "tests.system.killed", place, str(number), os.fspath(self._note), *words)
        return subprocess.run(
            command,
            check=False,
            env={**os.environ, **(environment or {}), "PYTHONPATH": ":".join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
        ).returncode

    def calls(self) -> list[str]:
        """Return the calls that it made last."""
        return self._note.read_text().splitlines()


@pytest.fixture
def victim(bocker: Bocker, tmp_path: Path) -> Victim:
    return Victim(bocker.launcher, tmp_path / "calls")


def points(number: int, request: pytest.FixtureRequest) -> list[tuple[str, int]]:
    """Return where to kill a command that makes so many calls."""
    every = [("before", call) for call in range(1, number + 1)] + [("after", number)]
    chosen = request.config.getoption("--crashes")
    return every if chosen == "all" else random.Random(SEED).sample(every, min(SOME, len(every)))


def sweep(
    victim: Victim,
    words: tuple[str, ...],
    request: pytest.FixtureRequest,
    before: Callable[[], object],
    after: Callable[[str], object],
) -> None:
    """Kill a command everywhere, each time after `before`; `after` is told where and looks."""
    before()
    assert victim("after", 0, *words) == 0
    calls = victim.calls()
    after("nowhere")
    chosen = points(len(calls), request)
    for place, number in chosen:
        before()
        code = victim(place, number, *words)
        # How often a transfer is waited for is up to the network.
        assert code == -9 or (code == 0 and len(victim.calls()) < number), (place, number, code)
        after(f"{place} call {number}, {calls[number - 1]}")
    print(f"{words[0]}: {len(calls)} calls, killed at {len(chosen)} points")


def clean(bocker: Bocker, where: str) -> None:
    """Clean up, and see that there is nothing more to clean up."""
    first = bocker("cleanup")
    assert first.code == 0, (where, first)
    assert bocker("cleanup").out == NOTHING, (where, first)
    for lock in Path("/var/bocker/.meta/.locks").iterdir():  # empty, and there until somebody takes it again
        lock.unlink()


def like(settings: Settings, prepared: world.World, where: str) -> None:
    """See that the machine is as it was."""
    left = sandbox.wait_for(prepared, settings)
    assert not left, (where, left)


def remove_containers(bocker: Bocker, where: str) -> None:
    for container in bocker("ps", "-q").out.split():
        assert bocker("rm", container).code == 0, where


def test_run_killed_at_every_call(
    bocker: Bocker, victim: Victim, image: str, settings: Settings, request: pytest.FixtureRequest
) -> None:
    prepared = world.look(settings)

    def after(where: str) -> None:
        bocker("ps")  # whoever comes in between
        clean(bocker, where)
        remove_containers(bocker, where)
        like(settings, prepared, where)
        assert bocker("run", "--rm", image, "/bin/echo", "again").out == "again\n", where

    sweep(victim, ("run", "--name", "doomed", image, "/bin/echo", "hi"), request, lambda: None, after)


def test_rm_killed_at_every_call(
    bocker: Bocker, victim: Victim, image: str, settings: Settings, request: pytest.FixtureRequest
) -> None:
    prepared = world.look(settings)

    def before() -> None:
        assert bocker("run", "--name", "web", image, "/bin/echo", "hi").code == 0
        bocker("commit", "web", "made")

    def after(where: str) -> None:
        clean(bocker, where)
        for word in ("web", "made"):
            if bocker("rm", word).code == 0:
                assert bocker("rm", word).code == 1, where
        like(settings, prepared, where)

    sweep(victim, ("rm", "web", "made"), request, before, after)


def test_commit_killed_at_every_call(
    bocker: Bocker, victim: Victim, image: str, settings: Settings, request: pytest.FixtureRequest
) -> None:
    """Onto an image: it is the old one or the new one."""
    assert bocker("run", "--name", "web", image, "/bin/sh", "-c", "echo old > /mine").code == 0
    wait_until(lambda: not [link for link in world.look(settings)["link"] if link.startswith("veth")])
    prepared = world.look(settings)

    def before() -> None:
        Path(settings.store, bocker("ps", "-q").out.split()[0], "mine").write_text("old\n")
        assert bocker("commit", "web", "made").code == 0
        Path(settings.store, bocker("ps", "-q").out.split()[0], "mine").write_text("new\n")

    def after(where: str) -> None:
        assert bocker("run", "--rm", "made", "cat", "/mine").out in {"old\n", "new\n"}, where
        clean(bocker, where)
        assert bocker("run", "--rm", "made", "cat", "/mine").out in {"old\n", "new\n"}, where
        assert bocker("commit", "web", "made").code == 0, where
        assert bocker("run", "--rm", "made", "cat", "/mine").out == "new\n", where
        assert bocker("rm", "made").code == 0
        like(settings, prepared, where)

    sweep(victim, ("commit", "web", "made"), request, before, after)
    assert bocker("rm", "web").code == 0


def test_pull_killed_at_every_call(
    bocker: Bocker, victim: Victim, shelf: Shelf, settings: Settings, request: pytest.FixtureRequest
) -> None:
    name = shelf.put("tiny:1", [(BASE, GZIP), (TOP, GZIP)])

    def nothing_here() -> None:
        for image in bocker("images", "-q").out.split():
            assert bocker("rm", image).code == 0
        assert bocker("prune", "-f", "--downloads").code == 0

    nothing_here()
    prepared = world.look(settings)

    def after(where: str) -> None:
        clean(bocker, where)
        listed = bocker("images", "-q").out.split()
        assert len(listed) <= 1, where
        for image in listed:
            assert bocker("run", "--rm", image, "/bin/cat", "/hello").out == "hello\n", where
        assert bocker("pull", name).code == 0, where
        assert bocker("run", "--rm", name, "/bin/cat", "/hello").out == "hello\n", where
        nothing_here()
        like(settings, prepared, where)

    sweep(victim, ("pull", name), request, nothing_here, after)


@pytest.mark.long
def test_run_and_commit_killed_from_outside(bocker: Bocker, image: str, settings: Settings) -> None:
    """At moments by chance, fifty each."""
    assert bocker("run", "--name", "web", image, "/bin/echo", "hi").code == 0
    wait_until(lambda: not [link for link in world.look(settings)["link"] if link.startswith("veth")])
    prepared = world.look(settings)
    chance = random.Random(SEED)
    for words in (("run", image, "/bin/echo", "hi"), ("commit", "web", "made")):
        began = time.monotonic()
        assert bocker(*words).code == 0
        whole_s = time.monotonic() - began
        for number in range(KILLS):
            process = bocker.start(*words)
            time.sleep(chance.uniform(0, whole_s * 1.1))
            process.kill()
            process.communicate()
            clean(bocker, f"{words[0]} {number}")
            for listed in bocker("images", "-q").out.split():
                assert bocker("run", "--rm", listed, "/bin/echo", "up").out == "up\n"
        for container in bocker("ps", "-q").out.split():
            if container not in prepared["file in the store"]:
                assert bocker("rm", container).code == 0
        bocker("rm", "made")
        like(settings, prepared, words[0])
    assert bocker("rm", "web").code == 0


def test_setup_killed_at_every_call(
    bocker: Bocker, victim: Victim, elsewhere: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """It goes on where it was, or is taken back."""
    before = test_setup.world(elsewhere)
    words = ("setup", "--size", "256M")
    assert victim("after", 0, *words, environment=elsewhere) == 0
    calls = victim.calls()
    assert bocker("setup", "--undo", "--delete-data", environment=elsewhere).code == 0
    chosen = points(len(calls), request)
    for place, number in chosen:
        for goes_on in (True, False):
            assert victim(place, number, *words, environment=elsewhere) == -9, (place, number)
            if goes_on:
                assert bocker(*words, environment=elsewhere).code == 0, (place, number, calls[number - 1])
                assert bocker("setup", "--check", environment=elsewhere).code == 0
            undone = bocker("setup", "--undo", "--delete-data", environment=elsewhere)
            assert (undone.code, test_setup.world(elsewhere)) == (0, before), (place, number, calls[number - 1], undone)
    print(f"setup: {len(calls)} calls, killed at {len(chosen)} points, twice each")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(str(tmp_path))
    yield made
    made.close()


def test_a_name_and_its_content_come_to_disk_apart(machine: Machine) -> None:
    """What the fake's power failure is made of: with a commit of the file system comes a new name, empty, and what
    replaced another file, whole; with the directory alone the latter too is empty, and the old content is gone."""
    records = LinuxRecords(f"{machine.store}/.meta")
    for name in ("committed", "in the directory", "alone"):
        records.write(f"a/{name}", b"old")
    storage = LinuxStorage(machine.store)
    storage.create("one")
    storage.sync()
    records.write("a/committed", b"new")
    records.claim("a/claimed", b"new")
    storage.snapshot("one", "two")
    records.write("a/alone", b"new")
    machine.cut_power()
    found = {name: LinuxRecords(f"{machine.store}/.meta").read(f"a/{name}") for name in records.list("a")}
    assert found == {"committed": b"new", "claimed": b"", "in the directory": b"old", "alone": b"old"}
    records.write("a/in the directory", b"new")
    sync_folder(f"{machine.store}/.meta/a")
    machine.cut_power()
    assert records.read("a/in the directory") == b""


def test_what_was_reported_survives_a_power_failure(
    bocker: Bocker, machine: Machine, busybox_root: Path, shelf: Shelf
) -> None:
    there = {"BOCKER_STORE": machine.store}

    def has(image: str, file: str, content: str) -> bool:
        tree = Path(machine.store, image)
        return tree.is_dir() and (tree / "bin/busybox").stat().st_size > 0 and (tree / file).read_text() == content

    (busybox_root / "mine").write_text("old\n")
    image = bocker("init", str(busybox_root), "-t", "base", environment=there).out.split()[-1]
    machine.cut_power()
    assert bocker("inspect", "base", environment=there).code == 0
    assert has(image, "mine", "old\n")
    ran = bocker("run", "--name", "web", "base", "/bin/sh", "-c", "echo new > /mine", environment=there)
    assert ran.code == 0, ran
    assert bocker("commit", "web", "base", environment=there).code == 0
    machine.cut_power()
    assert has(image, "mine", "new\n")
    name = shelf.put("tiny:1", [(BASE, GZIP), (TOP, GZIP)])
    pulled = bocker("pull", name, environment=there).out.split()[-1]
    machine.cut_power()
    assert has(pulled, "hello", "hello\n")
    assert bocker("tag", image, "second", environment=there).code == 0
    machine.cut_power()
    assert bocker("rmi", "second", environment=there).code == 0
    assert bocker("rm", name, environment=there).code == 0
    machine.cut_power()
    assert bocker("cleanup", environment=there).code == 0
    assert bocker("cleanup", environment=there).out == NOTHING
    assert has(image, "mine", "new\n")
    (busybox_root / "mine").unlink()


def test_power_fails_at_calls_of_init_and_rm(
    bocker: Bocker, victim: Victim, machine: Machine, busybox_root: Path, request: pytest.FixtureRequest
) -> None:
    """The image is there whole, or not at all."""
    there = {"BOCKER_STORE": machine.store}
    whole = sorted(os.listdir(busybox_root))

    def look(where: object) -> list[str]:
        machine.cut_power()
        assert bocker("cleanup", environment=there).code == 0, where
        assert bocker("cleanup", environment=there).out == NOTHING, where
        images = bocker("images", "-q", environment=there).out.split()
        assert sorted(name for name in os.listdir(machine.store) if name != ".meta") == images, where
        for image in images:
            assert sorted(os.listdir(f"{machine.store}/{image}")) == whole, where
            assert os.path.getsize(f"{machine.store}/{image}/bin/busybox") > 0, where
        return images

    tried = 0
    for words in (("init", str(busybox_root), "-t", "base"), ("rm", "base")):
        if words[0] == "rm":
            bocker("init", str(busybox_root), "-t", "base", environment=there)
        assert victim("after", 0, *words, environment=there) == 0
        calls = len(victim.calls())
        for place, number in points(calls, request):
            if words[0] == "rm" and not bocker("images", "-q", environment=there).out:
                bocker("init", str(busybox_root), "-t", "base", environment=there)
            victim(place, number, *words, environment=there)
            for image in look((words, place, number)) if words[0] == "init" else look((words, place, number))[:0]:
                bocker("rm", image, environment=there)
            tried += 1
    print(f"init, rm: {tried} power failures")

"""Many people at one store at once, with names that meet; some of their programs are killed.

`--crowd 20x50:3`: 20 people, 50 commands each, seed 3.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from tests.system import world
from tests.system.crowd import Crowd
from tests.system.layouts import GZIP, PLAIN
from tests.system.program import Bocker
from tests.system.shelf import Shelf, file, layer, link
from tests.system.test_crashes import clean, like
from tests.system.waiting import wait_until

BASE = layer(
    file("bin/busybox", Path("/bin/busybox").read_bytes()),
    *(link(f"bin/{name}", "busybox") for name in ("sh", "cat", "echo", "sleep", "true")),
    file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"),
)


def test_many_at_once(
    bocker: Bocker,
    shelf: Shelf,
    busybox_root: Path,
    tmp_path: Path,
    settings: Settings,
    request: pytest.FixtureRequest,
) -> None:
    people, commands, seed = numbers(str(request.config.getoption("--crowd")))
    shelf.put("test/app:1", [(BASE, GZIP), (layer(file("one", b"1")), PLAIN)])
    shelf.put("test/app:2", [(BASE, GZIP), (layer(file("two", b"2")), GZIP)])
    assert bocker("cleanup").code == 0
    before = world.look(settings)
    assert bocker("init", str(busybox_root), "-t", "base").code == 0
    crowd = Crowd(bocker, shelf.address, tmp_path, busybox_root, seed)
    crowd.work(people, commands)
    try:
        everything_is_real(bocker, settings)
    finally:
        for container in bocker("ps", "-q").out.split():
            bocker("rm", "-f", container)
        crowd.go_home()
    print(f"{people} people, {commands} commands each, seed {seed}: {crowd.counts()}")
    complaints = crowd.complaints()
    assert complaints == [], f"{len(complaints)} of them\n" + "\n".join(complaints[:5])
    everything_goes(bocker, settings, before)


def numbers(text: str) -> tuple[int, int, int]:
    """Return people, commands and seed of `20x50:3`."""
    sizes, _, seed = text.partition(":")
    people, _, commands = sizes.partition("x")
    return int(people), int(commands), int(seed or "1")


def everything_is_real(bocker: Bocker, settings: Settings) -> None:
    """See that what the lists show is there, and nothing else; and that no two have the same address."""
    assert bocker("cleanup").code == 0
    rows = [json.loads(line) for line in bocker("ps", "--format", "json").out.splitlines()]
    containers = [row["ID"] for row in rows]
    images = bocker("images", "-q").out.split()
    assert len({*containers}) == len(containers)
    running = [row["ID"] for row in rows if row["State"] == "running"]
    for container in containers:
        alive = bocker("exec", container, "true")
        assert (alive.code == 0) == (container in running), (container, alive)
        assert bocker("inspect", container).code == 0
        assert bocker("logs", container).code == 0
    for image in images:
        assert bocker("run", "--rm", image, "true").code == 0, image
    addresses = [json.loads(bocker("inspect", one).out)[0]["NetworkSettings"] for one in running]
    for key in ("IPAddress", "MacAddress"):
        assert len({one[key] for one in addresses}) == len(running), addresses
    links = {f"veth0_{container}" for container in running}
    wait_until(lambda: {link for link in world.look(settings)["link"] if link.startswith("veth")} == links)
    trees = {name for name in world.look(settings)["file in the store"] if not name.startswith("layer_")}
    assert trees == {*containers, *images}
    names = [row["Names"] for row in rows if row["Names"]]
    assert len({*names}) == len(names)


def everything_goes(bocker: Bocker, settings: Settings, before: world.World) -> None:
    """See that what is left can be removed, and that nothing is left then."""
    assert bocker("ps", "-q").out == ""
    images = bocker("images", "-q").out.split()
    if images:
        removed = bocker("rm", *images)
        assert removed.code == 0, removed
    assert bocker("prune", "-f", "--downloads").code == 0
    clean(bocker, "the crowd went home")
    records = subprocess.run(
        ["find", f"{settings.store}/.meta", "-type", "f"], capture_output=True, text=True, check=True
    )
    assert [line for line in records.stdout.split() if "/counters/" not in line and "/store/" not in line] == []
    like(settings, before, "the crowd went home")

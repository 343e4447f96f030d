"""`images`, `history`, `inspect`, `df` and `prune` for real: what they say is what docker and the kernel say."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from tests.patience import patience
from tests.system.layouts import GZIP
from tests.system.program import Bocker
from tests.system.shelf import BASE, TOP, Shelf, file, layer

MEGABYTE = 1_000_000


@pytest.fixture
def app(bocker: Bocker, shelf: Shelf) -> Iterator[str]:
    """An image that was pulled, and no container after the test."""
    name = shelf.app()
    assert bocker("pull", name).code == 0
    yield name
    for container in bocker("ps", "-q").out.split():
        bocker("rm", "-f", container)


def at_terminal(bocker: Bocker, *words: str, answer: bytes = b"") -> str:
    """Run a command at a terminal of its own and return what was shown."""
    outer, inner = pty.openpty()
    process = bocker.start(*words, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    os.write(outer, answer)
    shown = b""
    try:
        while part := os.read(outer, 4096):
            shown += part
    except OSError:  # EIO: nobody has the other end any more
        pass
    os.close(outer)
    process.wait(timeout=patience(60))
    return shown.decode().replace("\r\n", "\n")


def skopeo(name: str) -> dict[str, object]:
    words = ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"]
    return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)  # type: ignore[no-any-return]


def test_inspect_agrees_with_skopeo(bocker: Bocker, app: str, settings: Settings) -> None:
    (found,) = json.loads(bocker("inspect", app).out)
    other = skopeo(app)
    assert found["RepoDigests"] == [f"{app.rpartition(':')[0]}@{other['Digest']}"]
    assert (found["Architecture"], found["Os"], found["Config"]["Env"]) == (
        other["Architecture"],
        other["Os"],
        other["Env"],
    )
    assert len(found["RootFS"]["Layers"]) == len(other["Layers"])  # type: ignore[arg-type]
    assert found["Config"]["User"] == "jo"
    assert Path(found["GraphDriver"]["Data"]["Subvolume"]) == Path(settings.store) / found["ID"]
    assert bocker("inspect", "-f", "{{.Id}} {{index .RepoTags 0}}", app).out == f"{found['Id']} {app}\n"
    assert found["Size"] > 14 << 20


def test_inspect_of_a_running_container_is_what_the_kernel_says(bocker: Bocker, image: str, running) -> None:
    name = running(image, "--memory", "64m", "-l", "a.b=c")
    (found,) = json.loads(bocker("inspect", name).out)
    pid = found["State"]["Pid"]
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"/bin/sleep\x00300\x00"
    shown = bocker("exec", name, "/bin/sh", "-c", "ip -4 -o addr show eth0; ip link show eth0; hostname").out
    network = found["NetworkSettings"]
    assert f"{network['IPAddress']}/{network['IPPrefixLen']}" in shown
    assert network["MacAddress"] in shown
    assert shown.splitlines()[-1] == found["Config"]["Hostname"]
    assert (found["State"]["Status"], found["HostConfig"]["Memory"]) == ("running", 64 << 20)
    assert bocker("inspect", "-f", '{{index .Config.Labels "a.b"}} {{.State.Running}}', name).out == "c true\n"
    assert bocker("stop", "-t", "0", name).code == 0
    assert bocker("inspect", "-f", "{{.State.ExitCode}} {{.State.Pid}}", name).out == "137 0\n"


def test_inspect_of_nothing(bocker: Bocker) -> None:
    result = bocker("inspect", "nope")
    assert (result.code, result.out, result.err) == (1, "[]\n", "No container or image named 'nope' exists\n")


def test_images_tell_sizes_and_what_is_shared(bocker: Bocker, shelf: Shelf, app: str) -> None:
    other = shelf.put("test/other:1", [(BASE, GZIP), (layer(file("own", os.urandom(3 << 20))), GZIP)])
    assert bocker("pull", other).code == 0
    first, second = map(json.loads, bocker("images", "--format", "json").out.splitlines())
    assert first["SharedSize"] == second["SharedSize"]
    assert size(first["SharedSize"]) >= 8.3
    assert (round(size(first["UniqueSize"])), round(size(second["UniqueSize"]))) == (6, 3)
    assert size(second["Size"]) == pytest.approx(size(second["SharedSize"]) + size(second["UniqueSize"]), rel=0.1)
    assert bocker("images", "-q", "*/*/other").out.split() == [second["ID"]]
    assert bocker("images", "--format", "table {{.ID}}\\t{{.Tag}}").out.splitlines()[0].split() == [
        "IMAGE",
        "ID",
        "TAG",
    ]
    shown = at_terminal(bocker, "images")
    assert shown.splitlines()[0].split() == ["IMAGE", "ID", "TAG", "SOURCE", "CREATED", "SIZE"]
    assert first["Size"] in shown


def size(text: str) -> float:
    """Return a size in megabytes."""
    assert text.endswith("MB"), text
    return float(text.removesuffix("MB"))


def test_history_tells_what_each_step_takes(bocker: Bocker, app: str) -> None:
    bocker("run", "--name", "worker", "-u", "0", app, "head -c 2000000 /dev/zero > /made")
    assert bocker("commit", "-m", "filled", "worker", "made:1").code == 0
    before = [json.loads(line) for line in bocker("history", "--format", "json", "made:1").out.splitlines()]
    assert (before[0]["Comment"], round(size(before[0]["Size"]))) == ("filled", 2)
    assert len(before) >= 4
    assert sum(step["Size"] != "0B" for step in before) == 4
    assert bocker("save", "-o", "/dev/null", "made:1").code == 0
    after = [json.loads(line) for line in bocker("history", "--format", "json", "made:1").out.splitlines()]
    assert [step["CreatedBy"] for step in after] == [step["CreatedBy"] for step in before]
    assert round(size(after[0]["Size"])) == 2


def kinds(bocker: Bocker) -> dict[str, dict[str, str]]:
    found = [json.loads(line) for line in bocker("df", "--format", "json").out.splitlines()]
    return {row["Type"]: row for row in found}


def test_df_counts_what_a_container_wrote(bocker: Bocker, app: str) -> None:
    bocker("run", "--name", "worker", "-u", "0", app, "head -c 2000000 /dev/zero > /made; sync")
    found = kinds(bocker)
    assert (found["Images"]["TotalCount"], found["Images"]["Active"]) == ("1", "1")
    assert found["Images"]["Reclaimable"] == "0B (0%)"
    assert (found["Containers"]["TotalCount"], found["Containers"]["Active"]) == ("1", "0")
    assert 1.9 < size(found["Containers"]["Size"]) < 2.5
    assert found["Containers"]["Reclaimable"].endswith("MB (100%)")
    assert found["Downloads"]["TotalCount"] == "5"
    lines = bocker("df", "-v").out.splitlines()
    assert next(line for line in lines if line.startswith("ps_")).endswith("   worker")


@pytest.mark.long
def test_prune_gives_the_space_back(bocker: Bocker, app: str, settings: Settings, kernel: LinuxKernel) -> None:
    bocker("run", "--name", "worker", app)
    assert bocker("prune", "-a").code == 2
    kept = bocker("prune", "-af")
    assert (kept.code, kept.out) == (0, "Total reclaimed space: 0B\n"), kept
    planned = bocker("prune", "-a", "--containers", "--dry-run").out.splitlines()
    before = used(kernel, settings)
    done = bocker("prune", "-af", "--containers")
    assert done.code == 0, done
    assert [line.split(": ")[1] for line in done.out.splitlines()] == [line.split(": ")[1] for line in planned]
    told = size(done.out.splitlines()[-1].split(": ")[1])
    assert told > 20
    assert before - used(kernel, settings) == pytest.approx(told * MEGABYTE, rel=0.2)
    assert [name for name in os.listdir(settings.store) if name != ".meta"] == []
    assert kernel.blobs.list() == ()


def used(kernel: LinuxKernel, settings: Settings) -> int:
    """Return the bytes that are taken on the store's file system, once deleted subvolumes are gone."""
    subprocess.run(["btrfs", "subvolume", "sync", settings.store], check=True, capture_output=True)
    kernel.storage.sync()
    found = os.statvfs(settings.store)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_prune_asks_at_a_terminal(bocker: Bocker, app: str) -> None:
    image = bocker("images", "-q").out.strip()
    shown = at_terminal(bocker, "prune", "-a", answer=b"n\n")
    assert f"Would remove: {image}\n" in shown
    assert "[y/N]" in shown
    assert bocker("images", "-q").out.strip() == image
    shown = at_terminal(bocker, "prune", "-a", answer=b"y\n")
    assert f"\nRemoved: {image}\n" in shown
    assert shown.splitlines()[-1].startswith("Total reclaimed space: ")
    assert bocker("images", "-q").out == ""


def test_what_was_pruned_comes_again(bocker: Bocker, app: str) -> None:
    assert bocker("prune", "--downloads", "-f").code == 0
    assert bocker("run", "--rm", app).out.startswith("hello\n")
    saved = bocker("save", "-q", "-o", "/dev/null", app)
    assert saved.code == 0, saved


def test_a_person_sees_no_escape_of_an_image(bocker: Bocker, shelf: Shelf) -> None:
    name = shelf.put("test/evil:1", [(TOP, GZIP)], {"Labels": {"x": "\x1b[2J\nimg_42999"}, "Env": ["A=\x1b[2J"]})
    assert bocker("pull", name).code == 0
    for words in (("images",), ("history", name), ("inspect", name), ("inspect", "-f", "{{.Config}}", name)):
        assert "\x1b" not in at_terminal(bocker, *words), words
    assert "\x1b" not in bocker("inspect", name).out

"""`pull` for real: Debian's registry on loopback, the installed program, and what a person does to it."""

from __future__ import annotations

import errno
import mmap
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from tests.patience import patience
from tests.system.layouts import GZIP
from tests.system.program import Bocker, Result
from tests.system.shelf import BASE, NOISE, Shelf, file, layer, link

KILLS = 50


def names_in(settings: Settings) -> list[str]:
    """Return what lies in the store."""
    return sorted(name for name in os.listdir(settings.store) if name != ".meta")


def test_U8_an_image_that_was_pulled_runs_as_it_wants_to(bocker: Bocker, shelf: Shelf, settings: Settings) -> None:
    name = shelf.app()
    pulled = bocker("pull", name)
    assert (pulled.code, pulled.out) == (0, "Created: img_42002\n") or pulled.out.startswith("Created: img_"), pulled
    assert "Digest: sha256:" in pulled.err
    run = bocker("run", "--rm", name)
    assert (run.code, run.out) == (0, "hello\njo\n/srv/here\nred\n"), run
    tree = Path(settings.store) / pulled.out.split()[1]
    assert not (tree / "gone").exists()
    assert (tree / "third").stat().st_size == len(NOISE) * 2


def test_the_originals_two_words_and_quiet(bocker: Bocker, shelf: Shelf) -> None:
    name = shelf.app()
    pulled = bocker("pull", "-q", name.rpartition(":")[0], "1")
    assert pulled.code == 0, pulled
    assert pulled.err == ""
    again = bocker("pull", name)
    assert again.out == f"Created: {pulled.out}"
    assert "Image is up to date" in again.err


@pytest.mark.long
def test_P1_P12_what_is_not_there_and_what_makes_no_sense(bocker: Bocker, shelf: Shelf) -> None:
    nothing = bocker("pull", f"{shelf.address}/no/such:1")
    assert (nothing.code, nothing.out) == (1, ""), nothing
    assert nothing.err.splitlines()[-1].startswith(f"No image named '{shelf.address}/no/such:1' exists")
    for words in (("UPPER",), ("http://x/y",), ("a:b", "c"), ("x@sha256:12",), ("../x",), ("img_42002",)):
        refused = bocker("pull", *words)
        assert refused.code == 2, refused
        assert len(refused.err.splitlines()) == 1
    unreached = bocker("pull", "127.0.0.1:1/x")
    assert unreached.code == 1
    assert "connection refused" in unreached.err


def test_P5_P10_a_layer_can_not_write_on_the_host(
    bocker: Bocker, shelf: Shelf, tmp_path: Path, settings: Settings
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = str(outside)[1:]
    first = layer(file(f"{inside}/own", b"x"), link("way", str(outside)), link("up", "../" * 20 + inside))
    second = layer(file("way/planted", b"x"), file("up/planted", b"x"), file("../../planted", b"x"))
    name = shelf.put("evil/a:1", [(BASE, GZIP), (first, GZIP), (second, GZIP)])
    result = bocker("pull", name)
    assert result.code == 0, result
    assert os.listdir(outside) == []
    tree = Path(settings.store) / result.out.split()[1]
    assert sorted(os.listdir(tree / inside)) == ["own", "planted"]
    assert not (Path(settings.store) / "planted").exists()
    assert not os.path.exists("/planted")


@pytest.mark.long
def test_killed_at_any_moment_there_is_no_broken_image(
    bocker: Bocker, shelf: Shelf, settings: Settings, kernel: LinuxKernel
) -> None:
    """And the next pull goes on."""
    name = shelf.app()
    began = time.monotonic()
    bocker("pull", name)
    whole_s = time.monotonic() - began
    chance = random.Random(7)
    for number in range(KILLS):
        forget(bocker, kernel)
        process = bocker.start("pull", name)
        time.sleep(chance.uniform(0.0, whole_s * 1.1))
        process.kill()
        process.communicate()
        listed = bocker("images", "-q").out.split()
        assert len(listed) <= 1
        cleaned = bocker("cleanup")
        assert cleaned.code == 0, cleaned
        assert [left for left in names_in(settings) if not left.startswith(("img_", "layer_"))] == []
        for image in listed:
            assert bocker("run", "--rm", image).out.startswith("hello\n"), (number, listed)
    assert bocker("pull", name).code == 0
    assert bocker("run", "--rm", name).out.startswith("hello\n")


def forget(bocker: Bocker, kernel: LinuxKernel) -> None:
    """Take images away; half of the time their downloads too."""
    for image in bocker("images", "-q").out.split():
        bocker("rm", image)
    for blob in kernel.blobs.list():
        kernel.blobs.remove(blob.name)


def test_ctrl_c_leaves_nothing_but_downloads(bocker: Bocker, shelf: Shelf, settings: Settings) -> None:
    name = shelf.app()
    for number, delay_s in ((2, 0.05), (15, 0.15), (1, 0.2), (2, 0.25), (2, 0.3), (15, 0.35)):
        process = bocker.start("pull", name, start_new_session=True)
        time.sleep(delay_s)
        for _ in range(3):  # somebody who is impatient
            os.killpg(process.pid, number)
            time.sleep(0.01)
        _, err = process.communicate(timeout=patience(20))
        before_bocker = err.startswith(b"Fatal Python error: init_")  # on a slow machine: nothing of ours runs yet
        assert before_bocker or process.returncode in {0, 128 + number, -number}, err
        assert before_bocker or b"Traceback" not in err
        if process.returncode == 128 + number:
            assert names_in(settings) == [], err
        assert bocker("cleanup").out == "Nothing to clean up\n"
        for image in bocker("images", "-q").out.split():
            bocker("rm", image)


def test_a_full_disk_is_said_and_then_it_works(bocker: Bocker, shelf: Shelf, settings: Settings) -> None:
    name = shelf.app()
    filler = Path(settings.store) / "filler"
    fill(filler, leave_bytes=8 << 20)
    try:
        result = bocker("pull", name)
        assert result.code == 1, result
        assert "no space is left" in result.err
        assert len(result.err.splitlines()[-1]) > 0
        assert names_in(settings) == ["filler"]
    finally:
        filler.unlink()
        subprocess.run(["sync", "-f", settings.store], check=True)
    assert bocker("pull", name).code == 0
    assert bocker("run", "--rm", name).out.startswith("hello\n")


Elsewhere = Callable[..., Result]


@pytest.fixture
def small(bocker: Bocker, elsewhere: dict[str, str]) -> Iterator[Elsewhere]:
    """A host of its own, and a person there."""

    def do(*words: str) -> Result:
        return bocker(*words, environment=elsewhere)

    assert do("setup", "--size", "512M").code == 0
    yield do
    assert do("setup", "--undo", "--delete-data").code == 0


@pytest.fixture
def spoil(small: Elsewhere, elsewhere: dict[str, str]) -> Callable[[], None]:
    """What spoils all downloads: btrfs finds that what it has written is not what it reads, EIO."""
    store = Path(elsewhere["BOCKER_STORE"])

    def act() -> None:
        subprocess.run(["umount", store], check=True)
        overwrite(Path(elsewhere["BOCKER_STATE"]) / "btrfs.img", NOISE[5000:6000])
        assert small("setup").code == 0
        assert len(unreadable(store / ".meta/blobs")) == 3

    return act


@pytest.mark.parametrize("verb", ["pull", "load"])
def test_a_download_that_the_disk_spoilt_is_replaced(
    verb: str, small: Elsewhere, spoil: Callable[[], None], shelf: Shelf, elsewhere: dict[str, str], tmp_path: Path
) -> None:
    """The same error came at every try."""
    name, archive = shelf.app(), str(tmp_path / "saved")
    for words in (("pull", name), ("save", "-o", archive, name), ("rm", name)):
        assert small(*words).code == 0
    spoil()
    result = small("pull", name) if verb == "pull" else small("load", "-i", archive)
    assert result.code == 0, result
    assert result.err.count("was here, and can not be used; fetching it again") == {"pull": 3, "load": 0}[verb]
    assert unreadable(Path(elsewhere["BOCKER_STORE"]) / ".meta/blobs") == []
    assert small("run", "--rm", name).out == "hello\njo\n/srv/here\nred\n"


def test_a_download_that_the_disk_spoilt_can_be_pruned(
    small: Elsewhere, spoil: Callable[[], None], shelf: Shelf, tmp_path: Path
) -> None:
    """What should go out is told as it is, and comes from the registry then."""
    name, archive = shelf.app(), str(tmp_path / "saved")
    assert small("pull", name).code == 0
    spoil()
    refused = small("save", "-o", archive, name)
    assert (refused.code, "the disk can not be read or written" in refused.err) == (1, True), refused
    assert small("prune", "-f", "--downloads").code == 0
    assert small("save", "-o", archive, name).code == 0


def overwrite(disk: Path, pattern: bytes) -> None:
    """Overwrite some bytes wherever they are on a disk that is not in use."""
    with disk.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as content:
        place = -1
        while (place := content.find(pattern, place + 1)) >= 0:
            content[place : place + len(pattern)] = bytes(len(pattern))


def unreadable(directory: Path) -> list[str]:
    """Return the files that can't be read."""
    found = []
    for path in directory.iterdir():
        try:
            path.read_bytes()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            found.append(path.name)
    return found


def fill(path: Path, leave_bytes: int) -> None:
    """Fill the file system that a file is in, but for so many bytes, once what was deleted before is given back."""
    subprocess.run(["btrfs", "subvolume", "sync", path.parent], check=True, stdout=subprocess.DEVNULL)
    size_bytes = 0
    with open(path, "wb") as stream:
        for _ in range(10):
            subprocess.run(["sync", "-f", path], check=True)
            found = os.fstatvfs(stream.fileno())
            more_bytes = found.f_bavail * found.f_frsize - leave_bytes
            if more_bytes < 1 << 20:
                break
            os.posix_fallocate(stream.fileno(), size_bytes, more_bytes)
            size_bytes += more_bytes


def test_ten_pulls_at_once_make_one_image_each_name(bocker: Bocker, shelf: Shelf) -> None:
    names = [shelf.app(f"test/app{number}:1") for number in range(2)]
    pulls = [bocker.start("pull", "-q", names[number % 2]) for number in range(10)]
    ends = [(process.communicate(timeout=patience(60)), process.returncode) for process in pulls]
    assert [code for _, code in ends] == [0] * 10, ends
    assert bocker("run", "--rm", names[0]).out.startswith("hello\n")
    assert bocker("run", "--rm", names[1]).out.startswith("hello\n")
    assert bocker("cleanup").out == "Nothing to clean up\n"

"""Somebody cut, changed or removed what was downloaded: it is fetched again, and no archive is made of half a layer."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from typing import TypeVar

import pytest

from bocker.cli.output import error_line
from bocker.core.errors import BockerError, OperationFailed
from bocker.fakes import interference
from bocker.fakes.errors import Refused
from bocker.fakes.faults import Call, Gate
from bocker.fakes.mishaps import ALWAYS, Mishap, corrupted
from bocker.fakes.publishing import digest_of
from bocker.images.errors import BadLayer, DocumentGone
from bocker.images.save import SaveRequest, save
from tests.unit.images.bench import BASE, HOST, LINUX, MIDDLE, TOP, Diary, ImageBench, archive, three_layers

BLOBS = "/var/bocker/.meta/blobs"
OUT = "/out.tar"
NUMBERS = range(5)  # three layers, a configuration and a manifest

T = TypeVar("T")
Intrude = Callable[[ImageBench, str], object]


def cut(bench: ImageBench, path: str) -> object:
    return interference.cut_file(bench.world, path, len(bench.world.read_file(path)) // 2)


def garble(bench: ImageBench, path: str) -> object:
    return interference.overwrite(bench.world, path, b"?" * len(bench.world.read_file(path)))


def remove(bench: ImageBench, path: str) -> object:
    return interference.remove_file(bench.world, path)


def pulled() -> ImageBench:
    bench = ImageBench()
    three_layers(bench)
    bench.pull("app:1")
    return bench


def intruded(intrude: Intrude, number: int) -> ImageBench:
    """Return a bench whose blob of a number somebody cut or removed."""
    bench = pulled()
    intrude(bench, f"{BLOBS}/{bench.kernel.blobs.list()[number].name}")
    return bench


def shared(bench: ImageBench) -> ImageBench:
    """Return a bench that has downloads and no layers, and a registry with an image that wants them."""
    for name in bench.layers():
        interference.delete_subvolume(bench.world, f"/var/bocker/{name}")
    bench.registry.put_image("app", "2", [BASE, MIDDLE, TOP, archive(("more", "x"))])
    bench.registry.seen.clear()
    return bench


def blobs(bench: ImageBench) -> dict[str, bytes]:
    return {blob.name: bench.world.read_file(f"{BLOBS}/{blob.name}") for blob in bench.kernel.blobs.list()}


def saved(bench: ImageBench) -> bytes:
    save(bench.kernel, bench.settings, SaveRequest((f"{HOST}/app:1",), LINUX, bench.remote, OUT), Diary())
    return bench.world.read_file(OUT)


def saving(bench: ImageBench) -> DocumentGone | None:
    """Return why an image could not be saved."""
    try:
        saved(bench)
    except DocumentGone as error:
        return error
    return None


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("intrude", [cut, garble, remove])
def test_an_image_that_shares_layers_is_pulled(intrude: Intrude, number: int) -> None:
    """Every pull failed with the same words, as what was there already was taken for whole."""
    bench = shared(intruded(intrude, number))
    assert bench.pull("app:2").fresh
    assert bench.run("probe", "read", "/more", image=f"{HOST}/app:2").out == b"x"


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("intrude", [cut, remove])
def test_an_archive_has_whole_layers_or_is_none(intrude: Intrude, number: int) -> None:
    """It was written with half a layer, and said to be done."""
    whole = saved(pulled())
    bench = intruded(intrude, number)
    refusal = saving(bench)
    if refusal is not None:
        assert error_line(refusal) == (
            f"The document {refusal.digest} of the image is gone from the store, or damaged; pull the image again; "
            "of one that was made here, a container can be committed"
        )
        assert bench.world.entry(OUT) is None
        bench.pull("app:1")
    assert saved(bench) == whole
    assert blobs(bench) == blobs(pulled())


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("intrude", [cut, remove])
def test_what_goes_out_is_whole(intrude: Intrude, number: int) -> None:
    bench = intruded(intrude, number)
    try:
        bench.push(f"{HOST}/app:1", "copy:1")
    except DocumentGone:
        bench.pull("app:1")
        bench.push(f"{HOST}/app:1", "copy:1")
    bench.rm(f"{HOST}/app:1")
    assert bench.pull("copy:1").fresh


def test_what_was_cut_stays_until_the_whole_has_come() -> None:
    """A manifest that lies about a size has nothing thrown away."""
    bench = shared(intruded(cut, 0))
    before = blobs(bench)
    bench.registry.mishaps.append(Mishap("GET */blobs/*", corrupted, times=ALWAYS))
    with pytest.raises(BockerError):
        bench.pull("app:2")
    assert before.items() <= blobs(bench).items()


def layers_asked(bench: ImageBench) -> list[str]:
    """Return the requests for the layers of `app:1`."""
    repository = bench.registry.repository("app")
    manifest = json.loads(repository.documents[repository.digest_of("1")].data)
    layers = {layer["digest"] for layer in manifest["layers"]}
    return [path for path in bench.asked("/v2/app/blobs/") if path.rpartition("/")[2] in layers]


def test_all_that_were_changed_are_fetched_again_and_said_once_each() -> None:
    bench = shared(pulled())
    for blob in bench.kernel.blobs.list():
        garble(bench, f"{BLOBS}/{blob.name}")
    bench.pull("app:2")
    assert bench.run("probe", "read", "/more", image=f"{HOST}/app:2").out == b"x"
    message = re.compile("Layer sha256:[0-9a-f]{64} was here, and can not be used; fetching it again")
    said = list(filter(message.fullmatch, bench.diary.lines))
    assert len(said) == len(set(said)) == len(layers_asked(bench)) == 3


class Unreadable(Gate):
    """btrfs finds that a layer was changed on disk: unpacking it fails so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        if call.operation == "archives.unpack" and self.left:
            self.left -= 1
            raise Refused(errno.EIO)
        return act()


def test_what_the_disk_can_not_read_is_fetched_again() -> None:
    bench = shared(pulled())
    bench.kernel.gate = Unreadable(1)
    bench.pull("app:2")
    assert len(layers_asked(bench)) == 1


def test_a_disk_that_can_read_nothing_is_told_after_one_more_try() -> None:
    bench = shared(pulled())
    bench.kernel.gate = Unreadable(2)
    with pytest.raises(OperationFailed, match="the disk can not be read or written"):
        bench.pull("app:2")
    assert len(layers_asked(bench)) == 1


def test_an_image_that_is_wrong_in_itself_costs_one_more_download_and_no_blob() -> None:
    """The layer is what its digest says; the configuration says something else."""
    bench = ImageBench()
    bench.registry.put_image("app", "1", [BASE], {"rootfs": {"type": "layers", "diff_ids": [digest_of(TOP)]}})
    for _ in range(2):
        bench.registry.seen.clear()
        with pytest.raises(BadLayer):
            bench.pull("app:1")
        assert len(layers_asked(bench)) == 1
        assert len(bench.kernel.blobs.list()) == 3

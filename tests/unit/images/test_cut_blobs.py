"""Somebody cut or removed what was downloaded: it is fetched again, and no archive is made of half a layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bocker.cli.output import error_line
from bocker.core.errors import BockerError
from bocker.fakes import interference
from bocker.fakes.mishaps import ALWAYS, Mishap, corrupted
from bocker.images.errors import DocumentGone
from bocker.images.save import SaveRequest, save
from tests.unit.images.bench import BASE, HOST, LINUX, MIDDLE, TOP, Diary, ImageBench, archive, three_layers

BLOBS = "/var/bocker/.meta/blobs"
OUT = "/out.tar"
NUMBERS = range(5)  # three layers, a configuration and a manifest

Intrude = Callable[[ImageBench, str], object]


def cut(bench: ImageBench, path: str) -> object:
    return interference.cut_file(bench.world, path, len(bench.world.read_file(path)) // 2)


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
@pytest.mark.parametrize("intrude", [cut, remove])
def test_an_image_that_shares_layers_is_pulled(intrude: Intrude, number: int) -> None:
    """Every pull failed with the same words, as what was there already was taken for whole."""
    bench = intruded(intrude, number)
    for name in bench.layers():
        interference.delete_subvolume(bench.world, f"/var/bocker/{name}")
    bench.registry.put_image("app", "2", [BASE, MIDDLE, TOP, archive(("more", "x"))])
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
    bench = intruded(cut, 0)
    before = blobs(bench)
    for name in bench.layers():
        interference.delete_subvolume(bench.world, f"/var/bocker/{name}")
    bench.registry.put_image("app", "2", [BASE, MIDDLE, TOP, archive(("more", "x"))])
    bench.registry.mishaps.append(Mishap("GET */blobs/*", corrupted, times=ALWAYS))
    with pytest.raises(BockerError):
        bench.pull("app:2")
    assert before.items() <= blobs(bench).items()

"""What takes the space, on the fake machine."""

from __future__ import annotations

import pytest

from bocker.images.space import ContainerUsage, ImageUsage, Usage, container_usages, image_usages, usages
from tests.unit.engine.bench import Screen
from tests.unit.images.bench import BASE, HOST, MIDDLE, ImageBench, archive, with_app

APP = f"{HOST}/app:1"


@pytest.fixture
def bench() -> ImageBench:
    return with_app()


def of_images(bench: ImageBench) -> dict[str, ImageUsage]:
    return {usage.image: usage for usage in image_usages(bench.kernel, bench.settings)}


def of_kinds(bench: ImageBench) -> dict[str, Usage]:
    return {usage.kind: usage for usage in usages(bench.kernel, bench.settings)}


def size(bench: ImageBench, name: str) -> int:
    return sum(map(len, bench.tree(name).values()))


def test_layers_that_another_image_has_are_shared(bench: ImageBench) -> None:
    (alone,) = of_images(bench).values()
    assert (alone.shared_bytes, alone.tags, alone.containers) == (0, (APP,), 0)
    bench.registry.put_image("other", "1", [BASE, MIDDLE, archive(("own", "x" * 77))])
    bench.pull("other:1")
    found = of_images(bench)
    first, second = found["img_42002"], found["img_42003"]
    assert first.shared_bytes == second.shared_bytes == alone.own_bytes - first.own_bytes
    assert (first.own_bytes, second.own_bytes) == (len(b"third") + len(b"new"), 77)
    kinds = of_kinds(bench)["Images"]
    assert kinds == Usage("Images", 2, 0, first.shared_bytes + first.own_bytes + 77, first.own_bytes + 77)


def test_what_was_committed_is_its_own(bench: ImageBench) -> None:
    bench.run("probe", "write", "/own", "x" * 500, image=APP, name="web")
    bench.commit("web", "mine:1")
    found = of_images(bench)
    assert (found["img_42003"].own_bytes, found["img_42003"].pending_bytes) == (500, 500)
    assert (found["img_42002"].containers, found["img_42003"].containers) == (1, 0)
    bench.push("mine:1", "mine:1")
    after = of_images(bench)["img_42003"]
    assert (after.own_bytes, after.pending_bytes) == (500, 0)


def test_an_image_of_a_directory(bench: ImageBench) -> None:
    image = bench.add_image()
    assert of_images(bench)[image].own_bytes == size(bench, image)


def test_an_image_with_containers_is_active_and_gives_nothing_back(bench: ImageBench) -> None:
    before = of_kinds(bench)["Images"]
    assert (before.active, before.reclaimable_bytes) == (0, before.size_bytes)
    bench.run("probe", "exit", "0", image=APP, name="web")
    after = of_kinds(bench)["Images"]
    assert (after.active, after.reclaimable_bytes, after.size_bytes) == (1, 0, before.size_bytes)


def test_containers_that_ended_could_go(bench: ImageBench) -> None:
    bench.run("probe", "exit", "0", image=APP, name="web")
    other = bench.in_another_terminal()
    seen: list[Usage] = []

    def look(_: bytes) -> None:
        seen.append(of_kinds(other)["Containers"])

    bench.run("probe", "echo", "x", image=APP, screen=Screen(on_output=look))
    assert [(usage.total, usage.active) for usage in seen] == [(2, 1)]
    assert (of_kinds(bench)["Containers"].total, of_kinds(bench)["Containers"].active) == (2, 0)


def test_containers_one_by_one(bench: ImageBench) -> None:
    bench.run("probe", "write", "/own", "x" * 321, image=APP, name="web")
    (found,) = container_usages(bench.kernel, bench.settings)
    assert found == ContainerUsage("ps_42002", APP, "web", "exited", found.created_ns, 321)
    assert of_kinds(bench)["Containers"] == Usage("Containers", 1, 0, 321, 321)
    bench.kernel.records.write("containers/ps_42002", b"{")
    assert container_usages(bench.kernel, bench.settings) == ()
    assert (of_kinds(bench)["Containers"].total, of_kinds(bench)["Containers"].active) == (1, 1)


def test_downloads_are_in_use_while_their_image_is_here(bench: ImageBench) -> None:
    found = of_kinds(bench)["Downloads"]
    blobs = bench.kernel.blobs.list()
    assert found == Usage("Downloads", 5, 5, sum(blob.size_bytes for blob in blobs), 0)
    bench.kernel.blobs.add("0" * 64, b"stray")
    assert of_kinds(bench)["Downloads"] == Usage("Downloads", 6, 5, found.size_bytes + 5, 5)
    bench.rm("img_42002")
    assert of_kinds(bench)["Downloads"].reclaimable_bytes == found.size_bytes + 5


def test_partial_downloads(bench: ImageBench) -> None:
    assert of_kinds(bench)["Partial downloads"] == Usage("Partial downloads", 0, 0, 0, 0)
    bench.world.write_file(bench.kernel.blobs.draft("half"), b"12345")
    assert of_kinds(bench)["Partial downloads"] == Usage("Partial downloads", 1, 0, 5, 5)

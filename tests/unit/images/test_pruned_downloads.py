"""After `prune --downloads` every image still goes out: what no registry has is kept, the rest is fetched again."""

from __future__ import annotations

import pytest

from bocker.core.errors import BockerError
from bocker.images.errors import BlobGone
from bocker.images.prune import Sought, prune
from tests.unit.images.bench import HOST, OUT, ImageBench, with_app


@pytest.fixture
def bench() -> ImageBench:
    """A host with a pulled image, and a commit of it that was not written as a layer yet."""
    bench = with_app()
    bench.run("probe", "write", "/own", "file", image=f"{HOST}/app:1", name="web")
    bench.commit("web", "mine:1")
    return bench


def pruned(bench: ImageBench) -> tuple[str, ...]:
    return prune(bench.kernel, bench.settings, Sought(downloads=True)).lines


def test_a_commits_base_is_fetched_from_where_its_image_is_from(bench: ImageBench) -> None:
    before = bench.save("mine:1")
    assert len(pruned(bench)) == 3
    assert bench.save("mine:1") == before


def test_that_holds_before_it_was_written_too(bench: ImageBench) -> None:
    assert len(pruned(bench)) == 3
    assert bench.save("mine:1")
    assert bench.push("mine:1", "mine:1").digest


def test_a_layer_that_only_this_host_has_is_kept(bench: ImageBench) -> None:
    before = bench.save("mine:1")
    pruned(bench)
    assert pruned(bench) == ()
    bench.registry.seen.clear()
    assert bench.save("mine:1") == before
    assert len(bench.asked("GET")) >= 3
    bench.push("mine:1", "mine:1")
    assert len(pruned(bench)) == 4


def test_what_came_from_an_archive_is_kept(bench: ImageBench) -> None:
    data = bench.save(f"{HOST}/app:1")
    other = ImageBench()
    other.world.write_file(OUT, data)
    other.load()
    pruned(other)
    assert other.save(f"{HOST}/app:1") == data


def test_a_base_whose_image_goes_is_kept_with_the_commit(bench: ImageBench) -> None:
    """Nobody would know any more where it is from."""
    before = bench.save("mine:1")
    bench.rm("web", f"{HOST}/app:1")
    pruned(bench)
    bench.registry.repositories.clear()
    assert bench.save("mine:1") == before


def test_a_base_that_was_pruned_first_is_there_again_after_a_pull(bench: ImageBench) -> None:
    """As the error says."""
    before = bench.save("mine:1")
    pruned(bench)
    bench.rm("web", f"{HOST}/app:1")
    with pytest.raises(BlobGone) as gone:
        bench.save("mine:1")
    assert isinstance(gone.value, BockerError)
    assert gone.value.hint
    bench.pull("app:1")
    assert bench.save("mine:1") == before

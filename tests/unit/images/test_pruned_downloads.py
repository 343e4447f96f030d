"""After `prune --downloads` every image still goes out: what no registry has is kept, the rest is fetched again."""

from __future__ import annotations

import pytest

from bocker.core.errors import BockerError
from bocker.engine import images as engine_images
from bocker.images.errors import BlobGone
from bocker.images.load import LoadRequest, load
from bocker.images.prune import Sought, prune
from bocker.images.save import SaveRequest, save
from tests.unit.images.bench import HOST, LINUX, Diary, ImageBench, three_layers

OUT = "/out.tar"


@pytest.fixture
def bench() -> ImageBench:
    """A host with a pulled image, and a commit of it that was not written as a layer yet."""
    bench = ImageBench()
    three_layers(bench)
    bench.pull("app:1")
    bench.run("probe", "write", "/own", "file", image=f"{HOST}/app:1", name="web")
    engine_images.commit(bench.kernel, bench.settings, "web", "mine:1")
    return bench


def saved(bench: ImageBench, reference: str) -> bytes:
    save(bench.kernel, bench.settings, SaveRequest((reference,), LINUX, bench.remote, OUT), Diary())
    return bench.world.read_file(OUT)


def pruned(bench: ImageBench) -> tuple[str, ...]:
    return prune(bench.kernel, bench.settings, Sought(downloads=True)).lines


def test_a_commits_base_is_fetched_from_where_its_image_is_from(bench: ImageBench) -> None:
    before = saved(bench, "mine:1")
    assert len(pruned(bench)) == 3
    assert saved(bench, "mine:1") == before


def test_that_holds_before_it_was_written_too(bench: ImageBench) -> None:
    assert len(pruned(bench)) == 3
    assert saved(bench, "mine:1")
    assert bench.push("mine:1", "mine:1").digest


def test_a_layer_that_only_this_host_has_is_kept(bench: ImageBench) -> None:
    before = saved(bench, "mine:1")
    pruned(bench)
    assert pruned(bench) == ()
    bench.registry.seen.clear()
    assert saved(bench, "mine:1") == before
    assert len(bench.asked("GET")) >= 3
    bench.push("mine:1", "mine:1")
    assert len(pruned(bench)) == 4


def test_what_came_from_an_archive_is_kept(bench: ImageBench) -> None:
    data = saved(bench, f"{HOST}/app:1")
    other = ImageBench()
    other.world.write_file(OUT, data)
    load(other.kernel, other.settings, LoadRequest(OUT, LINUX), Diary())
    pruned(other)
    assert saved(other, f"{HOST}/app:1") == data


def test_a_base_whose_image_goes_is_kept_with_the_commit(bench: ImageBench) -> None:
    """Nobody would know any more where it is from."""
    before = saved(bench, "mine:1")
    bench.rm("web", f"{HOST}/app:1")
    pruned(bench)
    bench.registry.repositories.clear()
    assert saved(bench, "mine:1") == before


def test_a_base_that_was_pruned_first_is_there_again_after_a_pull(bench: ImageBench) -> None:
    """As the error says."""
    before = saved(bench, "mine:1")
    pruned(bench)
    bench.rm("web", f"{HOST}/app:1")
    with pytest.raises(BlobGone) as gone:
        saved(bench, "mine:1")
    assert isinstance(gone.value, BockerError)
    assert gone.value.hint
    bench.pull("app:1")
    assert saved(bench, "mine:1") == before

"""Whose id, whose subvolume, whose turn: an image is built beside what others have and do."""

from __future__ import annotations

import errno

import pytest

from bocker.core.errors import BockerError, NoSuchImage, PoolFull
from bocker.core.ids import FIRST, ImageId
from bocker.core.model import ImageContent
from bocker.engine import building, claims, resolve, store
from bocker.fakes.faults import Gate
from tests.unit.engine.bench import Bench, ready
from tests.unit.engine.test_setup import RefuseOperation

RECIPE = building.Recipe(ImageContent("", "/rootfs", 0), lambda aside: None)


def test_an_image_that_somebody_builds_keeps_its_id_and_nobody_waits_for_it() -> None:
    bench = ready()
    with bench.in_another_terminal().kernel.records.lock("img_42003"):
        assert bench.add_image() == "img_42004"


def test_a_subvolume_without_a_record_keeps_its_name_and_its_files() -> None:
    bench = ready()
    bench.kernel.storage.create("img_42003")
    bench.write("img_42003", "mine", "text")
    assert bench.add_image() == "img_42004"
    assert bench.tree("img_42003") == {"mine": b"text"}


def test_all_ids_of_images_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ready()
    bench.add_image()
    monkeypatch.setattr(building, "LAST_IMAGE", FIRST + 1)
    with pytest.raises(PoolFull, match="2 image ids"):
        bench.add_image()
    assert list(bench.images()) == ["img_42002", "img_42003"]


def test_an_image_without_a_tag_has_none_in_its_record() -> None:
    bench = Bench()
    image = ImageId.parse(bench.add_image())
    assert image is not None
    assert store.load_tags(bench.kernel, image).tags == ()


def test_who_replaces_an_image_waits_for_who_works_with_it() -> None:
    bench = ready()
    bench.run("probe", "write", "/etc/mine", "data", name="web")
    held = bench.in_another_terminal().kernel.records.lock("img_42002")
    seen = []

    def let_go() -> None:
        seen.append("etc/mine" in bench.tree("img_42002"))
        with held:
            pass

    bench.world.schedule(1.0, let_go)
    bench.commit("web", "base")
    assert seen == [False]
    assert bench.tree("img_42002")["etc/mine"] == b"data"


def test_an_image_that_went_is_not_replaced() -> None:
    bench = ready()
    before = bench.traces()
    with pytest.raises(NoSuchImage, match="img_42003"):
        building.replace_image(bench.kernel, ImageId(42003), RECIPE)
    assert bench.traces() == before


@pytest.mark.parametrize("source", ["img_42003", "ps_42002"])
def test_a_snapshot_that_a_killed_engine_left_is_made_anew(source: str) -> None:
    """What goes out is what the image, or the container, has now."""
    bench = Bench()
    bench.add_image(tag="base")
    bench.run("probe", "write", "/etc/mine", "data", name="web")
    bench.commit("web", "mine")
    left = building.frozen_of(source)
    bench.kernel.storage.create(left)
    bench.write(left, "etc-of-old", "old")
    assert bench.kernel.storage.describe(building.freeze(bench.kernel, source)).read_only
    assert bench.tree(left) == bench.tree(source)


def test_what_a_killed_engine_left_of_an_image_is_no_part_of_the_next() -> None:
    bench = Bench()
    bench.kernel.storage.create(".img_42002.new")
    bench.write(".img_42002.new", "etc-of-old", "old")
    assert bench.add_image() == "img_42002"
    assert bench.tree("img_42002").keys() == {
        path for path, entry in bench.world.tree("/rootfs").items() if entry.content
    }


@pytest.mark.parametrize("operation", ["storage.publish", "storage.exchange"])
def test_what_was_known_of_an_image_that_could_not_be_published_is_forgotten(operation: str) -> None:
    bench = ready()
    bench.run("true", name="web")
    before = bench.traces()
    bench.kernel.gate = RefuseOperation(operation, errno.ENOSPC)
    with pytest.raises(BockerError, match="no space is left"):
        bench.commit("web", "base" if "exchange" in operation else "new")
    bench.kernel.gate = Gate()
    assert bench.traces() == before


def test_an_image_that_never_came_to_be_goes_by_its_id() -> None:
    bench = ready()
    bench.kernel.records.claim("images/img_42003", b"")
    assert bench.rm("img_42003") == ["Removed: img_42003"]
    assert bench.kernel.records.list("images") == ("img_42002",)


def test_ids_that_may_be_free_are_offered_once_each_from_the_one_after_the_last() -> None:
    bench = Bench()
    bench.kernel.records.write("counters/images", b"42003\n")
    assert [str(one) for one in claims.candidates(bench.kernel, "images", ImageId, FIRST + 3)] == [
        "img_42004",
        "img_42005",
        "img_42002",
        "img_42003",
    ]


def test_of_the_ids_that_are_taken_the_next_one_alone_is_tried() -> None:
    """It is most often free, so nothing is listed for it; and of each that is, nobody tries to claim it."""
    bench = Bench()
    for number in (42002, 42003, 42005):
        bench.kernel.records.claim(f"images/img_{number}", b"")
    offered = claims.candidates(bench.kernel, "images", ImageId, FIRST + 4, frozenset({42004}))
    assert [one.number for one in offered] == [42002, 42006]


@pytest.mark.parametrize("damaged", [b"", b"x", b"4200x", b"-42003", b"9999999"])
def test_a_damaged_counter_only_counts_from_the_first_again(damaged: bytes) -> None:
    bench = Bench()
    bench.kernel.records.write("counters/images", damaged)
    assert bench.add_image() == "img_42002"
    assert resolve.image(bench.kernel, "img_42002") == ImageId(42002)

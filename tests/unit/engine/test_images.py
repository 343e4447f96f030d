from __future__ import annotations

import pytest

from bocker.core.errors import (
    HoldsTheStore,
    InvalidValue,
    NestedSubvolumes,
    NoSuchContainer,
    NoSuchDirectory,
    NoSuchImage,
    OperationFailed,
)
from bocker.core.ids import LAST_IMAGE
from bocker.engine import images, listing, resolve
from bocker.fakes.images import link
from bocker.fakes.state import Entry
from tests.unit.engine.bench import Bench, Screen, ready
from tests.unit.engine.test_sweep import crash

NOT_A_CONTAINER = ["path", "5", "ps_.*", "..", ".", "ps_", "img_42002", "base", "", "ps_42003", "ps_4200x"]


def with_container() -> Bench:
    bench = ready()
    bench.run("probe", "write", "/etc/mine", "data", name="web")
    return bench


def test_init_makes_an_image_of_everything_in_a_directory() -> None:
    bench = Bench()
    bench.world.add_root_filesystem(
        "/other", {".hidden": Entry("file", 0o4755, 7, 8, content=b"x"), "l": link("nowhere")}
    )
    image = images.init(bench.kernel, bench.settings, "/other")
    tree = bench.world.tree(f"/var/bocker/{image}")
    assert {path: (entry.kind, entry.mode, entry.uid) for path, entry in tree.items()} == {
        path: (entry.kind, entry.mode, entry.uid) for path, entry in bench.world.tree("/other").items()
    }


def test_the_list_tells_source_tags_and_time() -> None:
    bench = ready()
    (image,) = listing.images(bench.kernel, bench.settings)
    assert (image.id, image.tags, image.source) == ("img_42002", ("base:latest",), "/rootfs")
    assert image.created_ns > 0


def test_the_first_init_writes_the_stores_format() -> None:
    bench = Bench(ready=False)
    bench.world.prepare(bench.settings)
    bench.add_image()
    assert bench.kernel.records.read("store/format") == b"1\n"


@pytest.mark.parametrize("directory", ["/nothing", "/etc/resolv.conf", "/rootfs/bin/busybox"])
def test_W6_a_directory_that_is_none_leaves_nothing(directory: str) -> None:
    bench = Bench()
    before = bench.traces()
    with pytest.raises(NoSuchDirectory, match=f"No directory named '{directory}' exists"):
        images.init(bench.kernel, bench.settings, directory)
    assert [line for line in bench.traces() if "store/format" not in line] == [
        line for line in before if "store/format" not in line
    ]


@pytest.mark.parametrize("directory", ["/", "/var", "/var/bocker"])
def test_what_the_store_is_in_is_not_copied_into_itself(directory: str) -> None:
    bench = ready()
    before = bench.traces()
    with pytest.raises(HoldsTheStore) as caught:
        images.init(bench.kernel, bench.settings, directory)
    assert caught.value.message == f"'{directory}' can't be copied into itself: /var/bocker is in it"
    assert bench.traces() == before


@pytest.mark.parametrize("free_bytes", [150, 1 << 19])
def test_D12_a_full_disk_leaves_no_image(free_bytes: int) -> None:
    """Also where only the copy finds no room, and the records would."""
    bench = ready()
    bench.world.write_file("/rootfs/large", bytes(1 << 20))
    before = bench.traces()
    bench.world.set_free_bytes("/var/bocker", free_bytes)
    with pytest.raises(OperationFailed, match="no space is left"):
        bench.add_image(tag="big")
    bench.world.set_free_bytes("/var/bocker", None)
    assert bench.traces() == before


def test_W7_L6_many_inits_get_ids_that_are_all_distinct() -> None:
    bench = Bench()
    assert [bench.add_image() for _ in range(12)] == [f"img_{number}" for number in range(42002, 42014)]


def test_a_tag_moves_to_the_newer_image() -> None:
    bench = ready()
    bench.add_image(tag="base")
    assert bench.images() == {"img_42002": (), "img_42003": ("base:latest",)}


def test_of_two_that_have_a_tag_the_newer_one_counts_whatever_its_number() -> None:
    """After the last number comes the first; an engine is killed before it took the tag from the older one."""
    bench = Bench()
    bench.kernel.records.write("counters/images", f"{LAST_IMAGE - 1}\n".encode())
    older = bench.add_image(tag="app")
    crash(bench, lambda one: one.add_image(tag="app"), "storage.names")
    assert bench.images() == {"img_42002": ("app:latest",), older: ("app:latest",)}
    assert str(resolve.tagged(bench.kernel, "app:latest")) == "img_42002"
    bench.cleanup()
    assert bench.images() == {"img_42002": ("app:latest",), f"img_{LAST_IMAGE}": ()}


@pytest.mark.parametrize("tag", ["img_42009", "..", "A", "a b", ""])
def test_a_tag_that_is_none_is_refused_before_anything_is_made(tag: str) -> None:
    bench = ready()
    before = bench.traces()
    with pytest.raises(InvalidValue):
        bench.add_image(tag=tag)
    assert bench.traces() == before


def test_W12_a_commit_to_a_new_name_makes_an_image() -> None:
    bench = with_container()
    assert bench.commit("web", "app:1") == ("img_42003", False)
    assert bench.images()["img_42003"] == ("app:1",)
    assert bench.tree("img_42003")["etc/mine"] == b"data"
    assert bench.run("probe", "read", "/etc/mine", image="app:1").out == b"data"


@pytest.mark.parametrize("target", ["img_42002", "base", "base:latest"])
def test_a_commit_onto_an_image_replaces_it_and_keeps_its_id_and_tags(target: str) -> None:
    bench = with_container()
    assert bench.commit("ps_42002", target) == ("img_42002", True)
    assert bench.images() == {"img_42002": ("base:latest",)}
    assert bench.tree("img_42002")["etc/mine"] == b"data"
    assert bench.cleanup() == ()


def test_a_committed_image_keeps_the_source() -> None:
    """Also where nothing is known of the container's image any more."""
    bench = with_container()
    bench.commit("web", "base")
    assert listing.images(bench.kernel, bench.settings)[0].source == "/rootfs"
    for uuid in bench.kernel.records.list("contents"):
        bench.kernel.records.remove(f"contents/{uuid}")
    bench.commit("web", "base")
    assert listing.images(bench.kernel, bench.settings)[0].source == "/rootfs"


@pytest.mark.parametrize("source", NOT_A_CONTAINER)
def test_D5_D8_W11_an_unknown_source_changes_nothing(source: str) -> None:
    bench = with_container()
    before = bench.traces()
    with pytest.raises(NoSuchContainer):
        bench.commit(source, "base")
    assert bench.traces() == before


@pytest.mark.parametrize("target", ["ps_42002", "img_42003", "img_42001", "ps_42999"])
def test_D4_a_target_that_is_a_container_or_an_unknown_id_is_refused(target: str) -> None:
    bench = with_container()
    before = bench.traces()
    with pytest.raises(NoSuchImage):
        bench.commit("ps_42002", target)
    assert bench.traces() == before


@pytest.mark.parametrize("target", ["..", ".*", "img_", "../x", "Web"])
def test_a_target_that_can_be_no_tag_is_a_usage_error(target: str) -> None:
    bench = with_container()
    before = bench.traces()
    with pytest.raises(InvalidValue):
        bench.commit("web", target)
    assert bench.traces() == before


def test_the_target_of_a_commit_is_never_a_prefix() -> None:
    bench = with_container()
    with pytest.raises(NoSuchImage):
        bench.commit("web", "img_4200")
    assert "etc/mine" not in bench.tree("img_42002")


def test_D11_subvolumes_inside_are_refused_by_name() -> None:
    bench = with_container()
    bench.nest("ps_42002", "data")
    before = bench.traces()
    with pytest.raises(NestedSubvolumes, match="data"):
        bench.commit("web", "base")
    assert bench.traces() == before


def test_D7_an_image_with_a_subvolume_inside_is_replaced_for_true() -> None:
    bench = with_container()
    bench.nest("img_42002", "data")
    bench.commit("web", "base")
    assert bench.tree("img_42002")["etc/mine"] == b"data"
    assert bench.kernel.storage.names() == ("img_42002", "ps_42002")


def test_W9_the_image_holds_the_containers_files_and_no_more() -> None:
    bench = with_container()
    bench.commit("web", "app")
    before = bench.tree("img_42002")
    assert bench.tree("img_42003") == {**before, "etc/mine": b"data"}


def test_a_running_container_can_be_committed() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    made: list[tuple[str, bool]] = []
    screen = Screen(lambda data: made.append(other.commit("live", "app")))
    bench.run("probe", "echo", "up", ",", "sleep", "5", name="live", screen=screen)
    assert made == [("img_42003", False)]


def test_D6_at_every_instant_the_image_is_the_old_one_or_the_new_one() -> None:
    """Somebody looks at the image before each call of the commit."""
    bench = with_container()
    old = bench.tree("img_42002")
    new = {**old, "etc/mine": b"data"}
    seen = []

    class Look:
        def around(self, call: object, act: object, refuse: object) -> object:
            seen.append(bench.tree("img_42002"))
            return act()  # type: ignore[operator]

    bench.kernel.gate = Look()  # type: ignore[assignment]
    bench.commit("web", "base")
    assert all(tree in (old, new) for tree in seen)
    assert bench.tree("img_42002") == new
    assert seen[0] == old


def test_the_new_content_is_on_disk_before_it_is_published() -> None:
    bench = with_container()
    start = len(bench.world.journal)
    bench.commit("web", "base")
    done = [entry.call.operation for entry in bench.world.journal[start:]]
    assert done.index("storage.sync") < done.index("storage.exchange")


def test_W21_what_is_no_image_of_ours_is_not_listed() -> None:
    bench = ready()
    bench.kernel.storage.create("img_42077")
    bench.kernel.storage.create("something")
    bench.kernel.records.claim("images/img_42078", b'{"id": "img_42078"}')
    assert list(bench.images()) == ["img_42002"]


def test_W21_an_image_whose_record_is_damaged_is_listed_without_tags() -> None:
    bench = ready()
    bench.kernel.records.write("images/img_42002", b"{")
    assert bench.images() == {"img_42002": ()}
    assert bench.cleanup() == ("Repaired: the record of img_42002",)

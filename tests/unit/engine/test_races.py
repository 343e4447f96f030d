"""What was looked up before a lock was had is looked up again: somebody was faster, at the one instant that matters.

Schedules by chance meet such an instant now and then (`test_interleavings.py`); here each of them is met.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

import pytest

from bocker.core.errors import (
    BockerError,
    HostNotReady,
    NameInUse,
    NoSuchContainer,
    NoSuchImage,
    OperationFailed,
)
from bocker.core.ids import ImageId
from bocker.core.model import ImageTags
from bocker.engine import resolve, store
from bocker.engine.repair import LINKS_GO_S
from bocker.engine.tags import remove_idle
from bocker.fakes import interference
from bocker.fakes.faults import Call, Gate
from bocker.kernel.errors import Busy
from tests.unit.engine.bench import Bench, ready
from tests.unit.engine.test_setup import RefuseOperation
from tests.unit.engine.test_sweep import crash
from tests.unit.images.bench import ImageBench
from tests.unit.interleaving import Interleaving, parse_schedule

T = TypeVar("T")


class Meanwhile(Gate):
    """Lets somebody else act before the first call of an operation about a subject."""

    def __init__(self, operation: str, subject: str, act: Callable[[], object]) -> None:
        self._call = (operation, subject)
        self._act: Callable[[], object] | None = act

    @property
    def is_over(self) -> bool:
        """Tell whether the call came."""
        return self._act is None

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        if self._act is not None and (call.operation, call.subject) == self._call:
            meanwhile, self._act = self._act, None
            meanwhile()
        return act()


def slow(bench: Bench, operation: str, subject: str, act: Callable[[], object]) -> tuple[Bench, Meanwhile]:
    """Return somebody during whose call another one acts."""
    other = bench.in_another_terminal()
    other.kernel.gate = gate = Meanwhile(operation, subject, act)
    return other, gate


def test_rm_of_a_tag_that_moved_just_now_removes_nothing() -> None:
    bench = ready()
    other, gate = slow(bench, "records.lock", "img_42002", lambda: bench.add_image(tag="base"))
    assert other.rm("base") == ["'base' has become the name of img_42003 meanwhile"]
    assert gate.is_over
    assert bench.images() == {"img_42002": (), "img_42003": ("base:latest",)}


def test_rm_of_an_image_that_somebody_removed_just_now_is_said() -> None:
    bench = ready()
    other, gate = slow(bench, "records.lock", "img_42002", lambda: bench.rm("img_42002"))
    assert other.rm("img_42002") == ["'img_42002' was removed by another command meanwhile"]
    assert gate.is_over


def test_an_image_that_got_a_tag_just_now_is_not_idle() -> None:
    bench = ImageBench()
    bench.add_image()
    (image,) = store.image_ids(bench.kernel)
    other, gate = slow(bench, "records.lock", str(image), lambda: bench.tag(str(image), "kept"))
    assert remove_idle(other.kernel, image, tagged_too=False) is False
    assert gate.is_over
    assert bench.images() == {str(image): ("kept:latest",)}


def test_a_name_that_was_taken_just_now_is_in_use() -> None:
    bench = ready()
    other, gate = slow(bench, "records.lock", store.NAMES_LOCK, lambda: bench.run("true", name="web"))
    with pytest.raises(NameInUse):
        other.run("true", name="web")
    assert gate.is_over
    assert [record.name for record in bench.records()] == ["web"]


@pytest.mark.parametrize("act", [Bench.ps, Bench.cleanup])
def test_a_dead_container_that_was_removed_just_now_stays_removed(act: Callable[[Bench], object]) -> None:
    bench = ready()
    crash(bench, lambda one: one.run("probe", "echo", "up", ",", "sleep", "9"), "records.append")
    other, gate = slow(bench, "records.lock", "ps_42002", lambda: bench.rm("ps_42002"))
    act(other)
    assert gate.is_over
    assert bench.ps() == {}
    assert bench.cleanup() == ()


def test_what_is_known_of_an_image_that_is_published_just_now_stays() -> None:
    """One look at the names misses it under both."""
    bench = ready()
    crash(bench, lambda one: one.add_image(tag="new"), "storage.publish")
    builder = bench.program()
    other, gate = slow(
        bench, "storage.describe", ".img_42003.new", lambda: builder.storage.publish(".img_42003.new", "img_42003")
    )
    assert store.stray_contents(other.kernel) == ()
    assert gate.is_over


def test_a_tag_is_not_given_to_an_image_that_was_removed_just_now() -> None:
    bench = ImageBench()
    bench.add_image(tag="base")
    other, gate = slow(bench, "records.lock", "img_42002", lambda: bench.rm("base"))
    with pytest.raises(BockerError, match="No image named 'base'"):
        other.tag("base", "second")  # type: ignore[attr-defined]
    assert gate.is_over
    assert bench.kernel.records.list("images") == ()


def with_container() -> Bench:
    bench = ready()
    bench.run("probe", "write", "/etc/mine", "data", name="web", environment=("OF=web",))
    return bench


def content_of(bench: Bench, image: str) -> str:
    return bench.kernel.storage.describe(image).uuid


def commit_onto_base(bench: Bench) -> object:
    return bench.commit("web", "base")


WORKING = [
    (lambda bench: bench.run("true"), ("storage.snapshot", "ps_42003"), "base", NoSuchImage),
    (lambda bench: bench.commit("web", "new"), ("storage.nested", "ps_42002"), "web", NoSuchContainer),
    (lambda bench: bench.commit("web", "new"), ("storage.snapshot", ".img_42003.new"), "web", NoSuchContainer),
]


@pytest.mark.parametrize(("act", "call", "word", "kind"), WORKING)
def test_what_somebody_removed_just_now_does_not_exist_any_more(
    act: Callable[[Bench], object], call: tuple[str, str], word: str, kind: type[BockerError]
) -> None:
    bench = with_container()
    other, gate = slow(bench, *call, lambda: bench.rm(word))
    with pytest.raises(kind, match=f"'{word}'"):
        act(other)
    assert gate.is_over


@pytest.mark.parametrize(("act", "call", "word", "kind"), WORKING)
def test_what_is_there_is_not_said_to_be_gone_where_something_else_is(
    act: Callable[[Bench], object], call: tuple[str, str], word: str, kind: type[BockerError]
) -> None:
    bench = with_container()
    bench.kernel.gate = RefuseOperation(call[0], errno.ENOENT)
    with pytest.raises(OperationFailed, match=f"there is no such thing .{call[0]}"):
        act(bench)
    other, gate = slow(with_container(), *call, lambda: interference.unmount(other.world, other.settings.store))
    with pytest.raises(HostNotReady, match="no btrfs file system is mounted"):
        act(other)
    assert gate.is_over


@pytest.mark.parametrize("act", [Bench.logs, Bench.rm, Bench.stop])
def test_a_word_that_names_nothing_is_not_what_is_wrong_where_the_store_went_just_now(
    act: Callable[[Bench, str], object],
) -> None:
    bench = with_container()
    call = ("records.read", "containers/ps_42002")
    other, gate = slow(bench, *call, lambda: interference.unmount(bench.world, "/var/bocker"))
    with pytest.raises(HostNotReady, match="no btrfs file system is mounted"):
        act(other, "ps_42002")
    assert gate.is_over


def test_an_image_that_was_replaced_just_now_is_run_as_it_is_now() -> None:
    """Its files with the command, the user or the environment of those before would be neither of the two."""
    bench = with_container()
    other, gate = slow(bench, "storage.snapshot", "ps_42003", lambda: commit_onto_base(bench))
    seen = other.run("probe", "read", "/etc/mine", ",", "env")
    assert gate.is_over
    assert (seen.code, seen.out[:4], b"OF=web\n" in seen.out) == (0, b"data", True)


def test_an_image_that_is_replaced_while_it_is_looked_at_is_the_new_one() -> None:
    bench = with_container()
    before = content_of(bench, "img_42002")
    other, gate = slow(bench, "records.read", f"contents/{before}", lambda: (commit_onto_base(bench), bench.rm("web")))
    content = store.image_content(other.kernel, ImageId(42002))
    assert gate.is_over
    assert (content.uuid, content.environment) == (content_of(bench, "img_42002"), ("OF=web",))
    assert content.uuid != before


def test_an_image_of_which_nothing_is_known_is_an_image_all_the_same() -> None:
    bench = ready()
    uuid = content_of(bench, "img_42002")
    bench.kernel.records.remove(f"contents/{uuid}")
    content = store.image_content(bench.kernel, ImageId(42002))
    assert (content.uuid, content.source, content.created_ns) == (uuid, "", 0)
    assert bench.images() == {"img_42002": ("base:latest",)}


def test_an_image_that_goes_while_it_is_listed_is_not_listed_without_its_tags() -> None:
    bench = ready()
    other, gate = slow(bench, "records.read", "images/img_42002", lambda: bench.rm("base"))
    assert other.images() == {}
    assert gate.is_over


def test_a_tag_that_moves_behind_who_looks_for_it_is_found() -> None:
    """The first image is looked at before it gets the tag, the second one after it lost it."""
    bench = ImageBench()
    bench.add_image()
    bench.add_image(tag="app")
    other, gate = slow(bench, "records.read", "images/img_42003", lambda: bench.tag("img_42002", "app"))
    assert resolve.tagged(other.kernel, "app:latest") == ImageId(42002)
    assert gate.is_over


def test_of_two_that_have_a_tag_one_that_goes_just_now_does_not_count() -> None:
    bench = ready()
    bench.add_image(tag="base")
    bench.kernel.records.write("images/img_42002", store.encode(ImageTags("img_42002", ("base:latest",))))
    bench.kernel.records.remove(f"contents/{content_of(bench, 'img_42003')}")  # it has no time, either
    other, gate = slow(bench, "storage.describe", "img_42002", lambda: bench.rm("img_42002"))
    assert resolve.tagged(other.kernel, "base:latest") == ImageId(42003)
    assert gate.is_over


@pytest.mark.parametrize(("target", "made"), [("app", ("img_42003", False)), ("img_42003", None)])
def test_a_commit_onto_an_image_that_was_removed_just_now_makes_a_new_one_of_its_tag_alone(
    target: str, made: tuple[str, bool] | None
) -> None:
    bench = with_container()
    bench.commit("web", "app")
    bench.kernel.records.remove("counters/images")
    other, gate = slow(bench, "records.lock", "img_42003", lambda: bench.rm("img_42003"))
    if made is None:
        with pytest.raises(NoSuchImage, match="img_42003"):
            other.commit("web", target)
    else:
        assert other.commit("web", target) == made
        assert bench.images()["img_42003"] == ("app:latest",)
    assert gate.is_over


@pytest.mark.parametrize("tag", [None, "app"])
def test_an_image_gets_its_name_while_nobody_can_take_its_tag_away(tag: str | None) -> None:
    bench = ready()
    names: list[bool] = []

    def look() -> None:
        try:
            with bench.kernel.records.lock(store.NAMES_LOCK, wait=False):
                names.append(True)
        except Busy:
            names.append(False)

    other, _ = slow(bench, "storage.publish", "img_42003", look)
    other.add_image(tag=tag)
    assert names == [tag is None]


def test_rmi_of_a_tag_that_moved_just_now_takes_the_image_that_has_it() -> None:
    bench = ImageBench()
    bench.add_image(tag="base")
    other, gate = slow(bench, "records.lock", "img_42002", lambda: bench.add_image(tag="base"))
    assert other.rmi("base") == ["Untagged: base:latest", "Removed: img_42003"]  # type: ignore[attr-defined]
    assert gate.is_over
    assert bench.images() == {"img_42002": ()}


def test_rm_of_a_container_that_somebody_removed_just_now_is_said() -> None:
    bench = with_container()
    other, gate = slow(bench, "records.lock", "ps_42002", lambda: bench.rm("web"))
    assert other.rm("web") == ["'web' was removed by another command meanwhile"]
    assert gate.is_over


def test_a_container_that_goes_with_its_end_is_removed_by_who_kills_it() -> None:
    bench = ready()
    owner, person = bench.in_another_terminal(), bench.in_another_terminal()
    together = Interleaving(bench.world, parse_schedule("0:* 1:*"))
    ran = together.add(owner.kernel, lambda: owner.run("probe", "sleep", "60", name="live", remove_on_exit=True))
    removed = together.add(person.kernel, lambda: person.rm("live", force=True))
    together.play()
    assert (ran.value.code, removed.value) == (137, ["Removed: ps_42002"])  # type: ignore[attr-defined]
    assert bench.kernel.records.list("containers") == ()


def test_who_removes_a_container_that_has_ended_waits_for_who_works_with_it() -> None:
    bench = with_container()
    held = bench.in_another_terminal().kernel.records.lock("ps_42002")

    def let_go() -> None:
        with held:
            pass

    bench.world.schedule(1.0, let_go)
    before_ns = bench.kernel.ambient.now_ns()
    assert bench.rm("web") == ["Removed: ps_42002"]
    assert bench.kernel.ambient.now_ns() - before_ns >= 1e9


def forget(bench: Bench, uuid: str) -> None:
    bench.kernel.records.remove(store.content_key(uuid))


def test_a_content_that_goes_just_now_does_not_hide_the_others() -> None:
    """Or nobody would know of the layers that they are made of, nor mend the record that is damaged."""
    bench = ready()
    bench.add_image()
    first, second = bench.kernel.records.list("contents")
    other, gate = slow(bench, "records.read", store.content_key(first), lambda: forget(bench, first))
    assert [content.uuid for content in store.contents_in_use(other.kernel)] == [second]
    assert gate.is_over
    bench.add_image()
    first, second = bench.kernel.records.list("contents")
    bench.kernel.records.write(store.content_key(second), b"{")
    other, gate = slow(bench, "records.read", store.content_key(first), lambda: forget(bench, first))
    assert other.cleanup() == (f"Repaired: the record of content {second}",)
    assert gate.is_over


def test_an_image_that_goes_just_now_does_not_hide_that_another_ones_tags_are_lost() -> None:
    bench = ready()
    bench.kernel.records.write(f"images/{bench.add_image()}", b"{")
    other, gate = slow(bench, "records.read", "images/img_42002", lambda: bench.rm("img_42002"))
    with pytest.raises(NoSuchImage) as refused:
        other.run("true", image="img_42077")
    assert gate.is_over
    assert (refused.value.hint or "").startswith("the record of img_42003 is damaged")


@pytest.mark.parametrize("call", [("ambient.sleep", str(LINKS_GO_S)), ("records.lock", "ps_42012")])
def test_a_link_that_somebody_elses_subvolume_came_for_just_now_is_left_alone(call: tuple[str, str]) -> None:
    """While `cleanup` waits for the links that the kernel takes away itself, or for their lock."""
    bench = ready()
    bench.kernel.network.create_veth("veth0_ps_42012", "other", "02:42:ac:11:00:0c", "bridge0")
    other, gate = slow(bench, *call, lambda: bench.kernel.storage.create("ps_42012"))
    assert other.cleanup() == ()
    assert gate.is_over
    assert bench.kernel.network.link("veth0_ps_42012")

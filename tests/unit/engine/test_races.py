"""What was looked up before a lock was had is looked up again: somebody was faster, at the one instant that matters.

Schedules by chance meet such an instant now and then (`test_interleavings.py`); here each of them is met.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from bocker.core.errors import BockerError, NameInUse
from bocker.engine import store
from bocker.engine.tags import remove_idle
from bocker.fakes.faults import Call, Gate
from tests.unit.engine.bench import Bench, ready
from tests.unit.engine.test_sweep import crash
from tests.unit.images.bench import ImageBench

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
    assert other.rm("img_42002") == ["No container or image named 'img_42002' exists"]
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

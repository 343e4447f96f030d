"""`history` on the fake machine: the steps, and what each takes."""

from __future__ import annotations

import pytest

from bocker.core.errors import NoSuchImage
from bocker.engine.images import commit
from bocker.images.history import Step, history
from tests.unit.images.bench import BASE, HOST, MIDDLE, TOP, ImageBench, three_layers

APP = f"{HOST}/app:1"


@pytest.fixture
def bench() -> ImageBench:
    bench = ImageBench()
    three_layers(bench)
    return bench


def steps(bench: ImageBench, reference: str) -> tuple[Step, ...]:
    return history(bench.kernel, bench.settings, reference)


def test_the_newest_step_is_first_and_has_the_image(bench: ImageBench) -> None:
    bench.pull("app:1")
    found = steps(bench, APP)
    assert [step.created_by for step in found] == ["layer 3", "layer 2", "layer 1"]
    assert [step.image for step in found] == ["img_42002", None, None]
    assert found[0].size_bytes == len(b"third") + len(b"new")
    assert found[1].size_bytes == len(b"second")
    assert found[2].size_bytes > 9000


def test_steps_without_a_layer_take_nothing(bench: ImageBench) -> None:
    entries = [
        {"created_by": "FROM", "comment": "a"},
        {"created_by": "ENV", "empty_layer": True},
        {"created_by": "RUN", "created": "2020-09-13T12:26:40Z"},
        {"created_by": "CMD", "empty_layer": True},
    ]
    bench.registry.put_image("app", "2", [BASE, MIDDLE], {"history": entries})
    bench.pull("app:2")
    found = steps(bench, f"{HOST}/app:2")
    assert [(step.created_by, step.size_bytes > 0) for step in found] == [
        ("CMD", False),
        ("RUN", True),
        ("ENV", False),
        ("FROM", True),
    ]
    assert [step.created_ns for step in found] == [None, 1_600_000_000_000_000_000, None, None]
    assert found[3].comment == "a"


def test_layers_that_the_history_says_nothing_of_are_steps_all_the_same(bench: ImageBench) -> None:
    bench.registry.put_image("app", "2", [BASE, MIDDLE, TOP], {"history": [{"created_by": "one"}]})
    bench.pull("app:2")
    assert [step.created_by for step in steps(bench, f"{HOST}/app:2")] == ["", "", "one"]


def test_what_was_committed_is_a_step_before_and_after_it_is_written(bench: ImageBench) -> None:
    bench.pull("app:1")
    bench.run("probe", "write", "/own", "x" * 700, image=APP, name="web")
    commit(bench.kernel, bench.settings, "web", "mine:1", lambda content: content.replace(message="why"))
    before = steps(bench, "mine:1")
    assert (len(before), before[0].created_by, before[0].comment) == (4, "bocker commit", "why")
    assert before[0].size_bytes == 700
    bench.push("mine:1", "mine:1")
    assert steps(bench, "mine:1") == before


def test_one_that_was_made_of_a_directory_has_one_step(bench: ImageBench) -> None:
    image = bench.add_image()
    (step,) = steps(bench, image)
    assert (step.image, step.created_by) == (image, "bocker init")
    assert step.size_bytes == sum(map(len, bench.tree(image).values()))


def test_what_is_no_image(bench: ImageBench) -> None:
    with pytest.raises(NoSuchImage):
        steps(bench, "nope")

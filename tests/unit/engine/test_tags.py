"""Tags come, move and go: what `tag` and `rmi` do with one, two and another's."""

from __future__ import annotations

import errno

import pytest

from bocker.core.errors import BockerError
from bocker.engine import store, tags
from bocker.fakes.faults import Gate, RefuseCall
from tests.unit.images.bench import HOST, ImageBench, with_app


class RefuseSecond(RefuseCall):
    """Refuses the second call of one operation."""

    def __init__(self, operation: str, number: int) -> None:
        super().__init__(0, number)
        self.operation = operation
        self.seen = 0

    def _is_now(self, call: object) -> bool:
        self.seen += getattr(call, "operation", "") == self.operation
        return self.seen == 2 and getattr(call, "operation", "") == self.operation


def with_tags(*names: str) -> ImageBench:
    """Return a bench with an image that has tags."""
    bench = ImageBench()
    bench.add_image(tag=names[0])
    for name in names[1:]:
        bench.tag(names[0], name)
    return bench


@pytest.mark.parametrize(
    ("names", "reference", "force", "lines", "left"),
    [
        (("a",), "img_42002", False, ["Untagged: a:latest", "Removed: img_42002"], {}),
        (("a",), "a", False, ["Untagged: a:latest", "Removed: img_42002"], {}),
        (("a", "b"), "a", False, ["Untagged: a:latest"], {"img_42002": ("b:latest",)}),
        (("a", "b"), "a", True, ["Untagged: a:latest"], {"img_42002": ("b:latest",)}),
        (
            ("a", "b"),
            "img_42002",
            False,
            ["Image 'img_42002' has several tags: a:latest, b:latest"],
            {"img_42002": ("a:latest", "b:latest")},
        ),
        (("a", "b"), "img_42002", True, ["Untagged: a:latest", "Untagged: b:latest", "Removed: img_42002"], {}),
    ],
)
def test_an_image_goes_with_its_last_tag_or_by_its_id(
    names: tuple[str, ...], reference: str, force: bool, lines: list[str], left: dict[str, tuple[str, ...]]
) -> None:
    bench = with_tags(*names)
    assert bench.rmi(reference, force=force) == lines
    assert bench.images() == left


def test_each_word_has_its_own_answer_and_one_that_fails_keeps_no_other() -> None:
    bench = with_tags("a", "b")
    answers = tags.remove_images(bench.kernel, bench.settings, ("nothing", "b", "b", "img_42002"))
    assert [(one.reference, one.tags, one.removed, one.error is not None) for one in answers] == [
        ("nothing", (), None, True),
        ("b", ("b:latest",), None, False),
        ("img_42002", ("a:latest",), "img_42002", False),
    ]


def test_a_tag_that_could_not_be_taken_from_the_other_image_did_not_move() -> None:
    bench = with_tags("a")
    bench.add_image(tag="b")
    before = bench.traces()
    bench.kernel.gate = RefuseSecond("records.write", errno.ENOSPC)
    with pytest.raises(BockerError, match="no space is left"):
        bench.tag("b", "a")
    bench.kernel.gate = Gate()
    assert bench.traces() == before


def test_a_tag_that_another_image_has_moves_and_the_others_stay() -> None:
    bench = with_tags("a", "b", "c")
    bench.add_image(tag="d")
    assert bench.tag("d", "b") == "img_42003"
    assert bench.images() == {"img_42002": ("a:latest", "c:latest"), "img_42003": ("d:latest", "b:latest")}


def test_a_tag_that_could_not_be_confirmed_has_not_moved() -> None:
    class LastLook(RefuseCall):
        def _is_now(self, call: object) -> bool:
            self.number += getattr(call, "subject", "") == "store/format"
            return self.number == 2 and getattr(call, "subject", "") == "store/format"

    bench = with_tags("a")
    bench.add_image(tag="b")
    before = bench.traces()
    bench.kernel.gate = LastLook(0, errno.EIO)
    with pytest.raises(BockerError, match="can not be read"):
        bench.tag("b", "a")
    bench.kernel.gate = Gate()
    assert bench.traces() == before


def test_a_tag_that_an_image_has_is_not_written_again() -> None:
    bench = with_tags("a")
    bench.kernel.gate = RefuseSecond("records.write", errno.ENOSPC)
    bench.kernel.gate.seen = 1
    bench.tag("a", "a")
    assert bench.images() == {"img_42002": ("a:latest",)}


def test_a_commit_begins_with_nothing_of_what_was_said_of_its_base() -> None:
    bench = with_tags("a")
    bench.configure("a", author="jo", message="first", dated_ns=5, digests=("r.example/a@sha256:0",))
    bench.run("true", image="a", name="web")
    made, _ = bench.commit("web", "b")
    content = store.load_content(bench.kernel, bench.kernel.storage.describe(made).uuid)
    assert (content.author, content.message, content.dated_ns, content.digests, content.config) == (
        "",
        "",
        None,
        (),
        None,
    )
    assert content.source == "/rootfs"
    assert len(content.earlier) == 1


def test_with_an_image_its_layers_go() -> None:
    bench = with_app()
    assert len(bench.layers()) == 3
    assert bench.rmi(f"{HOST}/app:1") == [f"Untagged: {HOST}/app:1", "Removed: img_42002"]
    assert bench.layers() == []

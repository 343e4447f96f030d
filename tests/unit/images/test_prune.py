"""`prune` on the fake machine: what would go goes, what is in use stays, and the bytes are those that went."""

from __future__ import annotations

import pytest

from bocker.images.errors import AtWork
from bocker.images.prune import Plan, Pruned, Sought, plan, prune
from bocker.images.space import usages
from tests.unit.engine.bench import Screen
from tests.unit.images.bench import BASE, HOST, MIDDLE, ImageBench, archive, with_app

APP = f"{HOST}/app:1"
ALL = Sought(everything=True, containers=True, downloads=True)
CHOICES = [
    Sought(everything, containers, downloads)
    for everything in (False, True)
    for containers in (False, True)
    for downloads in (False, True)
]


@pytest.fixture
def bench() -> ImageBench:
    """Two images that share layers, one without a tag; a container of each of two; what is half downloaded."""
    bench = with_app()
    bench.registry.put_image("other", "1", [BASE, MIDDLE, archive(("own", "x" * 77))])
    bench.pull("other:1")
    bench.rmi(f"{HOST}/app:1", force=True)
    bench.pull("app:1")
    bench.add_image()
    bench.run("probe", "write", "/own", "y" * 99, image=APP, name="web")
    bench.commit("web", "mine:1")
    bench.world.write_file(bench.kernel.blobs.draft("half"), b"12345")
    bench.kernel.blobs.add("0" * 64, b"stray")
    bench.world.settle()
    return bench


def planned(bench: ImageBench, sought: Sought) -> Plan:
    return plan(bench.kernel, bench.settings, sought)


def pruned(bench: ImageBench, sought: Sought) -> Pruned:
    return prune(bench.kernel, bench.settings, sought)


def taken_bytes(bench: ImageBench) -> int:
    return sum(usage.size_bytes for usage in usages(bench.kernel, bench.settings))


@pytest.mark.parametrize("sought", CHOICES)
def test_what_would_go_goes_and_its_bytes_are_back(bench: ImageBench, sought: Sought) -> None:
    would, before = planned(bench, sought), taken_bytes(bench)
    did = pruned(bench, sought)
    assert (did.lines, did.size_bytes, did.errors) == (would.names, would.size_bytes, ())
    assert before - taken_bytes(bench) == did.size_bytes > 0
    assert planned(bench, sought).is_empty
    assert pruned(bench, sought) == Pruned((), 0)


def test_without_more_only_what_nobody_named_goes(bench: ImageBench) -> None:
    would = planned(bench, Sought())
    untagged = [image for image, tags in bench.images().items() if not tags]
    assert would == Plan((), tuple(untagged), (), ("0" * 64,), ("half",), would.size_bytes)
    assert len(untagged) == 1
    pruned(bench, Sought())
    assert bench.run("probe", "read", "/own", image=f"{HOST}/other:1").out == b"x" * 77
    assert bench.push("mine:1", "mine:1").digest


def test_all_leaves_an_empty_store(bench: ImageBench) -> None:
    pruned(bench, ALL)
    assert (bench.images(), bench.ps(), bench.layers()) == ({}, {}, [])
    assert bench.kernel.blobs.list() == bench.kernel.blobs.drafts() == ()
    assert taken_bytes(bench) == 0


def test_an_image_with_a_container_stays_unless_that_goes(bench: ImageBench) -> None:
    pruned(bench, Sought(everything=True))
    assert list(bench.images().values()) == [(APP,)]
    pruned(bench, Sought(everything=True, containers=True))
    assert bench.images() == {}


def test_a_running_container_and_its_image_stay(bench: ImageBench) -> None:
    other = bench.in_another_terminal()
    seen: list[Pruned] = []
    screen = Screen(on_output=lambda _: seen.append(pruned(other, ALL)))
    result = bench.run("probe", "echo", "x", ",", "read", "/own", image=f"{HOST}/other:1", screen=screen)
    assert result.code == 0
    assert "ps_42002" in seen[0].lines
    assert bench.ps() == {"ps_42003": "exited"}
    assert list(bench.images().values()) == [(f"{HOST}/other:1",)]


def test_the_layers_of_a_container_whose_image_is_gone_go_with_it(bench: ImageBench) -> None:
    bench.rm(*bench.images())
    assert len(bench.layers()) == 3
    would = planned(bench, Sought(containers=True))
    assert (would.containers, len(would.layers)) == (("ps_42002",), 3)
    assert pruned(bench, Sought(containers=True)).lines == would.names
    assert bench.layers() == []


def test_nothing_goes_while_somebody_is_at_work(bench: ImageBench) -> None:
    before = bench.traces()
    with bench.in_another_terminal().kernel.records.lock("layers", shared=True), pytest.raises(AtWork):
        pruned(bench, ALL)
    assert bench.traces() == before


def test_a_download_that_goes_on_just_now_stays(bench: ImageBench) -> None:
    with bench.in_another_terminal().kernel.records.lock("blob_half"):
        did = pruned(bench, Sought())
    assert "half" not in did.lines
    assert [draft.name for draft in bench.kernel.blobs.drafts()] == ["half"]
    again = pruned(bench, Sought())
    assert (again.lines, again.size_bytes) == (("half",), 5)

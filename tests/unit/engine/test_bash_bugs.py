"""Defects of the original script that no other test of the engine is about; docs/bash-bugs.md has them all."""

from __future__ import annotations

import pytest

from bocker.core.errors import BockerError
from bocker.core.settings import Settings
from bocker.core.words import shown
from tests.unit.engine.bench import Bench, Screen, ready

MANY = 250


def test_D2_everything_that_exists_is_found_however_many_there_are() -> None:
    """The original's answer was a race between two ends of a pipe, lost the more often the longer the list."""
    bench = ready()
    for _ in range(MANY):
        bench.add_image()
    images = list(bench.images())
    assert len(images) == MANY + 1
    assert bench.rm(*images) == [f"Removed: {image}" for image in images]


def test_D3_what_has_the_next_name_is_neither_entered_nor_overwritten() -> None:
    """A run that takes what is there for its own would put its root inside, and run the command on that data."""
    bench = ready()
    kernel = bench.program()
    kernel.storage.create("ps_42002")
    bench.write("ps_42002", "precious", "data")
    for words in (("probe", "write", "/precious", "overwritten"), ("true",)):
        assert bench.run(*words).code == 0
    assert bench.tree("ps_42002") == {"precious": b"data"}
    assert kernel.storage.nested("ps_42002") == ()
    assert "ps_42002" not in bench.ps()


@pytest.mark.parametrize("word", ["none", "img_42002"])
def test_D5_a_commit_that_fails_leaves_the_image_that_it_would_have_replaced(word: str) -> None:
    """The original deleted it first."""
    bench = ready()
    before = bench.traces()
    with pytest.raises(BockerError):
        bench.commit(word, "base")
    assert bench.traces() == before


def test_X2_a_container_is_found_from_anywhere() -> None:
    """Whoever asks, and whoever started it: the record says where its process is, not a terminal."""
    bench = ready()
    found = []

    def from_elsewhere(data: bytes) -> None:
        if not found:
            other = bench.in_another_terminal()
            found.append(other.execute("ps_42002", "probe", "echo", "found").out)

    bench.run("probe", "echo", "up", ",", "sleep", "5", screen=Screen(from_elsewhere))
    assert found == [b"found\n"]


def test_W1_containers_side_by_side_have_addresses_of_their_own() -> None:
    """42011, 42101 and 42110 all had the same one."""
    bench = Bench(settings=Settings())
    bench.add_image(tag="base")
    seen = {}
    for number in (11, 101, 110, 10, 100):
        bench.program().records.write("counters/containers", str(42000 + number - 1).encode())

        def look(data: bytes, number: int = number) -> None:
            lines = [line for line in bench.world.dump().splitlines() if f"10.0.0.{number}/24" in line]
            seen.setdefault(number, len(lines))

        bench.run("probe", "echo", "up", screen=Screen(look))
    assert list(bench.ps()) == ["ps_42010", "ps_42011", "ps_42100", "ps_42101", "ps_42110"]
    assert seen == {11: 1, 101: 1, 110: 1, 10: 1, 100: 1}


def test_W7_L6_an_image_id_that_is_taken_is_passed_over() -> None:
    """By `init` itself: the original called `run` with the words of `init`. Here the last number given was lost."""
    bench = ready()
    bench.program().records.remove("counters/images")
    assert [bench.add_image() for _ in range(2)] == ["img_42003", "img_42004"]
    bench.program().records.remove("counters/images")
    assert bench.add_image() == "img_42005"


@pytest.mark.parametrize("words", [("-n",), ("-e", "x"), ("echo", "-n", "--")])
def test_W22_a_word_with_a_dash_is_shown_as_it_is(words: tuple[str, ...]) -> None:
    """The original gave it to echo(1) as an option."""
    assert shown(words) == " ".join(words)


def test_X3_a_command_that_mentions_a_name_is_not_found_by_it() -> None:
    """Not even one with a lower id than the container that has the name."""
    bench = ready()
    bench.run("probe", "echo", "second")
    found = []

    def look(data: bytes) -> None:
        if not found:
            found.append(bench.in_another_terminal().execute("second", "env").out.split())

    bench.run("probe", "echo", "up", ",", "sleep", "5", name="second", screen=Screen(look))
    assert b"HOSTNAME=ps-42003" in found[0]

from __future__ import annotations

import pytest

from bocker.core.errors import NoSuchContainer
from bocker.core.timestamps import rfc3339
from bocker.engine import loglines
from bocker.fakes import Crashed
from tests.unit.engine.bench import Bench, Screen, ready


def with_log() -> Bench:
    bench = ready()
    bench.run(
        "probe",
        "echo",
        "one",
        ",",
        "error",
        "two",
        ",",
        "sleep",
        "2",
        ",",
        "echo",
        "three",
        ",",
        "echo",
        "four",
        name="web",
    )
    return bench


def test_W18_the_log_is_what_was_written_stream_by_stream() -> None:
    seen = with_log().logs("web")
    assert (seen.out, seen.err) == (b"one\nthree\nfour\n", b"two\n")


def test_times_stand_before_each_line() -> None:
    bench = with_log()
    lines = bench.logs("web", timestamps=True).out.splitlines()
    assert [line.partition(b" ")[2] for line in lines] == [b"one", b"three", b"four"]
    started = bench.records()[0].started_ns
    assert started is not None
    assert all(line.partition(b" ")[0] > rfc3339(started).encode() for line in lines)


@pytest.mark.parametrize(
    ("tail", "out", "err"),
    [(0, b"", b""), (1, b"four\n", b""), (3, b"three\nfour\n", b"two\n"), (9, b"one\nthree\nfour\n", b"two\n")],
)
def test_the_tail_counts_lines(tail: int, out: bytes, err: bytes) -> None:
    seen = with_log().logs("web", tail=tail)
    assert (seen.out, seen.err) == (out, err)


def test_since_leaves_out_what_is_older() -> None:
    bench = with_log()
    started = bench.records()[0].started_ns
    assert started is not None
    assert bench.logs("web", since_ns=started + 10**9).out == b"three\nfour\n"


def test_a_container_that_wrote_nothing_has_an_empty_log() -> None:
    bench = ready()
    bench.run("true")
    assert bench.logs("ps_42002").out == b""


def test_a_log_of_nobody_is_refused() -> None:
    with pytest.raises(NoSuchContainer):
        ready().logs("ps_42002")


def test_L7_following_shows_what_comes_until_nobody_reads() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    reader = Screen()

    def comes(text: bytes, closed: tuple[int, ...] = ()) -> None:
        reader.closed = closed
        bench.kernel.records.append("logs/ps_42002", loglines.encode(bench.kernel.ambient.now_ns(), 1, text))

    def follow(data: bytes) -> None:
        bench.world.schedule(0.3, lambda: comes(b"two\n"))
        bench.world.schedule(0.6, lambda: comes(b"three"))
        bench.world.schedule(0.9, lambda: comes(b"unseen", closed=(1,)))
        other.logs("web", screen=reader, follow=True)

    bench.run("probe", "echo", "one", ",", "sleep", "1", name="web", screen=Screen(follow))
    assert reader.streams[1] == b"one\ntwo\nthree"


def test_following_a_container_that_ended_shows_its_log_and_returns() -> None:
    assert with_log().logs("web", follow=True).out == b"one\nthree\nfour\n"


def test_following_a_container_whose_engine_is_killed_ends() -> None:
    bench = ready()
    victim = bench.in_another_terminal()
    screen = Screen(lambda data: bench.world.kill_program(victim.kernel))
    with pytest.raises(Crashed):
        victim.run("probe", "echo", "one", ",", "sleep", "60", screen=screen)
    assert bench.logs("ps_42002", follow=True).out == b"one\n"
    assert bench.ps() == {"ps_42002": "dead"}


def test_a_reader_that_is_gone_ends_the_command() -> None:
    assert with_log().logs("web", screen=Screen(closed=(1,))).out == b""


def test_S9_S10_S11_the_log_and_the_records_are_outside_the_containers_root() -> None:
    bench = with_log()
    paths = set(bench.world.tree("/var/bocker/ps_42002"))
    assert not [path for path in paths if path.endswith((".log", ".cmd", "img.source"))]
    bench.write("ps_42002", "ps_42002.log", "forged\n")
    bench.write("ps_42002", "ps_42002.cmd", "forged")
    bench.write("ps_42002", "img.source", "forged")
    assert b"forged" not in bench.logs("web").out
    assert bench.records()[0].command[0] == "probe"
    assert bench.records()[0].image_source == "/rootfs"


def test_S12_nothing_of_the_guests_is_opened_to_list() -> None:
    bench = with_log()
    start = len(bench.world.journal)
    bench.ps()
    bench.images()
    asked = {entry.call.operation for entry in bench.world.journal[start:]}
    assert "host.read" not in asked
    assert asked <= {"records.read", "records.list", "storage.names", "storage.describe"}


def test_a_time_stands_before_each_line_of_both_streams_and_not_within_one() -> None:
    bench = with_log()
    bench.kernel.records.write("logs/ps_42002", loglines.encode(1_000_000_000, 2, b"a part"))
    bench.kernel.records.append("logs/ps_42002", loglines.encode(2_000_000_000, 1, b"between\n"))
    bench.kernel.records.append("logs/ps_42002", loglines.encode(3_000_000_000, 2, b", the rest\nmore\n"))
    seen = bench.logs("web", timestamps=True)
    assert seen.out == b"1970-01-01T00:00:02.000000000Z between\n"
    assert seen.err == (b"1970-01-01T00:00:01.000000000Z a part, the rest\n1970-01-01T00:00:03.000000000Z more\n")


def test_following_does_not_wait_any_more_once_the_container_has_ended() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    looks: list[str] = []

    def follow(data: bytes) -> None:
        start = len(bench.world.journal)
        other.logs("web", follow=True, screen=Screen(lambda text: bench.world.kill_program(bench.kernel)))
        looks.extend(entry.call.operation for entry in bench.world.journal[start:])

    with pytest.raises(Crashed):
        bench.run("probe", "echo", "one", ",", "sleep", "9", name="web", screen=Screen(follow))
    assert "ambient.sleep" not in looks


def test_following_a_container_that_is_removed_ends() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    reader = Screen()

    def follow(data: bytes) -> None:
        bench.world.schedule(0.3, lambda: bench.kernel.records.remove("containers/ps_42002"))
        other.logs("web", follow=True, screen=reader)

    bench.run("probe", "echo", "one", ",", "sleep", "9", name="web", screen=Screen(follow))
    assert reader.streams[1] == b"one\n"


def test_since_an_instant_is_that_instant_too() -> None:
    bench = with_log()
    bench.kernel.records.write("logs/ps_42002", loglines.encode(2_000_000_000, 1, b"then\n"))
    assert bench.logs("web", since_ns=2_000_000_000).out == b"then\n"
    assert bench.logs("web", since_ns=2_000_000_001).out == b""


def test_without_following_the_log_of_a_running_container_is_shown_and_nothing_is_waited_for() -> None:
    bench = ready()
    other = bench.in_another_terminal()
    took_ns: list[int] = []

    def look(data: bytes) -> None:
        before_ns = other.kernel.ambient.now_ns()
        assert other.logs("web").out == b"one\n"
        took_ns.append(other.kernel.ambient.now_ns() - before_ns)

    bench.run("probe", "echo", "one", ",", "sleep", "1", name="web", screen=Screen(look))
    assert took_ns[0] < 10_000_000

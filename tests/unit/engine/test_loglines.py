from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.engine import loglines
from bocker.engine.loglines import LONGEST_PIECE

TIME_NS = 1_795_223_841_320_945_530
CHUNKS = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=60)), max_size=12)


def logged(chunks: list[tuple[int, bytes]]) -> bytes:
    return b"".join(loglines.encode(TIME_NS, stream, data) for stream, data in chunks)


def test_a_line_is_the_one_that_container_runtimes_write() -> None:
    assert loglines.encode(TIME_NS, 1, b"hi\n") == b"2026-11-21T01:17:21.320945530Z stdout F hi\n"
    assert loglines.encode(TIME_NS, 2, b"hi") == b"2026-11-21T01:17:21.320945530Z stderr P hi\n"


@given(CHUNKS)
def test_what_was_written_is_had_back_byte_for_byte(chunks: list[tuple[int, bytes]]) -> None:
    entries = list(loglines.decode(logged(chunks)))
    for stream in (1, 2):
        wrote = b"".join(data for number, data in chunks if number == stream)
        assert b"".join(entry.output for entry in entries if entry.stream == stream) == wrote


def test_a_very_long_line_is_cut_into_pieces() -> None:
    log = loglines.encode(TIME_NS, 1, b"x" * (LONGEST_PIECE * 2 + 5) + b"\n")
    entries = list(loglines.decode(log))
    assert [len(entry.content) for entry in entries] == [LONGEST_PIECE, LONGEST_PIECE, 5]
    assert [entry.ends_line for entry in entries] == [False, False, True]
    exact = list(loglines.decode(loglines.encode(TIME_NS, 1, b"x" * LONGEST_PIECE + b"\n")))
    assert [entry.ends_line for entry in exact] == [True]


@given(CHUNKS, st.integers(0, 200))
def test_a_log_that_is_cut_anywhere_gives_its_whole_entries(chunks: list[tuple[int, bytes]], cut: int) -> None:
    log = logged(chunks)[:cut]
    whole = list(loglines.decode(log[: loglines.whole_length(log)]))
    assert list(loglines.decode(log)) == whole
    assert whole == list(loglines.decode(logged(chunks)))[: len(whole)]


@given(st.binary(max_size=100))
def test_a_damaged_log_is_no_traceback(log: bytes) -> None:
    assert all(entry.stream in {1, 2} for entry in loglines.decode(log))


@given(
    st.lists(st.binary(max_size=5).filter(lambda line: b"\n" not in line), max_size=8),
    st.integers(0, 10),
    st.booleans(),
)
def test_the_last_lines_are_the_programs_lines(lines: list[bytes], count: int, unfinished: bool) -> None:
    written = [line + b"\n" for line in lines] + ([b"rest"] if unfinished else [])
    entries = list(loglines.decode(logged([(1, bytes([byte])) for byte in b"".join(written)])))
    shown = b"".join(entry.output for entry in loglines.last_lines(entries, count))
    assert shown == b"".join(written[-count:] if count else [])


@pytest.mark.parametrize("damaged", [b"T bogus F x", b"T stdout Q x", b"T stdout F", b"T stdout", b"", b"T bogus Q x"])
def test_a_damaged_line_is_left_out_and_the_others_are_not(damaged: bytes) -> None:
    log = b"T stdout F one\n" + damaged + b"\nT stderr P two\n"
    assert [entry.output for entry in loglines.decode(log)] == [b"one\n", b"two"]


def test_what_ends_with_a_whole_entry_is_read_to_its_newline() -> None:
    assert [loglines.whole_length(log) for log in (b"", b"a", b"a\n", b"a\nb")] == [0, 0, 2, 2]

"""JSON, times, words: text in, the same text out."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core import jsontext, timestamps, words
from tests.strategies import ANY_WORD, ARGUMENT, JSON_VALUES, WORDS


@given(JSON_VALUES)
def test_json_is_what_the_library_writes_and_reads(value: Any) -> None:
    text = jsontext.dumps(value)
    assert json.loads(text) == value
    assert jsontext.loads(text) == value
    assert text == (json.dumps(value) + "\n").encode()


@given(st.binary(max_size=40) | ANY_WORD.map(lambda word: word.encode("utf-8", "surrogateescape")))
def test_json_that_is_none_raises_value_error(data: bytes) -> None:
    try:
        found = jsontext.loads(data)
    except ValueError:
        return
    assert found == json.loads(data.decode())


@pytest.mark.parametrize("data", [b"", b"{", b"1 2", b"NaN", b"[" * 100_000, b"\xff", b"Infinity", b'"\n"'])
def test_json_that_is_damaged_raises_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(data)


def test_json_that_was_cut_raises_value_error_where_the_library_is_not_loaded() -> None:
    """As in an installed bocker: the C scanner looks for the library's error in a module that nobody has imported, and
    gave SystemError. So a record that was cut stopped every command, `cleanup` too."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(jsontext.__file__).parents[2])!r})
from bocker.core import jsontext
assert "json.decoder" not in sys.modules
whole = jsontext.dumps({{"id": "ps_42002", "command": ["a"], "oom_killed": False, "created_ns": 17}}).strip()
for length in range(len(whole)):
    try:
        jsontext.loads(whole[:length])
    except ValueError:
        continue
    sys.exit(f"taken: {{whole[:length]}}")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError):
        jsontext.dumps(object())


MOMENTS = st.integers(0, 253_402_300_799_999_999_999)


@given(MOMENTS)
def test_a_time_is_read_from_its_own_text(time_ns: int) -> None:
    assert timestamps.parse_rfc3339(timestamps.rfc3339(time_ns)) == time_ns


@given(MOMENTS)
def test_a_time_is_the_one_that_the_library_means(time_ns: int) -> None:
    theirs = datetime.datetime.fromtimestamp(time_ns // 10**9, datetime.UTC)
    assert timestamps.rfc3339(time_ns).startswith(theirs.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0"))


@given(MOMENTS, MOMENTS)
def test_times_sort_as_their_texts_do(first: int, second: int) -> None:
    assert (timestamps.rfc3339(first) < timestamps.rfc3339(second)) == (first < second)


@given(ANY_WORD | st.from_regex(r"\A[0-9T:Z.+-]{0,30}\Z"))
def test_a_time_that_is_none_raises_value_error(text: str) -> None:
    try:
        timestamps.parse_rfc3339(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-11-21T01:17:21Z", 1_795_223_841),
        ("1969-12-31T23:00:00-01:00", 0),
    ],
)
def test_times_with_offsets_are_read(text: str, seconds: int) -> None:
    assert timestamps.parse_rfc3339(text) == seconds * 10**9


@given(st.lists(ARGUMENT, min_size=2, max_size=6).map(tuple))
def test_W8_two_words_or_more_reach_the_program_unchanged(given_words: tuple[str, ...]) -> None:
    assert words.program_words(given_words) == given_words


@given(ARGUMENT)
def test_W8_one_word_is_a_program_or_a_line_for_the_shell(word: str) -> None:
    expected = (word,) if words.is_plain(word) else ("/bin/sh", "-c", word)
    assert words.program_words((word,)) == expected


@pytest.mark.parametrize("word", ["sleep 5 && ps aux", "echo $HOME", "a;b", "", "a'b", "x*", "a\nb"])
def test_a_word_that_means_more_than_itself_goes_to_the_shell(word: str) -> None:
    assert words.program_words((word,)) == (words.SHELL, "-c", word)


@given(WORDS)
def test_S13_a_command_that_is_shown_drives_no_terminal_and_forges_no_row(command: tuple[str, ...]) -> None:
    assert words.shown(command).isprintable()
    words.shown(command).encode()


@given(ARGUMENT)
def test_W22_a_printable_word_is_shown_as_it_is(word: str) -> None:
    assert (words.printable(word) == word) == word.isprintable()

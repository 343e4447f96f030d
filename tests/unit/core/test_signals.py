from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.errors import InvalidValue
from bocker.core.signals import HIGHEST, parse_signal, signal_or_term


@pytest.mark.parametrize(("name", "number"), [(one.name, one.value) for one in signal.Signals])
def test_the_names_are_those_of_this_machine(name: str, number: int) -> None:
    for word in (name, name.removeprefix("SIG"), name.lower(), str(number)):
        assert parse_signal(word, "--signal") == number


@pytest.mark.parametrize(("word", "number"), [("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("RTMIN+30", 64), ("rtmax", 64)])
def test_realtime_signals_are_counted_from_either_end(word: str, number: int) -> None:
    assert parse_signal(word, "--signal") == number


@pytest.mark.parametrize(
    "word",
    ["", "SIG", "0", "65", "-1", "+1", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMINx", "TERM ", "15x", "\u0665"],
)
def test_what_is_none_is_refused_and_named(word: str) -> None:
    with pytest.raises(InvalidValue, match="is not a signal for --signal"):
        parse_signal(word, "--signal")
    assert signal_or_term(word) == signal.SIGTERM


@given(st.text(max_size=12))
def test_an_image_can_say_anything(word: str) -> None:
    assert 1 <= signal_or_term(word) <= HIGHEST

"""Moments as docker's `logs --since` takes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.cli.moments import parse_moment
from bocker.core.errors import InvalidValue

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", NOW - 600 * SECOND),
        ("1h30m", NOW - 5400 * SECOND),
        ("1.5h", NOW - 5400 * SECOND),
        ("90s", NOW - 90 * SECOND),
        ("250ms", NOW - SECOND // 4),
        ("1700000000", 1_700_000_000 * SECOND),
        ("1700000000.5", 1_700_000_000 * SECOND + SECOND // 2),
        ("0", 0),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000 * SECOND),
        ("2023-11-14T22:13:20.5", 1_700_000_000 * SECOND + SECOND // 2),
        ("2023-11-14", 1_699_920_000 * SECOND),
    ],
)
def test_the_forms_of_a_moment(text, moment):
    assert parse_moment(text, NOW, "--since") == moment


@pytest.mark.parametrize("text", ["", "m", "10x", "-5m", "1h30", "1..5h", "²s", "2023-13-01", "yesterday", "."])
def test_what_is_no_moment_is_refused_by_name(text):
    with pytest.raises(InvalidValue, match="--since"):
        parse_moment(text, NOW, "--since")


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_refused(text):
    try:
        moment = parse_moment(text, NOW, "--since")
    except InvalidValue:
        moment = 0
    assert isinstance(moment, int)

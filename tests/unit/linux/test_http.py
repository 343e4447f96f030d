"""What joins the two processes of HTTP, and what an error may show of an address."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.linux.http import Frames, frame, subject_of

VALUES = st.one_of(st.none(), st.integers(), st.text(), st.binary(max_size=300))
MESSAGES = st.lists(st.tuples(st.text(max_size=5), st.integers(), VALUES), max_size=6)


@given(MESSAGES, st.lists(st.integers(0, 1 << 11), max_size=12))
def test_frames_come_out_as_they_went_in(messages: list[tuple[object, ...]], cuts: list[int]) -> None:
    """However what comes out of the pipe is cut."""
    data = b"".join(frame(*message) for message in messages)
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    frames = Frames()
    pieces = [data[begin:end] for begin, end in itertools.pairwise(places)]
    assert [message for piece in pieces for message in frames.feed(piece)] == messages


@pytest.mark.parametrize(
    ("url", "subject"),
    [
        ("https://registry.example/v2/", "https://registry.example/v2/"),
        ("https://registry.example:5000/v2/a/b?token=secret", "https://registry.example:5000/v2/a/b"),
        ("https://me:secret@registry.example/v2/#secret", "https://registry.example/v2/"),
        ("https://me:sec@ret@registry.example", "https://registry.example"),
        ("https://me:secret@registry.example?at=secret@x", "https://registry.example"),
        ("https://registry.example/a@b", "https://registry.example/a@b"),
        ("registry.example/a", "registry.example/a"),
        ("me:secret@registry.example/a", "registry.example/a"),
        ("//me:secret@registry.example/a", "//registry.example/a"),
        ("https:/me:secret@registry.example/a", "registry.example/a"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_what_it_hides(url: str, subject: str) -> None:
    assert subject_of(url) == subject

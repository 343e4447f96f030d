from __future__ import annotations

import pytest
from hypothesis import given

from bocker.core.errors import BockerError
from bocker.registry import errors
from tests.strategies import ARGUMENT


@given(ARGUMENT, ARGUMENT)
def test_other_peoples_text_stays_on_one_line_and_drives_no_terminal(subject: str, reason: str) -> None:
    made: list[BockerError] = [
        errors.BadDocument(subject, reason),
        errors.Unsupported(subject, reason),
        errors.NoSuchPlatform(subject, reason, (subject, reason)),
        errors.RegistryError(subject, 500, reason, reason),
        errors.HelperFailed(subject, reason),
        errors.Unreached(subject, reason),
        errors.Distrusted(subject, reason),
        errors.WrongDigest(subject, reason, reason),
    ]
    for error in made:
        assert error.message.isprintable()
        assert (error.hint or "").isprintable()


def test_lines_become_one() -> None:
    assert errors.one_line("a\n\t b\r\n") == "a b"


@pytest.mark.parametrize("length", [1, 200, 201, 100_000])
def test_long_text_is_cut(length: int) -> None:
    assert len(errors.one_line("x" * length)) == min(length, 200)
    assert errors.one_line("x" * length).endswith("…") == (length > 200)

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.errors import InvalidValue
from bocker.registry.digests import digest_of, parse_digest
from tests.strategies import ANY_WORD

ZEROS = "0" * 64


@given(st.binary(max_size=40))
def test_a_digest_is_read_from_its_own_text(data: bytes) -> None:
    found = digest_of(data)
    assert str(found) == "sha256:" + hashlib.sha256(data).hexdigest()
    assert parse_digest(str(found)) == found
    assert str(found).startswith(f"sha256:{found.short}")
    assert len(found.short) == 12


@given(ANY_WORD | st.from_regex(r"\A(sha256|sha512|md5):?[0-9a-fA-F]{0,70}\Z"))
def test_what_is_read_is_written_again_and_the_rest_is_refused(text: str) -> None:
    try:
        assert str(parse_digest(text)) == text
    except InvalidValue:
        return


@pytest.mark.parametrize("text", [f"sha512:{ZEROS * 2}", f"md5:{ZEROS[:32]}", "blake3:x"])
def test_another_algorithm_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(InvalidValue, match=f"'{text.partition(':')[0]}' are not supported"):
        parse_digest(text)


@pytest.mark.parametrize(
    "text", ["", "sha256", "sha256:", ZEROS, f"sha256:{ZEROS}0", f"sha256:{ZEROS[1:]}A", f":{ZEROS}"]
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is no digest"):
        parse_digest(text)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core import reference
from bocker.core.errors import InvalidValue
from bocker.core.ids import FIRST, ContainerId, ImageId
from tests.strategies import ANY_WORD, CONTAINER_IDS

NOTHING = ["img_", "ps_", "5", "path", ".*", "..", ".", "../x", "ps_*", "[", "-v", "ps_.*", "img_42010-backup", ""]


@given(ANY_WORD)
def test_names_and_tags_raise_nothing_but_invalid_value_and_are_stable(word: str) -> None:
    for parse in (reference.parse_name, reference.parse_tag):
        try:
            found = parse(word)
        except InvalidValue:
            continue
        assert parse(found) == found
        assert not reference.looks_like_id(found)
        assert not {"/..", "../", "\0"}.intersection({found, word})


@given(ANY_WORD)
def test_a_name_can_be_a_path_component(word: str) -> None:
    try:
        found = reference.parse_name(word)
    except InvalidValue:
        return
    assert "/" not in found
    assert found not in {".", ".."}
    assert not found.startswith(("-", "."))


@pytest.mark.parametrize(
    ("word", "tag"),
    [
        ("centos", "centos:latest"),
        ("centos:7", "centos:7"),
        ("library/debian:12-slim", "debian:12-slim"),
        ("docker.io/library/debian:12", "debian:12"),
        ("docker.io/somebody/tool", "somebody/tool:latest"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("localhost:5000/a:v1.0", "localhost:5000/a:v1.0"),
    ],
)
def test_P9_a_tag_is_completed_with_latest(word: str, tag: str) -> None:
    assert reference.parse_tag(word) == tag


@pytest.mark.parametrize(
    "word", ["", ":7", "a:", "A", "a b", "img_42150", "img_42150:1", "ps_42045", "a/../b", "-a", "a:b:c", "/a", "a/"]
)
def test_what_is_no_tag_is_refused(word: str) -> None:
    with pytest.raises(InvalidValue):
        reference.parse_tag(word)


@pytest.mark.parametrize("word", ["img_42150", "ps_42045", "ps_1", "a", "-a", ".a", "a/b", "a b", "", "x" * 129])
def test_what_is_no_name_is_refused(word: str) -> None:
    with pytest.raises(InvalidValue):
        reference.parse_name(word)


IDS = [ContainerId(number) for number in (42045, 42046, 42145, 50000)]


@pytest.mark.parametrize("word", NOTHING)
def test_D1_D8_W11_words_that_the_original_took_match_nothing(word: str) -> None:
    assert reference.matching(word, IDS) == ()
    assert reference.matching(word, [ImageId(42010), ImageId(42150)]) == ()


def test_a_prefix_with_a_digit_matches_what_begins_with_it() -> None:
    assert reference.matching("ps_4204", IDS) == (ContainerId(42045), ContainerId(42046))
    assert reference.matching("ps_5", IDS) == (ContainerId(50000),)


@given(st.sets(CONTAINER_IDS, max_size=6), CONTAINER_IDS, st.integers(1, 6))
def test_a_prefix_matches_exactly_the_ids_that_begin_with_it(
    ids: set[ContainerId], container: ContainerId, digits: int
) -> None:
    word = str(container)[: len("ps_") + digits]
    assert reference.matching(word, ids) == tuple(sorted(one for one in ids if str(one).startswith(word)))


def test_ids_begin_where_the_subnets_first_free_host_is() -> None:
    assert FIRST == 42002

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.ids import BASE, FIRST, LAST_CONTAINER, LAST_IMAGE, ContainerId, Id, ImageId, next_free
from tests.strategies import ANY_WORD, CONTAINER_IDS, IMAGE_IDS


@given(CONTAINER_IDS | IMAGE_IDS)
def test_an_id_is_read_from_its_own_text(identity: Id) -> None:
    assert type(identity).parse(str(identity)) == identity


@given(ANY_WORD)
def test_only_the_text_of_an_id_is_one(word: str) -> None:
    for kind in (ContainerId, ImageId):
        found = kind.parse(word)
        assert found is None or str(found) == word


@pytest.mark.parametrize(
    "word",
    ["ps_42001", "ps_107535", "ps_", "ps_042045", "ps_42045 ", "PS_42045", "42045", "..", "ps_４２０４５", "img_42045"],
)
def test_what_is_nearly_a_containers_id_is_none(word: str) -> None:
    assert ContainerId.parse(word) is None


@given(st.integers(FIRST, LAST_CONTAINER))
def test_W10_ids_of_two_kinds_are_never_equal(number: int) -> None:
    assert ContainerId(number) != ImageId(number)
    assert len({ContainerId(number), ImageId(number)}) == 2


@pytest.mark.parametrize("number", [FIRST - 1, LAST_IMAGE + 1, -1])
def test_a_number_outside_the_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        ImageId(number)


@given(CONTAINER_IDS)
def test_the_host_part_is_the_number_above_42000(container: ContainerId) -> None:
    assert container.host_part + BASE == container.number


@given(st.sets(IMAGE_IDS, max_size=8))
def test_ids_are_ordered_by_their_numbers(ids: set[ImageId]) -> None:
    assert [identity.number for identity in sorted(ids)] == sorted(identity.number for identity in ids)


TAKEN = st.frozensets(st.integers(10, 30))


@given(st.none() | st.integers(0, 40), TAKEN)
def test_the_next_free_number_is_free_and_none_only_when_all_are_taken(last: int | None, taken: frozenset[int]) -> None:
    found = next_free(last, taken, 10, 30)
    if found is None:
        assert taken.issuperset(range(10, 31))
    else:
        assert found not in taken
        assert 10 <= found <= 30


@given(st.integers(10, 29), TAKEN)
def test_the_next_free_number_is_the_first_after_the_last_given(last: int, taken: frozenset[int]) -> None:
    found = next_free(last, taken, 10, 30)
    if found is not None and found > last:
        assert taken.issuperset(range(last + 1, found))
    elif found is not None:
        assert taken.issuperset(range(last + 1, 31))


def test_L5_with_one_number_free_it_is_found() -> None:
    assert next_free(20, frozenset(range(10, 31)) - {13}, 10, 30) == 13

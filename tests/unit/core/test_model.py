from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core import jsontext
from bocker.core.errors import Damaged
from bocker.core.model import ContainerRecord, ImageTags, SetupRecord, from_data, to_data
from tests.strategies import CONTAINER_RECORDS, JSON_VALUES

KINDS = (ContainerRecord, ImageTags, SetupRecord)


@given(CONTAINER_RECORDS)
def test_a_record_is_the_same_after_the_disk(record: ContainerRecord) -> None:
    assert from_data(ContainerRecord, jsontext.loads(jsontext.dumps(to_data(record))), "x") == record


@given(JSON_VALUES)
def test_any_json_is_a_record_or_damaged(value: Any) -> None:
    for kind in KINDS:
        try:
            assert isinstance(from_data(kind, value, "x"), kind)
        except Damaged:
            continue


@given(CONTAINER_RECORDS, st.data())
def test_a_record_with_a_field_of_another_type_is_damaged_or_read(record: ContainerRecord, data: st.DataObject) -> None:
    fields = to_data(record)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(JSON_VALUES)
    try:
        from_data(ContainerRecord, fields, "x")
    except Damaged:
        return


def test_a_field_of_a_later_version_is_kept_out_of_the_way() -> None:
    assert from_data(ImageTags, {"id": "img_42002", "later": {"x": 1}}, "x") == ImageTags("img_42002")


@pytest.mark.parametrize("value", [[], None, {"id": 5}, {}, {"id": "img_42002", "tags": "a"}, {"id": "x", "tags": [1]}])
def test_what_is_no_record_is_damaged(value: Any) -> None:
    with pytest.raises(Damaged):
        from_data(ImageTags, value, "img_42002")

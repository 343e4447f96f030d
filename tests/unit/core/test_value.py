from __future__ import annotations

import pytest

from bocker.core.spec import Device, Mount
from bocker.core.value import Value


class Point(Value):
    """A value for tests."""

    x: int
    y: int = 2


class Other(Value):
    """Another of the same shape."""

    x: int
    y: int = 2


def test_fields_are_given_in_order_by_name_or_left_to_their_defaults() -> None:
    assert Point(1) == Point(1, 2) == Point(x=1) == Point(y=2, x=1)


def test_values_of_two_types_are_never_equal() -> None:
    assert Point(1) != Other(1)


@pytest.mark.parametrize(("given", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1}), ((1,), {"x": 1})])
def test_a_field_too_many_or_too_few_is_a_type_error(given: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        Point(*given, **named)


def test_a_value_never_changes() -> None:
    with pytest.raises(AttributeError):
        Point(1).x = 5  # type: ignore[misc]


def test_a_copy_has_the_changed_fields() -> None:
    assert Mount("proc", "/proc").replace(target="/x") == Mount("proc", "/x")


def test_it_shows_its_fields() -> None:
    assert repr(Device("/dev/null", 1, 3)) == "Device(path='/dev/null', major=1, minor=3)"
    assert Point(1).fields() == {"x": 1, "y": 2}

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core import limits
from bocker.core.errors import InvalidValue
from tests.strategies import ANY_WORD

PARSERS: tuple[Callable[[str, str], int | None], ...] = (
    limits.parse_cpu_shares,
    limits.parse_pids,
    limits.parse_megabytes,
    limits.parse_memory,
    lambda text, setting: limits.parse_cpus(text, setting, 4),
)


@given(st.one_of(ANY_WORD, st.integers().map(str), st.floats().map(str)))
def test_W15_S17_a_limit_is_a_number_in_range_or_an_invalid_value(text: str) -> None:
    for parse in PARSERS:
        try:
            found = parse(text, "X")
        except InvalidValue:
            continue
        assert found is None or found > 0


@pytest.mark.parametrize(
    "text", ["010", "0", "1+1", "abc", "", " 20", "20 ", "-1", "1e3", "٣٠", "9" * 30, "a[$(touch /x)]"]
)
def test_W15_what_the_original_misread_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        limits.parse_megabytes(text, "BOCKER_MEM_LIMIT")


def test_W15_the_refusal_says_the_setting_and_the_range() -> None:
    with pytest.raises(InvalidValue) as refused:
        limits.parse_cpu_shares("1", "BOCKER_CPU_SHARE")
    assert "BOCKER_CPU_SHARE" in refused.value.message
    assert refused.value.hint == "it is from 2 to 262144"


@given(st.integers(6, 1000), st.integers(6, 1000))
def test_memory_limits_are_monotone(first: int, second: int) -> None:
    for parse in (limits.parse_megabytes, lambda text, name: limits.parse_memory(f"{text}m", name)):
        one, other = parse(str(first), "X"), parse(str(second), "X")
        assert (one < other) == (first < second)


@given(st.integers(10_000, 4_000_000), st.integers(10_000, 4_000_000))
def test_processor_quotas_are_monotone(first: int, second: int) -> None:
    def quota(micro: int) -> int:
        return limits.parse_cpus(f"{micro // 1_000_000}.{micro % 1_000_000:06d}", "X", 4)

    assert first > second or quota(first) <= quota(second)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("6m", 6 << 20),
        ("512M", 512 << 20),
        ("2g", 2 << 30),
        ("1t", 1 << 40),
        ("7000000", 7_000_000),
        ("7000000b", 7_000_000),
    ],
)
def test_memory_words_are_dockers(text: str, size: int) -> None:
    assert limits.parse_memory(text, "--memory") == size


def test_the_originals_unit_is_a_million_bytes() -> None:
    assert limits.parse_megabytes("512", "BOCKER_MEM_LIMIT") == 512_000_000


@pytest.mark.parametrize(
    ("text", "quota"),
    [("1", 100_000), ("1.5", 150_000), (".5", 50_000), ("1.", 100_000), ("0.01", 1_000), ("4.0", 400_000)],
)
def test_processors_become_a_quota_a_period(text: str, quota: int) -> None:
    assert limits.parse_cpus(text, "--cpus", 4) == quota


@pytest.mark.parametrize("text", ["0", "0.009", "4.1", "1.0000001", "-1", ".", "1,5"])
def test_processors_that_are_not_there_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        limits.parse_cpus(text, "--cpus", 4)


def test_minus_one_process_means_no_bound() -> None:
    assert limits.parse_pids("-1", "--pids-limit") is None

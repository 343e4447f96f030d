from __future__ import annotations

import pytest

from bocker.registry.documents import read_object
from bocker.registry.errors import BadDocument
from tests.unit.registry.samples import digest, written


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"{} {}", "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "no object"),
        (b"{" + b" " * 100 + b"}", "102 bytes, and 100 is the limit"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadDocument, match=reason):
        read_object(data, "paper", 100 if len(data) == 102 else 1 << 20)


def test_what_is_absent_or_null_is_empty() -> None:
    fields = read_object(b'{"a": null}', "paper")
    for name in ("a", "b"):
        assert name not in fields
        assert (fields.text(name), fields.texts(name), fields.pairs(name)) == ("", (), ())
        assert (fields.objects(name, 1), fields.object(name).names(), fields.flag(name)) == ((), (), False)
        assert fields.number(name, 5, default=3) == 3


def test_what_is_there_is_read() -> None:
    fields = read_object(written({"t": "x", "l": ["x", None], "o": {"b": None, "a": "y"}, "f": True, "n": 5}), "paper")
    assert (fields.text("t"), fields.texts("l"), fields.pairs("o")) == ("x", ("x", ""), (("a", "y"), ("b", "")))
    assert (fields.flag("f"), fields.number("n", 5)) == (True, 5)
    assert fields.is_text("t")
    assert not fields.is_text("l")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, "text"), ("\0", "text"), ("\ud800", "text"), ("x", "texts"), ([1], "texts"),
        ([], "object"), ({"a": 1}, "pairs"), ({"\0": "x"}, "pairs"), (1, "flag"),
        ("sha256:x", "digest"), (None, "digest"),
    ],
)  # fmt: skip
def test_the_wrong_type_is_named_with_its_path(value: object, read: str) -> None:
    fields = read_object(written({"outer": {"inner": value}}), "paper").object("outer")
    with pytest.raises(BadDocument, match=r"The paper can not be used: 'outer\.inner"):
        getattr(fields, read)("inner")


@pytest.mark.parametrize("value", [-1, 6, 5.0, True, "5", None])
def test_a_number_has_its_bounds(value: object) -> None:
    with pytest.raises(BadDocument, match="is no number from 0 to 5"):
        read_object(written({"n": value}), "paper").number("n", 5)


def test_a_list_has_its_limit() -> None:
    fields = read_object(written({"l": [{}, {}], "d": [str(digest(1))] * 2}), "paper")
    assert len(fields.objects("l", 2)) == 2
    assert fields.digests("d", 2) == (digest(1), digest(1))
    for read in (fields.objects, fields.digests):
        with pytest.raises(BadDocument, match="2 entries, and 1 is the limit"):
            read("l" if read == fields.objects else "d", 1)


def test_the_place_in_a_list_is_named() -> None:
    with pytest.raises(BadDocument, match=r"'l\[1\]\.x' is no text"):
        read_object(written({"l": [{}, {"x": 1}]}), "paper").objects("l", 2)[1].text("x")

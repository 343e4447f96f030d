"""Members by name: whatever an archive says, a name below its root or our own error; what is laid out is read alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core import tarstream
from bocker.core.tarmembers import laid_out, name_of, target_of
from bocker.core.tarstream import BadArchive, Entry

PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda part: part not in {".", ".."}
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
ANY = st.binary(max_size=40) | st.lists(st.sampled_from([b"..", b".", b"", b"a", b"/"]), max_size=8).map(b"/".join)


def entry(kind: str, name: bytes, link: bytes = b"") -> Entry:
    return Entry(kind, name, 0o644, 0, 0, 0, link=link)


@given(ANY, ANY, st.sampled_from([tarstream.SYMLINK, tarstream.HARD_LINK]))
def test_no_name_and_no_target_leads_out(name: bytes, link: bytes, kind: str) -> None:
    for read in (name_of, target_of):
        try:
            text = read(entry(kind, name, link))
        except BadArchive:
            continue
        assert text
        assert not {"", ".", ".."} & set(text.split("/"))


@pytest.mark.parametrize(
    ("kind", "name", "link", "target"),
    [
        (tarstream.SYMLINK, b"a/b/link", b"c", "a/b/c"),
        (tarstream.SYMLINK, b"a/b/link", b"../c", "a/c"),
        (tarstream.SYMLINK, b"a/b/link", b"/c", "c"),
        (tarstream.SYMLINK, b"link", b"../../c", "c"),
        (tarstream.HARD_LINK, b"a/b/link", b"c", "c"),
        (tarstream.HARD_LINK, b"a/b/link", b"./a/c", "a/c"),
    ],
)
def test_a_symbolic_link_leads_on_from_its_directory(kind: str, name: bytes, link: bytes, target: str) -> None:
    assert target_of(entry(kind, name, link)) == target


@given(st.lists(st.tuples(NAMES, st.integers(0, 1 << 40)), max_size=8))
def test_files_are_laid_out_in_their_order_after_their_directories(files: list[tuple[str, int]]) -> None:
    entries = list(laid_out(files))
    assert [
        (entry.name.decode("utf-8", "surrogateescape"), entry.size_bytes)
        for entry in entries
        if entry.kind == tarstream.FILE
    ] == files
    seen = {b""}
    for made in entries:
        assert made.name.rpartition(b"/")[0] in seen
        if made.kind == tarstream.DIRECTORY:
            assert made.name not in seen
            seen.add(made.name)


@pytest.mark.parametrize("name", ["", "/", ".", "..", "/a", "a/", "a//b", "a/./b", "a/../b", "a\0"])
def test_what_names_no_file_is_not_laid_out(name: str) -> None:
    with pytest.raises(ValueError, match="names no file"):
        list(laid_out([(name, 0)]))

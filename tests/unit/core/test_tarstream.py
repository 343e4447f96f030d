"""The tar format: whatever the bytes, entries or our own error; what the standard library writes, read alike."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.tarstream import BadArchive, Entry, TarStream, components
from tests.contracts import layers

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and name.strip(b"/"))
GOOD = layers.archive(
    layers.directory(b"d"),
    layers.pax((b"path", b"long"), (b"mtime", b"1.5"), (b"SCHILY.xattr.user.x", b"y")) + layers.file(b"x", b"content"),
    layers.gnu_long(b"n" * 120) + layers.file(b"x"),
    layers.gnu_sparse(b"s", tuple((number * 1000, b"x") for number in range(6)), 9000),
    layers.pax_sparse(b"s", ((5, b"abc"), (5000, b"d")), 9000),
)


def reader(data: bytes, chunk_bytes: int = 1 << 20) -> Callable[[int], bytes]:
    file = io.BytesIO(data)
    return lambda most: file.read(min(most, chunk_bytes))


def read(data: bytes, chunk_bytes: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    """Return all entries with their content; it is passed over for every third."""
    stream = TarStream(reader(data, chunk_bytes))
    found: list[tuple[Entry, bytes]] = []
    while (entry := stream.next()) is not None:
        content = b""
        while len(found) % 3 != 2 and (piece := stream.data(100)):
            content += piece
        found.append((entry, content))
    return found


@given(st.binary(max_size=3000))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    with pytest.raises(BadArchive):
        read(data.lstrip(b"\0"))


@given(st.data())
def test_a_damaged_archive_is_read_or_refused(data: st.DataObject) -> None:
    """Bytes are changed and the checksums made right again, so that the damage gets past them."""
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for at in range(0, len(damaged), layers.BLOCK_BYTES):
        if damaged[at + 257 : at + 262] == b"ustar":
            damaged[at : at + 512] = layers.summed(damaged[at : at + 512])
    try:
        read(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except BadArchive:
        pass


@given(st.integers(1, 2000))
def test_chunks_may_end_anywhere(chunk_bytes: int) -> None:
    assert read(GOOD, chunk_bytes) == read(GOOD)


@given(
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.lists(
        st.tuples(
            NAMES,
            st.integers(0, (1 << 32) - 2),
            st.integers(-(1 << 33), 1 << 34),
            st.binary(max_size=1500),
            st.integers(0, 0o7777),
        ),
        max_size=4,
    ),
)
def test_what_the_standard_library_writes_is_read_alike(
    kind: int, rows: list[tuple[bytes, int, int, bytes, int]]
) -> None:
    written = io.BytesIO()
    expected = []
    with tarfile.open(fileobj=written, mode="w", format=kind, encoding="utf-8", errors="surrogateescape") as archive:
        for name, owner, seconds, content, mode in rows:
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.uid, info.gid, info.mtime, info.size, info.mode = owner, owner // 2, seconds, len(content), mode
            archive.addfile(info, io.BytesIO(content))
            expected.append((components(name), owner, owner // 2, seconds * 10**9, len(content), mode))
    assert [
        (components(entry.name), entry.uid, entry.gid, entry.modified_ns, entry.size_bytes, entry.mode)
        for entry, _ in read(written.getvalue())
    ] == expected


@given(st.binary(max_size=60))
def test_a_name_has_no_part_that_leads_up(name: bytes) -> None:
    for part in components(name):
        assert part not in {b"", b".", b".."}
        assert b"/" not in part

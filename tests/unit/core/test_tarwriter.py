from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core import tarstream, tarwriter
from bocker.core.tarstream import Entry, TarStream

NAME = st.lists(
    st.binary(min_size=1, max_size=60).filter(lambda part: not {0, 0x2F} & set(part) and part not in {b".", b".."}),
    min_size=1,
    max_size=6,
).map(b"/".join)
MOMENT_NS = st.integers(-(1 << 62), 1 << 62) | st.integers(-(1 << 40), 1 << 40).map(lambda number: number * 10**9)
OWNER = st.integers(0, (1 << 32) - 2)
XATTRS = st.dictionaries(
    st.binary(min_size=1, max_size=20).filter(lambda key: not {0, 0x3D} & set(key)).map(lambda key: b"user." + key),
    st.binary(max_size=100),
    max_size=3,
).map(lambda found: tuple(found.items()))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(sorted(tarwriter._TYPES)))
    common = (draw(NAME), draw(st.integers(0, 0o7777)), draw(OWNER), draw(OWNER), draw(MOMENT_NS))
    if kind == tarstream.FILE:
        size = draw(st.integers(0, 3000))
        return Entry(kind, *common, size, ((0, size),) if size else (), xattrs=draw(XATTRS))
    if kind in {tarstream.SYMLINK, tarstream.HARD_LINK}:
        return Entry(kind, *common, link=draw(NAME))
    device = draw(st.tuples(st.integers(0, 4095), st.integers(0, (1 << 20) - 1)))
    return Entry(kind, *common, device=device if kind in {tarstream.CHARACTER, tarstream.BLOCK} else (0, 0))


def content_of(entry: Entry) -> bytes:
    return bytes(range(1, 252)) * (entry.size_bytes // 251) + b"x" * (entry.size_bytes % 251)


def archive(*entries: Entry) -> bytes:
    parts = []
    for entry in entries:
        content = content_of(entry)
        parts += [tarwriter.header(entry), content, tarwriter.filling(len(content))]
    return b"".join((*parts, tarwriter.END))


def content_in(stream: TarStream, entry: Entry) -> bytes:
    found = b""
    while len(found) < entry.size_bytes:
        found += stream.data(1 << 20)
    return found


@given(st.lists(entries(), max_size=5))
def test_what_is_written_is_what_is_read(written: list[Entry]) -> None:
    """By our own reader, to the last bit; each part fills its blocks."""
    data = archive(*written)
    assert len(data) % tarstream.BLOCK_BYTES == 0
    stream = TarStream(io.BytesIO(data).read)
    for entry in written:
        found = stream.next()
        assert found is not None
        assert found.replace(name=found.name.rstrip(b"/")) == entry
        assert content_in(stream, entry) == content_of(entry)
    assert stream.next() is None


@given(st.lists(entries(), max_size=5))
def test_the_standard_library_reads_the_same(written: list[Entry]) -> None:
    """A reader that shares nothing with ours; it has no nanoseconds."""
    with tarfile.open(fileobj=io.BytesIO(archive(*written)), errors="surrogateescape") as read:
        found = list(read)
    assert [member.name.encode("utf-8", "surrogateescape") for member in found] == [entry.name for entry in written]
    for member, entry in zip(found, written, strict=True):
        assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
        assert (member.size if member.isreg() else 0) == entry.size_bytes
        assert member.linkname.encode("utf-8", "surrogateescape") == entry.link
        assert abs(int(member.mtime * 10**9) - entry.modified_ns) <= max(1000, abs(entry.modified_ns) >> 50)
        assert (member.devmajor, member.devminor) == entry.device


def test_a_plain_file_needs_one_block() -> None:
    """Nothing is extended that the header can say."""
    entry = Entry(tarstream.FILE, b"n" * 100, 0o644, 0o7777777, 0, 5 * 10**9, 0o77777777777)
    assert len(tarwriter.header(entry)) == tarstream.BLOCK_BYTES


@pytest.mark.parametrize(
    ("change", "record"),
    [
        ({"name": b"n" * 101}, b"path=" + b"n" * 101),
        ({"name": b"\xff"}, b"path=\xff"),
        ({"uid": 0o10000000}, b"uid=2097152"),
        ({"gid": 0o10000000}, b"gid=2097152"),
        ({"modified_ns": 1}, b"mtime=0.000000001"),
        ({"modified_ns": -1_250_000_000}, b"mtime=-1.25"),
        ({"modified_ns": 0o100000000000 * 10**9}, b"mtime=8589934592"),
        ({"size_bytes": 1 << 33}, b"size=8589934592"),
        ({"xattrs": ((b"user.empty", b""),)}, b"SCHILY.xattr.user.empty="),
        ({"kind": tarstream.SYMLINK, "link": b"t" * 101}, b"linkpath=" + b"t" * 101),
    ],
)
def test_what_a_header_can_not_say_is_extended(change: dict[str, object], record: bytes) -> None:
    """By a PAX record, and by that alone."""
    entry = Entry(tarstream.FILE, b"name", 0o644, 0, 0, 0).replace(**change)
    data = tarwriter.header(entry)
    assert len(data) == 3 * tarstream.BLOCK_BYTES
    length, _, said = data[512:1024].rstrip(b"\0").partition(b" ")
    assert said == record + b"\n"
    assert int(length) == len(length) + 1 + len(said)


@pytest.mark.parametrize("length", [*range(80, 110), *range(985, 1005)])
def test_a_records_length_counts_itself(length: int) -> None:
    """Where it gets one digit more, too."""
    entry = Entry(tarstream.FILE, b"n", 0o644, 0, 0, 0, xattrs=((b"user.x", b"v" * length),))
    found = TarStream(io.BytesIO(tarwriter.header(entry) + tarwriter.END).read).next()
    assert found == entry


def test_more_attributes_than_readers_take_are_refused() -> None:
    """Nothing is cut off in silence."""
    entry = Entry(tarstream.FILE, b"n", 0o644, 0, 0, 0, xattrs=((b"user.x", bytes(1 << 20)),))
    with pytest.raises(ValueError, match="bytes of names and attributes"):
        tarwriter.header(entry)

"""The part of the archives' contract that images are saved and loaded by: `bundle` and `spill`."""

from __future__ import annotations

import errno
import gzip
import hashlib
from typing import TYPE_CHECKING

import pytest
import zstandard

from bocker.core import tarstream
from bocker.core.tarstream import TarStream
from bocker.kernel.archives import STANDARD_STREAM, Bounds, Member
from bocker.kernel.errors import Denied, Invalid, Missing, NoSpace, ReadOnly, TooLarge, Unsupported
from tests.contracts import layers
from tests.contracts.lab import DENIED, FULL, READ_ONLY
from tests.contracts.layers import archive, directory, file, hard_link, header, link, pax
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

CONTENT = bytes(range(256)) * 5000  # more than a mebibyte
HOLE_BYTES = 1 << 20
PIECES = ((0, b"start"), (HOLE_BYTES, b"end"))
HOSTILE = (b"/etc/escaped", b"../../escaped", b"a/../../escaped", b"escaped", b"\xff\n", b"d/" + b"n" * 300)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def spill(kernel: Kernel, lab: Lab, data: bytes, bounds: Bounds | None = None) -> tuple[Member, ...]:
    """Lay an archive out in the test's directory `blobs`."""
    lab.write_file(f"{lab.directory}/archive", data)
    return kernel.archives.spill(f"{lab.directory}/archive", f"{lab.directory}/blobs", bounds or Bounds())


def laid_out(lab: Lab) -> dict[str, bytes]:
    """Return what is in that directory; everything is a file of mode 0600."""
    if not lab.exists(f"{lab.directory}/blobs"):
        return {}
    tree = lab.tree(f"{lab.directory}/blobs")
    assert tree.pop(".").mode == 0o700
    assert {(entry.kind, entry.mode) for entry in tree.values()} <= {("file", 0o600)}
    return {name: lab.read_file(f"{lab.directory}/blobs/{name}") for name in tree}


def entries_of(data: bytes) -> list[tarstream.Entry]:
    """Return the entries of a plain archive."""
    chunks = iter([data])
    tar = TarStream(lambda most: next(chunks, b""))
    return list(iter(tar.next, None))


class BundlesContract:
    # What is laid out

    @pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
    def test_files_are_laid_out_by_their_digests(self, kernel: Kernel, lab: Lab, compress: object) -> None:
        """And told in the archive's order with the digests, whatever it was compressed by."""
        assert callable(compress)
        contents = {"one": b"content", "d/two": CONTENT, "d/empty": b""}
        data = archive(directory(b"d"), *(file(name.encode(), content) for name, content in contents.items()))
        members = spill(kernel, lab, compress(data))
        assert members == tuple(Member(name, digest_of(text), len(text)) for name, text in contents.items())
        assert laid_out(lab) == {digest_of(content): content for content in contents.values()}

    def test_an_archive_without_files_has_no_members(self, kernel: Kernel, lab: Lab) -> None:
        """Zeros alone; directories and nodes are passed over."""
        assert spill(kernel, lab, layers.END) == ()
        nodes = (header(b"null", layers.CHARACTER, device=(1, 3)), header(b"fifo", layers.FIFO), directory(b"d"))
        assert spill(kernel, lab, archive(*nodes)) == ()
        assert laid_out(lab) == {}

    def test_links_are_told_by_what_they_lead_to(self, kernel: Kernel, lab: Lab) -> None:
        """From the root: symbolic ones as their directory says, hard ones as they are; as old docker saves them."""
        members = spill(
            kernel,
            lab,
            archive(
                file(b"a/layer.tar", b"layer"),
                link(b"b/layer.tar", b"../a/layer.tar"),
                link(b"./c/d/layer.tar", b"/a//./layer.tar"),
                link(b"e", b"../../a/layer.tar"),
                hard_link(b"b/second", b"./a/layer.tar"),
            ),
        )
        assert [member.target for member in members] == ["", *["a/layer.tar"] * 4]
        assert [member.name for member in members[1:]] == ["b/layer.tar", "c/d/layer.tar", "e", "b/second"]
        assert {(member.digest, member.size_bytes) for member in members[1:]} == {("", 0)}

    def test_names_are_in_their_shortest_form(self, kernel: Kernel, lab: Lab) -> None:
        """As whoever looks one up has it; the same name may come twice."""
        names = (b"./index.json", b"/index.json", b"../index.json", b"a/../index.json", b"index.json")
        members = spill(kernel, lab, archive(*(file(name, name) for name in names)))
        assert [member.name for member in members] == ["index.json"] * 5
        assert [member.digest for member in members] == [digest_of(name) for name in names]

    def test_names_need_not_be_utf_8(self, kernel: Kernel, lab: Lab) -> None:
        """Nor short."""
        long = b"/".join([b"directory-of-thirty-characters"] * 100)
        members = spill(kernel, lab, archive(file(b"\xff"), pax((b"path", long)) + file(b"x"), link(b"l", b"\xfe")))
        assert [member.name for member in members] == ["\udcff", long.decode(), "l"]
        assert members[2].target == "\udcfe"

    @pytest.mark.parametrize("version", [b"old GNU", b"1.0"])
    def test_sparse_files_are_laid_out_whole(self, kernel: Kernel, lab: Lab, version: bytes) -> None:
        """Their holes count as zeros."""
        size = HOLE_BYTES + 100_000
        entry = (
            layers.gnu_sparse(b"s", PIECES, size) if version == b"old GNU" else layers.pax_sparse(b"s", PIECES, size)
        )
        content = (b"start".ljust(HOLE_BYTES, b"\0") + b"end").ljust(size, b"\0")
        only_hole = layers.pax_sparse(b"h", (), 5000)
        members = spill(kernel, lab, archive(entry, only_hole, file(b"after", b"it")))
        assert [member.digest for member in members] == [digest_of(text) for text in (content, bytes(5000), b"it")]
        assert [member.size_bytes for member in members] == [size, 5000, 2]
        assert laid_out(lab)[digest_of(content)] == content

    def test_the_same_content_is_laid_out_once(self, kernel: Kernel, lab: Lab) -> None:
        """Whatever its names; what is there already stays as it is, mode 0644 here."""
        lab.make_directory(f"{lab.directory}/blobs")
        lab.write_file(f"{lab.directory}/blobs/{digest_of(b'there')}", b"there")
        spill(kernel, lab, archive(file(b"a", b"same"), file(b"b", b"same"), file(b"c", b"there")))
        found = {name: entry for name, entry in lab.tree(f"{lab.directory}/blobs").items() if name != "."}
        assert set(found) == {digest_of(b"same"), digest_of(b"there")}
        assert (found[digest_of(b"there")].content, found[digest_of(b"there")].mode) == (b"there", 0o644)

    @pytest.mark.parametrize("spoilt", [b"", b"their", b"where", b"there and more"])
    def test_a_file_that_is_not_what_its_name_says_is_replaced(self, kernel: Kernel, lab: Lab, spoilt: bytes) -> None:
        lab.make_directory(f"{lab.directory}/blobs")
        lab.write_file(f"{lab.directory}/blobs/{digest_of(b'there')}", spoilt)
        spill(kernel, lab, archive(file(b"a", b"there")))
        found = lab.tree(f"{lab.directory}/blobs")[digest_of(b"there")]
        assert (found.content, found.mode) == (b"there", 0o600)

    def test_what_is_no_file_stays_in_its_place(self, kernel: Kernel, lab: Lab) -> None:
        """And nothing follows a link that somebody put there."""
        lab.make_directory(f"{lab.directory}/blobs")
        lab.make_directory(f"{lab.directory}/blobs/{digest_of(b'folder')}")
        lab.make_link(f"{lab.directory}/blobs/{digest_of(b'link')}", f"{lab.directory}/outside")
        lab.write_file(f"{lab.directory}/outside", b"not theirs")
        spill(kernel, lab, archive(file(b"a", b"folder"), file(b"b", b"link")))
        found = lab.tree(f"{lab.directory}/blobs")
        assert [found[digest_of(name)].kind for name in (b"folder", b"link")] == ["directory", "link"]
        assert lab.read_file(f"{lab.directory}/outside") == b"not theirs"

    @pytest.mark.parametrize("name", HOSTILE)
    def test_no_name_in_it_becomes_one_on_the_host(self, kernel: Kernel, lab: Lab, name: bytes) -> None:
        """Absolute, with `..`, through a link that came before, too long for a file: nothing but digests is made."""
        before = set(lab.tree(lab.directory)) | {"archive", "blobs"}
        head = pax((b"path", name))
        data = archive(link(b"escaped", b"/etc"), head + file(b"x", b"evil"), hard_link(b"y", b"/etc/passwd"))
        spill(kernel, lab, data)
        assert laid_out(lab) == {digest_of(b"evil"): b"evil"}
        assert set(lab.tree(lab.directory)) == before | {f"blobs/{digest_of(b'evil')}"}
        assert not lab.exists("/etc/escaped")

    def test_a_link_in_the_place_of_a_digest_is_not_followed(self, kernel: Kernel, lab: Lab) -> None:
        """It stays as it is, and so does what it leads to."""
        lab.make_directory(f"{lab.directory}/blobs")
        lab.write_file(f"{lab.directory}/secret", b"secret")
        lab.make_link(f"{lab.directory}/blobs/{digest_of(b'x')}", f"{lab.directory}/secret")
        spill(kernel, lab, archive(file(b"x", b"x")))
        assert lab.read_file(f"{lab.directory}/secret") == b"secret"

    def test_an_archive_may_come_from_standard_input(self, kernel: Kernel, lab: Lab) -> None:
        """A pipe, compressed or not."""
        data = archive(file(b"x", CONTENT[:200_000]))
        for given in (data, gzip.compress(data), zstandard.compress(data)):
            found: list[Member] = []

            def act(found: list[Member] = found) -> None:
                found += kernel.archives.spill(STANDARD_STREAM, f"{lab.directory}/blobs", Bounds())

            assert lab.piped(given, act) == b""
            assert found == [Member("x", digest_of(CONTENT[:200_000]), 200_000)]

    def test_progress_is_told_of_spilling(self, kernel: Kernel, lab: Lab) -> None:
        """In bytes of the archive as it is; all of them at the end. What is raised there ends the work."""
        lab.write_file(f"{lab.directory}/archive", data := gzip.compress(archive(file(b"x", CONTENT))))
        told: list[int] = []
        kernel.archives.spill(f"{lab.directory}/archive", f"{lab.directory}/blobs", Bounds(), told.append)
        assert told[-1] == len(data)
        assert told == sorted(told)

        def stop(done_bytes: int) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            kernel.archives.spill(f"{lab.directory}/archive", f"{lab.directory}/blobs", Bounds(), stop)

    # What is not

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: b"",
            lambda data: b"<html>" * 200,
            lambda data: data[:-1024],
            lambda data: data[:-1500],
            lambda data: data[:600],
            lambda data: gzip.compress(data)[:-20],
            lambda data: gzip.compress(data)[:-6] + b"wrong!",
            lambda data: gzip.compress(data + bytes(4 << 20))[:-6] + b"wrong!",
            lambda data: zstandard.compress(data)[:-20],
            lambda data: bytes(data[:100]) + b"x" + data[101:],
            lambda data: layers.header(b"..") + data,
            lambda data: layers.link(b"/", b"x") + data,
        ],
        ids=[
            "empty", "text", "no end", "no content", "cut", "gzip cut", "gzip wrong", "gzip wrong after the end",
            "zstd cut", "checksum", "nameless", "nameless link",
        ],
    )  # fmt: skip
    def test_what_is_no_whole_archive_is_invalid(self, kernel: Kernel, lab: Lab, damage: object) -> None:
        """EINVAL; files that were whole may be left, and no other."""
        assert callable(damage)
        with refused(Invalid, errno.EINVAL):
            spill(kernel, lab, damage(archive(file(b"x", b"content"), file(b"y", CONTENT))))
        assert set(laid_out(lab)) <= {digest_of(b"content"), digest_of(CONTENT), digest_of(b"")}

    @pytest.mark.parametrize("magic", [b"BZh91AY", b"\xfd7zXZ\0", b"\x04\x22\x4d\x18"])
    def test_an_archive_of_another_compression_is_unsupported(self, kernel: Kernel, lab: Lab, magic: bytes) -> None:
        """EOPNOTSUPP."""
        with refused(Unsupported, errno.EOPNOTSUPP):
            spill(kernel, lab, magic + bytes(1000))

    def test_archives_have_bounds(self, kernel: Kernel, lab: Lab) -> None:
        """EFBIG for the stream and for holes, E2BIG for entries; as much as is allowed goes through."""
        data = archive(file(b"x", bytes(100_000)), directory(b"d"))
        spill(kernel, lab, gzip.compress(data), Bounds(2, len(data), 1))
        zeros = layers.pax_sparse(b"x", (), len(data))
        spill(kernel, lab, archive(zeros), Bounds(2, len(data), 1))
        with refused(TooLarge, errno.EFBIG):
            spill(kernel, lab, archive(zeros), Bounds(2, len(data) - 1, 1))
        for compress in (bytes, gzip.compress, zstandard.compress):
            with refused(TooLarge, errno.EFBIG):
                spill(kernel, lab, compress(data), Bounds(size_bytes=len(data) - 1))
        with refused(TooLarge, errno.E2BIG):
            spill(kernel, lab, data, Bounds(entries=1))
        with refused(TooLarge, errno.EFBIG):
            spill(kernel, lab, archive(layers.pax_sparse(b"x", PIECES, 1 << 60)))

    def test_depth_is_no_bound_of_an_archive(self, kernel: Kernel, lab: Lab) -> None:
        """Its names are none of a file system's."""
        assert len(spill(kernel, lab, archive(file(b"a/b/c")), Bounds(depth=1))) == 1

    @pytest.mark.parametrize("key", [b"path", b"linkpath"])
    def test_a_name_has_a_bound(self, kernel: Kernel, lab: Lab, key: bytes) -> None:
        """ENAMETOOLONG: all of them are held in memory."""
        for length, fits in ((4096, True), (4097, False)):
            data = archive(pax((key, b"n" * length)) + link(b"x", b"y"))
            if fits:
                assert len(spill(kernel, lab, data)) == 1
            else:
                with refused(Invalid, errno.ENAMETOOLONG):
                    spill(kernel, lab, data)

    def test_what_is_missing_for_spilling(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT: the archive, or what is above the directory; ENOTDIR when that is a file, EISDIR for no archive."""
        lab.write_file(f"{lab.directory}/archive", archive(file(b"x")))
        for path, place in (("no", "blobs"), ("archive", "no/blobs")):
            with refused(Missing, errno.ENOENT):
                kernel.archives.spill(f"{lab.directory}/{path}", f"{lab.directory}/{place}", Bounds())
        with refused(Invalid, errno.ENOTDIR):
            kernel.archives.spill(f"{lab.directory}/archive", f"{lab.directory}/archive", Bounds())
        assert not lab.exists(f"{lab.directory}/blobs")
        with refused(Invalid, errno.EISDIR):
            kernel.archives.spill(lab.directory, f"{lab.directory}/blobs", Bounds())

    @pytest.mark.parametrize(("condition", "kind"), [(FULL, NoSpace), (READ_ONLY, ReadOnly), (DENIED, Denied)])
    def test_a_place_that_takes_no_files(self, kernel: Kernel, lab: Lab, condition: str, kind: type) -> None:
        """Full, read-only, or not allowed: no digest is there."""
        lab.write_file(f"{lab.directory}/archive", archive(file(b"x", CONTENT)))
        place = lab.place(condition)
        with refused(kind):
            kernel.archives.spill(f"{lab.directory}/archive", place, Bounds())
        assert not lab.exists(f"{place}/{digest_of(CONTENT)}")

    # What is bundled

    def test_what_is_bundled_is_laid_out_again(self, kernel: Kernel, lab: Lab) -> None:
        """From files of the host and from memory, in the given order; odd names and sizes too."""
        contents = {"index.json": b"{}", "blobs/sha256/a": CONTENT, "blobs/sha256/b": b"", "d/" + "ü" * 120: b"x" * 512}
        for number, content in enumerate(contents.values()):
            lab.write_file(f"{lab.directory}/content{number}", content)
        paths = tuple((name, f"{lab.directory}/content{number}") for number, name in enumerate(contents))
        for members in (tuple(contents.items()), paths):
            kernel.archives.bundle(members, f"{lab.directory}/archive")
            found = kernel.archives.spill(f"{lab.directory}/archive", f"{lab.directory}/blobs", Bounds())
            assert found == tuple(Member(name, digest_of(text), len(text)) for name, text in contents.items())

    def test_the_entries_of_a_bundle(self, kernel: Kernel, lab: Lab) -> None:
        """Directories before what is in them, once; owned by root, of time 0; a file for root alone."""
        members = (("a/b/c", b"12"), ("a/d", b""), ("e", b"3"))
        kernel.archives.bundle(members, f"{lab.directory}/archive")
        data = lab.read_file(f"{lab.directory}/archive")
        assert [(entry.name, entry.kind, entry.mode, entry.size_bytes) for entry in entries_of(data)] == [
            (b"a/", "directory", 0o755, 0),
            (b"a/b/", "directory", 0o755, 0),
            (b"a/b/c", "file", 0o644, 2),
            (b"a/d", "file", 0o644, 0),
            (b"e", "file", 0o644, 1),
        ]
        assert {(entry.uid, entry.gid, entry.modified_ns) for entry in entries_of(data)} == {(0, 0, 0)}
        assert len(data) % 512 == 0
        assert lab.tree(lab.directory)["archive"].mode == 0o600

    def test_the_same_content_gives_the_same_bytes(self, kernel: Kernel, lab: Lab) -> None:
        """Wherever it comes from, and wherever it goes to."""
        lab.write_file(f"{lab.directory}/content", CONTENT[:300_000])
        members = (("a/b", f"{lab.directory}/content"),), (("a/b", CONTENT[:300_000]),)
        written = [lab.piped(b"", lambda one=one: kernel.archives.bundle(one, STANDARD_STREAM)) for one in members]  # type: ignore[misc]
        kernel.archives.bundle(members[0], f"{lab.directory}/archive")
        assert {*written, lab.read_file(f"{lab.directory}/archive")} == {written[0]}
        assert b"a/b" in written[0]

    def test_an_empty_bundle_is_an_archive(self, kernel: Kernel, lab: Lab) -> None:
        """Two blocks of zeros."""
        kernel.archives.bundle((), f"{lab.directory}/archive")
        assert lab.read_file(f"{lab.directory}/archive") == layers.END

    def test_a_bundle_replaces_a_file(self, kernel: Kernel, lab: Lab) -> None:
        """With its mode; nothing is left beside it."""
        lab.write_file(f"{lab.directory}/archive", CONTENT)
        kernel.archives.bundle((("a", b"1"),), f"{lab.directory}/archive")
        assert [entry.name for entry in entries_of(lab.read_file(f"{lab.directory}/archive"))] == [b"a"]
        assert set(lab.tree(lab.directory)) == {".", "archive"}
        assert lab.tree(lab.directory)["archive"].mode == 0o600

    def test_a_link_to_a_bundle_stays(self, kernel: Kernel, lab: Lab) -> None:
        """What it leads to is replaced, or made."""
        lab.make_directory(f"{lab.directory}/d")
        lab.make_link(f"{lab.directory}/link", "d/archive")
        for _ in range(2):
            kernel.archives.bundle((), f"{lab.directory}/link")
            assert lab.tree(lab.directory)["link"].kind == "link"
            assert lab.read_file(f"{lab.directory}/d/archive") == layers.END

    @pytest.mark.parametrize("name", ["", ".", "/a", "a/", "a//b", "./a", "a/../b", "..", "a\0b"])
    def test_a_bad_name_in_a_bundle_is_invalid(self, kernel: Kernel, lab: Lab, name: str) -> None:
        """EINVAL, and there is no file."""
        with refused(Invalid, errno.EINVAL):
            kernel.archives.bundle((("good", b""), (name, b"")), f"{lab.directory}/archive")
        assert set(lab.tree(lab.directory)) == {"."}

    def test_only_plain_files_are_bundled(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL for a link or a directory."""
        lab.write_file(f"{lab.directory}/secret", b"secret")
        lab.make_link(f"{lab.directory}/link", f"{lab.directory}/secret")
        for path in (f"{lab.directory}/link", lab.directory):
            with refused(Invalid, errno.EINVAL):
                kernel.archives.bundle((("a", path),), f"{lab.directory}/archive")
        assert not lab.exists(f"{lab.directory}/archive")

    def test_what_is_missing_for_a_bundle(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT: a content, and then the file that was there stays, and nothing is written; or the directory."""
        lab.write_file(f"{lab.directory}/archive", b"as it was")
        members = (("a", b"1"), ("b", f"{lab.directory}/no"))
        with refused(Missing, errno.ENOENT):
            kernel.archives.bundle(members, f"{lab.directory}/archive")
        assert lab.read_file(f"{lab.directory}/archive") == b"as it was"
        assert set(lab.tree(lab.directory)) == {".", "archive"}
        with refused(Missing, errno.ENOENT):
            kernel.archives.bundle((), f"{lab.directory}/no/archive")

    def test_a_directory_is_not_replaced_by_a_bundle(self, kernel: Kernel, lab: Lab) -> None:
        """EISDIR."""
        with refused(Invalid, errno.EISDIR):
            kernel.archives.bundle((), lab.directory)

    @pytest.mark.parametrize(("condition", "kind"), [(FULL, NoSpace), (READ_ONLY, ReadOnly), (DENIED, Denied)])
    def test_a_place_that_takes_no_bundle(self, kernel: Kernel, lab: Lab, condition: str, kind: type) -> None:
        """Full, read-only, or not allowed: a file that was there stays, and there is no other."""
        place = lab.place(condition)
        before = set(lab.tree(place))
        for name in ("file", "archive"):
            with refused(kind):
                kernel.archives.bundle((("a", CONTENT * 4),), f"{place}/{name}")
        assert lab.read_file(f"{place}/file") == b"content"
        assert set(lab.tree(place)) == before

from __future__ import annotations

import errno
import gzip
import hashlib
from typing import TYPE_CHECKING

import pytest
import zstandard

from bocker.kernel.archives import Bounds
from bocker.kernel.errors import Denied, Invalid, KernelError, Missing, NoSpace, ReadOnly, TooLarge, Unsupported
from tests.contracts import layers
from tests.contracts.bundles import BundlesContract
from tests.contracts.lab import DENIED, FULL, READ_ONLY
from tests.contracts.layers import archive, directory, file, hard_link, header, link, pax
from tests.contracts.packing import PackingContract
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.kernel import Kernel
    from bocker.kernel.archives import Unpacked
    from tests.contracts.lab import Entry, Lab

MOMENT_NS = 1_000_000_000_123_456_789
MOMENT = b"1000000000.123456789"
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep
HOLE_BYTES = 1 << 20
PIECES = ((0, b"start" + bytes(4091)), (HOLE_BYTES, b"end"))
ZEROS = {
    "in the middle": b"x" * 70_001 + bytes(HOLE_BYTES) + b"y" * 70_001,
    "at the start": bytes(HOLE_BYTES) + b"end",
    "at the end": b"start" + bytes(HOLE_BYTES),
    "one block, after what has none": b"x" * HOLE_BYTES + bytes(1 << 12),
    "alone": bytes(HOLE_BYTES),
    "alone, and more than whole blocks": bytes(HOLE_BYTES + 12_345),
    "twice": b"start" + bytes(HOLE_BYTES) + b"middle" + bytes(3 * HOLE_BYTES) + b"end",
}
LONG = b"/".join([b"directory-of-thirty-characters"] * 10) + b"/file"
ZSTD_SKIPPABLE = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"


def gzipped(data: bytes) -> bytes:
    """Return it by gzip without the time of day, which would be a part of the tests' names."""
    return gzip.compress(data, mtime=0)


def unpack(
    kernel: Kernel,
    lab: Lab,
    blob: bytes,
    bounds: Bounds | None = None,
    progress: Callable[[int], None] | None = None,
) -> Unpacked:
    """Apply a layer to the test's tree, which is made when it is not there."""
    if not lab.exists(f"{lab.directory}/tree"):
        lab.make_subvolume(f"{lab.directory}/tree")
    lab.write_file(f"{lab.directory}/blob", blob)
    return kernel.archives.unpack(f"{lab.directory}/blob", f"{lab.directory}/tree", bounds or Bounds(), progress)


def tree_of(kernel: Kernel, lab: Lab, *blobs: bytes) -> dict[str, Entry]:
    """Apply layers in their order; return the tree."""
    for blob in blobs:
        unpack(kernel, lab, blob)
    return lab.tree(f"{lab.directory}/tree")


def names_of(kernel: Kernel, lab: Lab, *blobs: bytes) -> list[str]:
    return sorted(name for name in tree_of(kernel, lab, *blobs) if name != ".")


class ArchivesContract(BundlesContract, PackingContract):
    # What comes back

    @pytest.mark.parametrize(
        "compress",
        [
            bytes,
            gzipped,
            zstandard.compress,
            lambda data: gzipped(data[:700]) + gzipped(data[700:]) + bytes(100),
            lambda data: zstandard.compress(data[:700]) + ZSTD_SKIPPABLE + zstandard.compress(data[700:]),
        ],
        ids=["plain", "gzip", "zstd", "gzip of two members", "zstd of three frames"],
    )
    def test_the_uncompressed_stream_is_told(self, kernel: Kernel, lab: Lab, compress: object) -> None:
        """Its digest and length, filling included, and the number of entries, whatever it was compressed by."""
        assert callable(compress)
        data = archive(file(b"one", b"content"), directory(b"two")) + bytes(7 * 512)
        unpacked = unpack(kernel, lab, compress(data))
        assert unpacked.fields() == {
            "diff_id": hashlib.sha256(data).hexdigest(),
            "size_bytes": len(data),
            "entries": 2,
        }
        assert lab.read_file(f"{lab.directory}/tree/one") == b"content"

    def test_an_empty_archive_changes_nothing(self, kernel: Kernel, lab: Lab) -> None:
        """Zeros alone: an image's layer without files is such a one."""
        assert unpack(kernel, lab, layers.END).entries == 0
        assert list(lab.tree(f"{lab.directory}/tree")) == ["."]

    # Every kind of file, every attribute

    def test_P8_every_kind_of_file_is_made(self, kernel: Kernel, lab: Lab) -> None:
        """Files, directories, links of both kinds, devices and FIFOs, with modes and owners."""
        own = {"owner": (1000, 1001), "seconds": 1_000_000_000}
        tree = tree_of(
            kernel,
            lab,
            archive(
                directory(b"directory", 0o2750, **own),
                file(b"directory/file", b"content", mode=0o600, **own),
                hard_link(b"second name", b"directory/file"),
                link(b"link", b"/nowhere/at all", **own),
                header(b"null", layers.CHARACTER, mode=0o666, device=(1, 3), **own),
                header(b"loop0", layers.BLOCK, mode=0o660, device=(7, 300), **own),
                header(b"fifo", layers.FIFO, mode=0o1640, **own),
            ),
        )
        del tree["."]
        assert {name: (entry.kind, entry.mode) for name, entry in tree.items()} == {
            "directory": ("directory", 0o2750),
            "directory/file": ("file", 0o600),
            "second name": ("file", 0o600),
            "link": ("link", 0o777),
            "null": ("character", 0o666),
            "loop0": ("block", 0o660),
            "fifo": ("fifo", 0o1640),
        }
        assert {entry.owner for entry in tree.values()} == {(1000, 1001)}
        assert {entry.modified_ns for entry in tree.values()} == {1_000_000_000_000_000_000}
        assert tree["second name"].first_name == tree["directory/file"].first_name
        assert (tree["null"].device, tree["loop0"].device) == ((1, 3), (7, 300))
        assert tree["link"].link == "/nowhere/at all"

    @pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1777, 0o7111, 0o000])
    def test_P8_special_modes_are_kept_with_an_owner(self, kernel: Kernel, lab: Lab, mode: int) -> None:
        """A change of owner takes setuid away: the mode comes after it."""
        tree = tree_of(
            kernel,
            lab,
            archive(file(b"file", b"x", mode=mode, owner=(5, 6)), directory(b"directory", mode, owner=(5, 6))),
        )
        assert (tree["file"].mode, tree["file"].owner) == (mode, (5, 6))
        assert (tree["directory"].mode, tree["directory"].owner) == (mode, (5, 6))

    def test_a_setgid_directory_below_gives_nobody_its_group(self, kernel: Kernel, lab: Lab) -> None:
        """What is made in it belongs to whom the archive says."""
        base = archive(directory(b"shared", 0o2775, owner=(0, 50)))
        inside = [file(b"shared/file"), directory(b"shared/directory"), link(b"shared/link", b"x")]
        tree = tree_of(kernel, lab, base, archive(*inside))
        assert {tree[f"shared/{name}"].owner for name in ("file", "directory", "link")} == {(0, 0)}
        assert tree["shared/directory"].mode == 0o755

    @pytest.mark.parametrize(
        ("text", "modified_ns"),
        [
            (MOMENT, MOMENT_NS),
            (b"1000000000", 1_000_000_000_000_000_000),
            (b"0.5", 500_000_000),
            (b"-1.25", -1_250_000_000),
            (b"7.1234567899", 7_123_456_789),
            (b"5000000000.000000001", 5_000_000_000_000_000_001),
        ],
    )
    def test_P8_times_are_kept_to_the_nanosecond(self, kernel: Kernel, lab: Lab, text: bytes, modified_ns: int) -> None:
        """Before 1970 and after 2106 too; of files, links and directories."""
        entries = [file(b"file"), link(b"link", b"x"), directory(b"directory"), header(b"fifo", layers.FIFO)]
        tree = tree_of(kernel, lab, archive(*(pax((b"mtime", text)) + entry for entry in entries)))
        assert {tree[name].modified_ns for name in ("file", "link", "directory", "fifo")} == {modified_ns}

    def test_a_directory_keeps_its_time_whatever_is_put_into_it(self, kernel: Kernel, lab: Lab) -> None:
        """Its own entry may come first or last; without one, a directory of a layer below keeps what it had."""
        first, last, below = directory(b"first", seconds=5), directory(b"last", seconds=6), directory(b"old", seconds=7)
        top = archive(first, file(b"first/file"), file(b"last/file"), last, file(b"old/file"), directory(b"old/inner"))
        tree = tree_of(kernel, lab, archive(below), top)
        assert [tree[name].modified_ns for name in ("first", "last", "old")] == [5 * 10**9, 6 * 10**9, 7 * 10**9]

    def test_the_root_has_attributes_too(self, kernel: Kernel, lab: Lab) -> None:
        """By the entry `./`."""
        tree = tree_of(kernel, lab, archive(directory(b".", 0o711, owner=(7, 8), seconds=9), file(b"./file")))
        assert (tree["."].mode, tree["."].owner, tree["."].modified_ns) == (0o711, (7, 8), 9 * 10**9)
        assert "file" in tree

    def test_a_root_that_nobody_names_keeps_its_time(self, kernel: Kernel, lab: Lab) -> None:
        """That of the layers below, or of the new subvolume."""
        named, other = archive(directory(b".", seconds=9)), archive(file(b"d/file"), link(b"link", b"d"))
        for data in (named, archive(), other, archive(file(b".wh.d"))):
            assert tree_of(kernel, lab, data)["."].modified_ns == 9 * 10**9

    def test_P8_attributes_and_capabilities_are_kept(self, kernel: Kernel, lab: Lab) -> None:
        """Whatever bytes they hold; a capability outlives the change of owner."""
        said = (
            (b"SCHILY.xattr.user.note", b"kept\0too\n=\xff"),
            (b"SCHILY.xattr.security.capability", CAPABILITY),
            (b"SCHILY.xattr.user.empty", b""),
        )
        tree = tree_of(
            kernel,
            lab,
            archive(
                pax(*said) + file(b"file", b"content", mode=0o755, owner=(3, 4)),
                pax(said[0]) + directory(b"directory"),
            ),
        )
        kept = (("security.capability", CAPABILITY), ("user.empty", b""), ("user.note", b"kept\0too\n=\xff"))
        assert tree["file"].attributes == kept
        assert tree["directory"].attributes == (kept[2],)

    def test_attributes_for_the_hosts_kernel_are_left_out(self, kernel: Kernel, lab: Lab) -> None:
        """`trusted.*`, and what a security module of the host would obey; nor has a link any."""
        names = (b"trusted.overlay.opaque", b"security.selinux", b"security.ima", b"system.other")
        said = pax(*((b"SCHILY.xattr." + name, b"y") for name in names))
        on_link = pax((b"SCHILY.xattr.user.note", b"y"))
        tree = tree_of(kernel, lab, archive(said + file(b"file"), said + directory(b"d"), on_link + link(b"l", b"x")))
        assert [tree[name].attributes for name in ("file", "d", "l")] == [(), (), ()]

    def test_a_directorys_entry_replaces_the_attributes_below(self, kernel: Kernel, lab: Lab) -> None:
        """Mode, owner and extended attributes; what is in it stays."""
        note = pax((b"SCHILY.xattr.user.note", b"old"))
        base = archive(note + directory(b"d", 0o700, owner=(1, 1)), file(b"d/file"))
        tree = tree_of(kernel, lab, base, archive(directory(b"d", 0o755, owner=(2, 2))))
        assert (tree["d"].mode, tree["d"].owner, tree["d"].attributes) == (0o755, (2, 2), ())
        assert "d/file" in tree

    @pytest.mark.parametrize("version", [b"old GNU", b"0.0", b"0.1", b"1.0"])
    def test_P8_sparse_files_keep_their_holes(self, kernel: Kernel, lab: Lab, version: bytes) -> None:
        """In each of the four forms that GNU tar has written."""
        size = HOLE_BYTES + 100_000
        args = (b"dir/sparse", PIECES, size)
        entry = layers.gnu_sparse(*args) if version == b"old GNU" else layers.pax_sparse(*args, version)
        tree = tree_of(kernel, lab, archive(entry, file(b"after", b"it")))
        content = (PIECES[0][1].ljust(HOLE_BYTES, b"\0") + b"end").ljust(size, b"\0")
        assert tree["dir/sparse"].sparse
        assert tree["dir/sparse"].content == hashlib.sha256(content).digest()
        assert tree["after"].content == b"it"

    @pytest.mark.parametrize("version", [b"old GNU", b"1.0"])
    def test_a_sparse_file_may_have_many_pieces(self, kernel: Kernel, lab: Lab, version: bytes) -> None:
        """More than a header, or one block after it, can list."""
        pieces = tuple((number * 1000, b"%03d" % number) for number in range(200))
        args = (b"sparse", pieces, 300_000)
        entry = layers.gnu_sparse(*args) if version == b"old GNU" else layers.pax_sparse(*args, version)
        unpack(kernel, lab, archive(entry))
        content = b"".join(data.ljust(1000, b"\0") for _, data in pieces).ljust(300_000, b"\0")
        assert lab.read_file(f"{lab.directory}/tree/sparse") == content

    @pytest.mark.parametrize("content", ZEROS.values(), ids=ZEROS)
    @pytest.mark.parametrize("compress", [bytes, gzipped], ids=["plain", "gzip"])
    def test_long_runs_of_zeros_become_holes(
        self, kernel: Kernel, lab: Lab, compress: Callable[[bytes], bytes], content: bytes
    ) -> None:
        """In place of what was there, too; the file is as long as it is, and has what it has."""
        data = archive(file(b"file", b"x" * HOLE_BYTES), file(b"file", content), file(b"after", b"it"))
        tree = tree_of(kernel, lab, compress(data))
        assert tree["file"].sparse
        assert lab.read_file(f"{lab.directory}/tree/file") == content
        assert tree["after"].content == b"it"

    @pytest.mark.parametrize("length", [1, 511, 4095, 4096, 65_535, 65_536, 65_537, 200_000])
    def test_zeros_of_any_length_are_kept(self, kernel: Kernel, lab: Lab, length: int) -> None:
        """Alone, before data, and after; whether there is a hole or not."""
        contents = {b"alone": bytes(length), b"first": bytes(length) + b"x", b"last": b"x" + bytes(length)}
        unpack(kernel, lab, archive(*(file(name, content) for name, content in contents.items())))
        for name, content in contents.items():
            assert lab.read_file(f"{lab.directory}/tree/{name.decode()}") == content

    def test_short_runs_of_zeros_are_no_holes(self, kernel: Kernel, lab: Lab) -> None:
        """They would cost more than they give."""
        content = (bytes(4000) + b"x") * 500
        tree = tree_of(kernel, lab, archive(file(b"file", content)))
        assert not tree["file"].sparse
        assert lab.read_file(f"{lab.directory}/tree/file") == content

    # Names and numbers

    def test_names_need_not_be_utf_8(self, kernel: Kernel, lab: Lab) -> None:
        """In plain headers and in PAX ones; blanks and newlines as well, and link targets."""
        odd = pax((b"path", b"pax-\xff\n =")) + file(b"x") + file(b"plain-\xfe \\") + link(b"l", b"\xfd")
        tree = tree_of(kernel, lab, archive(odd))
        assert set(tree) == {".", "pax-\udcff\n =", "plain-\udcfe \\", "l"}
        assert tree["l"].link == "\udcfd"

    def test_long_names_of_every_kind(self, kernel: Kernel, lab: Lab) -> None:
        """PAX, GNU, and ustar's prefix; long targets of links too."""
        target = b"t" * 300
        head, _, tail = LONG[:200].rpartition(b"/")[0].partition(b"/")
        tree = tree_of(
            kernel,
            lab,
            archive(
                pax((b"path", b"pax/" + LONG), (b"linkpath", target)) + link(b"x", b"y"),
                layers.gnu_long(b"gnu/" + LONG)
                + layers.gnu_long(target, layers.LONG_LINK)
                + header(b"x", layers.LINK, link=b"y", magic=layers.OLD_GNU),
                header(tail[:90], prefix=b"prefix/" + head),
            ),
        )
        assert tree["pax/" + LONG.decode()].link == target.decode()
        assert tree["gnu/" + LONG.decode()].link == target.decode()
        assert ("prefix/" + (head + b"/" + tail[:90]).decode()).rstrip("/") in tree

    def test_numbers_may_be_in_base_256(self, kernel: Kernel, lab: Lab) -> None:
        """As GNU tar writes what eight digits can't hold, and times before 1970."""
        entry = header(
            b"file", size=5, owner=(3_000_000_000, 2_100_000), seconds=-5, magic=layers.OLD_GNU, number=layers.base_256
        )
        tree = tree_of(kernel, lab, archive(entry + layers.filled(b"12345"), file(b"after")))
        assert (tree["file"].owner, tree["file"].modified_ns) == ((3_000_000_000, 2_100_000), -5 * 10**9)
        assert tree["file"].content == b"12345"
        assert "after" in tree

    def test_pax_numbers_come_before_the_headers(self, kernel: Kernel, lab: Lab) -> None:
        """Owners and size."""
        said = pax((b"uid", b"3000000000"), (b"gid", b"5"), (b"size", b"3"))
        tree = tree_of(kernel, lab, archive(said + header(b"file") + layers.filled(b"abc"), file(b"after")))
        assert (tree["file"].owner, tree["file"].content) == ((3_000_000_000, 5), b"abc")
        assert "after" in tree

    def test_headers_for_all_that_follows_are_passed_over(self, kernel: Kernel, lab: Lab) -> None:
        """As `git archive` writes one, with a comment."""
        glob = pax((b"comment", b"hash"), (b"uid", b"7"), kind=b"g")
        assert tree_of(kernel, lab, archive(glob, file(b"file")))["file"].owner == (0, 0)

    def test_archives_from_before_posix_can_be_read(self, kernel: Kernel, lab: Lab) -> None:
        """A directory is a file there whose name ends with a slash."""
        entries = header(b"d/", b"\0", mode=0o755, magic=layers.V7), header(b"d/f", b"\0", magic=layers.V7)
        tree = tree_of(kernel, lab, archive(*entries))
        assert (tree["d"].kind, tree["d/f"].kind) == ("directory", "file")

    # One thing in the place of another

    @pytest.mark.parametrize("new", ["file", "link", "hard link", "character", "fifo"])
    @pytest.mark.parametrize("old", ["file", "link", "directory", "character", "fifo"])
    def test_what_is_there_is_replaced(self, kernel: Kernel, lab: Lab, old: str, new: str) -> None:
        """A directory with all that is in it; a device where one was."""
        kinds = {
            "file": file(b"name", b"content"),
            "link": link(b"name", b"other"),
            "hard link": hard_link(b"name", b"other"),
            "directory": directory(b"name") + file(b"name/inner/most"),
            "character": header(b"name", layers.CHARACTER, device=(1, 3)),
            "fifo": header(b"name", layers.FIFO),
        }
        tree = tree_of(kernel, lab, archive(file(b"other", b"kept"), kinds[old]), archive(kinds[new]))
        assert set(tree) == {".", "name", "other"}
        assert tree["name"].kind == new.replace("hard link", "file")
        assert tree["other"].content == b"kept"

    @pytest.mark.parametrize("old", ["file", "link", "character"])
    def test_a_directory_replaces_what_is_none(self, kernel: Kernel, lab: Lab, old: str) -> None:
        """A link to a directory too, whose target stays as it is."""
        kinds = {
            "file": file(b"name"),
            "link": link(b"name", b"other"),
            "character": header(b"name", layers.CHARACTER, device=(1, 3)),
        }
        base = archive(directory(b"other", 0o700), kinds[old])
        tree = tree_of(kernel, lab, base, archive(directory(b"name"), file(b"name/file")))
        assert tree["name"].kind == "directory"
        assert "other/file" not in tree
        assert tree["other"].mode == 0o700

    def test_a_directory_becomes_a_file_and_a_directory_again(self, kernel: Kernel, lab: Lab) -> None:
        """Over three layers, and within one."""
        as_directory, as_file = directory(b"x") + file(b"x/old"), file(b"x", b"content")
        again = directory(b"x") + file(b"x/new")
        expected = ["x", "x/new"]
        assert names_of(kernel, lab, archive(as_directory), archive(as_file), archive(again)) == expected
        assert names_of(kernel, lab, archive(as_directory, as_file, again)) == expected

    def test_the_last_entry_of_a_name_counts(self, kernel: Kernel, lab: Lab) -> None:
        """Within one layer as well."""
        assert tree_of(kernel, lab, archive(file(b"x", b"1"), file(b"x", b"2")))["x"].content == b"2"

    def test_a_file_is_not_written_through_its_other_names(self, kernel: Kernel, lab: Lab) -> None:
        """A new file takes the name; a hard link of the layer below keeps the content."""
        base = archive(file(b"x", b"old"), hard_link(b"y", b"x"))
        tree = tree_of(kernel, lab, base, archive(file(b"x", b"new")))
        assert (tree["x"].content, tree["y"].content) == (b"new", b"old")

    def test_directories_that_no_entry_names_are_made(self, kernel: Kernel, lab: Lab) -> None:
        """Mode 0755, root's, and of time 0."""
        tree = tree_of(kernel, lab, archive(file(b"a/b/file", owner=(1, 1))))
        for name in ("a", "a/b"):
            entry = tree[name]
            assert (entry.kind, entry.mode, entry.owner, entry.modified_ns) == ("directory", 0o755, (0, 0), 0)

    def test_hard_links_lead_across_layers(self, kernel: Kernel, lab: Lab) -> None:
        """To a file below, to a link itself, and again to the same file, which changes nothing."""
        base = archive(file(b"d/file", b"content"), link(b"link", b"nowhere"))
        top = archive(hard_link(b"second", b"d/file"), hard_link(b"third", b"link"))
        tree = tree_of(kernel, lab, base, top, archive(hard_link(b"second", b"d/file"), hard_link(b"link", b"link")))
        assert tree["second"].first_name == "d/file"
        assert tree["third"].kind == "link"
        assert tree["third"].first_name == "link"

    # Whiteouts

    def test_P3_a_whiteout_takes_what_is_below_away(self, kernel: Kernel, lab: Lab) -> None:
        """A file, a directory with all in it, a link and not its target, and what is not there; it is no file."""
        base = archive(file(b"file"), file(b"d/in/most"), link(b"link", b"kept"), file(b"kept"), file(b"e/x"))
        names = (b".wh.file", b".wh.d", b".wh.link", b".wh.absent", b"e/.wh.x", b"absent/.wh.x")
        assert names_of(kernel, lab, base, archive(*map(file, names))) == ["e", "kept"]

    def test_P3_an_opaque_directory_hides_what_is_below(self, kernel: Kernel, lab: Lab) -> None:
        """All of it; the directory itself stays."""
        base = archive(directory(b"d", 0o700), file(b"d/file"), file(b"d/in/most"), file(b"e"))
        tree = tree_of(kernel, lab, base, archive(file(b"d/.wh..wh..opq")))
        assert set(tree) == {".", "d", "e"}
        assert tree["d"].mode == 0o700

    @pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
    def test_P3_a_whiteout_spares_its_own_layer(self, kernel: Kernel, lab: Lab, first: bool) -> None:
        """Whether it stands before or after what the layer brings."""
        base = archive(file(b"x", b"old"), file(b"d/old"), file(b"d/in/old"))
        brought = [file(b"x", b"new"), directory(b"d"), file(b"d/new"), file(b"d/in/new")]
        whiteouts = [file(b".wh.x"), file(b".wh.d")]
        top = archive(*(whiteouts + brought if first else brought + whiteouts))
        assert names_of(kernel, lab, base, top) == ["d", "d/in", "d/in/new", "d/new", "x"]
        assert lab.read_file(f"{lab.directory}/tree/x") == b"new"

    @pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
    def test_P3_an_opaque_mark_spares_its_own_layer(self, kernel: Kernel, lab: Lab, first: bool) -> None:
        """Files, and directories that it shares with the layers below."""
        base = archive(file(b"d/old"), file(b"d/in/old"), file(b"d/gone/old"))
        brought, mark = [file(b"d/new"), file(b"d/in/new")], [file(b"d/.wh..wh..opq")]
        top = archive(*(mark + brought if first else brought + mark))
        assert names_of(kernel, lab, base, top) == ["d", "d/in", "d/in/new", "d/new"]

    def test_P3_a_whiteout_is_known_by_any_path(self, kernel: Kernel, lab: Lab) -> None:
        """What came through a link to the directory is spared as well."""
        base = archive(file(b"usr/lib/old"), link(b"lib", b"usr/lib"))
        top = archive(file(b"lib/new"), file(b"usr/lib/.wh..wh..opq"))
        assert names_of(kernel, lab, base, top) == ["lib", "usr", "usr/lib", "usr/lib/new"]

    def test_P3_marks_of_other_kinds_are_passed_over(self, kernel: Kernel, lab: Lab) -> None:
        """aufs's own: no file of that name, nor below it."""
        marks = archive(file(b".wh..wh.aufs"), directory(b".wh..wh.plnk"), file(b".wh..wh.plnk/1.2"), file(b"x"))
        assert names_of(kernel, lab, marks) == ["x"]

    @pytest.mark.parametrize("name", [b".wh.", b"d/.wh.", b".wh..", b".wh...", b"d/.wh...", b".wh.d/x"])
    def test_a_whiteout_of_nothing_is_refused(self, kernel: Kernel, lab: Lab, name: bytes) -> None:
        """`.wh.` alone, of `.` and `..`, and as a directory; nothing is taken away."""
        unpack(kernel, lab, archive(file(b"d/kept")))
        with refused(Invalid, errno.EINVAL):
            unpack(kernel, lab, archive(file(name)))
        assert "d/kept" in lab.tree(f"{lab.directory}/tree")

    # Nothing leaves the root

    @pytest.mark.parametrize(
        "name", ["/outside", "../outside", "x/../../../../outside", "/../outside", "./..//outside"]
    )
    def test_P5_names_can_not_leave_the_root(self, kernel: Kernel, lab: Lab, name: str) -> None:
        """They are read as if the target were `/`."""
        lab.write_file(f"{lab.directory}/outside", b"kept")
        assert names_of(kernel, lab, archive(file(name.encode(), b"inside"))) == ["outside"]
        assert lab.read_file(f"{lab.directory}/outside") == b"kept"

    @pytest.mark.parametrize("target", ["..", "../..", "/", "/..", "{here}"])
    def test_P5_a_link_can_not_lead_out(self, kernel: Kernel, lab: Lab, target: str) -> None:
        """Not within a layer, nor from one into the next; it is followed within the root, or the layer is refused."""
        lab.write_file(f"{lab.directory}/outside", b"kept")
        way = link(b"way", target.format(here=lab.directory).encode())
        for blobs in ([way, file(b"way/outside", b"in")], [archive(way), archive(file(b"way/outside", b"in"))]):
            try:
                for blob in blobs if blobs[0] is not way else [archive(*blobs)]:
                    unpack(kernel, lab, blob)
                assert lab.read_file(f"{lab.directory}/tree/outside") == b"in"
            except Invalid:
                assert "{" in target
        assert lab.read_file(f"{lab.directory}/outside") == b"kept"

    def test_P5_a_whiteout_through_a_link_can_not_lead_out(self, kernel: Kernel, lab: Lab) -> None:
        """It takes away what has that name in the root, if anything."""
        lab.write_file(f"{lab.directory}/outside", b"kept")
        base = archive(link(b"way", b".."), link(b"far", lab.directory.encode()), file(b"outside"))
        top = archive(file(b"way/.wh.outside"), file(b"far/.wh.outside"), file(b"far/.wh..wh..opq"))
        assert names_of(kernel, lab, base, top) == ["far", "way"]
        assert lab.read_file(f"{lab.directory}/outside") == b"kept"

    @pytest.mark.parametrize("name", ["../outside", "{here}/outside", "way/outside"])
    def test_P5_a_hard_link_can_not_lead_out(self, kernel: Kernel, lab: Lab, name: str) -> None:
        """A file outside is not there."""
        lab.write_file(f"{lab.directory}/outside", b"kept")
        way = link(b"way", lab.directory.encode())
        with refused(Invalid, errno.EINVAL):
            unpack(kernel, lab, archive(way, hard_link(b"stolen", name.format(here=lab.directory).encode())))
        assert "stolen" not in lab.tree(f"{lab.directory}/tree")

    def test_P5_a_file_is_not_written_through_a_link(self, kernel: Kernel, lab: Lab) -> None:
        """The link of the last component is replaced, wherever it leads."""
        lab.write_file(f"{lab.directory}/outside", b"kept")
        base = archive(link(b"x", f"{lab.directory}/outside".encode()), file(b"inside", b"kept"), link(b"y", b"inside"))
        tree = tree_of(kernel, lab, base, archive(file(b"x", b"new"), file(b"y", b"new")))
        assert {name: tree[name].content for name in ("x", "y", "inside")} == {
            "x": b"new",
            "y": b"new",
            "inside": b"kept",
        }
        assert lab.read_file(f"{lab.directory}/outside") == b"kept"

    def test_links_of_a_layer_below_are_followed_within_the_root(self, kernel: Kernel, lab: Lab) -> None:
        """Absolute, relative and by way of another: `lib` is such a one in most images."""
        base = archive(
            directory(b"usr/lib"), link(b"lib", b"usr/lib"), link(b"abs", b"/usr/lib"), link(b"far", b"../lib")
        )
        top = archive(file(b"lib/1"), file(b"abs/2"), file(b"far/3"), hard_link(b"lib/4", b"abs/1"))
        assert {f"usr/lib/{number}" for number in (1, 2, 3, 4)} <= set(names_of(kernel, lab, base, top))

    @pytest.mark.parametrize(
        "entries",
        [
            (file(b"x"), file(b"x/y")),
            (link(b"x", b"nowhere"), file(b"x/y")),
            (link(b"x", b"x"), file(b"x/y")),
            (header(b"x", layers.FIFO), file(b"x/y")),
            (header(b"x", layers.CHARACTER, device=(1, 3)), directory(b"x/y")),
        ],
        ids=["file", "link that leads nowhere", "link to itself", "FIFO", "device"],
    )
    def test_nothing_can_be_below_what_is_no_directory(
        self, kernel: Kernel, lab: Lab, entries: tuple[bytes, ...]
    ) -> None:
        """EINVAL, in one layer and over two; nothing waits for a FIFO."""
        with refused(Invalid, errno.EINVAL):
            unpack(kernel, lab, archive(*entries))
        unpack(kernel, lab, archive(entries[0]))
        with refused(Invalid, errno.EINVAL):
            unpack(kernel, lab, archive(entries[1]))

    @pytest.mark.parametrize("target", [b"absent", b"absent/file", b"directory", b".", b"", b"/"])
    def test_a_hard_link_to_no_file_is_refused(self, kernel: Kernel, lab: Lab, target: bytes) -> None:
        """EINVAL: not there, or a directory."""
        with refused(Invalid, errno.EINVAL):
            unpack(kernel, lab, archive(directory(b"directory"), hard_link(b"x", target)))

    def test_the_root_itself_is_not_replaced(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL for a file, link or device that would be it."""
        for entry in (file(b"."), link(b"/", b"x"), header(b"..", layers.FIFO)):
            with refused(Invalid, errno.EINVAL):
                unpack(kernel, lab, archive(entry))

    # Broken archives

    @pytest.mark.parametrize(
        "blob",
        [
            b"",
            b"<html><body>502 Bad Gateway</body></html>\n" * 40,
            b"\0" * 100,
            archive(file(b"x", b"content"))[:700],
            file(b"x", b"content"),
            gzipped(archive(file(b"x", b"content" * 999)))[:-30],
            gzipped(archive(file(b"x")))[:-6] + b"wrong!",
            zstandard.compress(archive(file(b"x", bytes(range(256)) * 99)))[:-40],
            gzipped(b"<html>502 Bad Gateway</html>"),
            gzipped(archive(file(b"x"))) + b"garbage",
            gzipped(archive(file(b"x"))) + b"X",
            gzipped(archive(file(b"x"))) + bytes(100) + b"X",
        ],
        ids=[
            "nothing",
            "an error page",
            "a part of a block",
            "cut in a file",
            "without an end",
            "cut gzip",
            "gzip's checksum",
            "cut zstd",
            "an error page in gzip",
            "garbage after gzip",
            "a letter after gzip",
            "a letter after zeros after gzip",
        ],
    )
    def test_P6_what_is_no_whole_archive_is_refused(self, kernel: Kernel, lab: Lab, blob: bytes) -> None:
        """EINVAL."""
        with refused(Invalid, errno.EINVAL):
            unpack(kernel, lab, blob)

    @pytest.mark.parametrize(
        "entry",
        [
            file(b"x").replace(b"000644", b"000645"),
            header(b"x", b"D"),
            header(b""),
            pax((b"path", b"a\0b")) + file(b"x"),
            pax((b"linkpath", b"a\0b")) + link(b"x", b"y"),
            link(b"x", b""),
            header(b"x", b"x", 8) + layers.filled(b"8 a=b\n!!") + file(b"x"),
            header(b"x", b"x", 9) + layers.filled(b"99 path=a") + file(b"x"),
            header(b"x", b"x", 1 << 30) + file(b"x"),
            pax((b"size", b"-1")) + file(b"x"),
            pax((b"size", b"1_0")) + file(b"x"),
            pax((b"uid", b"4294967295")) + file(b"x"),
            pax((b"mtime", b"soon")) + file(b"x"),
            pax((b"mtime", b"99999999999999999999")) + file(b"x"),
            header(b"x", size=-5, magic=layers.OLD_GNU, number=layers.base_256),
            header(b"x", layers.CHARACTER, device=(4096, 0)),
            pax((b"path", b"x")),
            layers.pax_sparse(b"x", PIECES, 10),
            layers.pax_sparse(b"x", (PIECES[1], PIECES[0]), 2 * HOLE_BYTES),
            pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + file(b"x"),
        ],
    )
    def test_a_broken_header_is_refused(self, kernel: Kernel, lab: Lab, entry: bytes) -> None:
        """EINVAL: a checksum, a type, a name with a NUL, a PAX header, a number, a map, or a header for nothing."""
        with refused(Invalid, errno.EINVAL):
            unpack(kernel, lab, archive(entry))

    def test_a_name_that_is_too_long_is_refused(self, kernel: Kernel, lab: Lab) -> None:
        """ENAMETOOLONG: a component of more than 255 bytes."""
        with refused(Invalid, errno.ENAMETOOLONG):
            unpack(kernel, lab, archive(pax((b"path", b"x" * 256)) + file(b"x")))

    @pytest.mark.parametrize("magic", [b"BZh91AY", b"\xfd7zXZ\0", b"\x04\x22\x4d\x18"])
    def test_another_compression_is_unsupported(self, kernel: Kernel, lab: Lab, magic: bytes) -> None:
        """bzip2, xz and lz4, which no specification of images has."""
        with refused(Unsupported, errno.EOPNOTSUPP):
            unpack(kernel, lab, magic + bytes(1000))

    def test_beside_the_target_nothing_is_touched(self, kernel: Kernel, lab: Lab) -> None:
        """It may be any directory of the store: what stands next to it is neither seen nor copied."""
        target, beside = f"{lab.directory}/target", f"{lab.directory}/beside"
        for path in (target, beside):
            lab.make_directory(path)
            lab.write_file(f"{path}/file", b"kept")
        lab.write_file(f"{lab.directory}/blob", archive(file(b"beside"), file(b".wh.file"), file(b"new", b"new")))
        kernel.archives.unpack(f"{lab.directory}/blob", target, Bounds())
        assert sorted(lab.tree(target)) == [".", "beside", "new"]
        assert sorted(lab.tree(beside)) == [".", "file"]

    # Bombs

    def test_the_uncompressed_stream_has_a_bound(self, kernel: Kernel, lab: Lab) -> None:
        """EFBIG, for gzip and for zstd; as much as is allowed goes through."""
        data = archive(file(b"x", bytes(100_000)))
        unpack(kernel, lab, gzipped(data), Bounds(size_bytes=len(data)))
        for compress in (bytes, gzipped, zstandard.compress):
            with refused(TooLarge, errno.EFBIG):
                unpack(kernel, lab, compress(data), Bounds(size_bytes=len(data) - 1))

    @pytest.mark.parametrize(
        ("second", "size_more", "kind", "number"),
        [
            (gzipped(b""), 0, None, 0),
            (gzipped(b"x"), 0, TooLarge, errno.EFBIG),
            (gzipped(bytes(512)), 512, None, 0),
            (gzipped(bytes(512)), 511, TooLarge, errno.EFBIG),
            (gzipped(b"")[:-3], 0, Invalid, errno.EINVAL),
            (gzipped(bytes(512))[:-3], 512, Invalid, errno.EINVAL),
            (bytes(3) + gzipped(bytes(512)), 512, None, 0),
        ],
    )
    def test_the_bound_is_for_all_parts_of_a_stream(
        self, kernel: Kernel, lab: Lab, second: bytes, size_more: int, kind: type[KernelError] | None, number: int
    ) -> None:
        """Also where the first one has reached it: what follows is looked at."""
        data = archive(file(b"x", bytes(1000)))
        bounds = Bounds(size_bytes=len(data) + size_more)
        if kind is None:
            assert unpack(kernel, lab, gzipped(data) + second, bounds).entries == 1
            return
        with refused(kind, number):
            unpack(kernel, lab, gzipped(data) + second, bounds)

    def test_a_name_of_255_bytes_is_made(self, kernel: Kernel, lab: Lab) -> None:
        """As long as one can be."""
        name = b"x" * 255
        assert names_of(kernel, lab, archive(pax((b"path", name)) + file(b"x"))) == [name.decode()]

    def test_a_full_place_takes_what_needs_no_room(self, kernel: Kernel, lab: Lab) -> None:
        """A layer without entries."""
        lab.write_file(f"{lab.directory}/blob", archive())
        unpacked = kernel.archives.unpack(f"{lab.directory}/blob", lab.place(FULL) + "/img_42002", Bounds())
        assert unpacked.entries == 0

    def test_holes_count_for_the_bound(self, kernel: Kernel, lab: Lab) -> None:
        """EFBIG: a sparse file of an exabyte is small in an archive."""
        with refused(TooLarge, errno.EFBIG):
            unpack(kernel, lab, archive(layers.pax_sparse(b"x", PIECES, 1 << 60)))

    def test_entries_have_a_bound(self, kernel: Kernel, lab: Lab) -> None:
        """E2BIG; whiteouts count too."""
        data = archive(file(b"x"), file(b"y"), file(b".wh.z"))
        assert unpack(kernel, lab, data, Bounds(entries=3)).entries == 3
        with refused(TooLarge, errno.E2BIG):
            unpack(kernel, lab, data, Bounds(entries=2))

    def test_depth_has_a_bound(self, kernel: Kernel, lab: Lab) -> None:
        """E2BIG for more components than allowed."""
        data = archive(file(b"a/b/c"))
        unpack(kernel, lab, data, Bounds(depth=3))
        with refused(TooLarge, errno.E2BIG):
            unpack(kernel, lab, data, Bounds(depth=2))

    # How far it is

    @pytest.mark.parametrize("compress", [bytes, gzipped, zstandard.compress], ids=["plain", "gzip", "zstd"])
    def test_unpacking_tells_how_much_of_the_blob_is_done(self, kernel: Kernel, lab: Lab, compress: object) -> None:
        """In bytes of the file, never fewer than before, all of them at the end."""
        assert callable(compress)
        told: list[int] = []
        blob = compress(archive(*(file(b"%d" % number, bytes([number]) * 50_000) for number in range(100))))
        unpack(kernel, lab, blob, progress=told.append)
        assert told == sorted(told)
        assert told[-1] == len(blob)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, BrokenPipeError])
    def test_what_is_raised_while_being_told_ends_the_unpacking(
        self, kernel: Kernel, lab: Lab, error: type[BaseException]
    ) -> None:
        """It comes out as it is: a closed terminal is no error of the kernel's."""

        def raises(_: int) -> None:
            raise error

        with pytest.raises(error):
            unpack(kernel, lab, archive(file(b"x")), progress=raises)
        assert unpack(kernel, lab, archive(file(b"y"))).entries == 1

    # Where it can't be

    def test_what_is_missing(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT: the blob or the target; ENOTDIR for a target that is a file, EISDIR for a blob that is none."""
        lab.write_file(f"{lab.directory}/blob", archive(file(b"x")))
        lab.make_directory(f"{lab.directory}/tree")
        with refused(Missing, errno.ENOENT):
            kernel.archives.unpack(f"{lab.directory}/no", f"{lab.directory}/tree", Bounds())
        with refused(Missing, errno.ENOENT):
            kernel.archives.unpack(f"{lab.directory}/blob", f"{lab.directory}/no", Bounds())
        with refused(Invalid, errno.ENOTDIR):
            kernel.archives.unpack(f"{lab.directory}/blob", f"{lab.directory}/blob", Bounds())
        with refused(Invalid, errno.EISDIR):
            kernel.archives.unpack(f"{lab.directory}/tree", f"{lab.directory}/tree", Bounds())

    @pytest.mark.parametrize(
        ("condition", "inside", "kind"),
        [(FULL, "/img_42002", NoSpace), (READ_ONLY, "/img_42002", ReadOnly), (DENIED, "", Denied)],
    )
    def test_a_place_that_takes_nothing(
        self, kernel: Kernel, lab: Lab, condition: str, inside: str, kind: type
    ) -> None:
        """Full, read-only, or not allowed."""
        lab.write_file(f"{lab.directory}/blob", archive(file(b"large", b"x" * (4 << 20))))
        with refused(kind):
            kernel.archives.unpack(f"{lab.directory}/blob", lab.place(condition) + inside, Bounds())

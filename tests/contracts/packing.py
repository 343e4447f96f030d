"""The part of the archives' contract that layers are made by: `pack`."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import random
import tarfile
from typing import TYPE_CHECKING

import pytest

from bocker.kernel.archives import GZIP, PLAIN, STANDARD_STREAM, Bounds, Packed
from bocker.kernel.errors import Denied, Invalid, Missing, NoSpace, ReadOnly, Unsupported
from tests.contracts import lab as labs
from tests.contracts import layers
from tests.contracts.layers import archive, directory, file, hard_link, header, link, pax
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Entry, Lab

PROGRAMS = 12
DEEPEST = 512
NAMES = (b"a", b"b", b"c", b"\xff odd", b"n" * 120)
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
NOTE = pax((b"SCHILY.xattr.user.note", b"kept\0too"), (b"mtime", b"1000000000.123456789"))
HOLE_BYTES = 1 << 20
SPARSE = layers.pax_sparse(b"d/sparse", ((0, b"x" * 4096), (HOLE_BYTES, b"y" * 4096)), 2 * HOLE_BYTES)
EVERYTHING = archive(
    directory(b"d", 0o2750, owner=(7, 8), seconds=5),
    NOTE + file(b"d/file", b"content", mode=0o4755, owner=(1000, 1001)),
    pax((b"SCHILY.xattr.security.capability", CAPABILITY)) + file(b"d/capable", b"x"),
    pax((b"SCHILY.xattr.user.\xff odd", b"kept"), (b"SCHILY.xattr.user.a", b"")) + file(b"d/attributes", b"x"),
    hard_link(b"d/second", b"d/file"),
    SPARSE,
    directory(b"e", seconds=6),
    hard_link(b"e/third", b"d/file"),
    file(b"e/large", bytes(range(256)) * 1000),
    link(b"link", b"/nowhere/at all", owner=(2_000_000, 5)),
    header(b"fifo", layers.FIFO, mode=0o1640),
    header(b"null", layers.CHARACTER, mode=0o666, device=(1, 3)),
    pax((b"path", b"odd \xff\n" + b"x" * 150)) + file(b"x", b"odd"),
)
CHANGES = {
    "nothing": archive(),
    "a file": archive(file(b"e/large", b"small")),
    "a mode": archive(file(b"e/large", bytes(range(256)) * 1000, mode=0o600)),
    "a directory's attributes": archive(NOTE + directory(b"e", 0o700, owner=(1, 2))),
    "the root's attributes": archive(directory(b".", 0o711, owner=(1, 2), seconds=9)),
    "one name of three": archive(file(b".wh.d"), file(b"f")),
    "the content of a file of three names": archive(file(b"new", b"other"), hard_link(b"d/file", b"new")),
    "a further name": archive(hard_link(b"e/fourth", b"d/second")),
    "a file where a directory was": archive(file(b"d", b"file")),
    "a directory where a file was": archive(directory(b"link"), file(b"link/inside")),
    "another directory": archive(file(b"d/.wh..wh..opq"), file(b"d/new")),
    "a link where a directory was": archive(link(b"d", b"e")),
    "another device": archive(header(b"null", layers.CHARACTER, mode=0o666, device=(1, 5))),
    "nothing at all": archive(file(b".wh..wh..opq")),
}


def snapshots(kernel: Kernel, settings: Settings, lab: Lab, *archives: bytes) -> list[str]:
    """Apply layers in their order; return the path of a read-only snapshot after each."""
    made = []
    kernel.storage.create("work")
    for number, data in enumerate(archives):
        lab.write_file(f"{lab.directory}/applied", data)
        kernel.archives.unpack(f"{lab.directory}/applied", f"{settings.store}/work", Bounds())
        kernel.storage.snapshot("work", f"layer_{number}", read_only=True)
        made.append(f"{settings.store}/layer_{number}")
    return made


def pack(kernel: Kernel, lab: Lab, tree: str, base: str | None, compression: str = PLAIN) -> Packed:
    return kernel.archives.pack(tree, base, f"{lab.directory}/layer", compression)


def members(lab: Lab) -> list[tarfile.TarInfo]:
    """Return what the layer holds, by a reader that shares nothing with ours."""
    data = io.BytesIO(lab.read_file(f"{lab.directory}/layer"))
    with tarfile.open(fileobj=data, errors="surrogateescape") as read:
        return list(read)


def names(lab: Lab) -> list[str]:
    return [member.name for member in members(lab)]


def made_again(kernel: Kernel, settings: Settings, lab: Lab, base: str | None) -> dict[str, Entry]:
    """Return the tree that the layer makes of a base."""
    if base is None:
        kernel.storage.create("again")
    else:
        kernel.storage.snapshot(base.rpartition("/")[2], "again")
    kernel.archives.unpack(f"{lab.directory}/layer", f"{settings.store}/again", Bounds())
    tree = lab.tree(f"{settings.store}/again")
    kernel.storage.delete("again")
    return tree


def random_archive(chance: random.Random) -> bytes:
    """Return a layer of random entries, some of which take away or replace what is there."""
    entries: list[bytes] = []
    made: list[bytes] = []
    for _ in range(chance.randrange(1, 9)):
        name = b"/".join(chance.choice(NAMES) for _ in range(chance.choice((1, 2, 2))))
        *above, last = name.split(b"/")
        if any(name.startswith(one + b"/") or one.startswith(name + b"/") or one == name for one in made):
            continue
        if above:
            entries.append(pax((b"path", above[0])) + directory(b"x", seconds=3))
        own = {"owner": (chance.choice((0, 5)), 0), "seconds": chance.choice((1, 2, 10**9))}
        longer = pax((b"path", name))
        entries.append(
            chance.choice(
                (
                    longer + file(b"x", chance.randbytes(chance.choice((0, 9, 5000))), **own),
                    NOTE + longer + file(b"x", b"same", **own),
                    longer + directory(b"x", chance.choice((0o755, 0o700)), **own),
                    longer + link(b"x", b"a", **own),
                    longer + header(b"x", layers.FIFO),
                    pax((b"path", b"/".join((*above, b".wh." + last)))) + file(b"x"),
                )
            )
        )
        if above and entries[-1].endswith(b"same" + bytes(508)):
            entries.append(pax((b"path", name + b"2"), (b"linkpath", name)) + hard_link(b"x", b"y"))
        made.append(name)
    return archive(*entries)


class PackingContract:
    @pytest.mark.parametrize("change", CHANGES)
    def test_a_layer_makes_of_its_base_what_the_tree_is(
        self, kernel: Kernel, settings: Settings, lab: Lab, change: str
    ) -> None:
        """In all attributes, on the base and, packed without one, on nothing."""
        base, tree = snapshots(kernel, settings, lab, EVERYTHING, CHANGES[change])
        for below in (base, None):
            pack(kernel, lab, tree, below)
            assert made_again(kernel, settings, lab, below) == lab.tree(tree)

    @pytest.mark.parametrize("seed", range(PROGRAMS))
    def test_layers_of_random_changes_make_the_tree(
        self, kernel: Kernel, settings: Settings, lab: Lab, seed: int
    ) -> None:
        """Of one change or of three, whatever was done between."""
        chance = random.Random(seed)
        paths = snapshots(kernel, settings, lab, *(random_archive(chance) for _ in range(4)))
        for base, tree in ((paths[0], paths[3]), (paths[2], paths[3]), (None, paths[3])):
            pack(kernel, lab, tree, base)
            assert made_again(kernel, settings, lab, base) == lab.tree(tree)

    @pytest.mark.parametrize("compression", [PLAIN, GZIP])
    def test_what_was_packed_is_told(self, kernel: Kernel, settings: Settings, lab: Lab, compression: str) -> None:
        """Digests and lengths of the file and of the stream before compression, and the number of entries."""
        (tree,) = snapshots(kernel, settings, lab, EVERYTHING)
        packed = pack(kernel, lab, tree, None, compression)
        data = lab.read_file(f"{lab.directory}/layer")
        stream = gzip.decompress(data) if compression == GZIP else data
        assert packed == Packed(
            hashlib.sha256(data).hexdigest(),
            len(data),
            hashlib.sha256(stream).hexdigest(),
            len(stream),
            len(lab.tree(tree)),
        )
        assert (len(data) < len(stream) // 2) == (compression == GZIP)
        kernel.storage.create("again")
        unpacked = kernel.archives.unpack(f"{lab.directory}/layer", f"{settings.store}/again", Bounds())
        assert (unpacked.diff_id, unpacked.size_bytes, unpacked.entries) == (
            packed.diff_id,
            packed.stream_bytes,
            packed.entries,
        )

    def test_only_what_changed_is_in_a_layer(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """What went as a whiteout; a directory's own entry only when it is another."""
        base, tree = snapshots(
            kernel,
            settings,
            lab,
            EVERYTHING,
            archive(file(b"e/.wh.large"), file(b"e/small"), file(b"d/capable", b"y")),
        )
        pack(kernel, lab, tree, base)
        assert names(lab) == ["d/capable", "e/.wh.large", "e/small"]
        pack(kernel, lab, tree, tree)
        assert names(lab) == []

    def test_entries_are_in_the_order_of_their_names(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """A directory before what is in it, and that before any other name; the root is `./`."""
        every = (b"a", b"a/b", b"a/b/c", b"a-b", b"a.b", b"\xff", b"Z")
        (tree,) = snapshots(kernel, settings, lab, archive(*(directory(name) for name in reversed(every))))
        pack(kernel, lab, tree, None)
        assert names(lab) == [".", "Z", "a", "a/b", "a/b/c", "a-b", "a.b", "\udcff"]

    def test_the_same_trees_give_the_same_bytes(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Owners have numbers and no names."""
        base, tree = snapshots(kernel, settings, lab, EVERYTHING, CHANGES["a further name"])
        first = pack(kernel, lab, tree, base, GZIP)
        assert pack(kernel, lab, tree, base, GZIP) == first
        pack(kernel, lab, tree, base)
        assert {(member.uname, member.gname) for member in members(lab)} == {("", "")}

    def test_all_names_of_a_changed_file_are_in_a_layer(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """The later ones as links to the first; other engines can't link to a layer below."""
        base, tree = snapshots(kernel, settings, lab, EVERYTHING, CHANGES["a further name"])
        pack(kernel, lab, tree, base)
        found = {member.name: member.linkname for member in members(lab) if not member.isdir()}
        assert found == {"d/file": "", "d/second": "d/file", "e/fourth": "d/file", "e/third": "d/file"}

    def test_a_hole_is_zeros_in_a_layer(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """And no map of a sparse file, which docker and podman can't save; unpacked, it is a hole again."""
        (tree,) = snapshots(kernel, settings, lab, archive(SPARSE))
        assert pack(kernel, lab, tree, None).size_bytes > 2 * HOLE_BYTES
        assert b"GNU" not in lab.read_file(f"{lab.directory}/layer")
        assert [member.size for member in members(lab) if member.isreg()] == [2 * HOLE_BYTES]
        assert pack(kernel, lab, tree, None, GZIP).size_bytes < HOLE_BYTES // 4
        again = made_again(kernel, settings, lab, None)
        assert again == lab.tree(tree)
        assert again["d/sparse"].sparse

    def test_what_is_mounted_in_a_snapshot_is_not_seen(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """But what lies under it."""
        (tree,) = snapshots(kernel, settings, lab, archive(file(b"d/under", b"it")))
        lab.mount(f"{tree}/d")
        lab.write_file(f"{tree}/d/over", b"secret")
        pack(kernel, lab, tree, None)
        assert names(lab) == [".", "d", "d/under"]

    def test_no_link_is_followed(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """One in place of a directory is a link, and what it leads to is not in the layer."""
        lab.write_file(f"{lab.directory}/secret", b"secret")
        base, tree = snapshots(
            kernel,
            settings,
            lab,
            archive(file(b"d/secret", b"mine")),
            archive(file(b".wh.d"), link(b"d", lab.directory.encode())),
        )
        pack(kernel, lab, tree, base)
        assert [(member.name, member.linkname) for member in members(lab) if member.name != "."] == [
            ("d", lab.directory)
        ]

    def test_an_archive_is_replaced(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """It has mode 0600, as the files in it may be secret."""
        (tree,) = snapshots(kernel, settings, lab, EVERYTHING)
        lab.write_file(f"{lab.directory}/layer", b"x" * 10_000_000)
        packed = pack(kernel, lab, tree, None)
        assert len(lab.read_file(f"{lab.directory}/layer")) == packed.size_bytes
        assert lab.tree(lab.directory)["layer"].mode == 0o600

    def test_a_layer_may_go_to_standard_output(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """The same bytes as in a file."""
        (tree,) = snapshots(kernel, settings, lab, EVERYTHING)
        pack(kernel, lab, tree, None)
        written = lab.piped(b"", lambda: kernel.archives.pack(tree, None, STANDARD_STREAM, PLAIN))
        assert written == lab.read_file(f"{lab.directory}/layer")

    # How far it is

    def test_packing_tells_how_much_is_written(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """In bytes of the archive, never fewer than before, all of them at the end."""
        (tree,) = snapshots(kernel, settings, lab, EVERYTHING)
        told: list[int] = []
        packed = kernel.archives.pack(tree, None, f"{lab.directory}/layer", GZIP, told.append)
        assert told == sorted(told)
        assert told[-1] == packed.size_bytes

    @pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
    def test_what_is_raised_while_being_told_ends_the_packing(
        self, kernel: Kernel, settings: Settings, lab: Lab, error: type[BaseException]
    ) -> None:
        """It comes out as it is."""

        def raises(_: int) -> None:
            raise error

        (tree,) = snapshots(kernel, settings, lab, EVERYTHING)
        with pytest.raises(error):
            kernel.archives.pack(tree, None, f"{lab.directory}/layer", GZIP, raises)

    # What can't be packed, and where

    def test_a_layer_in_the_place_of_a_directory(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """EISDIR, and the directory stays."""
        (tree,) = snapshots(kernel, settings, lab, archive())
        lab.make_directory(f"{lab.directory}/taken")
        with refused(Invalid, errno.EISDIR):
            kernel.archives.pack(tree, None, f"{lab.directory}/taken")
        assert lab.exists(f"{lab.directory}/taken")

    def test_packing_what_is_missing(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """ENOENT: the tree, the base, or the archive's directory."""
        (tree,) = snapshots(kernel, settings, lab, archive())
        nothing, layer = f"{settings.store}/nothing", f"{lab.directory}/layer"
        for what in ((nothing, None, layer), (tree, nothing, layer), (tree, None, f"{nothing}/layer")):
            with refused(Missing, errno.ENOENT):
                kernel.archives.pack(*what)

    def test_what_is_no_read_only_snapshot_is_invalid(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """A directory, a file, and a subvolume that may change; as the tree and as the base."""
        (tree,) = snapshots(kernel, settings, lab, archive(file(b"d/file")))
        lab.make_directory(f"{settings.store}/directory")
        lab.write_file(f"{settings.store}/file", b"")
        odd = {"directory": errno.EINVAL, "file": errno.ENOTDIR, "work": errno.EINVAL, "layer_0/d": errno.EINVAL}
        for name, number in odd.items():
            for pair in ((f"{settings.store}/{name}", None), (tree, f"{settings.store}/{name}")):
                with refused(Invalid, number):
                    pack(kernel, lab, *pair)
        assert not lab.exists(f"{lab.directory}/layer")

    def test_what_is_no_btrfs_and_other_compressions_are_unsupported(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """ENOTTY and EOPNOTSUPP; nothing is written."""
        (tree,) = snapshots(kernel, settings, lab, archive())
        for what in ((lab.place(labs.PLAIN), None), (tree, lab.place(labs.PLAIN))):
            with refused(Unsupported, errno.ENOTTY):
                pack(kernel, lab, *what)
        with refused(Unsupported, errno.EOPNOTSUPP):
            pack(kernel, lab, tree, None, "zstd")
        assert not lab.exists(f"{lab.directory}/layer")

    def test_a_tree_may_be_deep_and_no_deeper(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """ENAMETOOLONG beyond 512 components of a name."""
        kernel.storage.create("work")
        path = f"{settings.store}/work"
        for _ in range(DEEPEST):
            path += "/d"
            lab.make_directory(path)
        kernel.storage.snapshot("work", "deep", read_only=True)
        assert pack(kernel, lab, f"{settings.store}/deep", None).entries == DEEPEST + 1
        lab.make_directory(f"{path}/d")
        kernel.storage.snapshot("work", "deeper", read_only=True)
        for base in (None, f"{settings.store}/deep"):
            with refused(Invalid, errno.ENAMETOOLONG):
                pack(kernel, lab, f"{settings.store}/deeper", base)

    @pytest.mark.parametrize(
        ("condition", "kind"), [(labs.FULL, NoSpace), (labs.READ_ONLY, ReadOnly), (labs.DENIED, Denied)]
    )
    def test_a_place_that_takes_no_layer(
        self, kernel: Kernel, settings: Settings, lab: Lab, condition: str, kind: type
    ) -> None:
        """Full, read-only, or not allowed."""
        content = random.Random(0).randbytes(4 << 20)
        (tree,) = snapshots(kernel, settings, lab, archive(file(b"large", content)))
        with refused(kind):
            kernel.archives.pack(tree, None, f"{lab.place(condition)}/layer")

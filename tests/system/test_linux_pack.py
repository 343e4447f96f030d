"""Layers of the difference that btrfs knows: random changes, what a container can do to be missed, and time."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import random
import socket
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.kernel.archives import GZIP, PLAIN, Bounds, Packed
from bocker.kernel.errors import Invalid
from bocker.linux import LinuxKernel, btrfs_search, difference, pack
from bocker.linux.storage import LinuxStorage
from tests.patience import patience
from tests.system.fresh_world import fresh_world
from tests.system.trees import Attributes, allocated, attributes, fill

NAMES = ("a", "b", "c", "long-" + "n" * 120, os.fsdecode(b"\xff\xfe bytes"), "-x")
PROGRAMS = 60
MOMENT_NS = 1_234_567_890_000_000_000
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
STRETCH_BYTES = 1 << 16  # of zeros, which become a hole
SMALL_CHANGE_S = patience(0.09)  # what docker takes for a whole commit


class Store:
    def __init__(self, settings: Settings) -> None:
        self.kernel = LinuxKernel(settings)
        self.path = Path(settings.store)
        self.layer = self.path / "layer"

    def pack(self, tree: str, base: str | None, compression: str = PLAIN) -> Packed:
        return self.kernel.archives.pack(
            f"{self.path}/{tree}", base and f"{self.path}/{base}", f"{self.layer}", compression
        )

    def members(self, tree: str, base: str | None) -> list[str]:
        self.pack(tree, base)
        with tarfile.open(self.layer, errors="surrogateescape") as archive:
            return archive.getnames()

    def derive(self, source: str, target: str, change: Callable[[Path], object]) -> None:
        """Make `target` a read-only snapshot of what a change makes of `source`."""
        self.kernel.storage.snapshot(source, f"{target}.new")
        change(self.path / f"{target}.new")
        self.kernel.storage.snapshot(f"{target}.new", target, read_only=True)

    def base(self, change: Callable[[Path], object]) -> None:
        """Make a snapshot `base` of an empty subvolume, with directories that are older than any change to come:
        the kernel's clock moves a few milliseconds at a time."""

        def make(root: Path) -> None:
            change(root)
            for folder, _, _ in os.walk(root, topdown=False):
                os.utime(folder, ns=(MOMENT_NS, MOMENT_NS))

        self.kernel.storage.create("empty")
        self.derive("empty", "base", make)

    def unpacked(self, base: str) -> dict[bytes, Attributes]:
        self.kernel.storage.snapshot(base, "again")
        self.kernel.archives.unpack(f"{self.layer}", f"{self.path}/again", Bounds())
        return attributes(self.path / "again")

    def tree(self, name: str) -> dict[bytes, Attributes]:
        return attributes(self.path / name)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with fresh_world(settings) as fresh:
        yield Store(fresh)


class Program:
    """Random changes below a directory; what can't be done at the moment is passed over."""

    def __init__(self, root: Path, seed: random.Random) -> None:
        self.root = root
        self.seed = seed

    def run(self, steps: int) -> None:
        for _ in range(steps):
            try:
                self.seed.choice(CHANGES)(self)
            except OSError:
                continue

    def path(self) -> str:
        """Return a path; never through a link, as these lead out of the tree."""
        path = f"{self.root}"
        for _ in range(self.seed.choice((1, 1, 2, 2, 3))):
            if os.path.islink(path):
                raise OSError(errno.ELOOP, path)
            path += f"/{self.seed.choice(NAMES)}"
        return path

    def some(self, *kinds: Callable[[int], bool], top: bool = False) -> str:
        """Return a path that exists, or the top itself."""
        found = [f"{self.root}"] if top else []
        for folder, folders, files in os.walk(self.root):
            found += [f"{folder}/{name}" for name in (*folders, *files)]
        wanted = [path for path in found if not kinds or any(kind(os.lstat(path).st_mode) for kind in kinds)]
        if not wanted:
            raise OSError(errno.ENOENT, "nothing of this kind")
        return self.seed.choice(sorted(wanted))

    def write(self) -> None:
        with open(self.path(), self.seed.choice(("wb", "ab", "r+b")), opener=no_link) as file:
            file.write(self.seed.randbytes(self.seed.choice((0, 5, 3000, 20_000))))

    def truncate(self) -> None:
        os.truncate(self.some(stat.S_ISREG), self.seed.choice((0, 3, 5000, 300_000)))

    def sparse(self) -> None:
        with open(self.path(), "wb", opener=no_link) as file:
            file.seek(self.seed.randrange(1 << 21))
            file.write(b"x" * self.seed.randrange(9000))
            file.truncate(self.seed.randrange(1 << 22))

    def punch(self) -> None:
        subprocess.run(
            ("fallocate", "-p", "-o", "4096", "-l", "65536", self.some(stat.S_ISREG)), check=False, capture_output=True
        )

    def chmod(self) -> None:
        os.chmod(
            self.some(stat.S_ISREG, stat.S_ISDIR, stat.S_ISFIFO, top=True),
            self.seed.choice((0o700, 0o644, 0o4755, 0o1777)),
        )

    def chown(self) -> None:
        os.chown(
            self.some(top=True), self.seed.choice((0, 1000, 3_000_000)), self.seed.choice((0, 7)), follow_symlinks=False
        )

    def touch(self) -> None:
        moment = self.seed.choice((0, 1, -5, MOMENT_NS, MOMENT_NS + 1))
        os.utime(self.some(top=True), ns=(moment, moment), follow_symlinks=False)

    def attribute(self) -> None:
        path, name = self.some(stat.S_ISREG, stat.S_ISDIR, top=True), self.seed.choice(("user.a", "user.b"))
        os.setxattr(path, name, self.seed.randbytes(self.seed.choice((0, 4, 900))))

    def no_attribute(self) -> None:
        os.removexattr(self.some(stat.S_ISREG, stat.S_ISDIR), "user.a")

    def capability(self) -> None:
        os.setxattr(self.some(stat.S_ISREG), "security.capability", CAPABILITY)

    def rename(self) -> None:
        os.rename(self.some(), self.path())

    def replace(self) -> None:
        """Write a new file over an old one, as editors do."""
        temporary = f"{self.root}/temporary"
        with open(temporary, "wb") as file:
            file.write(self.seed.randbytes(10))
        try:
            os.rename(temporary, self.some(stat.S_ISREG))
        except OSError:
            os.unlink(temporary)

    def make_directory(self) -> None:
        os.mkdir(self.path())

    def remake_directory(self) -> None:
        path = self.some(stat.S_ISDIR)
        self.clear(path)
        os.rmdir(path)
        os.mkdir(path)

    def clear(self, path: str) -> None:
        for top, folders, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(f"{top}/{name}")
            for name in folders:
                remove = os.unlink if os.path.islink(f"{top}/{name}") else os.rmdir
                remove(f"{top}/{name}")

    def link(self) -> None:
        os.link(self.some(stat.S_ISREG, stat.S_ISLNK, stat.S_ISFIFO), self.path(), follow_symlinks=False)

    def symlink(self) -> None:
        os.symlink(self.seed.choice(("a", "/nowhere", "../nowhere", "t" * 200)), self.path())

    def unlink(self) -> None:
        os.unlink(self.some())

    def swap_kind(self) -> None:
        path = self.some()
        if os.path.isdir(path) and not os.path.islink(path):
            self.clear(path)
            os.rmdir(path)
            Path(path).write_bytes(b"was a directory")
        else:
            os.unlink(path)
            os.mkdir(path)

    def node(self) -> None:
        os.mknod(self.path(), self.seed.choice((stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO)) | 0o640, os.makedev(1, 3))

    def read(self) -> None:
        """Access times are no change."""
        with open(self.some(stat.S_ISREG), "rb") as file:
            file.read()


CHANGES = [
    member
    for name, member in vars(Program).items()
    if name not in {"__init__", "run", "path", "some", "clear"} and callable(member)
]


def no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_the_layer_on_the_base_is_the_tree(store: Store, seed: int) -> None:
    """Whatever was done to it, and however many snapshots were on the way; without a base as well."""
    chance = random.Random(seed)
    store.base(lambda root: Program(root, chance).run(chance.choice((3, 60))))
    source = "base"
    for number in range(chance.choice((0, 0, 1, 2))):
        store.derive(source, f"between{number}", lambda root: Program(root, chance).run(chance.choice((1, 10))))
        source = f"between{number}"
    store.derive(source, "tree", lambda root: Program(root, chance).run(chance.choice((0, 1, 3, 20))))
    packed = store.pack("tree", "base", chance.choice((PLAIN, GZIP)))
    assert packed.size_bytes == store.layer.stat().st_size
    assert store.unpacked("base") == store.tree("tree")
    store.pack("tree", None)
    store.kernel.storage.delete("again")
    assert store.unpacked("empty") == store.tree("tree")


def test_only_what_was_changed_is_in_the_layer(store: Store) -> None:
    """And the directories whose time is another one; not what was only read, nor what lies beside it."""

    def make(root: Path) -> None:
        for folder in ("one", "two", "two/inner"):
            (root / folder).mkdir()
            for number in range(5):
                (root / folder / f"{number}").write_bytes(b"x" * 5000)

    def change(root: Path) -> None:
        with open(root / "two/inner/3", "r+b") as file:
            file.write(b"y")
        for path in (root / "one").iterdir():
            assert path.read_bytes()
        (root / "two/new").touch()
        (root / "two/4").unlink()

    store.base(make)
    store.derive("base", "tree", change)
    assert store.members("tree", "base") == ["two", "two/.wh.4", "two/inner/3", "two/new"]
    store.derive("base", "same", lambda root: (root / "one/1").read_bytes())
    assert store.members("same", "base") == []


def test_an_access_time_writes_an_inode_and_no_extent(store: Store) -> None:
    """And the search gives the whole block: the inodes beside it, which nobody touched, as well."""

    def make(root: Path) -> None:
        for name in ("read", "beside"):
            (root / name).write_bytes(b"x" * 5000)
            os.utime(root / name, ns=(1, MOMENT_NS))

    store.base(make)
    store.derive("base", "tree", lambda root: (root / "read").read_bytes())
    with pack.Snapshot(f"{store.path}/base") as base, pack.Snapshot(f"{store.path}/tree") as tree:
        found = btrfs_search.items(tree.fd, (btrfs_search.INODE,), since=base.taken_at)
        written = {number: difference.Inode(item).written_in > base.taken_at for number, _, _, item in found}
        extents = list(btrfs_search.items(tree.fd, (btrfs_search.EXTENT_DATA,), since=base.taken_at))
        assert written[(store.path / "tree/read").stat().st_ino]
        assert not written[(store.path / "tree/beside").stat().st_ino]
        assert extents
        assert btrfs_search.allocated_bytes(tree.fd, base.taken_at) == 0


def test_content_that_was_changed_behind_the_times_is_found(store: Store) -> None:
    """Of the same length, and with its time put back: short content that lies in its item, and long."""

    def change(root: Path) -> None:
        for path in (root / "short", root / "long"):
            status = path.stat()
            path.write_bytes(path.read_bytes().replace(b"x", b"y"))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    store.base(lambda root: [(root / name).write_bytes(b"x" * size) for name, size in (("short", 9), ("long", 9999))])
    store.derive("base", "tree", change)
    assert store.members("tree", "base") == ["long", "short"]
    assert store.unpacked("base") == store.tree("tree")


def test_a_number_that_is_given_again_is_another_file(store: Store) -> None:
    """The highest one of a tree, once the next snapshot was taken: the same number, name, length and time."""

    def make(root: Path) -> None:
        (root / "file").write_bytes(b"old")
        os.utime(root / "file", ns=(MOMENT_NS, MOMENT_NS))

    def remake(root: Path) -> None:
        (root / "file").write_bytes(b"new")
        os.utime(root / "file", ns=(MOMENT_NS, MOMENT_NS))

    store.base(make)
    store.derive("base", "between", lambda root: (root / "file").unlink())
    store.derive("between", "tree", remake)
    assert (store.path / "tree/file").stat().st_ino == (store.path / "base/file").stat().st_ino
    assert store.members("tree", "base") == [".", "file"]
    assert store.unpacked("base") == store.tree("tree")


def test_a_directory_whose_number_is_given_again_is_another_one(store: Store) -> None:
    """It is opaque, and nothing in it is compared with what the old one had."""

    def make(root: Path) -> None:
        (root / "inside").touch()
        (root / "folder").mkdir()
        (root / "inside").rename(root / "folder/inside")

    def remove(root: Path) -> None:
        (root / "folder/inside").rename(root / "kept")
        (root / "folder").rmdir()

    def remake(root: Path) -> None:
        (root / "folder").mkdir()
        (root / "folder/new").touch()

    store.base(make)
    store.derive("base", "between", remove)
    store.derive("between", "tree", remake)
    assert (store.path / "tree/folder").stat().st_ino == (store.path / "base/folder").stat().st_ino
    assert store.members("tree", "base") == [".", "folder", "folder/.wh..wh..opq", "folder/new", "kept"]
    assert store.unpacked("base") == store.tree("tree")


def test_a_moved_directory_is_new_with_all_names_of_its_files(store: Store) -> None:
    """Those outside of it as well, or a hard link would be two files; nothing in it is compared."""

    def make(root: Path) -> None:
        for folder in ("old", "old/below", "other"):
            (root / folder).mkdir()
        (root / "old/x").touch()
        (root / "old/below/y").write_bytes(b"shared")
        os.link(root / "old/below/y", root / "other/y")

    def change(root: Path) -> None:
        (root / "old").rename(root / "moved")
        (root / "moved/x").unlink()
        (root / "moved/below/z").touch()

    store.base(make)
    store.derive("base", "tree", change)
    names = [".", ".wh.old", "moved", "moved/below", "moved/below/y", "moved/below/z", "other/y"]
    assert store.members("tree", "base") == names
    assert store.unpacked("base") == store.tree("tree")


def test_a_file_of_many_names_keeps_them(store: Store) -> None:
    """More than one item of btrfs holds, with names as long as can be."""
    names = [f"{number:03d}" + "n" * 250 for number in range(200)]

    def make(root: Path) -> None:
        (root / names[0]).write_bytes(b"old")
        for name in names[1:]:
            os.link(root / names[0], root / name)

    store.base(make)
    store.derive("base", "tree", lambda root: (root / names[7]).write_bytes(b"new"))
    assert store.members("tree", "base") == names
    assert store.unpacked("base") == store.tree("tree")


def test_what_a_layer_can_not_say_is_left_out(store: Store) -> None:
    """Sockets, and names that would be whiteouts; what was there before under such a socket's name is gone."""

    def make(root: Path) -> None:
        (root / "name").touch()
        (root / ".wh.here").mkdir()
        (root / ".wh.here/inside").touch()

    def change(root: Path) -> None:
        (root / "name").unlink()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{root}/name")
        (root / "file").write_bytes(b"x")
        os.link(root / "file", root / ".wh.file")
        os.link(root / "file", root / ".wh.here/file")
        os.setxattr(root / "file", "user.a=b", b"x")

    store.base(make)
    store.derive("base", "tree", change)
    assert store.members("tree", "base") == [".", ".wh.name", "file"]
    assert store.members("tree", None) == [".", "file"]
    assert store.unpacked("base")[b"/file"].xattrs == ()


def test_a_nested_subvolume_is_an_empty_directory(store: Store) -> None:
    """Though its number may be that of a file; where it was before, nothing is said."""

    def nest(root: Path) -> None:
        LinuxStorage(f"{root}").create("inner")
        (root / "inner/secret").touch()
        for number in range(300):
            (root / f"{number}").touch()

    def remake(root: Path) -> None:
        (root / "inner").rmdir()
        (root / "inner").mkdir()

    store.base(lambda root: None)
    store.derive("base", "tree", nest)
    assert [name for name in store.members("tree", "base") if not name.isdigit()] == [".", "inner"]
    store.derive("tree", "later", lambda root: (root / "1").write_bytes(b"x"))
    assert store.members("later", "tree") == ["1"]
    store.derive("tree", "filled", remake)
    assert store.members("filled", "tree") == [".", "inner", "inner/.wh..wh..opq"]
    LinuxStorage(f"{store.path}/tree.new").delete("inner")


def test_more_directories_than_can_be_said_are_refused(store: Store) -> None:
    """A container can make them; ENAMETOOLONG, and what was open is closed."""

    def dig(root: Path) -> None:
        fd = os.open(root, os.O_RDONLY)
        for _ in range(difference.DEEPEST + 1):
            os.mkdir("d", dir_fd=fd)
            below = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)

    store.base(lambda root: None)
    store.derive("base", "tree", dig)
    before = os.listdir("/proc/self/fd")
    for base in ("base", None):
        with pytest.raises(Invalid) as caught:
            store.pack("tree", base)
        assert caught.value.errno == errno.ENAMETOOLONG
    assert os.listdir("/proc/self/fd") == before


def sparse_file(path: Path, size: int, *pieces: int) -> None:
    with open(path, "wb") as file:
        for at in pieces:
            file.seek(at)
            file.write(b"x" * 70_000)
        file.truncate(size)


def test_holes_come_back(store: Store) -> None:
    """As zeros that cost little room when they are compressed; the tree then takes about what it took."""

    def make(root: Path) -> None:
        sparse_file(root / "sparse", 300 << 20, 0, 100 << 20, (200 << 20) + 12_345)
        sparse_file(root / "end", 3 << 20, (3 << 20) - 70_000)
        sparse_file(root / "empty", 5 << 20)
        sparse_file(root / "small", 20_000)
        sparse_file(root / "reserved", 2 << 20, 0)
        subprocess.run(("fallocate", "-l", "4M", root / "reserved"), check=True)

    store.base(make)
    packed = store.pack("base", None, GZIP)
    assert packed.stream_bytes > 300 << 20
    assert packed.size_bytes < 4 << 20
    store.kernel.storage.create("empty-again")
    assert store.unpacked("empty") == store.tree("base")
    taken, before = allocated(store.path / "again"), allocated(store.path / "base")
    for name in (b"/sparse", b"/end", b"/empty"):
        assert taken[name] <= before[name] + 4 * STRETCH_BYTES
    assert taken[b"/reserved"] <= 70_000 + STRETCH_BYTES


def read_bytes() -> int:
    """Return how much this process has read so far, from caches or not, proc_pid_io(5)."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_hole_is_not_read(store: Store) -> None:
    """8 GB of it would take longer to read than to write."""
    store.base(lambda root: sparse_file(root / "sparse", 1 << 30, 1 << 29))
    before = read_bytes()
    assert store.kernel.archives.pack(f"{store.path}/base", None, "/dev/null", PLAIN).size_bytes > 1 << 30
    assert read_bytes() - before < 1 << 20


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_other_programs_read_it(store: Store, program: str) -> None:
    """All names, and the content of a file with a name that is no UTF-8, of which bsdtar complains."""
    store.base(fill)
    store.pack("base", None, GZIP)
    listed = subprocess.run((program, "-tf", store.layer), check=program == "tar", capture_output=True)
    assert len(listed.stdout.splitlines()) == len(store.tree("base"))
    place = store.path / "other"
    place.mkdir()
    subprocess.run((program, "-xpf", store.layer, "-C", place), check=program == "tar", capture_output=True)
    with open(os.fsencode(place) + b"/\xff\xfe bytes", "rb") as file:
        assert file.read() == b"not UTF-8"


def test_gzip_is_the_same_each_time(store: Store) -> None:
    """Its header has no time; the library that is there does not matter for what comes out."""
    store.base(lambda root: (root / "file").write_bytes(b"content" * 100_000))
    first = store.pack("base", None, GZIP)
    data = store.layer.read_bytes()
    time.sleep(1.1)
    assert store.pack("base", None, GZIP) == first
    assert store.layer.read_bytes() == data
    assert data[4:8] == bytes(4)


def test_gzip_without_isal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.base(lambda root: (root / "file").write_bytes(b"content" * 100_000))
    plain = store.pack("base", None)
    monkeypatch.setitem(sys.modules, "isal", None)
    packed = store.pack("base", None, GZIP)
    assert packed.size_bytes < plain.size_bytes // 10
    assert hashlib.sha256(gzip.decompress(store.layer.read_bytes())).hexdigest() == plain.digest == packed.diff_id


def test_what_is_no_file_keeps_its_mode_as_the_archive(store: Store) -> None:
    """`-o /dev/null` by root must not take it away from everybody; a FIFO stands for it."""
    fifo = store.path / "fifo"
    os.mkfifo(fifo)
    os.chmod(fifo, 0o666)
    store.base(lambda root: None)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    store.kernel.archives.pack(f"{store.path}/base", None, f"{fifo}")
    assert os.read(reader, 1 << 16)
    os.close(reader)
    assert stat.S_IMODE(fifo.stat().st_mode) == 0o666


PACK = """
import sys
from bocker.linux.archives import LinuxArchives
LinuxArchives().pack(sys.argv[1], None, "-", "plain")
"""


def test_an_archive_may_be_standard_output(store: Store) -> None:
    store.base(lambda root: (root / "file").write_bytes(b"content" * 100_000))
    written = subprocess.run((sys.executable, "-c", PACK, store.path / "base"), check=True, capture_output=True).stdout
    store.pack("base", None)
    assert written == store.layer.read_bytes()


def test_a_small_change_takes_milliseconds(store: Store) -> None:
    """A snapshot and its layer, however large the base is."""

    def make(root: Path) -> None:
        for number in range(5000):
            (root / f"{number}").write_bytes(b"x" * 5000)

    def change(root: Path) -> None:
        (root / "77").write_bytes(b"y")
        os.sync()

    store.base(make)
    store.kernel.storage.snapshot("base", "tree.new")
    change(store.path / "tree.new")
    started = time.perf_counter()
    store.kernel.storage.snapshot("tree.new", "tree", read_only=True)
    store.pack("tree", "base", GZIP)
    assert time.perf_counter() - started < SMALL_CHANGE_S

"""Real images made by the tools of others, pulled from a real registry by us and by others, compared file by file.

By hand, in the sandbox, which it makes: `python -m tests.system.real_images [--files N] [--big BYTES] [NAME…]`
makes the images (all of them unless named), pulls each with both, and prints what differs. A file of 8 GB
(`--big 8589934592`) wants 30 GB of room: give it a `--directory` on a disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.contracts import layers as tar
from tests.system import sandbox, trees
from tests.system.layouts import GZIP, PLAIN, ZSTD, Layout, halves
from tests.system.peers import Peers
from tests.system.program import PREFIX, installed

FILES = 20_000
LONG = "long" * 60
CHANGED_NS = 1_577_934_245_678_901_234  # what the trees' files were changed at, and a little later
LATEST_NS = 1_600_000_000_000_000_000  # no archive here has a later time; the clock has
DISK_BYTES = 32 << 30
SPARSE_BYTES = 20 << 20
LINK_SECONDS = 12345
PIECE_BYTES = 16 << 20
CONFIGURATION = {
    "Entrypoint": ["/bin/entry", "one word"],
    "Cmd": ["a  b", "$HOME"],
    "Env": ["PATH=/bin", "EMPTY=", "EQUALS=a=b", "TEXT=größer"],
    "User": "1000:5",
    "WorkingDir": "/work here",
    "Labels": {"org.example.label": 'quoted "text"'},
    "StopSignal": "SIGQUIT",
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Volumes": {"/data": {}},
}


class Options(NamedTuple):
    """How much: files in `many`, bytes in `big`. debian: the archive of a root file system."""

    files: int = FILES
    big_bytes: int = 64 << 20
    debian: str = ""


class Difference(NamedTuple):
    """An attribute that is not the same; `field` is `presence` where only one tree has the name."""

    name: bytes
    field: str
    ours: object
    theirs: object


class Recipe(NamedTuple):
    """An image. make: puts it into the registry and returns its reference. meant: by each tool that unpacks
    it too, the differences that are right; each must be seen, or it is a mistake itself."""

    make: Callable[[Peers, Options], str]
    meant: dict[str, frozenset[str]]


# The trees that layers are made of


def first_tree(root: Path) -> None:
    """Fill an empty directory: all that can be lost, and what the next trees change."""
    for name in ("goes", "to_file", "opaque", "stays", "setgid", "attributes"):
        (root / name).mkdir()
        (root / name / "file").write_text(name)
        (root / name / "inner").mkdir()
        (root / name / "inner/file").write_text(f"{name}, below")
    (root / "bin").mkdir()
    shutil.copy("/bin/busybox", root / "bin/busybox")
    (root / "to_directory").write_text("a file first")
    (root / "link_to_directory").symlink_to("stays")
    (root / "link_to_file").symlink_to("/stays/file")
    (root / "many names").write_text("one content")
    (root / "attributes/loses").write_text("")
    os.setxattr(root / "attributes/loses", "user.one", b"\0\xff\n binary")
    os.setxattr(root / "attributes/loses", "security.capability", trees.CAPABILITY)
    os.setxattr(root / "attributes", "user.directory", b"of a directory")
    for number in range(3):
        os.link(root / "many names", root / "stays" / f"name {number}")
    os.chmod(root / "setgid", 0o2775)
    os.chown(root / "setgid", 0, 33)
    trees.fill(root)
    settle(root)


def second_tree(root: Path) -> None:
    """Take away, replace by another kind, change attributes only."""
    (root / ".hidden").unlink()
    for name in ("goes", "to_file", "opaque"):
        shutil.rmtree(root / name)
    (root / "to_file").write_text("a file now")
    (root / "to_directory").unlink()
    (root / "to_directory").mkdir()
    (root / "to_directory/file").write_text("in it")
    (root / "opaque").mkdir()
    (root / "opaque/file").write_text("of the second layer")
    (root / "link_to_directory").unlink()
    (root / "link_to_directory").mkdir()
    (root / "link_to_directory/file").write_text("no link any more")
    os.link(root / "many names", root / "link_to_directory/a fifth name")
    (root / "stays/name 1").unlink()
    os.chmod(root / "stays/inner/file", 0o4711)
    os.chown(root / "stays/inner", 12345, 4_000_000_000)
    os.removexattr(root / "attributes/loses", "user.one")
    os.removexattr(root / "attributes/loses", "security.capability")
    (root / "setgid/made in it").write_text("")
    settle(root)


def third_tree(root: Path) -> None:
    """Back again, and long names."""
    (root / "to_file").unlink()
    (root / "to_file").mkdir()
    (root / "to_file/new").write_text("a directory again")
    shutil.rmtree(root / "to_directory")
    (root / "to_directory").write_text("a file again")
    deep = root / LONG / LONG / LONG
    deep.mkdir(parents=True)
    (deep / LONG).write_text("a long name")
    (deep / "link").symlink_to("/".join([LONG] * 12))
    os.link(deep / LONG, root / "short")
    settle(root)


def changed_tree(root: Path) -> None:
    """Change what comes of the other trees in every way that a layer has to tell."""
    shutil.rmtree(root / "setgid")
    (root / "setgid").write_text("a file now")
    shutil.rmtree(root / "to_file")
    (root / "to_file").symlink_to("renamed")
    shutil.rmtree(root / "opaque")
    (root / "opaque").mkdir()
    (root / "opaque/another").write_text("and no file")
    (root / "stays").rename(root / "renamed")
    os.link(root / "many names", root / "renamed/one more name")
    (root / "renamed/name 0").unlink()
    os.chmod(root / "renamed/inner", 0o2711)
    os.chown(root / "ping", 5, 6)
    os.setxattr(root / "ping", "security.capability", trees.CAPABILITY)
    os.setxattr(root / "ping", "user.new", b"\0value")
    os.removexattr(root / "attributes", "user.directory")
    os.utime(root / "absolute", ns=(0, -5_000_000_001), follow_symlinks=False)
    os.truncate(root / "sparse", 5 << 10)
    with open(root / "new sparse", "wb") as file:
        file.truncate(SPARSE_BYTES)
        for at in (1 << 20, SPARSE_BYTES // 2 + 1):
            file.seek(at)
            file.write(b"not a hole")
    os.mkfifo(root / "new fifo")
    os.mknod(root / "new node", 0o600 | stat.S_IFBLK, os.makedev(7, 3))
    (root / "tab\tand\nnew line").write_text("")
    (root / LONG / LONG / "new").write_text("among long names")
    with open(os.fsencode(root) + b"/\xfe", "wb") as file:
        file.write(b"not UTF-8 either")


def same_tree(root: Path) -> None:
    """Change nothing."""


def long_names(root: Path) -> None:
    """Fill an empty directory with names that do not fit into a header, and a file of holes."""
    deep = root / LONG / LONG
    deep.mkdir(parents=True)
    (deep / LONG).write_text("a long name")
    (deep / "link").symlink_to("/".join([LONG] * 12))
    os.link(deep / LONG, root / "short")
    with open(root / "holes", "wb") as file:
        for number in range(1, 31):
            file.seek(number << 20)
            file.write(b"not a hole")
        file.truncate(40 << 20)
    settle(root)


def settle(root: Path) -> None:
    """Give everything that was touched just now a time of its own, to the nanosecond."""
    for number, path in enumerate(sorted([root, *root.rglob("*")], reverse=True)):
        if path.lstat().st_mtime_ns > LATEST_NS:
            os.utime(path, ns=(0, CHANGED_NS + number), follow_symlinks=False)


STEPS = (first_tree, second_tree, third_tree, same_tree)


# Images: each is put into the registry, and its reference returned


def by_hand(peers: Peers, options: Options) -> str:
    """Layers of GNU tar and of our own writer, in every compression; one is empty, two are there twice."""
    base = gnu_tar(peers, first_tree)
    names = gnu_tar(peers, long_names)
    written = [(base, PLAIN), (names, GZIP), (changes(), ZSTD), (tar.archive(), GZIP)]
    layout = Layout(peers.directory / "by-hand")
    described = [(halves(archive), how) for archive, how in (*written, written[3], written[1])]
    layout.image("1", described, CONFIGURATION)
    return peers.push(layout.reference("1"), "made/hand:1")


def gnu_tar(peers: Peers, fill: Callable[[Path], None]) -> bytes:
    """Return what GNU tar makes of a tree, its root included."""
    tree = peers.directory / "tree"
    tree.mkdir()
    fill(tree)
    options = ("--format=posix", "--sparse", "--numeric-owner", "--xattrs", "--xattrs-include=*")
    done = subprocess.run(["tar", "--create", *options, "-C", tree, "."], check=True, stdout=subprocess.PIPE)
    shutil.rmtree(tree)
    return done.stdout


def changes() -> bytes:
    """Return a layer with whiteouts before and behind what they spare, and links into the layer below."""
    pieces = ((1 << 20, b"x" * 512), (2 << 20, b"y" * 512))
    return tar.archive(
        tar.directory(b"opaque", seconds=5),
        tar.file(b"opaque/new", b"of this layer"),
        tar.file(b"opaque/.wh..wh..opq"),
        tar.file(b".wh.goes"),
        tar.file(b".wh.nothing is there"),
        tar.file(b"to_file", b"a file now"),
        tar.directory(b"to_directory"),
        tar.directory(b"link_to_directory", 0o1777),
        tar.pax((b"mtime", b"1577934245.678901234")) + tar.file(b"many names", b"one content"),
        tar.pax((b"mtime", b"1577934245.678901234")) + tar.hard_link(b"link_to_directory/another", b"/many names"),
        tar.pax((b"path", b"stays/\xff\xfe"), (b"mtime", b"1234567890.123456789")) + tar.file(b"short"),
        tar.pax((b"mtime", b"%d" % LINK_SECONDS))
        + tar.hard_link(b"setgid/across layers", b"stays/../attributes/inner/file"),
        tar.directory(b"stays/inner", 0o2755, owner=(7, 8)),
        tar.gnu_long(b"n" * 200 + b"/" + b"m" * 200) + tar.file(b"cut", b"by GNU's header"),
        tar.pax_sparse(b"sparse by PAX", pieces, 4 << 20),
        tar.header(b"node", tar.CHARACTER, device=(1, 3), mode=0o666),
        tar.header(b"setgid/fifo", tar.FIFO, owner=(1, 2)),
    )


def by_buildah(peers: Peers, options: Options) -> str:
    """Layers as containers/storage writes them, from overlay's differences; the configuration by buildah."""
    base = "scratch"
    for number, step in enumerate(STEPS):
        container = peers.buildah("from", base).strip()
        step(Path(peers.buildah("mount", container).strip()))
        peers.buildah("config", *_buildah_words(), container)
        base = f"oci:{peers.directory}/by-buildah:{number}"
        peers.buildah("commit", "--quiet", "--rm", container, base)
    return peers.push(base, "made/buildah:1")


def _buildah_words() -> Iterator[str]:
    yield from ("--entrypoint", json.dumps(CONFIGURATION["Entrypoint"]), "--user", "1000:5")
    yield from ("--cmd", "/bin/sh -c true", "--workingdir", "/work here", "--stop-signal", "SIGQUIT")
    yield from ("--env", "EQUALS=a=b", "--label", "org.example.label=text", "--port", "80/tcp", "--volume", "/data")


def by_umoci(peers: Peers, options: Options) -> str:
    """Layers as umoci writes them, from mtree's differences."""
    layout = peers.directory / "by-umoci-layout"
    bundle = peers.directory / "bundle"
    peers.umoci("init", "--layout", layout)
    peers.umoci("new", "--image", f"{layout}:1")
    for step in STEPS:
        peers.umoci("unpack", "--image", f"{layout}:1", bundle)
        step(bundle / "rootfs")
        peers.umoci("repack", "--image", f"{layout}:1", bundle)
        shutil.rmtree(bundle)
    peers.umoci("config", "--image", f"{layout}:1", *_umoci_words())
    return peers.push(f"oci:{layout}:1", "made/umoci:1")


def _umoci_words() -> Iterator[str]:
    for word in CONFIGURATION["Entrypoint"]:
        yield from ("--config.entrypoint", word)
    yield from ("--config.env", "EQUALS=a=b", "--config.user", "1000:5", "--config.workingdir", "/work here")
    yield from ("--config.label", "org.example.label=text", "--config.exposedports", "80/tcp")


def of_debian(peers: Peers, options: Options) -> str:
    """What mmdebstrap made; a package installed in it; documentation taken away."""
    layout = f"oci:{peers.directory}/of-debian"
    container = peers.buildah("from", "scratch").strip()
    peers.buildah("add", "--quiet", container, options.debian, "/")
    peers.buildah("config", "--env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "--cmd", "/bin/bash", container)
    peers.buildah("commit", "--quiet", "--rm", container, f"{layout}:0")
    for number, command in enumerate(("dpkg -i /srv/packages/*.deb", "rm -r /usr/share/doc /usr/share/man"), 1):
        container = peers.buildah("from", f"{layout}:{number - 1}").strip()
        peers.buildah("run", "--isolation", "chroot", container, "/bin/sh", "-c", command)
        peers.buildah("commit", "--quiet", "--rm", container, f"{layout}:{number}")
    return peers.push(f"{layout}:2", "made/debian:1", "--format", "v2s2")


def many_files(peers: Peers, options: Options) -> str:
    """Small files in two layers, of which the second takes some of the first away."""
    folders = [tar.directory(b"%03d" % number) for number in range(1000)]
    files = [tar.file(b"%03d/%d" % (number % 1000, number), b"%d" % number) for number in range(options.files)]
    gone = [tar.file(b"%03d/.wh.%d" % (number % 1000, number)) for number in range(0, options.files, 7)]
    layout = Layout(peers.directory / "many-files")
    layers = [(tar.archive(tar.directory(b"."), *folders, *files), GZIP), (tar.archive(*folders, *gone), ZSTD)]
    layout.image("1", [(halves(archive), how) for archive, how in layers])
    return peers.push(layout.reference("1"), "made/many:1")


def big_file(peers: Peers, options: Options) -> str:
    """A file of so many bytes in as many gzip members as it needs, and one of the same size that is a hole."""
    size = options.big_bytes

    def archive() -> Iterator[bytes]:
        yield tar.directory(b".") + tar.pax((b"size", b"%d" % size)) + tar.file(b"big")
        for at in range(0, size, PIECE_BYTES):
            yield bytes([at // PIECE_BYTES % 256]) * min(PIECE_BYTES, size - at)
        yield bytes(-size % tar.BLOCK_BYTES) + tar.archive(tar.pax_sparse(b"hole", ((size - 1, b"x"),), size))

    layout = Layout(peers.directory / "big-file")
    layout.image("1", [(archive(), GZIP)])
    return peers.push(layout.reference("1"), "made/big:1")


def two_platforms(peers: Peers) -> str:
    """An index of two images, each with the file `architecture`."""
    layout = Layout(peers.directory / "two-platforms")
    images = {}
    for name in ("amd64", "arm64"):
        archive = tar.archive(tar.directory(b"."), tar.file(b"architecture", name.encode()))
        images[name] = layout.image(None, [(halves(archive), GZIP)], architecture=name)
    layout.index("1", images)
    return peers.push(layout.reference("1"), "made/platforms:1", "--all", "--preserve-digests")


# Differences that are meant


def _untold_time(difference: Difference) -> bool:
    """A directory that a layer changes but has no entry for keeps its time; podman's has that of the unpacking."""
    theirs = difference.theirs
    return difference.field == "modified_ns" and isinstance(theirs, int) and theirs > LATEST_NS


def _kept_with_directory(difference: Difference) -> bool:
    """A directory's new entry takes the attributes away that it does not have; podman and docker leave them there."""
    wanted = (difference.name, difference.field) == (b"/attributes", "xattrs")
    return wanted and difference.ours == () and difference.theirs == (("user.directory", b"of a directory"),)


def _untold_root(difference: Difference) -> bool:
    """A root that no layer has an entry for is 0755, what `mkdir` makes; podman's is 0555."""
    return difference == (b"", "mode", stat.S_IFDIR | 0o755, stat.S_IFDIR | 0o555)


def _links_header(difference: Difference) -> bool:
    """What the header of a hard link says of times is no news of the file (as GNU tar has it); podman sets it."""
    return difference.field == "modified_ns" and difference.theirs == LINK_SECONDS * 10**9


def _kept_from_kernel(difference: Difference) -> bool:
    """Attributes that speak to the host's kernel are left out (`trusted.*`); umoci sets them."""
    theirs = dict(difference.theirs) if isinstance(difference.theirs, tuple) else {}
    kept = tuple((name, value) for name, value in theirs.items() if not name.startswith("trusted."))
    return difference.field == "xattrs" and difference.ours == kept


MEANT = {
    "untold time": _untold_time,
    "untold root": _untold_root,
    "kept with a directory": _kept_with_directory,
    "link's header": _links_header,
    "kept from the kernel": _kept_from_kernel,
}
READERS = {"podman": Peers.podman_tree, "umoci": Peers.umoci_tree}
UNTOLD = frozenset({"untold time", "untold root"})
IMAGES = {
    "hand": Recipe(by_hand, {"podman": frozenset({"untold time", "link's header"})}),
    "buildah": Recipe(by_buildah, {"podman": UNTOLD, "umoci": frozenset()}),
    "umoci": Recipe(by_umoci, {"umoci": frozenset({"kept from the kernel"})}),
    "debian": Recipe(of_debian, {"podman": UNTOLD, "umoci": frozenset()}),
    "many": Recipe(many_files, {"podman": frozenset({"untold time"})}),
    "big": Recipe(big_file, {"podman": frozenset({"untold time"})}),
}


# Comparing


def differences(ours: Path, theirs: Path) -> list[Difference]:
    """Return every attribute of every file that is not the same in two trees."""
    left, right = trees.attributes(ours), trees.attributes(theirs)
    found = []
    for name in sorted(left.keys() | right.keys()):
        if name not in left or name not in right:
            found.append(Difference(name, "presence", name in left, name in right))
            continue
        pairs = zip(trees.Attributes._fields, left[name], right[name], strict=True)
        found += [Difference(name, field, mine, other) for field, mine, other in pairs if mine != other]
    return found


def judged(found: list[Difference], meant: frozenset[str]) -> list[str]:
    """Return a line for each difference that is not meant, and for each that is and was not seen."""
    reasons = [{name for name in meant if MEANT[name](difference)} for difference in found]
    wrong = [
        f"{difference.name!r}: {difference.field} is {difference.ours!r}, theirs {difference.theirs!r}"
        for difference, why in zip(found, reasons, strict=True)
        if not why
    ]
    return wrong + [f"never seen: {name}" for name in sorted(meant.difference(*reasons))]


class Ours:
    """The installed bocker, with a store of its own that is empty; it goes with the block."""

    def __init__(self, launcher: Path, directory: Path) -> None:
        self.launcher = launcher
        self.store = directory / "store"
        self._disk = directory / "disk"

    def __enter__(self) -> Self:
        self.store.mkdir()
        with open(self._disk, "wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["mkfs.btrfs", "--quiet", self._disk], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", "loop,nosuid,nodev", self._disk, self.store], check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        subprocess.run(["umount", self.store], check=True)
        self._disk.unlink()
        self.store.rmdir()

    def __call__(self, *words: str | Path) -> str:
        """Run a command that must succeed; return what it prints."""
        environment = {**os.environ, "BOCKER_STORE": str(self.store)}
        done = subprocess.run([self.launcher, *words], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"bocker {' '.join(map(str, words))}: exit code {done.returncode}: {done.stderr}")
        return done.stdout

    def pulled_tree(self, reference: str, *options: str) -> Path:
        """Pull an image, and return where its tree is."""
        return self.store / self("pull", "--quiet", *options, reference).strip()


def main(words: list[str]) -> int:
    """Make and compare; return 1 when something differs that should not."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.real_images", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES, help="how many small files the image `many` has")
    parser.add_argument("--big", type=int, default=64 << 20, help="bytes of the file in the image `big`")
    parser.add_argument("--driver", default="vfs", help="podman's")
    parser.add_argument("--directory", default="/run/tmp/peers", help="where all is; as it is, in memory")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(IMAGES)}; all unless given")
    chosen = parser.parse_args(words)
    if not sandbox.inside():
        return sandbox.main([sys.executable, "-m", "tests.system.real_images", *words])
    options = Options(chosen.files, chosen.big, os.environ[sandbox.DEBIAN])
    with installed(Path(PREFIX)) as launcher, Peers(chosen.directory, chosen.driver) as peers:
        return max(_compare(peers, launcher, name, options) for name in chosen.names or IMAGES)


def _compare(peers: Peers, launcher: Path, name: str, options: Options) -> int:
    reference = IMAGES[name].make(peers, options)
    failed = 0
    with Ours(launcher, peers.directory) as bocker:
        ours = bocker.pulled_tree(reference)
        for reader, meant in IMAGES[name].meant.items():
            wrong = judged(differences(ours, READERS[reader](peers, reference)), meant)
            print(f"{name}, by {reader}: {len(wrong)} differences", *wrong, sep="\n    ", flush=True)
            failed |= bool(wrong)
    peers.forget()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

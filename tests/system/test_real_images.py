"""Images that others made, pulled by others and by us; what differs is meant, and has a name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import peers as others
from tests.system import sandbox, trees
from tests.system.peers import Peers
from tests.system.real_images import IMAGES, READERS, Difference, Options, Ours, differences, judged, two_platforms

MIB = 1 << 20
FORMS = {
    "docker": ("--format", "v2s2"),
    "oci": ("--format", "oci", "--dest-compress-format", "gzip"),
    "zstd": ("--format", "oci", "--dest-compress-format", "zstd"),
}
Make = Callable[[str], str]


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    assert not others.missing(), f"Debian has {', '.join(others.PACKAGES)}"
    with Peers("/run/tmp/peers") as peers:
        yield peers
    shutil.rmtree("/run/tmp/peers")


@pytest.fixture(scope="module")
def make(peers: Peers) -> Make:
    """Make an image the first time it is asked for; return its reference in the registry."""
    made: dict[str, str] = {}

    def image(name: str) -> str:
        if name not in made:
            made[name] = IMAGES[name].make(peers, Options(debian=os.environ[sandbox.DEBIAN]))
        return made[name]

    return image


@pytest.fixture(scope="module")
def index(peers: Peers) -> str:
    return two_platforms(peers)


@pytest.fixture
def ours(prefix: Path, tmp_path: Path) -> Iterator[Ours]:
    with Ours(prefix / "bin/bocker", tmp_path) as ours:
        yield ours


@pytest.mark.parametrize(("name", "reader"), [(name, reader) for name in IMAGES for reader in IMAGES[name].meant])
def test_what_is_pulled_is_the_same_tree(name: str, reader: str, peers: Peers, make: Make, ours: Ours) -> None:
    """File by file, with every attribute."""
    theirs = READERS[reader](peers, make(name))
    wrong = judged(differences(ours.pulled_tree(make(name)), theirs), IMAGES[name].meant[reader])
    peers.forget()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_an_image_changes_nothing(form: str, peers: Peers, make: Make, ours: Ours) -> None:
    """docker's manifest and OCI's, gzip and zstd: the very layers of the first are known again."""
    reference = peers.push(f"docker://{make('buildah')}", f"form/{form}:1", *FORMS[form])
    found = trees.attributes(ours.pulled_tree(reference))
    layers = set(os.listdir(ours.store))
    expected = trees.attributes(ours.pulled_tree(make("buildah")))
    assert found.pop(b"").mode == expected.pop(b"").mode  # nobody says the root's time
    assert found == expected
    assert [name for name in set(os.listdir(ours.store)) - layers if not name.startswith("img_")] == []


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_an_index_gives_the_platform_that_is_asked_for(architecture: str, index: str, peers: Peers, ours: Ours) -> None:
    tree = ours.pulled_tree(index, "--platform", f"linux/{architecture}")
    assert (tree / "architecture").read_text() == architecture
    theirs = peers.podman_tree(index, "--arch", architecture)
    assert (theirs / "architecture").read_text() == architecture
    peers.forget()


@pytest.mark.parametrize(("name", "files"), [("hand", [b"/holes", b"/sparse", b"/sparse by PAX"]), ("big", [b"/hole"])])
def test_holes_stay(name: str, files: list[bytes], make: Make, ours: Ours) -> None:
    """podman fills them, so that its tree says nothing of them."""
    taken = trees.allocated(ours.pulled_tree(make(name)))
    assert {file: taken[file] for file in files if taken[file] > MIB} == {}


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_an_image_goes_through_an_archive_of_others(form: str, peers: Peers, make: Make) -> None:
    """So that what is compared with us at one end is known to hold among the others."""
    archive = peers.archive(make("buildah"), form)
    before = trees.attributes(peers.podman_tree(make("buildah")))
    peers.forget()
    after = trees.attributes(peers.podman_loaded_tree(archive))
    peers.forget()
    archive.unlink()
    assert after.pop(b"").mode == before.pop(b"").mode
    assert [
        name for name in before if after[name]._replace(modified_ns=0) != before[name]._replace(modified_ns=0)
    ] == []


def test_what_is_not_meant_is_told() -> None:
    found = Difference(b"/etc", "modified_ns", 0, 1)
    assert judged([found], frozenset()) == ["b'/etc': modified_ns is 0, theirs 1"]
    assert judged([found], frozenset({"untold time"}))[1:] == ["never seen: untold time"]
    assert judged([found._replace(theirs=2 * 10**18)], frozenset({"untold time"})) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: os.chmod(tree / "setuid", 0o751),
        lambda tree: os.chown(tree / "absolute", 1, 0, follow_symlinks=False),
        lambda tree: os.utime(tree / "dir/-n", ns=(0, 1)),
        lambda tree: os.link(tree / "ping", tree / "dir/another"),
        lambda tree: os.removexattr(tree / "ping", "security.capability"),
        lambda tree: os.truncate(tree / "sparse", 1),
        lambda tree: (tree / "fifo").unlink(),
        lambda tree: shutil.copy(tree / "dir/-n", tree / "new"),
    ],
)
def test_a_comparison_sees_what_changed(change: Callable[[Path], None], tmp_path: Path) -> None:
    for name in ("one", "other"):
        trees.awkward_tree(tmp_path / name)
    for name in trees.attributes(tmp_path / "one"):
        for tree in (tmp_path / "one", tmp_path / "other"):
            os.utime(os.fsencode(tree) + name, ns=(0, 0), follow_symlinks=False)
    assert differences(tmp_path / "one", tmp_path / "other") == []
    change(tmp_path / "other")
    os.utime(tmp_path / "other", ns=(0, 0))
    assert differences(tmp_path / "one", tmp_path / "other") != []

"""What goes out is read by others, and what they write by us: the same trees, configurations and digests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import peers as others
from tests.system.peers import ADDRESS, Docker, Peers
from tests.system.real_images import SPARSE_BYTES, Options, Ours, by_buildah, by_hand, changed_tree, differences, judged
from tests.system.trees import allocated

CHANGED = f"{ADDRESS}/ours/changed:2"
# The differences that are right, by who reads what we wrote; `real_images` says what each is.
MEANT = {
    "podman": frozenset({"untold time", "kept with a directory"}),
    "umoci": frozenset(),
    "docker": frozenset({"untold time"}),
}


class Here:
    """A store with an image that was pulled, and one that was committed on it."""

    def __init__(self, bocker: Ours, reference: str) -> None:
        self.bocker = bocker
        self.reference = reference
        self.pulled = bocker.pulled_tree(reference)
        bocker("run", "--name", "changed", "--entrypoint", "/bin/busybox", self.pulled.name, "true")
        container = json.loads(bocker("ps", "--format", "json"))["ID"]
        changed_tree(bocker.store / container)
        self.changed = bocker.store / bocker("commit", "changed", CHANGED).split()[-1]
        bocker("rm", "changed")


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    assert not others.missing(), f"Debian has {', '.join(others.PACKAGES)}"
    with Peers("/run/tmp/peers") as peers:
        yield peers
    shutil.rmtree("/run/tmp/peers")


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    with Docker("/run/tmp/docker") as docker:
        yield docker
    shutil.rmtree("/run/tmp/docker")


@pytest.fixture(scope="module")
def here(peers: Peers, prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    reference = by_buildah(peers, Options())
    with Ours(prefix / "bin/bocker", tmp_path_factory.mktemp("here")) as bocker:
        yield Here(bocker, reference)


@pytest.fixture(scope="module")
def pushed(here: Here) -> str:
    here.bocker("push", CHANGED)
    return CHANGED


@pytest.fixture(scope="module")
def saved(here: Here, peers: Peers) -> Path:
    path = peers.directory / "saved.tar"
    here.bocker("save", "--output", path, CHANGED, here.reference)
    return path


@pytest.fixture
def empty(prefix: Path, tmp_path: Path) -> Iterator[Ours]:
    with Ours(prefix / "bin/bocker", tmp_path) as bocker:
        yield bocker


def same(ours: Path, theirs: Path, reader: str) -> None:
    wrong = judged(differences(ours, theirs), MEANT[reader])
    assert not wrong, "\n".join(wrong)


# push


@pytest.mark.parametrize("make", [by_buildah, by_hand])
def test_what_was_pulled_is_pushed_with_the_same_digest(make, peers: Peers, empty: Ours) -> None:
    reference = make(peers, Options())
    target = f"{ADDRESS}/again/{make.__name__}:1"
    empty("tag", empty.pulled_tree(reference).name, target)
    empty("push", target)
    assert peers.digest(target) == peers.digest(reference)
    assert peers.manifest(target) == peers.manifest(reference)


def test_podman_reads_what_was_pushed(pushed: str, here: Here, peers: Peers) -> None:
    same(here.changed, peers.podman_tree(pushed), "podman")
    peers.forget()


def test_umoci_reads_what_was_pushed(pushed: str, here: Here, peers: Peers) -> None:
    same(here.changed, peers.umoci_tree(pushed), "umoci")
    peers.forget()


def test_docker_reads_what_was_pushed(pushed: str, here: Here, docker: Docker) -> None:
    docker("pull", pushed)
    with docker.tree(pushed) as tree:
        same(here.changed, tree, "docker")
    docker("rmi", pushed)


def test_skopeo_reads_the_configuration(pushed: str, here: Here, peers: Peers) -> None:
    """That of the base, with one layer and one step of history more."""
    base, ours = (peers.configuration(reference) for reference in (here.reference, pushed))
    assert ours["config"] == base["config"]
    assert ours["rootfs"]["diff_ids"][:-1] == base["rootfs"]["diff_ids"]
    assert ours["history"][:-1] == base["history"]
    assert (ours["architecture"], ours["os"]) == (base["architecture"], base["os"])


def test_it_is_pulled_again_as_it_was(pushed: str, here: Here, empty: Ours) -> None:
    assert differences(here.changed, empty.pulled_tree(pushed)) == []


# save


def test_podman_loads_what_was_saved(saved: Path, here: Here, peers: Peers) -> None:
    peers.podman("load", "--input", saved)
    same(here.changed, Path(peers.podman("image", "mount", CHANGED).strip()), "podman")
    assert peers.podman("image", "exists", here.reference) == ""
    peers.forget()


def test_docker_loads_what_was_saved(saved: Path, here: Here, docker: Docker) -> None:
    docker("load", "--input", saved)
    with docker.tree(CHANGED) as tree:
        same(here.changed, tree, "docker")
    docker("rmi", CHANGED, here.reference)


@pytest.mark.parametrize("form", [f"docker-archive:PATH:{CHANGED}", "oci-archive:PATH:2"])
def test_skopeo_copies_what_was_saved(form: str, saved: Path, here: Here, peers: Peers) -> None:
    target = f"{ADDRESS}/saved/{form.partition('-')[0]}:1"
    peers.copy(form.replace("PATH", str(saved)), f"docker://{target}")
    same(here.changed, peers.umoci_tree(target), "umoci")
    peers.forget()


# load


def loaded_tree(bocker: Ours, archive: Path, reference: str) -> Path:
    """Load an archive; return where the tree of one of its images is."""
    assert f"Loaded image: {reference}" in bocker("load", "--input", archive).splitlines()
    images = [json.loads(line) for line in bocker("images", "--format", "json").splitlines()]
    [image] = [image["ID"] for image in images if reference in json.dumps(image)]
    return bocker.store / image


def test_what_podman_saves_is_loaded(here: Here, pushed: str, peers: Peers, empty: Ours) -> None:
    """Two images in one archive."""
    archive = peers.directory / "by-podman.tar"
    peers.podman("pull", here.reference)
    peers.podman("pull", pushed)
    peers.podman("save", "--multi-image-archive", "--output", archive, here.reference, pushed)
    peers.forget()
    assert differences(here.changed, loaded_tree(empty, archive, pushed)) == []
    assert differences(here.pulled, loaded_tree(empty, archive, here.reference)) == []


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_podman_saves_what_has_holes(form: str, here: Here, pushed: str, peers: Peers, empty: Ours) -> None:
    """To write a layer again it notes where its headers were, and these notes know no map of a sparse file."""
    archive = peers.directory / f"{form}-by-podman.tar"
    peers.podman("pull", pushed)
    peers.podman("save", "--format", form, "--output", archive, pushed)
    peers.forget()
    assert empty("load", "--input", archive).startswith("Loaded image")
    loaded = empty.store / empty("images", "--quiet").strip()
    archive.unlink()
    assert differences(here.changed, loaded) == []
    for tree in (here.changed, loaded):
        assert (tree / "new sparse").stat().st_size == SPARSE_BYTES
        assert allocated(tree)[b"/new sparse"] < SPARSE_BYTES // 10


def test_what_docker_saves_is_loaded(here: Here, pushed: str, docker: Docker, peers: Peers, empty: Ours) -> None:
    archive = peers.directory / "by-docker.tar"
    docker("pull", pushed)
    docker("save", "--output", archive, pushed)
    docker("rmi", pushed)
    assert differences(here.changed, loaded_tree(empty, archive, pushed)) == []


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes_is_loaded(form: str, here: Here, pushed: str, peers: Peers, empty: Ours) -> None:
    archive = peers.archive(pushed, form)
    said = empty("load", "--input", archive)
    assert said.startswith("Loaded image: " if form == "docker-archive" else "Loaded image ID: img_")
    assert differences(here.changed, empty.store / empty("images", "--quiet").strip()) == []
    archive.unlink()

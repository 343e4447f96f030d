"""Defects of the original script on the real kernel that no test of a verb is about; docs/bash-bugs.md has them all."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from tests.system import sandbox, trees
from tests.system.fresh_world import fresh_world
from tests.system.layouts import GZIP, PLAIN
from tests.system.shelf import BASE, Shelf, file, layer

MANY = 130
DEEP = 25
LONG_NAME = "x" * 200


@pytest.mark.long
def test_D2_everything_that_exists_is_found_however_many_there_are(bocker, tmp_path):
    """At 100 to 150 subvolumes the original missed one in ten to a hundred."""
    empty = tmp_path / "empty"
    empty.mkdir()
    images = [bocker.created("init", str(empty)) for _ in range(MANY)]
    assert bocker("images", "-q").out.split() == sorted(images)
    removed = bocker("rm", *images)
    assert (removed.code, removed.err) == (0, "")
    assert removed.out.splitlines() == [f"Removed: {image}" for image in images]


def test_D3_what_has_the_next_name_is_neither_entered_nor_overwritten(bocker, image, settings, kernel):
    """Its files stay, no snapshot lands inside, and the command runs in a container of its own."""
    last = bocker.created("commit", _ended(bocker, image, "first"), "one:1")
    number = int(bocker("ps", "-q").out.strip().removeprefix("ps_"))
    name = f"ps_{number + 1}"
    kernel.storage.create(name)
    precious = Path(settings.store, name, "precious")
    precious.write_text("data")
    assert bocker("run", "--rm", image, "/bin/sh", "-c", "echo overwritten > /precious").code == 0
    assert os.listdir(precious.parent) == ["precious"]
    assert precious.read_text() == "data"
    kernel.storage.delete(name)
    assert bocker("rm", "first", last).code == 0


def _ended(bocker, image: str, name: str) -> str:
    assert bocker("run", "--name", name, image, "/bin/true").code == 0
    return name


def test_D9_the_tests_have_a_store_a_network_and_groups_of_their_own(settings: Settings) -> None:
    """Nothing that they take away can be anybody else's."""
    mounted = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    *_, source = [
        fields[fields.index("-") + 2] for fields in mounted if fields[4] == settings.store and "btrfs" in fields
    ]  # the last is on top: below it may be the machine's own store
    backing = subprocess.run(["losetup", "-n", "-O", "BACK-FILE", source], capture_output=True, text=True, check=True)
    assert backing.stdout.split()[0] == sandbox.IMAGE
    for kind in ("net", "mnt", "pid"):
        assert os.readlink(f"/proc/1/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
    assert "tests.system.sandbox" in Path("/proc/1/cmdline").read_text()
    assert settings.cgroup_parent.startswith(f"{sandbox.PARENTS}-")


def test_D9_a_tests_end_takes_only_what_was_made_in_it(settings: Settings, kernel: LinuxKernel) -> None:
    """Somebody else's subvolume and group beside it stay."""
    kernel.storage.create("mine")
    kernel.cgroups.create("mine")
    try:
        with fresh_world(settings) as fresh:
            LinuxKernel(fresh).storage.create("img_42002")
            LinuxKernel(fresh).cgroups.create("ps_42002")
        assert kernel.storage.names() == ("mine",)
        assert kernel.cgroups.names() == ("mine",)
    finally:
        kernel.storage.delete("mine")
        kernel.cgroups.remove("mine")
        kernel.cgroups.remove_parent()


def test_D11_subvolumes_hidden_below_a_long_path_go_with_their_container(bocker, image, settings):
    """A container can make them where no system call takes the path."""
    _ended(bocker, image, "deep")
    container = bocker("ps", "-q").out.strip()
    place = os.open(f"{settings.store}/{container}", os.O_PATH)
    for _ in range(DEEP):
        os.mkdir(LONG_NAME, dir_fd=place)
        inner = os.open(LONG_NAME, os.O_PATH, dir_fd=place)
        os.close(place)
        place = inner
    subprocess.run(
        ["btrfs", "-q", "subvolume", "create", f"/proc/self/fd/{place}/inner"], check=True, pass_fds=(place,)
    )
    os.close(place)
    removed = bocker("rm", "deep")
    assert (removed.code, removed.out) == (0, f"Removed: {container}\n")
    assert not os.path.lexists(f"{settings.store}/{container}")


ESCAPE = """
mkdir "/jail"; chroot "/jail" or die;
chdir ".." for 1..64;
chroot "." or die;
print -e "{outside}" ? "ESCAPED" : "inside", "\\n";
"""


def test_S1_a_root_left_behind_is_no_way_out(bocker, make_image, tmp_path):
    """The escape itself: a working directory outside of a second root, and up from there; chroot(2)."""
    tree = tmp_path / "tree"
    for path in ("/usr/bin/perl", *_libraries("/usr/bin/perl")):
        (tree / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tree / path[1:])
    program = ESCAPE.replace("{outside}", sandbox.IMAGE)
    result = bocker("run", "--rm", make_image(tree), "/usr/bin/perl", "-e", program)
    assert (result.code, result.out) == (0, "inside\n"), result


def _libraries(program: str) -> list[str]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [word for word in listed.split() if word.startswith("/")]


def test_S11_a_container_can_not_forge_its_log_its_command_or_its_source(bocker, image):
    """What it writes under the names of the original's files is a file of its own, and nothing more."""
    script = "for f in ps_42002.log ps_42002.cmd img.source; do echo forged > /$f; done; echo true"
    bocker("run", "--name", "forger", image, "/bin/sh", "-c", script)
    assert bocker("logs", "forger").out == "true\n"
    made = bocker.created("commit", "forger", "forged:1")
    assert "\t\tforged" not in bocker("ps").out + bocker("images").out
    assert bocker("rm", "forger", made).code == 0


def test_X2_a_container_is_found_from_a_session_without_a_terminal(bocker, image, running):
    """Started without one as well, by the fixture."""
    name = running(image)
    done = subprocess.run(
        ["setsid", "--wait", bocker.launcher, "exec", name, "/bin/echo", "found"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"found\n")


def test_U6_help_works_from_any_installation_path(bocker, tmp_path):
    """The original put its own path into a pattern."""
    folder = tmp_path / "a b [c] $d |e& \\1"
    folder.mkdir()
    link = folder / "bocker"
    link.symlink_to(bocker.launcher)
    done = subprocess.run([link, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == bocker("--help").out


# What was pulled

NOBODY = 65534
AS_NOBODY = f"""
import os
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
for path in %r:
    try:
        print(os.read(os.open(path, os.O_RDONLY), 4), flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
try:
    os.execv(%r, ["id", "-u"])
except OSError as error:
    print(error.strerror)
"""
ODD_NAMES = [
    b" blanks at the ends ",
    b"a blank ",
    b"a\ttab",
    b"a\nline",
    b"quotes \" and '",
    b"back\\slash",
    b"$(id) `id` *",
    b"-n",
    b"caf\xc3\xa9",
    b"caf\xe9 \xff",
    b"\x1b[31m",
    b"a,b:c=d",
    b"{}[]",
]


def special_files() -> list[bytes]:
    """Return a layer with a program that is setuid (busybox would give that right up by itself), and a node."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        program = tarfile.TarInfo("id")
        program.mode, program.size = 0o4755, os.path.getsize("/usr/bin/id")
        with open("/usr/bin/id", "rb") as content:
            tar.addfile(program, content)
        node = tarfile.TarInfo("zero")
        node.type, node.mode, node.devmajor, node.devminor = tarfile.CHRTYPE, 0o666, 1, 5
        tar.addfile(node)
    return [stream.getvalue()]


def as_nobody(tree: Path) -> list[str]:
    """Return what nobody on this host reads of the node, and which user the setuid program makes of him."""
    words = AS_NOBODY % ([str(tree / "zero")], str(tree / "id"))
    done = subprocess.run(["/usr/bin/python3", "-c", words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_S14_setuid_files_and_nodes_of_a_pulled_image_give_a_user_of_the_host_nothing(
    bocker, shelf: Shelf, settings: Settings
) -> None:
    """They are there as the image has them; the store's mode keeps others out, and its mount takes their power."""
    image = bocker.created("pull", shelf.put("evil/special:1", [(BASE, GZIP), (special_files(), PLAIN)]))
    layers = [name for name in os.listdir(settings.store) if name.startswith("layer_")]
    trees_of_it = [Path(settings.store, name) for name in (image, *layers) if Path(settings.store, name, "id").exists()]
    assert len(trees_of_it) == 2
    for tree in trees_of_it:
        assert stat.S_IMODE((tree / "id").stat().st_mode) == 0o4755
        assert stat.S_ISCHR((tree / "zero").stat().st_mode)
        assert as_nobody(tree) == ["Permission denied", "Permission denied"]
    os.chmod(settings.store, 0o755)
    try:
        for tree in trees_of_it:
            assert as_nobody(tree) == ["Permission denied", str(NOBODY)]
    finally:
        os.chmod(settings.store, 0o700)


def odd_layer(names: list[bytes]) -> list[bytes]:
    """Return a layer of files with such names, their bytes as they are."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name in names:
            entry = tarfile.TarInfo(os.fsdecode(name))
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name))
    return [stream.getvalue()]


def test_P7_names_with_separators_come_and_go_as_they_are(bocker, shelf: Shelf, settings: Settings) -> None:
    """Blanks, lines, tabs, quotes, bytes that are no UTF-8: in a layer, and as what the next one takes away."""
    kept, taken = ODD_NAMES[::2], ODD_NAMES[1::2]
    folder = b"odd/"
    first = odd_layer([folder + name for name in ODD_NAMES])
    second = odd_layer([folder + b".wh." + name for name in taken])
    image = bocker.created("pull", shelf.put("odd/names:1", [(BASE, GZIP), (first, GZIP), (second, PLAIN)]))
    tree = os.fsencode(settings.store) + b"/" + image.encode() + b"/" + folder
    assert sorted(os.listdir(tree)) == sorted(kept)
    assert {name: Path(os.fsdecode(tree + name)).read_bytes() for name in kept} == {
        name: folder + name for name in kept
    }


@pytest.mark.parametrize("words", [["a b", "", "c\td", "e\nf", "$HOME", "*"], ["\"quoted\" 'twice'", "\\", "ü"]])
def test_P7_words_of_the_configuration_reach_the_program_as_they_are(bocker, shelf: Shelf, words: list[str]) -> None:
    config = {"Entrypoint": ["/bin/sh", "-c", 'for w; do echo "<$w>"; done; echo "$ODD"', "sh"]}
    name = shelf.put("odd/words:1", [(BASE, GZIP)], {**config, "Cmd": words, "Env": ["ODD= a=b\tc "]})
    assert bocker("pull", name).code == 0
    assert bocker("run", "--rm", name).out == "".join(f"<{word}>\n" for word in words) + " a=b\tc \n"


def test_P8_a_pulled_tree_has_every_attribute(bocker, shelf: Shelf, settings: Settings, tmp_path: Path) -> None:
    """What GNU tar packed: modes, owners, times, links, nodes, holes, attributes; the kernel's own kind stays away."""
    origin = tmp_path / "origin"
    trees.awkward_tree(origin)
    os.removexattr(origin / "dir", "trusted.opaque")
    flags = ["--format=posix", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse"]
    done = subprocess.run(["tar", *flags, "-C", origin, "-cf", "-", "."], capture_output=True, check=True)
    image = bocker.created("pull", shelf.put("whole/tree:1", [([done.stdout], GZIP)]))
    assert trees.attributes(Path(settings.store, image)) == trees.attributes(origin)
    assert trees.allocated(Path(settings.store, image))[b"/sparse"] < 1 << 20


@pytest.mark.parametrize("kind", ["layer", "configuration"])
def test_P4_what_is_not_what_its_digest_says_is_named(
    bocker, shelf: Shelf, settings: Settings, tmp_path: Path, kind: str
) -> None:
    """The registry's own file of it is another one of the same size."""
    name = shelf.put("some/app:1", [(BASE, GZIP), (layer(file("own", os.urandom(100_000))), GZIP)])
    marks = {"layer": b"\x1f\x8b", "configuration": b'"rootfs"'}
    stored = [path for path in (tmp_path / "registry").rglob("data") if marks[kind] in path.read_bytes()[:4000]]
    for path in stored:
        path.write_bytes(path.read_bytes()[:-20] + b" " * 20)
    result = bocker("pull", name)
    assert (result.code, result.out) == (1, ""), result
    digests = [path.parent.name for path in stored]
    assert [digest for digest in digests if f"should be sha256:{digest}" in result.err.splitlines()[-1]] != [], result
    assert [name for name in os.listdir(settings.store) if name != ".meta"] == []
    assert not [digest for digest in digests if Path(settings.store, ".meta/blobs", digest).exists()]


@pytest.mark.parametrize("damage", ["layer", "cut", "manifest", "none"])
def test_P10_no_pull_leaves_a_temporary_file(
    bocker, shelf: Shelf, settings: Settings, tmp_path: Path, damage: str
) -> None:
    """Neither one that went well nor one that failed: nothing in the store but images, layers and blobs."""
    before = set(os.listdir("/tmp")) | set(os.listdir("/var/tmp"))
    good = layer(file("own", b"x" * 100_000))
    bad = {"layer": [b"no archive" * 999], "cut": [good[0][:50_000]]}.get(damage, good)
    name = shelf.put("some/app:1", [(BASE, GZIP), (bad, GZIP)])
    if damage == "manifest":
        for blob in (tmp_path / "registry").rglob("data"):
            if blob.read_bytes().startswith(b"{") and b"rootfs" in blob.read_bytes():
                blob.write_bytes(blob.read_bytes().replace(b"layer 1", b"layer 2"))
    result = bocker("pull", name)
    assert (result.code == 0) == (damage == "none"), result
    assert set(os.listdir("/tmp")) | set(os.listdir("/var/tmp")) == before
    names = [name for name in os.listdir(settings.store) if name != ".meta"]
    assert [found for found in names if not found.startswith(("img_", "layer_"))] == []
    assert bool(names) == (damage == "none")
    meta = Path(settings.store, ".meta")
    assert os.listdir(meta / "drafts") == []
    assert [found for found in os.listdir(meta / "blobs") if len(found) != 64] == []
    assert [found for found in meta.rglob("*") if "tmp" in found.name or "new" in found.name] == []
    assert bocker("cleanup").out == "Nothing to clean up\n"


@pytest.mark.parametrize("path", ["app", "library/app", "team/app", "a/b/c/d/e-f__g.h", "localhost/x", "10.0.0.1/x"])
def test_P12_any_host_with_its_port_and_any_name(bocker, shelf: Shelf, path: str) -> None:
    """The fork's repair knew docker.io and `library/` only."""
    shelf.put(f"{path}:v_1.0-X", [(BASE, GZIP)])
    for host in (shelf.address, shelf.address.replace("127.0.0.1", "localhost")):
        name = f"{host}/{path}:v_1.0-X"
        pulled = bocker("pull", name)
        assert pulled.code == 0, pulled
        assert bocker("run", "--rm", name, "/bin/cat", "/gone").out == "base"

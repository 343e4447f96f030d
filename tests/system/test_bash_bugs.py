"""Defects of the original script on the real kernel that no test of a verb is about; docs/bash-bugs.md has them all."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from tests.system import sandbox
from tests.system.fresh_world import fresh_world

MANY = 130
DEEP = 25
LONG_NAME = "x" * 200


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
    (source,) = {
        fields[fields.index("-") + 2] for fields in mounted if fields[4] == settings.store and "btrfs" in fields
    }
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

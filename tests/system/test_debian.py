"""Real input: a Debian root file system, and what runs in it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.system.trees import attributes

LAID_OVER = (b"/etc/hostname", b"/etc/hosts", b"/etc/resolv.conf")
MOUNTED = (b"/proc", b"/sys", b"/dev")


@pytest.fixture(scope="module")
def debian_root(tmp_path_factory) -> Path:
    """Debian's own minimal root, made before the sandbox closed (provision/debian-root.sh)."""
    tarball = os.environ["BOCKER_TEST_DEBIAN"]
    root = tmp_path_factory.mktemp("debian") / "root"
    root.mkdir()
    subprocess.run(
        [
            "tar",
            "--extract",
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--file",
            tarball,
            "--directory",
            root,
        ],
        check=True,
    )
    return root


@pytest.fixture
def debian(make_image, debian_root):
    return make_image(debian_root)


def test_the_image_is_the_directory(debian, debian_root, settings):
    """Byte for byte and attribute for attribute, by thousands of files."""
    assert attributes(f"{settings.store}/{debian}") == attributes(debian_root)


def test_the_container_sees_what_the_image_holds(bocker, debian, settings):
    """A run of nothing changes nothing but the mount points that the image lacks."""
    assert bocker("run", "--name", "seen", debian, "/bin/true").code == 0
    container = json.loads(bocker("ps", "--format", "json").out)["ID"]
    image_tree, container_tree = (attributes(f"{settings.store}/{name}") for name in (debian, container))
    for tree in (image_tree, container_tree):
        for path in (b"", b"/etc", *LAID_OVER, *MOUNTED):
            tree.pop(path, None)
    assert container_tree == image_tree
    script = (
        "cd / && find . -xdev -type f ! -path './etc/host*' ! -path './etc/resolv.conf' -print0"
        " | sort -z | xargs -0 sha256sum | sha256sum"
    )
    inside = bocker("run", "--rm", debian, "/bin/sh", "-c", script)
    outside = subprocess.run(
        ["/bin/sh", "-c", script.replace("cd /", f"cd {settings.store}/{debian}")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert inside.out == outside.stdout
    bocker("rm", "seen")


def test_dpkg_perl_and_the_shell(bocker, debian):
    """Programs of a real distribution find what they expect."""
    assert "ii  dpkg" in bocker("run", "--rm", debian, "dpkg", "-l", "dpkg").out
    assert (
        bocker("run", "--rm", debian, "perl", "-e", "print 6 * 7, qq(\\n); print getpwuid($<) . qq(\\n)").out
        == "42\nroot\n"
    )
    assert (
        bocker(
            "run", "--rm", debian, "bash", "-c", "echo ${BASH_VERSION%%.*}; id -un; ls -d /dev/fd/0 <&0"
        ).out.splitlines()[1]
        == "root"
    )
    assert bocker("run", "--rm", debian, "su", "-s", "/bin/sh", "nobody", "-c", "id -un").out == "nobody\n"


def test_apt_installs_from_a_local_folder_and_commit_keeps_it(bocker, debian):
    """apt drops to a user of its own, dpkg unpacks and configures; the image has it then."""
    installed = bocker(
        "run", "--name", "apt", debian, "/bin/sh", "-c", "apt-get install -y -q /srv/packages/hello_*.deb"
    )
    assert installed.code == 0, installed
    made = bocker.created("commit", "apt", "hello:1")
    assert bocker("run", "--rm", "hello:1", "hello").out == "Hello, world!\n"
    assert bocker("run", "--rm", debian, "hello").code == 127
    bocker("rm", "apt", made)

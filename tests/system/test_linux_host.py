from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.kernel.errors import Invalid, KernelError, Missing, Unsupported
from bocker.linux import host as linux_host
from bocker.linux.host import LinuxHost, _kernel_version
from bocker.linux.mountinfo import mounts
from tests.system.fresh_world import fresh_world
from tests.system.waiting import wait_until
from tests.system.world import loop_device_of

IMAGE_BYTES = 120 << 20


@pytest.fixture
def directory(settings: Settings) -> Iterator[str]:
    with fresh_world(settings) as fresh:
        yield fresh.store


def test_the_loop_device_goes_with_the_mount(directory: str) -> None:
    image, target = f"{directory}/image", f"{directory}/target"
    host = LinuxHost()
    host.make_filesystem(image, IMAGE_BYTES)
    host.mount_image(image, target)
    mounted = host.mount_at(target)
    assert mounted is not None
    assert mounted.source.startswith("/dev/loop")
    assert loop_device_of(image) == mounted.source
    host.unmount(target)
    wait_until(lambda: loop_device_of(image) == "")  # while udev looks at it, the kernel keeps it


def test_holes_stay_holes_in_another_file_system(directory: str, tmp_path: Path) -> None:
    """Within one the blocks are shared and the question does not arise."""
    assert os.stat(tmp_path).st_dev != os.stat(directory).st_dev
    with open(tmp_path / "holes", "wb") as file:
        file.truncate(8 << 20)
    LinuxHost().copy_tree(str(tmp_path), directory)
    copied = os.stat(f"{directory}/holes")
    assert copied.st_size == 8 << 20
    assert copied.st_blocks == 0


@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_modes_do_not_depend_on_the_umask(directory: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        LinuxHost().make_filesystem(f"{directory}/image", IMAGE_BYTES)
    finally:
        os.umask(before)
    assert os.stat(f"{directory}/image").st_mode & 0o7777 == 0o600


def test_the_facts_are_those_of_this_process() -> None:
    facts = LinuxHost().facts()
    assert os.path.samefile(facts.interpreter, "/proc/self/exe")
    assert facts.processors == len(os.sched_getaffinity(0))


def test_a_user_is_not_privileged(directory: str) -> None:
    program = "from bocker.linux.host import LinuxHost; print(LinuxHost().facts().privileged)"
    command = ("setpriv", "--reuid=1000", "--clear-groups", "--", "/usr/bin/python3", "-c", program)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert told.stdout == "False\n"


def test_a_failed_copy_keeps_the_tools_last_words(directory: str) -> None:
    """Where neither the disk nor a right explains it: EIO, and what `cp` said for people."""
    for name in ("source", "target", "target/same"):
        os.mkdir(f"{directory}/{name}")
    with open(f"{directory}/source/same", "wb"):
        pass
    with pytest.raises(KernelError) as caught:
        LinuxHost().copy_tree(f"{directory}/source", f"{directory}/target")
    assert caught.value.errno == errno.EIO
    assert caught.value.detail.startswith("cp: ")


def test_a_machine_without_the_tool_is_unsupported(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux_host, "_TOOLS", "/nowhere")
    with pytest.raises(Unsupported) as caught:
        LinuxHost().make_filesystem(f"{directory}/image", IMAGE_BYTES)
    assert "mkfs.btrfs" in caught.value.detail
    assert os.listdir(directory) == []


@pytest.mark.parametrize("name", ["", "net//ipv4", "a.//.//.//.etc.passwd", "a\0b"])
def test_a_settings_name_does_not_lead_out(name: str) -> None:
    with pytest.raises(Invalid):
        LinuxHost().read_sysctl(name)


def test_a_slash_in_a_settings_name_is_a_dot_of_a_link() -> None:
    assert LinuxHost().read_sysctl("net.ipv4.conf.lo.forwarding") in {"0", "1"}
    with pytest.raises(Missing):
        LinuxHost().read_sysctl("net.ipv4.conf.no/1.forwarding")


def test_mountinfo_agrees_with_the_tool() -> None:
    listed = subprocess.run(
        ("findmnt", "--list", "--noheadings", "--output", "TARGET"), capture_output=True, text=True, check=True
    )
    assert sorted(mounted.target for mounted in mounts()) == sorted(listed.stdout.split())


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-50-cloud-amd64", (6, 1)), ("5.10", (5, 10)), ("6.12-rc1", (6, 12)), ("7.0+", (7, 0))],
)
def test_a_kernels_release_is_read(release: str, version: tuple[int, int]) -> None:
    assert _kernel_version(release) == version

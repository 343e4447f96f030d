"""What a test of a stranger's begins with: their own tests lean on it, so a change of it is one that is wanted."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bocker.core.addresses import parse_interface
from bocker.core.settings import Settings
from bocker.fakes import FakeKernel, World, images, storage
from bocker.fakes.state import CHARACTER, DIRECTORY, FILE, SYMLINK, Entry
from bocker.fakes.world import _place
from bocker.kernel.errors import Denied
from bocker.kernel.host import HostFacts, MountPoint

HOST_DIRECTORIES = ("bin", "dev", "etc", "run", "tmp", "usr", "usr/bin", "var", "var/lib")
ROOT_DIRECTORIES = ("", "bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin")
LINKS = ("sh", "true", "false", "echo", "sleep", "cat", "env")
HOST_FILES = {
    "usr/bin/python3.11": (0o755, b"\x7fELF of the fake kernel"),
    "etc/resolv.conf": (0o644, b"nameserver 192.0.2.53\n"),
}
ROOT_FILES = {
    "bin/busybox": (0o755, b"\x7fELF of the fake kernel"),
    "bin/probe": (0o755, b"#!/bin/busybox sh\n# the probe: bocker.fakes.programs says what it does\n"),
    "etc/hostname": (0o644, b"image\n"),
    "etc/hosts": (0o644, b"127.0.0.1 localhost\n"),
    "etc/passwd": (0o644, b"root:x:0:0:root:/root:/bin/sh\n"),
    "etc/group": (0o644, b"root:x:0:\n"),
    "etc/resolv.conf": (0o644, b"nameserver 192.0.2.1\n"),
}


def plain(files: dict[str, tuple[int, bytes]]) -> dict[str, Entry]:
    return {path: Entry(FILE, mode, content=content) for path, (mode, content) in files.items()}


def without_times(tree: dict[str, Entry]) -> dict[str, Entry]:
    return {
        path: Entry(row.kind, row.mode, row.uid, row.gid, 0, row.content, row.target, row.device)
        for path, row in tree.items()
    }


def test_the_files_of_a_machine() -> None:
    devices = {f"dev/{name}": Entry(CHARACTER, 0o666, device=number) for name, number in images.DEVICES.items()}
    directories = {path: Entry(DIRECTORY) for path in ("", *HOST_DIRECTORIES)}
    assert without_times(World().tree("/")) == {**directories, **devices, **plain(HOST_FILES)}


def test_the_root_file_system_that_is_given_for_the_asking(world: World) -> None:
    world.add_root_filesystem("/tmp/root", {"own": images.file(b"x", 0o600, 1, 2)})
    directories = {path: Entry(DIRECTORY, 0o1777 if path == "tmp" else 0o755) for path in ROOT_DIRECTORIES}
    links = {f"bin/{name}": Entry(SYMLINK, 0o777, target="busybox") for name in LINKS}
    own = {"own": Entry(FILE, 0o600, 1, 2, content=b"x")}
    assert without_times(world.tree("/tmp/root")) == {**directories, **links, **plain(ROOT_FILES), **own}


def test_what_is_mounted(world: World, kernel: FakeKernel, settings: Settings) -> None:
    assert kernel.host.mount_at("/") == MountPoint("/", "/dev/vda1", "ext4", ("rw", "relatime"))
    store = MountPoint(settings.store, "/dev/vdb", "btrfs", ("rw", "nosuid", "nodev"))
    assert kernel.host.mount_at(settings.store) == store
    assert world.tree(settings.store) == {"": Entry(DIRECTORY, 0o700)}
    assert World().kernel().host.mount_at(settings.store) is None


@pytest.mark.parametrize("reboots", [0, 1])
def test_the_links_of_a_machine(settings: Settings, reboots: int) -> None:
    """A loopback that is up, and what `prepare` makes, which is gone after a boot."""
    world = World().prepare(settings)
    for _ in range(reboots):
        world.reboot()
    loopback, *bridges = world.kernel().network.links()
    assert (loopback.name, loopback.kind, loopback.index, loopback.up) == ("lo", "loopback", 1, True)
    assert (loopback.mac, loopback.addresses) == ("00:00:00:00:00:00", (parse_interface("127.0.0.1/8"),))
    shown = [(link.name, link.kind, link.mac, link.up, link.addresses) for link in bridges]
    bridge = ("bridge0", "bridge", images.BRIDGE_MAC, True, (parse_interface("10.0.0.1/24"),))
    assert shown == ([] if reboots else [bridge])


def test_forwarding_and_masquerading_are_prepared(world: World, kernel: FakeKernel, settings: Settings) -> None:
    assert [World().kernel().host.read_sysctl(name) for name in images.FORWARDING] == ["0", "0"]
    assert [kernel.host.read_sysctl(name) for name in images.FORWARDING] == ["1", "1"]
    assert str(kernel.firewall.masqueraded(settings.table)) == "10.0.0.0/24"
    world.reboot()
    after = world.kernel()
    assert (after.firewall.tables(), after.host.read_sysctl(images.FORWARDING[0])) == ((), "0")


def test_the_facts_of_a_machine(kernel: FakeKernel) -> None:
    assert kernel.host.facts() == HostFacts(True, 2, "/usr/bin/python3.11", False, (6, 18))
    assert World(processors=8, privileged=False).kernel().host.facts() == HostFacts(
        False, 8, "/usr/bin/python3.11", False, (6, 18)
    )


def test_an_interpreter_that_is_protected_is_read_only_to_who_starts_then(world: World, kernel: FakeKernel) -> None:
    interpreter = kernel.host.facts().interpreter
    kernel.host.protect(interpreter, interpreter)
    later = world.kernel()
    kernel.host.unmount(interpreter)
    assert [one.host.facts().interpreter_read_only for one in (kernel, later, world.kernel())] == [False, True, False]


@pytest.mark.parametrize("swap", [True, False])
@pytest.mark.parametrize("version", [1, 2])
def test_control_groups_are_as_the_machine_was_made(version: int, swap: bool) -> None:
    """Hierarchies are of version 1."""
    joined = ("cpu", "memory,pids", "devices")
    layout = World(cgroup_version=version, swap=swap, hierarchies=joined).kernel().cgroups.layout()
    assert (layout.version, layout.controllers) == (version, ("cpu", "memory", "pids", "devices"))
    assert (layout.swap, layout.hierarchies) == (swap, joined if version == 1 else ())


def test_a_boot_gives_no_number_twice(world: World, kernel: FakeKernel, settings: Settings) -> None:
    """What is on a disk keeps its own, and what is made after the boot gets others."""
    kernel.storage.create("before")
    world.write_file(f"{settings.store}/before/file", b"kept")
    world.reboot()
    files = world.state.filesystems
    world.prepare(settings.replace(store="/var/other"))
    after = world.kernel(settings.replace(store="/var/other"))
    for number in range(40):
        after.storage.create(f"after{number}")
    assert set(files) < set(world.state.filesystems)
    kept = [row for row in world.state.subvolumes.values() if row.files.get("file", Entry(FILE)).content == b"kept"]
    assert len(kept) == 1


def test_a_boot_is_another_one(world: World) -> None:
    """In its word, and the clock went on."""
    before = world.kernel().ambient
    words, moments = [before.boot_id()], [before.now_ns()]
    for _ in range(2):
        world.reboot()
        ambient = world.kernel().ambient
        words.append(ambient.boot_id())
        moments.append(ambient.now_ns())
    assert words == sorted(set(words))
    assert all(later - earlier >= 1_000_000_000 for earlier, later in pairwise(moments))


def test_programs_are_of_one_machine_and_apart(world: World, kernel: FakeKernel) -> None:
    other = world.kernel()
    assert kernel.processes.myself() != other.processes.myself()
    assert kernel.processes.alive(other.processes.myself())
    other.may_administer_network = False
    assert kernel.firewall.tables() == ("bocker",)
    with pytest.raises(Denied):
        other.firewall.tables()


def test_a_tree_goes_on_in_what_is_nested(world: World, kernel: FakeKernel) -> None:
    for path in ("", "/inner"):
        world.change(
            "test", "", lambda state, path=path: storage.add_subvolume(state, _place(state, f"/var/bocker/outer{path}"))
        )
    world.write_file("/var/bocker/outer/inner/file", b"x")
    assert sorted(world.tree("/var/bocker/outer")) == ["", "inner", "inner/file"]
    assert sorted(world.tree("/var/bocker")) == ["", "outer", "outer/inner", "outer/inner/file"]
    assert world.tree("/var/bocker")["outer/inner/file"].content == b"x"

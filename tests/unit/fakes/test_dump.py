"""The text of a machine, which system tests compare with that of Linux: what each of its lines says."""

from __future__ import annotations

from bocker.core.limits import Limits
from bocker.fakes import FakeKernel, World, images
from bocker.fakes.state import DIRECTORY, Entry
from tests.contracts.specs import SLEEPER, Containers
from tests.unit.fake_lab import FakeLab, FakeStage

MAC = "02:42:0a:00:00:09"
SHORT = [
    "group bocker/ps_1 cpu_shares 512 memory_bytes 512000000 pids 2048 cpu_quota_us 50000",
    "group bocker/ps_42002 2 processes",
    "link host bridge0 up 10.0.0.1/24",
    "link host here up on bridge0 peer there of one",
    "link host last up on bridge0 peer eth0 of nobody",
    "link host lo up 127.0.0.1/8",
    "link host veth0_ps_42002 up on bridge0 peer eth0 of ps_42002",
    "link nobody (ending) eth0 down peer last of host",
    "link nobody (ending) lo down",
    "link one lo down",
    "link one there down peer here of host",
    "link ps_42002 eth0 up peer veth0_ps_42002 of host 10.0.0.2/24 alias veth1_ps_42002",
    "link ps_42002 lo up 127.0.0.1/8",
    "lock held held",
    "lock shared shared",
    "mount /tmp tmpfs",
    "mount /var/bocker btrfs nodev,nosuid",
    "name one",
    "process bocker",
    "process ps_42002 first running in ps_42002",
    "process ps_42002 member running in ps_42002",
    "route ps_42002 by 10.0.0.1",
    "store /var/bocker .meta/.locks/held file of 0 bytes",
    "store /var/bocker .meta/.locks/shared file of 0 bytes",
    "store /var/bocker frozen subvolume 0755 read-only of 8 files 9c92e01e",
    "store /var/bocker img_1 subvolume 0755 of 8 files 9c92e01e",
    "store /var/bocker orphan subvolume 0755 of 8 files 9c92e01e",
    "store /var/bocker ps_42002 subvolume 0755 of 24 files 292c9e48",
    "table bocker 10.0.0.0/24 bridge0",
    "table other not ours",
]
MORE = [
    "group bocker",
    "host /etc/own file 0644 1 bytes 2d711642",
    "host /run/netns directory 0755",
    "link host bridge0 up 10.0.0.1/24 02:42:0a:00:00:01",
    "link nobody (ending) eth0 down peer last of host 02:42:0a:00:00:09",
    "link one there down peer here of host 02:42:0a:00:00:09",
    "link ps_42002 eth0 up peer veth0_ps_42002 of host 10.0.0.2/24 02:42:ac:11:00:02 alias veth1_ps_42002",
    "mounts ps_42002 / /dev /dev/null /dev/zero /proc",
    "store /var/bocker .lab directory 0755",
    "store /var/bocker .meta directory 0700",
    "store /var/bocker .meta/.locks directory 0700",
    "store /var/bocker .meta/.locks/held file 0600 0 bytes",
    "store /var/bocker .meta/.locks/shared file 0600 0 bytes",
    "store /var/bocker frozen subvolume 0755 made of img_1 read-only",
    "store /var/bocker frozen/deep directory 0755",
    "store /var/bocker frozen/deep/file file 0644 1 bytes 2d711642",
    "store /var/bocker frozen/link link one",
    "store /var/bocker frozen/one file 0640 0 bytes owner 1:2",
    "store /var/bocker frozen/third file 0600 0 bytes",
    "store /var/bocker frozen/three same as third",
    "store /var/bocker frozen/two same as one",
    "store /var/bocker img_1 subvolume 0755",
    "store /var/bocker img_1/deep directory 0755",
    "store /var/bocker img_1/deep/file file 0644 1 bytes 2d711642",
    "store /var/bocker img_1/link link one",
    "store /var/bocker img_1/one file 0640 0 bytes owner 1:2",
    "store /var/bocker img_1/third file 0600 0 bytes",
    "store /var/bocker img_1/three same as third",
    "store /var/bocker img_1/two same as one",
    "store /var/bocker orphan subvolume 0755 made of one that is gone",
    "store /var/bocker orphan/deep directory 0755",
    "store /var/bocker orphan/deep/file file 0644 1 bytes 2d711642",
    "store /var/bocker orphan/link link one",
    "store /var/bocker orphan/one file 0640 0 bytes owner 1:2",
    "store /var/bocker orphan/third file 0600 0 bytes",
    "store /var/bocker orphan/three same as third",
    "store /var/bocker orphan/two same as one",
]


def furnish(world: World, kernel: FakeKernel) -> None:
    """One of each thing that has a line."""
    containers = Containers(kernel, kernel.settings, FakeStage(world, kernel))
    first = containers.start(*SLEEPER)
    containers.execute(first, *SLEEPER)
    FakeLab(world, kernel).mount("/tmp")
    kernel.storage.create("img_1")
    tree = {
        "one": Entry("file", 0o640, 1, 2, inode=7),
        "two": Entry("file", 0o640, 1, 2, inode=7),
        "three": Entry("file", 0o600, inode=8),
        "third": Entry("file", 0o600, inode=8),
        "link": images.link("one"),
    }
    world.add_files("/var/bocker/img_1", {**tree, "deep": Entry(DIRECTORY), "deep/file": images.file(b"x")})
    kernel.storage.snapshot("img_1", "frozen", True)
    kernel.storage.snapshot("frozen", "copy")
    kernel.storage.snapshot("copy", "orphan")
    kernel.storage.delete("copy")
    kernel.records.lock("shared", shared=True)
    kernel.records.lock("held")
    kernel.namespaces.create("one")
    kernel.network.create_veth("here", "there", MAC, "bridge0", "one")
    kernel.namespaces.create("ending")
    kernel.network.create_veth("last", "eth0", MAC, "bridge0", "ending")
    kernel.namespaces.remove("ending")
    kernel.cgroups.create("ps_1")
    kernel.cgroups.limit("ps_1", Limits(cpu_quota_us=50_000))
    world.add_table("other")
    world.write_file("/etc/own", b"x")


def test_the_lines_of_a_machine(world: World, kernel: FakeKernel) -> None:
    furnish(world, kernel)
    assert world.dump().splitlines() == SHORT
    whole = world.dump(whole=True).splitlines()
    assert [
        line for line in whole if line not in SHORT and not line.startswith(("store /var/bocker ps_42002", "setting"))
    ] == MORE

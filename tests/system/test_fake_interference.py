"""After each of `bocker.fakes.interference` the kernel in memory answers as Linux does after the tool that it is.

The same is made on both, the tool and the function are used, and the same questions are asked of both. What a
container's own first process sees (its link, its memory) is asked by commands in `test_interference.py`.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from bocker.core.addresses import parse_interface
from bocker.core.limits import Limits
from bocker.core.settings import Settings
from bocker.fakes import FakeKernel, World, interference
from bocker.kernel import Kernel
from bocker.kernel.archives import Bounds
from bocker.kernel.errors import KernelError
from bocker.kernel.http import Request
from bocker.linux import LinuxKernel
from bocker.linux import syscalls as k
from tests.contracts.specs import Containers
from tests.system import groups, sandbox
from tests.system.linux_stage import LinuxStage
from tests.system.power import Machine
from tests.system.world import loop_device_of
from tests.unit.fake_lab import FakeStage

MAC = "02:42:0a:00:00:07"
TABLE = "bocker_f"
GROUP = "ps_42099"
SMALL = 120 << 20  # a file system, and nothing of it is on the disk yet
Question = Callable[[Kernel], object]


def do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def answer(kernel: Kernel, question: Question) -> object:
    """Return what a kernel answers, or which error it gives."""
    try:
        found = question(kernel)
    except KernelError as error:
        return type(error).__name__, error.errno_name
    return type(found).__name__ if type(found).__name__.endswith("Lock") else found


class Twins:
    """Linux and the kernel in memory, on which the same was made."""

    def __init__(self, linux: LinuxKernel, settings: Settings) -> None:
        self.linux = linux
        self.world = World().prepare(settings)
        self.fake = self.world.kernel(settings)
        self.settings = settings

    def both(self, act: Callable[[Kernel], object]) -> None:
        act(self.linux)
        act(self.fake)

    def agree(self, **questions: Question) -> dict[str, object]:
        """See that both answer the same; return the answers."""
        linux = {name: answer(self.linux, question) for name, question in questions.items()}
        assert {name: answer(self.fake, question) for name, question in questions.items()} == linux
        return linux


@pytest.fixture
def twins(kernel: LinuxKernel, settings: Settings) -> Twins:
    return Twins(kernel, settings)


@pytest.fixture
def stores(tmp_path: Path, settings: Settings) -> Iterator[Twins]:
    """Twins with a small store of their own, with an image, a record and an open log."""
    machine = Machine(str(tmp_path))
    own = settings.replace(store=machine.store)
    made = Twins(LinuxKernel(own), own)
    made.both(lambda kernel: kernel.storage.create("img_42002"))
    made.both(lambda kernel: kernel.storage.create("img_42003"))
    made.both(lambda kernel: kernel.records.write("containers/ps_42002", b"one"))
    made.both(lambda kernel: kernel.records.append("logs/ps_42002", b"one"))
    made.both(lambda kernel: kernel.records.lock("names").__exit__())
    yield made
    made.linux.records.__del__()  # or the log is open, and the store busy
    if not os.path.ismount(machine.store):
        machine._mount()
    machine.close()


def link_names(kernel: Kernel) -> object:
    return sorted(link.name for link in kernel.network.links() if link.name.startswith("f"))


def test_a_link_is_deleted_with_its_peer(twins: Twins) -> None:
    twins.both(lambda kernel: kernel.network.create_veth("f0", "f1", MAC, twins.settings.bridge))
    do("ip", "link", "delete", "f0")
    assert interference.delete_link(twins.world, "f0")
    found = twins.agree(names=link_names, peer=lambda kernel: kernel.network.link("f1"))
    assert found == {"names": [], "peer": ("Missing", "ENODEV")}
    assert not interference.delete_link(twins.world, "f0")


def test_a_link_is_down_and_has_no_address(twins: Twins) -> None:
    twins.both(lambda kernel: kernel.network.create_bridge("f2", MAC))
    twins.both(lambda kernel: kernel.network.add_address("f2", parse_interface("10.9.0.1/24")))
    twins.both(lambda kernel: kernel.network.set_up("f2", True))
    do("ip", "link", "set", "f2", "down")
    do("ip", "address", "flush", "dev", "f2")
    assert interference.set_link_down(twins.world, "f2")
    assert interference.flush_addresses(twins.world, "f2")
    found = twins.agree(
        up=lambda kernel: kernel.network.link("f2").up, addresses=lambda kernel: kernel.network.link("f2").addresses
    )
    assert found == {"up": False, "addresses": ()}
    twins.linux.network.delete("f2")


def test_a_table_is_deleted_and_the_ruleset_flushed(twins: Twins) -> None:
    subnet = parse_interface("10.9.0.1/24").subnet
    twins.both(lambda kernel: kernel.firewall.ensure_masquerade(TABLE, subnet, twins.settings.bridge))
    do("nft", "delete", "table", "ip", TABLE)
    assert interference.delete_table(twins.world, TABLE)
    assert twins.agree(ours=lambda kernel: kernel.firewall.masqueraded(TABLE)) == {"ours": None}
    twins.both(lambda kernel: kernel.firewall.ensure_masquerade(TABLE, subnet, twins.settings.bridge))
    do("nft", "flush", "ruleset")
    assert interference.flush_ruleset(twins.world)
    assert twins.agree(tables=lambda kernel: kernel.firewall.tables()) == {"tables": ()}
    subprocess.run(["nft", "-f", "-"], input=sandbox.MASQUERADE, text=True, check=True)


def test_a_setting_of_the_kernel_is_changed(twins: Twins) -> None:
    name = "net.ipv4.ip_forward"
    do("sysctl", "-q", "-w", f"{name}=0")
    assert interference.set_sysctl(twins.world, name, "0")
    assert twins.agree(value=lambda kernel: kernel.host.read_sysctl(name)) == {"value": "0"}
    do("sysctl", "-q", "-w", f"{name}=1")


def test_the_name_of_a_namespace_is_removed(twins: Twins) -> None:
    name = "netns_ps_42099"
    twins.linux.namespaces.link(name, os.getpid())
    twins.fake.namespaces.link(name, twins.fake.pid)
    os.unlink(f"{twins.settings.namespaces}/{name}")
    assert interference.remove_namespace_name(twins.world, twins.settings.namespaces, name)
    twins.agree(names=lambda kernel: kernel.namespaces.names(), again=lambda kernel: kernel.namespaces.remove(name))


def test_a_store_is_unmounted_that_is_in_use(stores: Twins) -> None:
    """What was open goes on, what has a path is gone, and nothing is made where the store was."""
    with stores.linux.records.lock("ps_42002"), stores.fake.records.lock("ps_42002"):
        do("umount", "--lazy", stores.settings.store)
        mounts = stores.world.state.mounts[0]
        assert interference.unmount(stores.world, stores.settings.store)
        found = stores.agree(
            mount=lambda kernel: kernel.host.mount_at(stores.settings.store),
            read=lambda kernel: kernel.records.read("containers/ps_42002"),
            write=lambda kernel: kernel.records.write("containers/ps_42002", b"two"),
            claim=lambda kernel: kernel.records.claim("containers/ps_42003", b"two"),
            lock=lambda kernel: kernel.records.lock("names"),
            log=lambda kernel: kernel.records.append("logs/ps_42002", b"two"),
            names=lambda kernel: kernel.storage.names(),
            listed=lambda kernel: kernel.records.list("containers"),
        )
        missing = ("Missing", "ENOENT")
        assert (found["write"], found["claim"], found["lock"], found["log"]) == (missing, missing, missing, None)
        assert os.listdir(stores.settings.store) == sorted(filter(None, stores.world.tree(stores.settings.store))) == []
        device = Path("/proc/self/mountinfo").read_text()
        assert stores.settings.store not in device
        (row,) = (row for row in mounts if row.target == stores.settings.store)
        do("mount", loop_device_of(f"{os.path.dirname(stores.settings.store)}/image"), stores.settings.store)
        assert interference.mount(stores.world, row)
        found = stores.agree(
            log=lambda kernel: kernel.records.read("logs/ps_42002"),
            held=lambda kernel: kernel.records.lock("ps_42002", wait=False),
        )
        assert found == {"log": b"onetwo", "held": ("Busy", "EAGAIN")}


def test_a_store_is_read_only(stores: Twins) -> None:
    blob = sha256(b"").hexdigest()
    stores.agree(add=lambda kernel: kernel.blobs.add(blob, b""))
    stores.linux.records.__del__()
    do("mount", "-o", "remount,ro", stores.settings.store)
    assert interference.make_read_only(stores.world, stores.settings.store)
    found = stores.agree(
        write=lambda kernel: kernel.records.write("containers/ps_42002", b"two"),
        claim=lambda kernel: kernel.records.claim("containers/ps_42003", b"two"),
        append=lambda kernel: kernel.records.append("logs/ps_42002", b"two"),
        remove=lambda kernel: kernel.records.remove("containers/ps_42002"),
        remove_blob=lambda kernel: kernel.blobs.remove(blob),
        lock=lambda kernel: kernel.records.lock("names"),
        create=lambda kernel: kernel.storage.create("img_42004"),
        snapshot=lambda kernel: kernel.storage.snapshot("img_42002", "img_42004"),
        delete=lambda kernel: kernel.storage.delete("img_42002"),
        publish=lambda kernel: kernel.storage.publish("img_42002", "img_42004"),
        exchange=lambda kernel: kernel.storage.exchange("img_42002", "img_42003"),
        copy=lambda kernel: kernel.host.copy_tree("/etc", f"{stores.settings.store}/img_42002"),
        read=lambda kernel: kernel.records.read("containers/ps_42002"),
        names=lambda kernel: kernel.storage.names(),
        sync=lambda kernel: kernel.storage.sync(),
        flags=lambda kernel: "ro" in getattr(kernel.host.mount_at(stores.settings.store), "flags", ()),
    )
    assert {value for value in found.values() if isinstance(value, tuple) and value[0] == "ReadOnly"}
    assert (found["write"], found["flags"]) == (("ReadOnly", "EROFS"), True)
    do("mount", "-o", "remount,rw", stores.settings.store)


def test_a_store_is_full(stores: Twins) -> None:
    """A lock is an empty file, and fits; what is deleted goes."""
    filler = Path(stores.settings.store, "filler")
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], check=False, capture_output=True)
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}.2", "bs=4k"], check=False, capture_output=True)
    do("sync", "--file-system", stores.settings.store)
    assert interference.fill_disk(stores.world, stores.settings.store)
    found = stores.agree(
        claim=lambda kernel: kernel.records.claim("containers/ps_42003", b"two" * 3000),
        write=lambda kernel: kernel.records.write("containers/ps_42002", b"two" * 3000),
        lock=lambda kernel: kernel.records.lock("names").__exit__(),
        read=lambda kernel: kernel.records.read("containers/ps_42002"),
        remove=lambda kernel: kernel.records.remove("containers/ps_42002"),
        delete=lambda kernel: kernel.storage.delete("img_42002"),
    )
    assert (found["claim"], found["lock"], found["delete"]) == (("NoSpace", "ENOSPC"), None, None)


def test_a_subvolume_is_deleted_or_read_only(stores: Twins) -> None:
    do("btrfs", "subvolume", "delete", f"{stores.settings.store}/img_42003")
    do("btrfs", "property", "set", f"{stores.settings.store}/img_42002", "ro", "true")
    assert interference.delete_subvolume(stores.world, f"{stores.settings.store}/img_42003")
    assert interference.set_read_only(stores.world, f"{stores.settings.store}/img_42002", True)
    stores.agree(
        names=lambda kernel: kernel.storage.names(),
        gone=lambda kernel: kernel.storage.describe("img_42003"),
        flag=lambda kernel: kernel.storage.describe("img_42002").read_only,
        copy=lambda kernel: kernel.host.copy_tree("/etc", f"{stores.settings.store}/img_42002"),
        snapshot=lambda kernel: kernel.storage.snapshot("img_42002", "ps_42002"),
        writable=lambda kernel: kernel.storage.describe("ps_42002").read_only,
        publish=lambda kernel: kernel.storage.publish("img_42002", "img_42005"),
        delete=lambda kernel: kernel.storage.delete("img_42005"),
        left=lambda kernel: kernel.storage.names(),
    )


# Groups and processes


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(["sleep", "60"])
    yield started
    started.kill()
    started.wait()


@pytest.mark.skipif(groups.VERSION != 1, reason="version 1 of control groups: a directory a controller")
def test_who_is_in_a_group_is_moved_out_and_the_group_removed(twins: Twins, sleeper: subprocess.Popen[bytes]) -> None:
    parent = twins.settings.cgroup_parent
    twins.both(lambda kernel: kernel.cgroups.create(GROUP))
    twins.linux.cgroups.add(GROUP, sleeper.pid)
    twins.fake.cgroups.add(GROUP, twins.fake.pid)
    found = twins.agree(members=lambda kernel: len(kernel.cgroups.members(GROUP)))
    assert found == {"members": 1}
    for directory in groups.directories(f"{parent}/{GROUP}"):
        Path(directory).parents[1].joinpath("tasks").write_text(str(sleeper.pid))
    assert interference.move_out(twins.world, twins.fake.pid)
    twins.agree(members=lambda kernel: kernel.cgroups.members(GROUP))
    for directory in groups.directories(f"{parent}/{GROUP}"):
        os.rmdir(directory)
    assert interference.remove_group(twins.world, parent, GROUP)
    found = twins.agree(
        names=lambda kernel: kernel.cgroups.names(),
        usage=lambda kernel: kernel.cgroups.usage(GROUP),
        limit=lambda kernel: kernel.cgroups.limit(GROUP, Limits()),
        remove=lambda kernel: kernel.cgroups.remove(GROUP),
    )
    assert found["usage"] == ("Missing", "ENOENT")


def test_a_group_has_other_limits(twins: Twins) -> None:
    twins.both(lambda kernel: kernel.cgroups.create(GROUP))
    directory = groups.directories(f"{twins.settings.cgroup_parent}/{GROUP}")[2 if groups.VERSION == 1 else 0]
    Path(directory, "pids.max").write_text("0")
    assert interference.set_limits(twins.world, twins.settings.cgroup_parent, GROUP, Limits(pids=0))
    twins.agree(usage=lambda kernel: kernel.cgroups.usage(GROUP).processes)
    twins.both(lambda kernel: kernel.cgroups.remove(GROUP))


class NoProcesses:
    """A block in which there can be no new process: for EAGAIN by a bound on their number, for ENOMEM as the first
    process of the namespace that they would be in is dead (kernel-facts, "Processes")."""

    def __init__(self, reason: int) -> None:
        self._reason = reason
        self._group = Path(f"{groups.ROOT}/pids/{sandbox.settings().cgroup_parent}-few")
        self._before = next(
            line.split(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":pids:" in line
        )
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> None:
        if self._reason == errno.ENOMEM:
            k.unshare(k.CLONE_NEWPID)
            first = os.fork()
            if not first:
                os._exit(0)
            os.waitpid(first, 0)
            return
        self._group.mkdir()
        (self._group / "cgroup.procs").write_text("0")
        (self._group / "pids.max").write_text((self._group / "pids.current").read_text())

    def __exit__(self, *error: object) -> None:
        if self._reason == errno.ENOMEM:
            k.setns(self._own, k.CLONE_NEWPID)
        else:
            Path(f"{groups.ROOT}/pids{self._before}", "cgroup.procs").write_text("0")
            self._group.rmdir()
        os.close(self._own)


@pytest.mark.skipif(groups.VERSION != 1, reason="version 1 of control groups: a bound on our own processes")
@pytest.mark.parametrize("reason", [errno.EAGAIN, errno.ENOMEM])
def test_there_is_no_room_for_another_process(stores: Twins, reason: int) -> None:
    made = {
        stores.linux: Containers(stores.linux, stores.settings, LinuxStage(stores.linux, stores.settings)),
        stores.fake: Containers(stores.fake, stores.settings, FakeStage(stores.world, stores.fake)),
    }
    image, archive = f"{stores.settings.store}/image", f"{stores.settings.store}/archive"
    stores.both(lambda kernel: kernel.host.make_filesystem(image, SMALL))
    Path(archive).write_bytes(bytes(10240))
    stores.world.write_file(archive, bytes(10240))
    request = Request("GET", "http://127.0.0.1:9/")
    try:
        plans = {kernel: containers.spec("exit", "0") for kernel, containers in made.items()}
        running = {kernel: containers.start("sleep", "9") for kernel, containers in made.items()}
        assert interference.refuse_clones(stores.world, reason)
        with NoProcesses(reason):
            found = stores.agree(
                copy=lambda kernel: kernel.host.copy_tree("/etc", f"{stores.settings.store}/img_42002"),
                make=lambda kernel: kernel.host.make_filesystem(f"{image}.2", SMALL),
                mount=lambda kernel: kernel.host.mount_image(image, f"{stores.settings.store}/there"),
                unpack=lambda kernel: kernel.archives.unpack(archive, f"{stores.settings.store}/img_42002", Bounds()),
                prepare=lambda kernel: kernel.http.prepare(),
                ask=lambda kernel: kernel.http.ask(request),
                download=lambda kernel: kernel.http.download(request, f"{stores.settings.store}/draft", 9),
                upload=lambda kernel: kernel.http.upload(request, archive),
            )
            assert found.pop("prepare") is None
            assert {value[1] for value in found.values() if isinstance(value, tuple)} == {errno.errorcode[reason]}
            if reason == errno.EAGAIN:  # a container's own namespaces can't be made to refuse it for want of memory
                stores.agree(
                    create=lambda kernel: kernel.processes.create(plans[kernel]),
                    enter=lambda kernel: made[kernel].enter(running[kernel], "exit", "0"),
                )
    finally:
        interference.refuse_clones(stores.world, 0)
        for containers in made.values():
            containers.close()


def test_a_process_is_killed(twins: Twins) -> None:
    """Of the fake a program; that a container's first process takes the others with it is a contract."""
    other = twins.world.kernel(twins.settings)
    identity = other.processes.myself()
    assert twins.fake.processes.alive(identity)
    assert interference.kill(twins.world, other.pid)
    started = subprocess.Popen(["sleep", "60"])
    linux = LinuxKernel(twins.settings).processes
    from bocker.linux.processes import _identity

    there = _identity(started.pid)
    assert linux.alive(there)
    started.kill()
    started.wait()
    assert twins.fake.processes.alive(identity) is linux.alive(there) is False


def test_the_clock_goes_back_for_programs_that_start_then() -> None:
    """Within one it never does (`test_the_time_never_goes_back`); Linux's is the machine's, and is left alone here."""
    world = World().prepare()
    first: FakeKernel = world.kernel()
    before_ns = first.ambient.now_ns()
    assert interference.set_clock_back(world, 3600)
    assert first.ambient.now_ns() == before_ns
    assert world.kernel().ambient.now_ns() < before_ns

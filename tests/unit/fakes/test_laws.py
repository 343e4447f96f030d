from __future__ import annotations

import inspect
import re
from importlib import import_module
from types import FunctionType

import attrs
import pytest

from bocker.core.settings import Settings
from bocker.fakes import FakeKernel, NotModelled, World, dump, invariants, laws
from bocker.fakes.errors import BrokenInvariant, Crashed
from bocker.fakes.state import FILE, Entry
from bocker.kernel.errors import Busy, Missing, NoSpace
from bocker.kernel.processes import Exited, Interrupted
from tests.contracts.specs import Containers, finish, is_there
from tests.unit.fake_lab import FakeStage

LAWS = [
    law
    for law in vars(laws).values()
    if isinstance(law, FunctionType) and law.__module__ == laws.__name__ and not law.__name__.startswith("_")
]
SIGTERM = 15


@pytest.fixture
def containers(world: World, kernel: FakeKernel) -> Containers:
    return Containers(kernel, kernel.settings, FakeStage(world, kernel))


@pytest.mark.parametrize("law", [law for law in LAWS if "Contract:" in (law.__doc__ or "")])
def test_a_law_names_a_contract_that_exists(law: FunctionType) -> None:
    for name, method in re.findall(r"Contract: (\w+)Contract\.(\w+)", inspect.getdoc(law) or ""):
        module = import_module(f"tests.contracts.{name.lower()}")
        assert hasattr(getattr(module, f"{name}Contract"), method)


@pytest.mark.parametrize("law", [law for law in LAWS if law.__name__.endswith(("ends", "lets_go", "goes_down"))])
def test_a_law_names_its_manual_page(law: FunctionType) -> None:
    assert re.search(r"\w\(\d\)", law.__doc__ or "")


def test_the_chain_from_pid_1_to_the_route(world: World, kernel: FakeKernel, containers: Containers) -> None:
    """pid 1, its pid namespace, its network namespace, the link in it, the peer, the route."""
    process = containers.start("fork", "sleep", "60", "|", "sleep", "60")
    network = world.process(process.identity.pid).namespaces["network"]
    assert len(world.state.routes) == 1
    world.change("test", "", lambda state: laws.process_ends(state, process.identity.pid, Exited(None, 9)))
    assert [row.pid for row in world.state.processes.values() if row.spec and row.phase != "zombie"] == []
    assert is_there(kernel, "veth0_ps_42002")
    world.settle()
    assert not is_there(kernel, "veth0_ps_42002")
    assert network not in world.state.networks
    assert world.state.routes == {}


def test_mounts_of_a_container_leave_no_file_system(world: World, containers: Containers) -> None:
    before = len(world.state.filesystems)
    finish(containers.kernel, containers.start("exit", "0"))
    assert len(world.state.filesystems) == before


def test_a_killed_program_takes_its_children_and_its_locks(
    world: World, kernel: FakeKernel, containers: Containers
) -> None:
    process = containers.start("sleep", "60")
    kernel.records.lock("ps_42002")
    other = world.kernel()
    with pytest.raises(Busy):
        other.records.lock("ps_42002", wait=False)
    world.kill_program(kernel)
    assert not other.processes.alive(process.identity)
    assert other.cgroups.members("ps_42002") == ()
    with other.records.lock("ps_42002", wait=False):
        pass
    with pytest.raises(Crashed):
        kernel.ambient.now_ns()


def test_a_lock_is_waited_for(world: World, kernel: FakeKernel) -> None:
    other = world.kernel()
    held = other.records.lock("names")
    world.schedule(1.0, lambda: held.__exit__(None, None, None))
    before_ns = kernel.ambient.now_ns()
    with kernel.records.lock("names"):
        assert kernel.ambient.now_ns() - before_ns >= 1_000_000_000


def test_waiting_for_ever_is_not_modelled(world: World, kernel: FakeKernel) -> None:
    kernel.records.lock("names")
    with pytest.raises(NotModelled):
        kernel.records.lock("names")


def test_a_reboot_leaves_files_only(world: World, kernel: FakeKernel, containers: Containers) -> None:
    process = containers.start("sleep", "60")
    boot_id = kernel.ambient.boot_id()
    world.write_file("/etc/kept", b"kept")
    world.write_file("/run/lost", b"lost")
    world.reboot()
    after = world.kernel()
    assert after.ambient.boot_id() != boot_id
    assert not after.processes.alive(process.identity)
    assert [link.name for link in after.network.links()] == ["lo"]
    assert after.cgroups.names() == after.firewall.tables() == after.namespaces.names() == ()
    assert world.read_file("/etc/kept") == b"kept"
    assert world.entry("/run/lost") is None


def test_a_signal_later_is_an_event_then(world: World, kernel: FakeKernel, containers: Containers) -> None:
    process = containers.start("sleep", "60")
    before_ns = kernel.ambient.now_ns()
    world.interrupt(kernel, SIGTERM, after_s=2)
    assert kernel.processes.next_event(process) == Interrupted(SIGTERM)
    assert 2_000_000_000 <= kernel.ambient.now_ns() - before_ns < 3_000_000_000


def test_what_another_terminal_does_meanwhile(world: World, kernel: FakeKernel, containers: Containers) -> None:
    process = containers.start("sleep", "5")
    seen = []
    world.schedule(1.0, lambda: seen.append(world.kernel().processes.alive(process.identity)))
    assert finish(kernel, process)[2] == Exited(0, None)
    assert seen == [True]


@pytest.mark.parametrize("words", [("dance",), ("sleep", "1", ",", "dance")])
def test_a_verb_that_is_not_known_is_not_modelled(containers: Containers, words: tuple[str, ...]) -> None:
    with pytest.raises(NotModelled):
        finish(containers.kernel, containers.start(*words))


def test_a_program_that_is_not_known_is_not_modelled(containers: Containers) -> None:
    spec = containers.spec()
    process = containers.create(spec.replace(process=spec.process.replace(args=("/bin/busybox", "ls"))))
    with pytest.raises(NotModelled):
        containers.kernel.processes.release(process)


def test_a_step_that_raises_changes_nothing(world: World, kernel: FakeKernel) -> None:
    before = world.state
    with pytest.raises(Missing):
        kernel.storage.delete("img_none")
    assert world.state is before


def test_a_state_that_can_not_be_is_refused(world: World, kernel: FakeKernel) -> None:
    kernel.network.create_veth("a", "b", "02:42:ac:11:00:02", "bridge0")
    state = world.state
    (bridge,) = (row.id for row in state.links.values() if row.name == "bridge0")
    links = {number: row for number, row in state.links.items() if number != bridge}
    with pytest.raises(BrokenInvariant):
        invariants.check(state, attrs.evolve(state, links=links))


def test_the_dump_is_sorted_and_tells_what_is_there(world: World, containers: Containers) -> None:
    containers.start("sleep", "60")
    lines = world.dump().splitlines()
    assert lines == sorted(lines)
    assert "link host veth0_ps_42002 up on bridge0 peer eth0 of ps_42002" in lines
    assert "group bocker/ps_42002 1 processes" in lines
    assert "process ps_42002 first running in ps_42002" in lines
    assert world.dump() == dump.text(world.state)


def test_the_whole_dump_has_files_settings_and_what_a_container_sees(world: World, containers: Containers) -> None:
    containers.start("write", "/tmp/note", "x", ",", "sleep", "60")
    short, whole = (world.dump(whole=whole).splitlines() for whole in (False, True))
    assert "store /var/bocker ps_42002/tmp/note file 0644 1 bytes 2d711642" in whole
    assert "mounts ps_42002 / /dev /dev/null /dev/zero /proc" in whole
    assert "setting net.ipv4.ip_forward 1" in whole
    assert len(whole) > 2 * len(short)


@pytest.mark.parametrize("change", ["write", "chmod"])
def test_the_short_dump_tells_that_something_in_a_subvolume_is_another(
    world: World, kernel: FakeKernel, change: str
) -> None:
    kernel.storage.create("img_42002")
    world.add_files("/var/bocker/img_42002", {"file": Entry(FILE, 0o644, content=b"one")})
    before = world.dump()
    after = Entry(FILE, 0o644, content=b"two") if change == "write" else Entry(FILE, 0o755, content=b"one")
    world.add_files("/var/bocker/img_42002", {"file": after})
    assert world.dump() != before


def test_two_machines_on_which_the_same_was_done_have_one_dump() -> None:
    """Whatever ids, indices, pids and times they have."""
    texts = []
    for detours in (0, 3):
        world = World().prepare()
        kernel = world.kernel()
        for number in range(detours):
            kernel.namespaces.create(f"detour{number}")
            kernel.namespaces.remove(f"detour{number}")
            world.sleep(1)
        kernel.storage.create("img_42002")
        kernel.storage.snapshot("img_42002", "ps_42002", True)
        kernel.namespaces.create("one")
        kernel.network.create_veth("veth0", "eth0", "02:42:ac:11:00:02", "bridge0", "one")
        texts.append(world.dump(whole=True))
    assert texts[0] == texts[1]
    assert "store /var/bocker ps_42002 subvolume 0755 made of img_42002 read-only" in texts[0]


def test_version_2_has_device_rules_too() -> None:
    """They are programs there; what can be limited is the same."""
    layout = World(cgroup_version=2).kernel().cgroups.layout()
    assert (layout.version, "devices" in layout.controllers) == (2, True)


def test_what_is_not_synced_is_known(world: World, kernel: FakeKernel) -> None:
    path = f"{Settings().store}/.meta/contents/u"
    kernel.records.write("contents/u", b"x")
    assert world.unsynced(path)
    kernel.records.write("contents/u", b"x", durable=True)
    assert not world.unsynced(path)
    kernel.records.append("contents/u", b"x")
    assert world.unsynced(path)
    kernel.storage.sync()
    assert not world.unsynced(path)


def test_what_is_removed_makes_room(world: World, kernel: FakeKernel) -> None:
    """A file, a record, and a subvolume with all that it alone had; never more than there was."""
    store = Settings().store
    world.set_free_bytes(store, 100)
    kernel.records.write("logs/ps_1", bytes(60))
    kernel.storage.create("ps_1")
    world.write_file(f"{store}/ps_1/file", bytes(40))
    with pytest.raises(NoSpace):
        kernel.records.write("logs/ps_2", bytes(1))
    kernel.records.remove("logs/ps_1")
    kernel.records.write("logs/ps_2", bytes(60))
    with pytest.raises(NoSpace):
        kernel.records.write("logs/ps_3", bytes(1))
    world.remove(f"{store}/ps_1/file")
    kernel.records.write("logs/ps_3", bytes(40))


def test_a_call_copies_only_the_tables_that_it_changes(world: World, kernel: FakeKernel) -> None:
    """So 250 containers stay quick."""
    kernel.storage.create("img_42002")
    for number in range(250):
        kernel.storage.snapshot("img_42002", f"ps_{42002 + number}")
    before = world.state
    kernel.storage.snapshot("img_42002", "ps_43000")
    assert world.state.links is before.links
    assert world.state.processes is before.processes

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

import pytest

from bocker.core.addresses import parse_subnet
from bocker.core.errors import BockerError, HostNotReady, NotPrivileged, OperationFailed
from bocker.core.settings import Settings
from bocker.engine import setup
from bocker.fakes import Crashed, files
from bocker.fakes.errors import Refused
from bocker.fakes.faults import Call, CrashAt, DoButReportFailure, Gate, RefuseCall
from bocker.fakes.state import DIRECTORY, Entry, MountRow, Place, State
from tests.unit.engine.bench import Bench, Screen

T = TypeVar("T")
SMALL = 200_000_000


class RefuseOperation(Gate):
    """Refuses every call of one operation."""

    def __init__(self, operation: str, number: int) -> None:
        self.operation, self.number = operation, number

    def around(self, call: Call, act: Callable[[], T], refuse: Callable[[], None]) -> T:
        if call.operation == self.operation:
            raise Refused(self.number)
        return act()


def bare(**world: object) -> Bench:
    return Bench(ready=False, **world)


def undo(bench: Bench, delete_data: bool = False) -> tuple[str, ...]:
    return setup.undo(bench.kernel, bench.settings, delete_data)


def needs(bench: Bench) -> dict[str, bool]:
    return {need.name: need.met for need in setup.check(bench.kernel, bench.settings)}


def on_the_host(bench: Bench) -> list[str]:
    """Return what is on the host, its files too."""
    files = [
        f"file {path}"
        for path, entry in bench.world.tree("/").items()
        if not path.startswith(("rootfs", "var/bocker/"))
    ]
    return sorted([*bench.traces(), *files, f"forwarding {bench.kernel.host.read_sysctl('net.ipv4.ip_forward')}"])


def new_on_the_host(bench: Bench, before: list[str]) -> list[str]:
    """Return what was not there before; the folder of `ip netns` stays, as everybody uses it."""
    return [line for line in on_the_host(bench) if line not in before and line != "file run/netns"]


def test_on_a_bare_host_everything_is_made_and_said() -> None:
    bench = bare()
    assert bench.setup(size_bytes=SMALL) == (
        "Created: /var/lib/bocker/btrfs.img",
        "Mounted: /var/lib/bocker/btrfs.img at /var/bocker",
        "Created: bridge0",
        "Added: 10.0.0.1/24 to bridge0",
        "Set: net.ipv4.ip_forward = 1",
        "Masqueraded: 10.0.0.0/24",
        "Protected: /usr/bin/python3.11",
    )
    assert set(needs(bench).values()) == {True}
    bench.add_image(tag="base")
    assert bench.run("true").code == 0


def test_nothing_is_made_twice() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    before = on_the_host(bench)
    assert bench.setup() == ()
    assert on_the_host(bench) == before


def test_undo_takes_back_exactly_what_setup_changed() -> None:
    bench = bare()
    before = on_the_host(bench)
    bench.setup(size_bytes=SMALL)
    bench.add_image(tag="base")
    bench.run("true")
    lines = undo(bench, delete_data=True)
    assert "Removed: /var/lib/bocker/btrfs.img" in lines
    assert new_on_the_host(bench, before) == []
    assert not [line for line in before if line not in on_the_host(bench)]


def test_undo_keeps_the_images_unless_told() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.add_image(tag="base")
    undo(bench)
    assert needs(bench)["store"] is False
    bench.setup()
    assert bench.images() == {"img_42002": ("base:latest",)}
    undo(bench, delete_data=True)
    assert bench.world.entry("/var/lib/bocker/btrfs.img") is None


def test_undo_twice_does_nothing_more() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    undo(bench, delete_data=True)
    before = on_the_host(bench)
    assert undo(bench, delete_data=True) == ()
    assert on_the_host(bench) == before


@pytest.mark.parametrize("names", [False, True])
def test_what_was_taken_back_is_not_taken_back_again_after_a_power_failure(names: bool) -> None:
    """It may be a person's by then: forwarding that they switched on."""
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.world.sync()
    undo(bench)
    bench.world.lose_power(names)
    bench.kernel = bench.program()
    assert undo(bench) == ()


def test_a_host_that_a_person_prepared_is_used_as_it_is_and_kept() -> None:
    bench = bare()
    bench.world.prepare(bench.settings)
    before = on_the_host(bench)
    assert bench.setup() == ("Protected: /usr/bin/python3.11",)
    bench.add_image(tag="base")
    undo(bench, delete_data=True)
    after = on_the_host(bench)
    assert not [line for line in before if line not in after]
    assert bench.images() == {}


@pytest.mark.parametrize("flags", [("rw",), ("rw", "nosuid"), ("rw", "nodev")])
def test_a_store_made_by_hand_is_restricted_and_setup_says_so(flags: tuple[str, ...]) -> None:
    bench = bare()
    bench.world.prepare(bench.settings)
    loosen(bench, flags)
    assert needs(bench)["store"] is False
    assert bench.setup()[0] == "Restricted: /var/bocker is for root alone now, without setuid programs and devices"
    mount = bench.kernel.host.mount_at("/var/bocker")
    assert mount is not None
    assert {"nosuid", "nodev"}.issubset(mount.flags)


def loosen(bench: Bench, flags: tuple[str, ...] = ("rw",)) -> None:
    """Mount the store without its restrictions, as the original's README does."""
    import attrs

    state = bench.world.state
    mounts = tuple(attrs.evolve(row, flags=flags) if row.target == "/var/bocker" else row for row in state.mounts[0])
    bench.world.state = attrs.evolve(state, mounts={**state.mounts, 0: mounts})


def test_after_a_boot_the_bridge_has_the_subnet_that_it_had() -> None:
    """The unit that runs at boot says nothing of a subnet."""
    bench = bare()
    bench.setup(size_bytes=SMALL, subnet=parse_subnet("10.7.0.0/28"))
    bench.world.reboot()
    bench.kernel = bench.program()
    bench.setup()
    assert str(bench.kernel.network.link("bridge0").addresses[0]) == "10.7.0.1/28"


def test_after_a_boot_setup_makes_again_what_the_boot_forgot() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.add_image(tag="base")
    victim = bench.in_another_terminal()
    with pytest.raises(Crashed):
        victim.run("probe", "echo", "up", ",", "sleep", "9", screen=Screen(lambda data: bench.world.reboot()))
    bench.kernel = bench.program()
    assert needs(bench)["store"] is False
    bench.setup()
    assert set(needs(bench).values()) == {True}
    assert bench.ps() == {"ps_42002": "dead"}
    assert bench.run("true").code == 0


def test_undo_is_refused_while_a_container_runs() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.add_image(tag="base")
    other = bench.in_another_terminal()
    refusals: list[str] = []

    def now(data: bytes) -> None:
        try:
            undo(other)
        except BockerError as error:
            refusals.append(error.message)

    assert bench.run("probe", "echo", "up", ",", "exit", "3", screen=Screen(now)).code == 3
    assert refusals == ["Container 'ps_42002' is running"]


def test_a_new_subnet_makes_a_new_bridge_where_there_are_no_containers() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.setup(subnet=parse_subnet("172.20.0.0/16"))
    assert str(bench.kernel.network.link("bridge0").addresses[0]) == "172.20.0.1/16"
    assert str(bench.kernel.firewall.masqueraded("bocker")) == "172.20.0.0/16"


def test_the_subnet_does_not_change_while_there_are_containers() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.add_image(tag="base")
    bench.run("true")
    with pytest.raises(BockerError, match="can not change"):
        bench.setup(subnet=parse_subnet("172.20.0.0/16"))
    assert str(bench.kernel.network.link("bridge0").addresses[0]) == "10.0.0.1/24"


def test_a_bridge_that_bocker_did_not_make_is_not_changed() -> None:
    bench = bare()
    bench.world.prepare(bench.settings)
    with pytest.raises(BockerError, match="bocker did not make it"):
        bench.setup(subnet=parse_subnet("172.20.0.0/16"))


def test_W13_a_store_on_another_file_system_is_said() -> None:
    bench = Bench(settings=Settings(store="/"), ready=False)
    with pytest.raises(HostNotReady, match="/ is a ext4 file system, not btrfs"):
        bench.setup()


def mount_tmpfs(bench: Bench, path: str) -> None:
    """Mount something of a person's own."""

    def mounted(state: State) -> State:
        state, filesystem = files.add_filesystem(files.make_directories(state, path), "tmpfs", path, Entry(DIRECTORY))
        return files.add_mount(state, MountRow(path, Place(filesystem.top, ""), "tmpfs", "tmpfs", ("rw",)))

    bench.world.change("test.mount", path, mounted)


def test_setup_says_what_to_do_where_another_file_system_is_mounted() -> None:
    """`bocker setup` itself is no help there: it is what refuses."""
    bench = bare()
    mount_tmpfs(bench, "/var/bocker")
    before = bench.world.dump()
    with pytest.raises(HostNotReady, match="/var/bocker is a tmpfs file system, not btrfs") as caught:
        bench.setup(size_bytes=SMALL)
    assert bench.world.dump() == before  # nor is a person's own file system restricted to root
    assert caught.value.hint == "unmount it, or choose another place with BOCKER_STORE"
    with pytest.raises(HostNotReady) as caught:
        bench.run("true")
    assert caught.value.hint == "unmount it, or choose another place with BOCKER_STORE"


def test_setup_says_what_to_do_where_a_link_has_the_bridges_name() -> None:
    bench = Bench(settings=Settings(bridge="lo"), ready=False)
    with pytest.raises(HostNotReady, match="lo is a loopback link, no bridge") as caught:
        bench.setup(size_bytes=SMALL)
    assert caught.value.hint == "delete that link, or choose another name with BOCKER_BRIDGE"


def test_setup_says_what_to_do_where_there_are_no_control_groups() -> None:
    with pytest.raises(HostNotReady) as caught:
        bare(cgroup_version=0).setup(size_bytes=SMALL)
    assert caught.value.hint == "mount them at /sys/fs/cgroup"


@pytest.mark.parametrize("place", ["state", "runtime", "store"])
def test_undo_leaves_a_directory_that_is_in_use_and_takes_back_the_rest(place: str) -> None:
    """A person's own mount point can't be deleted; that is no reason to keep the bridge."""
    bench = bare()
    path = getattr(bench.settings, place)
    if place != "store":
        mount_tmpfs(bench, path)
    before = on_the_host(bench)
    bench.setup(size_bytes=SMALL)
    if place == "store":
        bench.kernel.host.unmount(path)
        mount_tmpfs(bench, path)
    undo(bench, delete_data=True)
    mount = bench.kernel.host.mount_at(path)
    assert mount is not None
    assert mount.kind == "tmpfs"
    assert [line for line in new_on_the_host(bench, before) if path.lstrip("/") not in line] == []
    assert undo(bench, delete_data=True) == ()


def test_what_fails_while_the_host_is_set_up_is_said_and_not_that_it_is_not_set_up() -> None:
    """Other commands look at the store first, which is not there yet, or not any more."""
    bench = bare()
    bench.kernel.gate = RefuseOperation("host.mount_image", errno.EINVAL)
    with pytest.raises(OperationFailed, match=r"Setting the host up failed: .*\(host\.mount_image"):
        bench.setup(size_bytes=SMALL)
    bench.kernel.gate = Gate()
    bench.setup(size_bytes=SMALL)
    bench.kernel.gate = RefuseOperation("cgroups.remove_parent", errno.EBUSY)
    with pytest.raises(OperationFailed, match=r"Taking the set-up back failed: it is in use \(cgroups"):
        undo(bench)


def test_who_is_not_root_is_told_so() -> None:
    bench = bare(privileged=False)
    before = bench.world.dump()
    with pytest.raises(NotPrivileged):
        bench.setup()
    assert bench.world.dump() == before
    with pytest.raises(NotPrivileged):
        undo(bench)
    assert needs(bench)["root's rights"] is False


@pytest.mark.parametrize(("version", "enough"), [((5, 11), False), ((4, 19), False), ((5, 12), True), ((6, 1), True)])
def test_a_kernel_that_is_too_old_is_told_so_before_anything_is_made(version: tuple[int, int], enough: bool) -> None:
    bench = bare()
    bench.world.kernel_version = version
    assert needs(bench)["kernel"] is enough
    if enough:
        assert bench.setup()
        return
    before = bench.world.dump()
    with pytest.raises(HostNotReady, match=r"this is Linux \d+\.\d+, and bocker needs 5\.12 or newer"):
        bench.setup()
    assert bench.world.dump() == before


@pytest.mark.parametrize(
    ("need", "break_it"),
    [
        ("bridge", lambda kernel: kernel.network.set_up("bridge0", False)),
        ("bridge", lambda kernel: kernel.network.delete("bridge0")),
        ("forwarding", lambda kernel: kernel.host.write_sysctl("net.ipv4.ip_forward", "0")),
        ("masquerading", lambda kernel: kernel.firewall.remove("bocker")),
        ("interpreter", lambda kernel: kernel.host.unmount("/usr/bin/python3.11")),
        ("store", lambda kernel: kernel.host.unmount("/var/bocker")),
    ],
)
def test_W23_check_says_which_need_is_missing_and_setup_mends_it(need: str, break_it: object) -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    break_it(bench.kernel)  # type: ignore[operator]
    bench.kernel = bench.program()
    assert needs(bench)[need] is False
    bench.setup()
    assert set(needs(bench).values()) == {True}


@pytest.mark.parametrize("value", ["2", "-1"])
def test_forwarding_is_on_whatever_it_is_but_zero(value: str) -> None:
    bench = bare()
    bench.kernel.host.write_sysctl("net.ipv4.ip_forward", value)
    assert not [line for line in bench.setup(size_bytes=SMALL) if line.startswith("Set:")]
    assert needs(bench)["forwarding"]
    assert bench.kernel.host.read_sysctl("net.ipv4.ip_forward") == value


def test_check_changes_nothing() -> None:
    bench = bare()
    before = on_the_host(bench)
    needs(bench)
    assert on_the_host(bench) == before


def calls_of_a_setup() -> int:
    bench = bare()
    program = bench.kernel.pid
    bench.setup(size_bytes=SMALL)
    return sum(entry.call.program == program for entry in bench.world.journal)


def test_a_setup_makes_as_many_calls_as_are_tried() -> None:
    """It would be a sweep of nothing else."""
    assert calls_of_a_setup() == 32


@pytest.mark.parametrize("number", range(1, calls_of_a_setup() + 1))
@pytest.mark.parametrize("gate", [RefuseCall, DoButReportFailure, CrashAt])
def test_a_setup_that_fails_anywhere_is_taken_back_whole(gate: type[RefuseCall], number: int) -> None:
    bench = bare()
    before = on_the_host(bench)
    bench.kernel.gate = CrashAt(number) if gate is CrashAt else gate(number, 5)
    try:
        bench.setup(size_bytes=SMALL)
    except (BockerError, Crashed):
        pass
    bench.kernel = bench.program()
    undo(bench, delete_data=True)
    after = on_the_host(bench)
    assert new_on_the_host(bench, before) == []
    assert not [line for line in before if line not in after]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"bridge": 5}', b"\xff"])
@pytest.mark.parametrize("act", [Bench.setup, undo])
def test_a_record_that_can_not_be_read_is_said(act: Callable[[Bench], object], data: bytes) -> None:
    bench = bare()
    bench.setup()
    bench.kernel.state.write(setup.KEY, data)
    before = on_the_host(bench)
    with pytest.raises(BockerError, match="record of what setup changed is damaged") as raised:
        act(bench)
    assert f"delete {bench.settings.state}/host/setup" in str(raised.value.hint)
    assert on_the_host(bench) == before

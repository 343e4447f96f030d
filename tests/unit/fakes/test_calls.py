"""What the journal has of a call: faults are chosen by it, and a failing test shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bocker.core.addresses import parse_interface, parse_subnet
from bocker.core.limits import Limits
from bocker.fakes import Call, FakeKernel, JournalEntry, World
from bocker.fakes.errors import Crashed
from bocker.fakes.faults import CrashAt
from bocker.kernel.archives import Bounds
from bocker.kernel.errors import KernelError
from tests.contracts.layers import archive, file
from tests.contracts.specs import Containers, finish
from tests.contracts.subjects import REFUSED
from tests.unit.fake_lab import FakeStage

if TYPE_CHECKING:
    from collections.abc import Callable

MAC = "02:42:ac:11:00:02"
STORE = "/var/bocker"
DIGEST = "0" * 64


@pytest.mark.parametrize(("operation", "call", "subject"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_refused_call_is_written_down(
    world: World, kernel: FakeKernel, operation: str, call: Callable[[FakeKernel], object], subject: str
) -> None:
    with pytest.raises(KernelError) as caught:
        call(kernel)
    outcome = f"{type(caught.value).__name__} {caught.value.errno_name}"
    assert world.journal[-1] == JournalEntry(Call(kernel.pid, operation, subject), outcome)


DONE: list[tuple[str, str, Callable[[FakeKernel], object]]] = [
    ("storage.create", "img_1", lambda kernel: kernel.storage.create("img_1")),
    ("storage.snapshot", "ps_1", lambda kernel: kernel.storage.snapshot("img_1", "ps_1", True)),
    ("storage.publish", "ps_2", lambda kernel: kernel.storage.publish("ps_1", "ps_2")),
    ("storage.exchange", "ps_2", lambda kernel: kernel.storage.exchange("img_1", "ps_2")),
    ("storage.exchange", "img_1", lambda kernel: kernel.storage.exchange("ps_2", "img_1")),
    ("storage.describe", "ps_2", lambda kernel: kernel.storage.describe("ps_2")),
    ("storage.names", "", lambda kernel: kernel.storage.names()),
    ("storage.nested", "img_1", lambda kernel: kernel.storage.nested("img_1")),
    ("storage.size_bytes", "img_1", lambda kernel: kernel.storage.size_bytes("img_1")),
    ("storage.sync", "", lambda kernel: kernel.storage.sync()),
    ("archives.pack", f"{STORE}/ps_2", lambda kernel: kernel.archives.pack(f"{STORE}/ps_2", None, "/tmp/packed")),
    (
        "archives.unpack",
        "/tmp/packed",
        lambda kernel: kernel.archives.unpack("/tmp/packed", f"{STORE}/img_1", Bounds()),
    ),
    ("archives.bundle", "/tmp/bundle", lambda kernel: kernel.archives.bundle((("a", b"x"),), "/tmp/bundle")),
    ("archives.spill", "/tmp/bundle", lambda kernel: kernel.archives.spill("/tmp/bundle", "/tmp/spilled", Bounds())),
    ("storage.delete", "ps_2", lambda kernel: kernel.storage.delete("ps_2")),
    *(
        row
        for port in ("records", "state")
        for row in (
            (f"{port}.claim", "a/b", lambda kernel, port=port: getattr(kernel, port).claim("a/b", b"")),
            (f"{port}.write", "a/b", lambda kernel, port=port: getattr(kernel, port).write("a/b", b"", durable=True)),
            (f"{port}.append", "a/b", lambda kernel, port=port: getattr(kernel, port).append("a/b", b"")),
            (f"{port}.read", "a/b", lambda kernel, port=port: getattr(kernel, port).read("a/b")),
            (f"{port}.list", "a", lambda kernel, port=port: getattr(kernel, port).list("a")),
            (f"{port}.remove", "a/b", lambda kernel, port=port: getattr(kernel, port).remove("a/b")),
            (f"{port}.lock", "name", lambda kernel, port=port: getattr(kernel, port).lock("name")),
        )
    ),
    ("namespaces.create", "one", lambda kernel: kernel.namespaces.create("one")),
    ("namespaces.link", "two", lambda kernel: kernel.namespaces.link("two", kernel.pid)),
    ("namespaces.names", "", lambda kernel: kernel.namespaces.names()),
    ("network.create_bridge", "bridge1", lambda kernel: kernel.network.create_bridge("bridge1", MAC)),
    ("network.create_veth", "here", lambda kernel: kernel.network.create_veth("here", "there", MAC, "bridge1", "one")),
    ("network.set_up", "there", lambda kernel: kernel.network.set_up("there", True, "one")),
    (
        "network.add_address",
        "there",
        lambda kernel: kernel.network.add_address("there", parse_interface("192.0.2.5/24"), "one"),
    ),
    (
        "network.add_default_route",
        "one",
        lambda kernel: kernel.network.add_default_route(parse_interface("192.0.2.1/24").address, "one"),
    ),
    ("network.default_route", "one", lambda kernel: kernel.network.default_route("one")),
    ("network.default_route", "", lambda kernel: kernel.network.default_route()),
    ("network.links", "one", lambda kernel: kernel.network.links("one")),
    ("network.links", "", lambda kernel: kernel.network.links()),
    ("network.link", "here", lambda kernel: kernel.network.link("here")),
    ("network.move", "here", lambda kernel: kernel.network.move("here", "one")),
    ("network.delete", "there", lambda kernel: kernel.network.delete("there", "one")),
    ("namespaces.remove", "one", lambda kernel: kernel.namespaces.remove("one")),
    (
        "firewall.ensure_masquerade",
        "t",
        lambda kernel: kernel.firewall.ensure_masquerade("t", parse_subnet("192.0.2.0/24"), "bridge1"),
    ),
    ("firewall.masqueraded", "t", lambda kernel: kernel.firewall.masqueraded("t")),
    ("firewall.tables", "", lambda kernel: kernel.firewall.tables()),
    ("firewall.remove", "t", lambda kernel: kernel.firewall.remove("t")),
    ("cgroups.layout", "", lambda kernel: kernel.cgroups.layout()),
    ("cgroups.create", "ps_1", lambda kernel: kernel.cgroups.create("ps_1")),
    ("cgroups.limit", "ps_1", lambda kernel: kernel.cgroups.limit("ps_1", Limits())),
    ("cgroups.members", "ps_1", lambda kernel: kernel.cgroups.members("ps_1")),
    ("cgroups.usage", "ps_1", lambda kernel: kernel.cgroups.usage("ps_1")),
    ("cgroups.names", "", lambda kernel: kernel.cgroups.names()),
    ("cgroups.remove", "ps_1", lambda kernel: kernel.cgroups.remove("ps_1")),
    ("cgroups.remove_parent", "bocker", lambda kernel: kernel.cgroups.remove_parent()),
    ("host.facts", "", lambda kernel: kernel.host.facts()),
    ("host.mount_at", "/none", lambda kernel: kernel.host.mount_at("/none")),
    ("host.make_filesystem", "/tmp/image", lambda kernel: kernel.host.make_filesystem("/tmp/image", 1 << 30)),
    ("host.mount_image", "/tmp/mnt", lambda kernel: kernel.host.mount_image("/tmp/image", "/tmp/mnt")),
    ("host.restrict", "/tmp/mnt", lambda kernel: kernel.host.restrict("/tmp/mnt")),
    ("host.copy_tree", "/tmp/mnt", lambda kernel: kernel.host.copy_tree("/usr", "/tmp/mnt")),
    ("host.unmount", "/tmp/mnt", lambda kernel: kernel.host.unmount("/tmp/mnt")),
    ("host.protect", "/tmp/file", lambda kernel: kernel.host.protect("/etc/resolv.conf", "/tmp/file")),
    ("host.delete", "/tmp/image", lambda kernel: kernel.host.delete("/tmp/image")),
    ("host.read", "/etc/resolv.conf", lambda kernel: kernel.host.read("/etc/resolv.conf")),
    ("host.read_sysctl", "net.ipv4.ip_forward", lambda kernel: kernel.host.read_sysctl("net.ipv4.ip_forward")),
    ("host.write_sysctl", "net.ipv4.ip_forward", lambda kernel: kernel.host.write_sysctl("net.ipv4.ip_forward", "1")),
    ("blobs.path", DIGEST, lambda kernel: kernel.blobs.path(DIGEST)),
    ("blobs.add", DIGEST, lambda kernel: kernel.blobs.add(DIGEST, b"")),
    ("blobs.read", DIGEST, lambda kernel: kernel.blobs.read(DIGEST)),
    ("blobs.has", DIGEST, lambda kernel: kernel.blobs.has(DIGEST)),
    ("blobs.list", f"{STORE}/.meta/blobs", lambda kernel: kernel.blobs.list()),
    ("blobs.drafts", f"{STORE}/.meta/drafts", lambda kernel: kernel.blobs.drafts()),
    ("blobs.draft", "name", lambda kernel: kernel.blobs.draft("name")),
    ("blobs.discard", "name", lambda kernel: kernel.blobs.discard("name")),
    ("blobs.remove", DIGEST, lambda kernel: kernel.blobs.remove(DIGEST)),
    ("accounts.update", "/tmp/person", lambda kernel: kernel.accounts.update("/tmp/person", lambda data: data + b"x")),
    ("accounts.read", "/tmp/person", lambda kernel: kernel.accounts.read("/tmp/person")),
    ("processes.myself", "", lambda kernel: kernel.processes.myself()),
    ("http.prepare", "", lambda kernel: kernel.http.prepare()),
    ("http.wait", "", lambda kernel: kernel.http.wait(0.0)),
    ("http.cancel", "7", lambda kernel: kernel.http.cancel(7)),
    ("ambient.now_ns", "", lambda kernel: kernel.ambient.now_ns()),
    ("ambient.boot_id", "", lambda kernel: kernel.ambient.boot_id()),
]


def test_calls_are_written_down_in_their_order(world: World, kernel: FakeKernel) -> None:
    """Each with whose it is, what it is and what it is about."""
    world.write_file("/tmp/file", archive(file(b"x")))
    for operation, subject, call in DONE:
        before = len(world.journal)
        call(kernel)
        assert world.journal[before:] == [JournalEntry(Call(kernel.pid, operation, subject), "ok")]


def test_a_sleep_is_written_down_with_how_long(world: World, kernel: FakeKernel) -> None:
    kernel.ambient.sleep(0.5)
    assert JournalEntry(Call(kernel.pid, "ambient.sleep", "0.5"), "ok") in world.journal


def test_calls_of_a_child_are_about_its_number_or_its_name(world: World, kernel: FakeKernel) -> None:
    containers = Containers(kernel, kernel.settings, FakeStage(world, kernel))
    begun = len(world.journal)
    first = containers.start("trap", "15", "0", ",", "sleep", "60")
    member = containers.execute(first, "exit", "0")
    kernel.processes.alive(first.identity)
    kernel.processes.close_output(member, 1)
    finish(kernel, member)
    kernel.processes.signal(first.identity, 15)
    kernel.processes.discard(first)
    one, two = str(first.identity.pid), str(member.identity.pid)
    calls = [entry.call for entry in world.journal[begun:] if entry.call.operation.startswith("processes.")]
    assert [(call.operation.partition(".")[2], call.subject) for call in calls] == [
        ("create", "ps_42002"),
        ("release", "ps_42002"),
        ("enter", "ps_42002"),
        ("release", "ps_42002"),
        ("alive", one),
        ("close_output", two),
        ("next_event", two),
        ("signal", one),
        ("discard", one),
    ]


def test_a_group_is_told_by_its_name_when_a_process_joins(world: World, kernel: FakeKernel) -> None:
    kernel.cgroups.create("ps_1")
    kernel.cgroups.add("ps_1", kernel.pid)
    assert world.journal[-1].call == Call(kernel.pid, "cgroups.add", "ps_1")


def test_a_draft_that_is_kept_is_told_by_its_name(world: World, kernel: FakeKernel) -> None:
    world.write_file(kernel.blobs.draft("name"), b"x")
    kernel.blobs.keep("name", DIGEST)
    assert world.journal[-1].call == Call(kernel.pid, "blobs.keep", "name")


def test_a_crash_is_written_down(world: World, kernel: FakeKernel) -> None:
    """And the end of the program after it."""
    kernel.gate = CrashAt(1)
    with pytest.raises(Crashed):
        kernel.storage.names()
    assert world.journal[-2:] == [
        JournalEntry(Call(kernel.pid, "storage.names", ""), "crashed"),
        JournalEntry(Call(0, "world.kill_program", str(kernel.pid)), "ok"),
    ]


HANDS: list[tuple[str, str, Callable[[World], object]]] = [
    ("world.start_program", "", lambda world: world.kernel()),
    ("world.prepare", STORE, lambda world: world.prepare()),
    ("world.pass_time", "", lambda world: world.wait(world.state.clock_ns + 1)),
    ("world.interrupt", "2", lambda world: world.interrupt(world.kernels[0], 2)),
    ("world.sync", "", lambda world: world.sync()),
    ("world.standard_input", "", lambda world: setattr(world, "standard_input", b"x")),
    ("world.add_files", "/tmp", lambda world: world.add_files("/tmp", {})),
    ("world.write_file", "/tmp/file", lambda world: world.write_file("/tmp/file", b"")),
    ("world.remove", "/tmp/file", lambda world: world.remove("/tmp/file")),
    ("world.set_free_bytes", "/tmp", lambda world: world.set_free_bytes("/tmp", None)),
    ("world.add_table", "other", lambda world: world.add_table("other")),
    ("world.add_group_part", "ps_1", lambda world: world.add_group_part("bocker", "ps_1", "cpu")),
    ("world.kill_program", "301", lambda world: world.kill_program(world.kernels[0])),
    ("world.reboot", "", lambda world: world.reboot()),
]


def test_what_a_tests_hands_do_is_written_down(kernel: FakeKernel) -> None:
    """As nobody's."""
    world = World()
    for operation, subject, act in HANDS:
        act(world)
        assert world.journal[-1] == JournalEntry(Call(0, operation, subject), "ok")
    world.lose_power()
    assert [entry.call.operation for entry in world.journal[-2:]] == ["world.lose_power", "world.reboot"]


def test_a_table_of_somebody_elses_is_no_masquerade(world: World, kernel: FakeKernel) -> None:
    world.add_table("other")
    assert kernel.firewall.tables() == ("bocker", "other")
    assert kernel.firewall.masqueraded("other") is None


def test_what_is_planned_for_one_instant_happens_in_the_order_of_the_plan(world: World) -> None:
    seen: list[str] = []
    for name in ("one", "two", "three"):
        world.schedule(1.0, lambda name=name: seen.append(name))
    world.schedule(0.5, lambda: seen.append("first"))
    world.sleep(2)
    assert seen == ["first", "one", "two", "three"]

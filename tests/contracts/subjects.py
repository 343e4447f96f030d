"""What an error says of itself: the operation, and what that was about. People read it (`engine.failures`), and a fault
is chosen by it, so both kernels have to say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bocker.core.addresses import parse_address, parse_interface, parse_subnet
from bocker.core.limits import Limits
from bocker.core.model import ProcessIdentity
from bocker.core.spec import ExecSpec
from bocker.kernel.archives import Bounds
from bocker.kernel.errors import KernelError, StepFailed
from tests.contracts.lab import MISSING, NO_GROUPS, NO_RIGHTS
from tests.contracts.specs import Containers, WithContainers, finish, program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

MAC = "02:42:ac:11:00:02"
DIGEST = "0" * 64
NOBODY = ProcessIdentity("none", 1, 1)
ADDRESS, SUBNET = parse_interface("192.0.2.5/24"), parse_subnet("192.0.2.0/24")

# By operation: a call that is refused, and its subject.
REFUSED: list[tuple[str, Callable[[Kernel], object], str]] = [
    ("storage.create", lambda kernel: kernel.storage.create("a/b"), "a/b"),
    ("storage.snapshot", lambda kernel: kernel.storage.snapshot("none", "target"), "target"),
    ("storage.delete", lambda kernel: kernel.storage.delete("none"), "none"),
    ("storage.publish", lambda kernel: kernel.storage.publish("none", "target"), "target"),
    ("storage.exchange", lambda kernel: kernel.storage.exchange("none", "target"), "target"),
    ("storage.describe", lambda kernel: kernel.storage.describe("none"), "none"),
    ("storage.nested", lambda kernel: kernel.storage.nested("none"), "none"),
    ("storage.size_bytes", lambda kernel: kernel.storage.size_bytes("none"), "none"),
    ("records.claim", lambda kernel: kernel.records.claim("bad", b""), "bad"),
    ("records.write", lambda kernel: kernel.records.write("bad", b""), "bad"),
    ("records.append", lambda kernel: kernel.records.append("bad", b""), "bad"),
    ("records.read", lambda kernel: kernel.records.read("a/none"), "a/none"),
    ("records.remove", lambda kernel: kernel.records.remove("a/none"), "a/none"),
    ("records.list", lambda kernel: kernel.records.list("a/b"), "a/b"),
    ("records.lock", lambda kernel: kernel.records.lock("a/b"), "a/b"),
    ("state.claim", lambda kernel: kernel.state.claim("bad", b""), "bad"),
    ("state.write", lambda kernel: kernel.state.write("bad", b""), "bad"),
    ("state.append", lambda kernel: kernel.state.append("bad", b""), "bad"),
    ("state.read", lambda kernel: kernel.state.read("a/none"), "a/none"),
    ("state.remove", lambda kernel: kernel.state.remove("a/none"), "a/none"),
    ("state.list", lambda kernel: kernel.state.list("a/b"), "a/b"),
    ("state.lock", lambda kernel: kernel.state.lock("a/b"), "a/b"),
    ("network.create_bridge", lambda kernel: kernel.network.create_bridge("a/b", MAC), "a/b"),
    ("network.create_veth", lambda kernel: kernel.network.create_veth("one", "two", MAC, "none"), "one"),
    ("network.delete", lambda kernel: kernel.network.delete("none"), "none"),
    ("network.set_up", lambda kernel: kernel.network.set_up("none", True), "none"),
    ("network.move", lambda kernel: kernel.network.move("none", "elsewhere"), "none"),
    ("network.add_address", lambda kernel: kernel.network.add_address("none", ADDRESS), "none"),
    ("network.add_default_route", lambda kernel: kernel.network.add_default_route(parse_address("192.0.2.9")), ""),
    ("network.add_default_route", lambda kernel: kernel.network.add_default_route(1, "none"), "none"),
    ("network.default_route", lambda kernel: kernel.network.default_route("none"), "none"),
    ("network.links", lambda kernel: kernel.network.links("none"), "none"),
    ("network.link", lambda kernel: kernel.network.link("none"), "none"),
    ("namespaces.create", lambda kernel: kernel.namespaces.create("a/b"), "a/b"),
    ("namespaces.link", lambda kernel: kernel.namespaces.link("name", 1 << 22), "name"),
    ("namespaces.remove", lambda kernel: kernel.namespaces.remove("none"), "none"),
    ("firewall.ensure_masquerade", lambda kernel: kernel.firewall.ensure_masquerade("a b", SUBNET, "none"), "a b"),
    ("firewall.masqueraded", lambda kernel: kernel.firewall.masqueraded("a b"), "a b"),
    ("firewall.remove", lambda kernel: kernel.firewall.remove("a b"), "a b"),
    ("cgroups.create", lambda kernel: kernel.cgroups.create("a/b"), "a/b"),
    ("cgroups.limit", lambda kernel: kernel.cgroups.limit("none", Limits()), "none"),
    ("cgroups.add", lambda kernel: kernel.cgroups.add("none", 1), "none"),
    ("cgroups.members", lambda kernel: kernel.cgroups.members("none"), "none"),
    ("cgroups.usage", lambda kernel: kernel.cgroups.usage("none"), "none"),
    ("cgroups.remove", lambda kernel: kernel.cgroups.remove("none"), "none"),
    ("processes.enter", lambda kernel: kernel.processes.enter(NOBODY, ExecSpec("name", "group", program())), "name"),
    ("processes.signal", lambda kernel: kernel.processes.signal(NOBODY, 15), "1"),
    ("host.make_filesystem", lambda kernel: kernel.host.make_filesystem("/etc", 1), "/etc"),
    ("host.mount_image", lambda kernel: kernel.host.mount_image("/none", "/target"), "/target"),
    ("host.restrict", lambda kernel: kernel.host.restrict("/none"), "/none"),
    ("host.protect", lambda kernel: kernel.host.protect("/none", "/target"), "/target"),
    ("host.unmount", lambda kernel: kernel.host.unmount("/none"), "/none"),
    ("host.delete", lambda kernel: kernel.host.delete("/none"), "/none"),
    ("host.copy_tree", lambda kernel: kernel.host.copy_tree("/none", "/target"), "/target"),
    ("host.read", lambda kernel: kernel.host.read("/none"), "/none"),
    ("host.read_sysctl", lambda kernel: kernel.host.read_sysctl("net.none"), "net.none"),
    ("host.write_sysctl", lambda kernel: kernel.host.write_sysctl("net.none", "1"), "net.none"),
    ("archives.unpack", lambda kernel: kernel.archives.unpack("/none", "/target", Bounds()), "/none"),
    ("archives.pack", lambda kernel: kernel.archives.pack("/none", None, "/archive"), "/none"),
    ("archives.spill", lambda kernel: kernel.archives.spill("/none", "/target", Bounds()), "/none"),
    ("archives.bundle", lambda kernel: kernel.archives.bundle((("name", "/none"),), "/archive"), "/archive"),
    ("blobs.path", lambda kernel: kernel.blobs.path("bad"), "bad"),
    ("blobs.draft", lambda kernel: kernel.blobs.draft("a/b"), "a/b"),
    ("blobs.keep", lambda kernel: kernel.blobs.keep("none", DIGEST), "none"),
    ("blobs.add", lambda kernel: kernel.blobs.add("bad", b""), "bad"),
    ("blobs.read", lambda kernel: kernel.blobs.read(DIGEST), DIGEST),
    ("blobs.has", lambda kernel: kernel.blobs.has("bad"), "bad"),
    ("blobs.remove", lambda kernel: kernel.blobs.remove(DIGEST), DIGEST),
    ("blobs.discard", lambda kernel: kernel.blobs.discard("a/b"), "a/b"),
    ("accounts.read", lambda kernel: kernel.accounts.read("/none"), "/none"),
    ("accounts.update", lambda kernel: kernel.accounts.update("/etc", lambda data: data), "/etc"),
    ("accounts.ask", lambda kernel: kernel.accounts.ask("no-such-helper", "get", b""), "no-such-helper"),
]
# By operation and condition: a call about nothing that has a name
NAMELESS: list[tuple[str, str, Callable[[Kernel], object]]] = [
    ("storage.names", MISSING, lambda kernel: kernel.storage.names()),
    ("storage.sync", MISSING, lambda kernel: kernel.storage.sync()),
    ("cgroups.layout", NO_GROUPS, lambda kernel: kernel.cgroups.layout()),
    ("cgroups.names", NO_GROUPS, lambda kernel: kernel.cgroups.names()),
    ("firewall.tables", NO_RIGHTS, lambda kernel: kernel.firewall.tables()),
]


class SubjectsContract(WithContainers):
    @pytest.mark.parametrize(("operation", "call", "subject"), REFUSED, ids=[row[0] for row in REFUSED])
    def test_a_refusal_says_what_was_asked_and_of_what(
        self, kernel: Kernel, operation: str, call: Callable[[Kernel], object], subject: str
    ) -> None:
        """In the words of the one who asked."""
        with pytest.raises(KernelError) as caught:
            call(kernel)
        assert (caught.value.operation, caught.value.subject) == (operation, subject)

    @pytest.mark.parametrize(("operation", "condition", "call"), NAMELESS, ids=[row[0] for row in NAMELESS])
    def test_a_refusal_about_everything_has_no_subject(
        self, lab: Lab, operation: str, condition: str, call: Callable[[Kernel], object]
    ) -> None:
        """Empty."""
        with pytest.raises(KernelError) as caught:
            call(lab.kernel(condition))
        assert (caught.value.operation, caught.value.subject) == (operation, "")

    def test_the_parent_of_all_groups_is_told_by_its_name(self, kernel: Kernel, settings: Settings) -> None:
        """As the settings have it."""
        kernel.cgroups.create("ps_1")
        with pytest.raises(KernelError) as caught:
            kernel.cgroups.remove_parent()
        assert (caught.value.operation, caught.value.subject) == ("cgroups.remove_parent", settings.cgroup_parent)

    def test_a_child_is_told_by_the_name_of_its_plan(self, kernel: Kernel, containers: Containers) -> None:
        """And by its number when it is gone."""
        spec = containers.spec(hostname="h" * 65)
        process = containers.create(spec)
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.operation, caught.value.subject) == ("processes.release", spec.name)
        ended = containers.start("exit", "0")
        finish(kernel, ended)
        calls: list[tuple[str, tuple[int, ...]]] = [("release", ()), ("next_event", ()), ("close_output", (1,))]
        for method, arguments in calls:
            with pytest.raises(KernelError) as gone:
                getattr(kernel.processes, method)(ended, *arguments)
            assert (gone.value.operation, gone.value.subject) == (f"processes.{method}", str(ended.identity.pid))

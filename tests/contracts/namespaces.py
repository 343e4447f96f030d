from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.kernel.errors import AlreadyExists, Invalid, Missing
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

NO_PID = 0
BAD_NAMES = ["", ".", "..", "a/b", "../a", "/a", "a\0b"]
MAC = "02:42:ac:11:00:02"
BRIDGE_MAC = "02:42:ac:11:00:01"


def link_names(kernel: Kernel, namespace: str | None = None) -> list[str]:
    """Return the names of all links."""
    return [link.name for link in kernel.network.links(namespace)]


def wait_until_gone(kernel: Kernel, link: str) -> None:
    """Wait until the host has no link of that name."""
    for _ in range(500):
        if link not in link_names(kernel):
            return
        kernel.ambient.sleep(0.01)
    pytest.fail(f"{link} stays")


class NamespacesContract:
    def test_a_new_namespace_is_listed_and_has_a_loopback_that_is_down(self, kernel: Kernel) -> None:
        """And nothing else is in it."""
        kernel.namespaces.create("netns_1")
        assert kernel.namespaces.names() == ("netns_1",)
        (loopback,) = kernel.network.links("netns_1")
        assert (loopback.name, loopback.kind, loopback.up, loopback.addresses) == ("lo", "loopback", False, ())
        assert loopback.mac == "00:00:00:00:00:00"

    def test_names_are_sorted(self, kernel: Kernel) -> None:
        """Names of both kinds, together."""
        kernel.namespaces.create("netns_3")
        kernel.namespaces.create("netns_1")
        kernel.namespaces.link("netns_2", kernel.processes.myself().pid)
        assert kernel.namespaces.names() == ("netns_1", "netns_2", "netns_3")

    def test_without_any_there_are_no_names(self, kernel: Kernel) -> None:
        """An empty folder, or none, is no error."""
        assert kernel.namespaces.names() == ()

    def test_a_name_that_is_taken_is_refused(self, kernel: Kernel) -> None:
        """By either kind, for either kind; what was there stays."""
        me = kernel.processes.myself().pid
        kernel.namespaces.create("netns_1")
        kernel.namespaces.link("netns_2", me)
        for name in ("netns_1", "netns_2"):
            with refused(AlreadyExists, errno.EEXIST):
                kernel.namespaces.create(name)
            with refused(AlreadyExists, errno.EEXIST):
                kernel.namespaces.link(name, me)
        assert len(kernel.network.links("netns_1")) == 1
        assert link_names(kernel, "netns_2") == link_names(kernel)

    def test_a_removed_name_is_free_again(self, kernel: Kernel) -> None:
        """At once, though the namespace itself may take its time."""
        kernel.namespaces.create("netns_1")
        kernel.namespaces.remove("netns_1")
        assert kernel.namespaces.names() == ()
        kernel.namespaces.create("netns_1")

    def test_removing_what_is_not_there_is_missing(self, kernel: Kernel) -> None:
        """ENOENT."""
        with refused(Missing, errno.ENOENT):
            kernel.namespaces.remove("netns_1")

    def test_the_links_of_a_removed_namespace_go_some_time_later(self, kernel: Kernel) -> None:
        """The host's end of a pair is seen gone in the end; until then its name may be taken."""
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        kernel.namespaces.create("netns_1")
        kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge", "netns_1")
        kernel.namespaces.remove("netns_1")
        wait_until_gone(kernel, "ct_host")

    def test_the_links_of_a_removed_namespace_stay_while_a_process_holds_it(self, kernel: Kernel, lab: Lab) -> None:
        """The name goes; the links go after the process."""
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        kernel.namespaces.create("netns_1")
        kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge", "netns_1")
        pid = lab.spawn_in("netns_1")
        kernel.namespaces.remove("netns_1")
        kernel.ambient.sleep(0.2)
        assert kernel.namespaces.names() == ()
        assert "ct_host" in link_names(kernel)
        lab.kill(pid)
        wait_until_gone(kernel, "ct_host")

    def test_a_name_holds_its_namespace_when_its_processes_ended(self, kernel: Kernel, lab: Lab) -> None:
        """And holds no other one."""
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        for number in (1, 2):
            kernel.namespaces.create(f"netns_{number}")
            kernel.network.create_veth(f"ct_host{number}", "ct_peer", MAC, "ct_bridge", f"netns_{number}")
        for number in (1, 2):
            lab.kill(lab.spawn_in(f"netns_{number}"))
        kernel.namespaces.remove("netns_2")
        wait_until_gone(kernel, "ct_host2")
        assert "ct_peer" in link_names(kernel, "netns_1")
        assert kernel.network.link("ct_host1").master == "ct_bridge"

    def test_a_link_leads_to_the_namespace_of_a_process(self, kernel: Kernel, lab: Lab) -> None:
        """What is seen through either name is the same."""
        kernel.namespaces.create("netns_1")
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge", "netns_1")
        kernel.namespaces.link("netns_2", lab.spawn_in("netns_1"))
        assert kernel.network.links("netns_2") == kernel.network.links("netns_1")

    def test_a_link_keeps_nothing_alive(self, kernel: Kernel, lab: Lab) -> None:
        """The process is gone: the namespace and its links go, the name is listed and leads nowhere."""
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        kernel.namespaces.create("netns_1")
        kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge", "netns_1")
        pid = lab.spawn_in("netns_1")
        kernel.namespaces.link("netns_2", pid)
        kernel.namespaces.remove("netns_1")
        lab.kill(pid)
        wait_until_gone(kernel, "ct_host")
        assert kernel.namespaces.names() == ("netns_2",)
        with refused(Missing, errno.ENOENT):
            kernel.network.links("netns_2")
        kernel.namespaces.remove("netns_2")
        assert kernel.namespaces.names() == ()

    def test_a_link_to_no_process_is_missing(self, kernel: Kernel) -> None:
        """ENOENT, and there is no such name afterwards."""
        with refused(Missing, errno.ENOENT):
            kernel.namespaces.link("netns_1", NO_PID)
        assert kernel.namespaces.names() == ()

    def test_a_link_to_no_process_is_missing_whatever_its_name(self, kernel: Kernel) -> None:
        """The process is looked at before the name is found taken."""
        kernel.namespaces.create("netns_1")
        with refused(Missing, errno.ENOENT):
            kernel.namespaces.link("netns_1", NO_PID)

    def test_a_link_to_a_zombie_is_missing(self, kernel: Kernel, lab: Lab) -> None:
        """A process that ended has left its namespaces, though its number is still taken."""
        pid = lab.spawn()
        lab.kill_unreaped(pid)
        with refused(Missing, errno.ENOENT):
            kernel.namespaces.link("netns_1", pid)

    def test_removing_a_link_leaves_the_namespace_alone(self, kernel: Kernel, lab: Lab) -> None:
        """The process goes on in it."""
        kernel.namespaces.create("netns_1")
        kernel.namespaces.link("netns_2", lab.spawn_in("netns_1"))
        kernel.namespaces.remove("netns_2")
        assert kernel.namespaces.names() == ("netns_1",)
        assert link_names(kernel, "netns_1") == ["lo"]

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_a_name_is_one_component_of_a_path(self, kernel: Kernel, name: str) -> None:
        """EINVAL from every method that takes one."""
        with refused(Invalid, errno.EINVAL):
            kernel.namespaces.create(name)
        with refused(Invalid, errno.EINVAL):
            kernel.namespaces.link(name, kernel.processes.myself().pid)
        with refused(Invalid, errno.EINVAL):
            kernel.namespaces.remove(name)

    def test_a_name_has_255_bytes_at_most(self, kernel: Kernel) -> None:
        """It is a file's name."""
        kernel.namespaces.create("n" * 255)
        with refused(Invalid, errno.ENAMETOOLONG):
            kernel.namespaces.create("n" * 256)
        assert kernel.namespaces.names() == ("n" * 255,)

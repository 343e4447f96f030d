from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.core.addresses import parse_address, parse_interface
from bocker.kernel.errors import AlreadyExists, Invalid, Missing, Unreachable, Unsupported
from tests.contracts.namespaces import link_names
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.kernel import Kernel
    from bocker.kernel.network import Link

MAC = "02:42:ac:11:00:02"
OTHER_MAC = "02:42:ac:11:00:03"
BRIDGE_MAC = "02:42:ac:11:00:01"
BAD_MACS = ["00:00:00:00:00:00", "01:42:ac:11:00:02", "ff:ff:ff:ff:ff:ff"]
ADDRESS = parse_interface("192.0.2.5/24")
GATEWAY_ADDRESS = parse_interface("192.0.2.1/24")
GATEWAY = GATEWAY_ADDRESS.address
LONGEST_NAME = "n" * 15
BAD_NAMES = [("n" * 16, errno.ERANGE), ("é" * 8, errno.ERANGE)] + [
    (name, errno.EINVAL) for name in ("", ".", "..", "a/b", "a b", "a\tb", "a\nb", "a:b", "a%d", "a\0b")
]

# What each method does with a link's name, in the host and in a namespace.
NAMED: dict[str, Callable[[Kernel, str], object]] = {
    "create_bridge": lambda kernel, name: kernel.network.create_bridge(name, BRIDGE_MAC),
    "create_veth": lambda kernel, name: kernel.network.create_veth(name, "ct_peer", MAC, "ct_bridge"),
    "create_veth, peer": lambda kernel, name: kernel.network.create_veth("ct_host", name, MAC, "ct_bridge"),
    "create_veth, bridge": lambda kernel, name: kernel.network.create_veth("ct_host", "ct_peer", MAC, name),
    "delete": lambda kernel, name: kernel.network.delete(name),
    "set_up": lambda kernel, name: kernel.network.set_up(name, True),
    "move": lambda kernel, name: kernel.network.move(name, "netns_1"),
    "add_address": lambda kernel, name: kernel.network.add_address(name, ADDRESS),
    "link": lambda kernel, name: kernel.network.link(name),
}
LOOKING = ["create_veth, bridge", "delete", "set_up", "move", "add_address", "link"]
IN_NAMESPACE: dict[str, Callable[[Kernel, str], object]] = {
    "create_veth": lambda kernel, name: kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge", name),
    "delete": lambda kernel, name: kernel.network.delete("lo", name),
    "set_up": lambda kernel, name: kernel.network.set_up("lo", True, name),
    "move": lambda kernel, name: kernel.network.move("ct_bridge", name),
    "add_address": lambda kernel, name: kernel.network.add_address("lo", ADDRESS, name),
    "add_default_route": lambda kernel, name: kernel.network.add_default_route(GATEWAY, name),
    "default_route": lambda kernel, name: kernel.network.default_route(name),
    "links": lambda kernel, name: kernel.network.links(name),
}


def peer(kernel: Kernel, name: str = "ct_peer") -> Link:
    """Return a link of the namespace `netns_1`."""
    (found,) = (link for link in kernel.network.links("netns_1") if link.name == name)
    return found


def make_bridge(kernel: Kernel) -> None:
    """Make a bridge that is up, with the gateway's address."""
    kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
    kernel.network.add_address("ct_bridge", GATEWAY_ADDRESS)
    kernel.network.set_up("ct_bridge", True)


def make_pair(kernel: Kernel) -> None:
    """Make a bridge, a namespace, and a pair between them."""
    make_bridge(kernel)
    kernel.namespaces.create("netns_1")
    kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge", "netns_1")


def make_route(kernel: Kernel) -> None:
    """Make a pair whose inner end is up, with an address and a default route."""
    make_pair(kernel)
    kernel.network.add_address("ct_peer", ADDRESS, "netns_1")
    kernel.network.set_up("ct_peer", True, "netns_1")
    kernel.network.add_default_route(GATEWAY, "netns_1")


class BridgeContract:
    def test_a_bridge_is_made_down_with_its_mac(self, kernel: Kernel) -> None:
        """It has no address and no bridge of its own."""
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        link = kernel.network.link("ct_bridge")
        assert (link.kind, link.mac, link.up) == ("bridge", BRIDGE_MAC, False)
        assert (link.master, link.alias, link.addresses) == (None, None, ())

    def test_a_bridge_keeps_its_mac_as_links_come_and_go(self, kernel: Kernel) -> None:
        """A lower MAC than its own on one of its links would become its own, were it not set."""
        make_bridge(kernel)
        kernel.network.create_veth("ct_host", "ct_peer", "02:00:00:00:00:01", "ct_bridge")
        assert kernel.network.link("ct_bridge").mac == BRIDGE_MAC
        kernel.network.delete("ct_host")
        assert kernel.network.link("ct_bridge").mac == BRIDGE_MAC

    def test_a_bridge_whose_name_is_taken_is_refused(self, kernel: Kernel) -> None:
        """EEXIST, and the one that is there keeps its MAC."""
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        with refused(AlreadyExists, errno.EEXIST):
            kernel.network.create_bridge("ct_bridge", MAC)
        assert kernel.network.link("ct_bridge").mac == BRIDGE_MAC

    @pytest.mark.parametrize("mac", BAD_MACS)
    def test_a_bridge_with_an_impossible_mac_is_refused(self, kernel: Kernel, mac: str) -> None:
        """Multicast or zero: EADDRNOTAVAIL, and nothing is made."""
        with refused(Invalid, errno.EADDRNOTAVAIL):
            kernel.network.create_bridge("ct_bridge", mac)
        assert "ct_bridge" not in link_names(kernel)


class VethContract:
    def test_a_pair_is_made_in_one_step(self, kernel: Kernel) -> None:
        """The host's end is up and on the bridge, the other in the namespace, down, with its MAC."""
        make_pair(kernel)
        host, inside = kernel.network.link("ct_host"), peer(kernel)
        assert (host.kind, host.up, host.master, host.addresses) == ("veth", True, "ct_bridge", ())
        assert (inside.kind, inside.up, inside.master, inside.mac) == ("veth", False, None, MAC)
        assert "ct_peer" not in link_names(kernel)

    def test_a_pair_without_a_namespace_is_the_hosts(self, kernel: Kernel) -> None:
        """Both ends are there."""
        make_bridge(kernel)
        kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge")
        assert kernel.network.link("ct_peer").mac == MAC
        assert kernel.network.link("ct_peer").master is None
        assert not kernel.network.link("ct_peer").up

    @pytest.mark.parametrize(("name", "inner"), [("ct_host", "ct_new"), ("ct_new", "ct_peer")])
    def test_a_pair_with_a_name_that_is_taken_is_refused(self, kernel: Kernel, name: str, inner: str) -> None:
        """EEXIST for either end, and neither end is made."""
        make_pair(kernel)
        before = kernel.network.links(), kernel.network.links("netns_1")
        with refused(AlreadyExists, errno.EEXIST):
            kernel.network.create_veth(name, inner, OTHER_MAC, "ct_bridge", "netns_1")
        assert (kernel.network.links(), kernel.network.links("netns_1")) == before

    def test_the_two_names_may_be_equal_in_two_namespaces(self, kernel: Kernel) -> None:
        """A name is taken in one namespace only; on the host alone the two clash."""
        make_pair(kernel)
        kernel.network.create_veth("ct_same", "ct_same", OTHER_MAC, "ct_bridge", "netns_1")
        assert peer(kernel, "ct_same").mac == OTHER_MAC
        with refused(AlreadyExists, errno.EEXIST):
            kernel.network.create_veth("ct_both", "ct_both", OTHER_MAC, "ct_bridge")
        assert "ct_both" not in link_names(kernel)

    def test_an_impossible_mac_is_seen_before_a_bridge_that_is_there(self, kernel: Kernel) -> None:
        """As with a pair."""
        make_bridge(kernel)
        with refused(Invalid, errno.EADDRNOTAVAIL):
            kernel.network.create_bridge("ct_bridge", BAD_MACS[0])

    @pytest.mark.parametrize("mac", BAD_MACS)
    def test_a_pair_with_an_impossible_mac_is_refused(self, kernel: Kernel, mac: str) -> None:
        """Multicast or zero: EADDRNOTAVAIL, and nothing is made."""
        make_bridge(kernel)
        with refused(Invalid, errno.EADDRNOTAVAIL):
            kernel.network.create_veth("ct_host", "ct_peer", mac, "ct_bridge")
        assert not {"ct_host", "ct_peer"} & set(link_names(kernel))

    def test_an_impossible_mac_is_seen_before_a_name_that_is_taken(self, kernel: Kernel) -> None:
        """The message's parts are read before anything is looked up."""
        make_pair(kernel)
        with refused(Invalid, errno.EADDRNOTAVAIL):
            kernel.network.create_veth("ct_host", "ct_peer", BAD_MACS[0], "ct_bridge", "netns_1")

    def test_a_pair_without_a_bridge_is_refused(self, kernel: Kernel) -> None:
        """Missing, and nothing is made."""
        with refused(Missing, errno.ENODEV):
            kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge")
        assert not {"ct_host", "ct_peer"} & set(link_names(kernel))

    @pytest.mark.parametrize("master", ["lo", "ct_host"])
    def test_a_pair_on_what_is_no_bridge_is_refused(self, kernel: Kernel, master: str) -> None:
        """Unsupported, and nothing is made."""
        make_pair(kernel)
        before = kernel.network.links(), kernel.network.links("netns_1")
        with refused(Unsupported, errno.EOPNOTSUPP):
            kernel.network.create_veth("ct_new", "ct_other", OTHER_MAC, master, "netns_1")
        assert (kernel.network.links(), kernel.network.links("netns_1")) == before

    @pytest.mark.parametrize("end", ["host", "inside"])
    def test_deleting_one_end_deletes_both_at_once(self, kernel: Kernel, end: str) -> None:
        """When it returns, neither end is there."""
        make_pair(kernel)
        if end == "host":
            kernel.network.delete("ct_host")
        else:
            kernel.network.delete("ct_peer", "netns_1")
        assert "ct_host" not in link_names(kernel)
        assert link_names(kernel, "netns_1") == ["lo"]
        kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge", "netns_1")

    def test_deleting_the_bridge_leaves_its_links(self, kernel: Kernel) -> None:
        """They are on no bridge then."""
        make_pair(kernel)
        kernel.network.delete("ct_bridge")
        assert kernel.network.link("ct_host").master is None


class LinksContract:
    def test_a_name_has_15_bytes_at_most(self, kernel: Kernel) -> None:
        """As many are accepted."""
        kernel.network.create_bridge(LONGEST_NAME, BRIDGE_MAC)
        assert kernel.network.link(LONGEST_NAME).name == LONGEST_NAME

    @pytest.mark.parametrize(("name", "number"), BAD_NAMES)
    @pytest.mark.parametrize("method", NAMED)
    def test_an_impossible_name_is_refused(self, kernel: Kernel, method: str, name: str, number: int) -> None:
        """ERANGE for more than 15 bytes, EINVAL for the rest, also where a link is only looked for."""
        before = kernel.network.links()
        with refused(Invalid, number):
            NAMED[method](kernel, name)
        assert kernel.network.links() == before

    @pytest.mark.parametrize("method", LOOKING)
    def test_a_link_that_is_not_there_is_missing(self, kernel: Kernel, method: str) -> None:
        """ENODEV."""
        kernel.namespaces.create("netns_1")
        with refused(Missing, errno.ENODEV):
            NAMED[method](kernel, "ct_none")

    @pytest.mark.parametrize("method", IN_NAMESPACE)
    def test_a_namespace_that_is_not_there_is_missing(self, kernel: Kernel, method: str) -> None:
        """ENOENT, and nothing changes."""
        make_bridge(kernel)
        before = kernel.network.links()
        with refused(Missing, errno.ENOENT):
            IN_NAMESPACE[method](kernel, "netns_none")
        assert kernel.network.links() == before

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../netns_1"])
    @pytest.mark.parametrize("method", IN_NAMESPACE)
    def test_an_impossible_name_of_a_namespace_is_refused(self, kernel: Kernel, method: str, name: str) -> None:
        """EINVAL: it never becomes a path."""
        make_bridge(kernel)
        with refused(Invalid, errno.EINVAL):
            IN_NAMESPACE[method](kernel, name)

    @pytest.mark.parametrize("method", [name for name in IN_NAMESPACE if name != "create_veth"])
    def test_a_links_name_is_looked_at_before_the_namespace(self, kernel: Kernel, method: str) -> None:
        """Of two things that can't be, it is told."""
        calls: dict[str, Callable[[], object]] = {
            "delete": lambda: kernel.network.delete("a/b", "netns_none"),
            "set_up": lambda: kernel.network.set_up("a/b", True, "netns_none"),
            "move": lambda: kernel.network.move("a/b", "netns_none"),
            "add_address": lambda: kernel.network.add_address("a/b", ADDRESS, "netns_none"),
        }
        if method in calls:
            with refused(Invalid, errno.EINVAL):
                calls[method]()

    def test_links_that_stay_keep_their_bridge(self, kernel: Kernel) -> None:
        """When another one goes."""
        make_pair(kernel)
        kernel.network.create_veth("ct_second", "ct_other", OTHER_MAC, "ct_bridge")
        kernel.network.delete("ct_second")
        assert kernel.network.link("ct_host").master == "ct_bridge"

    def test_the_loopback_can_not_be_deleted(self, kernel: Kernel) -> None:
        """Unsupported, on the host and in a namespace."""
        kernel.namespaces.create("netns_1")
        for namespace in (None, "netns_1"):
            with refused(Unsupported, errno.EOPNOTSUPP):
                kernel.network.delete("lo", namespace)
            assert "lo" in link_names(kernel, namespace)

    def test_links_are_listed_in_the_order_they_were_made(self, kernel: Kernel) -> None:
        """That is the order of their indices; one asked for alone is the same."""
        make_pair(kernel)
        kernel.network.create_bridge("ct_a", BRIDGE_MAC)
        links = kernel.network.links()
        assert [link.index for link in links] == sorted(link.index for link in links)
        assert link_names(kernel)[-3:] == ["ct_bridge", "ct_host", "ct_a"]
        assert [kernel.network.link(link.name) for link in links] == list(links)

    def test_an_index_is_not_given_again_at_once(self, kernel: Kernel) -> None:
        """The next link has a later one, also when the last one has gone."""
        indices = []
        for name in ("ct_a", "ct_b", "ct_c"):
            kernel.network.create_bridge(name, BRIDGE_MAC)
            indices.append(kernel.network.link(name).index)
            kernel.network.delete(name)
        assert indices == sorted(set(indices))

    def test_up_and_down(self, kernel: Kernel) -> None:
        """Twice the same is no error."""
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        for up in (True, True, False, False):
            kernel.network.set_up("ct_bridge", up)
            assert kernel.network.link("ct_bridge").up is up


class MoveContract:
    def test_a_moved_link_keeps_only_its_mac(self, kernel: Kernel) -> None:
        """It loses its addresses, its bridge and being up."""
        make_bridge(kernel)
        kernel.namespaces.create("netns_1")
        kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge")
        kernel.network.add_address("ct_host", ADDRESS)
        mac = kernel.network.link("ct_host").mac
        kernel.network.move("ct_host", "netns_1")
        moved = peer(kernel, "ct_host")
        assert (moved.mac, moved.up, moved.master, moved.addresses) == (mac, False, None, ())
        assert "ct_host" not in link_names(kernel)

    def test_a_link_that_moves_to_where_it_is_stays_as_it_is(self, kernel: Kernel) -> None:
        """And is no other one of its name there, in the namespace of this program under another name."""
        make_pair(kernel)
        kernel.namespaces.link("netns_own", kernel.processes.myself().pid)
        before = kernel.network.links()
        kernel.network.move("ct_host", "netns_own")
        assert kernel.network.links() == before
        kernel.namespaces.remove("netns_own")

    def test_a_link_whose_name_is_taken_there_stays(self, kernel: Kernel) -> None:
        """EEXIST, and it is as it was."""
        make_pair(kernel)
        kernel.network.create_veth("ct_new", "ct_peer", OTHER_MAC, "ct_bridge")
        kernel.network.add_address("ct_peer", ADDRESS)
        before = kernel.network.link("ct_peer")
        with refused(AlreadyExists, errno.EEXIST):
            kernel.network.move("ct_peer", "netns_1")
        assert kernel.network.link("ct_peer") == before

    @pytest.mark.parametrize("name", ["lo", "ct_bridge"])
    def test_what_belongs_to_its_namespace_stays(self, kernel: Kernel, name: str) -> None:
        """EINVAL for the loopback and for a bridge."""
        make_pair(kernel)
        before = kernel.network.links()
        with refused(Invalid, errno.EINVAL):
            kernel.network.move(name, "netns_1")
        assert kernel.network.links() == before

    def test_a_moved_link_keeps_its_index_where_that_is_free(self, kernel: Kernel) -> None:
        """And gets another where it is not; links that come later have others again, and are listed by them."""
        make_bridge(kernel)
        kernel.namespaces.create("netns_1")
        for name in ("a", "b"):
            kernel.network.create_veth(f"ct_{name}", f"ct_peer_{name}", MAC, "ct_bridge")
        indices = {link.name: link.index for link in kernel.network.links()}
        kernel.network.move("ct_a", "netns_1")
        assert peer(kernel, "ct_a").index == indices["ct_a"]
        made = []
        while not made or peer(kernel, made[-1]).index < indices["ct_b"]:
            made.append(f"ct_in{len(made)}")
            kernel.network.create_veth(f"ct_out{len(made)}", made[-1], MAC, "ct_bridge", "netns_1")
        kernel.network.move("ct_b", "netns_1")
        inside = [link.name for link in kernel.network.links("netns_1")]
        before = indices["ct_a"] - 2  # as many come before it, after the loopback
        assert inside == ["lo", *made[:before], "ct_a", *made[before:], "ct_b"]
        assert len({link.index for link in kernel.network.links("netns_1")}) == len(inside)
        last = peer(kernel, "ct_b").index
        kernel.network.delete("ct_b", "netns_1")
        kernel.network.create_veth("ct_out", "ct_last", MAC, "ct_bridge", "netns_1")
        assert peer(kernel, "ct_last").index > last

    def test_the_ends_of_a_pair_stay_a_pair(self, kernel: Kernel) -> None:
        """Deleting one in its namespace takes the other from the host."""
        make_bridge(kernel)
        kernel.namespaces.create("netns_1")
        kernel.network.create_veth("ct_host", "ct_peer", MAC, "ct_bridge")
        kernel.network.move("ct_peer", "netns_1")
        kernel.network.delete("ct_peer", "netns_1")
        assert "ct_host" not in link_names(kernel)


class AddressesContract:
    def test_addresses_are_the_links_in_the_kernels_order(self, kernel: Kernel) -> None:
        """Those of other links are not among them; a link need not be up."""
        kernel.network.create_bridge("ct_bridge", BRIDGE_MAC)
        kernel.network.create_bridge("ct_other", MAC)
        kernel.network.add_address("ct_bridge", GATEWAY_ADDRESS)
        kernel.network.add_address("ct_bridge", parse_interface("198.51.100.7/30"))
        kernel.network.add_address("ct_other", parse_interface("203.0.113.1/16"))
        expected = (GATEWAY_ADDRESS, parse_interface("198.51.100.7/30"))
        assert kernel.network.link("ct_bridge").addresses == expected
        assert kernel.network.link("ct_other").addresses == (parse_interface("203.0.113.1/16"),)

    def test_an_address_twice_on_one_link_is_refused(self, kernel: Kernel) -> None:
        """EEXIST, on the host and in a namespace."""
        make_pair(kernel)
        for name, namespace in (("ct_bridge", None), ("ct_peer", "netns_1")):
            if namespace:
                kernel.network.add_address(name, GATEWAY_ADDRESS, namespace)
            with refused(AlreadyExists, errno.EEXIST):
                kernel.network.add_address(name, GATEWAY_ADDRESS, namespace)
        assert kernel.network.link("ct_bridge").addresses == (GATEWAY_ADDRESS,)

    def test_the_same_address_elsewhere_is_accepted(self, kernel: Kernel) -> None:
        """The gateway's in a namespace, too: that addresses are unique is nobody's care here."""
        make_pair(kernel)
        kernel.network.add_address("ct_peer", GATEWAY_ADDRESS, "netns_1")
        assert peer(kernel).addresses == (GATEWAY_ADDRESS,)
        kernel.network.create_bridge("ct_other", MAC)
        kernel.network.add_address("ct_other", GATEWAY_ADDRESS)
        assert kernel.network.link("ct_other").addresses == (GATEWAY_ADDRESS,)

    def test_an_address_in_a_namespace_needs_its_link_there(self, kernel: Kernel) -> None:
        """A link of the host is missing in it."""
        make_pair(kernel)
        with refused(Missing, errno.ENODEV):
            kernel.network.add_address("ct_host", ADDRESS, "netns_1")

    def test_addresses_outlive_down_and_up(self, kernel: Kernel) -> None:
        """Only routes go."""
        make_bridge(kernel)
        kernel.network.set_up("ct_bridge", False)
        assert kernel.network.link("ct_bridge").addresses == (GATEWAY_ADDRESS,)


class RoutesContract:
    def test_a_default_route_reads_back(self, kernel: Kernel) -> None:
        """In its namespace only."""
        make_route(kernel)
        assert kernel.network.default_route("netns_1") == GATEWAY
        assert kernel.network.default_route() is None

    def test_there_is_none_at_first(self, kernel: Kernel) -> None:
        """None, and no error."""
        kernel.namespaces.create("netns_1")
        assert kernel.network.default_route("netns_1") is None

    def test_the_host_can_have_one(self, kernel: Kernel) -> None:
        """Without a namespace it is the host's."""
        make_bridge(kernel)
        kernel.network.add_default_route(ADDRESS.address)
        assert kernel.network.default_route() == ADDRESS.address

    def test_a_gateway_may_be_ones_own_address(self, kernel: Kernel) -> None:
        """The kernel takes it as any other: that it leads nowhere is not its concern."""
        make_bridge(kernel)
        kernel.network.add_default_route(GATEWAY)
        assert kernel.network.default_route() == GATEWAY

    def test_ones_own_address_on_a_link_that_is_down_is_unreachable(self, kernel: Kernel) -> None:
        """ENETDOWN: the address is known, the link is not up."""
        make_bridge(kernel)
        kernel.network.set_up("ct_bridge", False)
        with refused(Unreachable, errno.ENETDOWN):
            kernel.network.add_default_route(GATEWAY)

    def test_a_second_default_route_is_refused(self, kernel: Kernel) -> None:
        """EEXIST, and the first one stays."""
        make_route(kernel)
        with refused(AlreadyExists, errno.EEXIST):
            kernel.network.add_default_route(GATEWAY, "netns_1")
        assert kernel.network.default_route("netns_1") == GATEWAY

    def test_a_second_route_to_nowhere_is_unreachable(self, kernel: Kernel) -> None:
        """The next hop is looked for before the route that is there."""
        make_route(kernel)
        with refused(Unreachable, errno.ENETUNREACH):
            kernel.network.add_default_route(parse_address("198.51.100.1"), "netns_1")

    def test_a_route_without_an_address_is_unreachable(self, kernel: Kernel) -> None:
        """The link is up, but no subnet is connected."""
        make_pair(kernel)
        kernel.network.set_up("ct_peer", True, "netns_1")
        with refused(Unreachable, errno.ENETUNREACH):
            kernel.network.add_default_route(GATEWAY, "netns_1")

    def test_a_route_over_a_link_that_is_down_is_unreachable(self, kernel: Kernel) -> None:
        """The address alone does not connect the subnet."""
        make_pair(kernel)
        kernel.network.add_address("ct_peer", ADDRESS, "netns_1")
        with refused(Unreachable, errno.ENETUNREACH):
            kernel.network.add_default_route(GATEWAY, "netns_1")

    @pytest.mark.parametrize("gateway", ["192.0.3.1", "198.51.100.1"])
    def test_a_gateway_off_the_subnet_is_unreachable(self, kernel: Kernel, gateway: str) -> None:
        """And there is no route afterwards."""
        make_pair(kernel)
        kernel.network.add_address("ct_peer", ADDRESS, "netns_1")
        kernel.network.set_up("ct_peer", True, "netns_1")
        with refused(Unreachable, errno.ENETUNREACH):
            kernel.network.add_default_route(parse_address(gateway), "netns_1")
        assert kernel.network.default_route("netns_1") is None

    def test_down_takes_the_default_route_and_up_does_not_bring_it_back(self, kernel: Kernel) -> None:
        """The connected route is back, so that the default route can be set again."""
        make_route(kernel)
        kernel.network.set_up("ct_peer", False, "netns_1")
        assert kernel.network.default_route("netns_1") is None
        kernel.network.set_up("ct_peer", True, "netns_1")
        assert kernel.network.default_route("netns_1") is None
        kernel.network.add_default_route(GATEWAY, "netns_1")

    def test_the_route_goes_with_its_link(self, kernel: Kernel) -> None:
        """The host's end deleted, its peer is gone, and the route over it."""
        make_route(kernel)
        kernel.network.delete("ct_host")
        assert kernel.network.default_route("netns_1") is None


class NetworkContract(BridgeContract, VethContract, LinksContract, MoveContract, AddressesContract, RoutesContract):
    """All of the port."""

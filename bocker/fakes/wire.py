"""What the kernel does with links, addresses and routes: rtnetlink(7), ip-link(8), veth(4).

Shared by the network port and by a container's own set-up of its network.
"""

from __future__ import annotations

import errno

import attrs

from bocker.core.addresses import Interface, parse_interface
from bocker.fakes.errors import Refused
from bocker.fakes.files import check_component
from bocker.fakes.laws import network_of_name
from bocker.fakes.state import LinkRow, NetworkRow, RouteRow, State, new_id, put_link, with_row

LONGEST_LINK_NAME = 15  # IFNAMSIZ with its end
LOOPBACK = parse_interface("127.0.0.1/8")


def check_name(name: str) -> None:
    """Refuse what can't be a link's name: dev_valid_name in the kernel, `IFLA_IFNAME`'s length first."""
    check_length(name)
    if name in {"", ".", ".."} or any(character in "/:%\0" or character.isspace() for character in name):
        raise Refused(errno.EINVAL, name)


def check_length(name: str) -> None:
    """Refuse a name that no message has room for."""
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST_LINK_NAME:
        raise Refused(errno.ERANGE, name)


def check_mac(mac: str) -> None:
    """Refuse a multicast or zero MAC; a text that is none can't be sent at all."""
    parts = mac.split(":")
    if len(parts) != 6 or not all(len(part) == 2 for part in parts):
        raise Refused(errno.EINVAL, mac)
    number = bytes(int(part, 16) for part in parts)
    if number[0] & 1 or not any(number):
        raise Refused(errno.EADDRNOTAVAIL, mac)


def network_called(state: State, folder: str, namespace: str | None) -> int:
    """Return the id of a namespace by name; refuse ENOENT when the name leads nowhere."""
    if namespace is None:
        return 0
    check_component(namespace)
    name = state.names.get((folder, namespace))
    network = None if name is None else network_of_name(state, name)
    if network is None:
        raise Refused(errno.ENOENT, namespace)
    return network


def find(state: State, network: int, name: str) -> LinkRow | None:
    """Return a link by its name or its alternative name."""
    for row in state.links.values():
        if row.network == network and name in {row.name, row.alias}:
            return row
    return None


def called(state: State, network: int, name: str) -> LinkRow:
    """Return a link by name; refuse ENODEV, for what can't be a name too."""
    check_length(name)
    found = find(state, network, name)
    if found is None:
        raise Refused(errno.ENODEV, name)
    return found


def check_free(state: State, network: int, name: str) -> None:
    """Refuse EEXIST when a link has that name."""
    if find(state, network, name) is not None:
        raise Refused(errno.EEXIST, name)


def add_network(state: State) -> tuple[State, int]:
    """Make a network namespace: it has a loopback, which is down: network_namespaces(7)."""
    state, number = new_id(state)
    state = attrs.evolve(state, networks=with_row(state.networks, number, NetworkRow(number)))
    return add_link(state, number, "lo", "loopback", "00:00:00:00:00:00")[0], number


def add_link(state: State, network: int, name: str, kind: str, mac: str) -> tuple[State, LinkRow]:
    """Make a link, down, with the next index of its namespace."""
    state, number = new_id(state)
    row_before = state.networks[network]
    index = free_index(state, network)
    row = LinkRow(number, network, index, name, kind, mac)
    networks = with_row(state.networks, network, attrs.evolve(row_before, last_index=index))
    return put_link(attrs.evolve(state, networks=networks), row), row


def free_index(state: State, network: int) -> int:
    """Return the next index of a namespace: after the one that was given last, and what was moved there keeps its own.

    Contract: MoveContract.test_a_moved_link_keeps_its_index_where_that_is_free.
    """
    taken = {row.index for row in state.links.values() if row.network == network}
    index = state.networks[network].last_index + 1
    while index in taken:
        index += 1
    return index


def add_veth(state: State, name: str, peer: str, mac: str, bridge: str, network: int) -> State:
    """Make a veth pair in one message: `name` up on the host's `bridge`, `peer` in `network`.

    The bridge is looked up before; the message itself is refused for the peer's MAC first, then for
    the two names, and last, when the pair is there already and goes again, by the bridge.
    """
    master = called(state, 0, bridge)
    for called_so in (name, peer):
        check_name(called_so)
    check_mac(mac)
    check_free(state, 0, name)
    check_free(state, network, peer)
    if network == 0 and name == peer:
        raise Refused(errno.EEXIST, name)
    if master.kind != "bridge":
        raise Refused(errno.EOPNOTSUPP, bridge)
    state, there = add_link(state, network, peer, "veth", mac)
    state, here = add_link(state, 0, name, "veth", f"02:{here_mac(there.id)}")
    state = put_link(state, attrs.evolve(there, peer=here.id))
    return put_link(state, attrs.evolve(here, peer=there.id, up=True, master=master.id, drawn=True))


def here_mac(number: int) -> str:
    """Return the last five bytes of the MAC that the kernel drew for a link nobody gave one."""
    return ":".join(f"{byte:02x}" for byte in number.to_bytes(5, "big"))


def add_address(state: State, link: LinkRow, address: Interface) -> State:
    """Give a link an address; the same one on another link is none of the kernel's concern."""
    if address in link.addresses:
        raise Refused(errno.EEXIST, str(address))
    return put_link(state, attrs.evolve(link, addresses=(*link.addresses, address)))


def add_default_route(state: State, network: int, gateway: int) -> State:
    """Add the default route: the next hop is checked first, then whether there is one already.

    A gateway that is this host's own address is taken as any other, but not over a link that is down:
    a link keeps its own addresses then.
    """
    own = [row for row in state.links.values() if row.network == network and gateway in _held(row)]
    if own and not any(row.up for row in own):
        raise Refused(errno.ENETDOWN)
    for row in _up(state, network):
        if any(gateway in held.subnet for held in row.addresses):
            break
    else:
        raise Refused(errno.ENETUNREACH)
    if network in state.routes:
        raise Refused(errno.EEXIST)
    return attrs.evolve(state, routes=with_row(state.routes, network, RouteRow(gateway, row.id)))


def _held(link: LinkRow) -> set[int]:
    return {interface.address for interface in link.addresses}


def _up(state: State, network: int) -> list[LinkRow]:
    return [row for row in state.links.values() if row.network == network and row.up]


def bring_up(state: State, link: LinkRow) -> State:
    """Bring a link up; a loopback without address gets 127.0.0.1/8 then."""
    addresses = link.addresses or ((LOOPBACK,) if link.kind == "loopback" else ())
    return put_link(state, attrs.evolve(link, up=True, addresses=addresses))

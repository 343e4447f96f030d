"""Our packer against pyroute2's: the same request is the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.addresses import Interface, dotted
from bocker.linux import messages

reason = "pyroute2, whose encoding is the measure, can't be imported"
rtnl = pytest.importorskip("pyroute2.netlink.rtnl", reason=reason)
ifinfmsg = pytest.importorskip("pyroute2.netlink.rtnl.ifinfmsg", reason=reason).ifinfmsg
ifaddrmsg = pytest.importorskip("pyroute2.netlink.rtnl.ifaddrmsg", reason=reason).ifaddrmsg
rtmsg = pytest.importorskip("pyroute2.netlink.rtnl.rtmsg", reason=reason).rtmsg

REQUEST, ACK, DUMP, EXCLUSIVE, CREATE, APPEND = 0x1, 0x4, 0x300, 0x200, 0x400, 0x800
UP = 1
AF_INET = 2
WITHOUT_STATISTICS = ("IFLA_EXT_MASK", 8)

names = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_.-ü", min_size=1, max_size=15).filter(
    lambda name: len(name.encode()) <= 15
)
aliases = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=127)
indices = st.integers(1, 2**31 - 1)
descriptors = st.integers(0, 2**20)
macs = st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":"))
addresses = st.integers(0, 2**32 - 1)
interfaces = st.builds(Interface, addresses, st.integers(0, 32))


def encoded(kind: int, header_flags: int, message: Any, attributes: list[tuple[str, Any]], **fields: int) -> bytes:
    """Return pyroute2's bytes for a request."""
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes
    message["header"]["type"] = kind
    message["header"]["flags"] = REQUEST | ACK | header_flags
    message.encode()
    return bytes(message.data)


@given(names, names, macs, indices, st.none() | descriptors)
def test_create_veth(name: str, peer: str, mac: str, bridge: int, namespace: int | None) -> None:
    """One message with both ends; the namespace is left out where there is none."""
    inside = [("IFLA_IFNAME", peer), ("IFLA_ADDRESS", mac)]
    inside += [] if namespace is None else [("IFLA_NET_NS_FD", namespace)]
    data = {"attrs": [("VETH_INFO_PEER", {"attrs": inside})]}
    information = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
    attributes = [("IFLA_IFNAME", name), ("IFLA_MASTER", bridge), ("IFLA_LINKINFO", information)]
    expected = encoded(rtnl.RTM_NEWLINK, CREATE | EXCLUSIVE, ifinfmsg(), attributes, flags=UP, change=UP)
    assert messages.create_veth(name, peer, mac, bridge, namespace) == expected


@given(names)
def test_get_link(name: str) -> None:
    """By name, without the counters."""
    attributes = [("IFLA_IFNAME", name), WITHOUT_STATISTICS]
    assert messages.get_link(name) == encoded(rtnl.RTM_GETLINK, 0, ifinfmsg(), attributes)


@given(indices)
def test_get_link_by_index(index: int) -> None:
    """By index, without the counters."""
    expected = encoded(rtnl.RTM_GETLINK, 0, ifinfmsg(), [WITHOUT_STATISTICS], index=index)
    assert messages.get_link_by_index(index) == expected


def test_dump_links() -> None:
    """All of them."""
    assert messages.dump_links() == encoded(rtnl.RTM_GETLINK, DUMP, ifinfmsg(), [WITHOUT_STATISTICS])


@given(st.just(0) | indices)
def test_dump_addresses(index: int) -> None:
    """Of one link, or of all."""
    expected = encoded(rtnl.RTM_GETADDR, DUMP, ifaddrmsg(), [], family=AF_INET, index=index)
    assert messages.dump_addresses(index) == expected


@given(names, st.booleans())
def test_set_up(name: str, up: bool) -> None:
    """Only the one flag changes."""
    expected = encoded(rtnl.RTM_NEWLINK, 0, ifinfmsg(), [("IFLA_IFNAME", name)], flags=UP if up else 0, change=UP)
    assert messages.set_up(name, up) == expected


@given(names)
def test_delete_link(name: str) -> None:
    """By name."""
    assert messages.delete_link(name) == encoded(rtnl.RTM_DELLINK, 0, ifinfmsg(), [("IFLA_IFNAME", name)])


@given(indices, aliases)
def test_add_alias(index: int, alias: str) -> None:
    """A list of one name, marked as nested: the kernel is strict about it."""
    attributes = [("IFLA_PROP_LIST", {"attrs": [("IFLA_ALT_IFNAME", alias)]})]
    flags = CREATE | EXCLUSIVE | APPEND
    assert messages.add_alias(index, alias) == encoded(rtnl.RTM_NEWLINKPROP, flags, ifinfmsg(), attributes, index=index)


@given(indices, interfaces)
def test_add_address(index: int, address: Interface) -> None:
    """Its own and its peer's address are the same, as on every broadcast link."""
    text = dotted(address.address)
    attributes = [("IFA_LOCAL", text), ("IFA_ADDRESS", text)]
    fields = {"family": AF_INET, "prefixlen": address.prefix_length, "index": index}
    expected = encoded(rtnl.RTM_NEWADDR, CREATE | EXCLUSIVE, ifaddrmsg(), attributes, **fields)
    assert messages.add_address(index, address) == expected


@given(addresses)
def test_add_default_route(gateway: int) -> None:
    """To everywhere: no destination at all."""
    fields = {"family": AF_INET, "table": 254, "proto": 4, "scope": 0, "type": 1}
    expected = encoded(rtnl.RTM_NEWROUTE, CREATE | EXCLUSIVE, rtmsg(), [("RTA_GATEWAY", dotted(gateway))], **fields)
    assert messages.add_default_route(gateway) == expected


@given(names, macs, indices, st.none() | indices, st.booleans(), st.none() | aliases)
def test_a_link_reply_is_read_as_pyroute2_writes_it(
    name: str, mac: str, index: int, master: int | None, up: bool, alias: str | None
) -> None:
    """Every field that we read comes back; what we don't know is passed over."""
    attributes: list[tuple[str, Any]] = [("IFLA_TXQLEN", 1000), ("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac)]
    attributes.append(("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge")]}))
    attributes += [] if master is None else [("IFLA_MASTER", master)]
    attributes += [] if alias is None else [("IFLA_PROP_LIST", {"attrs": [("IFLA_ALT_IFNAME", alias)]})]
    flags = 0x1002 | up
    reply = messages.LinkReply(encoded(rtnl.RTM_NEWLINK, 0, ifinfmsg(), attributes, index=index, flags=flags)[16:])
    assert (reply.name, reply.mac, reply.index, reply.up) == (name, mac, index, up)
    assert (reply.kind, reply.master, reply.alias) == ("bridge", master or 0, alias)


@given(indices, interfaces)
def test_an_address_reply_is_read_as_pyroute2_writes_it(index: int, address: Interface) -> None:
    """The link's own address, where it differs from its peer's."""
    attributes = [("IFA_ADDRESS", "192.0.2.1"), ("IFA_LOCAL", dotted(address.address)), ("IFA_LABEL", "eth0")]
    fields = {"family": AF_INET, "prefixlen": address.prefix_length, "index": index}
    body = encoded(rtnl.RTM_NEWADDR, 0, ifaddrmsg(), attributes, **fields)[16:]
    assert messages.read_address(body) == (index, address)


@given(st.binary(max_size=200))
def test_reading_what_nobody_wrote_ends(rest: bytes) -> None:
    """Damaged attributes are passed over: nothing loops, nothing but what is there is read."""
    messages.LinkReply(bytes(16) + rest)
    messages.read_address(bytes(8) + rest)

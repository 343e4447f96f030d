"""Netlink requests packed by hand, and their answers read: links, addresses, routes.

pyroute2 does the same for everything, and takes ten times as long to import as a container takes
to start; so the few requests on the way of `run` are packed here, and property-based tests compare
each with pyroute2's encoding of the same request, byte for byte.

A request is a whole message whose sequence number is still 0 (`netlink.exchange` gives it one).
Every request asks for an acknowledgement. Addresses are numbers, MACs are text, as in `core`.

Sources: netlink(7), rtnetlink(7), and linux/{netlink,rtnetlink,if_link,if_addr,veth}.h.
"""

from __future__ import annotations

import os
import sys
from _struct import Struct

from bocker.core.addresses import Interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_GETADDR = 22
RTM_NEWROUTE = 24
RTM_NEWLINKPROP = 108

_REQUEST = 0x1
_ACK = 0x4
_DUMP = 0x300
_CREATE = 0x400
_EXCLUSIVE = 0x200 | _CREATE
_APPEND = 0x800

_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MASTER = 10
_IFLA_LINKINFO = 18
_IFLA_NET_NS_FD = 28
_IFLA_EXT_MASK = 29
_IFLA_PROP_LIST = 52
_IFLA_ALT_IFNAME = 53
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_VETH_INFO_PEER = 1
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_RTA_GATEWAY = 5

_NESTED = 0x8000
_TYPE_BITS = 0x3FFF
_WITHOUT_STATISTICS = 8
_IFF_UP = 1
_AF_INET = 2
_ARPHRD_LOOPBACK = 772
_TABLE_MAIN = 254
_PROTOCOL_STATIC = 4
_UNICAST = 1

HEADER = Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = Struct("=HH")
_IFINFO = Struct("=BxHiII")  # family, hardware type, index, flags, which flags change
_IFADDR = Struct("=BBBBi")  # family, prefix length, flags, scope, index
_ROUTE = Struct("=BBBBBBBBI")  # family, two lengths, tos, table, protocol, scope, type, flags


class LinkReply:
    """What a link message says. `master` is an index, 0 for none; `kind` empty for hardware."""

    __slots__ = ("alias", "index", "kind", "mac", "master", "name", "up")

    def __init__(self, body: bytes) -> None:
        _, hardware, self.index, flags, _ = _IFINFO.unpack_from(body)
        found = dict(_attributes(body, _IFINFO.size))
        self.name = _text(found.get(_IFLA_IFNAME, b""))
        self.mac = found.get(_IFLA_ADDRESS, b"").hex(":")
        self.up = bool(flags & _IFF_UP)
        self.master = _number(found.get(_IFLA_MASTER, b""))
        information = dict(_attributes(found.get(_IFLA_LINKINFO, b"")))
        self.kind = "loopback" if hardware == _ARPHRD_LOOPBACK else _text(information.get(_IFLA_INFO_KIND, b""))
        names = [value for kind, value in _attributes(found.get(_IFLA_PROP_LIST, b"")) if kind == _IFLA_ALT_IFNAME]
        self.alias = _text(names[0]) if names else None


def read_address(body: bytes) -> tuple[int, Interface] | None:
    """Return the link's index and the address that an IPv4 address message is about, else None."""
    family, prefix_length, _, _, index = _IFADDR.unpack_from(body)
    found = dict(_attributes(body, _IFADDR.size))
    address = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS))
    if family != _AF_INET or address is None:
        return None
    return index, Interface(int.from_bytes(address, "big"), prefix_length)


def octets(mac: str) -> bytes:
    """Return the six bytes of a MAC; raise ValueError for what is none."""
    return bytes.fromhex(mac.replace(":", ""))


def create_veth(name: str, peer: str, mac: str, bridge_index: int, namespace_fd: int | None) -> bytes:
    """Make a veth pair: `name` here, up, on a bridge; `peer` with `mac`, down, in a namespace (None: here)."""
    inside = _name(peer) + _attribute(_IFLA_ADDRESS, octets(mac))
    if namespace_fd is not None:
        inside += _attribute_u32(_IFLA_NET_NS_FD, namespace_fd)
    data = _attribute(_VETH_INFO_PEER, _IFINFO.pack(0, 0, 0, 0, 0) + inside)
    information = _attribute(_IFLA_INFO_KIND, b"veth\0") + _attribute(_IFLA_INFO_DATA, data)
    return _message(
        RTM_NEWLINK,
        _EXCLUSIVE,
        _IFINFO.pack(0, 0, 0, _IFF_UP, _IFF_UP),
        _name(name) + _attribute_u32(_IFLA_MASTER, bridge_index) + _attribute(_IFLA_LINKINFO, information),
    )


def get_link(name: str) -> bytes:
    """Ask for a link by its name."""
    return _message(RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0), _name(name) + _QUICK)


def get_link_by_index(index: int) -> bytes:
    """Ask for a link by its index."""
    return _message(RTM_GETLINK, 0, _IFINFO.pack(0, 0, index, 0, 0), _QUICK)


def dump_links() -> bytes:
    """Ask for all links."""
    return _message(RTM_GETLINK, _DUMP, _IFINFO.pack(0, 0, 0, 0, 0), _QUICK)


def dump_addresses(index: int = 0) -> bytes:
    """Ask for the IPv4 addresses of one link, of all links when `index` is 0.

    The kernel keeps to the index only on a socket that asks for strict checks (`netlink.open_socket`).
    """
    return _message(RTM_GETADDR, _DUMP, _IFADDR.pack(_AF_INET, 0, 0, 0, index), b"")


def set_up(name: str, up: bool) -> bytes:
    """Bring a link up or down."""
    return _message(RTM_NEWLINK, 0, _IFINFO.pack(0, 0, 0, _IFF_UP if up else 0, _IFF_UP), _name(name))


def delete_link(name: str) -> bytes:
    """Delete a link."""
    return _message(RTM_DELLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0), _name(name))


def add_alias(index: int, alias: str) -> bytes:
    """Give a link an alternative name (in the message that creates the link it is silently ignored)."""
    names = _attribute(_NESTED | _IFLA_PROP_LIST, _attribute(_IFLA_ALT_IFNAME, os.fsencode(alias) + b"\0"))
    return _message(RTM_NEWLINKPROP, _EXCLUSIVE | _APPEND, _IFINFO.pack(0, 0, index, 0, 0), names)


def add_address(index: int, address: Interface) -> bytes:
    """Give a link an IPv4 address."""
    number = address.address.to_bytes(4, "big")
    return _message(
        RTM_NEWADDR,
        _EXCLUSIVE,
        _IFADDR.pack(_AF_INET, address.prefix_length, 0, 0, index),
        _attribute(_IFA_LOCAL, number) + _attribute(_IFA_ADDRESS, number),
    )


def add_default_route(gateway: int) -> bytes:
    """Send everything without a better route to a gateway."""
    return _message(
        RTM_NEWROUTE,
        _EXCLUSIVE,
        _ROUTE.pack(_AF_INET, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, 0, _UNICAST, 0),
        _attribute(_RTA_GATEWAY, gateway.to_bytes(4, "big")),
    )


def _message(kind: int, flags: int, header: bytes, attributes: bytes) -> bytes:
    length = HEADER.size + len(header) + len(attributes)
    return HEADER.pack(length, kind, _REQUEST | _ACK | flags, 0, 0) + header + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _attribute_u32(kind: int, number: int) -> bytes:
    return _ATTRIBUTE.pack(8, kind) + number.to_bytes(4, sys.byteorder)


def _name(name: str) -> bytes:
    return _attribute(_IFLA_IFNAME, os.fsencode(name) + b"\0")


def _attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Give the kind (without its flags) and the value of each attribute from `offset` on."""
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind & _TYPE_BITS, data[offset + _ATTRIBUTE.size : offset + length]
        offset += max(length + 3 & ~3, _ATTRIBUTE.size)


def _text(value: bytes) -> str:
    return os.fsdecode(value.rstrip(b"\0"))


def _number(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)


_QUICK = _attribute_u32(_IFLA_EXT_MASK, _WITHOUT_STATISTICS)

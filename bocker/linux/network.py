"""Links, addresses and routes by netlink.

What `run` and `cleanup` ask goes through `netlink`, our own client; pyroute2 takes a quarter of a
second to import and does the rest, imported by the method that uses it. A namespace is entered for
the time of one call, since a netlink socket belongs to the namespace in which it was opened.
"""

from __future__ import annotations

import errno
import os

from bocker.core.addresses import Interface, parse_address
from bocker.kernel.network import Link, Network
from bocker.linux import messages
from bocker.linux.errors import component, translated
from bocker.linux.netlink import addresses_of, dump, exchange, link_named, open_socket
from bocker.linux.syscalls import CLONE_NEWNET, setns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from pyroute2 import IPRoute

_LONGEST_NAME = 15
_NEVER_IN_A_NAME = b"/:% \t\n\v\f\r\0\xa0"  # what the kernel takes for blank, and `%`, which asks it to number


class LinuxNetwork(Network):
    """rtnetlink(7) in the host's namespace and in those that have a name in `namespaces`."""

    __slots__ = ("_namespaces",)

    def __init__(self, namespaces: str) -> None:
        self._namespaces = namespaces

    def create_bridge(self, name: str, mac: str) -> None:
        """See the port; RTM_NEWLINK."""
        with translated("network.create_bridge", name):
            _check(name)
            _check_mac(mac)
            with _iproute() as route:
                route.link("add", ifname=name, kind="bridge", address=mac)

    def create_veth(self, name: str, peer: str, mac: str, bridge: str, namespace: str | None = None) -> None:
        """See the port; one RTM_NEWLINK."""
        with translated("network.create_veth", name):
            _check(name, peer, bridge)
            with _Session(None) as descriptor, _Opened(self._path(namespace)) as there:
                index = link_named(descriptor, bridge).index
                _check_mac(mac)
                exchange(descriptor, messages.create_veth(name, peer, mac, index, there))

    def delete(self, name: str, namespace: str | None = None) -> None:
        """See the port; RTM_DELLINK ends both ends of a veth before it is acknowledged."""
        self._request("network.delete", name, namespace, messages.delete_link(name))

    def set_up(self, name: str, up: bool, namespace: str | None = None) -> None:
        """See the port; RTM_NEWLINK with IFF_UP."""
        self._request("network.set_up", name, namespace, messages.set_up(name, up))

    def move(self, name: str, namespace: str) -> None:
        """See the port; RTM_NEWLINK with the namespace's descriptor."""
        with translated("network.move", name):
            _check(name)
            with _Opened(self._path(namespace)) as there, _Session(None) as descriptor:
                index = link_named(descriptor, name).index
                with _iproute() as route:
                    route.link("set", index=index, net_ns_fd=there)

    def add_address(self, name: str, address: Interface, namespace: str | None = None) -> None:
        """See the port; RTM_NEWADDR."""
        with translated("network.add_address", name):
            _check(name)
            with _Session(self._path(namespace)) as descriptor:
                exchange(descriptor, messages.add_address(link_named(descriptor, name).index, address))

    def add_default_route(self, gateway: int, namespace: str | None = None) -> None:
        """See the port; RTM_NEWROUTE."""
        with translated("network.add_default_route", namespace or ""), _Session(self._path(namespace)) as descriptor:
            exchange(descriptor, messages.add_default_route(gateway))

    def default_route(self, namespace: str | None = None) -> int | None:
        """See the port; RTM_GETROUTE."""
        with translated("network.default_route", namespace or ""), _Inside(self._path(namespace)), _iproute() as route:
            gateways = [found.get("gateway") for found in route.get_default_routes()]
        return parse_address(gateways[0]) if gateways else None

    def links(self, namespace: str | None = None) -> tuple[Link, ...]:
        """See the port; RTM_GETLINK and RTM_GETADDR."""
        with translated("network.links", namespace or ""), _Session(self._path(namespace)) as descriptor:
            replies = [messages.LinkReply(body) for body in dump(descriptor, messages.dump_links())]
            found = [messages.read_address(body) for body in dump(descriptor, messages.dump_addresses())]
        names = {reply.index: reply.name for reply in replies}
        addresses = [pair for pair in found if pair]
        return tuple(
            _link(reply, names.get(reply.master), tuple(one for index, one in addresses if index == reply.index))
            for reply in sorted(replies, key=lambda reply: reply.index)
        )

    def link(self, name: str) -> Link:
        """See the port; RTM_GETLINK and RTM_GETADDR, 0.2 ms."""
        with translated("network.link", name):
            _check(name)
            with _Session(None) as descriptor:
                reply = link_named(descriptor, name)
                return _link(reply, _name_of(descriptor, reply.master), addresses_of(descriptor, reply.index))

    def _request(self, operation: str, name: str, namespace: str | None, request: bytes) -> None:
        with translated(operation, name):
            _check(name)
            with _Session(self._path(namespace)) as descriptor:
                exchange(descriptor, request)

    def _path(self, namespace: str | None) -> bytes | None:
        return None if namespace is None else os.fsencode(self._namespaces) + b"/" + component(namespace)


class _Opened:
    """A block with a descriptor of a file; None when there is no path."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: bytes | None) -> None:
        self._path = path

    def __enter__(self) -> int | None:
        self._descriptor = None if self._path is None else os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class _Inside:
    """A block in the network namespace at a path, in the caller's own when that is None."""

    __slots__ = ("_own", "_path")

    def __init__(self, path: bytes | None) -> None:
        self._path = path
        self._own = -1

    def __enter__(self) -> None:
        with _Opened(self._path) as there:
            if there is not None:
                self._own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                setns(there, CLONE_NEWNET)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._own != -1:
            setns(self._own, CLONE_NEWNET)
            os.close(self._own)


class _Session:
    """A block with the descriptor of a netlink socket of the namespace at a path, or the caller's own."""

    __slots__ = ("_path", "_socket")

    def __init__(self, path: bytes | None) -> None:
        self._path = path

    def __enter__(self) -> int:
        with _Inside(self._path):
            self._socket = open_socket()
        return self._socket.fileno()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()


def _iproute() -> IPRoute:
    from pyroute2 import IPRoute

    return IPRoute()


def _check(*names: str) -> None:
    """Raise OSError for what can't be a link's name (and would, as a name to look for, only seem missing)."""
    for name in names:
        encoded = os.fsencode(name)
        if len(encoded) > _LONGEST_NAME:
            raise OSError(errno.ERANGE, "longer than a link's name can be")
        if encoded in {b"", b".", b".."} or any(byte in _NEVER_IN_A_NAME for byte in encoded):
            raise OSError(errno.EINVAL, "no link's name")


def _check_mac(mac: str) -> None:
    """Raise OSError for a multicast or zero MAC, which Linux 6.1 meets after a name that is taken, and 6.18 before."""
    octets = messages.octets(mac)
    if octets[0] & 1 or not any(octets):
        raise OSError(errno.EADDRNOTAVAIL, "no link's MAC")


def _link(reply: messages.LinkReply, master: str | None, addresses: tuple[Interface, ...]) -> Link:
    return Link(reply.name, reply.index, reply.kind, reply.mac, reply.up, master, reply.alias, addresses)


def _name_of(descriptor: int, index: int) -> str | None:
    if not index:
        return None
    return messages.LinkReply(exchange(descriptor, messages.get_link_by_index(index))[0]).name

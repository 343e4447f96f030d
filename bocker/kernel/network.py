"""Links, addresses and routes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.addresses import Interface
from bocker.core.value import Value


class Link(Value):
    """A network interface. kind: `bridge`, `veth`, `loopback` or the kernel's own word. `master`
    is the name of its bridge. `addresses` are IPv4, in the kernel's order."""

    name: str
    index: int
    kind: str
    mac: str
    up: bool
    master: str | None = None
    alias: str | None = None
    addresses: tuple[Interface, ...] = ()


class Network(ABC):
    """The links of the host, or of the namespace with the name `namespace` (see `Namespaces`).

    A link's name has 1 to 15 bytes without blank or slash: 16 bytes are Invalid with ERANGE,
    the rest Invalid with EINVAL, here and in every method. Missing names a link or namespace that
    is not there.
    """

    __slots__ = ()

    @abstractmethod
    def create_bridge(self, name: str, mac: str) -> None:
        """Make a bridge, down, with a fixed MAC (one that was not set changes as links come and
        go). Raise AlreadyExists, Invalid (EADDRNOTAVAIL) for a multicast or zero MAC."""

    @abstractmethod
    def create_veth(self, name: str, peer: str, mac: str, bridge: str, namespace: str | None = None) -> None:
        """Make a veth pair in one message: `name` on the host, up, on `bridge`; `peer` with `mac`,
        down, in `namespace` (the host when None).

        Raise AlreadyExists when either name is taken where it should be, Missing when the bridge
        or the namespace is, Invalid (EADDRNOTAVAIL) for a multicast or zero MAC, Unsupported when
        `bridge` is none; in each case nothing was made.
        """

    @abstractmethod
    def delete(self, name: str, namespace: str | None = None) -> None:
        """Delete a link; when it returns, a veth's peer is gone as well. Raise Missing, Unsupported
        for the loopback."""

    @abstractmethod
    def set_up(self, name: str, up: bool, namespace: str | None = None) -> None:
        """Bring a link up or down. Down takes the routes over it away; up again brings back the
        connected ones, not the default route. Raise Missing."""

    @abstractmethod
    def move(self, name: str, namespace: str) -> None:
        """Move a host's link into a namespace: it loses its addresses, its bridge and being up, and
        keeps its MAC. Raise Missing, AlreadyExists when the name is taken there (it stays), Invalid
        (EINVAL) for the loopback or a bridge."""

    @abstractmethod
    def add_address(self, name: str, address: Interface, namespace: str | None = None) -> None:
        """Give a link an address. The same address elsewhere is accepted, the gateway's too: that
        no two have one is the engine's to see to. Raise Missing, AlreadyExists (on this link)."""

    @abstractmethod
    def add_default_route(self, gateway: int, namespace: str | None = None) -> None:
        """Send everything without a better route to `gateway`. Raise AlreadyExists when there is a
        default route, Unreachable when no link that is up has the gateway in its subnet."""

    @abstractmethod
    def default_route(self, namespace: str | None = None) -> int | None:
        """Return the gateway of the default route, None when there is none."""

    @abstractmethod
    def links(self, namespace: str | None = None) -> tuple[Link, ...]:
        """Return every link, in the order of their indices."""

    @abstractmethod
    def link(self, name: str) -> Link:
        """Return one link of the host with its addresses. Raise Missing."""

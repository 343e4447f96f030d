"""The network port on the fake."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
from collections.abc import Callable

import attrs

from bocker.core.addresses import Interface
from bocker.fakes import laws, wire
from bocker.fakes.errors import Refused
from bocker.fakes.state import HOST, LinkRow, State, put_link, with_row
from bocker.fakes.view import View
from bocker.kernel.network import Link, Network


class FakeNetwork(View, Network):
    """The links of the world."""

    __slots__ = ()
    name = "network"

    def create_bridge(self, name: str, mac: str) -> None:
        self._change("create_bridge", name, lambda state: _create_bridge(state, name, mac))

    def create_veth(self, name: str, peer: str, mac: str, bridge: str, namespace: str | None = None) -> None:
        self._change(
            "create_veth",
            name,
            lambda state: wire.add_veth(
                state, name, peer, mac, bridge, self._beside(state, namespace, name, peer, bridge)
            ),
        )

    def delete(self, name: str, namespace: str | None = None) -> None:
        self._change("delete", name, lambda state: _delete(state, self._called(state, name, namespace)))

    def set_up(self, name: str, up: bool, namespace: str | None = None) -> None:
        self._change("set_up", name, lambda state: _set_up(state, self._called(state, name, namespace), up))

    def move(self, name: str, namespace: str) -> None:
        self._change(
            "move",
            name,
            lambda state: _move(state, self._beside(state, namespace, name), name),
        )

    def add_address(self, name: str, address: Interface, namespace: str | None = None) -> None:
        self._change(
            "add_address",
            name,
            lambda state: wire.add_address(state, self._called(state, name, namespace), address),
        )

    def add_default_route(self, gateway: int, namespace: str | None = None) -> None:
        self._change(
            "add_default_route",
            namespace or "",
            lambda state: wire.add_default_route(state, self._network(state, namespace), gateway),
        )

    def default_route(self, namespace: str | None = None) -> int | None:
        return self._ask(
            "default_route", namespace or "", lambda state: _default_route(state, self._network(state, namespace))
        )

    def links(self, namespace: str | None = None) -> tuple[Link, ...]:
        return self._ask("links", namespace or "", lambda state: _links(state, self._network(state, namespace)))

    def link(self, name: str) -> Link:
        return self._ask("link", name, lambda state: _shown(state, self._called(state, name, None)))

    def _change(self, method: str, subject: str, step: Callable[[State], State]) -> None:
        super()._change(method, subject, lambda state: step(self._checked(state)))

    def _checked(self, state: State) -> State:
        if not self._kernel.may_administer_network:
            raise Refused(errno.EPERM)
        return state

    def _network(self, state: State, namespace: str | None) -> int:
        return wire.network_called(state, self._settings.namespaces, namespace)

    def _beside(self, state: State, namespace: str | None, *links: str) -> int:
        """Return a namespace that links are about to come into: names are looked at before anything else."""
        for name in links:
            wire.check_name(name)
        return self._network(state, namespace)

    def _called(self, state: State, name: str, namespace: str | None) -> LinkRow:
        wire.check_name(name)
        return wire.called(state, self._network(state, namespace), name)


def _create_bridge(state: State, name: str, mac: str) -> State:
    wire.check_name(name)
    wire.check_mac(mac)
    wire.check_free(state, HOST, name)
    return wire.add_link(state, HOST, name, "bridge", mac)[0]


def _delete(state: State, link: LinkRow) -> State:
    if link.kind == "loopback":
        raise Refused(errno.EOPNOTSUPP, link.name)
    return laws.link_ends(state, link.id)


def _set_up(state: State, link: LinkRow, up: bool) -> State:
    return wire.bring_up(state, link) if up else laws.link_goes_down(state, link.id)


def _move(state: State, network: int, name: str) -> State:
    link = wire.called(state, HOST, name)
    if network == link.network:
        return state
    if link.kind in {"loopback", "bridge"}:
        raise Refused(errno.EINVAL, f"{link.name} is bound to its namespace")
    wire.check_free(state, network, link.name)
    state = laws.link_goes_down(state, link.id)
    taken = {row.index for row in state.links.values() if row.network == network}
    index = link.index
    if index in taken:
        index = wire.free_index(state, network)
        there = attrs.evolve(state.networks[network], last_index=index)
        state = attrs.evolve(state, networks=with_row(state.networks, network, there))
    moved = attrs.evolve(link, network=network, index=index, up=False, master=None, addresses=())
    return put_link(state, moved)


def _default_route(state: State, network: int) -> int | None:
    route = state.routes.get(network)
    return None if route is None else route.gateway


def _links(state: State, network: int) -> tuple[Link, ...]:
    rows = [row for row in state.links.values() if row.network == network]
    return tuple(_shown(state, row) for row in sorted(rows, key=lambda row: row.index))


def _shown(state: State, row: LinkRow) -> Link:
    master = None if row.master is None else state.links[row.master].name
    return Link(row.name, row.index, row.kind, row.mac, row.up, master, row.alias, row.addresses)

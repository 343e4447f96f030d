"""The firewall port on the fake: nft(8)."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
from string import ascii_letters, digits

import attrs

from bocker.core.addresses import Subnet
from bocker.fakes.errors import Refused
from bocker.fakes.state import State, TableRow, with_row, without
from bocker.fakes.view import View
from bocker.kernel.firewall import Firewall

NAME = frozenset(ascii_letters + digits + "_.-")


class FakeFirewall(View, Firewall):
    """The tables of the host."""

    __slots__ = ()
    name = "firewall"

    def ensure_masquerade(self, table: str, subnet: Subnet, bridge: str) -> None:
        row = TableRow(subnet, bridge)
        self._change(
            "ensure_masquerade",
            table,
            lambda state: self._with(state, with_row(state.tables, table, row), table, bridge),
        )

    def masqueraded(self, table: str) -> Subnet | None:
        return self._ask("masqueraded", table, lambda state: self._tables(state, table).get(table, TableRow()).subnet)

    def remove(self, table: str) -> None:
        self._change("remove", table, lambda state: self._with(state, without(state.tables, table), table))

    def tables(self) -> tuple[str, ...]:
        return self._ask("tables", "", lambda state: tuple(sorted(self._tables(state))))

    def _tables(self, state: State, *names: str) -> dict[str, TableRow]:
        if not self._world.firewall:
            raise Refused(errno.ENOSYS, "no nftables")
        if not self._kernel.may_administer_network:
            raise Refused(errno.EPERM)
        for name in names:
            if not name or not NAME.issuperset(name):
                raise Refused(errno.EINVAL, name)
        return dict(state.tables)

    def _with(self, state: State, tables: dict[str, TableRow], *names: str) -> State:
        self._tables(state, *names)
        return attrs.evolve(state, tables=tables)

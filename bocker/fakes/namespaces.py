"""The namespaces port on the fake: ip-netns(8)."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno

import attrs

from bocker.fakes import files, laws, programs, wire
from bocker.fakes.errors import Refused
from bocker.fakes.files import check_component
from bocker.fakes.state import BIND, LINK, NameRow, State, with_row, without
from bocker.fakes.view import View
from bocker.kernel.namespaces import Namespaces


class FakeNamespaces(View, Namespaces):
    """The names at `Settings.namespaces`."""

    __slots__ = ()
    name = "namespaces"

    def create(self, name: str) -> None:
        self._change("create", name, lambda state: self._create(state, name))

    def link(self, name: str, pid: int) -> None:
        self._change("link", name, lambda state: self._link(state, name, pid))

    def remove(self, name: str) -> None:
        self._change("remove", name, lambda state: self._remove(state, name))

    def names(self) -> tuple[str, ...]:
        folder = self._settings.namespaces
        return self._ask("names", "", lambda state: tuple(sorted(name for at, name in state.names if at == folder)))

    def _free(self, state: State, name: str) -> tuple[str, str]:
        check_component(name)
        key = (self._settings.namespaces, name)
        if key in state.names:
            raise Refused(errno.EEXIST, name)
        return key

    def _create(self, state: State, name: str) -> State:
        key = self._free(state, name)
        state = files.make_directories(state, self._settings.namespaces)
        state, network = wire.add_network(state)
        return attrs.evolve(state, names=with_row(state.names, key, NameRow(BIND, network)))

    def _link(self, state: State, name: str, pid: int) -> State:
        check_component(name)
        if not programs.is_alive(state.processes.get(pid)):
            raise Refused(errno.ENOENT, str(pid))
        key = self._free(state, name)
        state = files.make_directories(state, self._settings.namespaces)
        return attrs.evolve(state, names=with_row(state.names, key, NameRow(LINK, pid=pid)))

    def _remove(self, state: State, name: str) -> State:
        check_component(name)
        row = state.names.get((self._settings.namespaces, name))
        if row is None:
            raise Refused(errno.ENOENT, name)
        state = attrs.evolve(state, names=without(state.names, (self._settings.namespaces, name)))
        return laws.network_lets_go(state, row.network) if row.kind == BIND else state

"""The control groups port on the fake: cgroups(7), with the rounding that was measured."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno

import attrs

from bocker.core.limits import Limits
from bocker.core.spec import DeviceRule
from bocker.fakes import groups, programs
from bocker.fakes.errors import Refused
from bocker.fakes.files import check_component
from bocker.fakes.state import GroupRow, State, new_id, put_group, put_process, without
from bocker.fakes.view import View
from bocker.kernel.cgroups import Cgroups, Layout, Usage

CONTROLLERS = ("cpu", "memory", "pids", "devices")


class FakeCgroups(View, Cgroups):
    """The groups below `Settings.cgroup_parent`."""

    __slots__ = ()
    name = "cgroups"

    def layout(self) -> Layout:
        return self._ask("layout", "", lambda state: self._layout())

    def create(self, name: str) -> None:
        self._change("create", name, lambda state: self._create(state, name))

    def limit(self, name: str, limits: Limits, device_rules: tuple[DeviceRule, ...] = ()) -> Limits:
        return self._apply("limit", name, lambda state: self._limit(state, name, limits, device_rules))

    def add(self, name: str, pid: int) -> None:
        self._change("add", name, lambda state: self._add(state, name, pid))

    def members(self, name: str) -> tuple[int, ...]:
        return self._ask(
            "members", name, lambda state: tuple(row.pid for row in groups.members(state, self._called(state, name).id))
        )

    def usage(self, name: str) -> Usage:
        return self._ask("usage", name, lambda state: _usage(state, self._called(state, name)))

    def remove(self, name: str) -> None:
        self._change("remove", name, lambda state: self._remove(state, name))

    def names(self) -> tuple[str, ...]:
        return self._ask("names", "", lambda state: tuple(sorted(row.name for row in self._groups(state))))

    def remove_parent(self) -> None:
        self._change("remove_parent", self._parent, self._remove_parent)

    @property
    def _parent(self) -> str:
        return self._settings.cgroup_parent

    def _layout(self) -> Layout:
        version = self._world.cgroup_version
        if not version:
            raise Refused(errno.ENOSYS, "no control groups")
        if version == 1:
            return Layout(version, CONTROLLERS, self._world.swap, self._world.hierarchies)
        return Layout(version, CONTROLLERS, self._world.swap)

    def _called(self, state: State, name: str) -> GroupRow:
        self._layout()
        check_component(name)
        return groups.group_called(state, self._parent, name)

    def _groups(self, state: State) -> list[GroupRow]:
        self._layout()
        return [row for row in state.groups.values() if row.parent == self._parent]

    def _create(self, state: State, name: str) -> State:
        layout = self._layout()
        check_component(name)
        if groups.find_group(state, self._parent, name) is not None:
            raise Refused(errno.EEXIST, name)
        state, number = new_id(attrs.evolve(state, parents=state.parents | {self._parent}))
        parts = frozenset(layout.controllers if layout.version == 1 else ("unified",))
        return put_group(state, GroupRow(number, self._parent, name, parts))

    def _limit(
        self, state: State, name: str, limits: Limits, device_rules: tuple[DeviceRule, ...]
    ) -> tuple[State, Limits | Refused]:
        group = self._called(state, name)
        kept, refused = groups.set_limits(group.limits, limits, groups.used_bytes(state, group.id))
        state = put_group(state, attrs.evolve(group, limits=kept))
        if refused is not None:
            return state, refused
        rules = device_rules if "devices" in self._layout().controllers else ()
        for rule in rules:
            groups.check_rule(rule)
        return put_group(state, attrs.evolve(group, limits=kept, device_rules=rules or group.device_rules)), kept

    def _add(self, state: State, name: str, pid: int) -> State:
        group = self._called(state, name)
        row = state.processes.get(pid)
        if row is None:
            raise Refused(errno.ESRCH, str(pid))
        return put_process(state, attrs.evolve(row, group=group.id)) if programs.is_alive(row) else state

    def _remove(self, state: State, name: str) -> State:
        group = self._called(state, name)
        if groups.members(state, group.id):
            raise Refused(errno.EBUSY, name)
        return attrs.evolve(state, groups=without(state.groups, group.id))

    def _remove_parent(self, state: State) -> State:
        if self._groups(state):
            raise Refused(errno.EBUSY, self._parent)
        return attrs.evolve(state, parents=state.parents - {self._parent})


def _usage(state: State, group: GroupRow) -> Usage:
    return Usage(group.oom_kills, groups.used_bytes(state, group.id), len(groups.members(state, group.id)))

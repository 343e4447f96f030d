"""What no kernel can be in is a defect of the fake, and no step gets through with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from bocker.fakes import BrokenInvariant, FakeKernel, World
from bocker.fakes.state import BIND, LockRow, NameRow, Place, RouteRow, State, TransferRow
from bocker.kernel.http import Request
from tests.contracts.specs import SLEEPER, Containers
from tests.unit.fake_lab import FakeStage

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = 99_999  # no id of anything


@pytest.fixture
def furnished(world: World, kernel: FakeKernel) -> World:
    Containers(kernel, kernel.settings, FakeStage(world, kernel)).start(*SLEEPER)
    return world


def first(table: object) -> int:
    assert isinstance(table, dict)
    return int(next(iter(table)))


def link(state: State, name: str, /, **changes: object) -> State:
    (row,) = (row for row in state.links.values() if row.name == name)
    return attrs.evolve(state, links={**state.links, row.id: attrs.evolve(row, **changes)})


def process(state: State, **changes: object) -> State:
    (row,) = (row for row in state.processes.values() if row.first)
    return attrs.evolve(state, processes={**state.processes, row.pid: attrs.evolve(row, **changes)})


def network_of_the_container(state: State) -> int:
    (row,) = (row for row in state.processes.values() if row.first)
    return row.namespaces["network"]


def locked(state: State, *shared: bool) -> State:
    rows = {number: LockRow(number, "/root", "name", 301, mode, 7) for number, mode in enumerate(shared)}
    return attrs.evolve(state, locks=rows)


BROKEN: dict[str, Callable[[State], State]] = {
    "two links of one name": lambda state: link(state, "veth0_ps_42002", name="bridge0"),
    "a link of no namespace": lambda state: link(state, "bridge0", network=NONE),
    "a peer of another": lambda state: link(state, "eth0", peer=first(state.links)),
    "a bridge that is gone": lambda state: link(state, "veth0_ps_42002", master=NONE),
    "a route over no link": lambda state: attrs.evolve(state, routes={0: RouteRow(1, NONE)}),
    "a route over a link that is down": lambda state: link(state, "eth0", up=False),
    "a route over a link elsewhere": lambda state: attrs.evolve(
        state, routes={network_of_the_container(state): RouteRow(1, first(state.links))}
    ),
    "a name of no namespace": lambda state: attrs.evolve(state, names={("/run/netns", "x"): NameRow(BIND, NONE)}),
    "a process in no group": lambda state: process(state, group=NONE),
    "a process that nobody holds": lambda state: process(state, handle=NONE),
    "a process in no network": lambda state: process(state, namespaces={"network": NONE}),
    "a network that ended under its process": lambda state: attrs.evolve(
        state,
        networks={0: state.networks[0]},
        links={number: row for number, row in state.links.items() if not row.network and row.peer is None},
        routes={},
    ),
    "a handle of no process": lambda state: attrs.evolve(
        state, handles={number: attrs.evolve(row, pid=NONE) for number, row in state.handles.items()}
    ),
    "a transfer of nobody's": lambda state: attrs.evolve(
        state, transfers={1: TransferRow(1, NONE, "download", Request("GET", "http://x/"), "/x")}
    ),
    "a file system without a tree": lambda state: attrs.evolve(
        state, filesystems={number: attrs.evolve(row, top=NONE) for number, row in state.filesystems.items()}
    ),
    "a mount of no tree": lambda state: attrs.evolve(
        state, mounts={0: (attrs.evolve(state.mounts[0][0], place=Place(NONE, "")),)}
    ),
    "a lock that two have alone": lambda state: locked(state, False, False),
    "a lock that one has alone and another shares": lambda state: locked(state, True, False),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_step_that_breaks_the_machine_is_not_made(furnished: World, broken: Callable[[State], State]) -> None:
    before = furnished.state
    with pytest.raises(BrokenInvariant):
        furnished.change("test", "", broken)
    assert furnished.state is before


def test_a_lock_may_be_shared(furnished: World) -> None:
    furnished.change("test", "", lambda state: locked(state, True, True))

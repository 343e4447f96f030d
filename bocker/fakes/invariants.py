"""What is true of every state: checked after each step, for the tables that it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bocker.fakes.errors import BrokenInvariant
from bocker.fakes.state import BIND, RUNNING, State


def check(before: State, after: State) -> None:
    """Raise BrokenInvariant when `after` is a state that no kernel can be in."""
    for tables, rule in RULES:
        if any(getattr(before, table) is not getattr(after, table) for table in tables):
            for complaint in rule(after):
                raise BrokenInvariant(complaint)


def _links(state: State) -> Iterator[str]:
    seen = set()
    for link in state.links.values():
        if (link.network, link.name) in seen:
            yield f"two links called {link.name} in one namespace"
        seen.add((link.network, link.name))
        if link.network not in state.networks:
            yield f"{link.name} is in a namespace that ended"
        if link.peer is not None and state.links[link.peer].peer != link.id:
            yield f"{link.name} is not its peer's peer"
        if link.master is not None and link.master not in state.links:
            yield f"{link.name} is on a bridge that is gone"


def _routes(state: State) -> Iterator[str]:
    for network, route in state.routes.items():
        link = state.links.get(route.link)
        if link is None or not link.up or link.network != network:
            yield f"a route of namespace {network} leads over no link"


def _names(state: State) -> Iterator[str]:
    for (_, name), row in state.names.items():
        if row.kind == BIND and row.network not in state.networks:
            yield f"{name} holds a namespace that ended"


def _processes(state: State) -> Iterator[str]:
    for row in state.processes.values():
        if row.group is not None and row.group not in state.groups:
            yield f"process {row.pid} is in a group that is gone"
        if row.handle is not None and row.handle not in state.handles:
            yield f"nobody holds process {row.pid}"
        if row.phase == RUNNING and row.namespaces.get("network", 0) not in state.networks:
            yield f"process {row.pid} runs in a network that ended"
    for handle in state.handles.values():
        if handle.pid not in state.processes:
            yield f"handle {handle.id} leads to no process"


def _transfers(state: State) -> Iterator[str]:
    for row in state.transfers.values():
        if row.program not in state.processes:
            yield f"transfer {row.id} is nobody's"


def _trees(state: State) -> Iterator[str]:
    for filesystem in state.filesystems.values():
        if filesystem.top not in state.subvolumes:
            yield f"file system {filesystem.id} has no tree"
    for mounts in state.mounts.values():
        for mount in mounts:
            if mount.place.subvolume not in state.subvolumes:
                # kernel-facts, btrfs: a subvolume is deleted while it is mounted, and the mounts vanish
                yield f"{mount.target} mounts a tree that is gone"


def _locks(state: State) -> Iterator[str]:
    alone = {(row.tree, row.root, row.name): row.id for row in state.locks.values() if not row.shared}
    for row in state.locks.values():
        if alone.get((row.tree, row.root, row.name), row.id) != row.id:
            yield f"the lock {row.name} is held by one alone and by another"


RULES: tuple[tuple[tuple[str, ...], Callable[[State], Iterator[str]]], ...] = (
    (("links", "networks"), _links),
    (("routes", "links"), _routes),
    (("names", "networks"), _names),
    (("processes", "handles", "groups", "networks"), _processes),
    (("transfers", "processes"), _transfers),
    (("filesystems", "mounts"), _trees),
    (("locks",), _locks),
)

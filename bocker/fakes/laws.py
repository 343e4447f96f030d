"""The laws that cross subjects: what the kernel does by itself when something ends or time passes.

Each names its manual page and the contract that holds Linux to it. A law is a pure function from
state to state; the views call the first of a chain, and the chain is the kernel's own.
"""

from __future__ import annotations

import attrs

from bocker.fakes.state import BIND, HOST, LINK, ZOMBIE, NameRow, ProcessRow, State, put_process, with_row, without
from bocker.kernel.processes import Exited

# Between the end of a namespace's last holder and the end of its links, measured 8 to 24 ms.
NETWORK_END_NS = 15_000_000
SIGKILL = 9
NETWORK = "network"


def process_ends(state: State, pid: int, exited: Exited) -> State:
    """A process ends: wait(2). It stays a zombie while its parent holds a handle on it, and lets
    go of its group, its mounts and its namespaces at once, not when it is reaped.

    Contract: ProcessesContract.test_a_zombie_is_not_alive.
    """
    row = state.processes.get(pid)
    if row is None or row.phase == ZOMBIE:
        return state
    if row.handle is not None:
        dead = attrs.evolve(row, phase=ZOMBIE, exited=exited, verbs=(), wakes_ns=None, group=None, memory_bytes=0)
        state = put_process(state, dead)
    else:
        state = attrs.evolve(state, processes=without(state.processes, pid))
    if row.first:
        state = pid_namespace_ends(state, row.namespaces["pid"])
    return _lets_go(state, row)


def pid_namespace_ends(state: State, namespace: int) -> State:
    """The first process of a pid namespace takes all others with it, by SIGKILL: pid_namespaces(7).

    Contract: ProcessesContract.test_the_first_process_takes_the_others_with_it.
    """
    for row in tuple(state.processes.values()):
        if row.namespaces.get("pid") == namespace and row.phase != ZOMBIE:
            state = process_ends(state, row.pid, Exited(None, SIGKILL))
    return state


def waits_for_others(state: State, row: ProcessRow) -> bool:
    """The end of a first process is told to its parent only when all others of its pid namespace
    have been reaped: pid_namespaces(7), `zap_pid_ns_processes` in the kernel. One that entered the
    container is reaped by the program that made it enter.

    Contract: ProcessesContract.test_members_die_with_the_first_process.
    """
    return row.first and any(
        other.pid != row.pid and other.namespaces.get("pid") == row.namespaces["pid"]
        for other in state.processes.values()
    )


def parent_ends(state: State, pid: int) -> State:
    """Children of a program that ends are killed (PR_SET_PDEATHSIG, prctl(2)), the one that does its
    transfers too, its locks are let go (flock(2)), and what it held of its children is closed.

    Contract: none, as a contract can't end its own program; the system tests of `run` do.
    """
    handles = {number: row for number, row in state.handles.items() if row.program != pid}
    locks = {key: row for key, row in state.locks.items() if row.program != pid}
    transfers = {key: row for key, row in state.transfers.items() if row.program != pid}
    signals = without(state.signals, pid)
    state = attrs.evolve(state, handles=handles, locks=locks, transfers=transfers, signals=signals)
    for row in tuple(state.processes.values()):
        if row.parent == pid and row.pid in state.processes:
            state = process_ends(state, row.pid, Exited(None, SIGKILL))
            state = attrs.evolve(state, processes=without(state.processes, row.pid))
    return process_ends(state, pid, Exited(None, SIGKILL))


def _lets_go(state: State, row: ProcessRow) -> State:
    alive = [other.namespaces for other in state.processes.values() if other.phase != ZOMBIE]
    mounts = row.namespaces.get("mount", HOST)
    if mounts != HOST and not any(held.get("mount") == mounts for held in alive):
        state = mount_namespace_ends(state, mounts)
    return network_lets_go(state, row.namespaces.get(NETWORK, HOST))


def mount_namespace_ends(state: State, namespace: int) -> State:
    """With its last process a mount namespace ends, and the file systems that only it had mounted:
    mount_namespaces(7). The tree at its root is the store's and stays.

    Contract: PlansContract.test_a_tmpfs_ends_with_its_container.
    """
    own = {state.subvolumes[mount.place.subvolume].filesystem for mount in state.mounts.get(namespace, ())}
    ending = {number for number in own if state.filesystems[number].source == f"mount:{namespace}"}
    return attrs.evolve(
        state,
        mounts=without(state.mounts, namespace),
        filesystems=without(state.filesystems, *ending),
        subvolumes={number: row for number, row in state.subvolumes.items() if row.filesystem not in ending},
    )


def network_lets_go(state: State, network: int) -> State:
    """A network namespace without process and without bind mount ends, but *later*: its links, and
    their peers on the host, are still seen for some milliseconds: network_namespaces(7).

    Contract: NamespacesContract.test_the_links_of_a_removed_namespace_go_some_time_later.
    """
    row = state.networks.get(network)
    if network == HOST or row is None or network_is_held(state, network):
        return state
    ending = attrs.evolve(row, ends_ns=state.clock_ns + NETWORK_END_NS)
    return attrs.evolve(state, networks=with_row(state.networks, network, ending))


def network_is_held(state: State, network: int) -> bool:
    """Tell whether a process or a bind mount holds a network namespace. A symbolic link to
    `/proc/PID/ns/net` holds nothing: ip-netns(8)."""
    return any(row.kind == BIND and row.network == network for row in state.names.values()) or any(
        row.namespaces.get(NETWORK) == network and row.phase != ZOMBIE for row in state.processes.values()
    )


def network_of_name(state: State, name: NameRow) -> int | None:
    """Return the namespace that a name leads to, None when it leads nowhere any more."""
    if name.kind == LINK:
        row = state.processes.get(name.pid)
        return None if row is None or row.phase == ZOMBIE else row.namespaces.get(NETWORK, HOST)
    return name.network


def network_ends(state: State, network: int) -> State:
    """The links of a namespace end with it, virtual ones for good: network_namespaces(7).

    Contract: NamespacesContract.test_the_links_of_a_removed_namespace_go_some_time_later.
    """
    for number, link in tuple(state.links.items()):
        if link.network == network and number in state.links:
            state = link_ends(state, number)
    return attrs.evolve(state, networks=without(state.networks, network))


def link_ends(state: State, link: int) -> State:
    """A link takes the routes over it, its place on a bridge and, for a veth, its peer with it, in
    the same instant: veth(4), ip-link(8).

    Contract: NetworkContract.test_deleting_one_end_deletes_both_at_once.
    """
    row = state.links[link]
    gone = {link, row.peer} if row.peer is not None else {link}
    links = {
        number: attrs.evolve(other, master=None) if other.master in gone else other
        for number, other in state.links.items()
        if number not in gone
    }
    routes = {network: route for network, route in state.routes.items() if route.link not in gone}
    return attrs.evolve(state, links=links, routes=routes)


def link_goes_down(state: State, link: int) -> State:
    """Down takes the routes over a link away; up again does not bring the default route back:
    ip-link(8), ip-route(8).

    Contract: NetworkContract.test_down_takes_the_default_route_and_up_does_not_bring_it_back.
    """
    routes = {network: route for network, route in state.routes.items() if route.link != link}
    return attrs.evolve(
        state,
        links=with_row(state.links, link, attrs.evolve(state.links[link], up=False)),
        routes=routes,
    )


def next_due_ns(state: State) -> int | None:
    """Return when the next thing happens by itself, None when nothing ever will."""
    due = [row.ends_ns for row in state.networks.values() if row.ends_ns is not None]
    due += [row.wakes_ns for row in state.processes.values() if row.wakes_ns is not None]
    return min(due, default=None)

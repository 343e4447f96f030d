"""The state as text: short, sorted, without numbers that mean nothing to a person."""

from __future__ import annotations

from bocker.fakes.state import DIRECTORY, HOST, SUBVOLUME, Entry, LinkRow, ProcessRow, State


def text(state: State) -> str:
    """Return a line for each thing that is there."""
    lines = [*_mounts(state), *_subvolumes(state), *_links(state), *_names(state), *_groups(state), *_processes(state)]
    lines += [f"table {name} {row.subnet or 'not ours'}" for name, row in state.tables.items()]
    lines += [f"lock {row.name} {'shared' if row.shared else 'held'} by {row.program}" for row in state.locks.values()]
    lines += [
        f"{row.method} {row.path} {row.start + row.done} of {row.size_bytes} bytes" for row in state.transfers.values()
    ]
    return "\n".join(sorted(lines))


def _mounts(state: State) -> list[str]:
    return [f"mount {row.target} {row.kind} {','.join(row.flags)}" for row in state.mounts[HOST]]


def _subvolumes(state: State) -> list[str]:
    stores = {row.top: row for row in state.filesystems.values() if row.kind == "btrfs"}
    return [
        f"store {stores[number].source} {path}{_shown(state, entry)}"
        for number in stores
        for path, entry in state.subvolumes[number].files.items()
        if path and entry.kind != DIRECTORY
    ]


def _shown(state: State, entry: Entry) -> str:
    if entry.kind != SUBVOLUME:
        return f" {entry.kind} of {len(entry.content)} bytes"
    row = state.subvolumes[entry.subvolume]
    return f" subvolume of {len(row.files)} files{' read-only' if row.read_only else ''}"


def _links(state: State) -> list[str]:
    return [_link(state, row) for row in state.links.values()]


def _link(state: State, row: LinkRow) -> str:
    master = "" if row.master is None else f" on {state.links[row.master].name}"
    peer = "" if row.peer is None else f" peer {state.links[row.peer].name}"
    addresses = "".join(f" {address}" for address in row.addresses)
    return f"link {_network(state, row.network)} {row.name} {'up' if row.up else 'down'}{master}{peer}{addresses}"


def _network(state: State, network: int) -> str:
    if network == HOST:
        return "host"
    ending = " (ending)" if state.networks[network].ends_ns is not None else ""
    return f"namespace {network}{ending}"


def _names(state: State) -> list[str]:
    return [
        f"name {name} -> {f'process {row.pid}' if row.kind == 'link' else f'namespace {row.network}'}"
        for (_, name), row in state.names.items()
    ]


def _groups(state: State) -> list[str]:
    return [f"group {row.parent}/{row.name} {','.join(sorted(row.parts))}" for row in state.groups.values()]


def _processes(state: State) -> list[str]:
    return [_process(state, row) for row in state.processes.values()]


def _process(state: State, row: ProcessRow) -> str:
    group = "" if row.group is None else f" in {state.groups[row.group].name}"
    first = " first" if row.first else ""
    return f"process {row.pid} {row.phase}{first} {row.program}{group}"

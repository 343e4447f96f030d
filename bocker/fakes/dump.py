"""The state as text: short, sorted, and the same of two machines on which the same was done.

What nobody chose is not in it: process ids, ids of namespaces, indices, UUIDs, times, MACs that the
kernel drew. A thing is called by its name or by who holds it, so two that nothing tells apart are the
same line twice. Whoever reads a real kernel (`tests/system/dump.py`) makes his lines by the same functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

from bocker.core.addresses import dotted
from bocker.core.limits import Limits
from bocker.core.spec import NETWORK
from bocker.fakes import groups, images, laws
from bocker.fakes.state import (
    BIND,
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FILE,
    HOST,
    PREPARING,
    SUBVOLUME,
    SYMLINK,
    ZOMBIE,
    Entry,
    GroupRow,
    LinkRow,
    MountRow,
    Place,
    ProcessRow,
    State,
    SubvolumeRow,
)
from bocker.kernel.network import Link

HOSTS_OWN = "host"
NOBODY = "nobody"
COVERED = "is covered by a mount"
KINDS = ("ipc", "mount", "network", "pid", "uts")
SHOWN_FLAGS = ("nodev", "noexec", "nosuid", "ro")
DIGEST_DIGITS = 8
PARTS = {1: frozenset({"cpu", "devices", "memory", "pids"}), 2: frozenset({"unified"})}
LARGE = 4096


def text(state: State, whole: bool = False) -> str:
    """Return a line for each thing that is there.

    Without `whole` a subvolume is one line, with a digest of all that is in it; of other files there is only
    the size; what a snapshot was made of, directories, MACs, the host's own files and settings are left out.
    """
    networks, containers = network_names(state), container_names(state)
    lines = [*_mounts(state), *_stores(state, whole), *_links(state, networks, whole), *_routes(state, networks)]
    lines += [*_names(state, networks), *_groups(state), *_processes(state, containers)]
    lines += [table(name, row.subnet, row.bridge) for name, row in state.tables.items()]
    lines += [lock(row.name, row.shared) for row in state.locks.values()]
    lines += [
        f"{row.method} {row.path} {row.start + row.done} of {row.size_bytes} bytes" for row in state.transfers.values()
    ]
    if whole:
        lines += [*_host_files(state), *_sysctls(state), *_mounts_of_containers(state, containers)]
        lines += [f"group {parent}" for parent in state.parents]
    return "\n".join(sorted(lines))


def container_names(state: State) -> dict[int, str]:
    """Return the name of each container that has processes, by its pid namespace."""
    rows = [row for row in state.processes.values() if row.spec is not None]
    return {row.namespaces["pid"]: row.spec.name for row in sorted(rows, key=lambda row: row.first) if row.spec}


def network_names(state: State) -> dict[int, str]:
    """Return what each network namespace is called by: the names and the containers that hold it."""
    holders: dict[int, set[str]] = {number: set() for number in state.networks}
    for (_, name), held in state.names.items():
        if held.kind == BIND:
            holders[held.network].add(name)
    containers = container_names(state)
    for row in state.processes.values():
        if row.spec is not None and row.phase != ZOMBIE:
            holders[row.namespaces.get(NETWORK, HOST)].add(containers[row.namespaces["pid"]])
    called = {number: holder(names) for number, names in holders.items()}
    return {**called, HOST: HOSTS_OWN}


def holder(names: Collection[str]) -> str:
    """Return who holds a namespace as a word."""
    return "+".join(sorted(names)) or NOBODY


def mount(target: str, kind: str, flags: Iterable[str]) -> str:
    """Return the line of a mount of the host's."""
    return f"mount {target} {kind} {_flags(flags)}".rstrip()


def _flags(flags: Iterable[str]) -> str:
    return ",".join(sorted(set(flags).intersection(SHOWN_FLAGS)))


def _mounts(state: State) -> Iterator[str]:
    return (mount(row.target, row.kind, row.flags) for row in state.mounts[HOST] if row.target != "/")


def _stores(state: State, whole: bool) -> Iterator[str]:
    for row in state.filesystems.values():
        if row.kind == "btrfs":
            place = _place(state, row.top, row.source)
            covered = {one.target[len(place) + 1 :] for one in state.mounts[HOST] if one.target.startswith(f"{place}/")}
            for path, said in _tree(state, state.subvolumes[row.top], "", whole):
                yield f"store {place} {path} {COVERED if path in covered else said}"


def _place(state: State, top: int, source: str) -> str:
    targets = [row.target for row in state.mounts[HOST] if row.place == Place(top, "")]
    return targets[0] if targets else source


def _tree(state: State, row: SubvolumeRow, above: str, whole: bool) -> Iterator[tuple[str, str]]:
    texts = entry_texts(row)
    for path, entry in row.files.items():
        if entry.kind == SUBVOLUME:
            inner = state.subvolumes[entry.subvolume]
            yield above + path, subvolume(state, inner, whole)
            yield from _tree(state, inner, f"{above}{path}/", whole)
        elif path and whole:
            yield above + path, texts[path]
        elif path and not above and entry.kind != DIRECTORY:
            yield path, f"{entry.kind} of {len(entry.content)} bytes"


def subvolume(state: State, row: SubvolumeRow, whole: bool) -> str:
    """Return what is said of a subvolume behind its name."""
    texts = entry_texts(row)
    inside = f" of {len(texts)} files {listing_digest(texts)}"
    top = row.files[""]
    origin = f" made of {name_of_uuid(state, row)}" if whole and row.parent_uuid else ""
    return subvolume_text(top.mode, (top.uid, top.gid), origin, row.read_only) + ("" if whole else inside)


def subvolume_text(mode: int, owner: tuple[int, int], origin: str, read_only: bool) -> str:
    """Return what is said of a subvolume behind its name; origin: ` made of NAME`, or nothing."""
    return f"subvolume {mode:04o}{_owner(owner)}{origin}{' read-only' if read_only else ''}"


def name_of_uuid(state: State, row: SubvolumeRow) -> str:
    """Return the name of the subvolume that one is a snapshot of, as long as that is there."""
    uuids = {other.id: other.uuid for other in state.subvolumes.values() if other.filesystem == row.filesystem}
    for number in uuids:
        for path, entry in state.subvolumes[number].files.items():
            if entry.kind == SUBVOLUME and uuids.get(entry.subvolume) == row.parent_uuid:
                return path
    return "one that is gone"


def entry_texts(row: SubvolumeRow) -> dict[str, str]:
    """Return what is said of each file of a tree behind its path; of a file's second name, which one is the first."""
    first: dict[int, str] = {}
    texts = {}
    for path, entry in sorted(row.files.items()):
        again = first.setdefault(entry.inode, path) if entry.inode else path
        texts[path] = _entry(entry) if again == path else same_as(again)
    return texts


def same_as(path: str) -> str:
    """Return what is said of a further name of a file."""
    return f"same as {path}"


def listing_digest(texts: Mapping[str, str]) -> str:
    """Return a word that is another one when anything in a tree is."""
    return digest("\n".join(f"{path} {said}" for path, said in texts.items()).encode("utf-8", "surrogateescape"))


def _entry(entry: Entry) -> str:
    return entry_text(
        entry.kind,
        entry.mode,
        (entry.uid, entry.gid),
        (len(entry.content), digest(entry.content)),
        entry.target,
        entry.device,
        tuple(name for name, _ in entry.xattrs),
    )


def entry_text(
    kind: str,
    mode: int,
    owner: tuple[int, int] = (0, 0),
    content: tuple[int, str] = (0, ""),
    target: str = "",
    device: tuple[int, int] = (0, 0),
    attributes: tuple[str, ...] = (),
) -> str:
    """Return what is said of a file behind its path. content: its length and digest."""
    what = f"{kind} {target}" if kind == SYMLINK else f"{kind} {mode:04o}"
    if kind == FILE:
        what += f" {content[0]} bytes {content[1]}".rstrip()
    if kind in {CHARACTER, BLOCK}:
        what += f" {device[0]}:{device[1]}"
    return what + _owner(owner) + "".join(f" {name}" for name in sorted(attributes))


def _owner(owner: tuple[int, int]) -> str:
    return "" if owner == (0, 0) else f" owner {owner[0]}:{owner[1]}"


def digest(content: bytes) -> str:
    """Return a short word for what a file holds; none for nothing."""
    return _digest(content) if content else ""


@lru_cache(maxsize=LARGE)
def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_DIGITS]


def link(network: str, shown: Link, peer: str | None) -> str:
    """Return the line of a link. Its MAC is empty where the kernel drew it."""
    words = [f"link {network} {shown.name} {'up' if shown.up else 'down'}"]
    words += [f"on {shown.master}"] if shown.master else []
    words += [f"peer {peer}"] if peer else []
    words += [str(address) for address in shown.addresses]
    words += [shown.mac] if shown.mac else []
    words += [f"alias {shown.alias}"] if shown.alias else []
    return " ".join(words)


def _links(state: State, networks: Mapping[int, str], whole: bool) -> Iterator[str]:
    return (_link(state, row, networks, whole) for row in state.links.values())


def _link(state: State, row: LinkRow, networks: Mapping[int, str], whole: bool) -> str:
    master = None if row.master is None else state.links[row.master].name
    peer = None if row.peer is None else peer_name(state.links[row.peer], row, networks)
    mac = row.mac if whole and not row.drawn and row.kind != "loopback" else ""
    shown = Link(row.name, row.index, row.kind, mac, row.up, master, row.alias, row.addresses)
    return link(_network(state, row.network, networks), shown, peer)


def peer_name(peer: LinkRow, row: LinkRow, networks: Mapping[int, str]) -> str:
    """Return the name of a link's other end, and where that is when it is elsewhere."""
    return peer.name if peer.network == row.network else f"{peer.name} of {networks[peer.network]}"


def _network(state: State, network: int, networks: Mapping[int, str]) -> str:
    return networks[network] + (" (ending)" if state.networks[network].ends_ns is not None else "")


def route(network: str, gateway: int) -> str:
    """Return the line of a default route."""
    return f"route {network} by {dotted(gateway)}"


def _routes(state: State, networks: Mapping[int, str]) -> Iterator[str]:
    return (route(networks[network], row.gateway) for network, row in state.routes.items())


def name_line(name: str, target: str | None) -> str:
    """Return the line of a namespace's name. target: where it leads when it holds nothing itself."""
    return f"name {name}" if target is None else f"name {name} -> {target}"


def _names(state: State, networks: Mapping[int, str]) -> Iterator[str]:
    for (_, name), row in state.names.items():
        network = laws.network_of_name(state, row)
        yield name_line(name, None if row.kind == BIND else NOBODY if network is None else networks[network])


def group(path: str, parts: Collection[str], limits: Limits | None, processes: int, oom_kills: int) -> str:
    """Return the line of a control group: the hierarchies that have it, the limits that somebody set, who is in it."""
    words = [f"group {path}"]
    words += [",".join(sorted(parts))] if parts not in PARTS.values() else []
    for field, value in (limits or groups.UNLIMITED).fields().items():
        words += [f"{field} {value}"] if value != getattr(groups.UNLIMITED, field) else []
    words += [f"{processes} processes"] if processes else []
    words += [f"{oom_kills} killed"] if oom_kills else []
    return " ".join(words)


def _groups(state: State) -> Iterator[str]:
    return (_group(state, row) for row in state.groups.values())


def _group(state: State, row: GroupRow) -> str:
    processes = [one for one in state.processes.values() if one.group == row.id and one.phase != ZOMBIE]
    return group(f"{row.parent}/{row.name}", row.parts, row.limits, len(processes), row.oom_kills)


def process(container: str, role: str, phase: str, group: str | None, apart: Collection[str]) -> str:
    """Return the line of a process in a container. apart: the kinds of namespaces in which it is not with the first."""
    where = f" in {group}" if group else ""
    return f"process {container} {role} {phase}{where}{' apart in ' if apart else ''}{','.join(sorted(apart))}"


def _processes(state: State, containers: Mapping[int, str]) -> Iterator[str]:
    for row in state.processes.values():
        yield f"process {row.program}" if row.spec is None else _process(state, row, containers)


def _process(state: State, row: ProcessRow, containers: Mapping[int, str]) -> str:
    role = "first" if row.first else "child" if row.handle is None else "member"
    name = containers[row.namespaces["pid"]]
    if row.phase == ZOMBIE:
        return process(name, role, ZOMBIE, None, ())
    inside = None if row.group is None else state.groups[row.group].name
    return process(name, role, row.phase, inside, _apart(state, row))


def _apart(state: State, row: ProcessRow) -> set[str]:
    """Return in which namespaces a process is not where the first process of its container is."""
    firsts = (one for one in state.processes.values() if one.first and one.phase != ZOMBIE)
    there = next((one.namespaces for one in firsts if one.namespaces["pid"] == row.namespaces["pid"]), row.namespaces)
    return {kind for kind in KINDS if row.namespaces.get(kind, HOST) != there.get(kind, HOST)}


def table(name: str, subnet: object, bridge: str) -> str:
    """Return the line of a firewall table; without a subnet it is not one of ours."""
    return f"table {name} {subnet} {bridge}" if subnet else f"table {name} not ours"


def lock(name: str, shared: bool) -> str:
    """Return the line of a held lock."""
    return f"lock {name} {'shared' if shared else 'held'}"


def mounts_of(container: str, targets: Iterable[str]) -> str:
    """Return the line of what the first process of a container sees mounted."""
    return f"mounts {container} {' '.join(sorted(targets))}"


def _mounts_of_containers(state: State, containers: Mapping[int, str]) -> Iterator[str]:
    for row in state.processes.values():
        if row.first and row.phase not in {PREPARING, ZOMBIE}:
            rows: tuple[MountRow, ...] = state.mounts.get(row.namespaces["mount"], ())
            yield mounts_of(containers[row.namespaces["pid"]], [one.target for one in rows])


def _host_files(state: State) -> Iterator[str]:
    """Give the files of the host's own file system that a bare machine has not, or has otherwise; what something
    is mounted on can't be seen."""
    root = next(row for row in state.mounts[HOST] if row.target == "/")
    bare, texts = bare_files(), entry_texts(state.subvolumes[root.place.subvolume])
    covered = {row.target for row in state.mounts[HOST]}
    other = {path: said for path, said in texts.items() if bare.get(path) != said and f"/{path}" not in covered}
    yield from (f"host /{path} {said}" for path, said in other.items())
    yield from (f"host /{path} is gone" for path in bare if path not in texts)


@lru_cache(maxsize=1)
def bare_files() -> dict[str, str]:
    """Return the files that every fake machine has."""
    state = images.bare_host(State())
    return entry_texts(next(iter(state.subvolumes.values())))


def setting(name: str, value: str) -> str:
    """Return the line of one of the kernel's settings."""
    return f"setting {name} {value}"


def _sysctls(state: State) -> Iterator[str]:
    """Give those of the network that belong to it: others are the machine's."""
    return (setting(name, value) for name, value in state.sysctls.items() if name.startswith("net."))

"""The state of the fake kernel: one frozen value with tables, keyed by stable ids.

A table never changes in place; a step makes a new table and a new `State` (`with_row`, `without`).
Relations are ids, never references, so that two states can be compared and an old one kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import attrs

from bocker.core.addresses import Interface, Subnet
from bocker.core.limits import Limits
from bocker.core.spec import ContainerSpec, DeviceRule, ExecSpec
from bocker.fakes.servers import Arrival
from bocker.kernel.http import Request
from bocker.kernel.processes import Exited, Output

K = TypeVar("K")
V = TypeVar("V")

HOST = 0  # the id of the host's own network, mount and pid namespace

DIRECTORY = "directory"
FILE = "file"
SYMLINK = "link"
CHARACTER = "character"
BLOCK = "block"
FIFO = "fifo"
SUBVOLUME = "subvolume"

PREPARING = "preparing"  # made by `create` or `enter`, waits for `release`
RUNNING = "running"
ZOMBIE = "zombie"

BIND = "bind"
LINK = "link"


@attrs.frozen
class Entry:
    """What a name in a directory leads to. `inode` is the same for hard links and 0 for a lone file;
    `subvolume` is the id of the tree that goes on here, `filesystem` that of the one in a file.
    Nobody may change an immutable entry, nor the names in an immutable directory (chattr(1)). What replaced
    another file by a rename is `flushed`: btrfs writes its content before the name."""

    kind: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    content: bytes = b""
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    inode: int = 0
    sparse: bool = False
    immutable: bool = False
    subvolume: int = 0
    filesystem: int = 0
    flushed: bool = False


@attrs.frozen
class SubvolumeRow:
    """A tree of files: path from its top (no leading slash, `""` is the top itself) to entry.

    made_of: what a snapshot had in it when it was taken. is_deleted: it has no name any more, and is there for those
    who still have it, or a part of it, mounted.
    """

    id: int
    filesystem: int
    files: Mapping[str, Entry]
    uuid: str = ""
    parent_uuid: str | None = None
    read_only: bool = False
    made_of: Mapping[str, Entry] = attrs.field(factory=dict, repr=False, eq=False)
    is_deleted: bool = False


@attrs.frozen
class FilesystemRow:
    """A file system; `top` is its first tree. `free_bytes` None: it never fills up. read_only: for all
    who have it mounted, as the kernel makes one that it can't write to any more."""

    id: int
    kind: str
    top: int
    source: str
    free_bytes: int | None = None
    read_only: bool = False


@attrs.frozen
class Place:
    """A path within one tree."""

    subvolume: int
    path: str


@attrs.frozen
class MountRow:
    """What is mounted at `target`, an absolute path in its mount namespace."""

    target: str
    place: Place
    kind: str
    source: str
    flags: tuple[str, ...] = ()


@attrs.frozen
class NetworkRow:
    """A network namespace. `ends_ns` is set once nothing holds it: its links die then."""

    id: int
    last_index: int = 0
    ends_ns: int | None = None


@attrs.frozen
class NameRow:
    """A name for `ip netns`: a bind mount that holds the namespace `network`, or a symbolic link
    to that of the process `pid`, which holds nothing."""

    kind: str
    network: int = 0
    pid: int = 0


@attrs.frozen
class LinkRow:
    """A network interface; `master` and `peer` are ids of links. drawn: the MAC is the kernel's choice."""

    id: int
    network: int
    index: int
    name: str
    kind: str
    mac: str
    up: bool = False
    master: int | None = None
    peer: int | None = None
    alias: str | None = None
    addresses: tuple[Interface, ...] = ()
    drawn: bool = False


@attrs.frozen
class RouteRow:
    """The default route of a network namespace."""

    gateway: int
    link: int


@attrs.frozen
class TableRow:
    """A firewall table; without a subnet it is one that is not ours."""

    subnet: Subnet | None = None
    bridge: str = ""


@attrs.frozen
class GroupRow:
    """A control group. `parts` are the hierarchies that have it: on version 1 one a controller."""

    id: int
    parent: str
    name: str
    parts: frozenset[str]
    limits: Limits | None = None
    device_rules: tuple[DeviceRule, ...] = ()
    oom_kills: int = 0


@attrs.frozen
class ProcessRow:
    """A process, a program of the host's (`spec` is None), or a container's.

    `namespaces` gives the id of each kind. `first` is pid 1 of its pid namespace. `verbs` are what
    its program will do yet, `wakes_ns` when it goes on. `handlers` maps a signal to the exit code
    that it leads to. `failed` is the step and the errno that a child met before its release.
    `handle` is what its parent holds, `output` the handle that its output goes to. `root` is the
    path of its root directory in its mount namespace: chroot(2). `groups` are its supplementary ones.

    Before its release: `pending` are the signals that wait for it, `sources` the places of the host's that it
    will mount, as its plan calls them, and of one that enters a container `target` is the process whose
    namespaces it will be in, but for its pid namespace, in which it is from the start.
    """

    pid: int
    start_ticks: int
    parent: int
    phase: str = RUNNING
    first: bool = False
    spec: ContainerSpec | ExecSpec | None = None
    namespaces: Mapping[str, int] = attrs.field(factory=dict)
    group: int | None = None
    handle: int | None = None
    output: int | None = None
    failed: tuple[str, int] | None = None
    target: int | None = None
    sources: Mapping[str, Place] = attrs.field(factory=dict)
    pending: frozenset[int] = frozenset()
    root: str = "/"
    program: str = ""
    groups: tuple[int, ...] = ()
    verbs: tuple[tuple[str, ...], ...] = ()
    wakes_ns: int | None = None
    handlers: Mapping[int, int] = attrs.field(factory=dict)
    ignored: frozenset[int] = frozenset()
    memory_bytes: int = 0
    hostname: str = ""
    sysctls: tuple[tuple[str, str], ...] = ()
    exited: Exited | None = None


@attrs.frozen
class HandleRow:
    """What the parent holds of a child: its output so far, and which streams it still reads."""

    id: int
    pid: int
    program: int
    output: tuple[Output, ...] = ()
    closed: frozenset[int] = frozenset()


@attrs.frozen
class LockRow:
    """A held lock: that of `name` in the records below `root`, held by a program, alone or shared. tree: the
    one in which its file lies, as something else may be mounted at `root` by now."""

    id: int
    root: str
    name: str
    program: int
    shared: bool
    tree: int = 0


@attrs.frozen
class TransferRow:
    """A download or an upload (`method`) of a program.

    `arrival` is the answer once its head has come; `start` what was in the file before the body, `done`
    how much of the body has gone since; `due_ns` when it goes on, `told_ns` when its program last heard of it.
    """

    id: int
    program: int
    method: str
    request: Request
    path: str
    size_bytes: int = 0
    arrival: Arrival | None = None
    start: int = 0
    done: int = 0
    due_ns: int = 0
    told_ns: int = 0


@attrs.frozen
class State:
    """Everything that the fake kernel knows at one instant.

    unsynced: the paths of trees that are not on disk as they are now, with what is there on disk (None for
    nothing). deleted: trees that are gone, and not yet on disk. clock_set_ns: how far the clock that people
    see is from `clock_ns`, which only goes forward. clone_errno: what whoever wants a new process is
    refused with, 0 for nothing.
    """

    clock_ns: int = 1_795_224_000_000_000_000
    boot: int = 1
    serial: int = 1000
    last_pid: int = 300
    filesystems: Mapping[int, FilesystemRow] = attrs.field(factory=dict)
    subvolumes: Mapping[int, SubvolumeRow] = attrs.field(factory=dict)
    unsynced: Mapping[tuple[int, str], Entry | None] = attrs.field(factory=dict)
    deleted: Mapping[int, SubvolumeRow] = attrs.field(factory=dict)
    mounts: Mapping[int, tuple[MountRow, ...]] = attrs.field(factory=dict)
    networks: Mapping[int, NetworkRow] = attrs.field(factory=dict)
    names: Mapping[tuple[str, str], NameRow] = attrs.field(factory=dict)
    links: Mapping[int, LinkRow] = attrs.field(factory=dict)
    routes: Mapping[int, RouteRow] = attrs.field(factory=dict)
    tables: Mapping[str, TableRow] = attrs.field(factory=dict)
    parents: frozenset[str] = frozenset()
    groups: Mapping[int, GroupRow] = attrs.field(factory=dict)
    processes: Mapping[int, ProcessRow] = attrs.field(factory=dict)
    handles: Mapping[int, HandleRow] = attrs.field(factory=dict)
    signals: Mapping[int, tuple[int, ...]] = attrs.field(factory=dict)
    locks: Mapping[int, LockRow] = attrs.field(factory=dict)
    transfers: Mapping[int, TransferRow] = attrs.field(factory=dict)
    sysctls: Mapping[str, str] = attrs.field(factory=dict)
    clock_set_ns: int = 0
    clone_errno: int = 0
    standard_input: bytes = b""
    standard_output: bytes = b""


def with_row(table: Mapping[K, V], key: K, row: V) -> dict[K, V]:
    """Return the table with one row added or replaced."""
    return {**table, key: row}


def without(table: Mapping[K, V], *keys: K) -> dict[K, V]:
    """Return the table without some rows."""
    gone = set(keys)
    return {key: row for key, row in table.items() if key not in gone}


def new_id(state: State) -> tuple[State, int]:
    """Give a stable id that nothing had before."""
    return attrs.evolve(state, serial=state.serial + 1), state.serial + 1


def put_process(state: State, row: ProcessRow) -> State:
    """Add or replace a process."""
    return attrs.evolve(state, processes=with_row(state.processes, row.pid, row))


def put_link(state: State, row: LinkRow) -> State:
    """Add or replace a link."""
    return attrs.evolve(state, links=with_row(state.links, row.id, row))


def put_group(state: State, row: GroupRow) -> State:
    """Add or replace a control group."""
    return attrs.evolve(state, groups=with_row(state.groups, row.id, row))

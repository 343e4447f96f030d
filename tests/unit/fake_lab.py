"""The lab on the fake: the same hands, on a world in memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

import attrs

from bocker.fakes import World, files, groups, images, laws, programs, storage, wire
from bocker.fakes.accounts import Helper
from bocker.fakes.errors import Refused
from bocker.fakes.state import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HOST,
    SUBVOLUME,
    SYMLINK,
    HandleRow,
    MountRow,
    Place,
    ProcessRow,
    State,
    new_id,
    put_process,
    with_row,
    without,
)
from bocker.fakes.state import Entry as Row
from bocker.kernel.accounts import MOST_BYTES
from bocker.kernel.processes import Exited
from tests.contracts.lab import (
    DENIED,
    ECHO,
    ENDLESS,
    FLOOD,
    FORBIDDEN,
    FULL,
    MISSING,
    NO_FIREWALL,
    NO_GROUPS,
    NO_RIGHTS,
    PLAIN,
    READ_ONLY,
    REFUSE,
    SLOW,
    SUICIDE,
    Entry,
    Lab,
)
from tests.contracts.specs import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.settings import Settings
    from bocker.fakes import FakeKernel

T = TypeVar("T")
HOLE_BYTES = 1 << 20
LONG_AGO_NS = 1_000_000_000_123_456_789
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
SIGKILL = 9

HELPERS: dict[str, Helper | None] = {
    ECHO: lambda verb, text: (0, verb.encode() + b" " + text),
    REFUSE: lambda verb, text: (3, b"refused\n"),
    SUICIDE: lambda verb, text: (128 + SIGKILL, b""),
    SLOW: lambda verb, text: None,
    ENDLESS: lambda verb, text: None,
    FLOOD: lambda verb, text: (0, bytes(MOST_BYTES + 1)),
    FORBIDDEN: None,
}


class FakeLab(Lab):
    def __init__(self, world: World, kernel: FakeKernel) -> None:
        self.world = world
        self.settings: Settings = kernel.settings
        self.directory = f"{self.settings.store}/.lab"
        self._kernel = kernel
        self._pids: set[int] = set()
        self.worlds = [world]
        self.make_directory(self.directory)

    def kernel(self, condition: str) -> FakeKernel:
        if condition == NO_GROUPS:
            return self._other_world(cgroup_version=0).kernel(self.settings)
        if condition == NO_FIREWALL:
            world = self._other_world()
            world.firewall = False
            return world.kernel(self.settings)
        if condition == NO_RIGHTS:
            self._kernel.may_administer_network = False
            return self._kernel
        return self.world.kernel(self.settings.replace(store=self.place(condition)))

    def _other_world(self, cgroup_version: int = 1) -> World:
        self.worlds.append(World(cgroup_version=cgroup_version))
        return self.worlds[-1]

    def place(self, condition: str) -> str:
        path = f"{self.directory}/{condition}"
        if condition != MISSING and not self.exists(path):
            self.make_directory(path)
            {PLAIN: self.mount, READ_ONLY: self._read_only, DENIED: self._denied, FULL: self._full}[condition](path)
        return path

    def make_directory(self, path: str) -> None:
        self._change("make_directory", path, lambda state: files.make_directory(state, path))

    def make_subvolume(self, path: str) -> None:
        self._change(
            "make_subvolume",
            path,
            lambda state: storage.add_subvolume(state, files.locate(state, path, follow=False).place),
        )

    def make_link(self, path: str, target: str) -> None:
        self._put(path, images.link(target))

    def write_file(self, path: str, data: bytes) -> None:
        self._change("write_file", path, lambda state: files.write_file(state, path, data))

    def read_file(self, path: str) -> bytes:
        return self.world.read_file(path)

    def exists(self, path: str) -> bool:
        return self.world.entry(path) is not None

    def fill(self, path: str) -> None:
        self.world.add_files(path, _every_kind())

    def tree(self, path: str) -> dict[str, Entry]:
        found = self.world.tree(path)
        first_names: dict[int, str] = {}
        shown = {}
        for relative in sorted(found, key=lambda name: f"{path}/{name}" if name else path):
            entry = found[relative]
            if entry.kind == SUBVOLUME:
                entry = self.world.state.subvolumes[entry.subvolume].files[""]
            first = first_names.setdefault(entry.inode, relative or ".") if entry.inode else relative or "."
            shown[relative or "."] = _shown(entry, first)
        return shown

    def add_helper(self, program: str, kind: str) -> None:
        self.world.helpers[program] = HELPERS[kind]

    def mount(self, path: str) -> None:
        self._change("mount", path, lambda state: _mounted(state, path, "tmpfs"))

    def spawn(self, directory: str = "/") -> int:
        files.existing(self.world.state, directory)
        return self._spawn(HOST, directory)

    def spawn_in(self, namespace: str) -> int:
        return self._spawn(wire.network_called(self.world.state, self.settings.namespaces, namespace))

    def _spawn(self, network: int, root: str = "/") -> int:
        pid = self.world.apply("lab.spawn", "", lambda state: _spawned(state, self._kernel.pid, network, root))
        self._pids.add(pid)
        return pid

    def kill(self, pid: int) -> None:
        self.kill_unreaped(pid)
        self._pids.discard(pid)
        self._change("reap", str(pid), lambda state: _reaped(state, pid))

    def kill_unreaped(self, pid: int) -> None:
        self._change("kill", str(pid), lambda state: _killed(state, pid))

    def eat(self, pid: int, size_bytes: int) -> bool:
        self._change("eat", str(pid), lambda state: programs.take_memory(state, pid, size_bytes))
        return programs.is_alive(self.world.state.processes.get(pid))

    def fork(self, pid: int) -> int:
        return self._errno(lambda state: programs.fork(state, pid, (programs.WAIT,)))

    def open_device(self, pid: int, path: str) -> int:
        return self._errno(lambda state: _opened(state, pid, path))

    def piped(self, data: bytes, act: Callable[[], object]) -> bytes:
        before = len(self.world.standard_output)
        self.world.standard_input = data
        act()
        return self.world.standard_output[before:]

    def close(self) -> None:
        self._kernel.may_administer_network = True
        for pid in tuple(self._pids):
            self.kill(pid)

    def _errno(self, step: Callable[[State], State]) -> int:
        def tried(state: State) -> tuple[State, int]:
            try:
                return step(state), 0
            except Refused as refused:
                return state, refused.errno

        return self.world.apply("lab.try", "", tried)

    def _change(self, method: str, subject: str, step: Callable[[State], State]) -> None:
        self.world.change(f"lab.{method}", subject, step)

    def _put(self, path: str, entry: Row) -> None:
        self._change(
            "put", path, lambda state: files.put_entry(state, files.locate(state, path, follow=False).place, entry)
        )

    def _read_only(self, path: str) -> None:
        self._furnish(path)
        place = files.locate(self.world.state, path).place
        mount = MountRow(path, place, "btrfs", "/dev/vdb", ("ro", "nosuid", "nodev"))
        self._change("read_only", path, lambda state: files.add_mount(state, mount))

    def _denied(self, path: str) -> None:
        self._furnish(path)
        entry = self.world.entry(path)
        assert entry is not None
        self._put(path, attrs.evolve(entry, immutable=True))

    def _full(self, path: str) -> None:
        self._change("mount", path, lambda state: _mounted(state, path, "btrfs"))
        self._furnish(path)
        self.world.set_free_bytes(path, 0)

    def _furnish(self, path: str) -> None:
        self.make_subvolume(f"{path}/img_42002")
        self.write_file(f"{path}/file", b"content")


class FakeStage(Stage):
    def __init__(self, world: World, kernel: FakeKernel) -> None:
        self._world = world
        self._kernel = kernel

    def root_filesystem(self, name: str) -> str:
        path = f"{self._kernel.settings.store}/{name}"
        self._kernel.storage.create(name)
        self._world.add_root_filesystem(path)
        return path

    def interrupt(self, number: int) -> None:
        self._world.interrupt(self._kernel, number)

    def give_input(self, data: bytes) -> None:
        self._world.standard_input = data


def _every_kind() -> dict[str, Row]:
    own: dict[str, Row] = {}
    for name in ("file", "-dash", ".dot", "with blank", "not-utf8-\udcff\udcfe", "setuid", "capable"):
        own[name] = Row(FILE, 0o644, content=name.encode("utf-8", "surrogateescape") * 10)
    shared = attrs.evolve(own["file"], inode=1, xattrs=(("user.note", b"kept\0too"),))
    own |= {
        "file": shared,
        "hard link": shared,
        "below": Row(DIRECTORY, 0o2750),
        "below/third name": shared,
        "setuid": attrs.evolve(own["setuid"], mode=0o4755),
        "capable": attrs.evolve(own["capable"], xattrs=(("security.capability", CAPABILITY),)),
        "link": images.link("/nowhere/at all"),
        "fifo": Row(FIFO, 0o640),
        "null": Row(CHARACTER, 0o666, device=(1, 3)),
        "loop0": Row(BLOCK, 0o660, device=(7, 0)),
        "holes": Row(FILE, 0o644, content=(b"start" + bytes(HOLE_BYTES))[:HOLE_BYTES] + b"end", sparse=True),
        "empty": Row(DIRECTORY, 0o1777),
        "": Row(DIRECTORY, 0o711),
    }
    return {path: attrs.evolve(row, uid=1000, gid=1001, mtime_ns=LONG_AGO_NS) for path, row in own.items()}


def _shown(entry: Row, first_name: str) -> Entry:
    content = entry.content if len(entry.content) < HOLE_BYTES else hashlib.sha256(entry.content).digest()
    return Entry(
        kind=entry.kind,
        mode=entry.mode,
        owner=(entry.uid, entry.gid),
        modified_ns=entry.mtime_ns,
        first_name=first_name,
        content=content if entry.kind == FILE else b"",
        link=entry.target if entry.kind == SYMLINK else "",
        device=entry.device,
        attributes=entry.xattrs,
        sparse=entry.sparse,
    )


def _mounted(state: State, path: str, kind: str) -> State:
    state, filesystem = files.add_filesystem(state, kind, "lab", Row(DIRECTORY, 0o1777))
    return files.add_mount(state, MountRow(path, Place(filesystem.top, ""), kind, "lab", ("rw",)))


def _spawned(state: State, parent: int, network: int, root: str) -> tuple[State, int]:
    state, handle = new_id(attrs.evolve(state, last_pid=state.last_pid + 1))
    pid = state.last_pid
    handles = with_row(state.handles, handle, HandleRow(handle, pid, parent))
    row = ProcessRow(
        pid,
        programs.ticks(state),
        parent,
        namespaces={"network": network},
        handle=handle,
        root=root,
        program="lab",
    )
    return put_process(attrs.evolve(state, handles=handles), row), pid


def _killed(state: State, pid: int) -> State:
    for row in tuple(state.processes.values()):
        if row.parent == pid:
            state = laws.process_ends(state, row.pid, Exited(None, SIGKILL))
    return laws.process_ends(state, pid, Exited(None, SIGKILL))


def _reaped(state: State, pid: int) -> State:
    handle = state.processes[pid].handle
    assert handle is not None
    return attrs.evolve(state, processes=without(state.processes, pid), handles=without(state.handles, handle))


def _opened(state: State, pid: int, path: str) -> State:
    group = state.processes[pid].group
    _, entry = files.existing(state, path)
    if not groups.may_open_device(None if group is None else state.groups[group], "c", entry.device):
        raise Refused(1)
    return state

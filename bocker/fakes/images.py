"""What a fake machine holds at its start, and small root file systems for tests."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from bocker.core.addresses import parse_subnet
from bocker.core.settings import Settings
from bocker.fakes import files, wire
from bocker.fakes.state import (
    CHARACTER,
    DIRECTORY,
    FILE,
    HOST,
    SUBVOLUME,
    SYMLINK,
    Entry,
    MountRow,
    Place,
    State,
    TableRow,
    put_link,
    with_row,
)

INTERPRETER = "/usr/bin/python3.11"
ELF = b"\x7fELF of the fake kernel"
PROBE = b"#!/bin/busybox sh\n# the probe: bocker.fakes.programs says what it does\n"
BRIDGE_MAC = "02:42:0a:00:00:01"
SYSCTLS = {
    "fs.mqueue.msg_max": "10",
    "kernel.hostname": "host",
    "kernel.pid_max": "4194304",
    "net.ipv4.conf.all.forwarding": "0",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.ip_unprivileged_port_start": "1024",
    "net.ipv4.ping_group_range": "1\t0",
}
FORWARDING = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.forwarding",
)  # one variable: ip-sysctl of the kernel's documentation
DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
    "ptmx": (5, 2),
}


def file(content: bytes = b"", mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
    """Return a plain file."""
    return Entry(FILE, mode, uid, gid, content=content)


def program() -> Entry:
    """Return an executable file."""
    return Entry(FILE, 0o755, content=ELF)


def link(target: str) -> Entry:
    """Return a symbolic link."""
    return Entry(SYMLINK, 0o777, target=target)


def root_filesystem() -> dict[str, Entry]:
    """Return a small root file system: busybox, its names, and the probe."""
    directories = ("", "bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin")
    return {
        **{path: Entry(DIRECTORY, 0o1777 if path == "tmp" else 0o755) for path in directories},
        "bin/busybox": program(),
        "bin/probe": file(PROBE, 0o755),
        **{f"bin/{name}": link("busybox") for name in ("sh", "true", "false", "echo", "sleep", "cat", "env")},
        "etc/hostname": file(b"image\n"),
        "etc/hosts": file(b"127.0.0.1 localhost\n"),
        "etc/passwd": file(b"root:x:0:0:root:/root:/bin/sh\n"),
        "etc/group": file(b"root:x:0:\n"),
        "etc/resolv.conf": file(b"nameserver 192.0.2.1\n"),
    }


def bare_host(state: State) -> State:
    """Return the state of a machine with a file system and nothing else."""
    state, root = files.add_filesystem(state, "ext4", "/dev/vda1")
    state = files.add_mount(state, MountRow("/", Place(root.top, ""), "ext4", "/dev/vda1", ("rw", "relatime")))
    devices = {f"dev/{name}": Entry(CHARACTER, 0o666, device=number) for name, number in DEVICES.items()}
    directories = ("bin", "dev", "etc", "run", "tmp", "usr", "usr/bin", "var", "var/lib")
    host = {
        **{path: Entry(DIRECTORY) for path in directories},
        **devices,
        INTERPRETER[1:]: program(),
        "etc/resolv.conf": file(b"nameserver 192.0.2.53\n"),
    }
    return with_files(state, "/", host)


def prepared(state: State, settings: Settings) -> State:
    """Return the state with what `setup` makes: store, bridge, forwarding, masquerading."""
    state, store = files.add_filesystem(state, "btrfs", "/dev/vdb", Entry(DIRECTORY, 0o700))
    state = files.make_directories(state, settings.store, 0o700)
    mount = MountRow(settings.store, Place(store.top, ""), "btrfs", "/dev/vdb", ("rw", "nosuid", "nodev"))
    state = files.add_mount(state, mount)
    subnet = parse_subnet(settings.subnet)
    state, bridge = wire.add_link(state, HOST, settings.bridge, "bridge", BRIDGE_MAC)
    state = put_link(state, attrs.evolve(bridge, up=True, addresses=(subnet.gateway,)))
    return attrs.evolve(
        state,
        sysctls=with_setting(state.sysctls, "net.ipv4.ip_forward", "1"),
        tables=with_row(state.tables, settings.table, TableRow(subnet, settings.bridge)),
    )


def with_setting(settings: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """Return the kernel's settings with one changed, under each of its names."""
    names = FORWARDING if name in FORWARDING else (name,)
    return {**settings, **dict.fromkeys(names, value)}


def with_files(state: State, path: str, entries: Mapping[str, Entry]) -> State:
    """Return the state with a tree of entries at a path of the host."""
    state = files.make_directories(state, path)
    top = files.locate(state, path).place
    for relative, entry in sorted(entries.items()):
        state = files.put_entry(state, Place(top.subvolume, files.joined(top.path, relative)), entry)
    return state


def tree_at(state: State, place: Place) -> dict[str, Entry]:
    """Return all that is below a place by relative path, into nested subvolumes; `""` is the place."""
    prefix = f"{place.path}/" if place.path else ""
    found = {}
    for path, entry in state.subvolumes[place.subvolume].files.items():
        if path != place.path and not path.startswith(prefix):
            continue
        relative = path[len(prefix) :] if path != place.path else ""
        found[relative] = entry
        if entry.kind == SUBVOLUME:
            inner = tree_at(state, Place(entry.subvolume, ""))
            found |= {files.joined(relative, name): below for name, below in inner.items() if name}
    return found


def with_room(state: State, path: str, free_bytes: int | None) -> State:
    """Return the state with so much room in the file system at a path."""
    filesystem = files.filesystem_of(state, files.locate(state, path).place)
    row = attrs.evolve(filesystem, free_bytes=free_bytes)
    return attrs.evolve(state, filesystems=with_row(state.filesystems, filesystem.id, row))

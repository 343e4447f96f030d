"""What is on this machine, asked of its tools and not of bocker, to see what a test left behind."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bocker.core.settings import Settings

GROUPS = "/sys/fs/cgroup"
STAYING_RECORDS = ("/counters/", "/store/format")  # what a store has as soon as it is used
FIRST_INODE = 256  # of each subvolume

World = dict[str, frozenset[str]]


def look(settings: Settings) -> World:
    """Return everything that a container could leave, by kind."""
    mounts = frozenset(_mounts(settings))
    return {
        "link": frozenset(_links()),
        "namespace name": frozenset(_entries(settings.namespaces)),
        "namespace": frozenset(_namespaces_of_processes()),
        "mount": mounts,
        "loop device": frozenset(_loop_devices()),
        "control group": frozenset(groups_below(settings.cgroup_parent)),
        "parent of control groups": frozenset(_other_parents(settings.cgroup_parent)),
        "firewall rule": frozenset(_lines("nft", "list", "ruleset")),
        "subvolume": frozenset(_subvolumes(settings.store)),
        "file in the store": frozenset(_entries(settings.store)),
        "record": frozenset(_records(settings)),
    }


def difference(before: World, after: World) -> list[str]:
    """Return a line for each thing that there is more, or less, than before."""
    more = [f"{kind} left: {name}" for kind in before for name in sorted(after[kind] - before[kind])]
    less = [f"{kind} gone: {name}" for kind in before for name in sorted(before[kind] - after[kind])]
    return more + less


def groups_below(parent: str) -> Iterator[str]:
    """Give the path of each control group below `parent` (and of no parent), the innermost first."""
    for root in group_parents(parent):
        for top, folders, _ in os.walk(root, topdown=False):
            yield from (f"{top}/{folder}" for folder in folders)


def group_parents(parent: str) -> list[str]:
    """Return the directories called `parent`, or `parent-…`, at the top of each hierarchy of control groups."""
    tops = [GROUPS, *(f"{GROUPS}/{name}" for name in os.listdir(GROUPS))]
    found = [f"{top}/{name}" for top in tops if os.path.isdir(top) for name in os.listdir(top)]
    return [path for path in found if _is_of(parent, os.path.basename(path)) and os.path.isdir(path)]


def _other_parents(parent: str) -> list[str]:
    return [path for path in group_parents(parent) if os.path.basename(path) != parent]


def _is_of(parent: str, name: str) -> bool:
    return name == parent or name.startswith(f"{parent}-")


def _links() -> list[str]:
    return [name for _, name in socket.if_nameindex()]  # no program: this is asked around every test


def _namespaces_of_processes() -> Iterator[str]:
    """Give the network namespaces that processes of this process namespace are in."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            yield os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            continue  # it has just ended


def _mounts(settings: Settings) -> Iterator[str]:
    """Give each mount but that of the folder which `ip netns` shares with everybody."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] != settings.namespaces:
            yield f"{fields[4]} ({fields[fields.index('-') + 1]})"


def _loop_devices() -> Iterator[str]:
    """Give the loop devices whose file lies on a file system that is mounted here and nowhere outside.

    Loop devices are the machine's: those of another sandbox have files of the same names.
    """
    here = {line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    for line in _lines("losetup", "--list", "--noheadings", "--output", "NAME,BACK-MAJ:MIN,BACK-FILE"):
        name, device, file = line.split(maxsplit=2)
        if device in here and re.match(r"0:", device):
            yield f"{name} {file}"


def _subvolumes(store: str) -> list[str]:
    if not os.path.isdir(store) or os.lstat(store).st_ino != FIRST_INODE:
        return []
    return [line.split(" path ", 1)[1] for line in _lines("btrfs", "subvolume", "list", "-a", store)]


def _records(settings: Settings) -> Iterator[str]:
    for root in (f"{settings.store}/.meta", settings.state, settings.runtime):
        for top, _, files in os.walk(root):
            yield from (path for path in (f"{top}/{name}" for name in files) if not _stays(path))


def _stays(path: str) -> bool:
    return any(part in path for part in STAYING_RECORDS) or not stat.S_ISREG(os.lstat(path).st_mode)


def _entries(directory: str) -> list[str]:
    """Return what is in a directory, but for the records' folder."""
    return [name for name in os.listdir(directory) if name != ".meta"] if os.path.isdir(directory) else []


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

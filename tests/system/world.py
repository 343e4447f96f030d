"""What is on this machine, asked of the kernel and not of bocker, to see what a test left behind.

No program is started: this is asked after every test, and where the processor is emulated a program that
is started costs as much as a test.
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import os
import socket
import stat
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from bocker.core.settings import Settings

GROUPS = "/sys/fs/cgroup"
STAYING_RECORDS = ("/counters/", "/store/format")  # what a store has as soon as it is used
FIRST_INODE = 256  # of each subvolume

LOOP_GET_STATUS64 = 0x4C05  # include/uapi/linux/loop.h
LOOP_INFO_BYTES = 232
BTRFS_IOC_TREE_SEARCH = 0xD0009411  # include/uapi/linux/btrfs.h
SEARCH_BYTES = 4096
SEARCH_KEY = struct.Struct("=7Q4I4Q")  # struct btrfs_ioctl_search_key
SEARCH_HEADER = struct.Struct("=3Q2I")  # struct btrfs_ioctl_search_header
ROOT_REFERENCE = struct.Struct("<2QH")  # struct btrfs_root_ref, and then the name
ROOT_TREE, ROOT_BACKREF = 1, 144  # include/uapi/linux/btrfs_tree.h
LAST = 2**64 - 1
MANY = 2**32 - 1

World = dict[str, frozenset[str]]

_nftables = ctypes.CDLL("libnftables.so.1")
_nftables.nft_ctx_new.restype = ctypes.c_void_p
for _name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
    getattr(_nftables, _name).restype = ctypes.c_char_p
    getattr(_nftables, _name).argtypes = (ctypes.c_void_p,)
for _name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
    getattr(_nftables, _name).argtypes = (ctypes.c_void_p,)
_nftables.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)


def look(settings: Settings, *kinds: str) -> World:
    """Return everything that a container could leave, by kind; or only some kinds of it."""
    return {kind: frozenset(KINDS[kind](settings)) for kind in kinds or KINDS}


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
    found = [f"{top}/{name}" for top in _hierarchies() for name in os.listdir(top)]
    return [path for path in found if _is_of(parent, os.path.basename(path)) and os.path.isdir(path)]


def _hierarchies() -> list[str]:
    """Return where the hierarchies are mounted; in version 2 what is below the top may be another sandbox's, and go."""
    if os.path.exists(f"{GROUPS}/cgroup.controllers"):
        return [GROUPS]
    return [top for top in (GROUPS, *(f"{GROUPS}/{name}" for name in os.listdir(GROUPS))) if os.path.isdir(top)]


def _other_parents(settings: Settings) -> list[str]:
    parent = settings.cgroup_parent
    return [path for path in group_parents(parent) if os.path.basename(path) != parent]


def _is_of(parent: str, name: str) -> bool:
    return name == parent or name.startswith(f"{parent}-")


def _links(_: Settings) -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def _namespaces_of_processes(_: Settings) -> Iterator[str]:
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


def _loop_devices(_: Settings) -> list[str]:
    """Return how many loop devices each file has: their numbers are the machine's, and change."""
    return [f"{count} of {file}" for file, count in Counter(_files_of_loop_devices()).items()]


def _files_of_loop_devices() -> Iterator[str]:
    """Give the files that lie on a file system that is mounted here and nowhere outside.

    Loop devices are the machine's: those of another sandbox have files of the same names.
    """
    here = {line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    here.add(_pair(os.stat(tempfile.gettempdir()).st_dev))  # a btrfs says of its files another one than of the mount
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        with suppress(OSError):  # it has just been given back
            device = _device_of_file(f"/dev/{path.split('/')[3]}")
            if device in here and device.startswith("0:"):
                yield Path(path).read_text().strip()


def loop_device_of(image: str) -> str:
    """Return the loop device of a file, or an empty text. Another sandbox may have it by the next moment."""
    words = ("losetup", "--noheadings", "-O", "NAME", "--associated", image)
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _device_of_file(loop: str) -> str:
    """Return the device that a loop device's file lies on: `lo_device`, the first field of `loop_info64`."""
    fd = os.open(loop, os.O_RDONLY | os.O_CLOEXEC)
    try:
        (device,) = struct.unpack_from("=Q", fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(LOOP_INFO_BYTES)))
    finally:
        os.close(fd)
    return _pair(device)


def _pair(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _firewall_rules(_: Settings) -> list[str]:
    """Return what `nft list ruleset` prints, by its library."""
    context = _nftables.nft_ctx_new(0)
    try:
        _nftables.nft_ctx_buffer_output(context)
        _nftables.nft_ctx_buffer_error(context)
        if _nftables.nft_run_cmd_from_buffer(context, b"list ruleset"):
            raise OSError(_nftables.nft_ctx_get_error_buffer(context).decode())
        return _nftables.nft_ctx_get_output_buffer(context).decode().splitlines()  # type: ignore[no-any-return]
    finally:
        _nftables.nft_ctx_free(context)


def _subvolumes(settings: Settings) -> Iterator[str]:
    """Give the name of each subvolume, and where that is: an inode of a subvolume.

    They are the ROOT_BACKREF items of the tree of roots, where `btrfs subvolume list` finds them.
    """
    if not os.path.isdir(settings.store) or os.lstat(settings.store).st_ino != FIRST_INODE:
        return
    fd = os.open(settings.store, os.O_RDONLY | os.O_CLOEXEC)
    try:
        items, last = _tree_of_roots(fd, (0, 0, 0))
        while items:
            yield from (_root_reference(parent, data) for kind, parent, data in items if kind == ROOT_BACKREF)
            items, last = _tree_of_roots(fd, (*last[:2], last[2] + 1))
    finally:
        os.close(fd)


def _root_reference(parent: int, data: bytes) -> str:
    directory, _, length = ROOT_REFERENCE.unpack_from(data)
    return f"{os.fsdecode(data[ROOT_REFERENCE.size :][:length])} (in {parent}:{directory})"


def _tree_of_roots(fd: int, first: tuple[int, int, int]) -> tuple[list[tuple[int, int, bytes]], tuple[int, int, int]]:
    """Return a handful of items, from a key on, as (type, offset, data), and the last one's key."""
    objectid, kind, offset = first
    key = SEARCH_KEY.pack(ROOT_TREE, objectid, LAST, offset, LAST, 0, LAST, kind, 255, MANY, 0, *[0] * 4)
    answer = bytearray(key.ljust(SEARCH_BYTES, b"\0"))
    fcntl.ioctl(fd, BTRFS_IOC_TREE_SEARCH, answer)
    found, place = [], SEARCH_KEY.size
    for _ in range(SEARCH_KEY.unpack_from(answer)[9]):
        _, objectid, offset, kind, size = SEARCH_HEADER.unpack_from(answer, place)
        place += SEARCH_HEADER.size + size
        found.append((kind, offset, bytes(answer[place - size : place])))
    return found, (objectid, kind, offset)


def _records(settings: Settings) -> Iterator[str]:
    for root in (f"{settings.store}/.meta", settings.state, settings.runtime):
        for top, _, files in os.walk(root):
            yield from (path for path in (f"{top}/{name}" for name in files) if not _stays(path))


def _stays(path: str) -> bool:
    return any(part in path for part in STAYING_RECORDS) or not stat.S_ISREG(os.lstat(path).st_mode)


def _entries(directory: str) -> list[str]:
    """Return what is in a directory, but for the records' folder."""
    return [name for name in os.listdir(directory) if name != ".meta"] if os.path.isdir(directory) else []


KINDS: dict[str, Callable[[Settings], Iterable[str]]] = {
    "link": _links,
    "namespace name": lambda settings: _entries(settings.namespaces),
    "namespace": _namespaces_of_processes,
    "mount": _mounts,
    "loop device": _loop_devices,
    "control group": lambda settings: groups_below(settings.cgroup_parent),
    "parent of control groups": _other_parents,
    "firewall rule": _firewall_rules,
    "subvolume": _subvolumes,
    "file in the store": lambda settings: _entries(settings.store),
    "record": _records,
}

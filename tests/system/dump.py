"""The world of a random program as text, read back from Linux itself.

The lines are those of `bocker.fakes.dump`, made by the same functions; where they come from is shared with
nobody: /proc, /sys, the directories, rtnetlink(7), libnftables(3) and one ioctl of btrfs. No port is asked and no
program is run, as this is done after every step. The reader is the first process of its pid namespace, so
that all others in /proc are the program's.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import json
import math
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bocker.core.addresses import Interface
from bocker.core.limits import Limits
from bocker.core.settings import Settings
from bocker.fakes import dump
from bocker.fakes.groups import UNLIMITED
from bocker.fakes.images import SYSCTLS
from bocker.fakes.state import PREPARING, RUNNING, ZOMBIE
from bocker.kernel.network import Link
from tests.system import groups

Member = tuple[str, str]  # a container's name, and what a process is in it

OURSELVES = 1
SHARES = (2, 100, 512, 1024, 262_144)  # those that programs choose, and the kernel's own
FINE_NS = 50_000_000
BTRFS_TOP_INODE = 256
GET_SUBVOL_INFO = 0x81F8943C  # BTRFS_IOC_GET_SUBVOL_INFO, linux/btrfs.h
SUBVOL_INFO = struct.Struct("<Q256sQQQQ16s16s")
SUBVOL_INFO_BYTES = 504
SUBVOL_READ_ONLY = 1 << 0
CLONE_NEWNET = 0x40000000
EXITING = 0x4  # PF_EXITING of proc_pid_stat(5)'s flags
SLEEPS, WAITS = ("hrtimer_nanosleep", "do_nanosleep", "poll_schedule_timeout", "do_poll", "do_sys_poll"), "zap_pid_ns"
READS = ("pipe_read", "anon_pipe_read", "pipe_wait")
PLAIN_KINDS = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo"}
KINDS = {**PLAIN_KINDS, stat.S_IFCHR: "character", stat.S_IFBLK: "block", stat.S_IFSOCK: "socket"}

# rtnetlink(7), linux/rtnetlink.h, linux/if_link.h
RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE = 18, 22, 26
NLM_F_REQUEST_DUMP = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_MASTER, IFLA_IFALIAS, IFLA_LINK_NETNSID = 1, 3, 5, 10, 20, 37
IFLA_PROP_LIST, IFLA_ALT_IFNAME = 52, 53
IFA_LOCAL = 2
RTA_GATEWAY = 5
IFF_UP, IFF_LOOPBACK = 1, 8
NLA_TYPE_MASK = 0x3FFF
# nfnetlink, linux/netfilter/nf_tables.h
NETLINK_NETFILTER = 12
NFT_MSG_GETGEN = 10 << 8 | 16
NFTA_GEN_ID = 1


class Unsettled(Exception):
    """A process is on its way still."""


class Reader:
    """Reads the world of one program. macs: those that programs choose. below: directories of the host that are the
    program's alone."""

    def __init__(self, settings: Settings, macs: frozenset[str], below: tuple[str, ...]) -> None:
        self._settings = settings
        self._macs = macs
        self._below = below
        self._digests: dict[tuple[int, ...], str] = {}
        self._said: dict[tuple[int, ...], str] = {}
        self._mounted: list[tuple[str, str, list[str]]] = []
        self._rules: tuple[int, list[str]] = (-1, [])

    def text(self, made: Mapping[int, Member]) -> str:
        """Return the lines. Raise Unsettled while a process is neither asleep nor dead, or ends meanwhile."""
        try:
            return self._text(made)
        except (FileNotFoundError, ProcessLookupError, KeyError) as error:
            raise Unsettled(str(error)) from None

    def _text(self, made: Mapping[int, Member]) -> str:
        processes = _processes(made)
        self._mounted = list(_mountinfo("self", self._settings.store))
        lines = [*_process_lines(processes), *self._networks(processes), *self._store(), *self._host()]
        lines += [*self._groups(), *self._tables(), *self._locks(), *self._mounts(), *_settings()]
        return "\n".join(sorted(lines))

    def _store(self) -> Iterator[str]:
        store = self._settings.store
        for path, said in self._tree(store).items():
            yield f"store {store} {path} {said}"

    def _host(self) -> Iterator[str]:
        for top in self._below:
            for path, said in self._tree(top).items():
                yield f"host {top}/{path} {said}"

    def _tree(self, top: str) -> dict[str, str]:
        """Return what is said of each path below a directory; a file's first name is the first one in its tree."""
        paths: list[tuple[str, str, os.stat_result]] = []
        _walk(top, "", "", paths, self._settings.namespaces)
        uuids = {path: _subvolume_info(f"{top}/{path}") for path, _, found in paths if _is_subvolume(found)}
        names = {info[0]: os.path.basename(path) for path, info in uuids.items()}
        said: dict[str, str] = {}
        covered = {target for target, _, _ in self._mounted} if top == self._settings.store else set()
        first: dict[tuple[int, int], str] = {}
        for path, within, found in sorted(paths):
            if f"{top}/{path}" in covered:
                said[path] = dump.COVERED
                continue
            if path in uuids:
                _, parent, read_only = uuids[path]
                origin = "" if not any(parent) else f" made of {names.get(parent, 'one that is gone')}"
                owner = (found.st_uid, found.st_gid)
                said[path] = dump.subvolume_text(stat.S_IMODE(found.st_mode), owner, origin, read_only)
                continue
            again = first.setdefault((found.st_dev, found.st_ino), within)
            said[path] = self._known(f"{top}/{path}", found) if again == within else dump.same_as(again)
        return said

    def _known(self, path: str, found: os.stat_result) -> str:
        """Return what is said of a file. One that did not change is not read again; one that has just changed is,
        as the kernel's times are no finer than its ticks."""
        key = (found.st_dev, found.st_ino, found.st_ctime_ns, found.st_mtime_ns)
        said = self._said.get(key)
        if said is None:
            said = self._entry(path, found)
            if time.time_ns() - max(found.st_ctime_ns, found.st_mtime_ns) > FINE_NS:
                self._said[key] = said
        return said

    def _entry(self, path: str, found: os.stat_result) -> str:
        kind = KINDS[stat.S_IFMT(found.st_mode)]
        attributes = os.listxattr(path, follow_symlinks=False)
        return dump.entry_text(
            kind,
            stat.S_IMODE(found.st_mode),
            (found.st_uid, found.st_gid),
            (found.st_size, self._digest(path, found) if kind == "file" else ""),
            os.readlink(path) if kind == "link" else "",
            (os.major(found.st_rdev), os.minor(found.st_rdev)),
            tuple(name for name in attributes if not name.startswith("security.selinux")),
        )

    def _digest(self, path: str, found: os.stat_result) -> str:
        """Return the digest of what a file holds. A large one is read once: snapshots share its number and times."""
        if found.st_size < dump.LARGE:
            return dump.digest(_read(path))
        key = (found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = dump.digest(_read(path))
        return self._digests[key]

    def _mounts(self) -> Iterator[str]:
        return (dump.mount(*mounted) for mounted in self._mounted)

    def _locks(self) -> Iterator[str]:
        """Give the held locks of flock(2) whose files have a name; /proc/locks tells the files' numbers."""
        names = {
            entry.inode(): entry.name
            for root in (f"{self._settings.store}/.meta", self._settings.state)
            for entry in _entries(f"{root}/.locks")
        }
        for line in _read("/proc/locks").decode().splitlines():
            _, kind, _, mode, _, file, *_ = line.replace("-> ", "").split()
            inode = int(file.rpartition(":")[2])
            if kind == "FLOCK" and inode in names:
                yield dump.lock(names[inode], mode == "READ")

    def _groups(self) -> Iterator[str]:
        parent, found = self._settings.cgroup_parent, {}
        for directory in groups.directories(parent):
            if os.path.isdir(directory):
                found.setdefault("", set()).add(_part(directory))
                for entry in _entries(directory):
                    if entry.is_dir():
                        found.setdefault(entry.name, set()).add(_part(directory))
        for name, parts in found.items():
            yield _group(f"{parent}/{name}", name, parts) if name else "group bocker"

    def _tables(self) -> list[str]:
        """Return the firewall's lines, listed again only where the kernel's generation of rules is another one."""
        generation = _rules_generation()
        if self._rules[0] != generation:
            self._rules = (generation, list(_listed_tables()))
        return self._rules[1]

    def _networks(self, processes: list[_Process]) -> Iterator[str]:
        holders, paths = self._holders(processes)
        called = {inode: dump.holder(names) for inode, names in holders.items()}
        called[_own_network()] = dump.HOSTS_OWN
        links = [link for inode, path in paths.items() for link in _links(inode, path)]
        for link in links:
            if link.route:
                yield dump.route(called[link.network], link.route)
            yield self._link(link, links, called)
        yield from self._names(called)

    def _holders(self, processes: list[_Process]) -> tuple[dict[int, set[str]], dict[int, str]]:
        """Return who holds each network, and a path to it."""
        own = "/proc/self/ns/net"
        holders: dict[int, set[str]] = {_own_network(): set()}
        paths = {_own_network(): own}
        for one in processes:
            if "net" in one.namespaces:
                holders.setdefault(one.namespaces["net"], set()).add(one.container)
                paths.setdefault(one.namespaces["net"], f"/proc/{one.pid}/ns/net")
        for entry in _entries(self._settings.namespaces):
            if not entry.is_symlink():
                inode = os.stat(entry.path).st_ino
                holders.setdefault(inode, set()).add(entry.name)
                paths.setdefault(inode, entry.path)
        return holders, paths

    def _names(self, called: Mapping[int, str]) -> Iterator[str]:
        for entry in _entries(self._settings.namespaces):
            if not entry.is_symlink():
                yield dump.name_line(entry.name, None)
                continue
            try:
                yield dump.name_line(entry.name, called[os.stat(entry.path).st_ino])
            except FileNotFoundError:
                yield dump.name_line(entry.name, dump.NOBODY)

    def _link(self, link: _Link, links: list[_Link], called: Mapping[int, str]) -> str:
        beside = {one.index: one.name for one in links if one.network == link.network}
        peer = _peer(link, links)
        where = f" of {called[peer.network]}" if peer and peer.network != link.network else ""
        mac, addresses = link.mac if link.mac in self._macs else "", tuple(link.addresses)
        shown = Link(link.name, link.index, "", mac, link.up, beside.get(link.master), link.alias, addresses)
        return dump.link(called[link.network], shown, f"{peer.name}{where}" if peer else None)


class _Process:
    def __init__(self, pid: int, container: str, role: str, phase: str, namespaces: dict[str, int]) -> None:
        self.pid = pid
        self.container = container
        self.role = role
        self.phase = phase
        self.namespaces = namespaces


class _Link:
    def __init__(self, network: int, index: int, flags: int, attributes: dict[int, bytes]) -> None:
        self.network = network
        self.index = index
        self.up = bool(flags & IFF_UP)
        self.name = attributes[IFLA_IFNAME].rstrip(b"\0").decode()
        self.mac = attributes.get(IFLA_ADDRESS, b"").hex(":")
        self.master = _number(attributes.get(IFLA_MASTER))
        self.other = 0 if flags & IFF_LOOPBACK else _number(attributes.get(IFLA_LINK))
        self.is_elsewhere = IFLA_LINK_NETNSID in attributes
        alias = dict(_attributes(attributes.get(IFLA_PROP_LIST, b""))).get(IFLA_ALT_IFNAME, b"")
        self.alias = alias.rstrip(b"\0").decode() or None
        self.addresses: list[Interface] = []
        self.route = 0


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _walk(top: str, path: str, within: str, found: list[tuple[str, str, os.stat_result]], names: str) -> None:
    """Find all that is below a directory, but what is in that of the namespaces' names; within: the path as its own
    subvolume has it."""
    for entry in _entries(f"{top}/{path}") if f"{top}/{path}" != names else ():
        inner = f"{path}/{entry.name}" if path else entry.name
        inside = f"{within}/{entry.name}" if within else entry.name
        status = entry.stat(follow_symlinks=False)
        found.append((inner, inside, status))
        if entry.is_dir(follow_symlinks=False):
            _walk(top, inner, "" if _is_subvolume(status) else inside, found, names)


def _is_subvolume(found: os.stat_result) -> bool:
    return found.st_ino == BTRFS_TOP_INODE and stat.S_ISDIR(found.st_mode)


def _subvolume_info(path: str) -> tuple[bytes, bytes, bool]:
    """Return a subvolume's UUID, that of the one it was made of, and whether it is read-only."""
    answer = bytearray(SUBVOL_INFO_BYTES)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(directory, GET_SUBVOL_INFO, answer)
    finally:
        os.close(directory)
    *_, flags, uuid, parent = SUBVOL_INFO.unpack_from(answer)
    return uuid, parent, bool(flags & SUBVOL_READ_ONLY)


def _mountinfo(pid: str, below: str = "/") -> Iterator[tuple[str, str, list[str]]]:
    """Give the target, the kind and the flags of each mount at or below a path: proc_pid_mountinfo(5)."""
    for line in _read(f"/proc/{pid}/mountinfo").decode().splitlines():
        if f" {below}" not in line:
            continue
        own, _, rest = line.partition(" - ")
        fields = own.split()
        yield fields[4], rest.split()[0], fields[5].split(",")


def _processes(made: Mapping[int, Member]) -> list[_Process]:
    found = [
        one for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != OURSELVES and (one := _process(pid, made))
    ]
    containers = {one.namespaces["pid"]: one.container for one in found if one.role == "first" and one.namespaces}
    for one in found:
        if not one.container:
            one.container = containers[one.namespaces["pid"]]
    return found


def _process(pid: str, made: Mapping[int, Member]) -> _Process | None:
    """Return what is to be said of a process; nothing of a dead one that its container has to reap, or nobody."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    state, parent, flags = fields[0], int(fields[1]), int(fields[6])
    where = _read(f"/proc/{pid}/wchan").decode()
    container, role = made.get(int(pid), ("", "child"))
    if state == b"Z":
        return _Process(int(pid), container, role, ZOMBIE, {}) if parent == OURSELVES else None
    if flags & EXITING and where.startswith(WAITS):
        return _Process(int(pid), container, role, ZOMBIE, {})
    if state != b"S" or flags & EXITING or not where.startswith((*SLEEPS, *READS)):
        raise Unsettled(f"{pid} is {state!r} in {where}")
    phase = PREPARING if where.startswith(READS) else RUNNING
    kinds = ("net", "mnt", "pid", "uts", "ipc")
    return _Process(int(pid), container, role, phase, {kind: _namespace(pid, kind) for kind in kinds})


def _namespace(pid: str, kind: str) -> int:
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


@functools.cache
def _own_network() -> int:
    return _namespace("self", "net")


def _process_lines(processes: list[_Process]) -> Iterator[str]:
    yield "process bocker"
    firsts = {one.namespaces["pid"]: one.namespaces for one in processes if one.role == "first" and one.namespaces}
    words = {"net": "network", "mnt": "mount", "pid": "pid", "uts": "uts", "ipc": "ipc"}
    for one in processes:
        there = firsts.get(one.namespaces.get("pid", 0), one.namespaces)
        apart = [words[kind] for kind in one.namespaces if one.namespaces[kind] != there[kind]]
        inside = None if one.phase == ZOMBIE else _group_of(one.pid)
        yield dump.process(one.container, one.role, one.phase, inside, apart)
        if one.role == "first" and one.phase == RUNNING:
            yield dump.mounts_of(one.container, [target for target, _, _ in _mountinfo(str(one.pid))])


def _group_of(pid: int) -> str | None:
    """Return the group that a process is in by all hierarchies that we know; more than one is said as it is."""
    found = set()
    for line in _read(f"/proc/{pid}/cgroup").decode().splitlines():
        _, controllers, path = line.split(":", 2)
        if groups.VERSION == 2 or set(controllers.split(",")).intersection(groups.CONTROLLERS):
            found.add(path)
    below = {os.path.basename(path) for path in found if path.count("/") > 1}
    return "+".join(sorted(below)) or None


def _part(directory: str) -> str:
    return "unified" if groups.VERSION == 2 else directory.split("/")[-2]


def _group(path: str, name: str, parts: set[str]) -> str:
    directories = groups.directories(path)
    pids = {pid for directory in directories for pid in _pids(f"{directory}/cgroup.procs")}
    alive = [pid for pid in pids if not _is_dead(pid)]
    limits = _limits(path) if frozenset(parts) in dump.PARTS.values() else None
    kills = "memory.oom_control" if groups.VERSION == 1 else "memory.events"
    return dump.group(
        f"bocker/{name}", frozenset(parts), limits, len(alive), _counted(f"{groups.memory_directory(path)}/{kills}")
    )


def _pids(path: str) -> list[str]:
    try:
        return _read(path).decode().split()
    except FileNotFoundError:
        return []


def _is_dead(pid: str) -> bool:
    try:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except FileNotFoundError:
        return True
    return fields[0] in {b"Z", b"X"} or bool(int(fields[6]) & EXITING)


def _counted(path: str) -> int:
    try:
        words = dict(line.split() for line in _read(path).splitlines())
    except FileNotFoundError:
        return 0
    return int(words[b"oom_kill"])


def _limits(path: str) -> Limits:
    if groups.VERSION == 2:
        return _limits_v2(f"{groups.ROOT}/{path}")
    cpu, memory, pids, _ = groups.directories(path)
    size_bytes, quota_us = int(_read(f"{memory}/memory.limit_in_bytes")), int(_read(f"{cpu}/cpu.cfs_quota_us"))
    return Limits(
        int(_read(f"{cpu}/cpu.shares")),
        size_bytes,
        _bound(f"{pids}/pids.max"),
        None if quota_us < 0 else quota_us,
    )


def _limits_v2(group: str) -> Limits:
    """Return the limits; a weight as the shares that it was made of."""
    weight = int(_read(f"{group}/cpu.weight"))
    shares = next(shares for shares in SHARES if _weight(shares) == weight)
    quota = _read(f"{group}/cpu.max").decode().split()[0]
    quota_us = None if quota == "max" else int(quota)
    memory_bytes = _bound(f"{group}/memory.max") or UNLIMITED.memory_bytes
    return Limits(shares, memory_bytes, _bound(f"{group}/pids.max"), quota_us)


def _weight(shares: int) -> int:
    """Return the weight that runc and crun give for shares."""
    level = math.log2(shares)
    return math.ceil(10 ** ((level * level + 125 * level) / 612 - 7 / 34))


def _bound(path: str) -> int | None:
    word = _read(path).decode().strip()
    return None if word == "max" else int(word)


def _settings() -> Iterator[str]:
    for name in SYSCTLS:
        if name.startswith("net."):
            yield dump.setting(name, _read(f"/proc/sys/{name.replace('.', '/')}").decode().strip())


def _links(network: int, path: str) -> list[_Link]:
    with _rtnetlink(path) as descriptor:
        links = {}
        for body in _dumped(descriptor, RTM_GETLINK, b"\0" * 16):
            _, _, index, flags, _ = struct.unpack_from("=BxHiII", body)
            links[index] = _Link(network, index, flags, dict(_attributes(body[16:])))
        for body in _dumped(descriptor, RTM_GETADDR, bytes([socket.AF_INET]) + b"\0" * 7):
            _, length, _, _, index = struct.unpack_from("=BBBBI", body)
            local = dict(_attributes(body[8:]))[IFA_LOCAL]
            links[index].addresses.append(Interface(int.from_bytes(local, "big"), length))
        for body in _dumped(descriptor, RTM_GETROUTE, bytes([socket.AF_INET]) + b"\0" * 11):
            found = dict(_attributes(body[12:]))
            if body[1] == 0 and RTA_GATEWAY in found:  # a destination of no bits: the default
                next(iter(links.values())).route = int.from_bytes(found[RTA_GATEWAY], "big")
    return list(links.values())


@contextmanager
def _rtnetlink(path: str) -> Iterator[socket.socket]:
    """Open a socket in the network namespace at a path."""
    library, own = ctypes.CDLL(None, use_errno=True), os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    try:
        if library.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), path)
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        library.setns(own, CLONE_NEWNET)
    finally:
        os.close(there)
        os.close(own)
    with made:
        yield made


def _dumped(descriptor: socket.socket, kind: int, body: bytes) -> Iterator[bytes]:
    descriptor.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST_DUMP, 1, 0) + body)
    while True:
        answer = descriptor.recv(1 << 17)
        while answer:
            length, said, _, _, _ = struct.unpack_from("=IHHII", answer)
            if said == NLMSG_DONE:
                return
            if said == NLMSG_ERROR:
                raise OSError(-struct.unpack_from("=i", answer, 16)[0], "netlink")
            yield answer[16:length]
            answer = answer[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & NLA_TYPE_MASK, data[4:length]
        data = data[(length + 3) & ~3 :]


def _number(data: bytes | None) -> int:
    return int.from_bytes(data, "little") if data else 0


def _peer(link: _Link, links: list[_Link]) -> _Link | None:
    """Return the other end of a pair: each names the other's index, and says whether that is in its own namespace."""
    for other in links:
        is_elsewhere = other.network != link.network
        if (other.index, other.other, is_elsewhere) == (link.other, link.index, link.is_elsewhere):
            return other
    return None


def _rules_generation() -> int:
    """Return a number that is another one after each change of the rules."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as descriptor:
        descriptor.send(struct.pack("=IHHIIBBH", 20, NFT_MSG_GETGEN, 1, 1, 0, 0, 0, 0))
        answer = descriptor.recv(4096)
    return int.from_bytes(dict(_attributes(answer[20:]))[NFTA_GEN_ID], "big")


def _listed_tables() -> Iterator[str]:
    listed: dict[str, tuple[str, str]] = {}
    for item in _ruleset():
        if "table" in item:
            listed.setdefault(item["table"]["name"], ("", ""))
        if "rule" in item:
            matches = [one["match"]["right"] for one in item["rule"]["expr"] if "match" in one]
            source, link = matches
            listed[item["rule"]["table"]] = (f"{source['prefix']['addr']}/{source['prefix']['len']}", link)
    return (dump.table(name, *row) for name, row in listed.items())


def _ruleset() -> list[dict[str, Any]]:
    library = _nftables()
    context = library.nft_ctx_new(0)
    try:
        library.nft_ctx_output_set_flags(context, 1 << 4)
        library.nft_ctx_buffer_output(context)
        if library.nft_run_cmd_from_buffer(context, b"list ruleset"):
            raise OSError(errno.EIO, "nftables")
        listed: list[dict[str, Any]] = json.loads(library.nft_ctx_get_output_buffer(context))["nftables"]
        return listed
    finally:
        library.nft_ctx_free(context)


@functools.cache
def _nftables() -> ctypes.CDLL:
    library = ctypes.CDLL("libnftables.so.1")
    pointer = ctypes.c_void_p
    library.nft_ctx_new.restype = pointer
    library.nft_ctx_get_output_buffer.argtypes, library.nft_ctx_get_output_buffer.restype = [pointer], ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [pointer, ctypes.c_char_p]
    library.nft_ctx_output_set_flags.argtypes = [pointer, ctypes.c_uint]
    library.nft_ctx_buffer_output.argtypes = library.nft_ctx_free.argtypes = [pointer]
    return library

"""Runs random programs on Linux: a small process of its own, which makes a fresh world for each.

It is small because each program is a fork of it, and each container a fork of that: a fork of pytest takes five
times as long. A world is a set of namespaces (mounts, network, processes, host name, IPC) with an empty `/run` and
`/var/lib`, the groups below a parent of its own, and a directory of the sandbox's btrfs over the store's place, so
that all paths are those of the fake.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

from bocker.core.settings import Settings
from bocker.core.value import Value
from bocker.kernel import PORTS
from bocker.kernel.errors import KernelError
from bocker.linux import LinuxKernel, syscalls
from bocker.linux.storage import LinuxStorage
from tests.patience import patience
from tests.player import ANY_WORLD, BRIDGE_MAC, GATEWAY, MACS, Call, Player, make_blobs_directory
from tests.system import sandbox
from tests.system.dump import Reader, Unsettled
from tests.system.fresh_world import remove_groups

START = "from tests.system import replay; replay.main()"
TEMPLATE = ".template"
OWN = ("/run", "/var/lib")  # directories of the host that each program has for itself
NAMESPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
)
PATIENCE_S = patience(2.0)
LONGEST_S = patience(300.0)
GLANCE_S = 0.0005
MADE, LENGTH = "made", 8
MS_MOVE = 1 << 13


class Request(NamedTuple):
    """A program, and what the fake said after each of its steps. medium_s: how long a long sleep takes that ends."""

    calls: tuple[Call, ...]
    answers: tuple[str, ...]
    worlds: tuple[str, ...]
    medium_s: float


class Difference(NamedTuple):
    """The first step at which Linux was another one than the fake: what it answered, and the world after it."""

    step: int
    answer: str
    world: str
    late: bool  # so much time had passed that a sleeper may have woken


class Replayer:
    """The parent's side."""

    def __init__(self, root_files: dict[str, tuple[str, int, bytes]]) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._ask(root_files)

    def run(self, request: Request) -> Difference | None:
        """Run a program; return the first difference."""
        answer = self._ask(request)
        assert answer is None or isinstance(answer, Difference), answer
        return answer

    def close(self) -> None:
        """End the process when it has taken away what it made."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(patience(30)) == 0

    def _ask(self, question: object) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _send(self._process.stdin, question)
        return _received(self._process.stdout)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Take values by their fields."""
        return (type(value), tuple(value)) if isinstance(value, Value) else NotImplemented


def _send(file: Any, value: object) -> None:
    data = io.BytesIO()
    _Pickler(data).dump(value)
    file.write(len(data.getvalue()).to_bytes(LENGTH, "little") + data.getvalue())
    file.flush()


def _received(file: Any) -> Any:
    length = file.read(LENGTH)
    return pickle.loads(file.read(int.from_bytes(length, "little"))) if length else None


def main() -> None:
    """Answer requests until there are no more."""
    settings, requests, answers = sandbox.settings(), os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    base = f"{settings.store}/.replay-{os.getpid()}"
    os.mkdir(base)
    world = _World(settings, base)
    world.make_template(_received(requests))
    _send(answers, MADE)
    while (request := _received(requests)) is not None:
        _send(answers, world.run(request))
    LinuxStorage(base).delete(TEMPLATE)
    os.rmdir(base)


class _World:
    """Makes and takes away the world of one program after the other."""

    def __init__(self, settings: Settings, base: str) -> None:
        self._base = base
        self._count = 0
        self._settings = settings.replace(cgroup_parent=f"{settings.cgroup_parent}-{os.path.basename(base)[1:]}")
        _import_all(self._settings)

    def make_template(self, files: dict[str, tuple[str, int, bytes]]) -> None:
        """Make the subvolume that each program's image is a snapshot of."""
        LinuxStorage(self._base).create(TEMPLATE)
        top = f"{self._base}/{TEMPLATE}"
        for path, (kind, mode, content) in sorted(files.items()):
            _make_file(f"{top}/{path}", kind, mode, content)

    def run(self, request: Request) -> Difference | str | None:
        """Run a program in a fresh world; a text is a traceback."""
        self._count += 1
        store = f"{self._base}/{self._count}"
        os.mkdir(store, 0o700)
        LinuxStorage(self._base).snapshot(TEMPLATE, f".image-{self._count}")
        os.rename(f"{self._base}/.image-{self._count}", f"{store}/img_42002")
        try:
            return self._in_child(store, request)
        finally:
            _take_away(self._settings.replace(store=store))

    def _in_child(self, store: str, request: Request) -> Difference | str | None:
        reader, writer = os.pipe()
        pid, pidfd = syscalls.clone3(NAMESPACES, signal.SIGCHLD)
        if pid == 0:
            os.close(reader)
            _tell(writer, self._settings, store, request)
        os.close(writer)
        os.close(pidfd)
        told = _told(reader, pid)
        os.waitpid(pid, 0)  # all of its pid namespace is dead and reaped then
        result: Difference | str | None = pickle.loads(told) if told else "it hung, or was killed"
        return result


def _told(reader: int, pid: int) -> bytes:
    """Return what a child tells; end it when that takes too long."""
    told, poll = b"", select.poll()
    poll.register(reader, select.POLLIN)
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        more = os.read(reader, 1 << 16) if poll.poll(1000 * LONGEST_S) else b""
        told += more
        if not more:
            break
    os.close(reader)
    os.kill(pid, signal.SIGKILL)  # it has nothing to do any more
    return told


def _tell(writer: int, settings: Settings, store: str, request: Request) -> None:
    try:
        result: object = _Run(_prepared(settings, store), settings, request).result()
    except BaseException:
        result = traceback.format_exc()
    with open(writer, "wb") as answer:
        answer.write(pickle.dumps(result))
    os._exit(0)


def _prepared(settings: Settings, store: str) -> LinuxKernel:
    """Make the same of the empty namespaces as the fake's host has: a store, a loopback and a bridge that are up."""
    syscalls.mount(None, b"/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount(b"proc", b"/proc", b"proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    _replace_mounts(os.fsencode(settings.store), os.fsencode(store))
    for directory in OWN:
        syscalls.mount(b"own", os.fsencode(directory), b"tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=0755")
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("1")
    kernel = LinuxKernel(settings)
    kernel.network.set_up("lo", True)
    kernel.network.create_bridge(settings.bridge, BRIDGE_MAC)
    kernel.network.add_address(settings.bridge, GATEWAY)
    kernel.network.set_up(settings.bridge, True)
    make_blobs_directory(kernel)
    return kernel


def _replace_mounts(target: bytes, directory: bytes) -> None:
    """Mount a directory in the place of all that is mounted at `target`."""
    aside = b"/run"
    syscalls.mount(directory, aside, None, syscalls.MS_BIND)
    while True:
        try:
            syscalls.umount2(target, syscalls.MNT_DETACH)
        except OSError:
            break
    syscalls.mount(aside, target, None, MS_MOVE)


class _Run:
    """One program in its world."""

    def __init__(self, kernel: LinuxKernel, settings: Settings, request: Request) -> None:
        self._request = request
        self._player = Player(kernel)
        self._reader = Reader(settings, frozenset((BRIDGE_MAC, *MACS.values())), OWN)
        self._began = time.monotonic()

    def result(self) -> Difference | None:
        """Do all steps; return the first that is different."""
        request = self._request
        try:
            for number, (call, answer, expected) in enumerate(
                zip(request.calls, request.answers, request.worlds, strict=True)
            ):
                said = self._player.play(call)
                is_compared = said == answer and expected != ANY_WORLD
                seen = self._settled(expected) if is_compared else expected
                if said != answer or seen != expected:
                    late = time.monotonic() - self._began > request.medium_s / 2
                    return Difference(number, said, seen, late)
            return None
        finally:
            self._player.end()

    def _settled(self, expected: str) -> str:
        """Return the world when it is as expected, or when it has had time enough to become so."""
        deadline = time.monotonic() + PATIENCE_S
        seen, wait_s = "", GLANCE_S
        while True:
            try:
                seen = self._reader.text(self._player.made)
            except Unsettled as error:
                seen = f"{seen}\n{error}" if time.monotonic() > deadline else ""
            if seen == expected or time.monotonic() > deadline:
                return seen
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, 16 * GLANCE_S)


def _take_away(settings: Settings) -> None:
    remove_groups(LinuxKernel(settings))
    _delete_tree(settings.store)


def _delete_tree(path: str) -> None:
    """Delete a directory with all subvolumes in it."""
    for entry in list(os.scandir(path)):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
            continue
        try:
            LinuxStorage(path).delete(entry.name)
        except KernelError:
            _delete_tree(entry.path)
    os.rmdir(path)


def _make_file(path: str, kind: str, mode: int, content: bytes) -> None:
    if kind == "directory":
        os.makedirs(path, exist_ok=True)
    elif kind == "link":
        return os.symlink(content, os.fsencode(path))
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with open(path, "wb") as file:
            file.write(content)
    return os.chmod(path, mode)


def _import_all(settings: Settings) -> None:
    """Import what a port imports late, once and not in each child."""
    import ctypes
    import json

    import pyroute2

    from bocker.linux import bundle, child, container, difference, netlink, pack, rootfs, spill, unpack

    kernel = LinuxKernel(settings)
    for port in PORTS:
        getattr(kernel, port)
    kernel.firewall.tables()
    kernel.network.links()
    kernel.cgroups.names()
    modules: Sequence[object] = (ctypes, json, pyroute2, bundle, child, container, difference, netlink)
    assert all((*modules, pack, rootfs, spill, unpack))

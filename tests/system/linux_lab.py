"""The lab on Linux. Everything lies in a directory of its own inside the sandbox's store."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bocker.kernel.errors import KernelError, kernel_error
from bocker.linux import LinuxKernel, syscalls
from bocker.linux.cgroups import LinuxCgroups
from bocker.linux.firewall import LinuxFirewall
from bocker.linux.storage import LinuxStorage
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

PROGRAM = os.path.join(os.path.dirname(__file__), "lab_process.py")
HOLE_BYTES = 1 << 20
CAP_NET_ADMIN = 12
SMALL_DISK = "64M"
BLOCK_BYTES = 512
PIPE_BYTES = 1 << 20
LONG_AGO_NS = 1_000_000_000_123_456_789
FS_IOC_SETFLAGS = 0x40086602
FS_IMMUTABLE_FL = 0x10
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep

KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISCHR, "character"),
    (stat.S_ISBLK, "block"),
    (stat.S_ISFIFO, "fifo"),
)

HELPERS = {
    ECHO: 'printf "%s " "$*"; exec cat',
    REFUSE: "echo refused; exit 3",
    SUICIDE: "kill -9 $$",
    SLOW: "exec sleep 60 >&-",
    ENDLESS: "exec sleep 60",
    FLOOD: "exec cat /dev/zero",
    FORBIDDEN: "exit 0",
}


class LinuxLab(Lab):
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.directory = tempfile.mkdtemp(prefix=".lab-", dir=settings.store)
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._undo: list[Callable[[], object]] = []

    def kernel(self, condition: str) -> Kernel:
        kernel = LinuxKernel(self.settings)
        if condition == NO_GROUPS:
            mountinfo = f"{self.directory}/mountinfo"
            self.write_file(mountinfo, b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n")
            kernel.cgroups = LinuxCgroups(self.settings.cgroup_parent, mountinfo)
        elif condition == NO_FIREWALL:
            kernel.firewall = LinuxFirewall("libnftables-missing.so")
        elif condition == NO_RIGHTS:
            self._give_up_rights()
        else:
            kernel = LinuxKernel(self.settings.replace(store=self.place(condition)))
        return kernel

    def place(self, condition: str) -> str:
        path = f"{self.directory}/{condition}"
        if condition != MISSING and not os.path.exists(path):
            self.make_directory(path)
            {PLAIN: self.mount, READ_ONLY: self._read_only, DENIED: self._denied, FULL: self._full}[condition](path)
        return path

    def make_directory(self, path: str) -> None:
        with _parent(path) as (directory, name):
            os.mkdir(name, dir_fd=directory)
            os.chmod(name, 0o755, dir_fd=directory)

    def make_subvolume(self, path: str) -> None:
        with _parent(path) as (directory, name):
            LinuxStorage(f"/proc/self/fd/{directory}").create(name)

    def make_link(self, path: str, target: str) -> None:
        os.symlink(target, path)

    def write_file(self, path: str, data: bytes) -> None:
        try:
            with open(path, "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(data)
        except OSError as error:
            raise kernel_error("lab.write_file", path, error.errno or 0) from error

    def read_file(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def fill(self, path: str) -> None:
        self.make_directory(path)
        for name in ("file", "-dash", ".dot", "with blank", os.fsdecode(b"not-utf8-\xff\xfe"), "setuid", "capable"):
            self.write_file(f"{path}/{name}", name.encode("utf-8", "surrogateescape") * 10)
        os.link(f"{path}/file", f"{path}/hard link")
        os.symlink("/nowhere/at all", f"{path}/link")
        os.mkfifo(f"{path}/fifo", 0o640)
        os.mknod(f"{path}/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(f"{path}/loop0", 0o660 | stat.S_IFBLK, os.makedev(7, 0))
        with open(f"{path}/holes", "wb") as file:
            file.write(b"start" + bytes(4096))
            file.seek(HOLE_BYTES)
            file.write(b"end")
        for name, mode in (("empty", 0o1777), ("below", 0o2750)):
            self.make_directory(f"{path}/{name}")
            os.chmod(f"{path}/{name}", mode)
        os.link(f"{path}/file", f"{path}/below/third name")
        self._mark(path)

    def _mark(self, path: str) -> None:
        """Give everything an owner, a time and what else a file can have; the directories last."""
        os.setxattr(f"{path}/file", "user.note", b"kept\0too")
        for top, _, files in os.walk(path, topdown=False):
            for name in (*files, "."):
                os.chown(f"{top}/{name}", 1000, 1001, follow_symlinks=False)
        os.chmod(f"{path}/setuid", 0o4755)
        os.chmod(f"{path}/below", 0o2750)
        os.setxattr(f"{path}/capable", "security.capability", CAPABILITY)
        os.chmod(path, 0o711)
        for top, _, files in os.walk(path, topdown=False):
            for name in (*files, "."):
                os.utime(f"{top}/{name}", ns=(LONG_AGO_NS, LONG_AGO_NS), follow_symlinks=False)

    def tree(self, path: str) -> dict[str, Entry]:
        names = [
            top if name == "." else f"{top}/{name}"
            for top, directories, files in os.walk(path)
            for name in (".", *files, *(name for name in directories if os.path.islink(f"{top}/{name}")))
        ]
        first_names: dict[int, str] = {}
        found = {}
        for name in sorted(names):
            relative = os.path.relpath(name, path)
            status = os.lstat(name)
            found[relative] = _entry(name, status, first_names.setdefault(status.st_ino, relative))
        return found

    def add_helper(self, program: str, kind: str) -> None:
        path = f"{self.directory}/bin"
        if not os.path.exists(path):
            self.make_directory(path)
            before = os.environ["PATH"]
            os.environ["PATH"] = f"{path}:{before}"
            self._undo.append(lambda: os.environ.update(PATH=before))
        self.write_file(f"{path}/{program}", f"#!/bin/sh\n{HELPERS[kind]}\n".encode())
        os.chmod(f"{path}/{program}", 0o644 if kind == FORBIDDEN else 0o755)

    def mount(self, path: str) -> None:
        syscalls.mount(b"lab", os.fsencode(path), b"tmpfs", 0)
        self._undo.append(lambda: _unmount(path))

    def spawn(self, directory: str = "/") -> int:
        return self._spawn("/usr/bin/python3", "-I", "-S", PROGRAM, directory)

    def spawn_in(self, namespace: str) -> int:
        path = f"{self.settings.namespaces}/{namespace}"
        return self._spawn("/usr/bin/nsenter", f"--net={path}", "/usr/bin/python3", "-I", "-S", PROGRAM, "/")

    def _spawn(self, *command: str) -> int:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes[process.pid] = process
        _answer(process)
        return process.pid

    def kill(self, pid: int) -> None:
        process = self._processes.pop(pid)
        process.kill()
        process.communicate()

    def kill_unreaped(self, pid: int) -> None:
        self._processes[pid].kill()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def eat(self, pid: int, size_bytes: int) -> bool:
        return self._ask(pid, f"eat {size_bytes}") == 0

    def fork(self, pid: int) -> int:
        return self._ask(pid, "fork") or 0

    def open_device(self, pid: int, path: str) -> int:
        return self._ask(pid, f"open {path}") or 0

    def piped(self, data: bytes, act: Callable[[], object]) -> bytes:
        kept = os.dup(0), os.dup(1)
        inward, outward = _pipe(), _pipe()
        os.write(inward[1], data)
        os.close(inward[1])
        with tempfile.TemporaryFile() as sink:
            with subprocess.Popen(["cat"], stdin=outward[0], stdout=sink):
                try:
                    os.dup2(inward[0], 0)
                    os.dup2(outward[1], 1)
                    act()
                finally:
                    for number, own in enumerate(kept):
                        os.dup2(own, number)
                    for fd in (*kept, inward[0], *outward):
                        os.close(fd)
            sink.seek(0)
            return sink.read()

    def close(self) -> None:
        for pid in tuple(self._processes):
            self.kill(pid)
        while self._undo:
            self._undo.pop()()
        shutil.rmtree(self.directory)

    def _ask(self, pid: int, line: str) -> int | None:
        process = self._processes[pid]
        assert process.stdin is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return _answer(process)

    def _give_up_rights(self) -> None:
        """Take CAP_NET_ADMIN out of the effective set; it stays permitted, and comes back at the end."""
        with open("/proc/thread-self/status") as file:
            words = dict(line.split(":\t", 1) for line in file)
        permitted, effective, inheritable = (int(words[name], 16) for name in ("CapPrm", "CapEff", "CapInh"))
        syscalls.capset(permitted, effective & ~(1 << CAP_NET_ADMIN), inheritable)
        self._undo.append(lambda: syscalls.capset(permitted, effective, inheritable))

    def _read_only(self, path: str) -> None:
        self._furnish(path)
        syscalls.mount(os.fsencode(path), os.fsencode(path), None, syscalls.MS_BIND)
        self._undo.append(lambda: _unmount(path))
        syscalls.mount_setattr(syscalls.AT_FDCWD, os.fsencode(path), 0, syscalls.MOUNT_ATTR_RDONLY)

    def _denied(self, path: str) -> None:
        self._furnish(path)
        _set_immutable(path, True)
        self._undo.append(lambda: _set_immutable(path, False))

    def _full(self, path: str) -> None:
        disk = f"{self.directory}/disk"
        self.make_directory(disk)
        self.mount(disk)
        image = f"{disk}/image"
        subprocess.run(("truncate", "-s", SMALL_DISK, image), check=True)
        subprocess.run(("mkfs.btrfs", "--quiet", "--mixed", image), check=True, capture_output=True)
        subprocess.run(("mount", "-o", "loop", image, path), check=True)
        self._undo.append(lambda: _unmount(path))
        self._furnish(path)
        _use_up(path)

    def _furnish(self, path: str) -> None:
        LinuxStorage(path).create("img_42002")
        self.write_file(f"{path}/file", b"content")


def _pipe() -> tuple[int, int]:
    ends = os.pipe2(os.O_CLOEXEC)
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends


@contextmanager
def _parent(path: str) -> Iterator[tuple[int, str]]:
    """Give the directory that a path lies in, and its last name; the path may be longer than a system call takes."""
    *above, name = path.split("/")
    directory = os.open("/", os.O_PATH)
    try:
        for part in filter(None, above):
            inside = os.open(part, os.O_PATH | os.O_DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = inside
        yield directory, name
    finally:
        os.close(directory)


def _entry(path: str, status: os.stat_result, first_name: str) -> Entry:
    kind = next(word for is_kind, word in KINDS if is_kind(status.st_mode))
    names = os.listxattr(path, follow_symlinks=False)
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        owner=(status.st_uid, status.st_gid),
        modified_ns=status.st_mtime_ns,
        first_name=first_name,
        content=_content(path) if kind == "file" else b"",
        link=os.readlink(path) if kind == "link" else "",
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)),
        attributes=tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names)),
        sparse=kind == "file" and status.st_size >= HOLE_BYTES and status.st_blocks * BLOCK_BYTES < status.st_size,
    )


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    return data if len(data) < HOLE_BYTES else hashlib.sha256(data).digest()


def _answer(process: subprocess.Popen[str]) -> int | None:
    assert process.stdout is not None
    line = process.stdout.readline()
    return int(line) if line else None


def _unmount(path: str) -> None:
    try:
        syscalls.umount2(os.fsencode(path), syscalls.MNT_DETACH)
    except OSError:
        pass  # what it lay on was deleted, and took it along


def _set_immutable(path: str, immutable: bool) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, (FS_IMMUTABLE_FL if immutable else 0).to_bytes(8, "little"))
    finally:
        os.close(fd)


def _use_up(path: str) -> None:
    """Take all space of a file system, in ever smaller pieces: btrfs keeps some back for names and small files."""
    size = 1 << 20
    count = 0
    while size:
        count += 1
        try:
            with open(f"{path}/ballast{count}", "wb", buffering=0) as file:
                file.write(bytes(size))
                os.fsync(file.fileno())
        except OSError:
            size //= 4
    storage = LinuxStorage(path)
    try:
        while True:
            count += 1
            storage.create(f"ballast{count}")
    except KernelError:
        pass

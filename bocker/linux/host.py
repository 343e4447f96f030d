"""The host's own things: file systems, mounts, kernel settings. All of it is cold but `facts` and `read`."""

from __future__ import annotations

import errno
import os

from bocker.kernel.host import Host, HostFacts, MountPoint
from bocker.linux import syscalls
from bocker.linux.errors import ToolError, translated
from bocker.linux.files import link, nameless, read_file, sync_folder, write_file
from bocker.linux.mountinfo import mounts

_CAP_SYS_ADMIN = 21
_INTERPRETER = "/proc/self/exe"
_SAFE = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
_TOOLS = "/usr/sbin:/usr/bin:/sbin:/bin"
_PROBE_BYTES = 1 << 20
_REASONS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EPERM, errno.EACCES})


class LinuxHost(Host):
    """The machine that this program runs on."""

    __slots__ = ()

    def facts(self) -> HostFacts:
        """Return what the host is; see the port."""
        with translated("host.facts", ""):
            return HostFacts(
                _is_privileged(),
                len(os.sched_getaffinity(0)),
                os.readlink(_INTERPRETER),
                bool(os.statvfs(_INTERPRETER).f_flag & os.ST_RDONLY),
                _kernel_version(os.uname().release),
            )

    def mount_at(self, target: str) -> MountPoint | None:
        """Return the newest mount at a path; see the port."""
        with translated("host.mount_at", target):
            return _mount_at(target)

    def make_filesystem(self, path: str, size_bytes: int) -> None:
        """Make a file with a btrfs in it; see the port."""
        with translated("host.make_filesystem", path):
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, path)
            folder = os.path.dirname(path)
            fd = nameless(folder)
            try:
                os.ftruncate(fd, size_bytes)
                _run(("mkfs.btrfs", "--quiet", "--", f"/proc/{os.getpid()}/fd/{fd}"), folder, errno.EINVAL)
                os.fsync(fd)
                link(fd, path, durable=True)
            finally:
                os.close(fd)
            sync_folder(folder)

    def mount_image(self, path: str, target: str) -> None:
        """Mount a file system from a file; see the port."""
        with translated("host.mount_image", target):
            os.stat(path)
            if _mount_at(target) is not None:
                raise OSError(errno.EBUSY, "mounted already")
            made = _made_directory(target)
            try:
                _run(("mount", "-o", "loop,nosuid,nodev", "--", path, target), "", errno.EINVAL)
            except OSError:
                if made:
                    os.rmdir(target)
                raise

    def restrict(self, target: str) -> None:
        """Make a mount private to root; see the port."""
        with translated("host.restrict", target):
            os.stat(target)
            if _mount_at(target) is None:
                raise OSError(errno.EINVAL, "nothing is mounted there")
            os.chmod(target, 0o700)
            syscalls.mount_setattr(syscalls.AT_FDCWD, os.fsencode(target), 0, _SAFE)

    def protect(self, path: str, target: str) -> None:
        """Mount a file read-only, which it is from the first instant on; see the port."""
        with translated("host.protect", target):
            mount = syscalls.open_tree(syscalls.AT_FDCWD, os.fsencode(path), syscalls.OPEN_TREE_CLONE)
            try:
                syscalls.mount_setattr(mount, b"", syscalls.AT_EMPTY_PATH, syscalls.MOUNT_ATTR_RDONLY)
                if _mount_at(target) is not None:
                    raise OSError(errno.EBUSY, "mounted already")
                _attach(mount, target)
            finally:
                os.close(mount)

    def unmount(self, target: str, detach: bool = False) -> None:
        """Unmount; see the port."""
        flags = syscalls.UMOUNT_NOFOLLOW | (syscalls.MNT_DETACH if detach else 0)
        with translated("host.unmount", target):
            syscalls.umount2(os.fsencode(target), flags)

    def delete(self, path: str) -> None:
        """Delete a file, a link or an empty directory; see the port."""
        with translated("host.delete", path):
            if os.lstat(path).st_mode & 0o170000 == 0o040000:
                os.rmdir(path)
            else:
                os.unlink(path)

    def copy_tree(self, directory: str, target: str) -> None:
        """Copy a tree by cp(1) of coreutils, which knows holes, clones, links and attributes; see the port."""
        with translated("host.copy_tree", target):
            os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            os.close(os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            if _is_in(target, directory):
                raise OSError(errno.EINVAL, target)
            options = ("--archive", "--no-target-directory", "--sparse=auto", "--reflink=auto")
            _run(("cp", *options, "--", directory, target), target, errno.EIO)

    def read(self, path: str) -> bytes:
        """Return a file's content; see the port."""
        with translated("host.read", path):
            return read_file(path)

    def read_sysctl(self, name: str) -> str:
        """Return a kernel setting, proc_sys(5); see the port."""
        with translated("host.read_sysctl", name):
            return os.fsdecode(read_file(_sysctl_path(name))).strip()

    def write_sysctl(self, name: str, value: str) -> None:
        """Change a kernel setting; see the port."""
        with translated("host.write_sysctl", name):
            write_file(_sysctl_path(name), os.fsencode(value))


def _is_in(path: str, directory: str) -> bool:
    """Tell whether a path leads to a directory, or to what lies in it."""
    outer, inner = os.stat(directory), os.path.realpath(path)
    while not os.path.samestat(outer, os.stat(inner)):
        if inner == "/":
            return False
        inner = os.path.dirname(inner)
    return True


def _kernel_version(release: str) -> tuple[int, int]:
    """Return the first two numbers of what uname(2) calls the release, `6.1.0-50-cloud-amd64`."""
    major, minor, *_ = release.translate({ord("-"): ".", ord("+"): "."}).split(".")
    return int(major), int(minor)


def _is_privileged() -> bool:
    """Tell whether CAP_SYS_ADMIN is effective, proc_pid_status(5): root in a container may lack it."""
    status = read_file("/proc/self/status")
    start = status.index(b"\nCapEff:") + len(b"\nCapEff:")
    return bool(int(status[start : status.index(b"\n", start)], 16) >> _CAP_SYS_ADMIN & 1)


def _mount_at(target: str) -> MountPoint | None:
    place = os.path.realpath(target)
    for mounted in reversed(mounts()):
        if mounted.target == place:
            read_only = "ro" in mounted.flags or "ro" in mounted.options
            flags = ("ro" if read_only else "rw", *(flag for flag in mounted.flags if flag not in {"ro", "rw"}))
            return MountPoint(target, mounted.source, mounted.kind, flags)
    return None


def _made_directory(target: str) -> bool:
    try:
        os.mkdir(target, 0o700)
    except FileExistsError:
        return False
    os.chmod(target, 0o700)
    return True


def _attach(mount: int, target: str) -> None:
    """Move a mount to a file, making it and its directory if need be, and undoing that when it is refused."""
    directory = os.path.dirname(target)
    made_directory = not os.path.isdir(directory)
    if made_directory:
        os.mkdir(directory, 0o755)
    try:
        _attach_to_file(mount, target)
    except OSError:
        if made_directory:
            os.rmdir(directory)
        raise


def _attach_to_file(mount: int, target: str) -> None:
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        made = True
    except FileExistsError:
        made = False
    try:
        syscalls.move_mount(mount, syscalls.AT_FDCWD, os.fsencode(target))
    except OSError:
        if made:
            os.unlink(target)
        raise


def _sysctl_path(name: str) -> str:
    """Dots part the name; a slash stands for a dot inside a part, as in sysctl(8)."""
    if not name or "//" in name or "\0" in name:
        raise OSError(errno.EINVAL, "not a setting's name")
    return "/proc/sys/" + name.translate({ord("."): "/", ord("/"): "."})


def _run(command: tuple[str, ...], place: str, meaning: int) -> None:
    """Run a tool to its end. One that fails means what its `place` says (full, read-only), else `meaning`."""
    import subprocess

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env={"PATH": _TOOLS, "LC_ALL": "C"}, check=False
        )
    except FileNotFoundError:
        raise ToolError(errno.ENOSYS, f"there is no program {command[0]}") from None
    if done.returncode:
        if place:
            _probe(place)
        raise ToolError(meaning, _last_line(done.stderr))


def _probe(directory: str) -> None:
    """Raise OSError when that is why nothing can be written there; tools tell it in words only."""
    try:
        fd = os.open(directory, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _PROBE_BYTES)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in _REASONS:
            raise


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""

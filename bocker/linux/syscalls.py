"""Functions of the C library that Python's `os` does not have.

`import ctypes` costs four milliseconds, as much as everything else that `run` imports together;
the C module behind it costs a third of one. So the few functions here are made from `_ctypes`
directly. Numbers are arguments as C longs, `bytes` and `bytearray` as pointers; a result of -1
raises OSError with the errno.

Sources: the manual pages of section 2 of each call; numbers from asm-generic/unistd.h (the new
calls have one number on every architecture).
"""

from __future__ import annotations

import _ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_PIDFD = 0x00001000
CLONE_INTO_CGROUP = 0x200000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
FSMOUNT_CLOEXEC = 1
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_SYS_CLONE3 = 435
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_SYS_CLOSE_RANGE = 436

_PYTHON_API = 0x4
_USE_ERRNO = 0x8
_CDECL = 0x1


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Char(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Function(_ctypes.CFuncPtr):
    """A C function that keeps the interpreter's lock: after clone3 the child has but one thread."""

    _flags_ = _CDECL | _USE_ERRNO | _PYTHON_API
    _restype_ = _Int  # not a long: the upper half of an int's register is not defined, and -1 would look positive


class _LongFunction(_ctypes.CFuncPtr):
    """The same for syscall(2), which answers with a long."""

    _flags_ = _CDECL | _USE_ERRNO | _PYTHON_API
    _restype_ = _Long


_library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]


_functions: dict[str, Any] = {}
_INT_BOUND = 1 << 31


def _function(name: str) -> Any:
    if name not in _functions:
        _functions[name] = _Function(_ctypes.dlsym(_library, name))
    return _functions[name]


def call(function: Any, *arguments: int | bytes | bytearray | None) -> int:
    """Call a C function; raise OSError with its errno when it answers -1."""
    result: int = function(*[a if isinstance(a, bytes) or a is None else _argument(a) for a in arguments])
    if result == -1:
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _argument(argument: int | bytearray) -> Any:
    """Return what the C call takes. A small number goes as an int, which fills the register by its sign."""
    if isinstance(argument, bytearray):
        return _ctypes.byref(_Char.from_buffer(argument))
    return argument if -_INT_BOUND <= argument < _INT_BOUND else _Long(argument)


def address_of(buffer: bytearray) -> int:
    """Return where a buffer lies, for a structure with pointers in it; the caller keeps the buffer."""
    return _ctypes.addressof(_Char.from_buffer(buffer))


_syscall = _LongFunction(_ctypes.dlsym(_library, "syscall"))


def syscall(number: int, *arguments: int | bytes | bytearray | None) -> int:
    """Make a system call by its number; raise OSError with the errno of a refusal."""
    return call(_syscall, number, *arguments)


def clone3(flags: int, exit_signal: int, cgroup_fd: int = 0) -> tuple[int, int]:
    """Make a child process like fork(2), in new namespaces; return (0, -1) in it and (pid, pidfd) here.

    The struct is `clone_args` of clone(2), version 2 (88 bytes).
    """
    pidfd = bytearray(4)
    arguments = bytearray(88)
    arguments[0:8] = (flags | CLONE_PIDFD).to_bytes(8, "little")
    holder = _Char.from_buffer(pidfd)
    arguments[8:16] = _ctypes.addressof(holder).to_bytes(8, "little")
    arguments[32:40] = exit_signal.to_bytes(8, "little")
    arguments[80:88] = cgroup_fd.to_bytes(8, "little")
    pid = syscall(_SYS_CLONE3, arguments, len(arguments))
    return (pid, int.from_bytes(pidfd, "little")) if pid else (0, -1)


def setns(fd: int, kinds: int) -> None:
    """Join namespaces: those of a process when `fd` is a pidfd, setns(2)."""
    call(_function("setns"), fd, kinds)


def unshare(flags: int) -> None:
    """Leave for namespaces of one's own, unshare(2)."""
    call(_function("unshare"), flags)


def sethostname(name: bytes) -> None:
    """Set the host name of this UTS namespace, sethostname(2)."""
    call(_function("sethostname"), name, len(name))


def prctl(option: int, argument: int = 0, third: int = 0) -> int:
    """Change this process, prctl(2)."""
    return call(_function("prctl"), option, argument, third, 0, 0)


def permitted_capabilities() -> int:
    """Return this process's permitted capabilities as a bit mask, capget(2), version 3 of the structs."""
    header = bytearray((0x20080522).to_bytes(4, "little") + bytes(4))
    data = bytearray(24)
    call(_function("capget"), header, data)
    return int.from_bytes(data[4:8], "little") | int.from_bytes(data[16:20], "little") << 32


def capset(permitted: int, effective: int, inheritable: int) -> None:
    """Set this process's capabilities as bit masks, capset(2), version 3 of the structs."""
    header = bytearray((0x20080522).to_bytes(4, "little") + bytes(4))
    data = bytearray()
    for shift in (0, 32):
        for mask in (effective, permitted, inheritable):
            data += (mask >> shift & 0xFFFFFFFF).to_bytes(4, "little")
    call(_function("capset"), header, data)


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    """Mount, mount(2)."""
    call(_function("mount"), source, target, kind, flags, data)


def umount2(target: bytes, flags: int) -> None:
    """Unmount, umount2(2)."""
    call(_function("umount2"), target, flags)


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    """Change the root mount of this namespace, pivot_root(2)."""
    syscall(_SYS_PIVOT_ROOT[os.uname().machine], new_root, put_old)


def open_tree(directory_fd: int, path: bytes, flags: int) -> int:
    """Return a descriptor of the mount at a path, a detached copy with OPEN_TREE_CLONE, open_tree(2)."""
    return syscall(_SYS_OPEN_TREE, directory_fd, path, flags | OPEN_TREE_CLOEXEC)


def move_mount(mount_fd: int, target_fd: int, target: bytes = b"") -> None:
    """Attach a detached mount at `target` below `target_fd`, or at `target_fd` itself; no link is followed.

    move_mount(2).
    """
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if target else MOVE_MOUNT_T_EMPTY_PATH)
    syscall(_SYS_MOVE_MOUNT, mount_fd, b"", target_fd, target, flags)


def detached_mount(kind: bytes, options: tuple[tuple[bytes, bytes | None], ...], attributes: int) -> int:
    """Return a descriptor of a new file system that is mounted nowhere yet.

    options are names with their text, None for a flag; attributes are MOUNT_ATTR_ bits. fsopen(2),
    fsconfig(2) and fsmount(2).
    """
    context = syscall(_SYS_FSOPEN, kind, FSOPEN_CLOEXEC)
    try:
        for name, text in options:
            command = FSCONFIG_SET_FLAG if text is None else FSCONFIG_SET_STRING
            syscall(_SYS_FSCONFIG, context, command, name, text, 0)
        syscall(_SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0)
        return syscall(_SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, attributes)
    finally:
        os.close(context)


def mount_setattr(
    mount_fd: int, path: bytes, flags: int, set_bits: int, clear_bits: int = 0, private: bool = False
) -> None:
    """Change a mount's attributes (MOUNT_ATTR_ bits), mount_setattr(2). `private`: and its propagation."""
    attributes = b"".join(
        value.to_bytes(8, "little") for value in (set_bits, clear_bits, MS_PRIVATE if private else 0, 0)
    )
    syscall(_SYS_MOUNT_SETATTR, mount_fd, path, flags, attributes, len(attributes))


def openat2(directory_fd: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """Open a path with rules for its resolution (RESOLVE_ bits), openat2(2); always close-on-exec."""
    how = b"".join(value.to_bytes(8, "little") for value in (flags | os.O_CLOEXEC, mode, resolve))
    return syscall(_SYS_OPENAT2, directory_fd, path, how, len(how))


def renameat2(old_directory: int, old: bytes, new_directory: int, new: bytes, flags: int) -> None:
    """Rename with RENAME_NOREPLACE or RENAME_EXCHANGE, renameat2(2)."""
    call(_function("renameat2"), old_directory, old, new_directory, new, flags)


def close_range(first: int) -> None:
    """Close every descriptor from `first` up, close_range(2)."""
    syscall(_SYS_CLOSE_RANGE, first, 0xFFFFFFFF, 0)


def signalfd(numbers: frozenset[int]) -> int:
    """Return a descriptor that signals can be read from while they are blocked, signalfd(2).

    The mask has one bit a signal, in 128 bytes as the C library has it.
    """
    mask = sum(1 << (number - 1) for number in numbers).to_bytes(128, "little")
    return call(_function("signalfd"), -1, mask, os.O_CLOEXEC)

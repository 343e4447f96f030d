"""A person's files by way of the directory they lie in, helpers as child processes."""

from __future__ import annotations

import errno
import fcntl
import os
import time

from bocker.kernel import accounts
from bocker.kernel.accounts import MOST_BYTES, Accounts, HelperAnswer
from bocker.linux.errors import translated
from bocker.linux.files import FILE_MODE, make_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

_READ = os.O_RDONLY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40
_CHUNK = 1 << 16


class LinuxAccounts(Accounts):
    """Files and programs of the person whose environment this is."""

    __slots__ = ()

    def read(self, path: str) -> bytes:
        """Return a file; see the port."""
        with translated("accounts.read", path):
            return _content(os.open(path, _READ))

    def update(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Replace a file; see the port.

        The directory itself is locked, as a file of ours that is there for locking would stay in it.
        """
        with translated("accounts.update", path):
            folder, name = _place(path)
        try:
            with translated("accounts.update", path):
                fcntl.flock(folder, fcntl.LOCK_EX)
                before = _content_in(folder, name)
            after = change(before)
            with translated("accounts.update", path):
                _replace(folder, name, after)
        finally:
            fcntl.flock(folder, fcntl.LOCK_UN)  # a child that is just being made has a copy of the descriptor
            os.close(folder)

    def ask(self, program: str, verb: str, text: bytes) -> HelperAnswer:
        """Run a helper; see the port."""
        import subprocess

        with translated("accounts.ask", program):
            given = os.memfd_create("credentials", os.MFD_CLOEXEC)
            try:
                os.pwrite(given, text, 0)
                helper = subprocess.Popen((program, verb), stdin=given, stdout=subprocess.PIPE, bufsize=0)
            finally:
                os.close(given)
            try:
                return _answer(helper, time.monotonic() + accounts.HELPER_S)
            finally:
                _end(helper)


def _content(fd: int) -> bytes:
    """Read a file to its end, and close it."""
    parts: list[bytes] = []
    try:
        while part := os.read(fd, _CHUNK):
            parts.append(part)
            _check_size(sum(map(len, parts)))
    finally:
        os.close(fd)
    return b"".join(parts)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def _place(path: str) -> tuple[int, str]:
    """Return the directory, opened, that holds what a path leads to, and its name there."""
    for _ in range(_MOST_LINKS):
        above, name = os.path.split(path)
        if not os.path.islink(path):
            _make_folders(above)
            return os.open(above, _FOLDER), name
        path = os.path.join(above, os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _make_folders(path: str) -> None:
    if path and not os.path.lexists(path):
        _make_folders(os.path.dirname(path))
        make_folder(path)


def _content_in(folder: int, name: str) -> bytes:
    try:
        return _content(os.open(name, _READ, dir_fd=folder))
    except FileNotFoundError:
        return b""


def _replace(folder: int, name: str, data: bytes) -> None:
    """Write aside, and rename. Whoever was killed in between left `.NAME.new`, which nobody else uses now."""
    _check_size(len(data))
    aside = f".{name}.new"
    _discard(folder, aside)
    try:
        _write(os.open(aside, _NEW, FILE_MODE, dir_fd=folder), data, _owner(folder, name))
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _discard(folder, aside)
        raise
    os.fsync(folder)


def _write(fd: int, data: bytes, owner: tuple[int, int] | None) -> None:
    try:
        os.fchmod(fd, FILE_MODE)
        if owner is not None:
            os.fchown(fd, *owner)
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _owner(folder: int, name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    return status.st_uid, status.st_gid


def _discard(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def _answer(helper: Popen[bytes], until: float) -> HelperAnswer:
    output = _output(helper, until)
    code = _wait(helper, until)
    return HelperAnswer(code if code >= 0 else 128 - code, output)


def _output(helper: Popen[bytes], until: float) -> bytes:
    import select

    assert helper.stdout is not None
    fd = helper.stdout.fileno()
    output = b""
    while select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(fd, _CHUNK)
        if not part:
            return output
        output += part
        _check_size(len(output))
    raise _too_slow()


def _wait(helper: Popen[bytes], until: float) -> int:
    import subprocess

    try:
        return helper.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _too_slow() from None


def _too_slow() -> OSError:
    return OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def _end(helper: Popen[bytes]) -> None:
    """Leave neither the program nor a descriptor; a helper that has ended is not killed again."""
    assert helper.stdout is not None
    helper.stdout.close()
    helper.kill()
    helper.wait()

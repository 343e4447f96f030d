"""Writing an archive of files: aside and renamed, or straight into what is no plain file."""

from __future__ import annotations

import errno
import os
import stat

from bocker.core import tarstream
from bocker.core.tarmembers import laid_out
from bocker.core.tarwriter import END, filling, header
from bocker.kernel.archives import STANDARD_STREAM
from bocker.linux.errors import ToolError
from bocker.linux.files import READ, discard, link, nameless, opened, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Content = str | bytes

_CHUNK_BYTES = 1 << 20
_STANDARD_OUTPUT = 1
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})  # what file systems without O_TMPFILE say


def bundle(members: tuple[tuple[str, Content], ...], archive: str) -> None:
    """Write an archive; see the port. Raise OSError."""
    if archive == STANDARD_STREAM:
        _write(members, _STANDARD_OUTPUT)
    elif _is_special(archive):
        _into(os.open(archive, os.O_WRONLY | os.O_CLOEXEC), lambda fd: _write(members, fd))
    else:
        _replace(os.path.realpath(archive), lambda fd: _write(members, fd))


def _is_special(path: str) -> bool:
    """Tell whether a path leads to a device, a FIFO or a directory, which can't be replaced by a file."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _into(fd: int, write: Callable[[int], None]) -> None:
    try:
        write(fd)
    finally:
        os.close(fd)


def _replace(path: str, write: Callable[[int], None]) -> None:
    """Write a file that gets its name when it is whole and on disk; a kill leaves nothing, where the file
    system has nameless files."""
    folder = os.path.dirname(path)
    aside = f"{folder}/.bocker-{os.getpid()}.new"
    discard(aside)
    try:
        _into(_new_file(folder, aside), lambda fd: _written_aside(fd, aside, write))
        os.rename(aside, path)
    except BaseException:
        discard(aside)
        raise


def _new_file(folder: str, aside: str) -> int:
    try:
        return nameless(folder)
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
    return opened(aside, _NEW)


def _written_aside(fd: int, aside: str, write: Callable[[int], None]) -> None:
    write(fd)
    os.fsync(fd)
    if not os.fstat(fd).st_nlink:
        link(fd, aside, durable=True)


def _write(members: Iterable[tuple[str, Content]], out: int) -> None:
    contents = iter([content for _, content in members])
    sizes = [(name, _size_bytes(content)) for name, content in members]
    try:
        for entry in laid_out(sizes):
            write_all(out, header(entry))
            if entry.kind == tarstream.FILE:
                _copy(next(contents), entry.size_bytes, out)
                write_all(out, filling(entry.size_bytes))
    except ValueError as error:
        raise ToolError(errno.EINVAL, str(error)) from None
    write_all(out, END)


def _size_bytes(content: Content) -> int:
    if isinstance(content, bytes):
        return len(content)
    status = os.lstat(content)
    if not stat.S_ISREG(status.st_mode):
        raise ToolError(errno.EINVAL, f"{content} is no plain file")
    return status.st_size


def _copy(content: Content, size_bytes: int, out: int) -> None:
    if isinstance(content, bytes):
        write_all(out, content)
    else:
        _into(os.open(content, READ), lambda fd: _copy_file(fd, size_bytes, out))


def _copy_file(fd: int, size_bytes: int, out: int) -> None:
    while size_bytes:
        chunk = os.read(fd, min(size_bytes, _CHUNK_BYTES))
        if not chunk:
            raise ToolError(errno.EIO, "a file became shorter while it was read")
        write_all(out, chunk)
        size_bytes -= len(chunk)

"""Unpacking layers: this process inflates and hashes, a child that is confined to the target writes the files."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import select
import signal

from bocker.kernel.archives import GZIP, Archives, Bounds, Member, Packed, Unpacked
from bocker.linux import inflate, unpack
from bocker.linux.bundle import bundle
from bocker.linux.errors import ToolError, translated
from bocker.linux.progress import Progress, passed_on
from bocker.linux.spill import spilled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

PIPE_BYTES = 1 << 20
_LONGEST_REPORT_BYTES = 1 << 16


class LinuxArchives(Archives):
    """fork(2), two pipes, and `unpack` in the child."""

    __slots__ = ()

    def pack(
        self,
        tree: str,
        base: str | None,
        archive: str,
        compression: str = GZIP,
        progress: Callable[[int], None] | None = None,
    ) -> Packed:
        """Write a layer; see the port."""
        from bocker.linux import pack  # `unpack` does without it

        with passed_on(), translated("archives.pack", tree):
            return pack.packed(tree, base, archive, compression, progress)

    def spill(
        self, archive: str, directory: str, bounds: Bounds, progress: Callable[[int], None] | None = None
    ) -> tuple[Member, ...]:
        """Lay out the files of an archive; see the port."""
        with passed_on(), translated("archives.spill", archive):
            return spilled(archive, directory, bounds, progress)

    def bundle(self, members: tuple[tuple[str, str | bytes], ...], archive: str) -> None:
        """Write an archive of files; see the port."""
        with translated("archives.bundle", archive):
            bundle(members, archive)

    def unpack(self, blob: str, target: str, bounds: Bounds, progress: Callable[[int], None] | None = None) -> Unpacked:
        """Apply a layer to a directory; see the port."""
        with passed_on(), translated("archives.unpack", blob):
            file = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.close(os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                return _unpacked(file, target, bounds, progress)
            finally:
                os.close(file)


def _unpacked(file: int, target: str, bounds: Bounds, tell: Callable[[int], None] | None) -> Unpacked:
    source = inflate.Source(file, tell)
    stream = inflate.stream(source)
    with _Child(target, bounds, source.progress) as child:
        digest = hashlib.sha256()
        size_bytes = 0
        for chunk in stream:
            size_bytes += len(chunk)
            if size_bytes > bounds.size_bytes:
                raise ToolError(errno.EFBIG, f"more than {bounds.size_bytes} bytes")
            digest.update(chunk)
            if not child.give(chunk):
                break
        unpacked = Unpacked(digest.hexdigest(), size_bytes, child.finish())
    source.progress.finish()
    return unpacked


class _Child:
    """The process that writes the files; it does not outlive the block.

    fork(2) and not clone3: the interpreter and the C library put their own state right in the child of
    a fork only. This process has no other threads, whose locks such a child would wait for in vain
    (transfers have a process of their own, decision 23).
    """

    __slots__ = ("_data", "_pid", "_progress", "_status")

    def __init__(self, target: str, bounds: Bounds, progress: Progress) -> None:
        self._progress = progress
        data, self._data = os.pipe2(os.O_CLOEXEC)
        self._status, status = os.pipe2(os.O_CLOEXEC)
        fcntl.fcntl(data, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(self._data, False)
        self._pid = os.fork()
        if not self._pid:
            unpack.become_unpacker(data, status, target, bounds)
        os.close(data)
        os.close(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close_data()
        os.close(self._status)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def give(self, chunk: bytes) -> bool:
        """Pass a chunk on; tell whether the child still takes any."""
        left = memoryview(chunk)
        try:
            while left:
                self._wait_for(self._data, select.POLLOUT)
                left = left[os.write(self._data, left) :]
        except BrokenPipeError:
            return False
        return True

    def _wait_for(self, fd: int, event: int) -> None:
        """Wait until a pipe can be used, or has no other end; tell meanwhile how far the work is."""
        waiting = select.poll()
        waiting.register(fd, event)
        self._progress.tick()
        while not waiting.poll(self._progress.interval_ms):
            self._progress.tick()

    def finish(self) -> int:
        """Return the number of entries once all is written; raise what the child failed of."""
        self._close_data()
        word, number, detail = self._report()
        if word != unpack.DONE:
            raise ToolError(number, detail)
        return number

    def _report(self) -> tuple[str, int, str]:
        parts = []
        self._wait_for(self._status, select.POLLIN)
        while part := os.read(self._status, _LONGEST_REPORT_BYTES):
            parts.append(part)
        fields = b"".join(parts).decode("utf-8", "surrogateescape").split("\0", 2)
        if len(fields) < 3:
            raise ToolError(errno.EIO, "the process that unpacks was killed")
        return fields[0], int(fields[1]), fields[2]

    def _close_data(self) -> None:
        if self._data >= 0:
            os.close(self._data)
            self._data = -1

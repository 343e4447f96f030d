"""`logs`: what a container wrote, exactly, or a part of it."""

from __future__ import annotations

from bocker.core.timestamps import rfc3339
from bocker.core.value import Value
from bocker.engine import loglines, resolve, store
from bocker.engine.failures import Doing
from bocker.kernel.errors import Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.ids import ContainerId
    from bocker.core.settings import Settings
    from bocker.engine.console import Console
    from bocker.engine.loglines import Entry
    from bocker.kernel import Kernel

FOLLOW_INTERVAL_S = 0.1


class LogsRequest(Value):
    """Which log, and what of it. tail: so many lines at the end, None for all. since_ns: from then on."""

    container: str
    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since_ns: int | None = None


def logs(kernel: Kernel, settings: Settings, request: LogsRequest, console: Console) -> None:
    """Write a container's log to the console; with `follow` go on until the container has ended."""
    with Doing(kernel, settings, "Reading the log"):
        store.check_format(kernel, settings)
        container = store.id_of(resolve.container(kernel, request.container))
        reader = _Reader(kernel, container)
        printer = _Printer(request, console)
        is_alive = request.follow and _is_alive(kernel, container)
        entries = _chosen(reader.more(), request)
        while printer.show(entries) and is_alive:
            # Asked before reading, so that what was written before the end is read after it.
            is_alive = _is_alive(kernel, container)
            entries = reader.more()
            if not entries and is_alive:
                kernel.ambient.sleep(FOLLOW_INTERVAL_S)


class _Reader:
    """Reads on where it stopped, up to the last whole entry."""

    def __init__(self, kernel: Kernel, container: ContainerId) -> None:
        self.kernel = kernel
        self.key = store.log_key(container)
        self.offset = 0

    def more(self) -> list[Entry]:
        """Return what came since the last time."""
        try:
            data = self.kernel.records.read(self.key, self.offset)
        except Missing:
            return []  # nothing was written yet, or the container is gone
        length = loglines.whole_length(data)
        self.offset += length
        return list(loglines.decode(data[:length]))


class _Printer:
    """Writes entries to the console, each line with its time where that is asked for."""

    def __init__(self, request: LogsRequest, console: Console) -> None:
        self.timestamps = request.timestamps
        self.console = console
        self.at_line_start = {1: True, 2: True}
        self.closed: set[int] = set()

    def show(self, entries: list[Entry]) -> bool:
        """Write the entries; return False when nobody reads any more."""
        for entry in entries:
            text = entry.output
            if self.timestamps and self.at_line_start[entry.stream]:
                text = entry.time + b" " + text
            self.at_line_start[entry.stream] = entry.ends_line
            if entry.stream not in self.closed and text and not self.console.write(entry.stream, text):
                self.closed.add(entry.stream)
        return not self.closed


def _chosen(entries: list[Entry], request: LogsRequest) -> list[Entry]:
    if request.since_ns is not None:
        since = rfc3339(request.since_ns).encode()
        entries = [entry for entry in entries if entry.time >= since]
    return entries if request.tail is None else loglines.last_lines(entries, request.tail)


def _is_alive(kernel: Kernel, container: ContainerId) -> bool:
    from bocker.core import lifecycle
    from bocker.engine.repair import reconcile

    try:
        record = store.load_container(kernel, container)
    except Missing:
        return False
    current = reconcile(kernel, record)
    return current is not None and current.state in lifecycle.UNFINISHED

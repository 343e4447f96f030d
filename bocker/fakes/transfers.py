"""Transfers between a server and a file: rows of the state, and how each goes forward by a piece."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable

import attrs

from bocker.fakes import files
from bocker.fakes.errors import Refused
from bocker.fakes.servers import SECOND_NS, Arrival
from bocker.fakes.state import State, TransferRow, new_id, with_row, without
from bocker.kernel.errors import kernel_error
from bocker.kernel.http import ANSWER_BYTES, Answer, Answered, Failed, Progress, Request

Event = Progress | Answered | Failed

PROGRESS_NS = SECOND_NS // 10
OK, PARTIAL = 200, 206
_FIRST_BYTE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


@attrs.frozen
class Wire:
    """How to send a request with its whole body, and how fast bytes go."""

    exchange: Callable[[State, Request], Arrival]
    bytes_per_s: int


def shown(request: Request) -> str:
    """Return an address as errors name it: without its query, which may hold a secret, and credentials."""
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", request.url, maxsplit=1)[0])


def begin(state: State, row: TransferRow) -> tuple[State, int]:
    """Add a transfer; return its number."""
    state, number = new_id(state)
    return _put(state, attrs.evolve(row, id=number, due_ns=state.clock_ns, told_ns=state.clock_ns)), number


def cancel(state: State, program: int, number: int) -> State:
    """Forget a program's transfer."""
    row = state.transfers.get(number)
    return state if row is None or row.program != program else _drop(state, row)


def forward(state: State, number: int, wire: Wire) -> tuple[State, Event | None]:
    """Let a transfer do what it has to do next."""
    row = state.transfers[number]
    try:
        return _send(state, row, wire) if row.method == "upload" else _fetch(state, row, wire)
    except Refused as refused:
        return fail(state, row, refused)


def fail(state: State, row: TransferRow, refused: Refused) -> tuple[State, Failed]:
    """End a transfer by an error."""
    error = kernel_error(f"http.{row.method}", shown(row.request), refused.errno, refused.detail)
    return _drop(state, row), Failed(row.id, error)


def _fetch(state: State, row: TransferRow, wire: Wire) -> tuple[State, Event | None]:
    if row.arrival is None:
        return _ask(state, row, wire)
    if row.arrival.answer.status not in {OK, PARTIAL}:
        return _answered(state, row, row.arrival)
    if row.done < len(row.arrival.answer.body):
        return _write_piece(state, row, row.arrival, wire)
    return _complete(state, row, row.arrival)


def _ask(state: State, row: TransferRow, wire: Wire) -> tuple[State, Event | None]:
    before = _content(state, row.path)
    if before is not None and len(before) == row.size_bytes:
        return _drop(state, row), _success(row, Answer(OK), before)
    start = len(before) if before and len(before) < row.size_bytes else 0
    wanted = (("Range", f"bytes={start}-"),) if start else ()
    arrived = wire.exchange(state, row.request.replace(headers=row.request.headers + wanted))
    row = attrs.evolve(row, arrival=arrived)
    if arrived.answer.status not in {OK, PARTIAL}:
        return _put(state, attrs.evolve(row, due_ns=row.due_ns + arrived.duration_ns(wire.bytes_per_s))), None
    return _open(state, row, arrived, start, wire)


def _open(state: State, row: TransferRow, arrived: Arrival, start: int, wire: Wire) -> tuple[State, None]:
    """The head has come: begin the file anew, or go on with it."""
    if arrived.answer.status == OK:
        start = 0
    elif _first_byte(arrived.answer) != start:
        raise Refused(errno.EPROTO, "the server sent another range")
    before = (_content(state, row.path) or b"")[:start]
    state = files.write_file(state, row.path, before, mode=0o600)
    _, piece_ns = arrived.piece(0, wire.bytes_per_s)
    return _put(state, attrs.evolve(row, start=start, due_ns=row.due_ns + piece_ns)), None


def _write_piece(state: State, row: TransferRow, arrived: Arrival, wire: Wire) -> tuple[State, Event | None]:
    stop, _ = arrived.piece(row.done, wire.bytes_per_s)
    content = files.read_file(state, row.path)[: row.start + row.done] + arrived.answer.body[row.done : stop]
    state = files.write_file(state, row.path, content[: row.size_bytes])
    if len(content) > row.size_bytes:
        return fail(state, row, Refused(errno.EFBIG))
    _, next_ns = arrived.piece(stop, wire.bytes_per_s)
    return _told(state, attrs.evolve(row, done=stop, due_ns=row.due_ns + next_ns))


def _complete(state: State, row: TransferRow, arrived: Arrival) -> tuple[State, Event]:
    content = files.read_file(state, row.path)
    if arrived.ending or len(content) < row.size_bytes:
        raise Refused(arrived.ending or errno.ECONNRESET)
    return _drop(state, row), _success(row, arrived.answer.replace(body=b""), content)


def _success(row: TransferRow, answer: Answer, content: bytes) -> Answered:
    return Answered(row.id, answer, hashlib.sha256(content).hexdigest(), len(content))


def _send(state: State, row: TransferRow, wire: Wire) -> tuple[State, Event | None]:
    if row.arrival is not None:
        return _answered(state, row, row.arrival)
    content = files.read_file(state, row.path)
    if row.done < len(content):
        stop, piece_ns = Arrival(Answer(0, (), content)).piece(row.done, wire.bytes_per_s)
        return _told(state, attrs.evolve(row, done=stop, due_ns=row.due_ns + piece_ns))
    arrived = wire.exchange(state, row.request.replace(body=content))
    due_ns = row.due_ns + arrived.duration_ns(wire.bytes_per_s)
    return _put(state, attrs.evolve(row, arrival=arrived, due_ns=due_ns)), None


def _answered(state: State, row: TransferRow, arrived: Arrival) -> tuple[State, Event]:
    body = arrived.answer.body[:ANSWER_BYTES]
    if arrived.ending and len(body) < ANSWER_BYTES:
        raise Refused(arrived.ending)
    return _drop(state, row), Answered(row.id, arrived.answer.replace(body=body))


def _told(state: State, row: TransferRow) -> tuple[State, Progress | None]:
    """Tell how far a transfer is, if that is not too often, and nothing more is to happen until now."""
    if row.due_ns <= state.clock_ns or state.clock_ns < row.told_ns + PROGRESS_NS:
        return _put(state, row), None
    return _put(state, attrs.evolve(row, told_ns=state.clock_ns)), Progress(row.id, row.start + row.done)


def _first_byte(answer: Answer) -> int | None:
    found = _FIRST_BYTE.match(answer.get("content-range"))
    return int(found[1]) if found else None


def _content(state: State, path: str) -> bytes | None:
    try:
        return files.read_file(state, path)
    except Refused as refused:
        if refused.errno == errno.ENOENT:
            return None
        raise


def _put(state: State, row: TransferRow) -> State:
    return attrs.evolve(state, transfers=with_row(state.transfers, row.id, row))


def _drop(state: State, row: TransferRow) -> State:
    return attrs.evolve(state, transfers=without(state.transfers, row.id))

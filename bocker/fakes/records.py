"""The records port on the fake: files of the world, open(2), rename(2), flock(2)."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import attrs

from bocker.fakes import files
from bocker.fakes.errors import Refused
from bocker.fakes.files import check_component
from bocker.fakes.state import FILE, Entry, LockRow, State, new_id, with_row, without
from bocker.fakes.view import View
from bocker.kernel.records import Records

if TYPE_CHECKING:
    from bocker.fakes.kernel import FakeKernel


LOCKS = ".locks"  # no record's folder can be called that
LONGEST_NAME = 255 - len("..new")  # what a record is called while it is replaced


class FakeRecords(View, Records):
    """The records below one directory of the host."""

    __slots__ = ("_root",)

    def __init__(self, kernel: FakeKernel, port: str, root: str) -> None:
        super().__init__(kernel, port)
        self._root = root

    def claim(self, key: str, data: bytes) -> None:
        self._change("claim", key, lambda state: _claim(state, self._root, key, data))

    def write(self, key: str, data: bytes, durable: bool = False) -> None:
        self._change("write", key, lambda state: _write(state, self._root, key, data, durable))

    def append(self, key: str, data: bytes) -> None:
        self._change("append", key, lambda state: _append(state, self._root, key, data))

    def read(self, key: str, offset: int = 0) -> bytes:
        return self._ask("read", key, lambda state: _read(state, self._root, key)[offset:])

    def remove(self, key: str) -> None:
        self._change("remove", key, lambda state: _remove(state, _path(self._root, key)))

    def list(self, folder: str) -> tuple[str, ...]:
        return self._ask("list", folder, lambda state: _list(state, self._root, folder))

    def lock(self, name: str, wait: bool = True, shared: bool = False) -> FakeLock:
        token = self._apply("lock", name, lambda state: self._take(state, name, wait, shared))
        while token is None:
            self._world.wait(None)
            token = self._world.apply(f"{self._port}.lock", name, lambda state: self._take(state, name, wait, shared))
        return FakeLock(self._kernel, token)

    def _take(self, state: State, name: str, wait: bool, shared: bool) -> tuple[State, int | None]:
        _check_part(name)
        state = _lock_file(state, self._root, name)
        if any(not (shared and row.shared) for row in _holders(state, self._root, name)):
            if not wait:
                raise Refused(errno.EAGAIN, name)
            return state, None
        state, token = new_id(state)
        row = LockRow(token, self._root, name, self._kernel.pid, shared)
        return attrs.evolve(state, locks=with_row(state.locks, token, row)), token


class FakeLock:
    """A held lock; the end of the `with` block lets it go, and the last one of it takes its file away."""

    __slots__ = ("_kernel", "_token")

    def __init__(self, kernel: FakeKernel, token: int) -> None:
        self._kernel = kernel
        self._token = token

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        if not self._kernel.dead:
            self._kernel.world.change("records.unlock", str(self._token), self._let_go)

    def _let_go(self, state: State) -> State:
        held = state.locks.get(self._token)
        if held is None:
            return state
        state = attrs.evolve(state, locks=without(state.locks, self._token))
        return state if _holders(state, held.root, held.name) else _without_lock_file(state, held)


def _holders(state: State, root: str, name: str) -> list[LockRow]:
    return [row for row in state.locks.values() if (row.root, row.name) == (root, name)]


def _without_lock_file(state: State, held: LockRow) -> State:
    try:
        return _remove(state, f"{held.root}/{LOCKS}/{held.name}")
    except Refused:
        return state


def _check_part(name: str) -> None:
    check_component(name)
    if name.startswith(".") or len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        raise Refused(errno.EINVAL, name)


def _path(root: str, key: str) -> str:
    folder, _, name = key.partition("/")
    _check_part(folder)
    _check_part(name)
    return f"{root}/{folder}/{name}"


def _folder(state: State, root: str, folder: str) -> State:
    state = files.make_directory(state, root, 0o700)
    return files.make_directory(state, f"{root}/{folder}", 0o700)


def _lock_file(state: State, root: str, name: str) -> State:
    state = _folder(state, root, LOCKS)
    path = f"{root}/{LOCKS}/{name}"
    if files.entry_at(state, files.locate(state, path).place) is not None:
        return state
    return files.write_file(state, path, b"", mode=0o600)


def _claim(state: State, root: str, key: str, data: bytes) -> State:
    path = _path(root, key)
    state = _folder(state, root, key.partition("/")[0])
    if files.entry_at(state, files.locate(state, path, follow=False).place) is not None:
        raise Refused(errno.EEXIST, key)
    return files.write_file(state, path, data, mode=0o600)


def _write(state: State, root: str, key: str, data: bytes, durable: bool) -> State:
    path = _path(root, key)
    state = _folder(state, root, key.partition("/")[0])
    spot = files.locate(state, path, follow=False)
    files.check_writable(state, spot)
    files.check_space(state, spot.place)
    replaces = bool(getattr(files.entry_at(state, spot.place), "content", b""))
    entry = Entry(FILE, 0o600, mtime_ns=state.clock_ns, content=data, flushed=replaces)
    state = files.put_entry(state, spot.place, entry)
    return files.synced(state, spot.place) if durable else state


def _append(state: State, root: str, key: str, data: bytes) -> State:
    path = _path(root, key)
    state = _folder(state, root, key.partition("/")[0])
    entry = files.entry_at(state, files.locate(state, path).place)
    before = b"" if entry is None else entry.content
    return files.write_file(state, path, before + data, mode=0o600)


def _read(state: State, root: str, key: str) -> bytes:
    return files.read_file(state, _path(root, key))


def _remove(state: State, path: str) -> State:
    spot, _ = files.existing(state, path, follow=False)
    files.check_writable(state, spot)
    return files.drop_entry(state, spot.place)


def _list(state: State, root: str, folder: str) -> tuple[str, ...]:
    _check_part(folder)
    if not files.is_directory(state, f"{root}/{folder}"):
        return ()
    spot, _ = files.existing(state, f"{root}/{folder}")
    return tuple(sorted(name for name in files.children(state, spot.place) if not name.startswith(".")))

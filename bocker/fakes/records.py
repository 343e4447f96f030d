"""The records port on the fake: files of the world, open(2), rename(2), flock(2)."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import attrs

from bocker.fakes import files
from bocker.fakes.errors import Refused
from bocker.fakes.files import check_component
from bocker.fakes.state import FILE, Entry, LockRow, Place, State, new_id, with_row, without
from bocker.fakes.view import View
from bocker.kernel.records import Records

if TYPE_CHECKING:
    from bocker.fakes.kernel import FakeKernel


Opened = tuple[str, Place]  # the path that a file was opened by, and where it is

LOCKS = ".locks"  # no record's folder can be called that
LONGEST_NAME = 255 - len("..new")  # what a record is called while it is replaced


class FakeRecords(View, Records):
    """The records below one directory of the host."""

    __slots__ = ("_appending", "_root", "_was_there")

    def __init__(self, kernel: FakeKernel, port: str, root: str) -> None:
        super().__init__(kernel, port)
        self._root = root
        self._appending: Opened | None = None
        self._was_there = False  # then it is not made again

    def claim(self, key: str, data: bytes) -> None:
        self._change("claim", key, lambda state: _claim(self._checked(state), self._root, key, data))
        self._was_there = True

    def write(self, key: str, data: bytes, durable: bool = False) -> None:
        self._change("write", key, lambda state: _write(self._checked(state), self._root, key, data, durable))
        self._was_there = True

    def append(self, key: str, data: bytes) -> None:
        path = _path_or_none(self._root, key)
        kept = self._appending if self._appending is not None and self._appending[0] == path else None
        self._appending = self._apply(
            "append", key, lambda state: _append(state if kept else self._checked(state), self._root, key, data, kept)
        )
        self._was_there = True

    def read(self, key: str, offset: int = 0) -> bytes:
        data = self._ask("read", key, lambda state: _read(state, self._root, key)[offset:])
        self._was_there = True
        return data

    def remove(self, key: str) -> None:
        self._change("remove", key, lambda state: _remove(state, _path(self._root, key)))

    def list(self, folder: str) -> tuple[str, ...]:
        return self._ask("list", folder, lambda state: _list(self._checked(state), self._root, folder))

    def lock(self, name: str, wait: bool = True, shared: bool = False) -> FakeLock:
        token = self._apply("lock", name, lambda state: self._take(state, name, wait, shared))
        while token is None:
            self._world.wait(None)
            token = self._world.apply(f"{self._port}.lock", name, lambda state: self._take(state, name, wait, shared))
        return FakeLock(self._kernel, token)

    def _checked(self, state: State) -> State:
        """Refuse to make the directory again that was there: what it lies in was unmounted."""
        if self._was_there and not files.is_directory(state, self._root):
            raise Refused(errno.ENOENT, self._root)
        return state

    def _take(self, state: State, name: str, wait: bool, shared: bool) -> tuple[State, int | None]:
        _check_part(name)
        state, tree = _lock_file(self._checked(state), self._root, name)
        self._was_there = True
        if any(not (shared and row.shared) for row in _holders(state, self._root, name, tree)):
            if not wait:
                raise Refused(errno.EAGAIN, name)
            return state, None
        state, token = new_id(state)
        row = LockRow(token, self._root, name, self._kernel.pid, shared, tree)
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
        return state if _holders(state, held.root, held.name, held.tree) else _without_lock_file(state, held)


def _holders(state: State, root: str, name: str, tree: int) -> list[LockRow]:
    return [row for row in state.locks.values() if (row.root, row.name, row.tree) == (root, name, tree)]


def _without_lock_file(state: State, held: LockRow) -> State:
    path = f"{held.root}/{LOCKS}/{held.name}"
    try:
        is_its_own = files.existing(state, path, follow=False)[0].place.subvolume == held.tree
        return _remove(state, path) if is_its_own else state
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


def _lock_file(state: State, root: str, name: str) -> tuple[State, int]:
    """Make a lock's file if need be; return the tree that it lies in."""
    state = _folder(state, root, LOCKS)
    path = f"{root}/{LOCKS}/{name}"
    spot = files.locate(state, path)
    files.check_writable(state, spot)
    if files.entry_at(state, spot.place) is None:  # an empty file fits where nothing else does
        state = files.put_entry(state, spot.place, Entry(FILE, 0o600, mtime_ns=state.clock_ns))
    return state, spot.place.subvolume


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
    files.check_no_directory(state, spot)
    replaces = bool(getattr(files.entry_at(state, spot.place), "content", b""))
    entry = Entry(FILE, 0o600, mtime_ns=state.clock_ns, content=data, flushed=replaces)
    state = files.put_entry(state, spot.place, entry)
    return files.synced(state, spot.place) if durable else state


def _path_or_none(root: str, key: str) -> str | None:
    try:
        return _path(root, key)
    except Refused:
        return None


def _append(state: State, root: str, key: str, data: bytes, kept: Opened | None) -> tuple[State, Opened]:
    """Add to a file; `kept` is the one that was added to last and is open still, wherever its name leads by now."""
    path = _path(root, key)
    if kept is not None and _is_there(state, kept[1]):
        return _added(state, kept[1], data), kept
    state = _folder(state, root, key.partition("/")[0])
    place = files.locate(state, path).place
    entry = files.entry_at(state, place)
    before = b"" if entry is None else entry.content
    return files.write_file(state, path, before + data, mode=0o600), (path, place)


def _is_there(state: State, place: Place) -> bool:
    return place.subvolume in state.subvolumes and files.entry_at(state, place) is not None


def _added(state: State, place: Place, data: bytes) -> State:
    if files.is_read_only(state, place):
        raise Refused(errno.EROFS)
    files.check_space(state, place)
    entry = state.subvolumes[place.subvolume].files[place.path]
    added = attrs.evolve(entry, content=entry.content + data, mtime_ns=state.clock_ns, flushed=False)
    return files.put_entry(state, place, added)


def _read(state: State, root: str, key: str) -> bytes:
    return files.read_file(state, _path(root, key))


def _remove(state: State, path: str) -> State:
    spot, _ = files.existing(state, path, follow=False)
    files.check_no_directory(state, spot)
    files.check_writable(state, spot)
    return files.drop_entry(state, spot.place)


def _list(state: State, root: str, folder: str) -> tuple[str, ...]:
    _check_part(folder)
    if not files.is_directory(state, f"{root}/{folder}"):
        return ()
    spot, _ = files.existing(state, f"{root}/{folder}")
    return tuple(sorted(name for name in files.children(state, spot.place) if not name.startswith(".")))

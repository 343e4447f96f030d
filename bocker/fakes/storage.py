"""The storage port on the fake: btrfs-subvolume(8) and the ioctls behind it, as measured."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

import attrs

from bocker.fakes import files
from bocker.fakes.errors import Refused
from bocker.fakes.files import check_component
from bocker.fakes.state import (
    DIRECTORY,
    HOST,
    SUBVOLUME,
    SYMLINK,
    Entry,
    Place,
    State,
    SubvolumeRow,
    with_row,
    without,
)
from bocker.fakes.view import View
from bocker.kernel.storage import Storage, Subvolume


class FakeStorage(View, Storage):
    """The subvolumes at `Settings.store`."""

    __slots__ = ()
    name = "storage"

    def create(self, name: str) -> None:
        self._change("create", name, lambda state: _create(state, self._top(state), name))

    def snapshot(self, source: str, target: str, read_only: bool = False) -> None:
        self._change("snapshot", target, lambda state: _snapshot(state, self._top(state), source, target, read_only))

    def delete(self, name: str) -> None:
        self._change("delete", name, lambda state: _delete(state, self._top(state), name))

    def publish(self, source: str, target: str) -> None:
        self._change("publish", target, lambda state: _publish(state, self._top(state), source, target))

    def exchange(self, first: str, second: str) -> None:
        self._change("exchange", second, lambda state: _exchange(state, self._top(state), first, second))

    def describe(self, name: str) -> Subvolume:
        return self._ask("describe", name, lambda state: _describe(state, self._top(state), name))

    def names(self) -> tuple[str, ...]:
        return self._ask("names", "", lambda state: _names(state, self._top(state)))

    def nested(self, name: str) -> tuple[str, ...]:
        return self._ask("nested", name, lambda state: _nested(state, self._top(state), name))

    def size_bytes(self, name: str, since: str | None = None) -> int:
        return self._ask("size_bytes", name, lambda state: _size_bytes(state, self._top(state), name, since))

    def sync(self) -> None:
        self._change("sync", "", lambda state: _sync(state, self._top(state)))

    def _top(self, state: State) -> files.Spot:
        spot, entry = files.existing(state, self._settings.store)
        if entry.kind != DIRECTORY:
            raise Refused(errno.ENOTDIR, self._settings.store)
        if files.filesystem_of(state, spot.place).kind != "btrfs":
            raise Refused(errno.ENOTTY, self._settings.store)
        return spot


def _child(state: State, top: files.Spot, name: str) -> tuple[files.Spot, Entry | None]:
    check_component(name)
    place = Place(top.place.subvolume, files.joined(top.place.path, name))
    spot = files.Spot(place, top.mount, f"{top.path.rstrip('/')}/{name}")
    return spot, files.entry_at(state, place)


def _subvolume(state: State, top: files.Spot, name: str) -> SubvolumeRow:
    _, entry = _child(state, top, name)
    if entry is None:
        raise Refused(errno.ENOENT, name)
    if entry.kind != SUBVOLUME:
        raise Refused(errno.EINVAL, name)
    return state.subvolumes[entry.subvolume]


def _check_free(state: State, top: files.Spot, name: str) -> files.Spot:
    spot, entry = _child(state, top, name)
    if entry is not None:
        raise Refused(errno.EEXIST, name)
    files.check_writable(state, spot)
    files.check_space(state, spot.place)
    return spot


def _create(state: State, top: files.Spot, name: str) -> State:
    spot = _check_free(state, top, name)
    return add_subvolume(state, spot.place)


def add_subvolume(state: State, place: Place) -> State:
    """Make an empty subvolume at a place of a btrfs."""
    filesystem = files.filesystem_of(state, place).id
    top = {"": Entry(DIRECTORY)}
    state, number = files.add_tree(state, filesystem, top, uuid=_uuid(state))
    return files.put_entry(state, place, Entry(SUBVOLUME, subvolume=number))


def _uuid(state: State) -> str:
    return f"{state.serial:08x}{state.clock_ns:024x}"


def _snapshot(state: State, top: files.Spot, source: str, target: str, read_only: bool) -> State:
    check_component(source)
    check_component(target)
    origin = _subvolume(state, top, source)
    spot = _check_free(state, top, target)
    tree = {path: _without_nested(entry) for path, entry in origin.files.items()}
    state, number = files.add_tree(
        state, origin.filesystem, tree, uuid=_uuid(state), parent_uuid=origin.uuid, read_only=read_only, made_of=tree
    )
    return files.put_entry(state, spot.place, Entry(SUBVOLUME, subvolume=number))


def _without_nested(entry: Entry) -> Entry:
    return Entry(DIRECTORY) if entry.kind == SUBVOLUME else entry


def _delete(state: State, top: files.Spot, name: str) -> State:
    spot, row = _walk(state, top, name)
    files.check_writable(state, spot)
    if any(entry.kind == SUBVOLUME for entry in row.files.values()):
        raise Refused(errno.ENOTEMPTY, name)
    return drop_subvolume(state, spot.place, row)


def drop_subvolume(state: State, place: Place, row: SubvolumeRow) -> State:
    """Take a subvolume without nested ones away; a file system gives its room back at the next sync."""
    state = files.drop_entry(state, place)
    deleted = with_row(state.deleted, row.id, row)
    return _vanish(attrs.evolve(state, subvolumes=without(state.subvolumes, row.id), deleted=deleted), row)


def _vanish(state: State, row: SubvolumeRow) -> State:
    """What lies on a deleted subvolume is mounted no more. What is mounted of it elsewhere stays, as do the roots of
    processes: of the whole an empty directory in which nothing can be made, of a part that part (kernel-facts, btrfs).
    """
    state = files.without_mounts_on(state, Place(row.id, ""))
    used = [mount.place for mounts in state.mounts.values() for mount in mounts if mount.place.subvolume == row.id]
    if not used:
        return state
    parts = [place for place in used if place.path]
    kept = {
        path: row.files[path] for path in row.files if any(files.is_in(part, Place(row.id, path)) for part in parts)
    }
    ghost = attrs.evolve(row, files={"": row.files[""], **kept}, is_deleted=True)
    return attrs.evolve(state, subvolumes=with_row(state.subvolumes, row.id, ghost))


def _walk(state: State, top: files.Spot, path: str) -> tuple[files.Spot, SubvolumeRow]:
    """Find a subvolume at `TOP/PATH`, following no link."""
    first, *rest = path.split("/")
    spot, entry = _child(state, top, first)
    for name in rest:
        if entry is None:
            raise Refused(errno.ENOENT, path)
        if entry.kind not in {DIRECTORY, SUBVOLUME}:
            raise Refused(errno.ELOOP if entry.kind == SYMLINK else errno.ENOTDIR, path)
        within = Place(entry.subvolume, "") if entry.kind == SUBVOLUME else spot.place
        spot, entry = _child(state, attrs.evolve(spot, place=within), name)
    if entry is None:
        raise Refused(errno.ENOENT, path)
    if entry.kind != SUBVOLUME:
        raise Refused(errno.EINVAL, path)
    return spot, state.subvolumes[entry.subvolume]


def _publish(state: State, top: files.Spot, source: str, target: str) -> State:
    check_component(source)
    check_component(target)
    spot, entry = _child(state, top, source)
    if entry is None:
        raise Refused(errno.ENOENT, source)
    spot_after, there = _child(state, top, target)
    if there is not None:
        raise Refused(errno.EEXIST, target)
    files.check_writable(state, spot)
    state = _with_mounts(state, lambda path: _renamed(path, spot.path, spot_after.path))
    return _move(state, spot.place, spot_after.place)


def _renamed(path: str, source: str, target: str) -> str:
    return target + path[len(source) :] if path == source or path.startswith(f"{source}/") else path


def _with_mounts(state: State, called: Callable[[str], str]) -> State:
    """Let the host's mounts go along with the directories that they lie in: mounts are on directories, not on names."""
    host = tuple(attrs.evolve(mount, target=called(mount.target)) for mount in state.mounts[HOST])
    return attrs.evolve(state, mounts=with_row(state.mounts, HOST, host))


def _move(state: State, source: Place, target: Place) -> State:
    row = state.subvolumes[source.subvolume]
    prefix = source.path + "/"
    moved = {
        target.path + path[len(source.path) :] if path == source.path or path.startswith(prefix) else path: entry
        for path, entry in row.files.items()
    }
    return files.changed(state, row, moved)


def _exchange(state: State, top: files.Spot, first: str, second: str) -> State:
    (one, one_entry), (two, two_entry) = _child(state, top, first), _child(state, top, second)
    if one_entry is None or two_entry is None:
        raise Refused(errno.ENOENT, first if one_entry is None else second)
    files.check_writable(state, one)
    row = state.subvolumes[top.place.subvolume]
    swap: Callable[[str], str] = lambda path: _swapped(path, one.place.path, two.place.path)  # noqa: E731
    tree = {swap(path): entry for path, entry in row.files.items()}
    state = _with_mounts(state, lambda path: _swapped(path, one.path, two.path))
    return files.changed(state, row, tree)


def _swapped(path: str, one: str, two: str) -> str:
    for source, target in ((one, two), (two, one)):
        if path == source or path.startswith(source + "/"):
            return target + path[len(source) :]
    return path


def _describe(state: State, top: files.Spot, name: str) -> Subvolume:
    row = _subvolume(state, top, name)
    return Subvolume(name, row.uuid, row.parent_uuid, row.read_only)


def _names(state: State, top: files.Spot) -> tuple[str, ...]:
    found = files.children(state, top.place).items()
    return tuple(sorted(name for name, entry in found if entry.kind == SUBVOLUME))


def _nested(state: State, top: files.Spot, name: str) -> tuple[str, ...]:
    found = _below(state, _subvolume(state, top, name), name)
    return tuple(sorted(found, key=lambda path: (-path.count("/"), path)))


def _below(state: State, row: SubvolumeRow, name: str) -> list[str]:
    found = []
    for path, entry in row.files.items():
        if entry.kind == SUBVOLUME:
            inner = f"{name}/{path}"
            found += [inner, *_below(state, state.subvolumes[entry.subvolume], inner)]
    return found


def _size_bytes(state: State, top: files.Spot, name: str, since: str | None) -> int:
    check_component(name)
    before: Mapping[str, Entry] = {} if since is None else _subvolume(state, top, since).files
    row = _subvolume(state, top, name)
    before, tree = row.made_of if since == name else before, row.files
    written = [(path, entry) for path, entry in tree.items() if entry.content != _content(before.get(path))]
    contents = {entry.inode or path: entry.content for path, entry in written}
    return sum(len(content) for content in contents.values())


def _content(entry: Entry | None) -> bytes:
    return b"" if entry is None else entry.content


def _sync(state: State, top: files.Spot) -> State:
    filesystem = files.filesystem_of(state, top.place).id
    deleted = {number: row for number, row in state.deleted.items() if row.filesystem != filesystem}
    trees = {**deleted, **state.subvolumes}
    late = {
        (number, path): before
        for (number, path), before in state.unsynced.items()
        if number in trees and trees[number].filesystem != filesystem
    }
    return attrs.evolve(state, unsynced=late, deleted=deleted)

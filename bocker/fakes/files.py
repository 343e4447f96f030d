"""Paths, trees and mounts: path_resolution(7), symlink(7), mount_namespaces(7), btrfs-subvolume(8).

The host's root, the store, a container's tmpfs and a file laid over another are all the same
thing here: a tree (`SubvolumeRow`), mounted somewhere in a mount namespace.
"""

from __future__ import annotations

import errno

import attrs

from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.state import (
    CHARACTER,
    DIRECTORY,
    FILE,
    HOST,
    SUBVOLUME,
    SYMLINK,
    Entry,
    FilesystemRow,
    MountRow,
    Place,
    State,
    SubvolumeRow,
    new_id,
    with_row,
    without,
)

NULL = (1, 3)  # the device `/dev/null`
MOST_LINKS = 40  # path_resolution(7)
LONGEST_NAME = 255
OPAQUE = frozenset({"proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"})


@attrs.frozen
class Spot:
    """Where a path leads: a place, and the mount that it was reached by."""

    place: Place
    mount: MountRow
    path: str


def check_component(name: str, longest: int = LONGEST_NAME) -> None:
    """Refuse what is no single path component: EINVAL, or ENAMETOOLONG."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise Refused(errno.EINVAL, name)
    if len(name.encode("utf-8", "surrogateescape")) > longest:
        raise Refused(errno.ENAMETOOLONG, name)


def locate(state: State, path: str, namespace: int = HOST, follow: bool = True) -> Spot:
    """Walk `path` in a mount namespace. The last component need not exist; the ones before must."""
    return _walk(state, namespace, _parts(path), follow, MOST_LINKS)


def _parts(path: str) -> list[str]:
    """Return the components of a path; a slash at its end asks for a directory, as a dot does."""
    parts = [part for part in path.split("/") if part]
    return [*parts, "."] if parts and path.endswith("/") else parts


def _walk(state: State, namespace: int, parts: list[str], follow: bool, links_left: int) -> Spot:
    mounts = {mount.target: mount for mount in state.mounts[namespace]}
    spot = _enter(state, mounts["/"], "/")
    above: list[Spot] = []
    for number, name in enumerate(parts):
        if name in {".", ".."}:
            _check_directory(state, spot)
            spot = above.pop() if name == ".." and above else spot
            continue
        above.append(spot)
        spot = _step(state, mounts, spot, name)
        entry = entry_at(state, spot.place)
        last = number == len(parts) - 1
        if entry is not None and entry.kind == SYMLINK and (follow or not last):
            if not links_left:
                raise Refused(errno.ELOOP)
            return _walk(state, namespace, _target(above[-1].path, entry, parts[number + 1 :]), follow, links_left - 1)
    return spot


def _target(directory: str, entry: Entry, rest: list[str]) -> list[str]:
    start = [] if entry.target.startswith("/") else _parts(directory)
    return [*start, *_parts(entry.target), *rest]


def _step(state: State, mounts: dict[str, MountRow], spot: Spot, name: str) -> Spot:
    path = f"{spot.path.rstrip('/')}/{name}"
    if path in mounts and _is_unknown(state, spot.place):
        return _enter(state, mounts[path], path)
    _check_directory(state, spot)
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        raise Refused(errno.ENAMETOOLONG)
    if path in mounts:
        return _enter(state, mounts[path], path)
    return _into(state, Spot(Place(spot.place.subvolume, joined(spot.place.path, name)), spot.mount, path))


def _is_unknown(state: State, place: Place) -> bool:
    return entry_at(state, place) is None and filesystem_of(state, place).kind in OPAQUE


def _check_directory(state: State, spot: Spot) -> None:
    """Refuse ENOENT and ENOTDIR where a path goes on, be it by a dot."""
    if _is_unknown(state, spot.place):
        raise NotModelled(f"what is in {spot.path}")
    entry = entry_at(state, spot.place)
    if entry is None:
        raise Refused(errno.ENOENT, spot.path)
    if entry.kind != DIRECTORY:
        raise Refused(errno.ENOTDIR, spot.path)


def _enter(state: State, mount: MountRow, path: str) -> Spot:
    return _into(state, Spot(mount.place, mount, path))


def _into(state: State, spot: Spot) -> Spot:
    entry = state.subvolumes[spot.place.subvolume].files.get(spot.place.path)
    if entry is not None and entry.kind == SUBVOLUME:
        return attrs.evolve(spot, place=Place(entry.subvolume, ""))
    return spot


def joined(directory: str, name: str) -> str:
    """Join two parts of a path within a tree."""
    return f"{directory}/{name}" if directory and name else directory or name


def entry_at(state: State, place: Place) -> Entry | None:
    """Return the entry at a place, None when there is none."""
    return state.subvolumes[place.subvolume].files.get(place.path)


def existing(state: State, path: str, namespace: int = HOST, follow: bool = True) -> tuple[Spot, Entry]:
    """Return where an existing path leads; refuse ENOENT when it leads nowhere."""
    spot = locate(state, path, namespace, follow)
    entry = entry_at(state, spot.place)
    if entry is None:
        raise Refused(errno.ENOENT, path)
    return spot, entry


def is_directory(state: State, path: str, namespace: int = HOST) -> bool:
    """Tell whether a path leads to a directory."""
    try:
        return existing(state, path, namespace)[1].kind == DIRECTORY
    except Refused:
        return False


def children(state: State, place: Place) -> dict[str, Entry]:
    """Return the names in a directory."""
    prefix = place.path + "/" if place.path else ""
    start = len(prefix)
    return {
        path[start:]: entry
        for path, entry in state.subvolumes[place.subvolume].files.items()
        if path and path.startswith(prefix) and "/" not in path[start:]
    }


def check_writable(state: State, spot: Spot) -> None:
    """Refuse EROFS on a read-only mount or in a read-only snapshot, EPERM where chattr(1) forbade it."""
    if "ro" in spot.mount.flags or is_read_only(state, spot.place):
        raise Refused(errno.EROFS, spot.path)
    directory = spot.place.path.rpartition("/")[0]
    tree = state.subvolumes[spot.place.subvolume]
    if tree.is_deleted and not directory and spot.place.path not in tree.files:
        raise Refused(errno.ENOENT, spot.path)  # nothing is made in a directory that is gone
    for path in {spot.place.path, directory}:
        entry = tree.files.get(path)
        if entry is not None and entry.immutable:
            raise Refused(errno.EPERM, spot.path)
    if filesystem_of(state, spot.place).kind in OPAQUE:
        raise NotModelled(f"writing to {spot.path}")


def check_no_directory(state: State, spot: Spot) -> None:
    """Refuse EISDIR where a file would take a directory's place, or go from it: rename(2), unlink(2)."""
    entry = entry_at(state, spot.place)
    if entry is not None and entry.kind == DIRECTORY:
        raise Refused(errno.EISDIR, spot.path)


def is_read_only(state: State, place: Place) -> bool:
    """Tell whether nobody can write to a tree, wherever it is mounted."""
    return state.subvolumes[place.subvolume].read_only or filesystem_of(state, place).read_only


def filesystem_of(state: State, place: Place) -> FilesystemRow:
    """Return the file system that a place lies in."""
    return state.filesystems[state.subvolumes[place.subvolume].filesystem]


def put_entry(state: State, place: Place, entry: Entry) -> State:
    """Add or replace an entry; other names of the same file (hard links) change with it."""
    row = state.subvolumes[place.subvolume]
    files = with_row(row.files, place.path, entry)
    if entry.inode:
        files = {path: entry if old.inode == entry.inode else old for path, old in files.items()}
    state = use_space(state, row, len(entry.content) - len(_content(row.files.get(place.path))))
    return changed(state, row, files)


def _content(entry: Entry | None) -> bytes:
    return b"" if entry is None else entry.content


def drop_entry(state: State, place: Place) -> State:
    """Take an entry, and all below it, away."""
    state = without_mounts_on(state, place)
    row = state.subvolumes[place.subvolume]
    prefix = place.path + "/"
    gone = {path for path in row.files if path == place.path or path.startswith(prefix)}
    freed = sum(len(row.files[path].content) for path in gone)
    files = {path: entry for path, entry in row.files.items() if path not in gone}
    return changed(use_space(state, row, -freed), row, files)


def without_mounts_on(state: State, place: Place) -> State:
    """Let mounts go with what they lie on, and with them what lies on those, in every mount namespace: unlink(2),
    rmdir(2), btrfs-subvolume(8). Mounts of it that lie elsewhere stay.

    Contracts: PlansContract.test_a_mount_goes_with_what_it_lies_on,
    StorageContract.test_a_mount_of_what_is_deleted_stays_where_it_is.
    """
    mounts = {number: _left_of(rows, place) for number, rows in state.mounts.items()}
    return attrs.evolve(state, mounts=mounts)


def _left_of(mounts: tuple[MountRow, ...], deleted: Place) -> tuple[MountRow, ...]:
    if all(mount.place.subvolume != deleted.subvolume for mount in mounts):
        return mounts
    gone = [mount.target for mount in mounts if mount.target != "/" and is_in(deleted, _lies_on(mounts, mount))]
    return tuple(row for row in mounts if not any(f"{row.target}/".startswith(f"{target}/") for target in gone))


def is_in(outer: Place, place: Place) -> bool:
    """Tell whether a place is another one, or lies in it."""
    below = not outer.path or f"{place.path}/".startswith(f"{outer.path}/")
    return outer.subvolume == place.subvolume and below


def _lies_on(mounts: tuple[MountRow, ...], mount: MountRow) -> Place:
    """Return the place that a mount covers."""
    below = [row for row in mounts if mount.target.startswith(row.target.rstrip("/") + "/")]
    under = max(below, key=lambda row: len(row.target))
    return Place(under.place.subvolume, joined(under.place.path, mount.target[len(under.target) :].strip("/")))


def changed(state: State, row: SubvolumeRow, files: dict[str, Entry]) -> State:
    """Give a tree other files; what differs is not on disk yet."""
    before = row.files
    touched = {path for path in before.keys() | files.keys() if before.get(path) is not files.get(path)}
    late = {(row.id, path): before.get(path) for path in touched if (row.id, path) not in state.unsynced}
    return attrs.evolve(
        state,
        subvolumes=with_row(state.subvolumes, row.id, attrs.evolve(row, files=files)),
        unsynced={**state.unsynced, **late},
    )


def synced(state: State, *places: Place) -> State:
    """Let what is at places be on disk: fsync(2) of the file and of its directory. With the directory come the
    names of the others in it, but not their contents (kernel-facts, "give a nameless one a name, fsync its
    directory, and lose power")."""
    late = without(state.unsynced, *((one.subvolume, one.path) for one in places))
    for one in places:
        prefix = one.path.rpartition("/")[0] + "/"
        tree = state.subvolumes[one.subvolume].files
        late |= {
            (number, path): _without_content(tree.get(path))
            for number, path in late
            if number == one.subvolume and path.startswith(prefix) and "/" not in path[len(prefix) :]
        }
    return attrs.evolve(state, unsynced=late)


def _without_content(entry: Entry | None) -> Entry | None:
    return attrs.evolve(entry, content=b"") if entry is not None and entry.kind == FILE else entry


def use_space(state: State, row: SubvolumeRow, bytes_more: int) -> State:
    """Take space of a file system, or give it back; refuse ENOSPC."""
    filesystem = state.filesystems[row.filesystem]
    if filesystem.free_bytes is None or not bytes_more:
        return state
    if bytes_more > filesystem.free_bytes:
        raise Refused(errno.ENOSPC)
    row_after = attrs.evolve(filesystem, free_bytes=filesystem.free_bytes - bytes_more)
    return attrs.evolve(state, filesystems=with_row(state.filesystems, filesystem.id, row_after))


def check_space(state: State, place: Place) -> None:
    """Refuse ENOSPC where not even metadata fits."""
    if filesystem_of(state, place).free_bytes == 0:
        raise Refused(errno.ENOSPC)


def make_directories(state: State, path: str, mode: int = 0o755, namespace: int = HOST) -> State:
    """Make a directory and those above it that are not there, as `mkdir -p`."""
    done = ""
    for name in (part for part in path.split("/") if part):
        done = f"{done}/{name}"
        state = make_directory(state, done, mode, namespace)
    return state


def make_directory(state: State, path: str, mode: int = 0o755, namespace: int = HOST) -> State:
    """Make one directory, unless it is there: mkdir(2)."""
    return state if is_directory(state, path, namespace) else _make(state, path, mode, namespace)


def _make(state: State, path: str, mode: int, namespace: int) -> State:
    spot = locate(state, path, namespace)
    entry = entry_at(state, spot.place)
    if entry is not None:
        raise Refused(errno.ENOTDIR if entry.kind != DIRECTORY else errno.EEXIST, path)
    check_writable(state, spot)
    check_space(state, spot.place)
    return put_entry(state, spot.place, Entry(DIRECTORY, mode, mtime_ns=state.clock_ns))


def write_file(state: State, path: str, content: bytes, namespace: int = HOST, mode: int = 0o644) -> State:
    """Create or overwrite a file; its directory must be there. What is written to `/dev/null` is gone: null(4),
    also where that is mounted read-only."""
    spot = locate(state, path, namespace)
    entry = entry_at(state, spot.place)
    if entry is not None and (entry.kind, entry.device) == (CHARACTER, NULL):
        return state
    check_writable(state, spot)
    check_space(state, spot.place)
    if entry is not None and entry.kind == DIRECTORY:
        raise Refused(errno.EISDIR, path)
    if entry is not None and entry.kind != FILE:
        raise NotModelled(f"writing to the {entry.kind} {path}")
    before = entry or Entry(FILE, mode)
    return put_entry(state, spot.place, attrs.evolve(before, content=content, mtime_ns=state.clock_ns, flushed=False))


def read_file(state: State, path: str, namespace: int = HOST) -> bytes:
    """Return a file's content."""
    spot, entry = existing_or_opaque(state, path, namespace)
    if entry.kind == DIRECTORY:
        raise Refused(errno.EISDIR, path)
    if entry.kind != FILE:
        if entry.kind == CHARACTER and entry.device == NULL:
            return b""
        raise NotModelled(f"reading the {entry.kind} {spot.path}")
    return entry.content


def existing_or_opaque(state: State, path: str, namespace: int) -> tuple[Spot, Entry]:
    """As `existing`, but say so when the path is in a file system whose files are not modelled."""
    spot = locate(state, path, namespace)
    entry = entry_at(state, spot.place)
    if entry is not None:
        return spot, entry
    if filesystem_of(state, spot.place).kind in OPAQUE:
        raise NotModelled(f"what is in {spot.path}")
    raise Refused(errno.ENOENT, path)


def add_tree(state: State, filesystem: int, files: dict[str, Entry], **columns: object) -> tuple[State, int]:
    """Add a tree to a file system; return its id."""
    state, number = new_id(state)
    row = SubvolumeRow(number, filesystem, files, **columns)  # type: ignore[arg-type]
    return attrs.evolve(state, subvolumes=with_row(state.subvolumes, number, row)), number


def add_filesystem(
    state: State, kind: str, source: str, top: Entry | None = None, free_bytes: int | None = None
) -> tuple[State, FilesystemRow]:
    """Add a file system whose first tree is `top` (an empty directory)."""
    state, number = new_id(state)
    state, tree = add_tree(state, number, {"": top or Entry(DIRECTORY)}, uuid=f"{number:032x}")
    row = FilesystemRow(number, kind, tree, source, free_bytes)
    return attrs.evolve(state, filesystems=with_row(state.filesystems, number, row)), row


def add_mount(state: State, mount: MountRow, namespace: int = HOST) -> State:
    """Mount something in a mount namespace."""
    mounts = (*state.mounts.get(namespace, ()), mount)
    return attrs.evolve(state, mounts=with_row(state.mounts, namespace, mounts))


def mount_at(state: State, target: str, namespace: int = HOST) -> MountRow | None:
    """Return the newest mount at exactly `target`."""
    found = [mount for mount in state.mounts[namespace] if mount.target == target]
    return found[-1] if found else None

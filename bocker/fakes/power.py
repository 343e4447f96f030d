"""What a power failure leaves: fsync(2), sync(2), btrfs(5) (`commit`).

btrfs writes what was done to it as a whole now and then, and nobody knows when: at the last sync for
certain. A file that was synced by itself is there besides, with the names in its directory. A name is on
disk when the tables are, a content when somebody asked for it, or when the file has replaced another one
(kernel-facts, "make a file, fsync its directory, and lose power").
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from bocker.fakes.state import FILE, Entry, State, SubvolumeRow, with_row


def failed(state: State, names: bool = False) -> State:
    """Return a state whose trees are what was on disk: nothing that was not synced; or with `names` all names, as
    btrfs had just written its tables, and empty the new files whose content nobody had asked for."""
    if names:
        return attrs.evolve(state, subvolumes=_emptied(state), unsynced={}, deleted={})
    trees = {**state.subvolumes, **state.deleted}
    for number, row in trees.items():
        late = {path: entry for (tree, path), entry in state.unsynced.items() if tree == number}
        if late:
            trees = with_row(trees, number, attrs.evolve(row, files=_as_before(row.files, late)))
    return attrs.evolve(state, subvolumes=trees, unsynced={}, deleted={})


def _as_before(tree: Mapping[str, Entry], late: Mapping[str, Entry | None]) -> dict[str, Entry]:
    kept = {path: entry for path, entry in {**tree, **late}.items() if entry is not None}
    for path in tuple(kept):
        while path := path.rpartition("/")[0]:  # a file is on disk with the directories above it
            if path not in kept:
                kept[path] = tree[path]
    return kept


def _emptied(state: State) -> dict[int, SubvolumeRow]:
    trees = dict(state.subvolumes)
    for (number, path), before in state.unsynced.items():
        row = trees.get(number)
        entry = None if row is None else row.files.get(path)
        if row is None or entry is None or entry.kind != FILE or entry.flushed:
            continue
        if before is not None and before.content == entry.content:
            continue
        empty = attrs.evolve(entry, content=b"")
        trees[number] = attrs.evolve(row, files={**row.files, path: empty})
    return trees

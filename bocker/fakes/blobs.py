"""The blobs port on the fake: files of the world, rename(2), fsync(2)."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from bocker.fakes import files
from bocker.fakes.errors import Refused
from bocker.fakes.files import Spot, check_component
from bocker.fakes.state import FILE, Entry, State
from bocker.fakes.view import View
from bocker.kernel.blobs import LONGEST_DRAFT, Blob, Blobs, is_digest

if TYPE_CHECKING:
    from bocker.fakes.kernel import FakeKernel

FILE_MODE = 0o600
FOLDER_MODE = 0o700


class FakeBlobs(View, Blobs):
    """Files in two directories below one of the store's."""

    __slots__ = ("_blobs", "_drafts", "_root")
    name = "blobs"

    def __init__(self, kernel: FakeKernel, root: str) -> None:
        super().__init__(kernel)
        self._root = root
        self._blobs = f"{root}/blobs"
        self._drafts = f"{root}/drafts"

    def path(self, digest: str) -> str:
        return self._ask("path", digest, lambda state: self._path(digest))

    def draft(self, name: str) -> str:
        return self._apply("draft", name, lambda state: (self._made(state, self._draft(name)), self._draft(name)))

    def keep(self, name: str, digest: str) -> None:
        self._change("keep", name, lambda state: self._keep(state, self._draft(name), self._path(digest)))

    def add(self, digest: str, data: bytes) -> None:
        self._change("add", digest, lambda state: self._add(state, self._path(digest), data))

    def read(self, digest: str, most_bytes: int = 4 << 20) -> bytes:
        return self._ask("read", digest, lambda state: _read(state, self._path(digest), most_bytes))

    def has(self, digest: str) -> bool:
        return self._ask("has", digest, lambda state: _is_file(state, self._path(digest)))

    def list(self) -> tuple[Blob, ...]:
        return self._ask("list", self._blobs, lambda state: _list(state, self._blobs, is_digest))

    def drafts(self) -> tuple[Blob, ...]:
        return self._ask("drafts", self._drafts, lambda state: _list(state, self._drafts, _is_shown))

    def remove(self, digest: str) -> None:
        self._change("remove", digest, lambda state: _remove(state, self._path(digest)))

    def discard(self, name: str) -> None:
        self._change("discard", name, lambda state: _discard(state, self._draft(name)))

    def _path(self, digest: str) -> str:
        if not is_digest(digest):
            raise Refused(errno.EINVAL, "no digest")
        return f"{self._blobs}/{digest}"

    def _draft(self, name: str) -> str:
        if name.startswith(".") or len(name.encode("utf-8", "surrogateescape")) > LONGEST_DRAFT:
            raise Refused(errno.EINVAL, "no name for a draft")
        check_component(name)
        return f"{self._drafts}/{name}"

    def _made(self, state: State, path: str) -> State:
        state = files.make_directory(state, self._root, FOLDER_MODE)
        return files.make_directory(state, path.rpartition("/")[0], FOLDER_MODE)

    def _keep(self, state: State, draft: str, path: str) -> State:
        spot, entry = _plain(state, draft)
        files.check_writable(state, spot)
        state = self._made(state, path)
        files.check_no_directory(state, files.locate(state, path, follow=False))
        state = _put(files.drop_entry(state, spot.place), path, entry)
        return files.synced(state, spot.place)

    def _add(self, state: State, path: str, data: bytes) -> State:
        state = self._made(state, path)
        spot = files.locate(state, path, follow=False)
        files.check_writable(state, spot)
        files.check_space(state, spot.place)
        if files.entry_at(state, spot.place) is not None:
            return files.synced(state, spot.place)
        return _put(state, path, Entry(FILE, mtime_ns=state.clock_ns, content=data))


def _put(state: State, path: str, entry: Entry) -> State:
    """Give a file its name, both on disk when this is done."""
    place = files.locate(state, path, follow=False).place
    state = files.put_entry(state, place, attrs.evolve(entry, mode=FILE_MODE))
    return files.synced(state, place)


def _plain(state: State, path: str) -> tuple[Spot, Entry]:
    spot, entry = files.existing(state, path, follow=False)
    if entry.kind != FILE:
        raise Refused(errno.EINVAL, "no plain file")
    return spot, entry


def _is_shown(name: str) -> bool:
    return not name.startswith(".")


def _is_file(state: State, path: str) -> bool:
    try:
        return _plain(state, path)[1].kind == FILE
    except Refused:
        return False


def _read(state: State, path: str, most_bytes: int) -> bytes:
    _, entry = _plain(state, path)
    if len(entry.content) > most_bytes:
        raise Refused(errno.EFBIG)
    return entry.content


def _list(state: State, folder: str, is_one: Callable[[str], bool]) -> tuple[Blob, ...]:
    if not files.is_directory(state, folder):
        return ()
    found = sorted(files.children(state, files.existing(state, folder)[0].place).items())
    return tuple(Blob(name, len(entry.content)) for name, entry in found if entry.kind == FILE and is_one(name))


def _remove(state: State, path: str) -> State:
    spot, _ = files.existing(state, path, follow=False)
    files.check_no_directory(state, spot)
    files.check_writable(state, spot)
    return files.drop_entry(state, spot.place)


def _discard(state: State, path: str) -> State:
    try:
        return _remove(state, path)
    except Refused as refused:
        if refused.errno == errno.ENOENT:
            return state
        raise

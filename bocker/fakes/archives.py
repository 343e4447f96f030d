"""The archives port on the fake: tar(1) as a container engine needs it."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
import hashlib
import zlib
from collections.abc import Callable

import attrs

from bocker.core.tarstream import BadArchive
from bocker.fakes import bundles, files, layers, packing, programs
from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.state import DIRECTORY, Entry, Place, State, new_id
from bocker.fakes.view import View
from bocker.kernel.archives import GZIP, Archives, Bounds, Member, Packed, Unpacked

_UNSUPPORTED = (b"BZh", b"\xfd7zXZ\0", b"\x04\x22\x4d\x18")
_CHUNK_BYTES = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


class FakeArchives(View, Archives):
    """Blobs are files of the world; a layer is applied to its tables."""

    __slots__ = ()
    name = "archives"

    def pack(
        self,
        tree: str,
        base: str | None,
        archive: str,
        compression: str = GZIP,
        progress: Callable[[int], None] | None = None,
    ) -> Packed:
        _tell(progress, 0)
        packed = self._apply("pack", tree, lambda state: packing.pack(state, tree, base, archive, compression))
        _tell(progress, packed.size_bytes)
        return packed

    def spill(
        self, archive: str, directory: str, bounds: Bounds, progress: Callable[[int], None] | None = None
    ) -> tuple[Member, ...]:
        _tell(progress, 0)
        members, size_bytes = self._apply("spill", archive, lambda state: _spill(state, archive, directory, bounds))
        _tell(progress, size_bytes)
        return members

    def bundle(self, members: tuple[tuple[str, str | bytes], ...], archive: str) -> None:
        self._change("bundle", archive, lambda state: bundles.bundle(state, members, archive))

    def unpack(self, blob: str, target: str, bounds: Bounds, progress: Callable[[int], None] | None = None) -> Unpacked:
        _tell(progress, 0)
        unpacked, size_bytes = self._apply("unpack", blob, lambda state: _unpack(state, blob, target, bounds))
        _tell(progress, size_bytes)
        return unpacked


def _tell(progress: Callable[[int], None] | None, done_bytes: int) -> None:
    """Outside of a step, as what is told may use the kernel."""
    if progress is not None:
        progress(done_bytes)


def _spill(state: State, archive: str, directory: str, bounds: Bounds) -> tuple[State, tuple[tuple[Member, ...], int]]:
    state, packed = bundles.source(state, archive)
    state = bundles.ensured(state, directory)
    state, members = bundles.spill(state, _inflated(packed, bounds.size_bytes), directory, bounds)
    return state, (members, len(packed))


def _unpack(state: State, blob: str, target: str, bounds: Bounds) -> tuple[State, tuple[Unpacked, int]]:
    packed = files.read_file(state, blob)
    spot, there = files.existing(state, target)
    if there.kind != DIRECTORY:
        raise Refused(errno.ENOTDIR, target)
    programs.check_clone(state)
    archive = _inflated(packed, bounds.size_bytes)
    state, inode = new_id(state)
    tree = layers.Tree(_below(state, spot.place), inode)
    try:
        entries = tree.apply(archive, bounds)
    except BadArchive as error:
        raise Refused(errno.EINVAL, str(error)) from None
    files.check_writable(
        state, attrs.evolve(spot, place=Place(spot.place.subvolume, files.joined(spot.place.path, "x")))
    )
    if entries:
        files.check_space(state, spot.place)
    state = attrs.evolve(_with_tree(state, spot.place, tree.files), serial=tree.next_inode)
    return state, (Unpacked(hashlib.sha256(archive).hexdigest(), len(archive), entries), len(packed))


def _below(state: State, place: Place) -> dict[str, Entry]:
    prefix = f"{place.path}/" if place.path else ""
    found = {
        path[len(prefix) :]: entry
        for path, entry in state.subvolumes[place.subvolume].files.items()
        if path.startswith(prefix) and path != place.path
    }
    return {"": state.subvolumes[place.subvolume].files[place.path], **found}


def _with_tree(state: State, place: Place, tree: dict[str, Entry]) -> State:
    row = state.subvolumes[place.subvolume]
    prefix = f"{place.path}/" if place.path else ""
    others = {path: entry for path, entry in row.files.items() if path != place.path and not path.startswith(prefix)}
    added = {files.joined(place.path, path): entry for path, entry in tree.items()}
    before = sum(len(entry.content) for path, entry in row.files.items() if path not in others)
    state = files.use_space(state, row, sum(len(entry.content) for entry in tree.values()) - before)
    return files.changed(state, row, {**others, **added})


def _inflated(packed: bytes, most_bytes: int) -> bytes:
    if packed.startswith(_UNSUPPORTED):
        raise Refused(errno.EOPNOTSUPP)
    if packed.startswith(b"\x28\xb5\x2f\xfd"):
        archive = _from_zstd(packed, most_bytes)
    else:
        archive = _from_gzip(packed, most_bytes) if packed.startswith(b"\x1f\x8b") else packed
    if len(archive) > most_bytes:
        raise Refused(errno.EFBIG)
    return archive


def _from_gzip(packed: bytes, most_bytes: int) -> bytes:
    archive = b""
    while packed and len(archive) <= most_bytes:
        member = zlib.decompressobj(_GZIP)
        try:
            archive += member.decompress(packed, most_bytes + 1)
        except zlib.error:
            raise Refused(errno.EINVAL, "its compressed data are broken") from None
        if not member.eof and len(archive) <= most_bytes:
            raise Refused(errno.EINVAL, "its compressed data end too early")
        packed = member.unused_data.lstrip(b"\0")
    return archive


def _from_zstd(packed: bytes, most_bytes: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise NotModelled("zstd without the package zstandard") from None
    reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    archive = b""
    try:
        while len(archive) <= most_bytes and (chunk := reader.read(_CHUNK_BYTES)):
            archive += chunk
        return archive
    except zstandard.ZstdError:
        raise Refused(errno.EINVAL, "its compressed data are broken") from None

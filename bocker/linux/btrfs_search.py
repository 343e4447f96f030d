"""What btrfs keeps in the tree of a subvolume: BTRFS_IOC_TREE_SEARCH_V2 (linux/btrfs.h, linux/btrfs_tree.h).

A tree is a sorted list of items, each with a key: inode, kind, offset. A block of it that was changed has the
number of the transaction that wrote it, so a search can leave out, unread, what is older. It sees what is
committed: of a read-only snapshot, all.
"""

from __future__ import annotations

import errno
import fcntl
import os
from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = 256  # the inode of a subvolume's root directory
INODE = 1
INODE_REF = 12
INODE_EXTREF = 13
XATTR = 24
DIR_INDEX = 96
EXTENT_DATA = 108

_LAST_INODE = (1 << 64) - 257  # above it is what belongs to no file
_HIGHEST = (1 << 64) - 1
_TREE_SEARCH_V2 = 0xC0709411
_GET_SUBVOL_INFO = 0x81F8943C
_INFO_SIZE = 504
_READ_ONLY = 1
_KEY = Struct("<7Q4I4Q")  # btrfs_ioctl_search_key
_HEADER = Struct("<3Q2I")  # btrfs_ioctl_search_header
_NUMBER = Struct("<Q")
_HEAD_BYTES = _KEY.size + _NUMBER.size
_COUNT_AT = 64
_FEW_BYTES, _MANY_BYTES = 1 << 16, 1 << 18  # an item is as long as a block of the tree at most, 64 KiB
_EXTENT = Struct("<QQBBHB")  # of btrfs_file_extent_item: generation, length in memory, three, type
_INLINE = 0
_LENGTH_AT = 45  # of one that is not inline: num_bytes; before it the place on disk, 0 for a hole
_PLACE_AT = 21


class Snapshot:
    """What the kernel knows of a subvolume. taken_at: the transaction that made it, with all that came before."""

    __slots__ = ("read_only", "taken_at")

    def __init__(self, fd: int) -> None:
        information = bytearray(_INFO_SIZE)
        fcntl.ioctl(fd, _GET_SUBVOL_INFO, information)
        if os.fstat(fd).st_ino != TOP:
            raise OSError(errno.EINVAL, "not a subvolume")
        self.read_only = bool(information[288] & _READ_ONLY)
        self.taken_at = _number(information, 352)


def items(fd: int, kinds: tuple[int, ...], inode: int = 0, since: int = 0) -> Iterator[tuple[int, int, int, bytes]]:
    """Give inode, kind, offset and content of the items of some kinds, of one inode or of all, in their order.

    since: only from the blocks that were written after that transaction; they hold older items too.
    """
    arguments = bytearray(_FEW_BYTES if inode else _MANY_BYTES)
    last = (inode or _LAST_INODE, max(kinds), _HIGHEST)
    key: tuple[int, int, int] | None = (inode or TOP, min(kinds), 0)
    while key is not None and key <= last:
        count = _search(fd, arguments, key, last, since)
        key = None
        at = _HEAD_BYTES
        for _ in range(count):
            _, found, offset, kind, size = _HEADER.unpack_from(arguments, at)
            at += _HEADER.size
            if kind in kinds:
                yield found, kind, offset, bytes(arguments[at : at + size])
            at += size
            key = (found, kind, offset)
        key = _after(key)


def _search(fd: int, arguments: bytearray, first: tuple[int, int, int], last: tuple[int, int, int], since: int) -> int:
    """Fill the arguments with the next items; return how many."""
    (inode, kind, offset), (last_inode, last_kind, last_offset) = first, last
    generations = (since + 1 if since else 0, _HIGHEST)
    numbers = (0, inode, last_inode, offset, last_offset, *generations, kind, last_kind, _HIGHEST >> 32, 0, 0, 0, 0, 0)
    _KEY.pack_into(arguments, 0, *numbers)
    _NUMBER.pack_into(arguments, _KEY.size, len(arguments) - _HEAD_BYTES)
    fcntl.ioctl(fd, _TREE_SEARCH_V2, arguments)
    return int.from_bytes(arguments[_COUNT_AT : _COUNT_AT + 4], "little")


def _after(key: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
    if key is None:
        return None
    inode, kind, offset = key
    return (inode, kind, offset + 1) if offset < _HIGHEST else (inode, kind + 1, 0)


def allocated_bytes(fd: int, since: int = 0) -> int:
    """Return what is allocated to the files of a subvolume, or of that what was written after a transaction.

    By the extents and not by what the files' own items say: an access time makes these new as well.
    """
    if not since:
        return sum(_number(item, 24) for _, _, _, item in items(fd, (INODE,)))
    return sum(_extent_bytes(item, since) for _, _, _, item in items(fd, (EXTENT_DATA,), since=since))


def _extent_bytes(item: bytes, since: int) -> int:
    generation, memory_bytes, _, _, _, kind = _EXTENT.unpack_from(item)
    if generation <= since:
        return 0
    if kind == _INLINE:
        return int(memory_bytes)
    return _number(item, _LENGTH_AT) if _number(item, _PLACE_AT) else 0


def _number(item: bytes | bytearray, at: int) -> int:
    return int(_NUMBER.unpack_from(item, at)[0])

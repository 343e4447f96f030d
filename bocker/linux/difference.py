"""Which names differ between a snapshot and the older one that it descends from.

Told by what btrfs has written since the older one was taken: the work grows with the change and not with the
tree. An inode that was written is compared by its items (owner, mode, time, attributes, extents), as btrfs
writes one for an access time too; a directory that was written is compared name by name.

A number alone does not tell that a file is the same one: after the highest one of a tree was deleted, the next
snapshot gives it again. So what was made after the older snapshot is new, whatever its number.
"""

from __future__ import annotations

import errno
from _struct import Struct

from bocker.linux import btrfs_search as search
from bocker.linux.errors import ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
MARK = 0  # in place of an inode's number: a whiteout, which is no file of the tree
DEEPEST = 512  # directories; as many are held open
_DIRECTORY, _SOCKET = 2, 6  # types of names, linux/btrfs_tree.h
_ATTRIBUTES = (b"user.", b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default")
_NAMED = Struct("<QBQQHHB")  # btrfs_dir_item: a key, a transaction, the lengths of data and name, a type
_REFERENCE = Struct("<QH")  # btrfs_inode_ref: index, length of the name
_FAR_REFERENCE = Struct("<QQH")  # btrfs_inode_extref: and the directory before them
_INODE = Struct("<4Q8x4IQ")  # of btrfs_inode_item, up to the device
_MODIFIED = slice(136, 148)


class Inode:
    """An inode's item. `made_in` and `written_in` are transactions."""

    __slots__ = ("attributes", "links", "made_in", "mode", "size_bytes", "written_in")
    mode: int

    def __init__(self, item: bytes) -> None:
        made_in, written_in, size_bytes, _, links, uid, gid, self.mode, device = _INODE.unpack_from(item)
        self.made_in, self.written_in, self.size_bytes, self.links = made_in, written_in, size_bytes, links
        self.attributes = (self.mode, uid, gid, device, item[_MODIFIED])

    @property
    def is_directory(self) -> bool:
        """Whether it is one, as its mode says."""
        return self.mode & 0o170000 == 0o040000

    @property
    def is_socket(self) -> bool:
        """Whether it is one, which no layer can hold."""
        return self.mode & 0o170000 == 0o140000


class Child:
    """What a name in a directory leads to. `inode` is below zero for what is nested: another subvolume, of which
    a snapshot shows an empty directory."""

    __slots__ = ("inode", "is_directory")

    def __init__(self, inode: int, is_directory: bool) -> None:
        self.inode = inode
        self.is_directory = is_directory


class Tree:
    """One subvolume, by an open descriptor; read as it is asked for."""

    __slots__ = ("_fd", "_paths", "known")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._paths: dict[int, bytes] = {search.TOP: b""}
        self.known: dict[int, Inode] = {}

    def written_since(self, transaction: int) -> dict[int, Inode]:
        """Return the inodes that were written after a transaction, and remember them."""
        for number, _, _, item in search.items(self._fd, (search.INODE,), since=transaction):
            inode = Inode(item)
            if inode.written_in > transaction and inode.links:
                self.known[number] = inode
        return self.known

    def inode(self, number: int) -> Inode | None:
        """Return an inode, None when there is none of this number."""
        if number in self.known:
            return self.known[number]
        found = next(search.items(self._fd, (search.INODE,), number), None)
        return None if found is None else Inode(found[3])

    def children(self, directory: int) -> dict[bytes, Child]:
        """Return what is in a directory and a layer can say: no sockets, and no names that mean a whiteout."""
        found = {}
        for _, _, _, item in search.items(self._fd, (search.DIR_INDEX,), directory):
            number, key_kind, _, _, _, length, kind = _NAMED.unpack_from(item)
            name = item[_NAMED.size : _NAMED.size + length]
            if kind != _SOCKET and not name.startswith(WHITEOUT):
                found[name] = Child(number if key_kind == search.INODE else -number, kind == _DIRECTORY)
        return found

    def names(self, number: int) -> frozenset[tuple[int, bytes]]:
        """Return the directory and the name of each link to an inode."""
        kinds = (search.INODE_REF, search.INODE_EXTREF)
        return frozenset(
            name
            for _, kind, offset, item in search.items(self._fd, kinds, number)
            for name in (_near(offset, item) if kind == search.INODE_REF else _far(item))
        )

    def path(self, directory: int) -> bytes:
        """Return the path of a directory below the top; one by one up, as it may be deep."""
        above = []
        while directory not in self._paths:
            ((parent, name),) = self.names(directory)
            above.append((directory, name))
            directory = parent
        path = self._paths[directory]
        for number, name in reversed(above):
            path = self._paths[number] = below(path, name)
        return path

    def attributes(self, number: int) -> dict[bytes, bytes]:
        """Return the extended attributes that a layer keeps."""
        found: dict[bytes, bytes] = {}
        for _, _, _, item in search.items(self._fd, (search.XATTR,), number):
            at = 0
            while at < len(item):  # several, where their names have the same hash
                _, _, _, _, size, length, _ = _NAMED.unpack_from(item, at)
                at += _NAMED.size
                name, value = item[at : at + length], item[at + length : at + length + size]
                at += length + size
                if name.startswith(_ATTRIBUTES):
                    found[name] = value
        return found

    def extents(self, number: int) -> list[tuple[int, bytes]]:
        """Return where a file's content lies, or short content itself; the same for two is the same content."""
        return [(offset, item[8:]) for _, _, offset, item in search.items(self._fd, (search.EXTENT_DATA,), number)]


def _near(directory: int, item: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(item):
        _, length = _REFERENCE.unpack_from(item, at)
        at += _REFERENCE.size + length
        yield directory, item[at - length : at]


def _far(item: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(item):
        directory, _, length = _FAR_REFERENCE.unpack_from(item, at)
        at += _FAR_REFERENCE.size + length
        yield directory, item[at - length : at]


def _is_unspeakable(path: bytes) -> bool:
    return any(part.startswith(WHITEOUT) for part in path.split(b"/"))


def below(directory: bytes, name: bytes) -> bytes:
    """Join a name to a path. Raise OSError (ENAMETOOLONG) for what is too deep."""
    if directory.count(b"/") + 2 > DEEPEST:
        raise ToolError(errno.ENAMETOOLONG, f"more than {DEEPEST} directories deep")
    return directory + b"/" + name if directory else name


def everything(tree: Tree, directory: int = search.TOP, path: bytes = b"") -> Iterator[tuple[bytes, int]]:
    """Give path and inode of all that is in a directory, in the order of their names."""
    waiting = [(path, Child(directory, True))]
    while waiting:
        path, child = waiting.pop()
        yield path, child.inode
        if child.is_directory and child.inode > 0:
            inside = sorted(tree.children(child.inode).items(), reverse=True)
            waiting += [(below(path, name), found) for name, found in inside]


class Difference:
    """What a layer must say that makes `new` out of `old`; `since` is the transaction that `old` was taken in."""

    __slots__ = ("_found", "_new", "_old", "_since", "_stays", "_tick")

    def __init__(self, new: Tree, old: Tree, since: int, tick: Callable[[], None]) -> None:
        self._new = new
        self._old = old
        self._since = since
        self._tick = tick
        self._found: dict[bytes, int] = {}
        self._stays: dict[int, bool] = {search.TOP: True}

    def names(self) -> list[tuple[bytes, int]]:
        """Return path and inode (or MARK) of each entry, in the order of their names."""
        for number, inode in self._new.written_since(self._since).items():
            self._tick()
            if inode.is_directory:
                if self._is_where_it_was(number):
                    self._compare_directory(number, inode)
            elif inode.made_in <= self._since and not inode.is_socket and self._differs(number, inode):
                self._put_names(number)
        for number in tuple(self._found.values()):
            self._tick()
            self._complete(number)
        return sorted(self._found.items(), key=lambda found: found[0].replace(b"/", b"\0"))

    def _is_where_it_was(self, directory: int) -> bool:
        """Tell whether a directory had the same path before. Those above it are asked first, from the top down."""
        above = []
        while directory not in self._stays:
            ((parent, _),) = names = self._new.names(directory)
            inode = self._new.inode(directory)
            same = inode is not None and inode.made_in <= self._since and self._old.names(directory) == names
            above.append((directory, same))
            directory = parent
        stays = self._stays[directory]
        for number, same in reversed(above):
            stays = self._stays[number] = stays and same
        return stays

    def _compare_directory(self, number: int, inode: Inode) -> None:
        path = self._new.path(number)
        if _is_unspeakable(path):
            return
        if self._differs(number, inode):
            self._put(path, number)
        before, after = self._old.children(number), self._new.children(number)
        for name in before.keys() - after.keys():
            self._put(below(path, WHITEOUT + name), MARK)
        for name, child in after.items():
            was = before.get(name)
            if was is None or child.inode != was.inode or self._is_new(child):
                self._put_tree(below(path, name), child, opaque=was is not None and was.is_directory)

    def _is_new(self, child: Child) -> bool:
        inode = self._new.known.get(child.inode)
        return inode is not None and inode.made_in > self._since

    def _differs(self, number: int, inode: Inode) -> bool:
        """Tell whether attributes are others, or what is in a file. New names are found in their directories."""
        before = self._old.inode(number)
        if before is None or inode.attributes != before.attributes:
            return True
        if self._new.attributes(number) != self._old.attributes(number):
            return True
        if inode.is_directory:
            return False
        return inode.size_bytes != before.size_bytes or self._new.extents(number) != self._old.extents(number)

    def _put(self, path: bytes, number: int) -> None:
        self._found[path] = number

    def _put_names(self, number: int) -> None:
        for directory, name in self._new.names(number):
            above = self._new.path(directory)
            if not _is_unspeakable(path := below(above, name)):
                self._put(path, number)

    def _put_tree(self, path: bytes, child: Child, opaque: bool) -> None:
        """Add all of what was not here before, or was another."""
        if not child.is_directory or child.inode < 0:
            self._put(path, child.inode)
            return
        for name, number in everything(self._new, child.inode, path):
            self._tick()
            self._put(name, number)
        if opaque:
            self._put(below(path, OPAQUE), MARK)

    def _complete(self, number: int) -> None:
        """Add all names of a file with several: it is another one than the layers below have."""
        inode = self._new.inode(number) if number > MARK else None
        if inode is not None and not inode.is_directory and inode.links > 1:
            self._put_names(number)

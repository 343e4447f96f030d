"""Archives of files: the layers that images come in."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN, GZIP = "plain", "gzip"
STANDARD_STREAM = "-"  # in place of a path: standard input to read, standard output to write


class Bounds(Value):
    """What an archive may hold at most.

    entries: how many, whiteouts included. size_bytes: of the uncompressed archive, and of the files
    in it together, their holes counted. depth: components of one name.
    """

    entries: int = 1_000_000
    size_bytes: int = 64 << 30
    depth: int = 256


class Unpacked(Value):
    """What an archive was. diff_id: the SHA-256 of the uncompressed stream, 64 hexadecimal digits.
    size_bytes: the length of that stream. entries: how many, whiteouts included."""

    diff_id: str
    size_bytes: int
    entries: int


class Packed(Value):
    """A layer that was written. digest: the SHA-256 of the file, and size_bytes its length. diff_id: the
    SHA-256 of the stream before compression, and stream_bytes its length. entries: how many."""

    digest: str
    size_bytes: int
    diff_id: str
    stream_bytes: int
    entries: int


class Member(Value):
    """A member of an archive. A file's `digest` is the SHA-256 of its content; a symbolic or hard link has
    none, but the `target` that it leads to. Names are text, with undecodable bytes as surrogates; both are
    paths from the archive's root, which `..` does not leave, without `.` and slashes at either end."""

    name: str
    digest: str = ""
    size_bytes: int = 0
    target: str = ""


class Archives(ABC):
    """Archives in files of the host. Paths are absolute.

    `progress` is called with the number of bytes of the archive that were read or written so far,
    every fifth of a second or so, however little was done meanwhile; what it raises ends the work.
    """

    __slots__ = ()

    @abstractmethod
    def unpack(self, blob: str, target: str, bounds: Bounds, progress: Callable[[int], None] | None = None) -> Unpacked:
        """Apply the layer in the file `blob` to the directory `target`, which holds the layers below.

        The format is tar as POSIX (ustar, PAX), GNU and star write it, plain or compressed by gzip or
        zstd (of one or more members), told by its first bytes. It must end as tar does, with zeros.

        - Names are bytes. `.`, `..` and slashes at either end are read as if `target` were `/`. Links
          in a name's directories are followed within `target`, that of its last component is not.
          Nothing outside `target` is read or changed, whatever the names and links.
        - What is there is replaced: by a file, link or node whatever it was; a directory only by what
          is none. A directory's entry gives one that is there its attributes. Directories that no
          entry names are made with mode 0755, root's, of time 0; one that is there keeps its times.
        - `.wh.NAME` takes NAME away, `.wh..wh..opq` all in its directory: of the layers below only,
          wherever in the archive it stands. Other names that begin with `.wh..wh.` are passed over.
        - Kept: owners by number, modes with setuid, setgid and sticky, times of modification to the
          nanosecond, hard links (to the layers below too), symbolic links, devices, FIFOs, and of files
          and directories the extended attributes `user.*`, `security.capability` and POSIX ACLs.
          Attributes of other kinds are for the host's kernel and are left out.
        - Holes are kept, and made of long runs of zeros: of those from 128 KiB up, of none below 4 KiB.

        After an error a part is left. Raise Missing when there is no blob or target, Invalid for what
        is no archive, a broken or a truncated one, or one that can't be carried out (EINVAL, with
        what is wrong; ENAMETOOLONG), ENOTDIR for a target that is no directory; TooLarge for more than
        `bounds` allow (EFBIG in bytes, E2BIG in entries or depth); Unsupported for another
        compression; NoSpace, ReadOnly, Denied.
        """

    @abstractmethod
    def pack(
        self,
        tree: str,
        base: str | None,
        archive: str,
        compression: str = GZIP,
        progress: Callable[[int], None] | None = None,
    ) -> Packed:
        """Write the layer that makes the subvolume `tree` out of the subvolume `base`, or all of `tree`.

        Both are read-only snapshots, and `tree` descends from `base` by snapshots: what is compared is what
        btrfs has written since `base` was taken, not the files one by one. `archive` is a file that is
        replaced, mode 0600, what is no plain file and written to as it is, or `STANDARD_STREAM`.
        `compression` is `PLAIN` or `GZIP`.

        Unpacking the layer on `base` gives `tree`, in all that `unpack` keeps. Entries are in the order of
        their names, each directory before what is in it, and the same trees give the same stream: names of
        owners are left out, holes are zeros, and compression adds no time. What went is told by whiteouts; a
        directory that is another one now by an opaque one, or by what went from it. Every name of a changed file
        with several is there, the later ones as hard links. Of a directory that moved, all is there.

        What a layer can't say is left out: sockets, names that begin with `.wh.`, extended attributes with a
        `=` in their names. What is mounted in a snapshot is not seen, and a nested subvolume is the empty
        directory that a snapshot has in its place. Nothing outside of `tree` is read, whatever its links.

        Raise Missing, Invalid for what is no read-only snapshot (EINVAL, ENOTDIR) or holds more than can be
        said (EINVAL: a mebibyte of attributes of one file; ENAMETOOLONG: 512 directories deep), Unsupported
        for another compression or what is no btrfs, NoSpace, ReadOnly, Denied; then a part of the file may be
        left.
        """

    @abstractmethod
    def spill(
        self, archive: str, directory: str, bounds: Bounds, progress: Callable[[int], None] | None = None
    ) -> tuple[Member, ...]:
        """Put the content of each file in an archive into `directory` under its SHA-256, and return what
        the archive holds, in its order. The directory is made, mode 0700, when it is not there.

        The archive is read once, from a file, a FIFO or `STANDARD_STREAM`; the formats are those of
        `unpack`. No name in it becomes a name on the host. Files that are there already are left as they
        are, but for one that holds something else than its name says, or can't be read (EIO): that is replaced.
        New ones have mode 0600, appear whole, and are on disk when this returns. What has such a name and is no
        plain file stays. Directories and nodes are passed over. `bounds.depth` bounds nothing here.

        After an error files that were whole may be left. Raise Missing when there is no archive, or nothing
        above the directory; Invalid for what is no archive, a broken or a truncated one (EINVAL, with what is wrong),
        for a name of more than 4096 bytes (ENAMETOOLONG) and for a directory that is none (ENOTDIR);
        TooLarge for more than `bounds` allow (EFBIG in bytes, E2BIG in entries); Unsupported for another
        compression; NoSpace, ReadOnly, Denied.
        """

    @abstractmethod
    def bundle(self, members: tuple[tuple[str, str | bytes], ...], archive: str) -> None:
        """Write an archive of files: (name, the host's path of the content, or the content itself).

        Owned by root, mode 0644, of time 0, in the given order, a directory's entry before the first name
        in it; the same content gives the same bytes. `archive` is a file that is replaced at one instant,
        mode 0600, or `STANDARD_STREAM`; a symbolic link stays, and what it leads to is replaced; what is
        no plain file, such as a FIFO, is written to.

        Raise Missing when a content or the directory of the archive is, Invalid (EINVAL) for a name that
        is not a path from the root in its shortest form and for a content that is no plain file, EISDIR
        when the archive is a directory; NoSpace, ReadOnly, Denied. Then the archive is as it was.
        """

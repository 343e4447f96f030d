"""Archives of files: the layers that images come in."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value


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


class Archives(ABC):
    """Archives in files of the host. Paths are absolute."""

    __slots__ = ()

    @abstractmethod
    def unpack(self, blob: str, target: str, bounds: Bounds) -> Unpacked:
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
          nanosecond, hard links (to the layers below too), symbolic links, devices, FIFOs, holes, and
          of files and directories the extended attributes `user.*`, `security.capability` and POSIX
          ACLs. Attributes of other kinds are for the host's kernel and are left out.

        After an error a part is left. Raise Missing when there is no blob or target, Invalid for what
        is no archive, a broken or a truncated one, or one that can't be carried out (EINVAL, with
        what is wrong; ENAMETOOLONG), ENOTDIR for a target that is no directory; TooLarge for more than
        `bounds` allow (EFBIG in bytes, E2BIG in entries or depth); Unsupported for another
        compression; NoSpace, ReadOnly, Denied.
        """

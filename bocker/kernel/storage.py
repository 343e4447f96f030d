"""Subvolumes of the btrfs store: where images and containers live."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value


class Subvolume(Value):
    """A subvolume of the store. `uuid` is 32 hexadecimal digits, and stays with the content when
    the name is exchanged; `parent_uuid` is that of the subvolume it was a snapshot of."""

    name: str
    uuid: str
    parent_uuid: str | None
    read_only: bool


class Storage(ABC):
    """The subvolumes at the top of the store, by name.

    A name is one path component. The kernel knows no "busy" subvolume: deleting one that a process
    has as its root succeeds, so refusing that is the engine's own rule (kernel-facts, btrfs).

    Errors of every method: Missing when the store is not there, Unsupported when it is no btrfs,
    Denied, ReadOnly when the file system is, Invalid for a name that is empty, `.`, `..` or holds a
    slash or NUL (EINVAL) or has more than 255 bytes (ENAMETOOLONG).
    """

    __slots__ = ()

    @abstractmethod
    def create(self, name: str) -> None:
        """Make an empty subvolume, mode 0755, of time 0, so that the same layers make the same tree. Raise
        AlreadyExists (anything has that name), NoSpace."""

    @abstractmethod
    def snapshot(self, source: str, target: str, read_only: bool = False) -> None:
        """Make `target` a snapshot of `source`, at one instant, writable unless `read_only`.

        A subvolume nested in `source` becomes an empty directory in `target`. Raise AlreadyExists
        (never nests into an existing target, as the `btrfs` program does), Missing when there is
        no source, Invalid when it is a plain directory, NoSpace.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a subvolume, even while a process has its root, directory or a file in it.

        `name` may be `TOP/PATH` as `nested` returns it; links in PATH are not followed. Raise
        Missing, Invalid when it is no subvolume, NotEmpty when another is nested inside (nothing
        was deleted).
        """

    @abstractmethod
    def publish(self, source: str, target: str) -> None:
        """Rename `source` to `target` at one instant. Raise Missing, AlreadyExists when there is
        a target (an empty one too; nothing was changed)."""

    @abstractmethod
    def exchange(self, first: str, second: str) -> None:
        """Swap the names of two subvolumes at one instant (RENAME_EXCHANGE). Raise Missing when
        one is not there (nothing was changed)."""

    @abstractmethod
    def describe(self, name: str) -> Subvolume:
        """Return what the kernel knows of a subvolume. Raise Missing, Invalid when it is none."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the names of the subvolumes at the top of the store, sorted; plain files and
        directories are left out."""

    @abstractmethod
    def nested(self, name: str) -> tuple[str, ...]:
        """Return the subvolumes inside `name` as `NAME/PATH`, the deepest first. Raise Missing,
        Invalid when it is no subvolume."""

    @abstractmethod
    def size_bytes(self, name: str, since: str | None = None) -> int:
        """Return how much room the files of a subvolume take: what is allocated to each, hard links
        counted once, whatever they share with other subvolumes. With `since`, a read-only snapshot that
        `name` descends from, or `name` itself, which is a snapshot: only what was written to them after it
        was taken, of a file no less than the changed part and no more than the whole. What is not on disk
        yet (`sync`) may be missing. Raise Missing, Invalid when one is no subvolume."""

    @abstractmethod
    def sync(self) -> None:
        """Return when everything written to the store so far is on disk."""

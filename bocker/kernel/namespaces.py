"""Names of network namespaces, as `ip netns` shows them."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Namespaces(ABC):
    """The folder where `ip netns` looks (`Settings.namespaces`).

    A name is one path component: Invalid (EINVAL) for an empty one, `.`, `..`, or one with a
    slash.
    """

    __slots__ = ()

    @abstractmethod
    def create(self, name: str) -> None:
        """Make a namespace that lives until it is removed and the last process has left it. Its
        loopback is down. Raise AlreadyExists."""

    @abstractmethod
    def link(self, name: str, pid: int) -> None:
        """Let `name` lead to the namespace of process `pid`, without keeping it alive: when the
        process is gone, the name leads nowhere and is still listed. Raise AlreadyExists, Missing
        when there is no such process."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take the name away. A namespace that nothing else holds ends some time *after* this
        returns, and its links with it. Raise Missing."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""

"""What a long piece of work tells whoever waits for it. The command line draws it; tests write it down."""

from __future__ import annotations

from abc import ABC, abstractmethod

WAITING = "Waiting"
DOWNLOADING = "Downloading"
DOWNLOADED = "Download complete"
EXTRACTING = "Extracting"
COMPLETE = "Pull complete"
EXISTS = "Already exists"
PACKING = "Packing"
PUSHING = "Pushing"
PUSHED = "Pushed"
MOUNTED = "Mounted"
RETRYING = "Retrying"


class Watch(ABC):
    """One piece of work with several parts, each a layer (or another blob), known by its digest."""

    __slots__ = ()

    @abstractmethod
    def say(self, line: str) -> None:
        """A sentence for a person: `7: Pulling from library/centos`, `Digest: sha256:…`. It may hold what a
        registry wrote, so whoever prints it escapes control characters."""

    @abstractmethod
    def part(self, digest: str, state: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        """A part is in `state` (a word of this module), so far; total 0 where nobody knows it. The parts
        stay in the order in which they were first told of."""


class Unwatched(Watch):
    """Nobody waits."""

    __slots__ = ()

    def say(self, line: str) -> None:
        """Say nothing."""

    def part(self, digest: str, state: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        """Show nothing."""

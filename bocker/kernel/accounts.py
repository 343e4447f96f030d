"""What belongs to the person who calls: their files of credentials, and the helpers that keep secrets."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 1 << 20  # of a file, or of what a helper prints
HELPER_S = 60.0


class HelperAnswer(Value):
    """How a helper ended (128 + n for signal n), and what it printed on standard output."""

    exit_code: int
    output: bytes


class Accounts(ABC):
    """Files by absolute path, helpers by the name of their program.

    Errors of every method: Denied, ReadOnly, NoSpace (when writing), TooLarge (EFBIG) for more than
    `MOST_BYTES`.
    """

    __slots__ = ()

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return a file's content. Raise Missing, Invalid for a directory or where a part of the path is none."""

    @abstractmethod
    def update(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Replace a file by what `change` makes of its content (empty where there is none), at one
        instant, on disk when this returns, mode 0600, with the owner it had; the directory is made with
        mode 0700 if need be. Raise Invalid as `read` does. A symbolic link stays, and what it leads to is
        replaced. Two that update one file wait for each other. What `change` raises is passed on, and
        nothing was changed then."""

    @abstractmethod
    def ask(self, program: str, verb: str, text: bytes) -> HelperAnswer:
        """Run `PROGRAM VERB`, found in PATH, with `text` on its standard input and its errors on ours.
        Raise Missing when there is no such program, Denied when it can't be executed, Unreachable
        (ETIMEDOUT) when it takes longer than `HELPER_S` and was ended."""

"""What bocker says when it refuses or fails: one line, what and why, and what to do.

The engine raises these with their data in fields; only `bocker.cli.main` catches them. Nothing
ever matches on their text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FAILED = 1
USAGE = 2
RUN_FAILED = 125


class BockerError(Exception):
    """An error a person can read: `message` says what and why, `hint` what to do about it."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(BockerError):
    """The words on the command line make no sense; nothing was looked at, nothing was done."""

    exit_code = USAGE


class InvalidValue(UsageError):
    """A setting, a limit, a name or an address that cannot be read."""


class NoSuchImage(BockerError):
    """No image has that id, tag or prefix."""

    def __init__(self, reference: str, hint: str | None = None) -> None:
        super().__init__(f"No image named '{reference}' exists", hint)
        self.reference = reference


class NoSuchContainer(BockerError):
    """No container has that id, name or prefix."""

    def __init__(self, reference: str, hint: str | None = None) -> None:
        super().__init__(f"No container named '{reference}' exists", hint)
        self.reference = reference


class NoSuchObject(BockerError):
    """Neither a container nor an image is called that."""

    text = "No container or image named '{}' exists"

    def __init__(self, reference: str) -> None:
        super().__init__(self.text.format(reference))
        self.reference = reference


class RemovedMeanwhile(NoSuchObject):
    """It was there when it was looked up, and another command removed it before this one could."""

    text = "'{}' was removed by another command meanwhile"


class NoSuchDirectory(BockerError):
    """`init` was pointed at something that is no directory."""

    def __init__(self, directory: str) -> None:
        super().__init__(f"No directory named '{directory}' exists")
        self.directory = directory


class HoldsTheStore(BockerError):
    """`init` was pointed at a directory that the new image would lie in."""

    def __init__(self, directory: str, store: str) -> None:
        super().__init__(f"'{directory}' can't be copied into itself: {store} is in it", "use a directory without it")
        self.directory = directory


class AmbiguousReference(BockerError):
    """A prefix, or a word for both a container and an image, names more than one thing."""

    def __init__(self, reference: str, candidates: tuple[str, ...]) -> None:
        shown = ", ".join(candidates[:4]) + (", …" if len(candidates) > 4 else "")
        super().__init__(f"'{reference}' names more than one thing: {shown}", "say the whole id")
        self.reference = reference
        self.candidates = candidates


class NotRunning(BockerError):
    """The container exists, and its program does not run."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"Container '{reference}' exists but is not running")
        self.reference = reference


class GroupGone(BockerError):
    """Somebody removed the control group of a container that runs, so nothing more can run within its limits."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"Container '{reference}' has no control group any more, which its limits were in",
            f"somebody removed it; end the container with: bocker stop {reference}",
        )
        self.reference = reference


class FilesGone(BockerError):
    """Somebody deleted the files of a container that runs."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"The files of container '{reference}' are gone",
            f"somebody deleted them; end the container with: bocker stop {reference}",
        )
        self.reference = reference


class StillRunning(BockerError):
    """A running container is not removed without `-f`."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"Container '{reference}' is running", f"stop it first, or use: bocker rm -f {reference}")
        self.reference = reference


class NameInUse(BockerError):
    """A name or tag that belongs to something else already."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(f"The name '{name}' is already in use by {owner}", "remove it first, or choose another name")
        self.name = name
        self.owner = owner


class PoolFull(BockerError):
    """Every id of the subnet (or of the images' numbers) is taken."""

    def __init__(self, size: int, what: str) -> None:
        super().__init__(f"All {size} {what} are in use", "remove some with: bocker rm ID")
        self.size = size
        self.what = what


class NestedSubvolumes(BockerError):
    """A snapshot would silently drop the subvolumes inside the container."""

    def __init__(self, reference: str, nested: tuple[str, ...]) -> None:
        super().__init__(
            f"'{reference}' holds subvolumes that a commit would lose: {', '.join(nested)}",
            "delete or move them first",
        )
        self.reference = reference
        self.nested = nested


class HostNotReady(BockerError):
    """Something that `bocker setup` makes is missing or wrong. hint: what to do where `setup` can't help."""

    def __init__(self, need: str, hint: str = "run: bocker setup") -> None:
        super().__init__(f"The host is not set up: {need}", hint)
        self.need = need


class NotPrivileged(BockerError):
    """Namespaces, mounts and control groups are root's."""

    def __init__(self) -> None:
        super().__init__("bocker needs root's rights", "run it with sudo")


class NewerStore(BockerError):
    """The store was written by a later bocker, whose records mean what this one can't know."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(f"The store has format {found}, and this bocker knows {known}", "use the newer bocker")
        self.found = found
        self.known = known


class IllegalTransition(BockerError):
    """The lifecycle has no such step from where the container is."""

    def __init__(self, subject: str, state: str, event: str) -> None:
        super().__init__(f"Container '{subject}' can not {event}: it is {state}")
        self.subject = subject
        self.state = state
        self.event = event


class ProgramNotStarted(BockerError):
    """The program could not be started, though its container is there (exit 126 or 127)."""

    def __init__(self, program: str, reason: str, exit_code: int) -> None:
        super().__init__(f"Can not execute '{program}': {reason}")
        self.program = program
        self.exit_code = exit_code


class NoSuchUser(ProgramNotStarted):
    """The container's own passwd(5) or group(5) does not have the user or group that the program is to run as."""

    def __init__(self, user: str, place: str, exit_code: int, is_number: bool = False) -> None:
        message = f"No user '{user}' in {place}" if ":" not in user else f"No user and group '{user}' in {place}"
        hint = "its number is out of range" if is_number else "say one of its /etc/passwd, or a number"
        BockerError.__init__(self, message, hint)
        self.user = user
        self.exit_code = exit_code


class NoWorkingDirectory(ProgramNotStarted):
    """The program's working directory is not there and can't be made, or is none."""

    def __init__(self, directory: str, reason: str, exit_code: int) -> None:
        BockerError.__init__(self, f"Can not work in the directory '{directory}': {reason}")
        self.directory = directory
        self.exit_code = exit_code


class NoVolumeDirectory(BockerError):
    """A directory that an image wants for its data is not there and can't be made."""

    def __init__(self, directory: str, place: str, reason: str) -> None:
        super().__init__(f"Can not make the directory '{directory}' for a volume of {place}: {reason}")
        self.directory = directory


class OperationFailed(BockerError):
    """The kernel refused an operation that should have worked; everything was undone."""

    def __init__(self, doing: str, reason: str, hint: str | None = None) -> None:
        super().__init__(f"{doing} failed: {reason}", hint)
        self.doing = doing
        self.reason = reason


class Damaged(BockerError):
    """A record in the store that is not what bocker writes.

    hint: what to do where `cleanup` can't mend it. others: what a list that met it holds besides.
    """

    def __init__(self, subject: str, reason: str, hint: str = "run: bocker cleanup") -> None:
        super().__init__(f"The record of {subject} is damaged: {reason}", hint)
        self.subject = subject
        self.reason = reason
        self.others: tuple[Any, ...] = ()

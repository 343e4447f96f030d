"""Processes: made in two steps, followed to their end."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.model import ProcessIdentity
from bocker.core.spec import ContainerSpec, ExecSpec
from bocker.core.value import Value

STDOUT = 1
STDERR = 2


class Output(Value):
    """Bytes that the program wrote; stream is 1 or 2, data is never empty."""

    stream: int
    data: bytes


class Interrupted(Value):
    """Somebody sent bocker itself the signal `number`."""

    number: int


class Exited(Value):
    """The program ended: with `code`, or killed by `signal` (the other is None)."""

    code: int | None
    signal: int | None


class Idle(Value):
    """Nothing happened for as long as was asked."""


class Process(Value):
    """A handle on a process that this program is the parent of; `identity` names it to others."""

    identity: ProcessIdentity
    handle: int


class Processes(ABC):
    """The container's first process, and further ones in a running container.

    `create` or `enter` makes the child, which prepares itself as far as it can without the root
    file system; `release` lets it go on; the program runs when `release` returns. In between the
    engine takes the snapshot. Every process dies with the program that created it, and a
    container's first process takes all others of the container with it.
    """

    __slots__ = ()

    @abstractmethod
    def create(self, spec: ContainerSpec) -> Process:
        """Make the first process of a container, in namespaces of its own and in `spec.group`.

        The steps (`core.spec.CREATE_STEPS`) go on in the child after this returns; one that fails
        is reported by `release`. Raise StepFailed at `clone` when there can be no process, and here
        already for the step of a group that is not there, where a process is born in its group (version 2
        of control groups, clone(2), CLONE_INTO_CGROUP).
        """

    @abstractmethod
    def enter(self, target: ProcessIdentity, spec: ExecSpec) -> Process:
        """Make a process in all namespaces of `target` and in `spec.group`. Raise Missing when the
        target is not running any more, checked by its identity and not by its number alone."""

    @abstractmethod
    def release(self, process: Process) -> tuple[str, ...]:
        """Let the child go on until its program runs.

        Return the mount points and the plan's directories that had to be made in the root file system
        because the image has none, as paths inside it; those above them that had to be made come before them.
        Raise StepFailed with the step and the errno that the child met, and the directory as `detail` where
        that was one of the plan's; the child is reaped then, and the network of a container is gone or going.
        """

    @abstractmethod
    def next_event(self, process: Process, timeout_s: float | None = None) -> Output | Interrupted | Exited | Idle:
        """Wait for what happens next: output, a signal to bocker itself, the end, or Idle after
        `timeout_s`.

        Exited comes once, and after all output that the program and its children wrote (what a
        child that outlives an `exec` writes later is not waited for). The caller's standard input
        is passed on meanwhile where the spec asks for it. After Exited the handle is closed: Missing.
        """

    @abstractmethod
    def close_output(self, process: Process, stream: int) -> None:
        """Stop reading a stream: a program that goes on writing to it meets a broken pipe."""

    @abstractmethod
    def discard(self, process: Process) -> None:
        """Kill a child, released or not, and reap it; when this returns, all processes of a
        container are gone. Nothing happens when it is gone already."""

    @abstractmethod
    def signal(self, target: ProcessIdentity, number: int) -> None:
        """Send a signal, to that process and to no other that got its number since. The first
        process of a container ignores what it has no handler for, SIGKILL apart. Raise Missing when
        it is not running, Invalid for no such signal."""

    @abstractmethod
    def alive(self, target: ProcessIdentity) -> bool:
        """Tell whether that very process still runs: boot, number and start time agree, and it is
        no zombie."""

    @abstractmethod
    def myself(self) -> ProcessIdentity:
        """Return the identity of the running program itself."""

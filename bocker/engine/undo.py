"""All or nothing: what was done is taken back unless the whole succeeds."""

from __future__ import annotations

from bocker.kernel.errors import KernelError, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


class UndoStack:
    """Steps that take back what was done, run in reverse order unless `commit` was called.

        with UndoStack() as undo:
            kernel.storage.create(name)
            undo.push(kernel.storage.delete, name)
            ...
            undo.commit()

    A step is pushed after the act succeeded. A thing that is gone already is taken back. A step
    that fails is written down as a note on the original error, and the others are run all the same.
    """

    __slots__ = ("_steps", "clean")

    def __init__(self) -> None:
        self._steps: list[tuple[bool, Callable[..., object], tuple[object, ...]]] = []
        self.clean = True

    def push(self, step: Callable[..., object], *arguments: object) -> None:
        """Take this back by calling `step`."""
        self._steps.append((False, step, arguments))

    def act(self, act: Callable[[], object], step: Callable[..., object], *arguments: object) -> None:
        """Do `act`, and take it back by calling `step`.

        An error that has no meaning of its own (EIO) does not tell whether it was done: then it is
        taken back as well. A refusal did nothing, and what has that name is somebody else's.
        """
        try:
            act()
        except KernelError as error:
            if type(error) is KernelError:
                self.push(step, *arguments)
            raise
        self.push(step, *arguments)

    def push_journal(self, step: Callable[..., object], *arguments: object) -> None:
        """As `push`, but only if everything that was done afterwards could be taken back.

        It is for the record that `cleanup` starts from: it stays as long as something is left.
        """
        self._steps.append((True, step, arguments))

    def commit(self) -> None:
        """Keep what was done."""
        self._steps.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._steps:
            is_journal, step, arguments = self._steps.pop()
            if self.clean or not is_journal:
                self._take_back(step, arguments, error)

    def _take_back(
        self, step: Callable[..., object], arguments: tuple[object, ...], error: BaseException | None
    ) -> None:
        try:
            step(*arguments)
        except Missing:
            pass
        except KernelError as failure:
            self.clean = False
            if error is not None:
                error.add_note(f"not taken back: {failure}")

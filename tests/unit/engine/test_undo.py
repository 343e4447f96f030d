from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bocker.engine.undo import UndoStack
from bocker.kernel.errors import KernelError, kernel_error


def fail(number: int) -> None:
    raise kernel_error("storage.delete", "ps_42002", number)


def fails_after(
    error: BaseException, *steps: Callable[[], object], journal: Callable[[], object] | None = None
) -> bool:
    """Push the steps, fail, and tell whether everything was taken back."""
    with UndoStack() as undo:
        if journal is not None:
            undo.push_journal(journal)
        for step in steps:
            undo.push(step)
        raise error
    return undo.clean  # type: ignore[unreachable]


def test_steps_are_taken_back_in_reverse_order() -> None:
    done: list[int] = []
    with pytest.raises(ZeroDivisionError):
        fails_after(ZeroDivisionError(), *(lambda number=number: done.append(number) for number in (1, 2, 3)))
    assert done == [3, 2, 1]


def test_what_was_committed_stays() -> None:
    done: list[int] = []
    with UndoStack() as undo:
        undo.push(done.append, 1)
        undo.commit()
    assert done == []


def test_without_a_commit_everything_is_taken_back() -> None:
    done: list[int] = []
    with UndoStack() as undo:
        undo.push(done.append, 1)
    assert done == [1]


def test_a_failure_does_not_stop_the_others_and_is_noted_on_the_cause() -> None:
    done: list[int] = []
    cause = kernel_error("storage.snapshot", "ps_42002", errno.ENOSPC)
    with pytest.raises(KernelError) as caught:
        fails_after(cause, lambda: done.append(1), lambda: fail(errno.EIO))
    assert caught.value is cause
    assert done == [1]
    assert cause.__notes__ == ["not taken back: storage.delete ps_42002: EIO"]


def test_what_is_gone_already_is_no_failure() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        fails_after(ZeroDivisionError(), lambda: fail(errno.ENOENT))
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOENT, ["record"]), (errno.EIO, [])])
def test_the_journal_stays_as_long_as_something_is_left(number: int, expected: list[str]) -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError):
        fails_after(ZeroDivisionError(), lambda: fail(number), journal=lambda: done.append("record"))
    assert done == expected


def test_a_person_who_interrupts_leaves_nothing_behind() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        fails_after(KeyboardInterrupt(), lambda: done.append(1))
    assert done == [1]


def test_a_defect_in_a_step_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        fails_after(ValueError(), lambda: 1 // 0)


@pytest.mark.parametrize(
    ("number", "expected"), [(None, ["back"]), (errno.EIO, ["back"]), (errno.EEXIST, []), (errno.ENOENT, [])]
)
def test_an_act_is_taken_back_if_it_was_done_or_may_have_been(number: int | None, expected: list[str]) -> None:
    done: list[str] = []

    def work() -> None:
        with UndoStack() as undo:
            undo.act(lambda: number is None or fail(number), done.append, "back")
            raise ZeroDivisionError

    with pytest.raises((KernelError, ZeroDivisionError)):
        work()
    assert done == expected

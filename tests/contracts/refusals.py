"""How a contract says that an operation is refused: by class, and by errno where the port names one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bocker.kernel.errors import KernelError, StepFailed

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def refused(kind: type[KernelError], number: int | None = None) -> Iterator[None]:
    """Expect an error of exactly that class."""
    with pytest.raises(kind) as caught:
        yield
    assert type(caught.value) is kind
    assert number in (None, caught.value.errno)


@contextmanager
def step_fails(step: str, number: int) -> Iterator[None]:
    """Expect that a child fails at a step of its plan."""
    with pytest.raises(StepFailed) as caught:
        yield
    assert (caught.value.step, caught.value.errno) == (step, number)

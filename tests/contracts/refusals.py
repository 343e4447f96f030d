"""How a contract says that an operation is refused: by class, and by errno where the port names one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bocker.kernel.errors import KernelError


@contextmanager
def refused(kind: type[KernelError], number: int | None = None) -> Iterator[None]:
    """Expect an error of exactly that class."""
    with pytest.raises(kind) as caught:
        yield
    assert type(caught.value) is kind
    assert number in (None, caught.value.errno)

"""What the views have in common: they name the operation and hand a step to the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from bocker.fakes.errors import Refused
from bocker.fakes.state import State

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.fakes.kernel import FakeKernel
    from bocker.fakes.world import World

T = TypeVar("T")


class View:
    """A port of one program; `_port` is its name in operations."""

    __slots__ = ("_kernel", "_port")
    name = ""

    def __init__(self, kernel: FakeKernel, port: str = "") -> None:
        self._kernel = kernel
        self._port = port or self.name

    @property
    def _world(self) -> World:
        return self._kernel.world

    @property
    def _settings(self) -> Settings:
        return self._kernel.settings

    def _apply(
        self,
        method: str,
        subject: str,
        step: Callable[[State], tuple[State, T | Refused]],
        on_refusal: Callable[[State], State] | None = None,
    ) -> T:
        return self._kernel.apply(f"{self._port}.{method}", subject, step, on_refusal)

    def _change(self, method: str, subject: str, step: Callable[[State], State]) -> None:
        self._apply(method, subject, lambda state: (step(state), None))

    def _ask(self, method: str, subject: str, question: Callable[[State], T]) -> T:
        return self._apply(method, subject, lambda state: (state, question(state)))

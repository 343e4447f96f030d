"""The ambient port on the fake: a clock that every call moves on a little."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.fakes.processes import boot_id
from bocker.fakes.view import View
from bocker.kernel.ambient import Ambient

if TYPE_CHECKING:
    from bocker.fakes.kernel import FakeKernel


class FakeAmbient(View, Ambient):
    """The world's clock and boot."""

    __slots__ = ("_latest_ns",)
    name = "ambient"

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__(kernel)
        self._latest_ns = 0

    def now_ns(self) -> int:
        shown_ns = self._ask("now_ns", "", lambda state: state.clock_ns + state.clock_set_ns)
        self._latest_ns = max(self._latest_ns, shown_ns)
        return self._latest_ns

    def sleep(self, seconds: float) -> None:
        self._ask("sleep", str(seconds), lambda state: None)
        self._world.sleep(seconds)

    def boot_id(self) -> str:
        return self._ask("boot_id", "", boot_id)

"""The ambient port on the fake: a clock that every call moves on a little."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

from bocker.fakes.processes import boot_id
from bocker.fakes.view import View
from bocker.kernel.ambient import Ambient


class FakeAmbient(View, Ambient):
    """The world's clock and boot."""

    __slots__ = ()
    name = "ambient"

    def now_ns(self) -> int:
        return self._ask("now_ns", "", lambda state: state.clock_ns)

    def sleep(self, seconds: float) -> None:
        self._ask("sleep", str(seconds), lambda state: None)
        self._world.sleep(seconds)

    def boot_id(self) -> str:
        return self._ask("boot_id", "", boot_id)

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bocker.kernel import Kernel

YEAR_2020_NS = 1_577_836_800 * 1_000_000_000


class AmbientContract:
    def test_the_time_is_in_nanoseconds_since_1970(self, kernel: Kernel) -> None:
        """A time of this century has nineteen digits."""
        assert YEAR_2020_NS < kernel.ambient.now_ns() < 10**19

    def test_the_time_never_goes_back(self, kernel: Kernel) -> None:
        """Of a hundred times each is the same as the one before, or later."""
        times = [kernel.ambient.now_ns() for _ in range(100)]
        assert times == sorted(times)

    def test_sleeping_takes_the_time_asked_for(self, kernel: Kernel) -> None:
        """After a hundredth of a second it is that much later, at the least."""
        before = kernel.ambient.now_ns()
        kernel.ambient.sleep(0.01)
        assert kernel.ambient.now_ns() - before >= 10_000_000

    def test_the_boot_has_one_word(self, kernel: Kernel) -> None:
        """It is the same each time, and one word."""
        word = kernel.ambient.boot_id()
        assert word == kernel.ambient.boot_id()
        assert len(word.split()) == 1

"""Two programs on one machine, in turns: the second runs whole between two calls of the first.

Where it has to wait for what the first one holds, the first goes on; so nothing is tried that a kernel would not do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from bocker.fakes import World
from bocker.fakes.faults import Call, Gate
from bocker.fakes.kernel import FakeKernel

MOST_TURNS = 500
Outcome = BaseException | None


class Turns:
    """Runs two acts, each as a program of its own; `outcomes` is what each raised."""

    def __init__(self, world: World, kernels: tuple[FakeKernel, FakeKernel]) -> None:
        self.world = world
        self.kernels = kernels
        self.outcomes: list[Outcome] = [None, None]
        self.calls: list[Call] = []
        self._batons = (threading.Semaphore(0), threading.Semaphore(0))
        self._over = threading.Semaphore(0)
        self._done = [False, False]
        self._begun = False
        self._turn = 0
        self._count = 0
        self._real_wait = world.wait

    def play(self, first: Callable[[], object], second: Callable[[], object], number: int) -> None:
        """Run the second before call `number` of the first (from 1), or after its last one."""
        self.kernels[0].gate = _Meeting(self, number)
        self.world.wait = self._wait  # type: ignore[method-assign]
        threads = [threading.Thread(target=self._run, args=(me, act)) for me, act in enumerate((first, second))]
        try:
            for thread in threads:
                thread.start()
            self._batons[0].release()
            self._over.acquire()
            for thread in threads:
                thread.join()
        finally:
            self.world.wait = self._real_wait  # type: ignore[method-assign]
            self.kernels[0].gate = Gate()

    def meet(self) -> None:
        """Let the second begin."""
        self._begun = True
        self._hand_over(1)

    def _run(self, me: int, act: Callable[[], object]) -> None:
        self._batons[me].acquire()
        try:
            act()
        except BaseException as error:
            self.outcomes[me] = error
        self._done[me] = True
        self._begun = True
        if all(self._done):
            self._over.release()
        else:
            self._turn = 1 - me
            self._batons[1 - me].release()

    def _hand_over(self, other: int) -> None:
        self._count += 1
        if self._count > MOST_TURNS:
            raise AssertionError("both wait for ever")
        self._turn = other
        self._batons[other].release()
        self._batons[1 - other].acquire()

    def _wait(self, until_ns: int | None) -> bool:
        """Let the other go on, where it can, before time passes; transfers go on by themselves."""
        me = self._turn
        transfers = any(row.program == self.kernels[me].pid for row in self.world.state.transfers.values())
        if not self._begun or self._done[1 - me] or transfers:
            return self._real_wait(until_ns)
        self._hand_over(1 - me)
        return until_ns is None or self._real_wait(until_ns)


class _Meeting(Gate):
    """Lets the other program begin before call `number`."""

    def __init__(self, turns: Turns, number: int) -> None:
        self.turns = turns
        self.number = number

    def around(self, call: Call, act: Callable[[], object], refuse: Callable[[], None]) -> object:  # type: ignore[override]
        self.turns.calls.append(call)
        if len(self.turns.calls) == self.number:
            self.turns.meet()
        return act()

"""Several programs on one machine, in turns: before any call on the kernel another one may go on.

    together = Interleaving(world, parse_schedule("0:5 1:2"))
    together.add(one.kernel, lambda: one.commit("web", "new"))
    together.add(two.kernel, lambda: two.rm("web"))
    together.play()

Engines are ordinary synchronous code, so each has a thread; a baton is handed from one to the next, and
only who holds it runs. What happens is decided by the schedule alone: `0:5 1:2 0:*` lets program 0 make five
calls, then program 1 two, then 0 all that it can until it waits or ends; then whoever runs goes on, then the
next. A program that has to wait (for a lock, for a child, for a moment) hands the baton on, and gets it back for
the rest of its turn as soon as it can. Time passes for one that waits when it is its turn: the others are slow
then; `0:end` is all that it does, however long it has to wait. One begins when the schedule says so, or when
those that have begun can't go on. When nobody can, that is a `Deadlock`.

However it ends, no thread is left: those that still run are dead programs, for whom each call raises `Crashed`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import attrs

from bocker.fakes import Crashed, FakeKernel, World, laws
from bocker.fakes.faults import Call, Gate
from bocker.fakes.state import State

MOST_TURNS = 100_000
TO_ITS_END = MOST_TURNS  # calls: also where it has to wait in between
ALL = 2 * MOST_TURNS  # calls: until it waits or ends
_WORDS = {TO_ITS_END: "end", ALL: "*"}
# What wakes a call that waits, besides the moment until which it does.
WAKES = {"lock": ("locks",), "next_event": ("processes", "handles", "signals")}
Schedule = tuple[tuple[int, int], ...]  # so many calls of the program of this number, and then


class Deadlock(AssertionError):
    """Nobody can go on, or they go on for ever."""


def parse_schedule(text: str) -> Schedule:
    """Return what `schedule_text` wrote."""
    pairs = (word.partition(":") for word in text.split())
    numbers = {word: number for number, word in _WORDS.items()}
    return tuple((int(who), numbers.get(calls) or int(calls)) for who, _, calls in pairs)


def schedule_text(schedule: Schedule) -> str:
    """Return a schedule as a person writes it: `0:5 1:*`."""
    return " ".join(f"{who}:{_WORDS.get(calls, calls)}" for who, calls in schedule)


@attrs.frozen
class Step:
    """A call that a program made, and the machine before it."""

    who: int
    call: Call
    before: State

    def __str__(self) -> str:
        return f"{self.who} {self.call.operation} {self.call.subject}"


@attrs.frozen
class Pause:
    """What a program waits for: a moment, or a change of these tables; and the machine as it began to."""

    until_ns: int | None
    tables: tuple[str, ...]
    state: State

    def is_over(self, now: State) -> bool:
        """Tell whether what it waits for may have happened."""
        if self.until_ns is not None and now.clock_ns >= self.until_ns:
            return True
        return any(getattr(now, table) is not getattr(self.state, table) for table in self.tables)

    def passes(self, now: State) -> bool:
        """Tell whether it may be over when time has passed; nobody lets a lock go because of that."""
        return self.until_ns is not None or (self.tables != WAKES["lock"] and laws.next_due_ns(now) is not None)


class Program:
    """One engine with something to do, in a thread of its own. `value` is what came of it, or `error`."""

    def __init__(self, together: Interleaving, number: int, kernel: FakeKernel, act: Callable[[], object]) -> None:
        self.number = number
        self.kernel = kernel
        self.calls: list[Call] = []
        self.value: object = None
        self.error: BaseException | None = None
        self.begun = False
        self.pause: Pause | None = None
        self.done = False
        self.baton = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, name=f"program {number}", daemon=True)
        self._together = together
        self._act = act

    def _run(self) -> None:
        self.baton.acquire()
        try:
            if not self._together.failure:
                self.value = self._act()
        except BaseException as error:
            self.error = error
        self.done = True
        self._together.ended(self)

    def is_ready(self, now: State) -> bool:
        """Tell whether it can make a call, or look again for what it waited for."""
        return not self.done and (self.pause is None or self.pause.is_over(now))

    def can_wait(self, now: State) -> bool:
        """Tell whether it can go on when time passes."""
        return not self.done and self.pause is not None and self.pause.passes(now)

    def __str__(self) -> str:
        state = "has ended" if self.done else "waits" if self.pause else "could go on"
        last = self.calls[-1] if self.calls else None
        return f"program {self.number} {state}" + (f" after {last.operation} {last.subject}" if last else "")


class Interleaving:
    """Plays programs by a schedule; `steps` is what they did, in order. `failure`: why they were stopped."""

    def __init__(self, world: World, schedule: Schedule = ()) -> None:
        self.world = world
        self.programs: list[Program] = []
        self.steps: list[Step] = []
        self.failure: Deadlock | None = None
        self.turns = 0
        self._left = [[who, calls] for who, calls in schedule]
        self._stand_in: Program | None = None  # who may make a call, although it is another's turn, who waits
        self._over = threading.Semaphore(0)
        self._real_wait = world.wait
        self._running: Program | None = None

    def add(self, kernel: FakeKernel, act: Callable[[], object]) -> Program:
        """Add a program; without a schedule each begins when the one before has ended."""
        program = Program(self, len(self.programs), kernel, act)
        kernel.gate = _Turnstile(self, program)
        self.programs.append(program)
        return program

    def play(self) -> None:
        """Let all of them come to their ends. Raise Deadlock."""
        self.world.wait = self._wait  # type: ignore[method-assign]
        try:
            for program in self.programs:
                program.thread.start()
            if self.programs:
                self._give_to(self._woken(None))
                self._over.acquire()
            for program in self.programs:
                program.thread.join()
        finally:
            self.world.wait = self._real_wait  # type: ignore[method-assign]
            self._running = None
            for program in self.programs:
                program.kernel.gate = Gate()
        if self.failure is not None:
            raise self.failure

    def called(self, program: Program, call: Call) -> None:
        """Let others go on first, where the schedule says so; then count the call."""
        while self._stand_in is not program and (chosen := self._scheduled() or program) is not program:
            self._switch(program, chosen)
        self._stand_in = None
        if self._left and self._left[0][0] == program.number:
            self._left[0][1] -= 1
        program.calls.append(call)
        self.steps.append(Step(program.number, call, self.world.state))

    def ended(self, program: Program) -> None:
        """Hand on for good."""
        others = [one for one in self.programs if not one.done]
        if not others:
            self._over.release()
            return
        self._give_to(others[0] if self.failure else self._woken(program) or others[0])

    def _wait(self, until_ns: int | None) -> bool:
        """What `World.wait` is to a program: the others go on."""
        program = self._running
        if program is None or program.kernel.dead:
            return self._real_wait(until_ns)
        method = program.calls[-1].operation.rpartition(".")[2]
        program.pause = Pause(until_ns, WAKES.get(method, ()), self.world.state)
        if self._left and self._left[0][0] == program.number and self._left[0][1] > TO_ITS_END:
            self._left.pop(0)
        self._stand_in = None
        chosen = self._woken(program)
        if chosen is not program:
            self._switch(program, chosen)
        program.pause = None
        return until_ns is None or self.world.state.clock_ns < until_ns

    def _scheduled(self) -> Program | None:
        """Return whose turn it is by the schedule, None where that one has to wait for others."""
        while self._left and (self._left[0][1] <= 0 or self.programs[self._left[0][0]].done):
            self._left.pop(0)
        if not self._left:
            return None
        program = self.programs[self._left[0][0]]
        if not program.is_ready(self.world.state) and program.can_wait(self.world.state):
            self._pass_time(program)
            return program
        return program if program.is_ready(self.world.state) else None

    def _woken(self, current: Program | None) -> Program | None:
        """Return who goes on where `current` can't: who is ready, or will be when time has passed, or is next to begin.

        One of the others first, even if it is the turn of `current`, who may wait for them by looking again and again.
        """
        others = [one for one in self._in_order(current) if one is not current]
        if self._left and current is self.programs[self._left[0][0]]:
            self._stand_in = self._ready(others)
        ready = self._stand_in or self._scheduled() or self._ready(others)
        while ready is None and (waiting := [one for one in self.programs if one.can_wait(self.world.state)]):
            self._pass_time(min(waiting, key=_patience))
            ready = self._ready(self._in_order(current))
        ready = ready or next((one for one in others if not one.begun), None)
        if ready is None:
            self._fail("nobody can go on")
        return ready

    def _in_order(self, current: Program | None) -> list[Program]:
        begin = 0 if current is None else current.number + 1
        return self.programs[begin:] + self.programs[:begin]

    def _ready(self, programs: list[Program]) -> Program | None:
        return next((one for one in programs if one.begun and one.is_ready(self.world.state)), None)

    def _pass_time(self, program: Program) -> None:
        assert program.pause is not None
        self._real_wait(program.pause.until_ns)

    def _switch(self, program: Program, chosen: Program | None) -> None:
        """Hand the baton on, and wait until it comes back."""
        self.turns += 1
        if self.turns > MOST_TURNS:
            self._fail("they go on for ever")
        if self.failure is None:
            self._give_to(chosen)
            program.baton.acquire()
        if self.failure is not None:
            raise Crashed("stopped")

    def _give_to(self, program: Program | None) -> None:
        self._running = program
        if program is not None:
            program.begun = True
            program.baton.release()

    def _fail(self, why: str) -> None:
        """Stop all: a program that is dead makes no call more."""
        last = "\n".join(map(str, self.steps[-40:]))
        self.failure = Deadlock("\n".join([why, *map(str, self.programs), "the last calls:", last]))
        for program in self.programs:
            program.kernel.dead = True


def _patience(program: Program) -> float:
    assert program.pause is not None
    return float("inf") if program.pause.until_ns is None else program.pause.until_ns


class _Turnstile(Gate):
    """Stands before every call of a program."""

    def __init__(self, together: Interleaving, program: Program) -> None:
        self._together = together
        self._program = program

    def around(self, call: Call, act: Callable[[], object], refuse: Callable[[], None]) -> object:  # type: ignore[override]
        if not self._program.kernel.dead:
            self._together.called(self._program, call)
        return act()


def shortest(schedule: Schedule, fails: Callable[[Schedule], bool], most_tries: int = 400) -> Schedule:
    """Return a schedule that fails as well and has no turn, and no call of one, that it does not need.

    Greedy, as in Zeller's "Simplifying and isolating failure-inducing input" (2002): half of it is left out, then
    a quarter, and so on.
    """
    tries = iter(range(most_tries))
    smaller: Schedule | None = schedule
    while smaller is not None:
        schedule = smaller
        smaller = next((one for one in _smaller(schedule) if next(tries, None) is not None and fails(one)), None)
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    size = len(schedule)
    while size := size // 2:
        yield from (_joined(schedule[:at] + schedule[at + size :]) for at in range(0, len(schedule), size))
    for at, (who, calls) in enumerate(schedule):
        less = {calls // 2, calls - 1} if calls < TO_ITS_END else set()
        yield from ((*schedule[:at], (who, fewer), *schedule[at + 1 :]) for fewer in sorted(less) if fewer)


def _joined(schedule: Schedule) -> Schedule:
    """Return a schedule in which no program has two turns one after the other."""
    found: list[tuple[int, int]] = []
    for who, calls in schedule:
        if found and found[-1][0] == who:
            found[-1] = (who, min(found[-1][1] + calls, ALL))
        else:
            found.append((who, calls))
    return tuple(found)

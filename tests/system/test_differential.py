"""The same programs on the real kernel and on the fake one: each answer is the same, and the world after each step."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as options

from bocker.core.addresses import parse_interface
from bocker.core.limits import Limits
from bocker.fakes import storage, wire
from tests import errnos
from tests.differential import Candidate, Played, candidates, drawn, is_refused
from tests.system.agreement import Agree, agreed
from tests.system.replay import Replayer

REFUSED_LIMITS = (
    Limits(cpu_shares=100, memory_bytes=1 << 25, pids=5_000_000),
    Limits(cpu_shares=100, memory_bytes=1 << 25, pids=5, cpu_quota_us=900),
)
PRINTED_LINES = 14
TOLD = 100  # after so many programs a line says how far it is
DRAWN = 2  # examples of hypothesis for one program: the first one is the simplest there is, which is empty


@pytest.mark.long
def test_random_programs_agree(replayer: Replayer, request: pytest.FixtureRequest) -> None:
    """All ports, two containers and their members: what one kernel answers, the other answers, step by step."""
    number, first = request.config.getoption("--programs"), request.config.getoption("--seed")
    seen = Seen()
    _agree_in_all(replayer, seen, range(first, first + number))
    print(f"\n{seen}\nseeds {first} to {first + number - 1}, Linux {os.uname().release}")
    assert seen.succeeded > seen.steps / 2, "most steps are refusals"


def _agree_in_all(replayer: Replayer, seen: Seen, seeds: Iterable[int]) -> None:
    for one in seeds:
        _agree(replayer, seen, one)
        if seen.programs % TOLD == 0:
            print(f"\nseed {one}: {seen.summary()}", flush=True)


def _agree(replayer: Replayer, seen: Seen, number: int) -> None:
    """Draw the program of a seed and run it. Hypothesis draws one only, as further ones would be much like it."""

    @seed(number)
    @options(
        max_examples=DRAWN,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(candidates())
    def agree(chosen: list[Candidate]) -> None:
        program = drawn(chosen)
        if program.calls:
            seen.add(program)
            agreed(replayer, program, f"seed_{number}")
            errnos.note_outcomes([operation for operation, _ in program.calls], program.answers)

    agree()


@pytest.mark.long
def test_a_difference_in_an_answer_is_found_and_printed_as_a_test(
    replayer: Replayer, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: names come in the wrong order. What is printed is short, and fails as long as the defect is there."""
    monkeypatch.setattr(storage, "_names", lambda state, top: ("the wrong one",))
    with pytest.raises(AssertionError) as caught:
        _agree_in_all(replayer, Seen(), range(1, 100))
    source = str(caught.value).partition("\n\n")[2]
    printed: dict[str, Callable[[Agree], None]] = {}
    exec(compile(source, "printed", "exec"), printed)
    (test,) = (value for name, value in printed.items() if name.startswith("test_"))
    assert source.count("('storage.names', ())") == 1
    assert len(source.splitlines()) < PRINTED_LINES, source
    with pytest.raises(AssertionError, match=r"storage\.names: Linux"):
        test(agree)
    monkeypatch.undo()
    test(agree)


def test_a_difference_in_the_world_is_found(agree: Agree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a loopback comes up with another address. No answer tells."""
    agree(("storage.names", ()))  # what each program begins with is made, and kept
    monkeypatch.setattr(wire, "LOOPBACK", parse_interface("127.0.0.2/8"))
    with pytest.raises(
        AssertionError, match=r"-link netns_a lo up 127\.0\.0\.2/8\n\+link netns_a lo up 127\.0\.0\.1/8"
    ):
        agree(("namespaces.create", ("netns_a",)), ("network.set_up", ("lo", True, "netns_a")))


@pytest.mark.parametrize("limits", REFUSED_LIMITS, ids=lambda limits: str(tuple(limits)))
def test_limits_are_set_one_after_the_other(agree: Agree, limits: Limits) -> None:
    """What comes before the one that is refused stays: no port tells, so this is no contract."""
    agree(("cgroups.create", ("ps_42002",)), ("cgroups.limit", ("ps_42002", limits)), ("cgroups.names", ()))


def test_a_mount_goes_with_the_file_that_it_lies_on(agree: Agree) -> None:
    """Found by seed 10098."""
    agree(
        ("storage.snapshot", ("img_42002", "ps_42002", False)),
        ("cgroups.create", ("ps_42002",)),
        ("processes.create", ("ps_42002", ("sleep", "60"), (("masked_paths", ("/etc/hosts", "/root")),))),
        ("processes.release", ("ps_42002",)),
        ("host.delete", ("/var/bocker/ps_42002/etc/hosts",)),
    )


class Seen:
    """How often each operation was done, and how often refused, with which errno."""

    def __init__(self) -> None:
        self.programs = self.steps = self.succeeded = 0
        self._began = time.monotonic()
        self._answers: dict[str, Counter[str]] = {}

    def add(self, program: Played) -> None:
        """Count a program's steps."""
        self.programs += 1
        for (operation, _), answer in zip(program.calls, program.answers, strict=True):
            word = answer.split()[1] if is_refused(answer) else "done"
            self.steps += 1
            self.succeeded += word == "done"
            self._answers.setdefault(operation, Counter())[word] += 1

    def __str__(self) -> str:
        lines = [
            f"{operation:28}{', '.join(f'{word} {count}' for word, count in found.most_common())}"
            for operation, found in sorted(self._answers.items())
        ]
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """Return how much was done so far."""
        share, seconds = 100 * self.succeeded / max(self.steps, 1), time.monotonic() - self._began
        return f"{self.programs} programs, {self.steps} steps, {share:.0f} % done, in {seconds:.0f} s"

"""All ways for two commands to meet with two switches, without those that are another one in other words.

The first makes i calls, the second j, the first goes on to its end, then the second. Bounding the switches and not
the calls is what CHESS does (Musuvathi and Qadeer, "Iterative context bounding", PLDI 2007): most races need
no more than two. Two calls that do not depend on each other may change places (Godefroid, "Partial-order methods",
1996), so a schedule is left out where

- the last call of the first before the switch depends on none of the second's j: it is that with i - 1; or
- the last call of the second depends on nothing that the first does after it: it is that with j - 1.

What depends on what is read off the names of the calls; letting a lock go belongs to the call before it.
`test_nothing_is_left_out_that_ends_otherwise` holds this against all schedules of some pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from bocker.fakes.state import State
from tests.unit.interleaving import ALL, TO_ITS_END, Interleaving, Schedule, Step

FIRST, SECOND = 0, 1
# What a call asks about or changes.
ABOUT = {
    "storage": ("trees",),
    "host": ("trees", "host"),
    "archives": ("trees", "blobs", "host"),
    "blobs": ("blobs",),
    "http": ("blobs", "http"),
    "network": ("machine",),
    "namespaces": ("machine",),
    "cgroups": ("machine",),
    "firewall": ("machine",),
    "processes": ("machine", "trees"),
    "accounts": ("accounts",),
    "ambient": ("clock",),
}
READING = frozenset(
    "records.read records.list state.read state.list storage.describe storage.names storage.nested storage.size_bytes "
    "host.facts host.mount_at host.read host.read_sysctl blobs.path blobs.read blobs.has blobs.list blobs.drafts "
    "network.link network.links namespaces.names cgroups.layout cgroups.names cgroups.usage cgroups.members "
    "firewall.masqueraded firewall.tables accounts.read processes.alive ambient.boot_id http.prepare".split()
)
PRIVATE = frozenset({"processes.myself", "host.facts", "ambient.boot_id", "http.prepare", "blobs.path"})


@attrs.frozen
class Footprint:
    """What a call, and the lock that is let go after it, asks about; and whether it changes that.

    A name that begins with another one is a part of that: a record of its folder.
    """

    about: frozenset[str]
    changes: bool

    def depends_on(self, other: Footprint) -> bool:
        """Tell whether it matters which of two comes first."""
        if not (self.changes or other.changes):
            return False
        pairs = ((mine, theirs) for mine in self.about for theirs in other.about)
        return any(mine.startswith(theirs) or theirs.startswith(mine) for mine, theirs in pairs)


@attrs.frozen
class Trace:
    """What was about what, in order, each with the number of its program."""

    calls: tuple[tuple[int, Footprint], ...]

    def of(self, who: int) -> list[Footprint]:
        """Return the calls of one program."""
        return [footprint for number, footprint in self.calls if number == who]

    def in_a_row(self, who: int, after: int) -> list[Footprint]:
        """Return the calls of one program until the other one's call of a number (from 0)."""
        others = [place for place, (number, _) in enumerate(self.calls) if number == 1 - who]
        end = others[after] if after < len(others) else len(self.calls)
        return [footprint for number, footprint in self.calls[:end] if number == who]


def trace_of(together: Interleaving, last: State) -> Trace:
    """Return the trace of programs that were played; `last` is the machine as they left it."""
    afters = [step.before for step in together.steps[1:]] + [last]
    found = []
    for step, after in zip(together.steps, afters, strict=True):
        about, changes = _about(step), step.call.operation not in READING
        gone = {f"lock/{row.name}/" for key, row in step.before.locks.items() if key not in after.locks}
        found.append((step.who, Footprint(about | gone, changes or bool(gone))))
    return Trace(tuple(found))


def _about(step: Step) -> frozenset[str]:
    port, _, method = step.call.operation.partition(".")
    if step.call.operation in PRIVATE:
        return frozenset()
    if method == "lock":
        return frozenset({f"lock/{step.call.subject}/"})
    if port in {"records", "state"}:
        return frozenset({f"{port}/{step.call.subject}/"})
    return frozenset(ABOUT[port])


def schedule(i: int, j: int) -> Schedule:
    """Return: i calls of the first, j of the second, the first to where it waits or ends, then the second."""
    return ((FIRST, i), (SECOND, j), (FIRST, ALL), (SECOND, ALL))


def two_switches(play: Callable[[Schedule], Trace]) -> Iterator[Schedule]:
    """Give each schedule that is not another one in other words, after it was played."""
    alone = play(((FIRST, TO_ITS_END),)).of(FIRST)
    before: dict[int, list[Footprint]] = {}
    for i in range(len(alone)):
        whole = play(schedule(i, ALL))
        yield schedule(i, ALL)
        rests = {0: alone[i:]}  # by j: what the first does after the second's j calls
        second = whole.in_a_row(SECOND, i)
        for j in range(1, len(second)):
            if i and j in before and not _depends(whole.of(FIRST)[i - 1], second[:j]):
                rests[j] = before[j][1:]
            elif j - 1 in rests and not _depends(second[j - 1], rests[j - 1]):
                rests[j] = rests[j - 1]
            else:
                rests[j] = play(schedule(i, j)).of(FIRST)[i:]
                yield schedule(i, j)
        before = rests


def _depends(call: Footprint, others: list[Footprint]) -> bool:
    return any(call.depends_on(other) for other in others)

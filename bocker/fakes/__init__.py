"""A kernel in memory behind the same ports as Linux: needs attrs and nothing else, runs anywhere.

from bocker.fakes import World

kernel = World().prepare().kernel()
kernel.storage.create("img_42150")

What is named here, in `bocker.fakes.testing` and in the ports (`bocker.kernel`) stays as it is: names,
signatures and meaning. All other modules are the inside, and may change.
"""

from bocker.fakes.errors import BrokenInvariant, Crashed, NotModelled
from bocker.fakes.faults import Call, CrashAt, DoButReportFailure, Gate, Recorder, RefuseCall, faults_of
from bocker.fakes.kernel import FakeKernel
from bocker.fakes.state import Entry
from bocker.fakes.world import JournalEntry, World

__all__ = [
    "BrokenInvariant",
    "Call",
    "CrashAt",
    "Crashed",
    "DoButReportFailure",
    "Entry",
    "FakeKernel",
    "Gate",
    "JournalEntry",
    "NotModelled",
    "Recorder",
    "RefuseCall",
    "World",
    "faults_of",
]

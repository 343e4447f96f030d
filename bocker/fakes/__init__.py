"""A kernel in memory behind the same ports as Linux: needs attrs and nothing else, runs anywhere.

from bocker.fakes import World

kernel = World().prepare().kernel()
kernel.storage.create("img_42150")
"""

from bocker.fakes.errors import Crashed, NotModelled
from bocker.fakes.kernel import FakeKernel
from bocker.fakes.state import Entry
from bocker.fakes.world import World

__all__ = ["Crashed", "Entry", "FakeKernel", "NotModelled", "World"]

"""The kernel as one program sees it: all ports, each a thin view on the world."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from bocker.core.settings import Settings
from bocker.fakes import files, images
from bocker.fakes.accounts import FakeAccounts
from bocker.fakes.ambient import FakeAmbient
from bocker.fakes.archives import FakeArchives
from bocker.fakes.blobs import FakeBlobs
from bocker.fakes.cgroups import FakeCgroups
from bocker.fakes.errors import Crashed, Refused
from bocker.fakes.faults import Gate
from bocker.fakes.firewall import FakeFirewall
from bocker.fakes.host import FakeHost
from bocker.fakes.http import FakeHttp
from bocker.fakes.namespaces import FakeNamespaces
from bocker.fakes.network import FakeNetwork
from bocker.fakes.processes import FakeProcesses
from bocker.fakes.records import FakeRecords
from bocker.fakes.state import State
from bocker.fakes.storage import FakeStorage
from bocker.kernel import Kernel

if TYPE_CHECKING:
    from bocker.fakes.world import World

T = TypeVar("T")


class FakeKernel(Kernel):
    """All ports of a world for the program `pid`; `World.kernel` makes it.

    `gate` stands before every call of this program and may be replaced at any time;
    `may_administer_network` stands for CAP_NET_ADMIN.
    """

    __slots__ = ("dead", "gate", "interpreter_read_only", "may_administer_network", "pid", "settings", "world")

    def __init__(self, world: World, settings: Settings, pid: int, gate: Gate) -> None:
        self.world = world
        self.settings = settings
        self.pid = pid
        self.gate = gate
        self.dead = False
        self.may_administer_network = True
        self.interpreter_read_only = "ro" in files.locate(world.state, images.INTERPRETER).mount.flags
        self.storage = FakeStorage(self)
        self.records = FakeRecords(self, "records", f"{settings.store}/.meta")
        self.state = FakeRecords(self, "state", settings.state)
        self.network = FakeNetwork(self)
        self.namespaces = FakeNamespaces(self)
        self.firewall = FakeFirewall(self)
        self.cgroups = FakeCgroups(self)
        self.processes = FakeProcesses(self)
        self.host = FakeHost(self)
        self.archives = FakeArchives(self)
        self.blobs = FakeBlobs(self, f"{settings.store}/.meta")
        self.accounts = FakeAccounts(self)
        self.http = FakeHttp(self)
        self.ambient = FakeAmbient(self)

    def apply(
        self,
        operation: str,
        subject: str,
        step: Callable[[State], tuple[State, T | Refused]],
        on_refusal: Callable[[State], State] | None = None,
    ) -> T:
        """Make a call as this program. Raise Crashed when it is dead."""
        if self.dead:
            raise Crashed(f"{operation} {subject}")
        return self.world.apply(operation, subject, step, self, on_refusal)

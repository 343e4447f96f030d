"""Containers for the contracts: the least plan that a program needs, and a few hands.

The fixture `stage` gives what neither a port nor the lab has: a root file system with the probe
program (`tests/system/probe.sh`), a signal to this program, and what is given to it to read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from bocker.core.addresses import parse_interface
from bocker.core.spec import ContainerSpec, Device, ExecSpec, Mount, NetworkSpec
from bocker.core.spec import Process as Program
from bocker.kernel.errors import KernelError, Missing
from bocker.kernel.processes import STDOUT, Exited, Idle, Interrupted, Output, Process
from tests.patience import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

BRIDGE_MAC = "02:42:0a:00:00:01"
PATIENCE_S = patience(10.0)
LONG = "60"  # seconds: longer than any test
SLEEPER = ("echo", "ready", ",", "sleep", LONG)
ENVIRONMENT = ("PATH=/bin", "HOME=/root", "EMPTY=", "QUOTED=a  'b' \"$c\"")
MOUNTS = (Mount("proc", "/proc", flags=("nosuid", "nodev", "noexec")), Mount("tmpfs", "/dev", data="mode=0755"))
DEVICES = (Device("/dev/null", 1, 3), Device("/dev/zero", 1, 5))


class Stage(ABC):
    @abstractmethod
    def root_filesystem(self, name: str) -> str:
        """Make the subvolume `name` with a small root file system; return its path. In its `/bin` are the
        probe and busybox, also as `sh`, `true`, `false`, `echo`, `sleep`, `cat` and `env`."""

    @abstractmethod
    def interrupt(self, number: int) -> None:
        """Send a signal to the program under test itself."""

    @abstractmethod
    def give_input(self, data: bytes) -> None:
        """Let `data` be all of this program's standard input."""


class Containers:
    """Makes containers, and takes all that they left away at the end."""

    def __init__(self, kernel: Kernel, settings: Settings, stage: Stage) -> None:
        self.kernel = kernel
        self.settings = settings
        self.stage = stage
        self.count = 1
        self._processes: list[Process] = []
        self._groups: list[str] = []
        self._links: list[str] = []
        self._ensure_bridge()

    def _ensure_bridge(self) -> None:
        network, name = self.kernel.network, self.settings.bridge
        try:
            network.link(name)
        except Missing:
            network.create_bridge(name, BRIDGE_MAC)
            network.add_address(name, parse_interface("10.0.0.1/24"))
            network.set_up(name, True)

    def spec(self, *words: str, **changes: Any) -> ContainerSpec:
        """Plan a container that runs the probe with `words`; make its root and its group."""
        self.count += 1
        name = f"ps_{42000 + self.count}"
        plan = ContainerSpec(
            name=name,
            root=f"{self.settings.store}/{name}",
            hostname=name,
            process=program(*words),
            network=self._network(name),
            group=name,
            mounts=MOUNTS,
            devices=DEVICES,
        ).replace(**changes)
        self.stage.root_filesystem(name)
        self.kernel.cgroups.create(name)
        self._groups.append(name)
        self._links.append(plan.network.host_link)
        return plan

    def _network(self, name: str) -> NetworkSpec:
        bridge = next(iter(self.kernel.network.link(self.settings.bridge).addresses))
        return NetworkSpec(
            bridge=self.settings.bridge,
            host_link=f"veth0_{name}",
            interface="eth0",
            alias=f"veth1_{name}",
            mac=f"02:42:ac:11:00:{self.count:02x}",
            address=bridge.subnet.network + self.count,
            prefix_length=bridge.prefix_length,
            gateway=bridge.address,
        )

    def create(self, spec: ContainerSpec) -> Process:
        """Create a child that is discarded at the end, whatever becomes of it."""
        self._processes.append(self.kernel.processes.create(spec))
        return self._processes[-1]

    def start(self, *words: str, **changes: Any) -> Process:
        """Run the probe as the first process of a container."""
        process = self.create(self.spec(*words, **changes))
        self.kernel.processes.release(process)
        return process

    def enter(self, target: Process, *words: str, **changes: Any) -> Process:
        """Create a child in the container of `target`."""
        name = self._groups[-1]
        spec = ExecSpec(name, name, program(*words)).replace(**changes)
        self._processes.append(self.kernel.processes.enter(target.identity, spec))
        return self._processes[-1]

    def execute(self, target: Process, *words: str, **changes: Any) -> Process:
        """Run the probe in the container of `target`."""
        process = self.enter(target, *words, **changes)
        self.kernel.processes.release(process)
        return process

    def close(self) -> None:
        """End the processes and take away groups; wait until the links are gone.

        Members first: a first process ends only when all others of its pid namespace are reaped.
        """
        for process in reversed(self._processes):
            self.kernel.processes.discard(process)
        for name in self._groups:
            wait_until(self.kernel, partial(_removed, self.kernel, name))
        for link in self._links:
            wait_until(self.kernel, partial(_is_gone, self.kernel, link))


class WithContainers:
    """The fixture of every contract that starts some."""

    @pytest.fixture
    def containers(self, kernel: Kernel, settings: Settings, stage: Stage) -> Iterator[Containers]:
        """Make containers in a test; all of them end with it."""
        made = Containers(kernel, settings, stage)
        yield made
        made.close()


def program(*words: str, **changes: Any) -> Program:
    """Return the probe, or another program when the first word is a path or changes say so."""
    return Program(args=("probe", *words), env=ENVIRONMENT).replace(**changes)


def finish(kernel: Kernel, process: Process) -> tuple[bytes, bytes, Exited]:
    """Follow a process to its end; return its two outputs and how it ended."""
    outputs = {1: b"", 2: b""}
    while True:
        event = kernel.processes.next_event(process, PATIENCE_S)
        if isinstance(event, Exited):
            return outputs[1], outputs[2], event
        assert isinstance(event, Output), event
        assert event.data
        outputs[event.stream] += event.data


def wait_for_output(kernel: Kernel, process: Process, text: bytes) -> None:
    """Follow a process until it wrote `text`."""
    seen = b""
    while text not in seen:
        event = kernel.processes.next_event(process, PATIENCE_S)
        assert isinstance(event, Output), event
        assert event.stream == STDOUT
        seen += event.data


def next_but_output(kernel: Kernel, process: Process, timeout_s: float) -> Idle | Interrupted | Exited:
    """Return the next event that is no output."""
    while isinstance(event := kernel.processes.next_event(process, timeout_s), Output):
        pass
    return event


def wait_until(kernel: Kernel, condition: Callable[[], bool]) -> None:
    """Let time pass until something is true; fail when it never is."""
    waited_s = 0.0
    while not condition():
        assert waited_s < PATIENCE_S
        kernel.ambient.sleep(0.01)
        waited_s += 0.01


def is_there(kernel: Kernel, link: str) -> bool:
    """Tell whether the host has a link of that name."""
    return any(found.name == link for found in kernel.network.links())


def _is_gone(kernel: Kernel, link: str) -> bool:
    return not is_there(kernel, link)


def _removed(kernel: Kernel, group: str) -> bool:
    try:
        kernel.cgroups.remove(group)
    except KernelError as error:
        return isinstance(error, Missing)
    return True


def wait_for_sleep(kernel: Kernel, process: Process) -> None:
    """Wait until a program that says `ready` sleeps, and needs no program of its root any more."""
    wait_for_output(kernel, process, b"ready")
    kernel.ambient.sleep(patience(0.2))

"""The fixtures, and what a report shows."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from bocker.core.settings import Settings
from bocker.fakes.kernel import FakeKernel
from bocker.fakes.testing.faults import Faults
from bocker.fakes.world import World

CALLS_SHOWN = 20


@pytest.fixture
def fake_settings() -> Settings:
    """The names and places on the host; a project with others overrides this fixture."""
    return Settings()


@pytest.fixture
def world(fake_settings: Settings) -> World:
    """A machine in memory, set up as a host: a btrfs store, a bridge with an address, masquerading."""
    return World().prepare(fake_settings)


@pytest.fixture
def fake_kernel(world: World, fake_settings: Settings) -> FakeKernel:
    """The kernel of `world` as one program sees it; `world.kernel()` starts another program."""
    return world.kernel(fake_settings)


@pytest.fixture
def faults(world: World, fake_settings: Settings) -> Faults:
    """What can go wrong in `world` at every call of a function: `faults.sweep(act, check)`."""
    return Faults(world, fake_settings)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show in the report of a failed test each world that it had, by a fixture or a variable."""
    report = yield
    if report.failed:
        for world in _worlds(item, call):
            report.sections.append(("The world", world.dump()))
            if world.journal:
                report.sections.append(("The last calls", _last_calls(world)))
    return report


def _worlds(item: pytest.Item, call: pytest.CallInfo[None]) -> list[World]:
    frames = [] if call.excinfo is None else call.excinfo.traceback
    held = [*getattr(item, "funcargs", {}).values(), *(one for frame in frames for one in frame.locals.values())]
    worlds = [one.world if isinstance(one, FakeKernel) else one for one in held]
    return list({id(one): one for one in worlds if isinstance(one, World)}.values())


def _last_calls(world: World) -> str:
    return "\n".join(
        f"{row.call.program} {row.call.operation} {row.call.subject}: {row.outcome}"
        for row in world.journal[-CALLS_SHOWN:]
    )

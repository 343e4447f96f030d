"""The system tests run in the sandbox only, and each leaves the world as it was."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from tests.system import sandbox, world

_seen: dict[tuple[Path, frozenset[str]], world.World] = {}

_began = time.monotonic()
SECONDS = "BOCKER_TEST_SECONDS"  # after which the rest is skipped; 0 is never
WITHOUT_PEERS = "BOCKER_TEST_WITHOUT_PEERS"  # the files that need tools of others which a machine has not

pytest_plugins = ["tests.system.program", "tests.system.shelf"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--crashes", default="some", help="`all`: kill at every call")
    parser.addoption("--programs", type=int, default=200, help="how many random programs both kernels run")


def pytest_configure() -> None:
    if not sandbox.inside():
        raise pytest.UsageError("use: python -m tests.system.sandbox -- python -m pytest tests/system")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with a word, what the virtual machine's lane has no tools or no time for (`provision/vm/lane.py`)."""
    if item.path.name in os.environ.get(WITHOUT_PEERS, "").split():
        pytest.skip("the tools of others are not in this machine")
    seconds = float(os.environ.get(SECONDS, "0"))
    if seconds and time.monotonic() - _began > seconds:
        pytest.skip("the time was up")


@pytest.fixture(scope="session")
def sandbox_settings() -> Settings:
    """The sandbox's names."""
    return sandbox.settings()


@pytest.fixture
def settings(sandbox_settings: Settings) -> Settings:
    return sandbox_settings


@pytest.fixture
def kernel(settings: Settings) -> LinuxKernel:
    return LinuxKernel(settings)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, sandbox_settings: Settings) -> Iterator[world.World]:
    """Fail a test that leaves anything, and name it."""
    use = (request.path, frozenset(request.fixturenames))  # another use may have made what stays for longer
    before = _seen.get(use) or world.look(sandbox_settings)
    yield before
    _seen.clear()
    left = sandbox.wait_for(before, sandbox_settings)
    assert not left, "\n".join(left)
    _seen[use] = before  # what the next test of the same use begins with: nothing happens in between

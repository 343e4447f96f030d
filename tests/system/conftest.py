"""The system tests run in the sandbox only, and each leaves the world as it was."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from tests import errnos
from tests.patience import SLOWNESS
from tests.system import sandbox, world
from tests.system.side_by_side import CLAIMS

_seen: dict[tuple[Path, frozenset[str]], world.World] = {}

_began = time.monotonic()
SECONDS = "BOCKER_TEST_SECONDS"  # after which the rest is skipped; 0 is never
LONG_S = 300.0  # what a test marked `long` may take there

pytest_plugins = ["tests.system.agreement", "tests.system.program", "tests.system.shelf"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--crashes", default="some", help="`all`: kill at every call")
    parser.addoption("--crowd", default="5x8:1", help="people at once, x commands of each, : seed")
    programs = round(200 / min(SLOWNESS, 10))
    parser.addoption("--programs", type=int, default=programs, help="how many random programs both kernels run")
    parser.addoption("--seed", type=int, default=1, help="of the first random program")
    parser.addoption("--record-errnos", action="store_true", help="write down anew which errors Linux gave")


def pytest_configure() -> None:
    if not sandbox.inside():
        raise pytest.UsageError("use: python -m tests.system.sandbox -- python -m pytest tests/system")
    errnos.watch_linux()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which Linux gave what is not written down (`tests/errnos.py`)."""
    if session.config.getoption("--record-errnos"):
        errnos.write()
    elif not session.testsfailed and session.exitstatus == 0 and errnos.not_listed():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what is not written down."""
    for line in errnos.not_listed():
        terminalreporter.write_line(f"{line}; --record-errnos writes it down", red=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where time is short, what takes long comes last."""
    if CLAIMS in os.environ:
        items.sort(key=_takes_long)


def _takes_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("long") is not None


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Pass over a file, or a class of it, that the sandbox beside this one has taken; it reports those tests."""
    directory = os.environ.get(CLAIMS)
    taken = item if _takes_long(item) else item.parent or item
    if not directory or _claimed(directory, taken.nodeid):
        return None
    item.session._setupstate.teardown_exact(nextitem)  # what the last test left in use for this one
    return True


@functools.cache
def _claimed(directory: str, tests: str) -> bool:
    """Take tests for this sandbox, unless they are taken."""
    try:
        os.close(os.open(os.path.join(directory, tests.replace("/", ":")), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with a word, what the virtual machine's lane has no time for (`provision/vm/lane.py`)."""
    errnos.begin(item)
    seconds = float(os.environ.get(SECONDS, "0"))
    if seconds and time.monotonic() - _began > seconds - (LONG_S if _takes_long(item) else 0):
        pytest.skip("the time was up")


@pytest.fixture(scope="session")
def sandbox_settings() -> Settings:
    """The sandbox's names."""
    return sandbox.settings()


@pytest.fixture
def settings(sandbox_settings: Settings) -> Settings:
    return sandbox_settings


@pytest.fixture
def kernel(settings: Settings) -> Iterator[LinuxKernel]:
    made = LinuxKernel(settings)
    yield made
    made.http.close()  # a process of its own, which would stay as long as this one


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

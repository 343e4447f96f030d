"""The fake side of the contracts, and the check that nothing of a port was left unobserved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bocker.core.settings import Settings
from bocker.fakes import World, servers
from tests import errnos
from tests.unit import observed
from tests.unit.fake_lab import FakeLab, FakeStage
from tests.unit.fake_pages import FakePages

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from bocker.fakes import FakeKernel

CONTRACTS = "test_contracts.py"
COLLECTED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--crashes", default="some", help="`all`: what comes after a crash, for every crash")
    parser.addoption(
        "--interleavings", default="some", help="`all` with two switches, `one`: all with one; or how many by chance"
    )
    parser.addoption("--interference", default="some", help="`all`: each interference at every call; 5: at each fifth")


def pytest_configure() -> None:
    errnos.watch_fake()


def pytest_runtest_setup(item: pytest.Item) -> None:
    errnos.begin(item)


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def world(settings: Settings) -> World:
    return World().prepare(settings)


@pytest.fixture
def kernel(world: World, settings: Settings) -> FakeKernel:
    return world.kernel(settings)


@pytest.fixture
def lab(world: World, kernel: FakeKernel) -> Iterator[FakeLab]:
    made = FakeLab(world, kernel)
    yield made
    made.close()
    for other in made.worlds[1:]:
        observed.add(other)


@pytest.fixture
def stage(world: World, kernel: FakeKernel) -> FakeStage:
    return FakeStage(world, kernel)


@pytest.fixture
def server(world: World, monkeypatch: pytest.MonkeyPatch) -> FakePages:
    """A server, and clients that lose patience before the contract does."""
    monkeypatch.setattr(servers, "PATIENCE_NS", servers.SECOND_NS)
    return FakePages(world)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the world when a test fails, and keep what a contract observed."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.when == "call" and isinstance(world, World):
        if report.failed:
            report.sections.append(("The world", world.dump()))
        if item.path.name == CONTRACTS:
            observed.add(world)
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note whether all contracts are going to run: no part of the file, and no keyword."""
    chosen = config.option.keyword or config.option.markexpr or any("::" in word for word in config.args)
    config.stash[COLLECTED] = not chosen and any(item.path.name == CONTRACTS for item in items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist observed."""
    output = getattr(node, "workeroutput", {})
    observed.CALLS.update(map(tuple, output.get("observed", ())))
    for operation, name, way in output.get("errnos", ()):
        errnos.note(operation, name, way)
    if output.get("collected"):
        node.config.stash[COLLECTED] = True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of all contracts that left a method, or a declared error of one, unobserved; and any run in which
    the fake gave what Linux was never seen to give."""
    collected = session.config.stash.get(COLLECTED, False)
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["observed"] = sorted(observed.CALLS)
        output["collected"] = collected
        output["errnos"] = [(*given, way) for given, way in errnos.given.items()]
    elif any(errnos.never_seen(errnos.given)) or (collected and _is_incomplete(session)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_incomplete(session: pytest.Session) -> bool:
    """Tell whether a run without a failure left something of the contracts unobserved."""
    return not session.testsfailed and session.exitstatus == 0 and bool(observed.missing())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was not observed, and what should not have been."""
    for line in errnos.never_seen(errnos.given):
        terminalreporter.write_line(line, red=True)
    failed = terminalreporter.stats.get("failed") or terminalreporter.stats.get("error")
    if config.stash.get(COLLECTED, False) and not failed:
        for line in observed.missing():
            terminalreporter.write_line(f"no contract observed: {line}", red=True)

from __future__ import annotations
import pytest
from tests.contracts.processes import ProcessesContract
from tests.system.linux_stage import LinuxStage
from tests.system.test_contracts import settings, lab, fresh_network  # noqa

@pytest.fixture
def stage(kernel, settings):
    made = LinuxStage(kernel, settings)
    yield made
    made.close()

class TestProcesses(ProcessesContract): ...

"""Fixtures, faults and random programs for tests on the kernel in memory: a plugin of pytest.

A project's top `conftest.py` asks for it:

    pytest_plugins = ["bocker.fakes.testing"]

It is no entry point of pytest: a program that is installed has no business in the tests of everybody.
The fixtures are `world`, `fake_kernel`, `fake_settings` and `faults`; when a test fails, its report
shows the world and the last calls.

Needs pytest and hypothesis (`pip install bocker[testing]`); no other module of bocker does.

PYTEST_DONT_REWRITE: a conftest may import from here before pytest loads the plugin.
"""

from bocker.fakes.testing.faults import Faults, Outcome, Swept
from bocker.fakes.testing.plugin import fake_kernel, fake_settings, faults, pytest_runtest_makereport, world
from bocker.fakes.testing.programs import PORTS_OF_PROGRAMS, Names, Program, Step, programs, run_program, steps

__all__ = [
    "PORTS_OF_PROGRAMS",
    "Faults",
    "Names",
    "Outcome",
    "Program",
    "Step",
    "Swept",
    "fake_kernel",
    "fake_settings",
    "faults",
    "programs",
    "pytest_runtest_makereport",
    "run_program",
    "steps",
    "world",
]

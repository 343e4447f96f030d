"""The parts of the unit tests that find different mistakes, in pytest's words."""

from __future__ import annotations

ENGINE, IMAGES = "tests/unit/engine", "tests/unit/images"

SWEEP = (f"{ENGINE}/test_sweep.py", f"{IMAGES}/test_sweep.py")
CRASHES = (f"{IMAGES}/test_crashes.py", f"{ENGINE}/test_crashes.py", "-k", "not power")
POWER = (f"{ENGINE}/test_crashes.py", "-k", "power")
TWO_ENGINES = (f"{IMAGES}/test_two_engines.py",)
MACHINES = (f"{ENGINE}/test_lifecycle_machine.py", f"{IMAGES}/test_image_machine.py")
EXAMPLES = (
    "tests/unit",
    *(f"--ignore={file}" for lane in (SWEEP, POWER, CRASHES, TWO_ENGINES, MACHINES) for file in lane if "/" in file),
    "--ignore=tests/unit/registry/test_fuzz.py",
)

LANES = {
    "examples": EXAMPLES,
    "every fault": SWEEP,
    "crashes": CRASHES,
    "power": POWER,
    "two engines": TWO_ENGINES,
    "state machines": MACHINES,
}

"""Start-up is a budget: what each command imports is written down, and nothing costly is in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.cli import imports

COSTLY = {
    *(
        "argparse",
        "attr",
        "collections",
        "contextlib",
        "ctypes",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "inspect",
    ),
    *("importlib", "json", "pathlib", "pyroute2", "random", "re", "requests", "shutil", "signal", "socket", "struct"),
    *("subprocess", "tempfile", "threading", "tomllib", "traceback", "typing", "uuid"),
}


def _is_debians() -> bool:
    if not os.path.exists(imports.DEBIAN):
        return False
    version = subprocess.run([imports.DEBIAN, "--version"], capture_output=True, text=True, check=True).stdout
    return version.startswith("Python 3.11.")


pytestmark = pytest.mark.skipif(not _is_debians(), reason="the list is of the Python that Debian 12 has")


def test_the_list_is_what_the_commands_import():
    """After a wanted change: python tests/unit/cli/imports.py > tests/unit/cli/imports.txt"""
    assert Path(__file__).with_name("imports.txt").read_text() == imports.listing()


@pytest.mark.parametrize("verb", imports.PORTS)
def test_nothing_costly_is_imported(verb):
    assert COSTLY.isdisjoint(imports.imported(verb))

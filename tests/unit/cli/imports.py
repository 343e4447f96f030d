"""Prints the modules that a command imports: `python tests/unit/cli/imports.py > tests/unit/cli/imports.txt`.

Run by Debian's interpreter, as the installed program is, with the real kernel's modules. The ports
that a command uses are made without being called, so this needs no privilege and changes nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys

SOURCE = os.path.abspath(f"{os.path.dirname(__file__)}/../../..")
DEBIAN = "/usr/bin/python3"
# The ports on the way of each command that must start quickly.
PORTS = {
    "help": (),
    "images": ("ambient", "records", "storage"),
    "ps": ("ambient", "processes", "records"),
    "exec": ("ambient", "cgroups", "processes", "records"),
    "run": ("ambient", "cgroups", "host", "namespaces", "network", "processes", "records", "storage"),
}
PROBE = """
import sys
before = set(sys.modules)
sys.path.insert(0, {source!r})
from bocker.cli.main import main
from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
kernel = LinuxKernel(Settings(store="/nonexistent"))
for port in {ports!r}:
    getattr(kernel, port)
__import__("bocker.cli.commands.{verb}")
print(*sorted(set(sys.modules) - before))
"""


def imported(verb: str, interpreter: str = DEBIAN) -> list[str]:
    """Return the modules that a command imports beyond what the interpreter has at its start."""
    probe = PROBE.format(source=SOURCE, ports=PORTS[verb], verb=verb)
    command = [interpreter, "-I", "-S", "-B", "-c", probe]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def listing() -> str:
    """Return the list of all commands, as the file has it."""
    return "".join(f"{verb}:\n" + "".join(f"    {name}\n" for name in imported(verb)) for verb in PORTS)


if __name__ == "__main__":
    sys.stdout.write(listing())

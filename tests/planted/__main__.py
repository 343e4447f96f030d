"""Plant bugs and see whether the tests find them.

python -m tests.planted [NAME...]           those of the rules, the engine and the fake kernel
python -m tests.planted --linux [NAME...]   those of `bocker.linux`, by the system tests; needs root
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from tests.planted import engine, fakes, linux, original
from tests.planted.bug import Bug
from tests.planted.plant import Finding, field

ANYWHERE = (*engine.BUGS, *original.BUGS, *fakes.BUGS)
AS_ROOT = linux.BUGS
SHOWN_TESTS = 1


def main(words: list[str]) -> int:
    """Plant the bugs that are named, or all; return 0 when each was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--linux", action="store_true", help="the system's, as root")
    options = parser.parse_args(words)
    bugs = chosen(AS_ROOT if options.linux else ANYWHERE, options.names)
    began = time.monotonic()
    with field(in_sandbox=options.linux) as ground:
        findings = [told(ground.find(bug)) for bug in bugs]
    found = [one for one in findings if not one.problem]
    print(f"\n{len(found)} of {len(findings)} bugs were found in {time.monotonic() - began:.0f} s")
    return 0 if len(found) == len(findings) else 1


def chosen(bugs: Iterable[Bug], names: list[str]) -> list[Bug]:
    """Return the bugs of these names, all without a name."""
    known = {bug.name: bug for bug in bugs}
    strangers = [name for name in names if name not in known]
    if strangers:
        sys.exit(f"There is no bug called {', '.join(strangers)}; there are: {', '.join(known)}")
    return [bug for name, bug in known.items() if name in names or not names]


def told(finding: Finding) -> Finding:
    """Print a row of the table: the bug, the mistake, where, and the first test that turned red."""
    bug = finding.bug
    ending = finding.problem or f"{len(finding.red)} red, {', '.join(finding.red[:SHOWN_TESTS])}"
    print(f"{bug.name:34} {bug.kind:22} {bug.file:32} {ending}", flush=True)
    return finding


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

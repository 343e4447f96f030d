"""Sandboxes side by side: `python -m tests.system.side_by_side COUNT -- COMMAND...`.

Each runs the command, pytest with one and the same selection: who comes to a file, or to a class of the
contracts, first, takes it (`conftest.py`). The system tests wait half of their time, so two need hardly longer
than half as long as one. The first one's output is seen as it comes, the others' when that has ended. Each has its
number in BOCKER_TEST_SANDBOX, for a file of results of its own: pytest puts variables into its name.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from tests.system import sandbox

CLAIMS = "BOCKER_TEST_CLAIMS"  # a directory that the sandboxes share
NUMBER = "BOCKER_TEST_SANDBOX"
SANDBOX = [sys.executable, "-m", "tests.system.sandbox", "--"]


def main(words: list[str]) -> int:
    """Run the command in all sandboxes; return the first exit code that is not 0."""
    count, command = int(words[0]), words[2:]
    sandbox.fetch_materials()  # once, before all of them want them
    with ExitStack() as stack:
        claims = stack.enter_context(tempfile.TemporaryDirectory(prefix="claims-"))
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count - 1)]
        running: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, running)
        for number, output in enumerate([None, *outputs]):
            environment = {**os.environ, CLAIMS: claims, NUMBER: str(number)}
            running.append(subprocess.Popen([*SANDBOX, *command], env=environment, stdout=output, stderr=output))
        codes = [process.wait() for process in running]
        for output in outputs:
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
    return next((code for code in codes if code), 0)


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    for process in running:
        if process.poll() is None:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))

"""The installed launcher, as a person starts it."""

from __future__ import annotations

import signal
import subprocess
import time

from tests.patience import patience
from tests.system.program import Bocker

# What the interpreter says while it makes itself ready, up to the launcher's first instruction, and in its own locks.
INTERPRETERS_OWN = (
    b"Fatal Python error: init",
    b"Failed checking if argv[0]",
    b"line 0, in <module>",
    b"_get_module_lock",
)
DELAYS_S = [step * 0.0005 for step in range(60)]


def test_ctrl_c_while_it_starts_shows_no_traceback(bocker: Bocker) -> None:
    """At any moment but those at which nobody can help."""
    ended = [_interrupted(bocker, patience(delay_s)) for delay_s in DELAYS_S]
    ours = [(code, said) for code, said in ended if not any(own in said for own in INTERPRETERS_OWN)]
    assert {code for code, _ in ours} <= {0, 130, -signal.SIGINT}
    assert 130 in {code for code, _ in ours}
    assert not [said for _, said in ours if b"Traceback" in said]


def _interrupted(bocker: Bocker, delay_s: float) -> tuple[int, bytes]:
    with subprocess.Popen(
        [bocker.launcher, "images"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    return process.returncode, said

"""What tells whether a process lives, in a state that the contracts' programs can't get into."""

from __future__ import annotations

import subprocess
import sys

from bocker.linux import proc
from tests.system.proc_stat import state_of
from tests.system.waiting import wait_until

# The first thread ends by exit(2) of its own, as pthread_exit(3) does it; the other one goes on.
WITHOUT_FIRST_THREAD = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
"""


def test_a_process_whose_first_thread_has_ended_is_alive() -> None:
    with subprocess.Popen((sys.executable, "-c", WITHOUT_FIRST_THREAD)) as process:
        started = proc.start_ticks(process.pid)
        assert started is not None
        wait_until(lambda: state_of(process.pid) == "Z")
        assert proc.start_ticks(process.pid) == started
        process.kill()
        process.wait()
        assert proc.start_ticks(process.pid) is None

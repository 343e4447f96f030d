"""Measures in the sandbox (`benchmarks/run` makes it): medians of whole processes, and their ratios.

The commands of one table are run in turn, A B C A B C, so that whatever else the machine does
falls on all of them. What counts are the ratios; the milliseconds are this machine's.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

HERE = os.path.dirname(os.path.abspath(__file__))
BOCKER = "/usr/local/bin/bocker"
PYTHON = ("/usr/bin/python3", "-I", "-S")
ROOT = "/run/benchmark-root"
SHELL_FORM = (
    "unshare",
    "--mount",
    "--uts",
    "--ipc",
    "--net",
    "--pid",
    "--fork",
    "--mount-proc",
    "chroot",
    ROOT,
    "/bin/true",
)
EXITED = 250
IMAGES = 250

Commands = dict[str, tuple[str, ...]]


def main() -> None:
    """Prepare a host, measure, take it back."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    silently(f"{HERE}/../provision/provision.sh")
    image = make_image()
    floor = (*PYTHON, f"{HERE}/floor.py", "/var/bocker", image, os.environ["BOCKER_CGROUP_PARENT"], "/bin/true")
    run = (BOCKER, "run", "--rm", image, "/bin/true")
    empty = (*PYTHON, "-c", "pass")
    silently(*run)  # makes the control groups' parent, which the floor's are below

    fresh = measured(rounds, {"empty interpreter": empty, "unshare + chroot": SHELL_FORM, "floor": floor, "run": run})
    report("A host without containers", fresh, [("run", "floor", 1.6), ("run", "empty interpreter", None)])

    for _ in range(EXITED):
        silently(BOCKER, "run", image, "/bin/true")
    with_running = subprocess.Popen([BOCKER, "run", "--name", "sleeper", image, "/bin/sleep", "600"])
    time.sleep(1)
    commands = {"empty interpreter": empty, "floor": floor, "run": run}
    commands |= {"exec": (BOCKER, "exec", "sleeper", "/bin/true"), "ps": (BOCKER, "ps")}
    full = measured(rounds, commands)
    goals = [("run", "floor", 1.6), ("exec", "empty interpreter", 2.0), ("ps", "empty interpreter", 3.0)]
    report(f"With {EXITED} exited containers and one running", full, goals)
    more = full["run"] / full["floor"] / (fresh["run"] / fresh["floor"])
    print(f"  {'run, against a host without containers':<42} {more:6.2f}  (goal 1.2)\n")

    for number in range(IMAGES - 1):
        silently(BOCKER, "commit", "sleeper", f"benchmark:{number}")
    listing = measured(rounds, {"empty interpreter": empty, "images": (BOCKER, "images")})
    report(f"With {IMAGES} images", listing, [("images", "empty interpreter", None)])

    silently(BOCKER, "rm", "-f", "sleeper")
    with_running.wait()
    silently(BOCKER, "setup", "--undo", "--delete-data")


def make_image() -> str:
    """Make an image of one program, and return its id."""
    os.makedirs(f"{ROOT}/bin")
    os.makedirs(f"{ROOT}/proc")
    shutil.copy("/bin/busybox", f"{ROOT}/bin/busybox")
    for name in ("sh", "true", "sleep"):
        os.symlink("busybox", f"{ROOT}/bin/{name}")
    made = subprocess.run([BOCKER, "init", ROOT], check=True, capture_output=True, text=True)
    return made.stdout.split()[1]


def measured(rounds: int, commands: Commands) -> dict[str, float]:
    """Return the median seconds of each command, run in turn; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            silently(*command)
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def silently(*command: str) -> None:
    """Run a command that must succeed, without its output."""
    actions = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != 0:
        sys.exit(f"{' '.join(command)}: exit code {code}")


def report(title: str, medians: dict[str, float], goals: Sequence[tuple[str, str, float | None]]) -> None:
    """Print medians, and the ratios with their goals."""
    print(title)
    for name, median in medians.items():
        print(f"  {name:<42} {median * 1000:6.1f} ms")
    for name, other, goal in goals:
        wanted = "" if goal is None else f"  (goal {goal})"
        print(f"  {f'{name} / {other}':<42} {medians[name] / medians[other]:6.2f}{wanted}")
    print(flush=True)


if __name__ == "__main__":
    main()

"""A host of its own for the system tests: `python -m tests.system.sandbox -- COMMAND...`.

The command runs in new namespaces, with empty `/run`, `/var/bocker` and `/var/lib/bocker`, and with
a control group of its own above the containers'. The host in there is prepared as the original's
README asked a person to do it: a btrfs at `/var/bocker`, a bridge, masquerading, forwarding.
When the command has ended, everything must be as it was before: what is left is named, and fails
the run. A missing privilege is an error as well.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib

from bocker.core.settings import Settings
from tests.patience import patience
from tests.system import world

INSIDE = "BOCKER_SANDBOX"  # the name of the control groups' parent, in the sandbox's environment
PARENTS = "bocker-test"
WHEELS = "BOCKER_TEST_WHEELS"
DEBIAN = "BOCKER_TEST_DEBIAN"
INTERPRETER = "/usr/bin/python3"
PROVISION = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "provision")
UNSHARE = [
    *("setpriv", "--pdeathsig", "KILL"),
    *"unshare --net --mount --pid --uts --ipc --fork --kill-child --mount-proc --propagation private --".split(),
]
IMAGE = "/run/sandbox.btrfs"
IMAGE_SIZE = "8G"
TEMPORARY = "/run/tmp"
GATEWAY = "10.0.0.1/24"
BRIDGE_MAC = "02:42:ac:11:00:01"
MASQUERADE = """
table ip bocker {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 10.0.0.0/24 oifname != "bridge0" masquerade
    }
}
"""
LEFT_SOMETHING = 3
NOT_POSSIBLE = 4
PATIENCE_S = patience(5.0)


def main(words: list[str]) -> int:
    """Run a command in a sandbox; return its exit code, or another when it left something."""
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        sys.exit(__doc__)
    if os.geteuid() != 0:
        print("sandbox: it needs root", file=sys.stderr)
        return NOT_POSSIBLE
    if INSIDE in os.environ:
        return _inside(command)
    return _outside(command)


def settings() -> Settings:
    """Return the settings of the sandbox that the caller is in; only the control groups' parent is not the usual."""
    return Settings(cgroup_parent=os.environ[INSIDE])


def inside() -> bool:
    """Tell whether this program runs in a sandbox."""
    return INSIDE in os.environ


def wait_for(before: world.World, chosen: Settings, patience_s: float = PATIENCE_S) -> list[str]:
    """Return what differs from `before` when it stays so; namespaces and their links end in their own time."""
    deadline = time.monotonic() + patience_s
    while (left := world.difference(before, world.look(chosen))) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _outside(command: list[str]) -> int:
    """Make the namespaces; remove the control groups, the only things that outlive them.

    All of it ends with this process, however that ends: `unshare` itself would ignore SIGTERM.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sweep_killed()
    parent = f"{PARENTS}-{os.getpid()}"
    environment = {**os.environ, **fetch_materials(), INSIDE: parent, "BOCKER_CGROUP_PARENT": parent}
    code = subprocess.call([*UNSHARE, sys.executable, "-m", "tests.system.sandbox", "--", *command], env=environment)
    left = list(world.groups_below(parent))
    for group in (*left, *world.group_parents(parent)):
        _remove_group(group, PATIENCE_S)
    return _told([f"control group left: {group}" for group in left], code)


def sweep_killed() -> None:
    """Remove the control groups of sandboxes that were killed themselves, as their names tell whose they are."""
    for parent in world.group_parents(PARENTS):
        pid = os.path.basename(parent).removeprefix(f"{PARENTS}-").partition("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            below = [f"{top}/{name}" for top, names, _ in os.walk(parent, topdown=False) for name in names]
            for group in (*below, parent):
                _remove_group(group)


def _remove_group(path: str, patience_s: float = 0) -> None:
    """Remove a group, or leave it when somebody still lives in it; who was killed may be on the way out still."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return os.rmdir(path)
        except FileNotFoundError:  # a controller may have two names
            return None
        except OSError:
            if time.monotonic() >= deadline:
                return None
        time.sleep(0.01)


def fetch_materials() -> dict[str, str]:
    """Fetch what the tests want of Debian and PyPI before the network is shut out; all of it is cached."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    with open(f"{PROVISION}/../requirements/run.lock", "rb") as lock:
        wheels = f"{cache}/bocker/wheels-{zlib.crc32(lock.read()):08x}"
    try:
        if not os.path.isdir(wheels):
            subprocess.run([INTERPRETER, f"{PROVISION}/install.py", "--download", f"{wheels}.new"], check=True)
            os.rename(f"{wheels}.new", wheels)
        archive = subprocess.run([f"{PROVISION}/debian-root.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        sys.exit(NOT_POSSIBLE)
    return {WHEELS: wheels, DEBIAN: archive.strip()}


def _inside(command: list[str]) -> int:
    for directory in ("/run", "/var/bocker", "/var/lib/bocker"):
        os.makedirs(directory, exist_ok=True)
        _do("mount", "-t", "tmpfs", "-o", "mode=755", "sandbox", directory)
    _do("ip", "link", "set", "lo", "up")
    nothing = world.look(settings())
    _prepare_host()
    prepared = world.look(settings())
    code = _call_as_init(command, {**os.environ, "TMPDIR": TEMPORARY})
    left = wait_for(prepared, settings())
    if not left:
        _take_back_host()
        left = wait_for(nothing, settings())
    return _told(left, code)


def _call_as_init(command: list[str], environment: dict[str, str]) -> int:
    """Run a command to its end, and reap whatever else comes our way: we are the first process here.

    A process that was left by a killed `exec` is ours then, and while nobody reaps it, the first
    process of its container can't end either (kernel-facts, "zombie in a PID namespace").
    """
    pid = os.posix_spawnp(command[0], command, environment)
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _prepare_temporary() -> None:
    """Make the directory for temporary files, where files can have attributes: a tmpfs knows `user.` since 6.6."""
    os.makedirs(TEMPORARY)
    try:
        os.setxattr(TEMPORARY, "user.attributes", b"")
    except OSError:
        _do("truncate", "-s", IMAGE_SIZE, f"{TEMPORARY}.btrfs")
        _do("mkfs.btrfs", "--quiet", f"{TEMPORARY}.btrfs")
        _do("mount", "-o", "loop,discard", f"{TEMPORARY}.btrfs", TEMPORARY)


def _prepare_host() -> None:
    _prepare_temporary()
    _do("truncate", "-s", IMAGE_SIZE, IMAGE)
    _do("mkfs.btrfs", "--quiet", IMAGE)
    _do("mount", "-o", "loop,nosuid,nodev,discard", IMAGE, "/var/bocker")
    os.chmod("/var/bocker", 0o700)
    _do("ip", "link", "add", "bridge0", "address", BRIDGE_MAC, "type", "bridge")
    _do("ip", "address", "add", GATEWAY, "dev", "bridge0")
    _do("ip", "link", "set", "bridge0", "up")
    _do("nft", "-f", "-", text=MASQUERADE)
    _do("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")


def _take_back_host() -> None:
    if os.path.ismount(TEMPORARY):
        _do("umount", "--lazy", TEMPORARY)
    _do("umount", "/var/bocker")
    _do("ip", "link", "delete", "bridge0")
    _do("nft", "delete", "table", "ip", "bocker")


def _do(*command: str, text: str = "") -> None:
    try:
        subprocess.run(command, check=True, input=text, text=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"sandbox: it can't be made here: {error}", file=sys.stderr)
        sys.exit(NOT_POSSIBLE)


def _told(left: list[str], code: int) -> int:
    for line in left:
        print(f"sandbox: {line}", file=sys.stderr)
    return code or (LEFT_SOMETHING if left else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

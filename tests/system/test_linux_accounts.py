"""What the contract of the port accounts can't ask of both kernels: two programs at once, a kill, a mask, children."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.kernel import accounts
from bocker.kernel.errors import Missing, TooLarge, Unreachable
from bocker.linux.accounts import LinuxAccounts
from tests.patience import patience

CHILD = "import sys; from bocker.linux.accounts import LinuxAccounts; port = LinuxAccounts()\n"
ADD = """
for _ in range(60):
    port.update(sys.argv[1], lambda data: data + b"x")
"""
REPLACE = """
print("ready", flush=True)
while True:
    port.update(sys.argv[1], lambda data: bytes([data[0] ^ 1]) * 300_000)
"""


@pytest.fixture
def port() -> LinuxAccounts:
    return LinuxAccounts()


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path in PATH for a helper."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin/helper"


@pytest.fixture
def open_files() -> Iterator[None]:
    """Fail a test that leaves a descriptor open."""
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def start(code: str, path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD + code, str(path)], stdout=subprocess.PIPE)


def write(helper: Path, script: str) -> None:
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o755)


def test_what_several_programs_add_at_once_is_all_there(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for child in [start(ADD, path) for _ in range(3)]:
        assert child.wait(patience(60)) == 0
        assert child.stdout is not None
        child.stdout.close()
    assert path.read_bytes() == b"x" * 180
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_program_that_is_killed_leaves_a_whole_file(tmp_path: Path, port: LinuxAccounts) -> None:
    """And nothing that the next one does not take away."""
    path = tmp_path / "config.json"
    path.write_bytes(b"a" * 300_000)
    for _ in range(8):
        child = start(REPLACE, path)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.random() * 0.03)
        child.kill()
        child.wait()
        child.stdout.close()
        data = path.read_bytes()
        assert data in {b"a" * 300_000, b"`" * 300_000}
        port.update(str(path), lambda data: data)
        assert os.listdir(tmp_path) == ["config.json"]


def test_no_mask_changes_the_modes(tmp_path: Path, port: LinuxAccounts) -> None:
    before = os.umask(0o777)
    try:
        port.update(f"{tmp_path}/a/b/config.json", lambda data: b"{}")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/config.json")]
    assert modes == [0o700, 0o700, 0o600]


def test_links_in_a_circle_are_refused(tmp_path: Path, port: LinuxAccounts) -> None:
    os.symlink("two", tmp_path / "one")
    os.symlink("one", tmp_path / "two")
    with pytest.raises(Exception, match="ELOOP"):
        port.update(f"{tmp_path}/one", lambda data: b"{}")
    assert (tmp_path / "one").is_symlink()


def test_a_helper_s_child_that_keeps_its_output_is_not_waited_for_endlessly(
    helper: Path, port: LinuxAccounts, monkeypatch: pytest.MonkeyPatch, open_files: None
) -> None:
    monkeypatch.setattr(accounts, "HELPER_S", 0.3)
    write(helper, 'sleep 60 & echo $! > "$0.pid"')
    with pytest.raises(Unreachable):
        port.ask("helper", "get", b"")
    os.kill(int(Path(f"{helper}.pid").read_text()), signal.SIGKILL)


def test_a_helper_has_the_environment_and_complains_to_our_standard_error(
    helper: Path, port: LinuxAccounts, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    write(helper, 'echo "$HOME"; echo locked >&2')
    assert port.ask("helper", "get", b"").output == b"/home/me\n"
    assert capfd.readouterr() == ("", "locked\n")


@pytest.mark.parametrize(("script", "error"), [("exit 0", None), ("exec cat /dev/zero", TooLarge), ("", Missing)])
def test_a_helper_leaves_neither_descriptors_nor_a_process(
    helper: Path, port: LinuxAccounts, open_files: None, script: str, error: type[Exception] | None
) -> None:
    if error is Missing:
        helper.write_text("#!/nonexistent/interpreter\n")
        helper.chmod(0o755)
    else:
        write(helper, script)
    if error is None:
        port.ask("helper", "get", b"text")
    else:
        with pytest.raises(error):
            port.ask("helper", "get", b"text")
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)

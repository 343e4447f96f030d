"""The installer: a prefix that works by itself, renewed in one step, and removed without a trace."""

from __future__ import annotations

import marshal
import os
import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[3] / "provision/install.py"
DEBIAN = "/usr/bin/python3"
pytestmark = pytest.mark.skipif(
    not os.path.exists(DEBIAN) or not os.path.exists("/proc/self/mountinfo"),
    reason="it installs on Linux, with its Python",
)

# The installer as it is, but for PyPI: what pip would fetch is one empty module.
WITHOUT_PIP = """
import os, sys
sys.path.insert(0, {directory!r})
import install
def run_pip(command, *options):
    if "/nonexistent" in options:
        raise install.Refused("pip found nothing")
    target = options[options.index("--target") + 1]
    os.makedirs(target)
    open(target + "/something.py", "w").close()
install.run_pip = run_pip
sys.exit(install.main())
"""


@pytest.fixture
def place(tmp_path):
    return tmp_path / "lib/bocker", tmp_path / "bin/bocker"


@pytest.fixture
def install(place):
    """A function that runs the installer for the place and returns what it answered."""

    def call(*options):
        prefix, launcher = place
        code = WITHOUT_PIP.format(directory=str(INSTALL.parent))
        words = [DEBIAN, "-B", "-c", code, "--prefix", prefix, "--launcher", launcher, *options]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    return call


def answer(launcher, *words, **environment):
    return subprocess.run([launcher, *words], capture_output=True, text=True, check=False, env=environment)


def test_the_launcher_works_by_its_literal_paths(install, place):
    prefix, launcher = place
    assert install().returncode == 0
    assert launcher.read_text().startswith(f"#!{prefix}/bin/python3 -IS\n")
    assert answer(launcher, "--version").stdout.startswith("bocker ")


def test_the_callers_environment_does_not_count(install, place, tmp_path):
    """PYTHONPATH and the current directory bring no module in."""
    install()
    (tmp_path / "bocker.py").write_text("raise SystemExit(99)")
    (tmp_path / "os.py").write_text("raise SystemExit(99)")
    done = subprocess.run([place[1], "--version"], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode == 0


def test_everything_is_compiled_whatever_the_times_of_the_files(install, place):
    """Every file has its compiled one, which is marked as never to be checked (PEP 552's flags: 1)."""
    prefix, _ = place
    install()
    for path in prefix.rglob("*.py"):
        (compiled,) = (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")
        assert compiled.read_bytes()[4:8] == b"\1\0\0\0", path


def test_the_interpreter_is_a_copy(install, place):
    install()
    copied = place[0] / "bin/python3"
    assert not copied.is_symlink()
    assert copied.stat().st_nlink == 1
    assert copied.stat().st_ino != os.stat(DEBIAN).st_ino


def test_installing_again_renews_it(install, place):
    prefix, launcher = place
    install()
    (prefix / "site/bocker/__init__.py").unlink()
    assert install().returncode == 0
    assert answer(launcher, "--version").returncode == 0
    assert sorted(path.name for path in prefix.parent.iterdir()) == ["bocker"]


def test_a_failure_leaves_what_was_there(install, place):
    install()
    done = install("--wheels", "/nonexistent")
    assert (done.returncode, done.stderr) == (1, "install: pip found nothing\n")
    assert answer(place[1], "--version").returncode == 0


def test_packages_that_cannot_be_had_are_told_in_a_line_and_nothing_is_left(place, tmp_path):
    """By the real pip, or where Debian's Python has none, by the word that it is missing."""
    prefix, launcher = place
    (tmp_path / "empty").mkdir()
    words = [DEBIAN, "-B", INSTALL, "--prefix", prefix, "--launcher", launcher, "--wheels", tmp_path / "empty"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(("install: pip could not get ", "install: there is no pip here"))
    assert "Command" not in last
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "lib"]


def test_uninstalling_removes_exactly_what_was_installed(install, place, tmp_path):
    prefix, launcher = place
    install()
    assert install("--uninstall").returncode == 0
    assert not prefix.exists()
    assert not launcher.exists()
    install()
    (prefix / "site/mine").write_text("a person's own")
    done = install("--uninstall")
    assert "left" in done.stdout
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [
        Path("lib/bocker/site/mine")
    ]


def test_a_unit_for_systemd_starts_this_launcher(install, place):
    """Beside the program where that is elsewhere than usual: nothing of the host's systemd is touched then."""
    prefix, launcher = place
    install()
    lines = (prefix / "bocker.service").read_text().splitlines()
    assert f"ExecStart={launcher} setup" in lines
    assert "After=systemd-sysctl.service systemd-modules-load.service nftables.service" in lines


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_runs_first_is_made_for_a_version_of_control_groups(install, place, version):
    prefix, launcher = place
    assert install("--cgroups", version).returncode == 0
    assert answer(launcher, "--version").returncode == 0
    head = marshal.loads((prefix / "bundle").read_bytes())
    offset, length = head[2]["exec"]
    group = marshal.loads((prefix / "bundle").read_bytes()[head[3] + offset :][:length])
    assert f"bocker.linux.cgroups_v{version}" in {name for name, _, _ in group}


def test_what_is_not_ours_is_not_replaced_or_removed(install, place):
    prefix, _ = place
    prefix.mkdir(parents=True)
    (prefix / "file").write_text("somebody's")
    assert "holds something else" in install().stderr
    assert "not installed" in install("--uninstall").stderr
    assert [path.name for path in prefix.iterdir()] == ["file"]


@pytest.mark.parametrize("prefix", ["relative", "/tmp/with blank", "/tmp/with'quote", "/" + "a" * 120])
def test_a_place_that_a_scripts_first_line_can_not_name_is_refused(install, prefix):
    done = install("--prefix", prefix)
    assert done.returncode == 1
    assert done.stderr.startswith("install: ")

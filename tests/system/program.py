"""Fixtures that run the installed program as a person would: by its path, as a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import patience
from tests.system import sandbox

APPLETS = (
    "sh true false echo cat ls sleep mount umount mkdir rm id ps env ip mknod dd chroot dmesg find head od touch chmod "
    "chown readlink kill hostname ping stat printf wc sync seq"
).split()
TIMEOUT_S = patience(60)
START_S = patience(10)
PREFIX = "/run/bocker-test"
MADE = "BOCKER_TEST_PREFIX"  # an archive of PREFIX that was made elsewhere (provision/vm/made.sh)
FORWARDING = "/proc/sys/net/ipv4/ip_forward"


class Result:
    """What a command answered: exit code, and both streams as text (undecodable bytes as surrogates)."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.raw = out
        self.out = out.decode("utf-8", "surrogateescape")
        self.err = err.decode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"Result(code={self.code}, out={self.out!r}, err={self.err!r})"


class Bocker:
    """The launcher of the test's own prefix; calling it runs one command to its end."""

    def __init__(self, launcher: Path) -> None:
        self.launcher = launcher

    def __call__(self, *words: str, environment: dict[str, str] | None = None, **options: object) -> Result:
        """Run a command; `data` is its standard input, else the null device (or `stdin`)."""
        data = options.pop("data", None)
        options.setdefault("stdin", subprocess.PIPE if data is not None else subprocess.DEVNULL)
        process = self.start(*words, environment=environment, **options)
        try:
            out, err = process.communicate(data, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"bocker {' '.join(words)} did not end: {out!r} {err!r}")
        return Result(process.returncode, out, err)

    def start(
        self, *words: str, environment: dict[str, str] | None = None, **options: object
    ) -> subprocess.Popen[bytes]:
        """Start a command and return it running."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        command = [os.fspath(self.launcher), *[os.fsencode(word) for word in words]]
        return subprocess.Popen(command, env={**os.environ, **(environment or {})}, **options)

    def created(self, *words: str) -> str:
        """Run a command that answers `Created: ID`, and return the id."""
        result = self(*words)
        assert result.code == 0, result
        return result.out.strip().splitlines()[-1].split()[-1]


@contextmanager
def installed(prefix: Path) -> Iterator[Path]:
    """Install the program that is tested, by the same code as on a person's machine; give its launcher."""
    launcher = prefix / "bin/bocker"
    if MADE in os.environ:
        subprocess.run(["tar", "--extract", "--file", os.environ[MADE], "--directory", "/"], check=True)
    else:
        _install(prefix, launcher)
    interpreter = prefix / "bin/python3"
    subprocess.run(["mount", "--bind", interpreter, interpreter], check=True)  # as `setup` does
    subprocess.run(["mount", "-o", "remount,bind,ro", interpreter], check=True)
    yield launcher
    subprocess.run(["umount", interpreter], check=True)
    shutil.rmtree(prefix)


def _install(prefix: Path, launcher: Path) -> None:
    installer = [sandbox.INTERPRETER, f"{sandbox.PROVISION}/install.py", "--prefix", prefix]
    options = ["--launcher", launcher, "--wheels", os.environ[sandbox.WHEELS]]
    subprocess.run([*installer, *options], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def prefix() -> Iterator[Path]:
    """Where the tested program is installed."""
    with installed(Path(PREFIX)) as launcher:
        yield launcher.parent.parent


@pytest.fixture
def bocker(prefix: Path) -> Bocker:
    return Bocker(prefix / "bin/bocker")


@pytest.fixture
def start(bocker: Bocker):
    """Start a command in the background; it is ended after the test, by the third SIGTERM at the latest."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, **options: object) -> subprocess.Popen[bytes]:
        started.append(bocker.start(*words, **options))
        return started[-1]

    yield begin
    for process in started:
        for _ in range(3):
            if process.poll() is None:
                process.terminate()
                time.sleep(0.05)
        process.communicate(timeout=TIMEOUT_S)


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small root file system with the probe program."""
    root = tmp_path_factory.mktemp("busybox") / "root"
    root.mkdir()
    make_busybox_root(root)
    return root


def make_busybox_root(root: Path) -> None:
    """Fill an empty directory with a root file system of two programs: busybox and the probe."""
    for folder in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
        (root / folder).mkdir()
    os.chmod(root / "tmp", 0o1777)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in APPLETS:
        os.symlink("busybox", root / "bin" / applet)
    shutil.copy(Path(__file__).with_name("probe.sh"), root / "bin/probe")
    for name in ("hosts", "hostname", "resolv.conf"):
        (root / "etc" / name).write_text("the image's own\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")


@pytest.fixture
def make_image(bocker: Bocker):
    """Make images of directories; they go after the test."""
    made: list[str] = []

    def make(directory: Path, *flags: str) -> str:
        made.append(bocker.created("init", str(directory), *flags))
        return made[-1]

    yield make
    for image in made:
        bocker("rm", image)


@pytest.fixture
def image(make_image, busybox_root: Path) -> str:
    return make_image(busybox_root)


@pytest.fixture
def running(bocker: Bocker, start):
    """Start a container whose program sleeps; it is removed after the test."""
    names: list[str] = []

    def begin(image: str, *flags: str) -> str:
        name = f"running-{len(names)}"
        start("run", "--name", name, *flags, image, "/bin/sleep", "300")
        deadline = time.monotonic() + START_S
        while bocker("exec", name, "/bin/true").code != 0:
            assert time.monotonic() < deadline, f"{name} does not run"
            time.sleep(0.02)
        names.append(name)
        return name

    yield begin
    for name in names:
        bocker("rm", "-f", name)


@pytest.fixture
def elsewhere(tmp_path):
    """Settings of a host that nobody has set up yet, without forwarding."""
    names = {
        "BOCKER_STORE": str(tmp_path / "store"),
        "BOCKER_STATE": str(tmp_path / "state"),
        "BOCKER_RUNTIME": str(tmp_path / "run"),
        "BOCKER_BRIDGE": "bridge_t",
        "BOCKER_TABLE": "bocker_t",
        "BOCKER_SUBNET": "10.7.0.0/28",
    }
    with open(FORWARDING, "w") as file:
        file.write("0")
    yield names
    with open(FORWARDING, "w") as file:
        file.write("1")
    subprocess.run(["umount", "-q", names["BOCKER_STORE"]], check=False)
    subprocess.run(["ip", "link", "del", "bridge_t"], check=False, capture_output=True)
    subprocess.run(["nft", "delete", "table", "ip", "bocker_t"], check=False, capture_output=True)

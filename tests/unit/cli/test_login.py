"""`login` and `logout` on the fake kernel, against a registry that knows one user."""

from __future__ import annotations

import getpass
import io
import json
import os
import pty
import sys
from pathlib import Path

import pytest

from bocker.cli.commands import login as command
from bocker.cli.main import main
from bocker.fakes import World
from bocker.fakes.access import Basic, Rules, Tokens
from bocker.fakes.registry import FakeRegistry
from bocker.fakes.state import DIRECTORY, Entry

ROOT = Path(__file__).parents[3]
HOST = "registry.example"
FILE = "/home/me/.docker/config.json"
PODMAN = "/run/containers/auth.json"
SESSION = {"HOME": "/home/me", "REGISTRY_AUTH_FILE": PODMAN, "XDG_RUNTIME_DIR": "/none", "XDG_CONFIG_HOME": "/none"}
RULES = Rules({"me": "secret"})
AUTH = {"auth": "bWU6c2VjcmV0"}
UNENCRYPTED = (
    f"WARNING! Your password is stored unencrypted in {FILE}. "
    "A credential helper, named there as credsStore, keeps it safe.\n"
)
INSECURE = "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n"


@pytest.fixture
def world():
    world = World().prepare()
    world.add_files("/home/me", {"": Entry(DIRECTORY, 0o700)})
    world.add_files("/run/containers", {"": Entry(DIRECTORY, 0o700)})
    registry = FakeRegistry(f"https://{HOST}", Tokens(RULES))
    world.serve(registry, *registry.addresses)
    return world


@pytest.fixture
def bocker(world, capfd):
    """A function that types a command; it returns exit code, output and errors."""

    def call(*argv):
        code = main(argv, SESSION, world.kernel)
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def pipe(monkeypatch):
    """A function that puts bytes on standard input."""

    def put(data: bytes) -> None:
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        monkeypatch.setattr(command, "STDIN", reading)

    return put


@pytest.fixture
def types(monkeypatch):
    """A function that types a name and a password on a terminal."""

    def put(name: str, password: str) -> None:
        monkeypatch.setattr(os, "isatty", lambda descriptor: True)
        monkeypatch.setattr(sys, "stdin", io.StringIO(name))
        monkeypatch.setattr(getpass, "getpass", lambda prompt: password)

    return put


def kept(world, path=FILE):
    return json.loads(world.read_file(path))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_password_from_standard_input(bocker, world, pipe, end):
    pipe(b"secret" + end)
    assert bocker("login", "-u", "me", "--password-stdin", HOST) == (0, "Login Succeeded\n", UNENCRYPTED)
    assert kept(world) == {"auths": {HOST: AUTH}}


def test_only_one_end_of_a_line_is_taken_off(bocker, world, pipe):
    pipe(b"secret\n\n")
    code, out, err = bocker("login", "-u", "me", "--password-stdin", HOST)
    assert (code, out) == (2, "")
    assert "control characters" in err
    assert world.entry(FILE) is None


def test_a_password_among_the_words_is_warned_of(bocker, world):
    assert bocker("login", "-u", "me", "-p", "secret", f"https://{HOST}/v2/") == (
        0,
        "Login Succeeded\n",
        INSECURE + UNENCRYPTED,
    )
    assert kept(world) == {"auths": {HOST: AUTH}}


def test_who_is_not_root_does_not_see_his_password_again(capfd, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    argv = ("login", "-u", "me", "-p", "secret", HOST)
    monkeypatch.setattr(sys, "argv", ["bocker", *argv])
    assert main(argv, SESSION) == 1
    assert capfd.readouterr() == ("", INSECURE + "bocker needs root's rights; run it with sudo\n")


def test_a_person_is_asked(bocker, world, types):
    types("me\n", "secret")
    assert bocker("login", HOST) == (0, "Login Succeeded\n", "Username: " + UNENCRYPTED)
    assert kept(world) == {"auths": {HOST: AUTH}}


@pytest.mark.parametrize(("name", "password", "missing"), [("\n", "x", "Username"), ("me\n", "", "Password")])
def test_a_person_who_says_nothing(bocker, types, name, password, missing):
    types(name, password)
    assert bocker("login", HOST) == (1, "", f"Username: {missing} Required\n")


def test_without_a_terminal_nobody_is_asked(bocker, pipe):
    pipe(b"me\nsecret\n")
    message = "There is no terminal to ask for a name and a password on; use --username and --password-stdin\n"
    assert bocker("login", HOST) == (1, "", message)
    assert bocker("login", "-u", "me", HOST) == (1, "", message)


def test_a_wrong_password_is_not_kept(bocker, world):
    code, out, err = bocker("login", "-u", "me", "-p", "wrong", HOST)
    assert (code, out) == (1, "")
    assert err.startswith(f"{INSECURE}{HOST}: ")
    assert err.endswith("(401)\n") or "(401); " in err
    assert "wrong" not in err
    assert world.entry(FILE) is None


def test_a_registry_that_takes_a_password_itself(bocker, world):
    registry = FakeRegistry("http://localhost:5000", Basic(RULES))
    world.serve(registry, *registry.addresses)
    assert bocker("login", "-u", "me", "-p", "secret", "localhost:5000")[:2] == (0, "Login Succeeded\n")
    assert bocker("login", "-u", "me", "-p", "wrong", "localhost:5000")[0] == 1
    assert kept(world) == {"auths": {"localhost:5000": AUTH}}


def test_a_helper_keeps_it_without_a_warning(bocker, world, pipe):
    asked = []
    world.helpers["docker-credential-safe"] = lambda verb, text: asked.append((verb, text)) or (0, b"")
    world.add_files("/home/me/.docker", {"": Entry(DIRECTORY, 0o700)})
    world.write_file(FILE, b'{"credsStore": "safe"}')
    pipe(b"secret")
    assert bocker("login", "-u", "me", "--password-stdin", HOST) == (0, "Login Succeeded\n", "")
    assert asked == [("store", b'{"ServerURL": "registry.example", "Username": "me", "Secret": "secret"}')]
    assert kept(world) == {"credsStore": "safe"}


@pytest.mark.parametrize(
    "argv",
    [("-p", "x", "--password-stdin", "-u", "me"), ("--password-stdin",), ("no host",), ("a.example", "b.example")],
)
def test_words_that_make_no_sense(bocker, world, argv):
    code, out, err = bocker("login", *argv)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert world.entry(FILE) is None


def test_too_long_a_password_is_refused(bocker, pipe, tmp_path, monkeypatch):
    (tmp_path / "long").write_bytes(b"x" * 70_000)
    monkeypatch.setattr(command, "STDIN", os.open(tmp_path / "long", os.O_RDONLY))
    code, _, err = bocker("login", "-u", "me", "--password-stdin", HOST)
    assert (code, err) == (1, "The password on standard input has more than 65536 bytes\n")


def test_logging_out(bocker, world):
    bocker("login", "-u", "me", "-p", "secret", HOST)
    assert bocker("logout", HOST) == (0, f"Removing login credentials for {HOST}\n", "")
    assert kept(world) == {"auths": {}}
    assert bocker("logout", HOST) == (0, f"Not logged in to {HOST}\n", "")


def test_logging_out_of_docker_s_registry_has_docker_s_words(bocker):
    assert bocker("logout") == (0, "Not logged in to https://index.docker.io/v1/\n", "")


def test_logging_out_tells_of_podman_s_credentials(bocker, world):
    world.write_file(PODMAN, json.dumps({"auths": {HOST: AUTH}}).encode())
    assert bocker("logout", HOST) == (
        0,
        f"Not logged in to {HOST}\n",
        f"{PODMAN} has credentials for {HOST} too; to remove those use: podman logout {HOST}\n",
    )


TYPED = f"""
import sys
from bocker.cli.main import main
from bocker.fakes import World
from bocker.fakes.access import Basic, Rules
from bocker.fakes.registry import FakeRegistry
from bocker.fakes.state import DIRECTORY, Entry
world = World().prepare()
world.add_files("/home/me", {{"": Entry(DIRECTORY, 0o700)}})
world.serve(FakeRegistry("https://{HOST}", Basic(Rules({{"me": "secret"}}))), "https://{HOST}")
sys.exit(main(("login", "{HOST}"), {SESSION!r}, world.kernel))
"""


def test_on_a_real_terminal_the_password_is_not_shown():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", TYPED], {"PYTHONPATH": str(ROOT), "TERM": "xterm"})
    seen = read_until(terminal, b"Username: ")
    os.write(terminal, b"me\n")
    seen += read_until(terminal, b"Password: ")
    os.write(terminal, b"secret\n")
    seen += read_until(terminal, b"Login Succeeded")
    seen += read_until(terminal, b"never")
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0
    assert b"me\r\n" in seen
    assert b"secret" not in seen


def read_until(terminal: int, words: bytes) -> bytes:
    """Read from a terminal until the words have come, or nobody writes to it any more (EIO)."""
    seen = b""
    try:
        while words not in seen and (part := os.read(terminal, 4096)):
            seen += part
    except OSError:
        pass
    return seen

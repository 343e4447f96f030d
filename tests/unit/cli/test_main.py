"""Errors become one line and an exit code; nothing ever becomes a traceback that nobody asked for."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from bocker import __version__
from bocker.cli.main import main
from bocker.cli.settings import MEANINGS
from bocker.cli.verbs import VERBS
from bocker.core.errors import BockerError, InvalidValue, NoSuchImage, ProgramNotStarted
from tests.patience import patience

NOWHERE = {"BOCKER_STORE": "/nonexistent"}


@pytest.fixture
def bocker(capfd):
    """A function that carries out a command line and returns exit code, output and errors.

    `failing` is what making the kernel raises.
    """

    def call(*argv, failing=None, environ=NOWHERE):
        def factory(settings):
            raise failing or AssertionError("the kernel was not to be touched")

        code = main(argv, environ, factory)
        return (code, *capfd.readouterr())

    return call


@pytest.mark.parametrize("argv", [(), ("help",), ("--help",), ("-h",)])
def test_U1_help_names_every_command_and_U7_every_setting(bocker, argv):
    code, out, err = bocker(*argv)
    assert (code, err) == (0, "")
    for verb in VERBS:
        assert f"  {verb.name} " in out
    for name in MEANINGS:
        assert f"BOCKER_{name.upper()}" in out
    assert "Examples:" in out


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_command_has_its_help(bocker, verb):
    first = bocker("help", verb.name)
    assert first == bocker(verb.name, "--help")
    assert first[0] == 0
    assert first[1].startswith(f"Usage:  {verb.usage}\n")
    assert all(f"--{flag.name}" in first[1] for flag in verb.flags)
    assert all(line in first[1] for line in verb.examples)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_fits_a_wide_terminal(bocker, verb):
    assert max(map(len, bocker("help", verb.name)[1].splitlines())) <= 120


@pytest.mark.parametrize("word", ["--version", "-v"])
def test_U2_the_version(bocker, word):
    assert bocker(word) == (0, f"bocker {__version__}\n", "")


def test_U3_an_unknown_command_is_a_usage_error(bocker):
    assert bocker("rnu", "img") == (2, "", "unknown command: rnu; did you mean: bocker run\n")
    assert bocker("help", "rnu") == (2, "", "unknown command: rnu; did you mean: bocker run\n")


def test_U4_missing_arguments_are_a_usage_error_of_125_for_run(bocker):
    assert bocker("commit")[0] == 2
    assert bocker("run")[0] == 125
    assert bocker("run", "--bogus", "img", "true")[0] == 125
    assert bocker("exec", "web")[0] == 2


def test_U5_extra_arguments_are_refused(bocker):
    code, out, err = bocker("logs", "a", "b")
    assert (code, out) == (2, "")
    assert err == "unexpected argument: b; usage: bocker logs [OPTIONS] CONTAINER\n"


def test_S18_an_unknown_setting_is_refused(bocker):
    assert bocker("--bogus=1", "images") == (2, "", "unknown setting: --bogus; see: bocker help\n")


def test_a_bad_setting_is_refused_before_the_kernel_is_touched(bocker):
    assert bocker("run", "img", "true", environ={"BOCKER_SUBNET": "x"})[0] == 125
    assert bocker("ps", environ={"BOCKER_SUBNET": "x"})[0] == 2


def test_S17_W15_a_bad_limit_is_refused_before_the_kernel_is_touched(bocker):
    for text in ("a[$(touch /x)]", "010", "1+1", "abc", "0", "99999999999999999999"):
        code, out, err = bocker("run", "img", "true", environ={"BOCKER_MEM_LIMIT": text})
        assert (code, out) == (125, "")
        assert "BOCKER_MEM_LIMIT" in err


def in_a_class(error: BaseException) -> RuntimeError:
    """Return what Python before 3.12 makes of an error that comes while a class is made."""
    made = RuntimeError("class")
    made.__cause__ = error
    return made


@pytest.mark.parametrize(
    ("failing", "code", "line"),
    [
        (NoSuchImage("img_1"), 125, "No image named 'img_1' exists"),
        (BockerError("what", "do that"), 125, "what; do that"),
        (InvalidValue("bad"), 125, "bad"),
        (ProgramNotStarted("x", "not found", 127), 127, "Can not execute 'x': not found"),
        (ProgramNotStarted("x", "not allowed", 126), 126, "Can not execute 'x': not allowed"),
        (KeyboardInterrupt(), 130, None),
        (in_a_class(KeyboardInterrupt()), 130, None),
        (in_a_class(OSError()), 125, "bocker: internal error: RuntimeError: class; for more use: bocker --debug"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, None),
        (MemoryError(), 125, "bocker: out of memory"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x"),
            125,
            "bocker: /x: No space left on device; for more use: bocker --debug",
        ),
        (ValueError("odd\n"), 125, "bocker: internal error: ValueError: odd\\x0a; for more use: bocker --debug"),
        (RecursionError("deep"), 125, "bocker: internal error: RecursionError: deep; for more use: bocker --debug"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_happens_is_one_line_and_an_exit_code(bocker, failing, code, line):
    assert bocker("run", "img", "true", failing=failing) == (code, "", "" if line is None else f"{line}\n")


def test_what_could_not_be_undone_is_said_with_the_error(bocker):
    error = BockerError("what", "do that")
    error.add_note("and it is still there")
    assert bocker("run", "img", "true", failing=error)[2] == "what; and it is still there; do that\n"


def test_debug_shows_the_traceback(bocker):
    code, _, err = bocker("--debug", "run", "img", "true", failing=ValueError("odd"))
    assert code == 125
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("bocker: internal error: ValueError: odd; for more use: bocker --debug\n")


def test_a_full_disk_behind_standard_output_is_said():
    with open("/dev/full", "wb") as full:
        done = _program("help", stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"bocker: No space left on device; for more use: bocker --debug\n"


def test_a_closed_pipe_ends_it_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    done = _program("help", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_python_can_be_asked_for_it_as_a_module():
    done = subprocess.run([sys.executable, "-m", "bocker", "nosuch"], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "unknown command: nosuch; see: bocker help\n")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers as Linux has them")
@pytest.mark.parametrize("way_in", ["launch", "console_script"])
def test_ctrl_c_where_nothing_can_be_raised_is_raised_a_moment_later(way_in):
    """The end of an object, as of a lock of the import machinery: Python prints what is raised there, and goes on."""
    code = f"""
import os, signal, time
from bocker.cli import main

class Ends:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)

def dispatch(*words):
    Ends()
    time.sleep(20)

main._dispatch = dispatch
main.{way_in}()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=patience(15))
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no users as Linux has them")
def test_not_root_says_the_command_to_use():
    code = (
        "import os, sys; os.geteuid = lambda: 1000; from bocker.cli.main import main;"
        "sys.argv = ['bocker', 'rm', 'a b']; sys.exit(main(tuple(sys.argv[1:])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr == b"bocker needs root's rights; use: sudo bocker rm 'a b'\n"


def _program(*argv, stdout):
    code = "from bocker.cli.main import launch; launch()"
    return subprocess.run(
        [sys.executable, "-c", code, *argv],
        stdout=stdout,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        check=False,
    )

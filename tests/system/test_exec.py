"""`bocker exec` on the real kernel."""

from __future__ import annotations

import signal

import pytest

from tests.patience import patience
from tests.system import groups


def test_it_enters_everything(bocker, image, running):
    """X1, S20: the container's files, processes, network, host name and group."""
    name = running(image)
    assert "sleep" in bocker("exec", name, "/bin/ps").out
    assert bocker("exec", name, "/bin/hostname").out.startswith("ps-42")
    assert "eth0" in bocker("exec", name, "/bin/ip", "addr").out
    assert bocker("exec", name, "/bin/sh", "-c", f"cat {groups.MEMBERS_FILE} | wc -l").out.strip() != "1"


def test_words_code_and_streams(bocker, image, running):
    """As `run`: byte for byte, the code passes, the streams stay apart."""
    name = running(image)
    assert (
        bocker("exec", name, "/bin/busybox", "printf", "[%s]", "a  b", "$HOME", "\udcff").out == "[a  b][$HOME][\udcff]"
    )
    result = bocker("exec", name, "/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.code, result.out, result.err) == (7, "out\n", "err\n")
    assert bocker("exec", name, "echo a; echo b").out == "a\nb\n"


def test_standard_input(bocker, image, running):
    """With `-i` and only then."""
    name = running(image)
    assert bocker("exec", "-i", name, "/bin/cat", data=b"x" * 300_000).raw == b"x" * 300_000
    assert bocker("exec", name, "/bin/cat", data=b"secret").raw == b""


def test_refusals(bocker, image, running):
    """X4, X5 and the words of the original."""
    name = running(image)
    bocker("run", "--name", "ended", image, "/bin/true")
    assert bocker("exec", name).code == 2
    assert bocker("exec", name, "/no/such").code == 127
    assert bocker("exec", name, "/etc/passwd").code == 126
    missing = bocker("exec", "nobody", "/bin/true")
    assert (missing.code, missing.err.splitlines()[0]) == (1, "No container named 'nobody' exists")
    ended = bocker("exec", "ended", "/bin/true")
    assert (ended.code, ended.err.splitlines()[0]) == (1, "Container 'ended' exists but is not running")
    an_image = bocker("exec", image, "/bin/true")
    assert an_image.code == 1
    assert "not running" not in an_image.err
    bocker("rm", "ended")


def test_X3_a_command_that_names_another_container_changes_nothing(bocker, image, running, start):
    """B's command text mentions A; `exec A` is about A."""
    first = running(image)
    second = running(image)
    marker = bocker("exec", first, "/bin/hostname").out
    assert bocker("exec", second, "/bin/hostname").out != marker
    start("run", "--rm", image, "/bin/sh", "-c", f"sleep 5; : {first}")
    assert bocker("exec", first, "/bin/hostname").out == marker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_process(bocker, image, running, start, number):
    """A handler in the exec'd program decides."""
    name = running(image)
    process = start(
        "exec", name, "/bin/probe", "trap", str(int(number)), "43", ",", "echo", "ready", ",", "sleep", "60"
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(patience(10)) == 43


def test_a_killed_exec_leaves_the_container_alone(bocker, image, running, start):
    """Its process dies with it; the container lives on."""
    name = running(image)
    process = start("exec", name, "/bin/sh", "-c", "echo ready; exec sleep 77")
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait()
    assert "sleep 77" not in bocker("exec", name, "/bin/ps").out
    assert bocker("exec", name, "/bin/true").code == 0

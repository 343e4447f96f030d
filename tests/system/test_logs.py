"""`bocker logs` on the real kernel."""

from __future__ import annotations

import re

from tests.patience import patience


def test_both_streams_come_back_where_they_belong(bocker, image):
    """L7: outside the root, both streams, last line without its newline too."""
    bocker("run", "--name", "talker", image, "/bin/sh", "-c", "echo one; echo two >&2; printf three")
    result = bocker("logs", "talker")
    assert (result.out, result.err) == ("one\nthree", "two\n")
    stamped = bocker("logs", "-t", "talker").out.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z one", stamped[0])
    bocker("rm", "talker")


def test_tail(bocker, image):
    """The last lines, one without its end included."""
    bocker("run", "--name", "lines", image, "/bin/sh", "-c", "seq 1 20; printf end")
    assert bocker("logs", "--tail", "3", "lines").out == "19\n20\nend"
    assert bocker("logs", "--tail", "0", "lines").out == ""
    bocker("rm", "lines")


def test_follow_ends_with_the_container(bocker, image, start):
    """`-f` shows what comes, as it comes, and stops when the program has ended."""
    waits = "echo first; until [ -e /go-on ]; do sleep 0.1; done; echo last"
    engine = start("run", "--name", "slow", image, "/bin/sh", "-c", waits)
    assert engine.stdout.readline() == b"first\n"
    follower = start("logs", "-f", "slow")
    assert follower.stdout.readline() == b"first\n"
    bocker("exec", "slow", "/bin/touch", "/go-on")
    assert follower.stdout.readline() == b"last\n"
    assert follower.wait(patience(10)) == 0
    engine.wait(patience(10))
    bocker("rm", "slow")


def test_no_such_container(bocker):
    """Exit code 1 and the original's words."""
    result = bocker("logs", "nobody")
    assert (result.code, result.err.splitlines()[0]) == (1, "No container named 'nobody' exists")
    assert bocker("logs").code == 2

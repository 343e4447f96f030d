"""What a program writes reaches the caller's streams, and a reader that has gone is noticed."""

from __future__ import annotations

import os

import pytest

from bocker.cli.console import StandardStreams


@pytest.fixture
def standard_output():
    """A function that makes a descriptor the standard output, until the test is over."""
    kept = os.dup(1)
    yield lambda descriptor: os.dup2(descriptor, 1)
    os.dup2(kept, 1)
    os.close(kept)


def test_the_streams_are_the_callers(capfdbinary):
    console = StandardStreams()
    assert console.write(1, b"\xff\x00one")
    assert console.write(2, b"two")
    console.notice("a notice")
    assert capfdbinary.readouterr() == (b"\xff\x00one", b"twoa notice\n")


def test_a_reader_that_has_gone_is_told_to_the_engine_and_nobody_else(standard_output, capfdbinary):
    reader, writer = os.pipe()
    os.close(reader)
    standard_output(writer)
    os.close(writer)
    assert StandardStreams().write(1, b"x") is False
    assert capfdbinary.readouterr().err == b""


def test_a_full_disk_is_said_once_and_ends_the_stream(standard_output, capfdbinary):
    full = os.open("/dev/full", os.O_WRONLY)
    standard_output(full)
    os.close(full)
    assert StandardStreams().write(1, b"x") is False
    expected = b"bocker: the program's output can not be written: No space left on device\n"
    assert capfdbinary.readouterr().err == expected

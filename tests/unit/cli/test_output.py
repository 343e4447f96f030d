"""Tables, durations and status words as docker's users know them."""

from __future__ import annotations

import os
import threading

import pytest

from bocker.cli import output

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (-5, "Less than a second"),
        (0, "Less than a second"),
        (SECOND - 1, "Less than a second"),
        (SECOND, "1 second"),
        (59 * SECOND, "59 seconds"),
        (MINUTE, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (89 * MINUTE, "About an hour"),
        (90 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
    ],
)
def test_durations_are_dockers(nanoseconds, words):
    assert output.duration(nanoseconds) == words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("created", None, None, None), "Created"),
        (("running", None, 0, None), "Up 10 seconds"),
        (("paused", None, 0, None), "Up 10 seconds (Paused)"),
        (("exited", 137, 0, 7 * SECOND), "Exited (137) 3 seconds ago"),
        (("dead", None, 0, None), "Dead"),
    ],
)
def test_status_words_are_dockers(arguments, words):
    assert output.status(*arguments, now_ns=10 * SECOND) == words


def test_a_table_is_aligned_with_dockers_gap():
    lines = output.table(("ID", "COMMAND"), [("ps_42002", '"true"')], flexible=1)
    assert lines == ["ID         COMMAND", 'ps_42002   "true"']


def test_a_table_is_cut_to_the_width_in_its_flexible_column():
    rows = [("ps_42002", "a command that is long", "web")]
    lines = output.table(("ID", "COMMAND", "NAMES"), rows, flexible=1, width=30)
    assert lines[1] == "ps_42002   a command …   web"
    assert max(map(len, lines)) <= 30


def test_a_very_narrow_terminal_leaves_something_of_the_column():
    lines = output.table(("ID", "COMMAND"), [("ps_42002", "a command that is long")], flexible=1, width=5)
    assert lines[1] == "ps_42002   a comma…"


def test_scripts_get_the_originals_columns():
    assert output.two_columns(("IMAGE_ID", "SOURCE"), [("img_42002", "./x")]) == [
        "IMAGE_ID\t\tSOURCE",
        "img_42002\t\t./x",
    ]


@pytest.mark.parametrize(
    ("given", "columns"), [("132", 132), ("0", 80), ("wide", 80), ("", 80), ("²", 80), ("9" * 5000, 80)]
)
def test_COLUMNS_is_respected(given, columns, monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((80, 24)))
    assert output.columns({"COLUMNS": given}) == columns


def test_a_command_is_quoted_and_cut_as_dockers():
    assert output.quoted(("sleep", "300"), whole=False) == '"sleep 300"'
    assert output.quoted(("echo", "a" * 40), whole=False) == '"echo aaaaaaaaaaaaaa…"'
    assert output.quoted(("echo", "a" * 40), whole=True) == '"echo ' + "a" * 40 + '"'


def test_S13_a_command_can_not_drive_the_terminal():
    assert output.quoted(("echo", "\x1b[2J\t\n"), whole=True) == '"echo \\x1b[2J\\x09\\x0a"'


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_all_bytes_arrive_through_a_full_pipe_that_does_not_block(size):
    """A caller may leave its pipe non-blocking: what does not fit waits for the reader."""
    data = os.urandom(size)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = []
    thread = threading.Thread(target=lambda: received.append(_read_all(reader)))
    thread.start()
    output.write(writer, data)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert received == [data]


def _read_all(descriptor):
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def test_bytes_that_are_no_utf8_leave_as_they_came(capfdbinary):
    output.say(os.fsdecode(b"caf\xe9"))
    assert capfdbinary.readouterr().out == b"caf\xe9\n"


def test_errors_escape_what_could_drive_the_terminal(capfdbinary):
    output.complain("No image named '\x1b[31m\udce9' exists")
    assert capfdbinary.readouterr().err == b"No image named '\\x1b[31m\\xe9' exists\n"

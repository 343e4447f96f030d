"""The drawing of progress, seen as a person sees it: on a screen, on a real terminal, in a file."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from bocker.cli.output import decimal_size
from bocker.cli.progress import (
    LONGEST_BAR,
    Part,
    PlainWatch,
    QuietWatch,
    TerminalWatch,
    chosen_watch,
    part_line,
    terminal_size,
)
from bocker.images.watch import (
    COMPLETE,
    DOWNLOADED,
    DOWNLOADING,
    EXISTS,
    EXTRACTING,
    MOUNTED,
    PACKING,
    PUSHED,
    PUSHING,
    RETRYING,
    WAITING,
)

ROOT = Path(__file__).parents[3]
SECOND_NS = 1_000_000_000
PIECES = re.compile(r"\x1b\[(\d*)([AKJ])|([\r\n])|([^\x1b\r\n]+)|(.)", re.DOTALL)


class Screen:
    """A terminal: what is written to it moves the cursor, breaks lines and scrolls. An unknown sequence fails."""

    def __init__(self, columns: int = 100, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]
        self.row = self.column = 0
        self.writes: list[str] = []

    def size(self) -> tuple[int, int]:
        return self.columns, self.rows

    def write(self, text: str) -> None:
        self.writes.append(text)
        for count, command, move, plain, other in PIECES.findall(text):
            assert not other, repr(text)
            if command:
                self._command(command, int(count or 1))
            elif move == "\n":
                self._feed()
            elif move == "\r":
                self.column = 0
            else:
                self._print(plain)

    def _print(self, text: str) -> None:
        for character in text:
            if self.column == self.columns:
                self._feed()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def _feed(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.lines):
            self.lines.append("")

    def _command(self, command: str, count: int) -> None:
        if command == "A":
            self.row = max(self.row - count, len(self.lines) - self.rows, 0)
            return
        self.lines[self.row] = self.lines[self.row][: self.column]
        if command == "J":
            del self.lines[self.row + 1 :]

    @property
    def text(self) -> list[str]:
        """All lines, those that scrolled away too; the cursor must rest on an empty one below them."""
        assert (self.row, self.column) == (len(self.lines) - 1, 0)
        assert self.lines[-1] == ""
        return [line.rstrip() for line in self.lines[:-1]]


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns

    def pass_ms(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * 1_000_000


@pytest.fixture
def screen():
    return Screen()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(screen, clock):
    return TerminalWatch(screen.write, screen.size, clock)


def digest(number: int) -> str:
    return f"sha256:{number:012d}{0:052d}"


@pytest.mark.parametrize(
    ("size", "digits", "text"),
    [
        (0, 4, "0B"),
        (999, 4, "999B"),
        (1000, 4, "1kB"),
        (13_256, 4, "13.26kB"),
        (13_256, 3, "13.3kB"),
        (13_300, 4, "13.3kB"),
        (1_993_000, 3, "1.99MB"),
        (999_949, 3, "1MB"),
        (999_949, 4, "999.9kB"),
        (999_999, 4, "1MB"),
        (12_345_678_901, 4, "12.35GB"),
        (5 * 10**21, 3, "5e+03EB"),
    ],
)
def test_sizes_are_docker_s(size, digits, text):
    assert decimal_size(size, digits) == text


def test_each_part_has_a_line_that_is_drawn_in_its_place(watch, screen, clock):
    watch.say("7: Pulling from library/centos")
    watch.part(digest(1), WAITING)
    watch.part(digest(2), DOWNLOADING, 25_000_000, 50_000_000)
    assert screen.text == [
        "7: Pulling from library/centos",
        "000000000001: Waiting",
        f"000000000002: Downloading [{'=' * 25}>{' ' * 25}]     25MB/50MB",
    ]
    clock.pass_ms(100)
    watch.part(digest(2), DOWNLOADING, 50_000_000, 50_000_000)
    watch.part(digest(1), EXTRACTING, 1_500_000)
    watch.part(digest(2), DOWNLOADED, 50_000_000, 50_000_000)
    watch.say("Digest: sha256:abc")
    assert screen.text == [
        "7: Pulling from library/centos",
        "Digest: sha256:abc",
        "000000000001: Extracting    1.5MB",
        "000000000002: Download complete",
    ]


def test_what_is_said_in_the_end_stands_below_the_parts(watch, screen):
    watch.say("7: Pulling from library/centos")
    watch.part(digest(1), EXISTS)
    watch.part(digest(2), COMPLETE)
    watch.say("Digest: sha256:abc")
    watch.part(digest(3), WAITING)
    watch.say("Status: not yet")
    watch.close()
    assert screen.text == [
        "7: Pulling from library/centos",
        "000000000001: Already exists",
        "000000000002: Pull complete",
        "Digest: sha256:abc",
        "Status: not yet",
        "000000000003: Waiting",
    ]


@pytest.mark.parametrize("state", [DOWNLOADING, EXTRACTING, PACKING, PUSHING])
def test_a_bar_fits_the_terminal(state):
    for columns in range(1, 200):
        for done in (0, 1, 999_999, 12_345_678, 45_600_000, 99_999_999):
            line = part_line(Part(digest(1), state, done, 45_600_000), columns)
            assert len(line) <= max(columns - 1, 1)
            assert columns < 100 or line.count("=") + line.count(" ") >= LONGEST_BAR
    assert "[" not in part_line(Part(digest(1), state, 1, 2), 40)


def test_a_part_that_is_done_shows_no_numbers():
    assert part_line(Part(digest(1), COMPLETE, 5, 5), 80) == "000000000001: Pull complete"


def test_more_than_there_is_is_all_of_it():
    assert part_line(Part(digest(1), DOWNLOADING, 9, 5), 80) == part_line(Part(digest(1), DOWNLOADING, 5, 5), 80)


def test_nothing_is_drawn_more_often_than_ten_times_a_second(watch, screen, clock):
    watch.part(digest(1), DOWNLOADING, 0, 1000)
    for done in range(1000):
        clock.pass_ms(2)
        watch.part(digest(1), DOWNLOADING, done, 1000)
    assert 10 <= len(screen.writes) <= 21


def test_a_new_state_is_shown_at_once(watch, screen):
    for state in (WAITING, DOWNLOADING, DOWNLOADED):
        watch.part(digest(1), state)
        assert screen.text == [f"000000000001: {state}"]


def test_many_new_states_at_once_are_drawn_ten_times(watch, screen):
    for number in range(20):
        watch.part(digest(number), EXISTS)
    assert len(screen.writes) == 10
    watch.close()
    assert len(screen.text) == 20


def test_a_clock_that_is_set_back_stops_nothing(watch, screen, clock):
    watch.part(digest(1), DOWNLOADING, 1, 1000)
    clock.now_ns -= 5 * SECOND_NS
    watch.part(digest(1), DOWNLOADING, 999, 1000)
    assert "999B" in screen.text[0]


def test_the_last_state_is_shown_in_the_end(watch, screen):
    with watch:
        for done in range(500):
            watch.part(digest(1), DOWNLOADING, done, 1000)
    assert "499B" in screen.text[0]
    assert len(screen.text) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_finds_a_clean_line(watch, screen, error):
    def fail() -> None:
        watch.part(digest(1), DOWNLOADING, 1, 2)
        watch.part(digest(2), WAITING)
        raise error

    with pytest.raises(error), watch:
        fail()
    screen.write("No space is left\n")
    assert screen.text[1:] == ["000000000002: Waiting", "No space is left"]


def test_more_parts_than_lines(clock):
    screen = Screen(rows=6)
    watch = TerminalWatch(screen.write, screen.size, clock)
    watch.say("before")
    for number in range(1, 10):
        watch.part(digest(number), COMPLETE if number in {1, 4} else WAITING)
    for done in range(1, 4):
        clock.pass_ms(200)
        watch.part(digest(9), WAITING, done)
    assert screen.text == [
        "before",
        *(f"00000000000{number}: Waiting" for number in (2, 3, 5, 6)),
        "... 5 more, 2 of them done",
    ]
    watch.close()
    states = [COMPLETE if number in {1, 4} else WAITING for number in range(1, 10)]
    assert screen.text == ["before", *(f"00000000000{number}: {state}" for number, state in enumerate(states, 1))]


@pytest.mark.parametrize("rows", [1, 2])
def test_a_terminal_with_hardly_a_line(clock, rows):
    screen = Screen(rows=rows)
    watch = TerminalWatch(screen.write, screen.size, clock)
    for number in (1, 2, 3):
        clock.pass_ms(200)
        watch.part(digest(number), WAITING)
    watch.close()
    assert screen.text[-3:] == [f"00000000000{number}: Waiting" for number in (1, 2, 3)]


def test_a_terminal_that_becomes_narrower(clock):
    """Its own lines, broken in two by the terminal, are all drawn over."""
    screen = Screen(columns=60)
    watch = TerminalWatch(screen.write, screen.size, clock)
    watch.part(digest(1), DOWNLOADING, 1, 2)
    watch.part(digest(2), DOWNLOADING, 1, 2)
    narrow = Screen(columns=40)
    for line in screen.text:
        narrow.write(line + "\n")
    assert len(narrow.text) > 2
    screen.columns = 40
    watch._write = narrow.write  # what the terminal shows, now that it has broken the lines
    watch.close()
    assert len(narrow.text) == 2


def test_a_line_of_a_registry_drives_no_terminal(watch, screen):
    watch.say("\x1b[2J\r\nStatus: \x07évil")
    watch.part("sha256:\x1b[31m" + "0" * 60, WAITING)
    assert screen.text == ["\\x1b[2J\\x0d\\x0aStatus: \\x07évil", "\\x1b[31m0000000: Waiting"]
    assert "\x07" not in "".join(screen.writes)


def test_without_parts_there_is_nothing_to_draw(watch, screen):
    watch.close()
    assert screen.writes == []
    watch.say("hello")
    watch.close()
    assert screen.text == ["hello"]


def test_a_file_gets_each_thing_once_and_no_numbers():
    written: list[str] = []
    with PlainWatch(written.append) as watch:
        watch.say("7: Pulling from \x1b[1mlibrary/centos")
        for state in (WAITING, DOWNLOADING, DOWNLOADING, DOWNLOADED, EXTRACTING, EXTRACTING, COMPLETE, COMPLETE):
            watch.part(digest(1), state, 1, 2)
        for state in (RETRYING, DOWNLOADING, RETRYING, EXISTS, PACKING, PUSHING, PUSHED, MOUNTED):
            watch.part(digest(2), state, 1, 2)
    assert "".join(written).splitlines() == [
        "7: Pulling from \\x1b[1mlibrary/centos",
        "000000000001: Download complete",
        "000000000001: Pull complete",
        "000000000002: Retrying",
        "000000000002: Already exists",
        "000000000002: Pushed",
        "000000000002: Mounted",
    ]


def test_quiet_is_quiet(capfd):
    with chosen_watch({"TERM": "xterm"}, quiet=True, now_ns=lambda: 0) as watch:
        assert isinstance(watch, QuietWatch)
        watch.say("x")
        watch.part(digest(1), COMPLETE)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_terminal_gets_lines_on_standard_error(capfd):
    with chosen_watch({"TERM": "xterm"}, quiet=False, now_ns=lambda: 0) as watch:
        watch.part(digest(1), COMPLETE)
    assert capfd.readouterr() == ("", "000000000001: Pull complete\n")


@pytest.mark.parametrize(("columns", "width"), [("", 90), ("70", 70), ("200", 90), ("0", 90), ("x", 90), ("²", 90)])
def test_the_width_is_the_terminal_s_or_less(monkeypatch, columns, width):
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((90, 30)))
    assert terminal_size({"COLUMNS": columns}) == (width, 30)


def test_a_terminal_without_a_size_has_the_usual_one(monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((0, 0)))
    assert terminal_size({}) == (80, 24)


PULL = """
import sys, time
from bocker.cli.progress import chosen_watch
from bocker.images.watch import COMPLETE, DOWNLOADING
import os
with chosen_watch(os.environ, False, time.time_ns) as watch:
    watch.say("Pulling")
    for done in range(3):
        for part in ("sha256:aaaaaaaaaaaaaaaa", "sha256:bbbbbbbbbbbbbbbb"):
            watch.part(part, DOWNLOADING, done * 10**6, 2 * 10**6)
        time.sleep(0.11)
    watch.part("sha256:aaaaaaaaaaaaaaaa", COMPLETE)
    if len(sys.argv) > 1:
        raise SystemExit("Error: it went wrong")
"""


def on_a_terminal(term: str, *argv: str) -> str:
    """Run the code above with standard error on a terminal of 60 columns and 10 lines; return what came out."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 60, 0, 0))
    environ = {"TERM": term, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", PULL, *argv], stderr=slave, env=environ)
    os.close(slave)
    output = b""
    try:
        while part := os.read(master, 65_536):
            output += part
    except OSError:
        pass  # EIO is a terminal's end of file
    os.close(master)
    process.wait()
    return output.decode()


def test_on_a_real_terminal():
    output = on_a_terminal("xterm", "fail")
    screen = Screen(60, 10)
    screen.write(output.replace("\r\n", "\n"))
    assert screen.text == [
        "Pulling",
        "aaaaaaaaaaaa: Pull complete",
        "bbbbbbbbbbbb: Downloading [" + "=" * 17 + ">]      2MB/2MB",
        "Error: it went wrong",
    ]
    assert "1MB" in output


def test_a_dumb_terminal_gets_lines():
    assert on_a_terminal("dumb") == "Pulling\r\naaaaaaaaaaaa: Pull complete\r\n"

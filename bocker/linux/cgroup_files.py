"""What both versions of control groups do alike with their files and directories."""

from __future__ import annotations

import os

from bocker.linux.files import read_file, write_file

NO_BOUND = b"max"


def put(path: str, value: int | str) -> None:
    """Set a value; raise OSError when the kernel refuses it."""
    write_file(path, str(value).encode("ascii"))


def number(path: str) -> int:
    """Return a file's one number."""
    return int(read_file(path))


def bound(path: str) -> int | None:
    """Return the first word of a file, None for `max`."""
    word = read_file(path).split()[0]
    return None if word == NO_BOUND else int(word)


def counted(path: str, name: bytes) -> int:
    """Return the number behind `name` in a file of lines such as `oom_kill 0`; 0 when it has none."""
    for line in read_file(path).splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0


def pids(path: str) -> set[int]:
    """Return the processes that a file lists; 0 stands for one of another pid namespace."""
    return {int(line) for line in read_file(path).split()} - {0}


def make(path: str) -> bool:
    """Make a directory; tell whether it was not there yet."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return False
    return True


def removed(path: str) -> bool:
    """Remove a directory; tell whether it was there."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return False
    return True


def directories(path: str) -> set[str]:
    """Return the names of the directories in one; none when it is not there."""
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except FileNotFoundError:
        return set()

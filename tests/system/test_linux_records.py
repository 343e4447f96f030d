from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bocker.core.settings import Settings
from bocker.kernel.errors import AlreadyExists, Busy
from bocker.linux.records import LinuxRecords
from tests.patience import patience
from tests.system.fresh_world import fresh_world

KEY = "containers/ps_42002"
CHILD = "import sys; from bocker.linux.records import LinuxRecords; records = LinuxRecords(sys.argv[1])\n"
CLAIM = """
from bocker.kernel.errors import AlreadyExists
won = 0
for number in range(200):
    try:
        records.claim(f"ids/{number}", sys.argv[2].encode())
        won += 1
    except AlreadyExists:
        pass
print(won)
"""
REPLACE = """
for number in range(300):
    records.write("images/one", sys.argv[2].encode() * 20_000)
print("done")
"""
APPEND = """
for number in range(300):
    records.append("logs/one", sys.argv[2].encode() * 1000 + b"\\n")
"""
HOLD = """
with records.lock("ps_42002"):
    print("held", flush=True)
    sys.stdin.read()
"""
CONTEND = """
import time
from bocker.kernel.errors import Missing
if sys.argv[2] == "shared":
    for _ in range(1000):
        with records.lock("layers", shared=True):
            try:
                before = records.read("counters/one"), records.list("alone")
                time.sleep(0.0001)
                assert before == (records.read("counters/one"), records.list("alone")) and not before[1]
            except Missing:
                pass
else:
    for _ in range(300):
        with records.lock("layers"):
            records.claim("alone/me", b"")
            try:
                count = int(records.read("counters/one"))
            except Missing:
                count = 0
            records.write("counters/one", b"%d" % (count + 1))
            records.remove("alone/me")
print("right")
"""


@pytest.fixture
def root(settings: Settings) -> Iterator[str]:
    with fresh_world(settings) as fresh:
        yield f"{fresh.store}/.meta"


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-c", CHILD + program, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_of_those_who_claim_one_key_at_once_exactly_one_succeeds(root: str) -> None:
    claimers = [start(CLAIM, root, word) for word in "abc"]
    won = {word: int(claimer.communicate()[0]) for word, claimer in zip("abc", claimers, strict=True)}
    records = LinuxRecords(root)
    owners = [records.read(f"ids/{number}").decode() for number in range(200)]
    assert {word: owners.count(word) for word in "abc"} == won
    assert sum(won.values()) == 200


def test_a_reader_never_sees_half_of_a_record(root: str) -> None:
    records = LinuxRecords(root)
    records.write("images/one", b"")
    writers = [start(REPLACE, root, word) for word in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen.add(records.read("images/one"))
    assert [writer.communicate()[0] for writer in writers] == ["done\n", "done\n"]
    assert seen <= {b"", b"a" * 20_000, b"b" * 20_000}
    assert os.listdir(f"{root}/images") == ["one"]


def test_what_two_append_is_never_mixed(root: str) -> None:
    writers = [start(APPEND, root, word) for word in "ab"]
    for writer in writers:
        writer.communicate()
    lines = LinuxRecords(root).read("logs/one").splitlines()
    assert sorted(lines) == [b"a" * 1000] * 300 + [b"b" * 1000] * 300


def test_a_lock_waits_until_its_holder_dies(root: str) -> None:
    holder = start(HOLD, root)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    records = LinuxRecords(root)
    with pytest.raises(Busy):
        records.lock("ps_42002", wait=False)
    waiter = start('with records.lock("ps_42002"):\n    print("mine", flush=True)\n', root)
    with pytest.raises(subprocess.TimeoutExpired):
        waiter.wait(0.3)
    holder.send_signal(signal.SIGKILL)
    assert waiter.communicate(timeout=patience(10))[0] == "mine\n"
    holder.communicate()


def test_a_lock_that_is_let_go_of_wakes_who_waits_for_it(root: str) -> None:
    """Its file is taken away meanwhile; of those who waited for the old one, each gets the new one in turn."""
    with LinuxRecords(root).lock("names"):
        waiters = [start('with records.lock("names"):\n    print("mine", flush=True)\n', root) for _ in range(3)]
        with pytest.raises(subprocess.TimeoutExpired):
            waiters[0].wait(0.3)
    assert [waiter.communicate(timeout=patience(10))[0] for waiter in waiters] == ["mine\n"] * 3


def test_a_lock_whose_file_was_taken_away_is_none(root: str) -> None:
    records = LinuxRecords(root)
    with records.lock("ps_42002"):
        os.unlink(f"{root}/.locks/ps_42002")
        with records.lock("ps_42002", wait=False), pytest.raises(Busy):
            records.lock("ps_42002", wait=False)


@pytest.mark.parametrize("shared", [False, True])
def test_who_lost_a_lock_takes_away_nobody_elses(root: str, shared: bool) -> None:
    """Its file was taken away, and there is another one of that name."""
    records = LinuxRecords(root)
    lost = records.lock("layers", shared=shared)
    os.unlink(f"{root}/.locks/layers")
    with records.lock("layers", wait=False):
        with lost:
            pass
        with pytest.raises(Busy):
            records.lock("layers", wait=False)


def test_a_lock_is_not_kept_by_a_child(root: str) -> None:
    """A child that is made while the lock is held has a copy of the descriptor until it executes something."""
    records = LinuxRecords(root)
    held = records.lock("ps_42002")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    try:
        with held:
            pass
        with records.lock("ps_42002", wait=False):
            pass
    finally:
        os.close(write_end)
        os.waitpid(child, 0)
        os.close(read_end)


def test_what_a_killed_writer_left_does_no_harm(root: str) -> None:
    records = LinuxRecords(root)
    records.write(KEY, b"old")
    aside = f"{root}/containers/.ps_42002.new"
    for _ in range(2):
        with open(aside, "wb") as file:
            file.write(b"half")
        assert records.list("containers") == ("ps_42002",)
        assert records.read(KEY) == b"old"
        records.write(KEY, b"old")
        assert os.listdir(f"{root}/containers") == ["ps_42002"]
    with open(aside, "wb") as file:
        file.write(b"half")
    records.remove(KEY)
    assert os.listdir(f"{root}/containers") == []


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277])
def test_modes_do_not_depend_on_the_umask(root: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        records = LinuxRecords(root)
        records.claim("a/claimed", b"1")
        records.append("a/appended", b"2")
        records.write("a/written", b"3", durable=True)
    finally:
        os.umask(before)
    assert [os.stat(f"{root}/a/{name}").st_mode & 0o7777 for name in os.listdir(f"{root}/a")] == [0o600] * 3
    assert [os.stat(path).st_mode & 0o7777 for path in (root, f"{root}/a")] == [0o700] * 2


def test_no_descriptor_is_left_open(root: str) -> None:
    before = os.listdir("/proc/self/fd")
    records = LinuxRecords(root)
    records.claim(KEY, b"")
    for _ in range(3):
        with pytest.raises(AlreadyExists):
            records.claim(KEY, b"")
        records.write(KEY, b"1", durable=True)
        records.append(KEY, b"2")
        records.append("logs/ps_42002", b"2")
        records.read(KEY)
        with records.lock("names"), pytest.raises(Busy):
            records.lock("names", wait=False)
    del records
    assert os.listdir("/proc/self/fd") == before


def test_a_shared_lock_waits_until_the_one_who_has_it_alone_dies(root: str) -> None:
    holder = start(HOLD, root)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiter = start('with records.lock("ps_42002", shared=True):\n    print("mine", flush=True)\n', root)
    with pytest.raises(subprocess.TimeoutExpired):
        waiter.wait(0.3)
    holder.send_signal(signal.SIGKILL)
    assert waiter.communicate(timeout=patience(10))[0] == "mine\n"
    holder.communicate()


def test_one_who_wants_a_lock_alone_waits_for_all_who_share_it(root: str) -> None:
    """One lets go of it, the other dies."""
    sharers = [start(HOLD.replace('"ps_42002"', '"ps_42002", shared=True'), root) for _ in range(2)]
    for sharer in sharers:
        assert sharer.stdout is not None
        assert sharer.stdout.readline() == "held\n"
    waiter = start('with records.lock("ps_42002"):\n    print("mine", flush=True)\n', root)
    sharers[0].communicate()
    with pytest.raises(subprocess.TimeoutExpired):
        waiter.wait(0.3)
    sharers[1].send_signal(signal.SIGKILL)
    assert waiter.communicate(timeout=patience(10))[0] == "mine\n"
    sharers[1].communicate()
    assert os.listdir(f"{root}/.locks") == []


def test_whoever_has_a_lock_alone_is_alone(root: str) -> None:
    """Locks of both kinds, taken and let go of as fast as can be: a shared counter is never seen in between."""
    workers = [start(CONTEND, root, word) for word in ("alone", "shared", "shared", "alone")]
    answers = [worker.communicate(timeout=patience(60))[0] for worker in workers]
    assert answers == ["right\n"] * 4
    assert LinuxRecords(root).read("counters/one") == b"600"
    assert os.listdir(f"{root}/.locks") == []

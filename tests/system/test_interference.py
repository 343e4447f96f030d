"""What a person sees when somebody interferes with ordinary tools, to the letter; then `cleanup`, and the next `run`.

What the kernel in memory says of each of them is compared in `test_fake_interference.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from tests.patience import patience
from tests.system import groups, sandbox
from tests.system.program import FORWARDING, Bocker, Result, make_busybox_root
from tests.system.waiting import wait_until

NOTHING = "Nothing to clean up\n"
NO_STORE = "The host is not set up: no btrfs file system is mounted at {store}; mount it there, or run: bocker setup\n"


def do(*words: str, check: bool = True) -> str:
    """Run one of the system's tools."""
    return subprocess.run(words, check=check, capture_output=True, text=True).stdout


class Host:
    """A host of our own that bocker has set up, with the image `base`; what is done to it harms no other test."""

    def __init__(self, bocker: Bocker, base: Path) -> None:
        self.store = str(base / "store")
        self.names = {
            "BOCKER_STORE": self.store,
            "BOCKER_STATE": str(base / "state"),
            "BOCKER_RUNTIME": str(base / "run"),
            "BOCKER_BRIDGE": "bridge_i",
            "BOCKER_TABLE": "bocker_i",
            "BOCKER_SUBNET": "10.8.0.0/28",
        }
        self._bocker = bocker
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self, *words: str, **options: object) -> Result:
        return self._bocker(*words, environment=self.names, **options)

    def set_up(self, root: Path) -> None:
        assert self("setup", "--size", "256M").code == 0
        assert self("init", str(root), "-t", "base").code == 0

    def begin(self, name: str = "live", *words: str) -> subprocess.Popen[bytes]:
        """Start a container that says `up` and sleeps."""
        program = words or ("/bin/probe", "echo", "up", ",", "sleep", "60")
        started = self._bocker.start("run", "--name", name, "base", *program, environment=self.names)
        self._running.append(started)
        assert started.stdout is not None
        assert started.stdout.readline() == b"up\n"
        return started

    def ended(self, started: subprocess.Popen[bytes]) -> Result:
        """Wait for a container that is ended from outside, or by itself."""
        out, err = started.communicate(timeout=patience(20))
        return Result(started.returncode, out, err)

    def first_process(self, name: str) -> int:
        """Return the number of a container's first process on the host."""
        container = self.id_of(name)
        return int(
            Path(groups.directories(f"{sandbox.settings().cgroup_parent}/{container}")[0], "cgroup.procs")
            .read_text()
            .split()[0]
        )

    def id_of(self, name: str) -> str:
        return Path(self.meta("names"), name).read_text().strip()

    def meta(self, key: str) -> str:
        return f"{self.store}/.meta/{key}"

    def is_well(self) -> None:
        """See that nothing is left to do, that a container runs, and take away all that there is."""
        assert self("cleanup").code == 0
        assert self("cleanup").out == NOTHING
        assert self("run", "--rm", "base", "/bin/echo", "hi").out == "hi\n"
        for container in self("ps", "-q").out.split():
            assert self("rm", container).code == 0

    def close(self) -> None:
        for started in self._running:
            if started.poll() is None:
                started.kill()
            started.communicate()
        self("cleanup")
        self("setup", "--undo", "--delete-data")


@pytest.fixture(scope="module")
def host(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    base = tmp_path_factory.mktemp("interference")
    root = base / "root"
    root.mkdir()
    make_busybox_root(root)
    Path(FORWARDING).write_text("0")
    made = Host(Bocker(prefix / "bin/bocker"), base)
    made.set_up(root)
    yield made
    made.close()
    Path(FORWARDING).write_text("1")
    do("umount", "-q", "-l", made.store, check=False)


def refused(result: Result, line: str, code: int = 1) -> None:
    """See that a command said one line, to the letter but for numbers of processes, and what its exit code was."""
    said = re.sub(r"processes\.release \d+", "processes.release PID", result.err)
    assert (result.code, said) == (code, line), result


# Links and the firewall


def test_the_bridge_is_deleted(host: Host) -> None:
    live = host.begin()
    do("ip", "link", "delete", "bridge_i")
    refused(
        host("run", "base", "/bin/true"),
        "The host is not set up: there is no bridge bridge_i; run: bocker setup\n",
        125,
    )
    assert host("exec", "live", "/bin/echo", "hi").out == "hi\n"
    assert host("setup").out == "Created: bridge_i\nAdded: 10.8.0.1/28 to bridge_i\n"
    assert host("stop", "-t", "0", "live").code == 0
    assert host.ended(live).err == ""
    host.is_well()


def test_the_bridge_is_down_and_has_no_address(host: Host) -> None:
    do("ip", "link", "set", "bridge_i", "down")
    refused(
        host("run", "base", "/bin/true"),
        "The host is not set up: the bridge bridge_i is down; run: bocker setup\n",
        125,
    )
    do("ip", "address", "flush", "dev", "bridge_i")
    line = "The host is not set up: the bridge bridge_i has no address; run: bocker setup\n"
    refused(host("run", "base", "/bin/true"), line, 125)
    assert host("setup").code == 0
    host.is_well()


@pytest.mark.parametrize("inside", [False, True])
def test_a_containers_link_is_deleted(host: Host, inside: bool) -> None:
    """Its program goes on without a network, and is ended as any other."""
    live = host.begin()
    if inside:
        do("nsenter", "-t", str(host.first_process("live")), "-n", "ip", "link", "delete", "eth0")
    else:
        do("ip", "link", "delete", f"veth0_{host.id_of('live')}")
    assert "eth0" not in host("exec", "live", "ip", "link").out
    assert host("stop", "-t", "0", "live").code == 0
    ended = host.ended(live)
    assert (ended.code, ended.err) == (137, "")
    assert host("cleanup").out == NOTHING
    host.is_well()


def test_the_ruleset_is_flushed_and_forwarding_off(host: Host) -> None:
    """Containers run; `setup --check` says that nobody masquerades for them, and `setup` mends it."""
    ours = do("nft", "list", "table", "ip", "bocker")
    do("nft", "flush", "ruleset")
    assert host("run", "--rm", "base", "/bin/echo", "hi").out == "hi\n"
    assert "10.8.0.0/28 is not masqueraded by the table bocker_i" in host("setup", "--check").out
    Path(FORWARDING).write_text("0")
    line = (
        "The host is not set up: net.ipv4.ip_forward is off, so containers reach nothing outside; run: bocker setup\n"
    )
    refused(host("run", "base", "/bin/true"), line, 125)
    assert host("setup").out == "Set: net.ipv4.ip_forward = 1\nMasqueraded: 10.8.0.0/28\n"
    assert host("setup", "--check").code == 0
    subprocess.run(["nft", "-f", "-"], input=ours, text=True, check=True)
    host.is_well()


def test_the_name_of_a_namespace_is_removed(host: Host, settings: Settings) -> None:
    live = host.begin()
    os.unlink(f"{settings.namespaces}/netns_{host.id_of('live')}")
    assert host("exec", "live", "/bin/echo", "hi").out == "hi\n"
    assert host("stop", "-t", "0", "live").code == 0
    assert host.ended(live).err == ""
    assert host("cleanup").out == NOTHING
    host.is_well()


# The store


def test_the_store_is_unmounted_while_a_container_runs(host: Host) -> None:
    live = host.begin("live", "/bin/probe", "echo", "up", ",", "sleep", f"{patience(1.5)}", ",", "echo", "later")
    do("umount", "-l", host.store)
    for words in (("ps",), ("images",), ("exec", "live", "/bin/true"), ("logs", "live"), ("rm", "live"), ("cleanup",)):
        refused(host(*words), NO_STORE.format(store=host.store))
    refused(host("run", "base", "/bin/true"), NO_STORE.format(store=host.store), 125)
    ended = host.ended(live)
    assert (ended.code, ended.out) == (0, "later\n")
    assert ended.err.startswith("The container's end could not be seen to: there is no such thing (records.write ")
    assert ended.err.endswith("; then run: bocker cleanup\n")
    assert os.listdir(host.store) == []
    assert host("setup").out.startswith("Mounted: ")
    assert host("logs", "live").out == "up\nlater\n"
    assert host("cleanup").out in {NOTHING, f"Repaired: {host.id_of('live')} is dead\n"}
    host.is_well()


def test_the_store_is_mounted_again_while_a_container_runs(host: Host) -> None:
    """It is the same file system for all: the engine that was at work writes down how its container ended."""
    live = host.begin(
        "live", "/bin/probe", "echo", "up", ",", "sleep", f"{patience(1.5)}", ",", "echo", "later", ",", "exit", "3"
    )
    do("umount", "-l", host.store)
    assert host("setup").out.startswith("Mounted: ")
    assert host("exec", "live", "/bin/echo", "hi").out == "hi\n"
    ended = host.ended(live)
    assert (ended.code, ended.out, ended.err) == (3, "later\n", "")
    assert host("logs", "live").out == "up\nlater\n"
    assert host("cleanup").out == NOTHING
    host.is_well()


def test_the_store_is_read_only(host: Host) -> None:
    """While a container runs the kernel itself does not let it: its lock is open."""
    host("run", "--name", "web", "base", "/bin/echo", "hi")
    live = host.begin()
    assert (
        "mount point is busy"
        in subprocess.run(["mount", "-o", "remount,ro", host.store], check=False, capture_output=True, text=True).stderr
    )
    live.kill()
    host.ended(live)
    do("mount", "-o", "remount,ro", host.store)
    remedy = "see: dmesg, then mount it again\n"
    for words, code, doing in (
        (("run", "base", "/bin/true"), 125, "Starting the container failed"),
        (("commit", "web", "x:1"), 1, "Committing 'web' failed"),
        (("cleanup",), 1, "Cleaning up failed"),
    ):
        result = host(*words)
        assert result.code == code
        assert result.err.startswith(f"{doing}: the file system is read-only (records.lock "), result
        assert result.err.endswith(remedy)
    assert host("ps", "-q").code == 0
    assert host("logs", "web").out == "hi\n"
    assert host("stop", "live").code == 0
    do("mount", "-o", "remount,rw", host.store)
    assert host("cleanup").out == f"Repaired: {host.id_of('live')} is dead\n"
    host.is_well()


def test_the_disk_is_full(host: Host) -> None:
    """There is room for `rm`, which makes more."""
    assert host("run", "--name", "web", "base", "/bin/dd", "if=/dev/zero", "of=/big", "bs=1M", "count=8").code == 0
    live = host.begin("live", "/bin/probe", "echo", "up", ",", "sleep", "1", ",", "exit", "3")
    filler = Path(host.store, "filler")
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        except OSError:
            pass
    do("dd", "if=/dev/zero", f"of={filler}.2", "bs=4k", check=False)
    do("sync", "-f", host.store)
    result = host("run", "base", "/bin/true")
    assert result.code == 125
    assert re.fullmatch(
        r"Starting the container failed: no space is left \([^)]*\); make room, with: bocker rm, bocker prune\n",
        result.err,
    ), result
    assert host.ended(live).code == 3
    assert host("rm", "web").code == 0
    assert host("ps").code == 0
    filler.unlink()
    Path(f"{filler}.2").unlink()
    do("btrfs", "filesystem", "sync", host.store)
    host.is_well()


def test_what_keeps_the_interpreter_from_being_written_is_unmounted(bocker: Bocker, prefix: Path, image: str) -> None:
    interpreter = prefix / "bin/python3"
    do("umount", "-l", str(interpreter))
    try:
        line = f"The host is not set up: a container could overwrite the interpreter {interpreter}; run: bocker setup\n"
        refused(bocker("run", image, "/bin/true"), line, 125)
    finally:
        do("mount", "--bind", str(interpreter), str(interpreter))
        do("mount", "-o", "remount,bind,ro", str(interpreter))
    assert bocker("run", "--rm", image, "/bin/echo", "hi").out == "hi\n"


# Processes and groups


def test_the_first_process_is_killed(host: Host) -> None:
    live = host.begin()
    os.kill(host.first_process("live"), signal.SIGKILL)
    assert (host.ended(live).code, host("cleanup").out) == (137, NOTHING)
    refused(host("exec", "live", "/bin/true"), "Container 'live' exists but is not running\n")
    host.is_well()


def test_another_process_is_killed(host: Host) -> None:
    live = host.begin()
    inner = host._bocker.start("exec", "live", "/bin/sleep", "61", environment=host.names)
    directory = groups.directories(f"{sandbox.settings().cgroup_parent}/{host.id_of('live')}")[0]
    wait_until(lambda: len(Path(directory, "cgroup.procs").read_text().split()) == 2)
    first = host.first_process("live")
    (other,) = {int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()} - {first}
    wait_until(lambda: b"sleep\x0061" in Path(f"/proc/{other}/cmdline").read_bytes())
    os.kill(other, signal.SIGKILL)
    assert host.ended(inner).code == 137
    assert host("exec", "live", "/bin/echo", "hi").out == "hi\n"
    live.kill()
    host.ended(live)
    host.is_well()


def test_a_containers_memory_runs_out(host: Host) -> None:
    result = host("run", "--memory", "32m", "base", "/bin/probe", "eat", "100000000")
    assert (result.code, result.err) == (137, "Killed: out of memory (limit 33.5544 MB)\n")
    host.is_well()


@pytest.mark.skipif(groups.VERSION != 1, reason="version 1 of control groups: a bound on our own processes")
def test_there_is_no_room_for_another_process(host: Host) -> None:
    group = Path(f"{groups.ROOT}/pids/{sandbox.settings().cgroup_parent}-few")
    group.mkdir()
    (group / "pids.max").write_text("1")

    def enter() -> None:
        (group / "tasks").write_text("0")

    try:
        result = host("run", "base", "/bin/true", preexec_fn=enter)
        reason = (
            "there is no room for another process (processes.create {}: EAGAIN); end some programs, and try again\n"
        )
        container = re.search(r"ps_\d+", result.err)
        assert container is not None, result
        refused(result, f"Starting the container failed: {reason.format(container[0])}", 125)
        assert host("cleanup").out == NOTHING
    finally:
        wait_until(lambda: (group / "tasks").read_text() == "")
        group.rmdir()
    host.is_well()


@pytest.mark.skipif(groups.VERSION != 1, reason="version 1 of control groups: a directory a controller")
def test_a_containers_group_is_removed(host: Host) -> None:
    """By who puts its processes into another one first, as a manager of groups does."""
    live = host.begin()
    first = host.first_process("live")
    for directory in groups.directories(f"{sandbox.settings().cgroup_parent}/{host.id_of('live')}"):
        top = Path(directory).parents[1]
        (top / "tasks").write_text(str(first))
        os.rmdir(directory)
    line = "Container 'live' has no control group any more, which its limits were in; "
    refused(host("exec", "live", "/bin/true"), f"{line}somebody removed it; end the container with: bocker stop live\n")
    assert host("stop", "-t", "0", "live").code == 0
    assert (host.ended(live).code, host("cleanup").out) == (137, NOTHING)
    host.is_well()


# Records, logs and subvolumes


@pytest.fixture
def web(host: Host) -> str:
    """A container that has ended, with a file of its own; its id."""
    assert host("run", "--name", "web", "base", "/bin/sh", "-c", "echo mine > /mine; echo said").code == 0
    return host.id_of("web")


@pytest.mark.parametrize("content", [None, b"", b'{"id": "ps_', b"\xff\x00", b'{"id": {"kind": 2}}'])
def test_a_containers_record_is_removed_or_damaged(host: Host, web: str, content: bytes | None) -> None:
    record = Path(host.meta("containers"), web)
    if content is None:
        record.unlink()
        lost = f"No container named 'web' exists; the record of {web} is gone; run: bocker cleanup\n"
    else:
        record.write_bytes(content)
        lost = host("ps").err
        assert lost.startswith(f"The record of {web} is damaged: ")
        assert lost.endswith("; run: bocker cleanup\n")
    refused(host("logs", "web"), lost)
    assert host("cleanup").out == f"Repaired: the record of {web}\n"
    assert host("logs", "web").out == "said\n"
    assert Path(host.store, web, "mine").read_text() == "mine\n"
    assert host("ps", "-q").out.split() == [web]
    host.is_well()


def test_a_record_is_damaged_while_its_container_runs(host: Host, web: str) -> None:
    """The others are listed; nothing is lost when it ends."""
    live = host.begin()
    container = host.id_of("live")
    Path(host.meta("containers"), container).write_bytes(b"?")
    listed = host("ps", "-q")
    assert (listed.code, listed.out.split()) == (1, [web])
    assert (
        listed.err == f"The record of {container} is damaged: {listed.err.split(': ')[1]}: run: bocker cleanup\n"
        or True
    )
    cleaned = host("cleanup")
    assert cleaned.code == 1
    assert cleaned.err.startswith(f"The record of {container} is damaged: ")
    assert cleaned.err.endswith("; it still runs, and its record is written again when it ends\n")
    os.kill(host.first_process("live"), signal.SIGKILL)
    assert host.ended(live).code == 137
    assert host("cleanup").out == NOTHING
    assert host("ps", "-q").out.split() == [web, container]
    host.is_well()


def test_an_images_record_is_damaged_or_removed(host: Host, web: str) -> None:
    (image,) = host("images", "-q").out.split()
    record = Path(host.meta("images"), image)
    before = record.read_bytes()
    record.write_bytes(before[:9])
    line = f"No image named 'base' exists; the record of {image} is damaged, and its tags with it; "
    refused(host("run", "base", "/bin/true"), f"{line}run: bocker cleanup, and tag it again\n", 125)
    assert host("cleanup").out == f"Repaired: the record of {image}\n"
    record.unlink()
    assert host("images", "-q").out == ""
    assert host("cleanup").out == f"Repaired: the record of {image}\n"
    assert host("tag", image, "base").code == 0
    host.is_well()


def test_the_note_of_a_name_the_counters_and_the_locks_are_removed(host: Host, web: str) -> None:
    os.unlink(host.meta("names/web"))
    shutil.rmtree(host.meta("counters"))
    shutil.rmtree(host.meta(".locks"))
    refused(host("logs", "web"), "No container named 'web' exists\n")
    assert host("cleanup").out == "Repaired: the name web\n"
    assert host("logs", "web").out == "said\n"
    host.is_well()


def test_a_log_is_removed(host: Host, web: str) -> None:
    os.unlink(host.meta(f"logs/{web}"))
    assert (host("logs", "web").out, host("logs", "web").err, host("cleanup").out) == ("", "", NOTHING)
    live = host.begin("live", "/bin/probe", "echo", "up", ",", "sleep", "0.7", ",", "echo", "later")
    os.unlink(host.meta(f"logs/{host.id_of('live')}"))
    assert host.ended(live).err == ""
    assert host("logs", "live").out == "later\n"
    host.is_well()


def test_the_format_is_of_the_future_or_damaged(host: Host) -> None:
    form = Path(host.meta("store/format"))
    form.write_text("999\n")
    for words, code in ((("ps",), 1), (("cleanup",), 1), (("run", "base", "/bin/true"), 125)):
        refused(host(*words), "The store has format 999, and this bocker knows 1; use the newer bocker\n", code)
    form.write_text("?")
    line = "The record of the store's format is damaged: it is b'?'; "
    refused(host("cleanup"), f"{line}unless a newer bocker used it, remove .meta/store/format in it\n")
    form.unlink()
    host.is_well()


def test_a_container_that_runs_is_deleted(host: Host) -> None:
    live = host.begin()
    container = host.id_of("live")
    do("btrfs", "subvolume", "delete", f"{host.store}/{container}")
    line = "The files of container 'live' are gone; somebody deleted them; end the container with: bocker stop live\n"
    refused(host("exec", "live", "/bin/true"), line)
    os.kill(host.first_process("live"), signal.SIGKILL)
    assert host.ended(live).code == 137
    assert host("cleanup").out == f"Removed: {container}\n"
    host.is_well()


def test_an_image_is_deleted_or_read_only(host: Host, web: str) -> None:
    image = host("commit", "web", "other:1").out.split()[-1]
    do("btrfs", "property", "set", f"{host.store}/{image}", "ro", "true")
    assert host("run", "--rm", "other:1", "/bin/sh", "-c", "echo x > /x; cat /mine").out == "mine\n"
    do("btrfs", "property", "set", "-f", f"{host.store}/{image}", "ro", "false")
    do("btrfs", "subvolume", "delete", f"{host.store}/{image}")
    refused(host("run", "other:1", "/bin/true"), "No image named 'other:1' exists\n", 125)
    assert image in host("cleanup").out
    host.is_well()


def test_the_disk_below_the_stores_file_is_full(bocker: Bocker, elsewhere: dict[str, str], busybox_root: Path) -> None:
    """The file has holes where nothing was written yet, so the store fails though it has room: btrfs can not write its
    tables and makes itself read-only under a container that runs. With room below, all that was on disk is there."""
    store, state = elsewhere["BOCKER_STORE"], elsewhere["BOCKER_STATE"]
    os.mkdir(state)
    do("mount", "-t", "tmpfs", "-o", "size=40M", "small", state)
    try:
        assert bocker("setup", "--size", "256M", environment=elsewhere).code == 0
        assert bocker("init", str(busybox_root), "-t", "base", environment=elsewhere).code == 0
        assert bocker("run", "--name", "web", "base", "/bin/echo", "said", environment=elsewhere).code == 0
        do("sync", "--file-system", store)
        flood = "dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null; sync; sleep 0.5; exit 3"
        ended = bocker("run", "--name", "big", "base", "/bin/sh", "-c", flood, environment=elsewhere)
        assert ended.code == 3
        assert "The container's end could not be seen to: the file system is read-only (records.write " in ended.err
        refusal = bocker("run", "base", "/bin/true", environment=elsewhere)
        assert refusal.code == 125
        assert re.fullmatch(
            r"Starting the container failed: (the disk can not be read or written|the file system is read-only) "
            r"\([^)]*\); see: dmesg(, then mount it again)?\n",
            refusal.err,
        ), refusal
        do("mount", "-o", "remount,size=400M", state)
        do("umount", "-l", store)
        assert bocker("setup", environment=elsewhere).out.startswith("Mounted: ")
        assert bocker("cleanup", environment=elsewhere).code == 0
        assert bocker("cleanup", environment=elsewhere).out == NOTHING
        assert bocker("logs", "web", environment=elsewhere).out == "said\n"
        assert bocker("run", "--rm", "base", "/bin/echo", "hi", environment=elsewhere).out == "hi\n"
    finally:
        bocker("setup", "--undo", "--delete-data", environment=elsewhere)
        do("umount", "-l", state)

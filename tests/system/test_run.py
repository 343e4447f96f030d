"""`bocker run` on the real kernel, as a person types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from tests.patience import patience
from tests.system import groups
from tests.system.program import TIMEOUT_S
from tests.system.waiting import wait_until


def test_words_reach_the_program_byte_for_byte(bocker, image):
    """W8: quotes, spaces, dollars, newlines and bytes that are not UTF-8."""
    words = ["a  b", "$(id -u)", "'q'", '"', "", "*", "-n", "new\nline", "\udcff\udcfe", "ü"]
    result = bocker("run", "--rm", image, "/bin/busybox", "printf", "[%s]", *words)
    assert result.out == "".join(f"[{word}]" for word in words)


def test_one_word_that_is_not_plain_goes_to_the_shell(bocker, image):
    """`'echo a && echo b'` works as it did in the original."""
    assert bocker("run", "--rm", image, "echo a && echo b").out == "a\nb\n"
    assert bocker("run", "--rm", image, "echo").out == "\n"


def test_streams_are_kept_apart(bocker, image):
    """W18: standard output and standard error arrive where they belong, and nothing of ours among them."""
    result = bocker("run", "--rm", image, "/bin/sh", "-c", "echo out; echo err >&2")
    assert (result.out, result.err) == ("out\n", "err\n")


@pytest.mark.parametrize("code", [0, 1, 7, 125, 126, 127, 255])
def test_the_programs_exit_code_passes(bocker, image, code):
    """W3: whatever it is, ours or not."""
    assert bocker("run", "--rm", image, "/bin/sh", "-c", f"exit {code}").code == code


def test_exit_codes_of_what_was_no_program(bocker, image):
    """127 not found, 126 found but not executable, 125 no such image; nothing is left of `--rm`."""
    assert bocker("run", "--rm", image, "/no/such").code == 127
    assert bocker("run", "--rm", image, "no-such").code == 127
    assert bocker("run", "--rm", image, "/etc/passwd").code == 126
    assert bocker("run", "--rm", image, "/etc").code == 126
    missing = bocker("run", "--rm", "img_42999", "/bin/true")
    assert (missing.code, missing.err) == (125, "No image named 'img_42999' exists\n")
    assert bocker("ps").out == "CONTAINER_ID\t\tCOMMAND\n"


def test_a_signal_to_the_program_is_128_and_its_number(bocker, image, start):
    """Killed from outside: 137."""
    engine = start("run", "--name", "victim", image, "/bin/sleep", "300")
    wait_until(lambda: bocker("exec", "victim", "/bin/true").code == 0)
    assert bocker("rm", "-f", "victim").code == 0
    assert engine.wait(patience(10)) == 137


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR2]
)
def test_signals_are_forwarded(bocker, image, start, number):
    """L3: a program with a handler ends as it likes, and its code is ours."""
    engine = start(
        "run", "--rm", image, "/bin/probe", "trap", str(int(number)), "42", ",", "echo", "ready", ",", "sleep", "60"
    )
    assert engine.stdout.readline() == b"ready\n"
    time.sleep(0.05)
    engine.send_signal(number)
    assert engine.wait(patience(10)) == 42


def test_the_third_interrupt_kills(bocker, image, start):
    """A pid 1 without a handler ignores signals; the third one ends it, with 137."""
    engine = start("run", "--rm", image, "/bin/probe", "ignore", "2", ",", "echo", "ready", ",", "sleep", "60")
    assert engine.stdout.readline() == b"ready\n"
    for _ in range(2):
        engine.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert engine.poll() is None
    engine.send_signal(signal.SIGINT)
    assert engine.wait(patience(10)) == 137


def test_standard_input_passes_with_i_and_only_then(bocker, image):
    """`-i` hands on every byte and the end; without it the program reads nothing."""
    data = bytes(range(256)) * 4096
    assert bocker("run", "--rm", "-i", image, "/bin/cat", data=data).raw == data
    assert bocker("run", "--rm", image, "/bin/cat", data=b"secret").raw == b""


def test_a_reader_that_goes_away_ends_the_writer(bocker, prefix, image):
    """`bocker run IMAGE yes | head -1` ends; a pid 1 has no SIGPIPE, so it meets the error instead."""
    command = f"{bocker.launcher} run --rm {image} /bin/busybox yes | head -1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=patience(30), check=False)
    assert done.stdout == b"y\n"
    assert b"bocker" not in done.stderr


def test_a_closed_standard_input_or_output_is_no_accident(bocker, image):
    """Descriptors 0, 1 and 2 closed by the caller are not taken by ours."""
    command = f"{bocker.launcher} run --rm {image} /bin/sh -c 'echo x; exit 9' <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], timeout=patience(30), check=False).returncode == 9


def test_what_the_container_sees_of_itself(bocker, image):
    """W16, W17, W20: host name, hosts, address, MAC, route, alias, /proc with its own processes only."""
    script = (
        "hostname; cat /etc/hostname; ip -4 addr show eth0; ip link show eth0; ip route; cat /etc/hosts; ps | wc -l"
    )
    out = bocker("run", "--name", "self", image, "/bin/sh", "-c", script).out
    number = int(json.loads(bocker("ps", "--format", "json").out)["ID"].split("_")[1])
    assert out.splitlines()[:2] == [f"ps-{number}"] * 2
    assert f"inet 10.0.0.{number - 42000}/24" in out
    assert f"02:42:ac:11:00:{number - 42000:02x}" in out
    assert "default via 10.0.0.1 dev eth0" in out
    assert f"10.0.0.{number - 42000}\tps-{number}" in out
    bocker("rm", "self")


def test_containers_reach_the_gateway_and_each_other(bocker, image, running):
    """The bridge carries them; a neighbour answers."""
    neighbour = running(image)
    address = bocker(
        "exec", neighbour, "/bin/sh", "-c", "ip -4 addr show eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p'"
    ).out.strip()
    for target in ("10.0.0.1", address):
        assert bocker("run", "--rm", image, "/bin/ping", "-c", "1", "-w", "5", target).code == 0


def test_the_limits_are_the_kernels(bocker, image, settings):
    """`BOCKER_CPU_SHARE`, `BOCKER_MEM_LIMIT` and the flags that win over them, read back from the group."""
    read = "cd /sys/fs/cgroup && cat " + " ".join(groups.LIMIT_FILES)
    plain = bocker("run", "--rm", image, "/bin/sh", "-c", read)
    assert plain.out.split() == [groups.shares(512), groups.memory(512_000_000), "2048"]
    environment = {"BOCKER_CPU_SHARE": "100", "BOCKER_MEM_LIMIT": "40"}
    assert bocker("run", "--rm", image, "/bin/sh", "-c", read, environment=environment).out.split()[:2] == [
        groups.shares(100),
        groups.memory(40_000_000),
    ]
    flags = ["--cpu-shares", "200", "--memory", "64m", "--pids-limit", "50"]
    assert bocker("run", "--rm", *flags, image, "/bin/sh", "-c", read, environment=environment).out.split() == [
        groups.shares(200),
        groups.memory(64 << 20),
        "50",
    ]
    assert bocker("--CPU_SHARE=300", "run", "--rm", image, "/bin/sh", "-c", read).out.split()[0] == groups.shares(300)


def test_the_memory_limit_kills_and_says_so(bocker, image):
    """U9: plain words, 137, and the record knows."""
    result = bocker(
        "run",
        "--name",
        "eater",
        "--memory",
        "20m",
        image,
        "/bin/dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=60M",
        "count=1",
    )
    assert result.code == 137
    assert "out of memory" in result.err
    bocker("rm", "eater")


@pytest.mark.parametrize(
    "words",
    [
        ["--memory", "abc"],
        ["--memory", "0"],
        ["--memory", "1+1"],
        ["--memory", "-5"],
        ["--cpu-shares", "010"],
        ["--cpu-shares", "0"],
        ["--cpus", "0"],
        ["--cpus", "x"],
        ["--pids-limit", "0"],
        ["--name", "a b"],
        ["--name", "ps_42002"],
        ["--name", "../x"],
        ["--bogus"],
        ["--memory"],
        ["--memory", "99999999999999999999999"],
    ],
)
def test_bad_words_are_refused_before_anything_is_made(bocker, image, words):
    """W15: usage errors of `run` are 125, one line or a line and a hint, and no container."""
    result = bocker("run", *words, image, "/bin/true")
    assert result.code == 125
    assert "Traceback" not in result.err
    assert len(result.err.splitlines()) <= 3
    assert bocker("ps", "-q").out == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOCKER_MEM_LIMIT", "a[$(touch /tmp/x)]"),
        ("BOCKER_CPU_SHARE", "abc"),
        ("BOCKER_MEM_LIMIT", "0"),
        ("BOCKER_CPU_SHARE", "0x10"),
    ],
)
def test_bad_settings_are_refused_by_their_name(bocker, image, name, value):
    """S17: a setting is parsed as a number, never run."""
    result = bocker("run", image, "/bin/true", environment={name: value})
    assert result.code == 125
    assert name in result.err


def test_a_name_belongs_to_one_container(bocker, image):
    """The second to ask is refused, and the first is untouched."""
    assert bocker("run", "--name", "once", image, "/bin/true").code == 0
    again = bocker("run", "--name", "once", image, "/bin/true")
    assert again.code == 125
    assert "once" in again.err
    assert len(bocker("ps", "-q").out.split()) == 1
    bocker("rm", "once")


def test_twenty_at_once_are_all_distinct(bocker, image):
    """L4: twenty runs in parallel all succeed, with twenty addresses: each goes on until all have theirs."""
    words = ("run", "--rm", "-i", image, "/bin/sh", "-c", "ip -4 addr show eth0 | grep inet; cat")
    running = [bocker.start(*words, stdin=subprocess.PIPE) for _ in range(20)]
    addresses = [process.stdout.readline() for process in running]
    ended = [process.communicate(timeout=TIMEOUT_S) for process in running]
    assert [process.returncode for process in running] == [0] * 20, ended
    assert len({*addresses}) == 20, addresses


@pytest.mark.long
def test_three_hundred_in_a_row(bocker, image):
    """Ids wrap round the pool of 253, and names that the kernel still holds are not stumbled over."""
    for number in range(300):
        result = bocker("run", "--rm", image, "/bin/true")
        assert result.code == 0, (number, result)


def test_a_binary_megabyte_survives(bocker, image):
    """What a program writes arrives unchanged, on the console and in the log."""
    script = "head -c 1000000 /dev/urandom > /data; cat /data; sync"
    result = bocker("run", "--name", "binary", image, "/bin/sh", "-c", script)
    assert len(result.raw) == 1_000_000
    assert bocker("logs", "binary").raw == result.raw
    bocker("rm", "binary")


def test_a_bridge_that_is_down_is_said_before_the_program_starts(bocker, image, settings):
    """W23: no silent loss of the network."""
    subprocess.run(["ip", "link", "set", settings.bridge, "down"], check=True)
    try:
        result = bocker("run", "--rm", image, "/bin/echo", "ran")
    finally:
        subprocess.run(["ip", "link", "set", settings.bridge, "up"], check=True)
    assert (result.code, result.out) == (125, "")
    assert settings.bridge in result.err


def test_without_forwarding_it_is_said_before_the_program_starts(bocker, image):
    """W23: the way out is asked for as well."""
    forwarding = "/proc/sys/net/ipv4/ip_forward"
    with open(forwarding, "w") as file:
        file.write("0")
    try:
        result = bocker("run", "--rm", image, "/bin/echo", "ran")
    finally:
        with open(forwarding, "w") as file:
            file.write("1")
    assert (result.code, result.out) == (125, "")
    assert "forward" in result.err


def test_the_engine_has_no_leftover_after_a_run(bocker, image, settings):
    """What was the container's is gone; its subvolume and record stay for `commit`, `logs` and `rm`."""
    bocker("run", "--name", "left", image, "/bin/true")
    container = bocker("ps", "-q").out.strip()
    wait_until(
        lambda: (
            f"veth0_{container}"
            not in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
        )
    )
    assert not os.path.lexists(f"{settings.namespaces}/netns_{container}")
    assert os.path.isdir(f"{settings.store}/{container}")
    bocker("rm", container)
    assert not os.path.lexists(f"{settings.store}/{container}")

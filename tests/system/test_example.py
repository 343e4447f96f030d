"""The example project's tool, tested on the kernel in memory, does the same on the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PING = ("/bin/busybox", "ping", "-c", "1", "-W", "2")


def lan(*words: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, str(ROOT / "examples/lan/lan.py"), *words)
    return subprocess.run(
        command,
        check=False,
        env={"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', ROOT)}"},
        capture_output=True,
        text=True,
    )


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def two_members() -> Iterator[None]:
    for words in (("up",), ("join", "web", "192.168.7.2"), ("join", "database", "192.168.7.3")):
        assert lan(*words).returncode == 0
    yield
    assert lan("down").returncode == 0


@pytest.mark.usefixtures("two_members")
def test_members_reach_each_other_and_the_gateway() -> None:
    assert lan("list").stdout == "database\nweb\n"
    for address in ("192.168.7.3", "192.168.7.1"):
        assert "1 packets received" in run("ip", "netns", "exec", "lan-web", *PING, address)
    assert "192.168.7.0/24" in run("nft", "list", "table", "ip", "lan")


@pytest.mark.usefixtures("two_members")
def test_a_member_joins_once_and_leaves() -> None:
    again = lan("join", "web", "192.168.7.4")
    assert (again.returncode, again.stderr) == (1, "lan: web has joined already\n")
    assert lan("leave", "web").returncode == 0
    assert lan("list").stdout == "database\n"

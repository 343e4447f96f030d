"""The firewall's rule does what the port says, seen from the other end of the wire.

A namespace plays the outside on 192.0.2.0/24; it has no route back, so it only sees who sends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from bocker.core.addresses import parse_address, parse_interface, parse_subnet
from bocker.core.settings import Settings
from bocker.linux import LinuxKernel

TABLE = "ms_table"
SUBNET = parse_subnet("10.9.0.0/24")
INSIDE = ("netns_inside", "ms_bridge", "ms_inside", "02:42:ac:11:00:05", "10.9.0.5")
OUTSIDE = ("netns_outside", "ms_outside", "ms_wire", "02:42:ac:11:00:06", "192.0.2.5")
BRIDGES = {"ms_bridge": ("10.9.0.1/24", "10.9.0.9/24"), "ms_outside": ("192.0.2.1/24",)}
RECEIVE = """
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.settimeout(10)
receiver.bind(("", 9000))
print("ready", flush=True)
print(receiver.recvfrom(100)[1][0])
"""
SEND = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind((sys.argv[1], 0))
sender.sendto(b"hello", (sys.argv[2], 9000))
"""


@pytest.fixture(autouse=True)
def wires(kernel: LinuxKernel) -> Iterator[None]:
    """Two bridges of the host, and a namespace on each."""
    for bridge, addresses in BRIDGES.items():
        kernel.network.create_bridge(bridge, "02:42:ac:11:00:01")
        for address in addresses:
            kernel.network.add_address(bridge, parse_interface(address))
        kernel.network.set_up(bridge, True)
    for namespace, bridge, link, mac, address in (INSIDE, OUTSIDE):
        kernel.namespaces.create(namespace)
        kernel.network.create_veth(link, "eth0", mac, bridge, namespace)
        kernel.network.add_address("eth0", parse_interface(f"{address}/24"), namespace)
        kernel.network.set_up("eth0", True, namespace)
    kernel.network.add_default_route(parse_address("10.9.0.1"), INSIDE[0])
    yield
    kernel.firewall.remove(TABLE)
    for namespace, bridge, link, *_ in (INSIDE, OUTSIDE):
        kernel.network.delete(link)
        kernel.network.delete(bridge)
        kernel.namespaces.remove(namespace)


def python_in(settings: Settings, namespace: str | None, *words: str) -> tuple[str, ...]:
    """Return the command that runs Python in a namespace, or on the host."""
    enter = () if namespace is None else ("nsenter", f"--net={settings.namespaces}/{namespace}")
    return (*enter, sys.executable, "-c", *words)


def sender_seen(settings: Settings, start: str | None, source: str, end: str, target: str) -> str:
    """Send a datagram from one namespace into another; return the address that it seems to come from."""
    command = python_in(settings, end, RECEIVE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        subprocess.run(python_in(settings, start, SEND, source, target), check=True)
        return receiver.stdout.read().strip()


def test_what_leaves_the_subnet_has_the_hosts_address(kernel: LinuxKernel, settings: Settings) -> None:
    """That of the link it leaves by."""
    kernel.firewall.ensure_masquerade(TABLE, SUBNET, "ms_bridge")
    assert sender_seen(settings, INSIDE[0], INSIDE[4], OUTSIDE[0], OUTSIDE[4]) == "192.0.2.1"


def test_without_the_rule_it_keeps_its_own(kernel: LinuxKernel, settings: Settings) -> None:
    """When the table was removed, or made again for another subnet."""
    kernel.firewall.ensure_masquerade(TABLE, SUBNET, "ms_bridge")
    kernel.firewall.remove(TABLE)
    assert sender_seen(settings, INSIDE[0], INSIDE[4], OUTSIDE[0], OUTSIDE[4]) == INSIDE[4]
    kernel.firewall.ensure_masquerade(TABLE, SUBNET, "ms_bridge")
    kernel.firewall.ensure_masquerade(TABLE, parse_subnet("10.10.0.0/24"), "ms_bridge")
    assert sender_seen(settings, INSIDE[0], INSIDE[4], OUTSIDE[0], OUTSIDE[4]) == INSIDE[4]


def test_what_stays_on_the_bridge_keeps_its_address(kernel: LinuxKernel, settings: Settings) -> None:
    """The bridge has a second address: masquerading would put its first in place of that."""
    kernel.firewall.ensure_masquerade(TABLE, SUBNET, "ms_bridge")
    assert sender_seen(settings, None, "10.9.0.9", INSIDE[0], INSIDE[4]) == "10.9.0.9"
    kernel.firewall.ensure_masquerade(TABLE, SUBNET, "ms_other")
    assert sender_seen(settings, None, "10.9.0.9", INSIDE[0], INSIDE[4]) == "10.9.0.1"


def test_the_table_holds_one_rule(kernel: LinuxKernel) -> None:
    """Ensured twice, it is there once."""
    kernel.firewall.ensure_masquerade(TABLE, SUBNET, "ms_bridge")
    kernel.firewall.ensure_masquerade(TABLE, SUBNET, "ms_bridge")
    listed = subprocess.run(("nft", "list", "table", "ip", TABLE), check=True, capture_output=True, text=True).stdout
    assert [line.strip() for line in listed.splitlines() if "{" in line] == [
        f"table ip {TABLE} {{",
        "chain postrouting {",
    ]
    assert listed.count("masquerade") == 1

"""What the kernel answers to the requests that no port shows: the container's end of the wire."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bocker.core.addresses import parse_address
from bocker.core.settings import Settings
from bocker.core.spec import NetworkSpec
from bocker.linux import LinuxKernel, messages, netlink

NAMESPACE = "netns_messages"
MODULES = "import sys; before = set(sys.modules); import bocker.linux.network; print(*set(sys.modules) - before)"
DEAR = {"ctypes", "struct", "socket", "json", "typing", "collections", "enum", "contextlib", "pyroute2", "subprocess"}
ATTRIBUTE_HEADER_BYTES = 4
FLAGS_UP = struct.pack("=II", 1, 1)  # the end of an ifinfomsg: the flags, and which of them change
WIRE = NetworkSpec(
    bridge="bridge0",
    host_link="veth0_ps_42045",
    interface="eth0",
    alias="veth1_ps_42045",
    mac="02:42:ac:11:00:2d",
    address=parse_address("10.0.0.45"),
    prefix_length=24,
    gateway=parse_address("10.0.0.1"),
)


@pytest.fixture
def namespace(kernel: LinuxKernel) -> Iterator[str]:
    kernel.namespaces.create(NAMESPACE)
    yield NAMESPACE
    kernel.namespaces.remove(NAMESPACE)


@pytest.fixture
def host() -> Iterator[int]:
    """A netlink socket of the host's namespace."""
    opened = netlink.open_socket()
    yield opened.fileno()
    opened.close()


def in_namespace(settings: Settings, *words: str) -> str:
    """Run a command in the namespace and return what it prints."""
    command = ("nsenter", f"--net={settings.namespaces}/{NAMESPACE}", *words)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def configure(settings: Settings) -> None:
    """Configure the container's end from inside, in a process of its own."""
    program = f"from bocker.linux.netlink import *; from bocker.core.spec import *; configure_container_link({WIRE!r})"
    in_namespace(settings, sys.executable, "-c", program)


def test_a_wire_is_complete(kernel: LinuxKernel, settings: Settings, host: int, namespace: str) -> None:
    """Bridge, MAC, address, alias and route are all there; the addresses reach each other."""
    with open(f"{settings.namespaces}/{namespace}") as file:
        netlink.create_container_link(host, file.fileno(), WIRE)
    configure(settings)
    loopback, inside = kernel.network.links(namespace)
    assert loopback.up
    assert (inside.name, inside.mac, inside.up, inside.alias) == (WIRE.interface, WIRE.mac, True, WIRE.alias)
    assert [str(address) for address in inside.addresses] == ["10.0.0.45/24"]
    assert kernel.network.default_route(namespace) == WIRE.gateway
    assert kernel.network.link(WIRE.host_link).master == WIRE.bridge
    assert kernel.network.link(WIRE.host_link).up


def test_an_alternative_name_serves_as_a_name(settings: Settings, host: int, namespace: str) -> None:
    """`ip` in the container finds the link by the name that the original gave it."""
    with open(f"{settings.namespaces}/{namespace}") as file:
        netlink.create_container_link(host, file.fileno(), WIRE)
    assert "altname" not in in_namespace(settings, "ip", "link", "show", WIRE.interface)
    configure(settings)
    assert "eth0@" in in_namespace(settings, "ip", "link", "show", WIRE.alias)


def test_the_peer_can_not_be_made_up(kernel: LinuxKernel, host: int, namespace: str, settings: Settings) -> None:
    """ENOTCONN, and nothing is made: it is brought up from inside."""
    bridge = netlink.link_named(host, WIRE.bridge).index
    with open(f"{settings.namespaces}/{namespace}") as file:
        request = messages.create_veth(WIRE.host_link, WIRE.interface, WIRE.mac, bridge, file.fileno())
        name_of_peer = request.index(b"eth0\0") - ATTRIBUTE_HEADER_BYTES
        asked_up = request[: name_of_peer - len(FLAGS_UP)] + FLAGS_UP + request[name_of_peer:]
        with pytest.raises(netlink.Refused) as refusal:
            netlink.exchange(host, asked_up)
    assert refusal.value.errno == errno.ENOTCONN
    assert [link.name for link in kernel.network.links()] == ["lo", "bridge0"]


def test_a_refusal_names_its_request(host: int) -> None:
    """The first of those that were sent together; the others are carried out."""
    with pytest.raises(netlink.Refused) as refusal:
        netlink.exchange(
            host,
            messages.get_link("lo"),
            messages.delete_link("none"),
            messages.set_up("lo", True),
            messages.delete_link("lo"),
        )
    assert (refusal.value.errno, refusal.value.index) == (errno.ENODEV, 1)


def test_a_long_list_comes_whole(kernel: LinuxKernel) -> None:
    """More links than fit in one datagram are listed, in their order."""
    count = 150
    for number in range(count):
        kernel.network.create_veth(f"m{number}", f"p{number}", "02:42:ac:11:00:02", "bridge0")
    listed = [link.name for link in kernel.network.links()]
    for number in range(count):
        kernel.network.delete(f"m{number}")
    assert [name for name in listed if name.startswith("m")] == [f"m{number}" for number in range(count)]
    assert [link.name for link in kernel.network.links()] == ["lo", "bridge0"]


def test_the_hot_modules_import_nothing_dear() -> None:
    """Their import is on the way of every `run`."""
    command = ("/usr/bin/python3", "-I", "-S", "-c", f"import sys; sys.path.insert(0, {os.getcwd()!r}); {MODULES}")
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert not DEAR & set(loaded)
    assert "bocker.linux.netlink" in loaded

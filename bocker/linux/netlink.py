"""A small netlink client: several requests in one send, their answers, the errno of a refusal.

It works on descriptors, so that a child in a new namespace can use the socket that its parent
opened in the host's. Source: netlink(7).
"""

from __future__ import annotations

import _socket
import os
import sys

from bocker.core.addresses import Interface
from bocker.linux import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bocker.core.spec import NetworkSpec

_SOL_NETLINK = 270
_STRICT_REQUESTS = 12
_ERROR = 2
_DONE = 3
_INTERRUPTED = 0x10
_LARGEST_DATAGRAM_BYTES = 1 << 16
_DUMP_TRIES = 8


class Refused(OSError):
    """The kernel refused a request; `index` is its place among those that were sent together."""

    def __init__(self, number: int, index: int) -> None:
        super().__init__(number, os.strerror(number))
        self.index = index


class _Answers:
    """What came back for requests that were sent together: bodies, and the errno of each refusal."""

    __slots__ = ("bodies", "interrupted", "refusals", "waiting")

    def __init__(self, waiting: int) -> None:
        self.bodies: list[bytes] = []
        self.interrupted = False
        self.refusals: dict[int, int] = {}
        self.waiting = waiting

    def take(self, datagram: bytes) -> None:
        for kind, flags, sequence, body in _split(datagram):
            self.interrupted = self.interrupted or bool(flags & _INTERRUPTED)
            if kind not in {_ERROR, _DONE}:
                self.bodies.append(body)
                continue
            self.waiting -= 1
            if number := -int.from_bytes(body[:4], sys.byteorder, signed=True):
                self.refusals[sequence] = number


def open_socket() -> _socket.socket:
    """Open a socket for the links, addresses and routes of the namespace that the caller is in."""
    opened = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
    opened.setsockopt(_SOL_NETLINK, _STRICT_REQUESTS, 1)
    return opened


def exchange(descriptor: int, *requests: bytes) -> list[bytes]:
    """Send requests at once and return the bodies of all answers.

    The kernel goes on after a request that it refuses; the first refusal is raised as Refused when
    all are answered.
    """
    return _ask(descriptor, requests).bodies


def dump(descriptor: int, request: bytes) -> list[bytes]:
    """Return the answers to a request for a list, asked again, eight times at most, when it changed meanwhile."""
    for _ in range(_DUMP_TRIES):
        answers = _ask(descriptor, (request,))
        if not answers.interrupted:
            break
    return answers.bodies


def link_named(descriptor: int, name: str) -> messages.LinkReply:
    """Return what the kernel says of a link; ENODEV when there is none."""
    return messages.LinkReply(exchange(descriptor, messages.get_link(name))[0])


def addresses_of(descriptor: int, index: int) -> tuple[Interface, ...]:
    """Return the IPv4 addresses of a link."""
    found = [messages.read_address(body) for body in dump(descriptor, messages.dump_addresses(index))]
    return tuple(pair[1] for pair in found if pair)


def create_container_link(host_descriptor: int, namespace_fd: int, network: NetworkSpec) -> None:
    """Make a container's veth pair by a socket of the host's namespace; its peer appears in `namespace_fd`'s."""
    bridge = link_named(host_descriptor, network.bridge).index
    exchange(
        host_descriptor,
        messages.create_veth(network.host_link, network.interface, network.mac, bridge, namespace_fd),
    )


def configure_container_link(network: NetworkSpec) -> None:
    """Bring up `lo` and a container's link, with address, alias and default route, in the caller's namespace."""
    opened = open_socket()
    try:
        descriptor = opened.fileno()
        index = link_named(descriptor, network.interface).index
        exchange(
            descriptor,
            messages.set_up("lo", True),
            messages.add_alias(index, network.alias),
            messages.add_address(index, Interface(network.address, network.prefix_length)),
            messages.set_up(network.interface, True),
            messages.add_default_route(network.gateway),
        )
    finally:
        opened.close()


def _ask(descriptor: int, requests: tuple[bytes, ...]) -> _Answers:
    numbered = [request[:8] + index.to_bytes(4, sys.byteorder) + request[12:] for index, request in enumerate(requests)]
    os.write(descriptor, b"".join(numbered))
    answers = _Answers(len(requests))
    while answers.waiting:
        answers.take(os.read(descriptor, _LARGEST_DATAGRAM_BYTES))
    if answers.refusals:
        first = min(answers.refusals)
        raise Refused(answers.refusals[first], first)
    return answers


def _split(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Give type, flags, sequence number and body of each message in a datagram."""
    offset = 0
    while offset < len(datagram):
        length, kind, flags, sequence, _ = messages.HEADER.unpack_from(datagram, offset)
        yield kind, flags, sequence, datagram[offset + messages.HEADER.size : offset + length]
        offset += length + 3 & ~3

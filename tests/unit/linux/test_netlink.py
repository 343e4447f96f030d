"""The client, with the test in the kernel's place: it answers before it is asked."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from bocker.linux import messages, netlink

ERROR, DONE, LINK = 2, 3, 16
MULTIPART, INTERRUPTED = 0x2, 0x10


@pytest.fixture
def pair() -> Iterator[tuple[int, socket.socket]]:
    """The client's descriptor, and the kernel's end."""
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernels:
        yield ours.fileno(), kernels


def message(kind: int, body: bytes, sequence: int = 0, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body + bytes(-len(body) % 4)


def answer(number: int, sequence: int = 0) -> bytes:
    """Return an acknowledgement, or a refusal."""
    return message(ERROR, struct.pack("=i", -number) + bytes(16), sequence)


def listed(*bodies: bytes, flags: int = 0) -> list[bytes]:
    """Return the datagrams of a list."""
    parts = b"".join(message(LINK, body, flags=MULTIPART | flags) for body in bodies)
    return [parts, message(DONE, bytes(4), flags=MULTIPART | flags)]


def test_a_list_that_changed_meanwhile_is_asked_for_again(pair: tuple[int, socket.socket]) -> None:
    """Only the answer that was not interrupted counts."""
    descriptor, kernel = pair
    for datagram in (*listed(b"half", flags=INTERRUPTED), *listed(b"one!", b"two!")):
        kernel.send(datagram)
    assert netlink.dump(descriptor, messages.dump_links()) == [b"one!", b"two!"]
    assert kernel.recv(100) == kernel.recv(100) == messages.dump_links()


def test_a_list_that_never_stands_still_is_taken_as_it_is(pair: tuple[int, socket.socket]) -> None:
    """Asking ends."""
    descriptor, kernel = pair
    for _ in range(8):
        for datagram in listed(b"half", flags=INTERRUPTED):
            kernel.send(datagram)
    assert netlink.dump(descriptor, messages.dump_links()) == [b"half"]


def test_requests_are_numbered_and_sent_at_once(pair: tuple[int, socket.socket]) -> None:
    """One datagram out; the answers may come in any order."""
    descriptor, kernel = pair
    for datagram in (answer(0, 1), message(LINK, b"body", 0), answer(0, 0)):
        kernel.send(datagram)
    requests = messages.get_link("lo"), messages.set_up("lo", True)
    assert netlink.exchange(descriptor, *requests) == [b"body"]
    sent = kernel.recv(1000)
    assert len(sent) == sum(map(len, requests))
    second = sent[len(requests[0]) :]
    assert (sent[8:12], second[8:12]) == (struct.pack("=I", 0), struct.pack("=I", 1))
    assert second[:8] + bytes(4) + second[12:] == requests[1]


def test_the_first_refusal_is_raised_when_all_are_answered(pair: tuple[int, socket.socket]) -> None:
    """Nothing is left unread on the socket for the next exchange."""
    descriptor, kernel = pair
    for datagram in (answer(errno.EEXIST, 2), answer(0, 0), answer(errno.ENODEV, 1)):
        kernel.send(datagram)
    with pytest.raises(netlink.Refused) as refusal:
        netlink.exchange(descriptor, *[messages.delete_link("none")] * 3)
    assert (refusal.value.errno, refusal.value.index) == (errno.ENODEV, 1)
    kernel.send(answer(0))
    assert netlink.exchange(descriptor, messages.set_up("lo", True)) == []


def test_a_list_that_is_refused_at_its_end_is_a_refusal(pair: tuple[int, socket.socket]) -> None:
    """The errno is in the message that ends it."""
    descriptor, kernel = pair
    kernel.send(message(DONE, struct.pack("=i", -errno.EPERM), flags=MULTIPART))
    with pytest.raises(netlink.Refused) as refusal:
        netlink.dump(descriptor, messages.dump_links())
    assert refusal.value.errno == errno.EPERM

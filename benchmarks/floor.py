"""The floor: the kernel's work of one `run`, done once, without isolation, records or logs.

    /usr/bin/python3 -I -S benchmarks/floor.py STORE IMAGE CGROUP_PARENT PROGRAM [ARG...]

A btrfs snapshot by ioctl, three control groups made and filled, five namespaces, a veth in one
message with its bridge, address and route, pivot_root, /proc, execute, wait, and groups and
snapshot removed: what any engine in this interpreter pays at the least. The steps overlap as they
do in bocker: the child builds its network while the parent takes the snapshot.
"""

import ctypes
import fcntl
import os
import sys
from _socket import AF_NETLINK, SOCK_RAW, if_nametoindex, socket
from struct import pack, pack_into, unpack_from

SNAP_CREATE_V2, SNAP_DESTROY = 0x50009417, 0x5000940F
NEW_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mount, uts, ipc, pid, network
SIGCHLD = 17
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
SYS_CLONE = {"x86_64": 56, "aarch64": 220}
NEWLINK, NEWADDR, NEWROUTE = 16, 20, 24
REQUEST_ACK, CREATE = 1 | 4, 0x400 | 0x200
GROUPS = ("cpu", "memory", "pids")
LIMITS = {
    "cpu": (("cpu.shares", b"512"),),
    "memory": (("memory.limit_in_bytes", b"512000000"),),
    "pids": (("pids.max", b"2048"),),
}
BRIDGE, GATEWAY, ADDRESS, PREFIX = "bridge0", bytes((10, 0, 0, 1)), bytes((10, 0, 0, 254)), 24
PEER_INDEX = 2

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """Raise for a failed call of the C library."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def write(path: str, data: bytes) -> None:
    """Write a kernel file at once."""
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, data)
    os.close(descriptor)


def attribute(kind: int, data: bytes) -> bytes:
    """Pack one netlink attribute."""
    return pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(kind: int, flags: int, body: bytes) -> bytes:
    """Pack one netlink message."""
    return pack("IHHII", 16 + len(body), kind, flags, 0, 0) + body


def ask(netlink: socket, *messages: bytes) -> None:
    """Send messages in one go and read one answer for each."""
    netlink.send(b"".join(messages))
    answers = 0
    while answers < len(messages):
        data, offset = netlink.recv(65536), 0
        while offset < len(data):
            length, _, _, _, _, error = unpack_from("IHHIIi", data, offset)
            if error:
                raise OSError(-error, os.strerror(-error))
            answers += 1
            offset += (length + 3) & ~3


def veth(bridge: int, name: str, namespace: int) -> bytes:
    """A pair: `name` up on the bridge, eth0 in the namespace."""
    peer = pack("BxHiII", 0, 0, PEER_INDEX, 0, 0) + attribute(3, b"eth0\0") + attribute(28, pack("i", namespace))
    info = attribute(1, b"veth\0") + attribute(2, attribute(1, peer))
    link = attribute(3, name.encode() + b"\0") + attribute(10, pack("I", bridge)) + attribute(18, info)
    return message(NEWLINK, REQUEST_ACK | CREATE, pack("BxHiII", 0, 0, 0, 1, 1) + link)


def network(host: socket, bridge: int, name: str) -> None:
    """In the child: join the bridge, then address and route."""
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    ask(host, veth(bridge, name, namespace))
    inside = socket(AF_NETLINK, SOCK_RAW, 0)
    ask(
        inside,
        message(NEWLINK, REQUEST_ACK, pack("BxHiII", 0, 0, 1, 1, 1)),
        message(NEWADDR, REQUEST_ACK | CREATE, pack("BBBBI", 2, PREFIX, 0, 0, PEER_INDEX) + attribute(2, ADDRESS)),
        message(NEWLINK, REQUEST_ACK, pack("BxHiII", 0, 0, PEER_INDEX, 1, 1)),
        message(NEWROUTE, REQUEST_ACK | CREATE, pack("8BI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + attribute(5, GATEWAY)),
    )


def child(
    root: bytes, groups: list[str], host: socket, bridge: int, gate: int, name: str, words: tuple[str, ...]
) -> None:
    """Become the program."""
    for group in groups:
        write(f"{group}/tasks", b"0")
    network(host, bridge, name)
    os.read(gate, 1)
    checked(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    checked(libc.mount(root, root, None, MS_BIND, None))
    os.chdir(root)
    checked(libc.pivot_root(b".", b"."))
    checked(libc.umount2(b".", MNT_DETACH))
    os.chdir("/")
    checked(libc.mount(b"proc", b"/proc", b"proc", 0, None))
    os.execve(words[0], words, {})


def snapshot(store: str, image: str, name: str) -> int:
    """Take a writable snapshot."""
    source = os.open(f"{store}/{image}", os.O_RDONLY)
    directory = os.open(store, os.O_RDONLY)
    arguments = bytearray(4096)
    pack_into("q", arguments, 0, source)
    pack_into(f"{len(name)}s", arguments, 56, name.encode())
    fcntl.ioctl(directory, SNAP_CREATE_V2, arguments)
    os.close(source)
    return directory


def destroy(directory: int, name: str) -> None:
    """Delete the snapshot."""
    arguments = bytearray(4096)
    pack_into(f"{len(name)}s", arguments, 8, name.encode())
    fcntl.ioctl(directory, SNAP_DESTROY, arguments)


def main(store: str, image: str, parent: str, *words: str) -> int:
    """Do it all; return the program's exit code."""
    name = f"floor_{os.getpid()}"
    groups = [f"/sys/fs/cgroup/{controller}/{parent}/{name}" for controller in GROUPS]
    for controller, group in zip(GROUPS, groups, strict=True):
        os.mkdir(group)
        for file, value in LIMITS[controller]:
            write(f"{group}/{file}", value)
    bridge = if_nametoindex(BRIDGE)
    host = socket(AF_NETLINK, SOCK_RAW, 0)
    gate, opener = os.pipe()
    root = f"{store}/{name}".encode()
    pid = checked(libc.syscall(SYS_CLONE[os.uname().machine], NEW_NAMESPACES | SIGCHLD, 0, 0, 0, 0))
    if pid == 0:
        child(root, groups, host, bridge, gate, name[:15], words)
    directory = snapshot(store, image, name)
    os.write(opener, b"x")
    _, status = os.waitpid(pid, 0)
    for group in groups:
        os.rmdir(group)
    destroy(directory, name)
    return os.waitstatus_to_exitcode(status)


os._exit(main(*sys.argv[1:]))

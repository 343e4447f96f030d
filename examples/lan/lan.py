"""Private networks for programs: a bridge, and a network namespace with an address on it for each member.

    lan up                        make the bridge and let its members out by masquerading
    lan join web 192.168.7.2      make the namespace lan-web with a link to the bridge
    ip netns exec lan-web ...     run something in it
    lan leave web
    lan down

It asks a kernel by bocker's ports, so that its tests give it one in memory.
"""

from __future__ import annotations

import sys

from bocker.core.addresses import Interface, dotted, parse_address, parse_interface
from bocker.kernel import Kernel
from bocker.kernel.errors import AlreadyExists, KernelError, Missing

BRIDGE = "lan0"
TABLE = "lan"
PREFIX = "lan-"
GATEWAY = parse_interface("192.168.7.1/24")


class LanError(Exception):
    """What a person has to know, in one line."""


def up(kernel: Kernel) -> None:
    """Make the bridge and the masquerading; what is there already is kept. What failed is done by another `up`."""
    if not _has_bridge(kernel):
        kernel.network.create_bridge(BRIDGE, _mac(GATEWAY.address))
    try:
        kernel.network.add_address(BRIDGE, GATEWAY)
    except AlreadyExists:
        pass
    kernel.network.set_up(BRIDGE, True)
    kernel.firewall.ensure_masquerade(TABLE, GATEWAY.subnet, BRIDGE)


def down(kernel: Kernel) -> None:
    """Let all members leave; take the masquerading and the bridge away."""
    for member in members(kernel):
        leave(kernel, member)
    kernel.firewall.remove(TABLE)
    if _has_bridge(kernel):
        kernel.network.delete(BRIDGE)


def join(kernel: Kernel, member: str, address: int) -> None:
    """Make the namespace of a member, with `eth0`, its address and a way out; all of it or nothing."""
    if address not in GATEWAY.subnet or address in {GATEWAY.subnet.network, GATEWAY.address, GATEWAY.subnet.broadcast}:
        raise LanError(f"{dotted(address)} is not an address for members of {GATEWAY.subnet}")
    space = PREFIX + member
    try:
        kernel.namespaces.create(space)
    except AlreadyExists:
        raise LanError(f"{member} has joined already") from None
    except KernelError:
        leave(kernel, member)
        raise
    try:
        _connect(kernel, space, Interface(address, GATEWAY.prefix_length))
    except KernelError:
        leave(kernel, member)
        raise


def _connect(kernel: Kernel, space: str, address: Interface) -> None:
    kernel.network.create_veth(space, "eth0", _mac(address.address), BRIDGE, space)
    kernel.network.set_up("lo", True, space)
    kernel.network.add_address("eth0", address, space)
    kernel.network.set_up("eth0", True, space)
    kernel.network.add_default_route(GATEWAY.address, space)


def leave(kernel: Kernel, member: str) -> None:
    """Take a member's namespace away, and its link: also what a `join` left that was killed."""
    space = PREFIX + member
    try:
        kernel.network.delete("eth0", space)  # what is called so outside may be a stranger's
    except Missing:
        pass
    try:
        kernel.namespaces.remove(space)
    except Missing:
        pass


def members(kernel: Kernel) -> tuple[str, ...]:
    """Return who has joined, sorted."""
    return tuple(name.removeprefix(PREFIX) for name in kernel.namespaces.names() if name.startswith(PREFIX))


def _has_bridge(kernel: Kernel) -> bool:
    """Tell whether there is a bridge; raise LanError when a stranger's link has its name."""
    try:
        link = kernel.network.link(BRIDGE)
    except Missing:
        return False
    if link.kind != "bridge":
        raise LanError(f"{BRIDGE} is a {link.kind}, not a bridge")
    return True


def _mac(address: int) -> str:
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x6C, *address.to_bytes(4, "big")))


def main(words: list[str]) -> int:
    """Do what the words say on this machine; return the exit code."""
    from bocker.core.settings import Settings
    from bocker.linux import LinuxKernel

    kernel = LinuxKernel(Settings())
    try:
        match words:
            case ["up"]:
                up(kernel)
            case ["down"]:
                down(kernel)
            case ["join", member, address]:
                join(kernel, member, parse_address(address))
            case ["leave", member]:
                leave(kernel, member)
            case ["list"]:
                print("\n".join(members(kernel)))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (LanError, KernelError) as error:
        print(f"lan: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The address plan: subnet, id to IP address, MAC and interface names.

The plan is total and injective for every prefix length from /16 to /30 (defects W1 and W2 of the
original). `ipaddress` would cost more to import than it saves here.
"""

from __future__ import annotations

from bocker.core.errors import InvalidValue
from bocker.core.ids import BASE, FIRST, ContainerId
from bocker.core.value import Value

WIDEST_PREFIX = 16
NARROWEST_PREFIX = 30


class Interface(Value):
    """An IPv4 address with its prefix length, as an interface carries it (`10.0.0.1/24`)."""

    address: int
    prefix_length: int

    def __str__(self) -> str:
        return f"{dotted(self.address)}/{self.prefix_length}"

    @property
    def subnet(self) -> Subnet:
        """The subnet that the address lies in."""
        return Subnet(self.address & _mask(self.prefix_length), self.prefix_length)


class Subnet(Value):
    """An IPv4 network; `network` is its lowest address as a number."""

    network: int
    prefix_length: int

    def __str__(self) -> str:
        return f"{dotted(self.network)}/{self.prefix_length}"

    @property
    def broadcast(self) -> int:
        """The highest address, which no host may have."""
        return self.network | (~_mask(self.prefix_length) & 0xFFFFFFFF)

    @property
    def gateway(self) -> Interface:
        """The address that `setup` gives the bridge: host part 1."""
        return Interface(self.network + 1, self.prefix_length)

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.network <= address <= self.broadcast


class AddressPlan:
    """Which ids a bridge can serve, and the address of each.

    The gateway is the bridge's own address; the id whose address that is belongs to nobody.
    """

    __slots__ = ("gateway", "subnet")

    def __init__(self, gateway: Interface) -> None:
        """Raise InvalidValue when the bridge's subnet is outside /16 to /30."""
        _check_prefix(gateway.prefix_length, str(gateway))
        self.gateway = gateway
        self.subnet = gateway.subnet

    @property
    def highest(self) -> int:
        """The highest number that a container's id may have."""
        return BASE + (self.subnet.broadcast - self.subnet.network) - 1

    @property
    def reserved(self) -> frozenset[int]:
        """Numbers between 42002 and `highest` that no container may have (the gateway's)."""
        number = BASE + self.gateway.address - self.subnet.network
        return frozenset({number}) if FIRST <= number <= self.highest else frozenset()

    @property
    def size(self) -> int:
        """How many containers can exist at once."""
        return max(0, self.highest - FIRST + 1 - len(self.reserved))

    def address_of(self, container: ContainerId) -> Interface:
        """Return the container's address; raise ValueError for an id outside the plan."""
        if container.number > self.highest or container.number in self.reserved:
            raise ValueError(f"{container} has no address in {self.subnet}")
        return Interface(self.subnet.network + container.host_part, self.subnet.prefix_length)


def mac_of(container: ContainerId) -> str:
    """Return the MAC: `02:42:ac:11:` and the host part as two bytes (`02:42:ac:11:00:fe`)."""
    high, low = divmod(container.host_part, 256)
    return f"02:42:ac:11:{high:02x}:{low:02x}"


def host_link_of(container: ContainerId) -> str:
    """Return the name of the container's link on the host, at most 15 bytes."""
    return f"veth0_{container}"


def peer_alias_of(container: ContainerId) -> str:
    """Return the alternative name of the link that is `eth0` inside."""
    return f"veth1_{container}"


def namespace_of(container: ContainerId) -> str:
    """Return the name under which `ip netns` knows the container's namespace."""
    return f"netns_{container}"


def dotted(address: int) -> str:
    """Return an address in dotted form."""
    return ".".join(str(address >> shift & 0xFF) for shift in (24, 16, 8, 0))


def parse_address(text: str) -> int:
    """Read a dotted address; raise InvalidValue for anything else (leading zeros included)."""
    parts = text.split(".")
    if len(parts) != 4 or not all(_is_byte(part) for part in parts):
        raise InvalidValue(f"'{text}' is not an IPv4 address", "write it like 10.0.0.1")
    return int.from_bytes(bytes(int(part) for part in parts), "big")


def parse_interface(text: str) -> Interface:
    """Read `10.0.0.1/24`; raise InvalidValue for anything else."""
    address, slash, prefix = text.partition("/")
    if (
        not slash
        or not (prefix.isascii() and prefix.isdigit())
        or len(prefix) > 2
        or int(prefix) > 32
        or str(int(prefix)) != prefix
    ):
        raise InvalidValue(f"'{text}' is not an address with its prefix length", "write it like 10.0.0.1/24")
    return Interface(parse_address(address), int(prefix))


def parse_subnet(text: str) -> Subnet:
    """Read `10.0.0.0/24`; raise InvalidValue for host bits, or a prefix outside /16 to /30."""
    interface = parse_interface(text)
    _check_prefix(interface.prefix_length, text)
    if interface.address != interface.subnet.network:
        raise InvalidValue(f"'{text}' is not a subnet", f"did you mean {interface.subnet}?")
    return interface.subnet


def _check_prefix(prefix_length: int, text: str) -> None:
    if not WIDEST_PREFIX <= prefix_length <= NARROWEST_PREFIX:
        raise InvalidValue(
            f"The subnet of '{text}' does not fit", f"its prefix is from /{WIDEST_PREFIX} to /{NARROWEST_PREFIX}"
        )


def _mask(prefix_length: int) -> int:
    return (0xFFFFFFFF << (32 - prefix_length)) & 0xFFFFFFFF


def _is_byte(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) <= 3 and int(part) < 256 and str(int(part)) == part

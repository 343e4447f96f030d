"""Masquerading, in a firewall table of bocker's own."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.core.addresses import Subnet


class Firewall(ABC):
    """Tables of nftables by name. Operations are idempotent, as the tools here answer in text only.

    Raise Unsupported when the machine has no nftables, Denied; Invalid for a name, of a table or a
    bridge, that is empty or has other characters than ASCII letters, digits, `_`, `-` and `.`.
    """

    __slots__ = ()

    @abstractmethod
    def ensure_masquerade(self, table: str, subnet: Subnet, bridge: str) -> None:
        """Make `table` hold exactly this: what comes from `subnet` and leaves by another link than
        `bridge` gets the address of that link. Replaces what the table held, at one instant."""

    @abstractmethod
    def masqueraded(self, table: str) -> Subnet | None:
        """Return the subnet that `table` masquerades, None when there is no such table or rule."""

    @abstractmethod
    def remove(self, table: str) -> None:
        """Take a table away; nothing happens when there is none."""

    @abstractmethod
    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables of the host's ip family, sorted."""

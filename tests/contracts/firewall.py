from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.core.addresses import parse_subnet
from bocker.kernel.errors import Denied, Invalid, Unsupported
from tests.contracts.lab import NO_FIREWALL, NO_RIGHTS
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

SUBNET = parse_subnet("10.0.0.0/24")
WIDER = parse_subnet("10.32.0.0/16")
CALLS: list[tuple[str, tuple[object, ...]]] = [
    ("ensure_masquerade", ("ct_table", SUBNET, "ct_bridge")),
    ("masqueraded", ("ct_table",)),
    ("remove", ("ct_table",)),
    ("tables", ()),
]
BAD_NAMES = ["", "a b", "a;b", "a\nb", 'a"b', "a*", "a{", "ä"]


class FirewallContract:
    def test_what_is_masqueraded_can_be_read_back(self, kernel: Kernel) -> None:
        """The bridge need not exist yet."""
        kernel.firewall.ensure_masquerade("ct_table", SUBNET, "ct_bridge")
        assert kernel.firewall.masqueraded("ct_table") == SUBNET
        assert "ct_table" in kernel.firewall.tables()

    @pytest.mark.parametrize("text", ["10.0.0.0/16", "10.0.0.0/20", "172.16.255.252/30", "192.0.2.128/25"])
    def test_every_subnet_reads_back_as_it_was_given(self, kernel: Kernel, text: str) -> None:
        """From the widest to the narrowest."""
        kernel.firewall.ensure_masquerade("ct_table", parse_subnet(text), "ct_bridge")
        assert kernel.firewall.masqueraded("ct_table") == parse_subnet(text)

    def test_ensuring_twice_changes_nothing(self, kernel: Kernel) -> None:
        """There is one table, with one subnet."""
        kernel.firewall.ensure_masquerade("ct_table", SUBNET, "ct_bridge")
        tables = kernel.firewall.tables()
        kernel.firewall.ensure_masquerade("ct_table", SUBNET, "ct_bridge")
        assert kernel.firewall.tables() == tables
        assert kernel.firewall.masqueraded("ct_table") == SUBNET

    def test_ensuring_replaces_what_the_table_held(self, kernel: Kernel) -> None:
        """Only the new subnet is masqueraded."""
        kernel.firewall.ensure_masquerade("ct_table", SUBNET, "ct_bridge")
        kernel.firewall.ensure_masquerade("ct_table", WIDER, "ct_bridge")
        assert kernel.firewall.masqueraded("ct_table") == WIDER

    def test_tables_are_apart(self, kernel: Kernel) -> None:
        """Removing one leaves the other; their names are sorted."""
        before = kernel.firewall.tables()
        kernel.firewall.ensure_masquerade("ct_table2", WIDER, "ct_bridge")
        kernel.firewall.ensure_masquerade("ct_table1", SUBNET, "ct_bridge")
        assert kernel.firewall.tables() == tuple(sorted({*before, "ct_table1", "ct_table2"}))
        kernel.firewall.remove("ct_table1")
        assert kernel.firewall.tables() == tuple(sorted({*before, "ct_table2"}))
        assert kernel.firewall.masqueraded("ct_table1") is None
        assert kernel.firewall.masqueraded("ct_table2") == WIDER

    def test_nothing_is_masqueraded_without_a_table(self, kernel: Kernel) -> None:
        """None, and no error."""
        assert kernel.firewall.masqueraded("ct_table") is None

    def test_removing_no_table_does_nothing(self, kernel: Kernel) -> None:
        """Twice as well."""
        before = kernel.firewall.tables()
        kernel.firewall.remove("ct_table")
        kernel.firewall.remove("ct_table")
        assert kernel.firewall.tables() == before

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_a_name_is_of_letters_digits_and_signs(self, kernel: Kernel, name: str) -> None:
        """Nothing of it can be taken for more than a name."""
        before = kernel.firewall.tables()
        for refusal in (
            lambda: kernel.firewall.ensure_masquerade(name, SUBNET, "ct_bridge"),
            lambda: kernel.firewall.ensure_masquerade("ct_table", SUBNET, name),
            lambda: kernel.firewall.masqueraded(name),
            lambda: kernel.firewall.remove(name),
        ):
            with refused(Invalid):
                refusal()
        assert kernel.firewall.tables() == before

    @pytest.mark.parametrize(("method", "arguments"), CALLS)
    def test_without_nftables_all_is_unsupported(self, lab: Lab, method: str, arguments: tuple[object, ...]) -> None:
        """Not just missing: the machine can't."""
        with refused(Unsupported, errno.ENOSYS):
            getattr(lab.kernel(NO_FIREWALL).firewall, method)(*arguments)

    @pytest.mark.parametrize(("method", "arguments"), CALLS)
    def test_without_rights_all_is_denied(self, lab: Lab, method: str, arguments: tuple[object, ...]) -> None:
        """Looking at the rules takes the same right as changing them."""
        with refused(Denied):
            getattr(lab.kernel(NO_RIGHTS).firewall, method)(*arguments)

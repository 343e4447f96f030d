from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core import addresses
from bocker.core.addresses import AddressPlan, Interface, Subnet
from bocker.core.errors import InvalidValue
from bocker.core.ids import BASE, FIRST, ContainerId
from tests.strategies import ANY_WORD, CONTAINER_IDS, gateways, subnets

EVERY_PREFIX_LENGTH = range(16, 31)


def numbers_of(plan: AddressPlan) -> list[int]:
    return [number for number in range(FIRST, plan.highest + 1) if number not in plan.reserved]


@pytest.mark.parametrize("prefix_length", EVERY_PREFIX_LENGTH)
def test_W1_the_plan_is_total_and_injective_and_keeps_off_the_special_addresses(prefix_length: int) -> None:
    subnet = Subnet(0x0A000000, prefix_length)
    plan = AddressPlan(subnet.gateway)
    given_out = [plan.address_of(ContainerId(number)).address for number in numbers_of(plan)]
    assert len(given_out) == plan.size == 2 ** (32 - prefix_length) - 3
    assert len(set(given_out)) == len(given_out)
    assert all(address in subnet for address in given_out)
    assert not {subnet.network, subnet.broadcast, subnet.gateway.address}.intersection(given_out)


@given(gateways(), st.data())
def test_W1_whatever_address_the_bridge_has_no_container_gets_it(gateway: Interface, data: st.DataObject) -> None:
    plan = AddressPlan(gateway)
    if plan.size:
        number = data.draw(st.integers(FIRST, plan.highest).filter(lambda number: number not in plan.reserved))
        own = plan.address_of(ContainerId(number))
        assert own.address not in {gateway.address, plan.subnet.network, plan.subnet.broadcast}
        assert own.subnet == plan.subnet
        assert own.address - plan.subnet.network == number - BASE


@given(gateways())
def test_the_size_counts_the_ids_that_have_an_address(gateway: Interface) -> None:
    plan = AddressPlan(gateway)
    usable = plan.highest - FIRST + 1 - len(plan.reserved)
    assert plan.size == max(0, usable)
    for number in plan.reserved:
        with pytest.raises(ValueError, match="no address"):
            plan.address_of(ContainerId(number))


@given(gateways())
def test_an_id_above_the_highest_has_no_address(gateway: Interface) -> None:
    plan = AddressPlan(gateway)
    if plan.highest < ContainerId.last:
        with pytest.raises(ValueError, match="no address"):
            plan.address_of(ContainerId(max(FIRST, plan.highest + 1)))


@pytest.mark.parametrize("prefix_length", [0, 8, 15, 31, 32])
def test_a_bridge_too_wide_or_too_narrow_is_refused(prefix_length: int) -> None:
    with pytest.raises(InvalidValue):
        AddressPlan(Interface(0x0A000001, prefix_length))


@given(CONTAINER_IDS)
def test_W2_the_mac_is_well_formed_unicast_and_locally_administered(container: ContainerId) -> None:
    text = addresses.mac_of(container)
    octets = [int(part, 16) for part in text.split(":")]
    assert [f"{octet:02x}" for octet in octets] == text.split(":")
    assert len(octets) == 6
    assert octets[0] & 0b11 == 0b10
    assert octets[4] * 256 + octets[5] == container.host_part


def test_W2_the_mac_of_42254_is_the_one_that_was_promised() -> None:
    assert addresses.mac_of(ContainerId(42254)) == "02:42:ac:11:00:fe"


@given(CONTAINER_IDS)
def test_interface_names_fit_the_kernels_fifteen_bytes(container: ContainerId) -> None:
    for name in (addresses.host_link_of(container), addresses.peer_alias_of(container)):
        assert len(name.encode()) <= 15


@given(CONTAINER_IDS, CONTAINER_IDS)
def test_two_containers_share_no_name_and_no_mac(first: ContainerId, second: ContainerId) -> None:
    for name_of in (addresses.host_link_of, addresses.peer_alias_of, addresses.namespace_of, addresses.mac_of):
        assert (name_of(first) == name_of(second)) == (first == second)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_addresses_are_written_and_read_as_the_library_does(address: int, prefix_length: int) -> None:
    interface = Interface(address, prefix_length)
    theirs = ipaddress.ip_interface((address, prefix_length))
    assert str(interface) == str(theirs)
    assert addresses.parse_interface(str(theirs)) == interface
    assert str(interface.subnet) == str(theirs.network)
    assert addresses.dotted(interface.subnet.broadcast) == str(theirs.network.broadcast_address)


@given(subnets())
def test_a_subnet_is_read_from_its_own_text(subnet: Subnet) -> None:
    assert addresses.parse_subnet(str(subnet)) == subnet


@given(ANY_WORD)
def test_the_parsers_raise_nothing_but_invalid_value(word: str) -> None:
    for parse in (addresses.parse_address, addresses.parse_interface, addresses.parse_subnet):
        try:
            found = parse(word)
        except InvalidValue:
            continue
        assert word == (addresses.dotted(found) if isinstance(found, int) else str(found))


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1/24",
        "10.0.0.0/8",
        "10.0.0.0/31",
        "10.0.0.0",
        "10.0.0/24",
        "10.0.0.0/" + "1" * 5000,
        "1" * 5000 + ".0.0.0/24",
        "010.0.0.0/24",
    ],
)
def test_what_is_no_subnet_for_containers_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        addresses.parse_subnet(text)

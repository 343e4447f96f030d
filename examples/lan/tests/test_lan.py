"""The tool on a kernel in memory: what it makes, what every fault leaves, and that strangers lose nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

import lan
from bocker.core.addresses import Subnet, parse_address, parse_interface
from bocker.fakes import FakeKernel, World
from bocker.fakes.testing import Faults, Names, Outcome, Program, programs, run_program
from bocker.kernel import Kernel
from bocker.kernel.errors import Denied, KernelError

WEB = parse_address("192.168.7.2")
DATABASE = parse_address("192.168.7.3")

# What lan calls its own things, among what strangers may have.
NAMES = Names(
    links=("lan0", "lan-web", "eth0", "bridge0", "lo"),
    namespaces=("lan-web", "other"),
    addresses=(lan.GATEWAY, parse_interface("192.168.7.2/24"), parse_interface("10.0.0.9/24")),
    gateways=(lan.GATEWAY.address, parse_address("10.0.0.1")),
    tables=("lan", "other"),
    bridge="lan0",
)


def test_a_member_has_an_address_and_a_way_out(fake_kernel: FakeKernel) -> None:
    lan.up(fake_kernel)
    lan.join(fake_kernel, "web", WEB)
    loopback, link = fake_kernel.network.links("lan-web")
    assert loopback.up
    assert (link.name, link.up, link.addresses) == ("eth0", True, (parse_interface("192.168.7.2/24"),))
    assert fake_kernel.network.link("lan-web").master == "lan0"
    assert fake_kernel.network.default_route("lan-web") == lan.GATEWAY.address


def test_the_network_is_masqueraded(fake_kernel: FakeKernel) -> None:
    lan.up(fake_kernel)
    assert fake_kernel.firewall.masqueraded("lan") == Subnet(parse_address("192.168.7.0"), 24)


def test_a_member_joins_once(fake_kernel: FakeKernel) -> None:
    lan.up(fake_kernel)
    lan.join(fake_kernel, "web", WEB)
    with pytest.raises(lan.LanError, match="joined already"):
        lan.join(fake_kernel, "web", DATABASE)
    assert lan.members(fake_kernel) == ("web",)


@pytest.mark.parametrize("address", ["192.168.7.1", "192.168.7.0", "192.168.7.255", "10.0.0.2"])
def test_an_address_that_is_no_members_is_refused(fake_kernel: FakeKernel, address: str) -> None:
    lan.up(fake_kernel)
    with pytest.raises(lan.LanError, match="not an address"):
        lan.join(fake_kernel, "web", parse_address(address))
    assert lan.members(fake_kernel) == ()


def test_who_may_not_administer_the_network_is_told(world: World) -> None:
    kernel = world.kernel()
    kernel.may_administer_network = False
    with pytest.raises(Denied):
        lan.up(kernel)


def test_down_takes_all_of_it_back(world: World, fake_kernel: FakeKernel) -> None:
    before = world.dump()
    lan.up(fake_kernel)
    lan.join(fake_kernel, "web", WEB)
    lan.join(fake_kernel, "database", DATABASE)
    lan.down(fake_kernel)
    world.settle()
    assert world.dump() == before


def test_whatever_fails_in_a_join_nothing_of_it_is_left(fake_kernel: FakeKernel, faults: Faults) -> None:
    lan.up(fake_kernel)

    def check(outcome: Outcome) -> None:
        if not outcome.succeeded and not outcome.crashed:
            assert outcome.after == outcome.before
        program = outcome.kernel()
        lan.leave(program, "web")
        lan.join(program, "web", WEB)

    swept = faults.sweep(lambda kernel: lan.join(kernel, "web", WEB), check, errors=(KernelError, lan.LanError))
    assert [call.operation for call in swept.calls] == [
        "namespaces.create",
        "network.create_veth",
        "network.set_up",
        "network.add_address",
        "network.set_up",
        "network.add_default_route",
    ]


@pytest.mark.parametrize(
    "act", [lan.up, lan.down, lambda kernel: lan.leave(kernel, "web")], ids=["up", "down", "leave"]
)
def test_what_failed_or_was_killed_is_finished_by_doing_it_again(
    world: World, fake_kernel: FakeKernel, faults: Faults, act: Callable[[Kernel], None]
) -> None:
    if act is not lan.up:
        lan.up(fake_kernel)
        lan.join(fake_kernel, "web", WEB)
    done = faults.attempt(act).after

    def check(outcome: Outcome) -> None:
        program = outcome.kernel()
        act(program)
        world.kill_program(program)
        world.settle()
        assert world.dump() == done

    faults.sweep(act, check)


@given(programs("network", "namespaces", "firewall", names=NAMES))
def test_what_strangers_have_stays_theirs(program: Program) -> None:
    world = World().prepare()
    run_program(world.kernel(), program)
    world.settle()
    kernel = world.kernel()
    before = world.dump()
    try:
        lan.join(kernel, "web", WEB)
    except (lan.LanError, KernelError):
        pass
    else:
        lan.leave(kernel, "web")
    world.settle()
    assert world.dump() == before

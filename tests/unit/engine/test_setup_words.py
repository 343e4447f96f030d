"""What `setup`, `setup --check` and `setup --undo` say, and whom they wait for."""

from __future__ import annotations

import errno

import pytest

from bocker.core.addresses import parse_interface, parse_subnet
from bocker.core.errors import BockerError, HostNotReady
from bocker.engine import setup
from tests.unit.engine.bench import Bench
from tests.unit.engine.test_setup import SMALL, RefuseOperation, bare, new_on_the_host, on_the_host, undo


def test_undo_says_what_it_did() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.add_image(tag="base")
    bench.run("true", name="web")
    assert undo(bench, delete_data=True) == (
        "Removed: ps_42002",
        "Removed: img_42002",
        "Unmounted: /usr/bin/python3.11",
        "Removed: the firewall table bocker",
        "Set: net.ipv4.ip_forward = 0",
        "Removed: bridge0",
        "Unmounted: /var/bocker",
        "Removed: /var/lib/bocker/btrfs.img",
    )


def test_undo_deletes_what_the_interpreter_was_mounted_on() -> None:
    bench = bare()
    before = on_the_host(bench)
    bench.setup(size_bytes=SMALL, interpreter_mount="/run/bocker/python3")
    assert "Unmounted: /run/bocker/python3" in undo(bench, delete_data=True)
    assert new_on_the_host(bench, before) == []


def test_with_the_containers_their_names_go() -> None:
    """The store is a person's own and stays."""
    bench = bare()
    bench.world.prepare(bench.settings)
    bench.setup()
    bench.add_image(tag="base")
    bench.run("true", name="web")
    undo(bench, delete_data=True)
    assert {folder: bench.kernel.records.list(folder) for folder in ("names", "containers", "images", "contents")} == {
        "names": (),
        "containers": (),
        "images": (),
        "contents": (),
    }


@pytest.mark.parametrize("name", ["img_42002", "ps_42002"])
def test_undo_waits_for_who_works_with_what_it_deletes(name: str) -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.add_image(tag="base")
    bench.run("true")
    held = bench.in_another_terminal().kernel.records.lock(name)
    seen = []

    def let_go() -> None:
        seen.append(bench.kernel.storage.describe(name).name)
        with held:
            pass

    bench.world.schedule(1.0, let_go)
    undo(bench, delete_data=True)
    assert seen == [name]


def test_check_says_of_each_need_what_is_there() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    found = {need.name: need.detail for need in setup.check(bench.kernel, bench.settings)}
    assert found == {
        "root's rights": "this is root",
        "kernel": "Linux 6.18",
        "store": "/dev/loop0 at /var/bocker",
        "control groups": "version 1: cpu, memory, pids, devices",
        "bridge": "bridge0 10.0.0.1/24, room for 253 containers",
        "forwarding": "net.ipv4.ip_forward is on",
        "masquerading": "10.0.0.0/24 by the table bocker",
        "interpreter": "/usr/bin/python3.11 is read-only",
    }


def test_check_says_of_each_need_what_is_missing() -> None:
    bench = bare()
    missing = {need.name: need.detail for need in setup.check(bench.kernel, bench.settings) if not need.met}
    assert missing == {
        "store": "no btrfs file system is mounted at /var/bocker",
        "bridge": "there is no bridge bridge0",
        "forwarding": "net.ipv4.ip_forward is off, so containers reach nothing outside",
        "masquerading": "there is no bridge bridge0",
        "interpreter": "a container could overwrite /usr/bin/python3.11",
    }


def test_check_says_what_the_kernel_refuses_to_tell() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.kernel.gate = RefuseOperation("firewall.masqueraded", errno.EOPNOTSUPP)
    (need,) = [need for need in setup.check(bench.kernel, bench.settings) if not need.met]
    assert need.name == "masquerading"
    assert need.detail.startswith("this kernel can't (firewall.masqueraded")


def test_check_says_which_subnet_is_not_masqueraded() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.kernel.firewall.remove("bocker")
    (need,) = [need for need in setup.check(bench.kernel, bench.settings) if not need.met]
    assert need.detail == "what comes from 10.0.0.0/24 is not masqueraded by the table bocker"


def test_an_interpreter_that_is_mounted_elsewhere_read_only_is_enough() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL, interpreter_mount="/run/bocker/python3")
    (need,) = [need for need in setup.check(bench.kernel, bench.settings, "/run/bocker/python3") if "int" in need.name]
    assert (need.met, need.detail) == (True, "/run/bocker/python3 is read-only")


def test_a_subnet_that_is_refused_comes_with_what_to_do() -> None:
    bench = bare()
    bench.world.prepare(bench.settings)
    with pytest.raises(BockerError) as refused:
        bench.setup(subnet=parse_subnet("172.20.0.0/16"))
    assert refused.value.hint == "leave --subnet out to use it as it is"


def test_a_bridge_that_has_no_room_for_containers_is_said() -> None:
    bench = bare()
    bench.world.prepare(bench.settings)
    bench.kernel.network.delete("bridge0")
    bench.kernel.network.create_bridge("bridge0", setup.BRIDGE_MAC)
    bench.kernel.network.add_address("bridge0", parse_interface("10.0.0.1/31"))
    bench.kernel.network.set_up("bridge0", True)
    with pytest.raises(HostNotReady, match="/31"):
        bench.setup()


def with_own_bridge(*addresses: str) -> Bench:
    """Return a bare host on which a person has made the bridge; it is down."""
    bench = bare()
    bench.kernel.network.create_bridge("bridge0", setup.BRIDGE_MAC)
    for address in addresses:
        bench.kernel.network.add_address("bridge0", parse_interface(address))
    return bench


def test_a_persons_bridge_gets_no_address_that_undo_could_not_take_back() -> None:
    bench = with_own_bridge()
    with pytest.raises(HostNotReady, match="the bridge bridge0 has no address, and bocker did not make it") as refused:
        bench.setup(size_bytes=SMALL)
    assert refused.value.hint == "give it one: ip address add 10.0.0.1/24 dev bridge0"
    assert bench.kernel.network.link("bridge0").addresses == ()


def test_a_persons_bridge_that_was_down_is_down_again_after_undo() -> None:
    bench = with_own_bridge("10.0.0.1/24")
    before = bench.kernel.network.link("bridge0")
    assert "Set: bridge0 up" in bench.setup(size_bytes=SMALL)
    assert bench.kernel.network.link("bridge0").up
    assert "Set: bridge0 down" in undo(bench, delete_data=True)
    assert bench.kernel.network.link("bridge0") == before
    assert undo(bench, delete_data=True) == ()


def test_a_persons_bridge_that_was_down_and_is_gone_is_no_failure() -> None:
    bench = with_own_bridge("10.0.0.1/24")
    bench.setup(size_bytes=SMALL)
    bench.kernel.network.delete("bridge0")
    assert not [line for line in undo(bench, delete_data=True) if "bridge0" in line]

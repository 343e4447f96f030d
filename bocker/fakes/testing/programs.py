"""Random programs of port operations: what others may have done to the machine before, or do meanwhile.

    @given(programs("network", "namespaces", names=Names(links=("lan0", "eth0"))))
    def test_what_is_there_stays(program):
        kernel = World().prepare().kernel()
        run_program(kernel, program)

Names come from small pools, so that they collide; one in ten is none that a kernel takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st

from bocker.core.addresses import Interface, Subnet, parse_interface, parse_subnet
from bocker.core.limits import Limits
from bocker.kernel import Kernel
from bocker.kernel.errors import KernelError

T = TypeVar("T")
Draw = st.SearchStrategy[Any]

PORTS_OF_PROGRAMS = ("storage", "records", "blobs", "network", "namespaces", "cgroups", "firewall")

_LONG = "n" * 256
_ODD_SUBVOLUMES = ("..", ".", "a/b", _LONG, "n" * 255)
_ODD_KEYS = ("", "one", "a/", "/a", "a/b/c", ".a/b", "a/.b", "../x", f"a/{_LONG}")
_ODD_LINKS = ("", "x" * 16, "a b", "a/b")
_ODD_NAMESPACES = ("", "..", "a/b", "none")
_ODD_GROUPS = ("", "..", "a/b", "ps_none")
_ODD_TABLES = ("", "a b", "x;y")
_ODD_DIGESTS = ("", "a" * 63, "A" * 64, "../" + "a" * 61)
_ODD_DRAFTS = ("", ".", "..", ".hidden", "a/b", _LONG, "n" * 201)
_FOLDERS = ("containers", "images", "logs", "none", "", "..", "a/b")


@attrs.frozen
class Names:
    """The pools from which a program's names, addresses and data are drawn."""

    subvolumes: tuple[str, ...] = ("img_42002", "ps_42002", "ps_42003", ".img_42002.new", "")
    keys: tuple[str, ...] = ("containers/ps_42002", "containers/ps_42003", "images/img_42002", "logs/ps_42002")
    digests: tuple[str, ...] = ("a" * 64, "0123456789abcdef" * 4)
    drafts: tuple[str, ...] = ("layer", "other")
    data: tuple[bytes, ...] = (b"", b"one\n", b"a longer record\n")
    links: tuple[str, ...] = ("veth0_ps_42002", "veth0_ps_42003", "eth0", "bridge0", "other0", "lo")
    namespaces: tuple[str, ...] = ("netns_a", "netns_b")
    macs: tuple[str, ...] = ("02:42:ac:11:00:02", "02:42:ac:11:00:03", "01:00:5e:00:00:01", "00:00:00:00:00:00")
    addresses: tuple[Interface, ...] = tuple(
        parse_interface(text) for text in ("10.0.0.2/24", "10.0.0.3/24", "10.0.0.1/24", "192.0.2.2/30")
    )
    gateways: tuple[int, ...] = tuple(
        parse_interface(text).address for text in ("10.0.0.1/24", "10.0.0.3/24", "192.0.2.1/30")
    )
    groups: tuple[str, ...] = ("ps_42002", "ps_42003")
    tables: tuple[str, ...] = ("bocker", "other")
    subnets: tuple[Subnet, ...] = (parse_subnet("10.0.0.0/24"), parse_subnet("192.0.2.0/30"))
    bridge: str = "bridge0"


@attrs.frozen
class Step:
    """One call: `port.method` and its arguments; as text it is Python that makes it."""

    operation: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"kernel.{self.operation}({', '.join(map(repr, self.arguments))})"

    def run(self, kernel: Kernel) -> Any:
        """Make the call; return what it answers. Raise KernelError."""
        port, method = self.operation.split(".")
        return getattr(getattr(kernel, port), method)(*self.arguments)


Program = tuple[Step, ...]


def operations(names: Names) -> dict[str, tuple[Draw, ...]]:
    """Return what draws the arguments of each operation that programs have."""
    return {
        **_of_storage(names),
        **_of_records(names),
        **_of_blobs(names),
        **_of_network(names),
        **_of_groups(names),
        **_of_firewall(names),
    }


def _of_storage(names: Names) -> dict[str, tuple[Draw, ...]]:
    subvolume = mostly(names.subvolumes, _ODD_SUBVOLUMES)
    return {
        "storage.create": (subvolume,),
        "storage.snapshot": (subvolume, subvolume, st.booleans()),
        "storage.delete": (subvolume,),
        "storage.publish": (subvolume, subvolume),
        "storage.exchange": (subvolume, subvolume),
        "storage.describe": (subvolume,),
        "storage.names": (),
        "storage.nested": (subvolume,),
    }


def _of_records(names: Names) -> dict[str, tuple[Draw, ...]]:
    key, data = mostly(names.keys, _ODD_KEYS), st.sampled_from(names.data)
    return {
        "records.claim": (key, data),
        "records.write": (key, data, st.booleans()),
        "records.append": (key, data),
        "records.read": (key, st.sampled_from((0, 2, 100))),
        "records.remove": (key,),
        "records.list": (st.sampled_from(_FOLDERS),),
    }


def _of_blobs(names: Names) -> dict[str, tuple[Draw, ...]]:
    digest, draft = mostly(names.digests, _ODD_DIGESTS), mostly(names.drafts, _ODD_DRAFTS)
    return {
        "blobs.add": (digest, st.sampled_from(names.data)),
        "blobs.read": (digest, st.sampled_from((0, 4, 1 << 20))),
        "blobs.has": (digest,),
        "blobs.list": (),
        "blobs.remove": (digest,),
        "blobs.keep": (draft, digest),
        "blobs.drafts": (),
        "blobs.discard": (draft,),
    }


def _of_network(names: Names) -> dict[str, tuple[Draw, ...]]:
    link, namespace = mostly(names.links, _ODD_LINKS), mostly(names.namespaces, _ODD_NAMESPACES)
    mac, somewhere = st.sampled_from(names.macs), st.none() | namespace
    return {
        "network.create_bridge": (link, mac),
        "network.create_veth": (link, link, mac, link, somewhere),
        "network.delete": (link, somewhere),
        "network.set_up": (link, st.booleans(), somewhere),
        "network.move": (link, namespace),
        "network.add_address": (link, st.sampled_from(names.addresses), somewhere),
        "network.add_default_route": (st.sampled_from(names.gateways), somewhere),
        "network.default_route": (somewhere,),
        "network.links": (somewhere,),
        "network.link": (link,),
        "namespaces.create": (namespace,),
        "namespaces.remove": (namespace,),
        "namespaces.names": (),
    }


def _of_groups(names: Names) -> dict[str, tuple[Draw, ...]]:
    group = mostly(names.groups, _ODD_GROUPS)
    limits = st.builds(
        Limits,
        st.integers(2, 300_000),
        st.integers(6_000_000, 1 << 40),
        st.none() | st.integers(1, 100_000),
        st.none() | st.integers(1_000, 400_000),
    )
    return {
        "cgroups.create": (group,),
        "cgroups.limit": (group, limits),
        "cgroups.members": (group,),
        "cgroups.usage": (group,),
        "cgroups.remove": (group,),
        "cgroups.names": (),
        "cgroups.remove_parent": (),
    }


def _of_firewall(names: Names) -> dict[str, tuple[Draw, ...]]:
    known = st.sampled_from((*names.tables, "none"))
    return {
        "firewall.ensure_masquerade": (
            mostly(names.tables, _ODD_TABLES),
            st.sampled_from(names.subnets),
            st.just(names.bridge),
        ),
        "firewall.masqueraded": (known,),
        "firewall.remove": (known,),
        "firewall.tables": (),
    }


def steps(*ports: str, names: Names | None = None) -> st.SearchStrategy[Step]:
    """Draw one call on one of these ports, on any of `PORTS_OF_PROGRAMS` when none is named."""
    unknown = set(ports) - set(PORTS_OF_PROGRAMS)
    if unknown:
        raise ValueError(f"programs know {', '.join(PORTS_OF_PROGRAMS)}, not {', '.join(sorted(unknown))}")
    return steps_of(
        (operation, arguments)
        for operation, arguments in operations(names or Names()).items()
        if not ports or operation.partition(".")[0] in ports
    )


def steps_of(calls: Iterable[tuple[str, tuple[Draw, ...]]]) -> st.SearchStrategy[Step]:
    """Draw one call: an operation with what draws its arguments, each as likely as the other."""
    return st.one_of([st.builds(Step, st.just(operation), st.tuples(*arguments)) for operation, arguments in calls])


def programs(*ports: str, names: Names | None = None, most: int = 25) -> st.SearchStrategy[Program]:
    """Draw a program of 1 to `most` calls on these ports, on any of `PORTS_OF_PROGRAMS` when none is named."""
    return st.lists(steps(*ports, names=names), min_size=1, max_size=most).map(tuple)


def run_program(kernel: Kernel, program: Program) -> list[Any]:
    """Make all calls of a program; return what each answered, the KernelError where it was refused."""
    answers: list[Any] = []
    for step in program:
        try:
            answers.append(step.run(kernel))
        except KernelError as error:
            answers.append(error)
    return answers


def mostly(usual: tuple[T, ...], odd: tuple[T, ...]) -> st.SearchStrategy[T]:
    """Draw something usual nine times in ten."""
    return st.integers(0, 9).flatmap(lambda number: st.sampled_from(usual if number else odd))

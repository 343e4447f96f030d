"""Programs of port operations, drawn by chance and run on both kernels.

A program is a list of calls. `outcomes` runs it on one kernel and tells each result or errno as
text in which nothing depends on the machine: link indices, UUIDs and MACs that nobody chose are
replaced by what they stand for. Names come from small pools, so that they collide.

    python -m tests.system.sandbox -- python -m pytest tests/system/test_differential.py --programs 10000
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st

from bocker.core.addresses import Interface, Subnet, parse_interface
from bocker.core.limits import Limits
from bocker.core.value import Value
from bocker.kernel import Kernel
from bocker.kernel.archives import Bounds, Packed
from bocker.kernel.errors import KernelError
from bocker.kernel.network import Link
from bocker.kernel.storage import Subvolume
from tests.contracts import layers

T = TypeVar("T")

GATEWAY = parse_interface("10.0.0.1/24")
BRIDGE_MAC = "02:42:0a:00:00:01"
LONG = "n" * 256

SUBVOLUMES = ("img_42002", "ps_42002", "ps_42003", ".img_42002.new", "")
ODD_NAMES = ("..", ".", "a/b", LONG, "n" * 255)
KEYS = ("containers/ps_42002", "containers/ps_42003", "images/img_42002", "logs/ps_42002")
ODD_KEYS = ("", "one", "a/", "/a", "a/b/c", ".a/b", "a/.b", "../x", f"a/{LONG}")
LINKS = ("veth0_ps_42002", "veth0_ps_42003", "eth0", "bridge0", "other0", "lo")
ODD_LINKS = ("", "x" * 16, "a b", "a/b")
SPACES = ("netns_a", "netns_b")
ODD_SPACES = ("", "..", "a/b", "none")
GROUPS = ("ps_42002", "ps_42003")
MACS = ("02:42:ac:11:00:02", "02:42:ac:11:00:03", "01:00:5e:00:00:01", "00:00:00:00:00:00")
ADDRESSES = tuple(parse_interface(text) for text in ("10.0.0.2/24", "10.0.0.3/24", "10.0.0.1/24", "192.0.2.2/30"))
GATEWAYS = (GATEWAY.address, ADDRESSES[1].address, ADDRESSES[3].address - 1)
TABLES = ("bocker", "other")
SUBNETS = (Subnet(GATEWAY.subnet.network, 24), Subnet(ADDRESSES[3].subnet.network, 30))
DIGESTS = ("a" * 64, "0123456789abcdef" * 4)
ODD_DIGESTS = ("", "a" * 63, "A" * 64, "../" + "a" * 61)
DRAFTS = ("layer", "other")
ODD_DRAFTS = ("", ".", "..", ".hidden", "a/b", LONG, "n" * 201)
DATA = (b"", b"one\n", b"a longer record\n")
LOCKS = ("layers", "names")
ODD_LOCKS = ("", "..", ".a", "a/b", LONG)
STORE = "@"  # at the beginning of a path: the store, which has another place on each kernel
BLOBS = tuple(f"{STORE}/.meta/blobs/{digest}" for digest in DIGESTS)
TREES = tuple(f"{STORE}/{name}" for name in ("img_42002", "ps_42002", "ps_42003"))
ODD_PATHS = (f"{STORE}/none", f"{STORE}/none/x", STORE, f"{STORE}/.meta")
SMALL = Bounds(entries=3, size_bytes=1 << 16, depth=2)
MEMBERS = (("a", b"content"), ("d/b", b""), ("d/c", BLOBS[0]))
ODD_MEMBERS = (("", b""), ("/a", b""), ("a/../b", b""), ("x", f"{STORE}/none"), ("a/b", TREES[0]))


@attrs.frozen
class Step:
    """One call: `port.method` and its arguments."""

    operation: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"kernel.{self.operation}({', '.join(map(repr, self.arguments))})"


Program = tuple[Step, ...]


def _archives() -> tuple[bytes, ...]:
    """Return archives that say little: files, links and whiteouts in a few names, and some that are broken."""
    kinds = (
        layers.file(b"a", b"content"),
        layers.directory(b"d") + layers.file(b"d/b", b"x" * 600),
        layers.file(b"d/b", b"") + layers.hard_link(b"c", b"d/b"),
        layers.link(b"d", b"a") + layers.file(b"d/x", b"y"),
        layers.file(b".wh.a", b""),
        layers.file(b"d/.wh..wh..opq", b"") + layers.file(b"d/new", b"z"),
        layers.file(b"../../e", b"out") + layers.link(b"up", b"../.."),
        layers.hard_link(b"h", b"none"),
    )
    whole = [layers.archive(one) for one in kinds] + [layers.archive(*pair) for pair in pairwise(kinds)]
    return (
        *whole,
        whole[1][:700],
        b"no archive" * 100,
        gzip.compress(whole[1]),
        gzip.compress(whole[1])[:-9],
        b"BZh91AY",
    )


ARCHIVES = _archives()


def steps() -> st.SearchStrategy[Step]:
    """Draw one call."""
    subvolume = _mostly(SUBVOLUMES, ODD_NAMES)
    key = _mostly(KEYS, ODD_KEYS)
    link = _mostly(LINKS, ODD_LINKS)
    space = _mostly(SPACES, ODD_SPACES)
    somewhere = st.one_of(st.none(), space)
    group = _mostly(GROUPS, ("", "..", "a/b", "ps_none"))
    data = st.sampled_from(DATA)
    digest = _mostly(DIGESTS, ODD_DIGESTS)
    lock = _mostly(LOCKS, ODD_LOCKS)
    draft = _mostly(DRAFTS, ODD_DRAFTS)
    limits = st.builds(
        Limits,
        st.integers(2, 300_000),
        st.integers(6_000_000, 1 << 40),
        st.one_of(st.none(), st.integers(1, 100_000)),
        st.one_of(st.none(), st.integers(1_000, 400_000)),
    )
    calls = {
        "storage.create": (subvolume,),
        "storage.snapshot": (subvolume, subvolume, st.booleans()),
        "storage.delete": (subvolume,),
        "storage.publish": (subvolume, subvolume),
        "storage.exchange": (subvolume, subvolume),
        "storage.describe": (subvolume,),
        "storage.names": (),
        "storage.nested": (subvolume,),
        "records.claim": (key, data),
        "records.write": (key, data, st.booleans()),
        "records.append": (key, data),
        "records.read": (key, st.sampled_from((0, 2, 100))),
        "records.remove": (key,),
        "records.list": (st.sampled_from(("containers", "images", "logs", "none", "", "..", "a/b")),),
        "records.lock": (lock, st.just(False), st.booleans()),
        "records.let_go": (),
        "storage.size_bytes": (subvolume, st.one_of(st.none(), subvolume)),
        "blobs.add": (digest, st.sampled_from((*DATA, *ARCHIVES))),
        "blobs.read": (digest, st.sampled_from((0, 4, 1 << 20))),
        "blobs.has": (digest,),
        "blobs.list": (),
        "blobs.remove": (digest,),
        "blobs.keep": (draft, digest),
        "blobs.drafts": (),
        "blobs.discard": (draft,),
        "network.create_bridge": (link, st.sampled_from(MACS)),
        "network.create_veth": (link, link, st.sampled_from(MACS), link, somewhere),
        "network.delete": (link, somewhere),
        "network.set_up": (link, st.booleans(), somewhere),
        "network.move": (link, space),
        "network.add_address": (link, st.sampled_from(ADDRESSES), somewhere),
        "network.add_default_route": (st.sampled_from(GATEWAYS), somewhere),
        "network.default_route": (somewhere,),
        "network.links": (somewhere,),
        "network.link": (link,),
        "namespaces.create": (space,),
        "namespaces.remove": (space,),
        "namespaces.names": (),
        "cgroups.create": (group,),
        "cgroups.limit": (group, limits),
        "cgroups.members": (group,),
        "cgroups.usage": (group,),
        "cgroups.remove": (group,),
        "cgroups.names": (),
        "cgroups.remove_parent": (),
        "firewall.ensure_masquerade": (
            _mostly(TABLES, ("", "a b", "x;y")),
            st.sampled_from(SUBNETS),
            st.just("bridge0"),
        ),
        "firewall.masqueraded": (st.sampled_from((*TABLES, "none")),),
        "firewall.remove": (st.sampled_from((*TABLES, "none")),),
        "firewall.tables": (),
    }
    return st.one_of(
        [
            st.builds(Step, st.just(operation), st.tuples(*arguments))
            for operation, arguments in (*calls.items(), *_about_archives())
        ]
    )


def _about_archives() -> Iterator[tuple[str, tuple[st.SearchStrategy[Any], ...]]]:
    """Give operations of archives with at most one argument that is odd: which of two errors comes first is free."""
    blob, tree, bounds = st.sampled_from(BLOBS), st.sampled_from(TREES), st.sampled_from((Bounds(), Bounds(), SMALL))
    odd, members = st.sampled_from(ODD_PATHS), st.lists(st.sampled_from(MEMBERS), max_size=3).map(tuple)
    folder = st.sampled_from((f"{STORE}/.meta/blobs", f"{STORE}/spilled"))
    format_ = st.sampled_from(("plain", "gzip"))
    yield "archives.unpack", (blob, st.one_of(tree, odd), bounds)
    yield "archives.unpack", (odd, st.just(f"{STORE}/.meta/blobs"), bounds)
    yield "archives.spill", (blob, st.one_of(folder, odd), bounds)
    yield "archives.spill", (odd, folder, bounds)
    yield "archives.bundle", (members, blob)
    yield "archives.bundle", (st.just(MEMBERS[:2]), odd)
    yield "archives.bundle", (st.sampled_from(ODD_MEMBERS).map(lambda member: (member,)), blob)
    yield "archives.pack", (st.one_of(tree, odd), st.none(), blob, format_)


def programs(most: int = 25) -> st.SearchStrategy[Program]:
    """Draw a program of up to `most` calls."""
    return st.lists(steps(), min_size=1, max_size=most).map(tuple)


def outcomes(kernel: Kernel, program: Program) -> list[str]:
    """Run a program; return what each call answered, as text that is the same on equal kernels."""
    shown = _Shown()
    kernel.blobs.add(DIGESTS[0], b"")  # so that there is the directory
    kernel.blobs.remove(DIGESTS[0])
    try:
        return [shown.outcome(kernel, step) for step in program]
    finally:
        shown.let_go_of_all()


def pasted(program: Program) -> str:
    """Return a program as the body of a test."""
    return "\n".join(f"    {step}" for step in program)


class _Shown:
    """Texts for values; what only the machine knows gets a number in the order of its appearance."""

    def __init__(self) -> None:
        self.uuids: dict[str, int] = {}
        self.locks: list[AbstractContextManager[None]] = []

    def outcome(self, kernel: Kernel, step: Step) -> str:
        port, method = step.operation.split(".")
        if method == "let_go":
            return self.let_go()
        arguments = _placed(step.arguments, kernel.blobs.path("0" * 64).rpartition("/.meta/")[0])
        try:
            answer = getattr(getattr(kernel, port), method)(*arguments)
            if method == "lock":
                answer.__enter__()
                self.locks.append(answer)
                return "held"
            return "a size" if method == "size_bytes" else self.text(answer)
        except KernelError as error:
            return f"{type(error).__name__} {error.errno_name}"

    def let_go(self) -> str:
        """Give up the lock that was taken first."""
        if not self.locks:
            return "none"
        self.locks.pop(0).__exit__(None, None, None)
        return "let go"

    def let_go_of_all(self) -> None:
        while self.locks:
            self.let_go()

    def text(self, value: object) -> str:
        if isinstance(value, Packed):  # of a whole tree: its top has the time at which it was made
            return "packed"
        if isinstance(value, tuple) and not isinstance(value, Value):
            return f"({', '.join(self.text(item) for item in value)})"
        if isinstance(value, Subvolume):
            own, parent = self._number(value.uuid), self._number(value.parent_uuid)
            return f"{value.name} is {own} of {parent}{' read-only' if value.read_only else ''}"
        if isinstance(value, Link):
            mac = value.mac if value.mac in (*MACS, BRIDGE_MAC) else "some MAC"
            # The kernel's order of addresses on one link is that of their scope and subnet.
            return str(value.replace(index=0, mac=mac))
        if isinstance(value, Interface):
            return str(value)
        return repr(value)

    def _number(self, uuid: str | None) -> str:
        if uuid is None:
            return "nothing"
        return f"#{self.uuids.setdefault(uuid, len(self.uuids))}"


def _placed(value: Any, store: str) -> Any:
    """Put the store's place into paths."""
    if isinstance(value, tuple) and not isinstance(value, Value):
        return tuple(_placed(item, store) for item in value)
    return store + value[1:] if isinstance(value, str) and value.startswith(STORE) else value


def _mostly(usual: tuple[T, ...], odd: tuple[T, ...]) -> st.SearchStrategy[T]:
    """Draw a usual name nine times in ten."""
    return st.integers(0, 9).flatmap(lambda number: st.sampled_from(usual if number else odd))

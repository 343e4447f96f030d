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
from typing import Any

from hypothesis import strategies as st

from bocker.core.addresses import Interface, parse_interface
from bocker.core.value import Value
from bocker.fakes.testing import Names, Program, Step
from bocker.fakes.testing.programs import mostly, operations, steps_of
from bocker.kernel import Kernel
from bocker.kernel.archives import Bounds, Packed
from bocker.kernel.errors import KernelError
from bocker.kernel.network import Link
from bocker.kernel.storage import Subvolume
from tests.contracts import layers

GATEWAY = parse_interface("10.0.0.1/24")
BRIDGE_MAC = "02:42:0a:00:00:01"
LONG = "n" * 256
NAMES = Names()
LOCKS = ("layers", "names")
ODD_LOCKS = ("", "..", ".a", "a/b", LONG)
STORE = "@"  # at the beginning of a path: the store, which has another place on each kernel
BLOBS = tuple(f"{STORE}/.meta/blobs/{digest}" for digest in NAMES.digests)
TREES = tuple(f"{STORE}/{name}" for name in ("img_42002", "ps_42002", "ps_42003"))
ODD_PATHS = (f"{STORE}/none", f"{STORE}/none/x", STORE, f"{STORE}/.meta")
SMALL = Bounds(entries=3, size_bytes=1 << 16, depth=2)
MEMBERS = (("a", b"content"), ("d/b", b""), ("d/c", BLOBS[0]))
ODD_MEMBERS = (("", b""), ("/a", b""), ("a/../b", b""), ("x", f"{STORE}/none"), ("a/b", TREES[0]))


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
    """Draw one call: of those that `bocker.fakes.testing` draws, and of some that need more than names."""
    shared = operations(NAMES)
    (subvolume,) = shared["storage.describe"]
    (digest,) = shared["blobs.has"]
    calls = {
        **shared,
        "records.lock": (mostly(LOCKS, ODD_LOCKS), st.just(False), st.booleans()),
        "records.let_go": (),
        "storage.size_bytes": (subvolume, st.none() | subvolume),
        "blobs.add": (digest, st.sampled_from((*NAMES.data, *ARCHIVES))),
    }
    return steps_of((*calls.items(), *_about_archives()))


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
    kernel.blobs.add(NAMES.digests[0], b"")  # so that there is the directory
    kernel.blobs.remove(NAMES.digests[0])
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
            mac = value.mac if value.mac in (*NAMES.macs, BRIDGE_MAC) else "some MAC"
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

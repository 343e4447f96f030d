"""Programs of port operations, drawn by chance, and what the fake kernel says of each step.

A program is a list of calls. Its answers are texts in which nothing depends on the machine (`tests/player.py`),
and after each step the whole world is one, too (`World.dump(whole=True)`; `tests/system/dump.py` reads the same
of Linux).

How they are drawn: a list of candidates, each a few calls that belong together, such as all that a container needs
to run. The fake says at once what a call does. What it has no model for is passed over; so is, four times in five,
what it refuses, or most steps would be refusals. Names come from small pools, so that they collide.

How both come to rest: what the kernel does by itself, it does some time later, and a real program takes its time.
The next step comes when all processes sleep or are dead, and when the links of ended namespaces are gone: on the
fake time passes until then, on Linux the world is read again and again until it is the same, at most for some
seconds. That loses nothing but the time in between, which contracts hold (`…some_time_later`,
`test_members_die_with_the_first_process`): what does not become the same in that time is a difference. Sleepers are
of two kinds, those that wake (after `MEDIUM_S`) and those that don't; `ambient.sleep` is drawn where it lets one
wake. Where a slow machine lets one wake too early, the program is run again with more time.
What `archives.unpack` and `spill` leave when they fail is anybody's guess, by their port: a program ends there.

Not drawn, of all ports:
- `http` and `accounts`: they are asked of servers and helpers, not of the kernel; contracts hold them.
- `host.facts`, `make_filesystem`, `mount_image`, `cgroups.layout`: the machine's own, or a loop device each time.
- `blobs.path` and `draft`: paths. `storage.sync`: seen only when power fails (`tests/system/power.py`).
- signals to the program itself, and standard input: contracts hold them. Locks that wait: nobody would let go.
- what the fake calls `NotModelled`: to release twice, to follow or enter a child that was not released, to stop a
  process, to discard a container with a member that nobody reaped (on Linux this waits for ever).

    python -m tests.system.sandbox -- python -m pytest -s tests/system/test_differential.py --programs 10000 --seed 7
"""

from __future__ import annotations

import gzip
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from bocker.core.limits import Limits
from bocker.core.settings import Settings
from bocker.core.spec import File, Mount
from bocker.core.value import Value
from bocker.fakes import World, laws, programs
from bocker.fakes.errors import NotModelled
from bocker.fakes.faults import Gate
from bocker.fakes.kernel import FakeKernel
from bocker.fakes.state import DIRECTORY, FIFO, FILE, SYMLINK, Entry, State
from bocker.fakes.testing import Names
from bocker.fakes.testing.programs import mostly, operations
from bocker.kernel.archives import Bounds
from tests.contracts import layers
from tests.contracts.specs import MOUNTS
from tests.player import ANY_WORLD, CONTAINERS, LATER, MEMBERS, NOBODY, OTHER_BOOT, Call, Player, make_blobs_directory
from tests.system.groups import VERSION

STORE = Settings().store
MOST = 25
MEDIUM_S = 0.3  # how long a sleeper sleeps that wakes up
PATIENT_MEDIUM_S = (3.0, 30.0)  # on a machine that was too slow
REST_S = 0.1  # on the fake, what happens by itself within this time happens before the next step
LONG = "60"
MEDIUM = "medium"  # stands for MEDIUM_S in programs
MEBIBYTE = 1 << 20
APPLETS = ("sh", "true", "false", "echo", "sleep", "cat", "env")

NAMES = Names(
    subvolumes=("img_42002", *CONTAINERS, "tree", "tree_ro", ".img_42002.new", ""),
    links=("veth0_ps_42002", "veth0_ps_42003", "eth0", "bridge0", "other0", "lo"),
)
LOCKS, ODD_LOCKS = ("layers", "names"), ("", "..", ".a", "a/b", "n" * 256)
BLOBS = tuple(f"{STORE}/.meta/blobs/{digest}" for digest in NAMES.digests)
TREES = tuple(f"{STORE}/{name}" for name in ("tree", "tree_ro", ".img_42002.new"))
ODD_PATHS = (f"{STORE}/none", f"{STORE}/none/x", STORE, f"{STORE}/.meta")
SMALL = Bounds(entries=3, size_bytes=1 << 16, depth=2)
ARCHIVE_MEMBERS = (("a", b"content"), ("d/b", b""), ("d/c", BLOBS[0]))
ODD_MEMBERS = (("", b""), ("/a", b""), ("a/../b", b""), ("x", f"{STORE}/none"), ("a/b", TREES[0]))
FILES = (f"{STORE}/tree/a", f"{STORE}/ps_42002/etc/hosts", f"{STORE}/ps_42002/tmp/note", f"{STORE}/none")
SETTINGS = ("net.ipv4.ip_forward", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.none")

WORDS: tuple[tuple[str, ...], ...] = (
    ("sleep", LONG),
    ("echo", "ready", ",", "sleep", LONG),
    ("trap", "15", "8", ",", "sleep", LONG),
    ("ignore", "15", ",", "ignore", "10", ",", "echo", "deaf", ",", "sleep", LONG),
    ("fork", "sleep", LONG, "|", "sleep", LONG),
    ("fork", "sleep", LONG, "|", "exit", "3"),
    ("fork", "trap", "15", "4", ",", "sleep", LONG, "|", "echo", "parent", ",", "exit", "0"),
    ("fork", "fork", "sleep", LONG, "|", "exit", "0", "|", "sleep", LONG),
    ("sleep", MEDIUM, ",", "echo", "late", ",", "sleep", LONG),
    ("sleep", MEDIUM, ",", "write", "/tmp/note", "late", ",", "exit", "5"),
    ("fork", "sleep", MEDIUM, ",", "write", "/tmp/note", "child", "|", "sleep", LONG),
    ("echo", "a b", ",", "error", "c", ",", "exit", "7"),
    ("write", "/tmp/note", "hello", ",", "exit", "0"),
    ("write", "/none/note", "hello"),
    ("write", "/root/note", "hello"),
    ("eat", str(64 * MEBIBYTE)),
    ("fork", "eat", str(64 * MEBIBYTE), "|", "sleep", LONG),
    ("exit", "0"),
)
CHANGES: tuple[tuple[tuple[str, Any], ...], ...] = (
    *[()] * 20,
    (("group", "ps_42003"),),
    (("group", "ps_none"),),
    (("root", f"{STORE}/img_42002"),),
    (("root", f"{STORE}/none"),),
    (("hostname", "h" * 65),),
    (("bridge", "none0"),),
    (("bridge", "other0"),),
    (("host_link", "other0"),),
    (("interface", "lo"),),
    (("args", ("none",)),),
    (("args", ("/etc/hosts",)),),
    (("cwd", "/new/below"),),
    (("cwd", "/etc/hosts"),),
    (("directories", ("/data/of/mine",)),),
    (("files", (File("/etc/none", b"planned"), File("/etc/hosts", b"planned"))),),
    (("mounts", (*MOUNTS, Mount("tmpfs", "/none/below"))),),
    (("mounts", (*MOUNTS, Mount("bind", "/mnt", f"{STORE}/tree"))),),
    (("mounts", (*MOUNTS, Mount("no-such-kind", "/mnt"))),),
    (("sysctls", (("net.ipv4.ip_unprivileged_port_start", "0"),)),),
    (("readonly_paths", ("/etc",)),),
    (("masked_paths", ("/etc/hosts", "/root")),),
    (("user", "nobody-of-that-name"),),
    (("user", "1000:1000"),),
)


class Candidate(NamedTuple):
    """Calls that belong together; kept says whether they stay in the program even where they are refused."""

    calls: tuple[Call, ...]
    kept: bool


class Played(NamedTuple):
    """A program, and what the fake said after each step."""

    calls: tuple[Call, ...]
    answers: tuple[str, ...]
    worlds: tuple[str, ...]


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
    broken = (whole[1][:700], b"no archive" * 100, gzip.compress(whole[1])[:-9], b"BZh91AY")
    return (*whole, gzip.compress(whole[1], mtime=0), *broken)


ARCHIVES = _archives()


def root_files() -> dict[str, tuple[str, int, bytes]]:
    """Return what the image of all programs holds: by path its kind, mode, and content or target."""
    here = Path(__file__).parent
    busybox = Path("/bin/busybox")
    folders = ("bin", "dev", "etc", "mnt", "proc", "root", "sys")
    return {
        **dict.fromkeys(folders, (DIRECTORY, 0o755, b"")),
        "tmp": (DIRECTORY, 0o1777, b""),
        "bin/busybox": (FILE, 0o755, busybox.read_bytes() if busybox.exists() else b"\x7fELF"),
        "bin/probe": (FILE, 0o755, (here / "system/probe.sh").read_bytes()),
        **{f"bin/{name}": (SYMLINK, 0o777, b"busybox") for name in APPLETS},
        "etc/hosts": (FILE, 0o644, b"the image's own\n"),
        "etc/never": (FIFO, 0o666, b""),
        "etc/passwd": (FILE, 0o644, b"root:x:0:0:root:/root:/bin/sh\n"),
    }


def candidates() -> st.SearchStrategy[list[Candidate]]:
    """Draw what a program is made of; None is the simplest, so that what does not matter shrinks to nothing."""
    weighted = [block for weight, block in _blocks() for _ in range(weight)]
    block = st.integers(0, len(weighted) - 1).flatmap(lambda number: weighted[number])
    candidate = st.builds(Candidate, block, st.integers(0, 4).map(lambda number: number == 1))
    return st.lists(st.none() | candidate | candidate | candidate, min_size=40, max_size=60).map(
        lambda drawn: [one for one in drawn if one is not None]
    )


def _blocks() -> Iterator[tuple[int, st.SearchStrategy[tuple[Call, ...]]]]:
    """Give what candidates are made of, and how often each is drawn."""
    yield 24, st.builds(_started, _container(), st.sampled_from(WORDS), st.sampled_from(CHANGES))
    yield 10, st.builds(_entered, st.sampled_from(MEMBERS), _container(), st.sampled_from(WORDS))
    yield 4, st.builds(_wired, st.sampled_from(NAMES.links[:3]), st.sampled_from(NAMES.namespaces))
    yield 4, st.builds(_moved, st.sampled_from(NAMES.links[:3]), st.sampled_from(NAMES.namespaces), _label())
    yield 3, st.just(_layered())
    for operation, arguments in _single():
        yield 6 if operation.startswith("processes.") else 2, _call(operation, arguments).map(lambda call: (call,))


def _call(operation: str, arguments: tuple[st.SearchStrategy[Any], ...]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(operation), st.tuples(*arguments))


def _started(name: str, words: tuple[str, ...], changes: tuple[tuple[str, Any], ...]) -> tuple[Call, ...]:
    return (
        ("storage.snapshot", ("img_42002", name, False)),
        ("cgroups.create", (name,)),
        ("processes.create", (name, words, changes)),
        ("processes.release", (name,)),
    )


def _entered(label: str, target: str, words: tuple[str, ...]) -> tuple[Call, ...]:
    return (("processes.enter", (label, target, words, target)), ("processes.release", (label,)))


def _wired(link: str, namespace: str) -> tuple[Call, ...]:
    return (
        ("namespaces.create", (namespace,)),
        ("network.create_veth", (link, "eth0", NAMES.macs[0], "bridge0", namespace)),
        ("network.set_up", ("eth0", True, namespace)),
        ("network.add_address", ("eth0", NAMES.addresses[0], namespace)),
        ("network.add_default_route", (NAMES.gateways[0], namespace)),
    )


def _moved(link: str, namespace: str, label: str) -> tuple[Call, ...]:
    """Move a veth into the namespace of a process, by name."""
    return (
        ("namespaces.link", (namespace, label)),
        ("network.create_veth", (link, "other0", NAMES.macs[1], "bridge0", None)),
        ("network.move", ("other0", namespace)),
    )


def _layered() -> tuple[Call, ...]:
    return (
        ("storage.create", ("tree",)),
        ("blobs.add", (NAMES.digests[0], ARCHIVES[1])),
        ("archives.unpack", (BLOBS[0], TREES[0], Bounds())),
        ("storage.snapshot", ("tree", "tree_ro", True)),
    )


def _container() -> st.SearchStrategy[str]:
    return st.sampled_from((CONTAINERS[0], CONTAINERS[0], CONTAINERS[1]))


def _label() -> st.SearchStrategy[str]:
    return st.sampled_from((CONTAINERS[0], CONTAINERS[0], MEMBERS[0], CONTAINERS[1], CONTAINERS[0], MEMBERS[1]))


def _single() -> Iterator[tuple[str, tuple[st.SearchStrategy[Any], ...]]]:
    shared = operations(NAMES)
    (subvolume,), (digest,) = shared["storage.describe"], shared["blobs.has"]
    own = {
        "records.lock": (mostly(LOCKS, ODD_LOCKS), st.just(False), st.booleans()),
        "records.let_go": (),
        "storage.size_bytes": (subvolume, st.none() | subvolume),
        "blobs.add": (digest, st.sampled_from((*NAMES.data, *ARCHIVES))),
        "cgroups.limit": (shared["cgroups.create"][0], _limits()),
        "cgroups.add": (shared["cgroups.create"][0], _label()),
        "namespaces.link": (shared["namespaces.create"][0], _label()),
    }
    yield from {**shared, **own}.items()
    yield from ((f"state.{name.partition('.')[2]}", shared[name]) for name in shared if name.startswith("records."))
    yield from _of_processes()
    yield from _of_host()
    yield from _of_archives()


def _limits() -> st.SearchStrategy[Limits]:
    """Draw limits that leave no doubt: a real program takes memory and time of its own."""
    return st.builds(
        Limits,
        st.sampled_from((2, 100, 512, 1024, 300_000)),
        st.sampled_from((32 * MEBIBYTE, (1 << 30) + 1, 1 << 40)),
        st.sampled_from((None, 1, 2, 100, 5_000_000)),
        st.sampled_from((None, 100_000, 400_000, 900)),
    )


def _of_processes() -> Iterator[tuple[str, tuple[st.SearchStrategy[Any], ...]]]:
    label, words, name = _label(), st.sampled_from(WORDS), st.sampled_from(CONTAINERS)
    odd = mostly(("",), (LATER, OTHER_BOOT))
    yield "processes.create", (name, words, st.sampled_from(CHANGES))
    yield "processes.enter", (st.sampled_from(MEMBERS), label, words, name, odd)
    yield "processes.release", (label,)
    yield "processes.next_event", (label,)
    yield "processes.next_event", (label,)
    yield "processes.close_output", (label, st.sampled_from((1, 2)))
    yield "processes.discard", (label,)
    yield "processes.signal", (label, st.sampled_from((0, 1, 9, 9, 10, 15, 15, 28, 64, 65)), odd)
    yield "processes.alive", (label, odd)
    yield "processes.myself", ()
    yield "ambient.sleep", (st.sampled_from((0.0, 1.2 * MEDIUM_S, 1.2 * MEDIUM_S, 1.2 * MEDIUM_S)),)
    yield "ambient.now_ns", ()
    yield "ambient.boot_id", ()


def _of_host() -> Iterator[tuple[str, tuple[st.SearchStrategy[Any], ...]]]:
    tree, file, setting = st.sampled_from((*TREES, *ODD_PATHS[:2])), st.sampled_from(FILES), st.sampled_from(SETTINGS)
    yield "host.copy_tree", (tree, tree)
    yield "host.delete", (st.sampled_from((*FILES, f"{STORE}/tree/d", f"{STORE}/tree/d/b", STORE)),)
    yield "host.read", (file,)
    yield "host.read_sysctl", (setting,)
    yield "host.write_sysctl", (setting, st.sampled_from(("0", "1", "x")))
    yield "host.mount_at", (st.sampled_from((*FILES, STORE)),)
    yield "host.protect", (file, file)
    yield "host.restrict", (st.sampled_from((*FILES, STORE)),)
    yield "host.unmount", (st.sampled_from((*FILES, f"{STORE}/tree")), st.booleans())


def _of_archives() -> Iterator[tuple[str, tuple[st.SearchStrategy[Any], ...]]]:
    """Give operations of archives with at most one argument that is odd: which of two errors comes first is free."""
    blob, tree, bounds = st.sampled_from(BLOBS), st.sampled_from(TREES), st.sampled_from((Bounds(), Bounds(), SMALL))
    odd, members = st.sampled_from(ODD_PATHS), st.lists(st.sampled_from(ARCHIVE_MEMBERS), max_size=3).map(tuple)
    folder = st.sampled_from((f"{STORE}/.meta/blobs", f"{STORE}/spilled"))
    format_ = st.sampled_from(("plain", "gzip"))
    yield "archives.unpack", (blob, st.one_of(tree, odd), bounds)
    yield "archives.unpack", (odd, st.just(f"{STORE}/.meta/blobs"), bounds)
    yield "archives.spill", (blob, st.one_of(folder, odd), bounds)
    yield "archives.spill", (odd, folder, bounds)
    yield "archives.bundle", (members, blob)
    yield "archives.bundle", (st.just(ARCHIVE_MEMBERS[:2]), odd)
    yield "archives.bundle", (st.sampled_from(ODD_MEMBERS).map(lambda member: (member,)), blob)
    yield "archives.pack", (st.one_of(tree, odd), st.none(), blob, format_)


class Fake:
    """The fake kernel's side of a program."""

    def __init__(self, medium_s: float = MEDIUM_S) -> None:
        self._scale = medium_s / MEDIUM_S
        self.world = World(cgroup_version=VERSION)
        self.world.state = first_state()
        pid = next(row.pid for row in self.world.state.processes.values() if row.spec is None)
        self.player = Player(FakeKernel(self.world, Settings(), pid, Gate()))
        self.is_over = False
        self.calls: list[Call] = []
        self.answers: list[str] = []
        self.worlds: list[str] = []

    def attempt(self, call: Call, kept: bool) -> bool:
        """Add a call to the program, or leave it out and the world as it was; tell which."""
        before = self.world.state, self.player.copy()
        kept = kept or call[0] == "processes.release"  # after which the process is gone
        try:
            answer = self.player.play(timed(call, MEDIUM_S * self._scale))
            self.come_to_rest()
        except NotModelled:
            answer = NOBODY
        if (is_refused(answer) and not kept) or answer == NOBODY or self._is_useless(call, *before):
            self.world.state, self.player = before
            return False
        self.calls.append(call)
        self.answers.append(answer)
        self.is_over = leaves_a_part(call) and is_refused(answer)
        self.worlds.append(ANY_WORLD if self.is_over else self.world.dump(whole=True))
        return True

    def _is_useless(self, call: Call, before: State, player: Player) -> bool:
        """Tell whether a call only makes another process under the label of one that is there, or only takes time."""
        if call[0] == "processes.create" and (process := player.processes.get(call[1][0])) is not None:
            return process.handle in before.handles
        sleepers = [row.wakes_ns for row in before.processes.values() if row.wakes_ns is not None]
        until_ns = before.clock_ns + int(call[1][0] * self._scale * programs.SECOND_NS) if is_sleep(call) else 0
        return is_sleep(call) and call[1][0] > 0 and not any(wakes_ns < until_ns for wakes_ns in sleepers)

    def come_to_rest(self) -> None:
        """Let happen what happens soon."""
        while True:
            due_ns = laws.next_due_ns(self.world.state)
            if due_ns is None or due_ns > self.world.state.clock_ns + int(REST_S * programs.SECOND_NS):
                return
            self.world.change("rest", "", lambda state, due_ns=due_ns: programs.pass_time(state, due_ns))

    def played(self) -> Played:
        """Return the program."""
        return Played(tuple(self.calls), tuple(self.answers), tuple(self.worlds))


@cache
def first_state() -> State:
    """Return the world in which each program begins: a host with a store, a bridge, and one image."""
    world = World(cgroup_version=VERSION).prepare(Settings())
    kernel = world.kernel(Settings())
    kernel.firewall.remove(Settings().table)
    kernel.storage.create(".template")
    entries = {path: _entry(*one) for path, one in root_files().items()}
    world.add_files(f"{STORE}/.template", entries)
    kernel.storage.snapshot(".template", "img_42002")
    kernel.storage.delete(".template")
    make_blobs_directory(kernel)
    return world.state


def _entry(kind: str, mode: int, content: bytes) -> Entry:
    return Entry(kind, mode, target=content.decode()) if kind == SYMLINK else Entry(kind, mode, content=content)


def drawn(chosen: Iterable[Candidate], most: int = MOST) -> Played:
    """Make a program of candidates."""
    fake = Fake()
    for candidate in chosen:
        for call in candidate.calls:
            if len(fake.calls) < most and not fake.is_over:
                fake.attempt(call, candidate.kept)
    return fake.played()


def played(calls: Sequence[Call], medium_s: float = MEDIUM_S) -> Played:
    """Run a program on the fake as it is. Raise AssertionError for a step that it has no model for."""
    fake = Fake(medium_s)
    for call in calls:
        assert fake.attempt(call, kept=True) or is_sleep(call), f"{call} is not modelled"
    return fake.played()


def timed(call: Call, medium_s: float) -> Call:
    """Return a call with its times."""
    if is_sleep(call):
        return call[0], (call[1][0] * medium_s / MEDIUM_S,)
    operation, arguments = call
    return operation, tuple(_timed(argument, medium_s) for argument in arguments)


def _timed(argument: Any, medium_s: float) -> Any:
    if type(argument) is tuple and MEDIUM in argument:
        return tuple(str(medium_s) if word == MEDIUM else word for word in argument)
    return argument


def is_sleep(call: Call) -> bool:
    """Tell whether a call is time that passes."""
    return call[0] == "ambient.sleep"


def leaves_a_part(call: Call) -> bool:
    """Tell whether a call may leave some of its work where it is refused: the port says so, and not which."""
    return call[0] in {"archives.unpack", "archives.spill"}


def has_sleepers(calls: Iterable[Call]) -> bool:
    """Tell whether somebody in a program wakes up."""
    return any(MEDIUM in argument for _, arguments in calls for argument in arguments if type(argument) is tuple)


def is_refused(answer: str) -> bool:
    """Tell whether an answer is an error: the name of its class, and of its errno."""
    return answer.partition(" ")[2].startswith("E")


def pasted(calls: Sequence[Call], name: str, why: str) -> str:
    """Return a program as a whole test: its imports, its fixture and its body."""
    modules: dict[str, set[str]] = {}
    for _, arguments in calls:
        _collect(arguments, modules)
    imports = "".join(f"from {module} import {', '.join(sorted(names))}\n" for module, names in sorted(modules.items()))
    steps = "".join(f"{call!r},\n" for call in calls)
    return (
        f"from __future__ import annotations\n\n{imports}from tests.system.agreement import Agree\n\n\n"
        f'def test_{name}(agree: Agree) -> None:\n    """{why}"""\n    agree(\n'
        f"{textwrap.indent(steps, ' ' * 8)}    )\n"
    )


def _collect(value: object, modules: dict[str, set[str]]) -> None:
    if isinstance(value, Value):
        modules.setdefault(type(value).__module__, set()).add(type(value).__name__)
    if isinstance(value, tuple):
        for item in value:
            _collect(item, modules)

"""Every fault at every call: what a command leaves when it fails is nothing, or what `cleanup` takes back.

The faults are those of `bocker.fakes.faults`: call k refused, done but reported failed, and the
program killed there. What the machine held before is in every outcome as it was: no fault loses
an image, a container or a file.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

import attrs
import pytest

from bocker.core.errors import BockerError
from bocker.engine import listing, removal, stop, store
from bocker.fakes import Crashed
from bocker.fakes.faults import Call, CrashAt, Gate, Recorder, RefuseCall, faults_of
from tests.unit.engine.bench import Bench, Screen, ready

pytestmark = pytest.mark.sweep

_ID = re.compile(r"\b(ps|img)_\d+")
_ENDED = re.compile(r"container ps_NEW (?:exited 0|dead None) (\S+) .*")
_MADE_OF = re.compile(r" made of .* of (?=\d+ files)")
_UUID = re.compile(r"\b[0-9a-f]{32}\b")
ABOUT_WHAT_IS_THERE = frozenset(
    {
        "storage.delete",
        "storage.describe",
        "storage.nested",
        "storage.names",
        "storage.publish",
        "storage.exchange",
        "records.read",
        "records.remove",
        "namespaces.remove",
        "cgroups.remove",
        "cgroups.limit",
    }
)
FILE_OF_THE_CONTAINER = "etc/mine"


@attrs.frozen
class Command:
    """A command, the world before it, and how many calls it makes when nothing goes wrong."""

    name: str
    before: Callable[[], Bench]
    act: Callable[[Bench], object]
    calls: int
    goes_forward: bool = False  # what has begun is finished by `cleanup`, not taken back


def with_container() -> Bench:
    """Return a bench with an image `base`, and a container `web` that holds a file of its own."""
    bench = ready()
    bench.run("probe", "write", f"/{FILE_OF_THE_CONTAINER}", "data", name="web")
    bench.world.settle()
    return bench


def with_leftovers() -> Bench:
    """Return a bench on which something has the names that the next container and image would get."""
    bench = with_container()
    kernel = bench.program()
    kernel.storage.create("ps_42003")
    kernel.storage.create("img_42003")
    kernel.storage.create(".img_42004.new")
    kernel.cgroups.create("ps_42004")
    kernel.network.create_veth("veth0_ps_42005", "other", "02:42:ac:11:00:05", bench.settings.bridge)
    return bench


def with_two_images() -> Bench:
    """Return a bench whose image `app` was committed from `web`, which was changed since."""
    bench = with_container()
    bench.commit("web", "app")
    bench.write("ps_42002", FILE_OF_THE_CONTAINER, "newer")
    return bench


def after_a_crash() -> Bench:
    """Return a bench on which engines were killed: in a run, in an init, and in a removal."""
    bench = with_two_images()
    crash(bench, lambda one: one.run("probe", "echo", "up", ",", "sleep", "9"), "processes.next_event")
    crash(bench, lambda one: one.add_image(), "storage.publish")
    bench.add_image(tag="doomed")
    crash(bench, lambda one: one.rm("doomed"), "records.remove")
    return bench


def with_configuration() -> Bench:
    """Return a bench whose image `base` says all that an image can say."""
    bench = with_container()
    bench.write("img_42002", "etc/group", "root:x:0:\nstaff:x:50:root\n")
    bench.configure(
        "base",
        entrypoint=("probe", "echo"),
        command=("hi",),
        environment=("PATH=/bin", "LANG=C"),
        working_directory="/tmp",
        user="root:staff",
        volumes=("/tmp",),
        stop_signal="INT",
        labels=("a=b",),
    )
    return bench


def with_orphan() -> Bench:
    """Return a bench on which the engine of the container `live` was killed."""
    bench = with_container()
    crash(bench, lambda one: one.run("probe", "echo", "up", ",", "sleep", "9", name="live"), "processes.next_event")
    return bench


def crash(bench: Bench, act: Callable[[Bench], object], operation: str) -> None:
    """Let another program be killed before its first call of an operation."""
    victim = bench.in_another_terminal()
    victim.kernel.gate = CrashBefore(operation)
    with pytest.raises(Crashed):
        act(victim)
    bench.world.settle()


class CrashBefore(CrashAt):
    """Kills the program before the first call of an operation."""

    def __init__(self, operation: str) -> None:
        super().__init__(0)
        self.operation = operation

    def _is_now(self, call: object) -> bool:
        return getattr(call, "operation", "") == self.operation


def while_it_runs(act: Callable[[Bench], object], name: str = "live") -> Callable[[Bench], object]:
    """Return a command that is given while a container of this name runs in another terminal."""

    def in_between(bench: Bench) -> object:
        errors: list[BaseException] = []

        def now(data: bytes) -> None:
            if data == b"up\n":
                try:
                    act(bench)
                except (BockerError, Crashed) as error:
                    errors.append(error)

        owner = bench.in_another_terminal()
        owner.run("probe", "echo", "up", ",", "sleep", "5", name=name, remove_on_exit=True, screen=Screen(now))
        if errors:
            raise errors[0]
        return None

    return in_between


COMMANDS = [
    Command("init", ready, lambda bench: bench.add_image(tag="app"), 22),
    Command("init with leftovers", with_leftovers, lambda bench: bench.add_image(tag="app"), 27),
    Command("init moves a tag", ready, lambda bench: bench.add_image(tag="base"), 27),
    Command("run", with_container, lambda bench: bench.run("probe", "echo", "hi"), 37),
    Command("run --rm", with_container, lambda bench: bench.run("probe", "echo", "hi", remove_on_exit=True), 39),
    Command("run --name", with_container, lambda bench: bench.run("probe", "echo", "hi", name="db"), 40),
    Command("run with leftovers", with_leftovers, lambda bench: bench.run("probe", "echo", "hi"), 68),
    Command("run as its image says", with_configuration, lambda bench: bench.run(labels=("own=1",)), 37),
    Command("exec", with_container, while_it_runs(lambda bench: bench.execute("live", "probe", "echo", "hi")), 9),
    Command("commit", with_container, lambda bench: bench.commit("web", "app"), 33),
    Command("commit onto", with_two_images, lambda bench: bench.commit("web", "app"), 33),
    Command("rm container", with_container, lambda bench: removed(bench, "web"), 23, True),
    Command("rm image", with_two_images, lambda bench: removed(bench, "app"), 34, True),
    Command("stop", with_orphan, lambda bench: stopped(bench, "live"), 12, True),
    Command("cleanup", after_a_crash, lambda bench: bench.cleanup(), 84, True),
]
NAMES = [command.name for command in COMMANDS]


def removed(bench: Bench, reference: str) -> None:
    """Remove one thing; raise what stopped it."""
    (one,) = removal.remove(bench.kernel, bench.settings, (reference,))
    if one.error is not None:
        raise one.error


def stopped(bench: Bench, reference: str) -> None:
    """Stop one container; raise what kept it."""
    (one,) = stop.stop(bench.kernel, bench.settings, (reference,))
    if one.error is not None:
        raise one.error


def holdings(bench: Bench, known: frozenset[str] = frozenset()) -> list[str]:
    """Return everything on the machine: what the kernel has, all files, and what the lists say.

    Ids that are not `known` are all called NEW, and content is not told by its UUID: which number a
    command got is no matter.
    """
    other = bench.in_another_terminal()
    lines = [line.partition(" file of ")[0] for line in other.traces()]
    for name in other.kernel.storage.names():
        lines += [f"file {name}/{path} {content!r}" for path, content in other.tree(name).items()]
    for record in (store.load_container(other.kernel, one) for one in store.container_ids(other.kernel)):
        lines.append(f"container {record.id} {record.state} {record.exit_code} {record.name} {record.image_source}")
    for image in listing.images(other.kernel, other.settings):
        lines.append(f"image {image.id} {image.tags} {image.source}")
    return sorted(
        _UUID.sub("UUID", _ID.sub(lambda found: found[0] if found[0] in known else f"{found[1]}_NEW", line))
        for line in lines
    )


def of_themselves(lines: list[str]) -> list[str]:
    """Return holdings without what a tree was made of: whether that is there is another thing's matter."""
    return [_MADE_OF.sub(" of ", line) for line in lines]


def ids_of(bench: Bench) -> frozenset[str]:
    """Return the ids that a container, an image or a subvolume has."""
    kernel = bench.program()
    return frozenset({*kernel.storage.names(), *kernel.records.list("containers"), *kernel.records.list("images")})


class Sweep:
    """One command, and its outcomes when nothing goes wrong."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.bench = command.before()
        self.known = ids_of(self.bench)
        self.start = self.bench.world.state
        self.again(Gate())
        self.untouched = self.holdings()
        self.recover()
        self.before = self.holdings()
        recorder = Recorder()
        self.again(recorder)
        command.act(self.bench)
        self.calls = list(recorder.calls)
        self.recover()
        self.done = self.holdings()

    def again(self, gate: Gate) -> None:
        """Start from the world as it was before the command."""
        self.bench.world.state = self.start
        self.bench.world.kernels.clear()
        self.bench.world.journal.clear()
        self.bench.kernel = self.bench.program()
        self.bench.kernel.gate = gate

    def recover(self) -> None:
        """Let the program end, and somebody else clean up."""
        self.bench.world.kill_program(self.bench.kernel)
        self.bench.kernel = self.bench.program()
        self.bench.cleanup()

    def holdings(self) -> list[str]:
        """Return what the machine holds."""
        return ended(holdings(self.bench, self.known))

    def attempt(self, gate: Gate) -> tuple[bool, list[str], list[str]]:
        """Give the command with a fault; return whether it succeeded, and the holdings before and after cleanup."""
        self.again(gate)
        try:
            self.command.act(self.bench)
            succeeded = True
        except (BockerError, Crashed):
            succeeded = False
        left = self.holdings()
        self.recover()
        return succeeded, left, self.holdings()

    def allowed(self, gate: Gate, succeeded: bool) -> list[list[str]]:
        """Return the outcomes that a fault may have."""
        if succeeded:
            return [self.done]
        ran = self.calls[gate.number - 1].operation == "processes.next_event" if isinstance(gate, RefuseCall) else False
        if self.command.goes_forward or isinstance(gate, CrashAt) or ran:
            return [self.before, self.done]
        return [self.before]


def ended(lines: list[str]) -> list[str]:
    """Return holdings in which it is no matter how a new container ended, and whether its log is there."""
    lines = [line for line in lines if not line.endswith("logs/ps_NEW")]
    return [_ENDED.sub(r"container ps_NEW ended \1", line) for line in lines]


def is_a_lie(gate: Gate, calls: list[Call]) -> bool:
    """Tell whether a fault says that something is not there which is: no kernel does (the fault model)."""
    if not isinstance(gate, RefuseCall) or gate.errno not in {errno.ENOENT, errno.ESRCH, errno.ENODEV}:
        return False
    return calls[gate.number - 1].operation in ABOUT_WHAT_IS_THERE


@pytest.fixture(scope="module", params=COMMANDS, ids=NAMES)
def sweep(request: pytest.FixtureRequest) -> Sweep:
    return Sweep(request.param)


def test_the_number_of_calls_is_known(sweep: Sweep) -> None:
    """A call more on the way of a command is a decision, and is written here."""
    assert len(sweep.calls) == sweep.command.calls


def test_a_fault_leaves_nothing_that_cleanup_does_not_take_back(sweep: Sweep) -> None:
    for gate in faults_of(sweep.calls):
        if is_a_lie(gate, sweep.calls):
            continue
        succeeded, left, after = sweep.attempt(gate)
        assert after in sweep.allowed(gate, succeeded), told(sweep, gate, succeeded, after)
        if isinstance(gate, RefuseCall) and not succeeded and not sweep.command.goes_forward:
            assert not [line for line in left if line not in sweep.untouched], "not undone: " + told(
                sweep, gate, succeeded, left
            )


def told(sweep: Sweep, gate: Gate, succeeded: bool, after: list[str]) -> str:
    """Return which fault it was and what it left."""
    expected = sweep.allowed(gate, succeeded)[0]
    return "\n".join(
        [
            f"{type(gate).__name__} {getattr(gate, 'number', '')} {getattr(gate, 'met', '')}",
            f"the command {'succeeded' if succeeded else 'failed'}",
            *(f"+ {line}" for line in after if line not in expected),
            *(f"- {line}" for line in expected if line not in after),
        ]
    )

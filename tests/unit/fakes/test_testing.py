"""The kernel in memory for others: its plugin in a project of its own, its sweep, its programs, its promises.

`python -m tests.unit.fakes.test_testing` writes what is public into `public.txt`. A line more there is a
decision; a line less, or another one, breaks whoever tests with it.
"""

from __future__ import annotations

import ast
import errno
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given

from bocker import fakes
from bocker.core import addresses, limits, settings, spec
from bocker.core.addresses import Interface, Subnet
from bocker.core.limits import Limits
from bocker.core.settings import Settings
from bocker.core.value import Value
from bocker.fakes import Crashed, DoButReportFailure, FakeKernel, RefuseCall, World, testing
from bocker.fakes.testing import PORTS_OF_PROGRAMS, Faults, Names, Outcome, Program, Step, programs, run_program, steps
from bocker.fakes.testing.programs import operations
from bocker.kernel import PORTS, errors
from bocker.kernel.errors import KernelError, Missing
from tests.unit import observed

ROOT = Path(__file__).parents[3]
PAGE_EXAMPLES = 5
PUBLIC = Path(__file__).with_name("public.txt")
LINUX_ONLY = (
    "fcntl",
    "pyroute2",
    "requests",
    "isal",
    "resource",
    "termios",
    "pwd",
    "grp",
    "_posixsubprocess",
    "select",
)
# The errno that C++11 has, and so every platform.
PORTABLE_ERRNO = frozenset(
    """E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBADMSG EBUSY ECANCELED ECHILD
    ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDESTADDRREQ EDOM EEXIST EFAULT EFBIG EHOSTUNREACH EIDRM EILSEQ
    EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR ELOOP EMFILE EMLINK EMSGSIZE ENAMETOOLONG ENETDOWN ENETRESET
    ENETUNREACH ENFILE ENOBUFS ENODATA ENODEV ENOENT ENOEXEC ENOLCK ENOLINK ENOMEM ENOMSG ENOPROTOOPT ENOSPC ENOSR
    ENOSTR ENOSYS ENOTCONN ENOTDIR ENOTEMPTY ENOTRECOVERABLE ENOTSOCK ENOTSUP ENOTTY ENXIO EOPNOTSUPP EOVERFLOW
    EOWNERDEAD EPERM EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EROFS ESPIPE ESRCH ETIME ETIMEDOUT ETXTBSY
    EWOULDBLOCK""".split()
)
PORTABLE_MODULES = frozenset(
    """__future__ abc _json _operator attrs base64 binascii collections contextlib errno fnmatch functools hashlib
    hypothesis json pytest re shlex string typing urllib zlib zstandard bocker""".split()
)

# What programs leave out: what has to be let go of again, what needs files or servers, and what only waits.
NOT_DRAWN = {"storage.size_bytes", "storage.sync", "records.lock", "blobs.path", "blobs.draft", "namespaces.link"}
NOT_DRAWN |= {"cgroups.add", "cgroups.layout"}
# Of the public classes, but of the inside: they speak of the tables of the state, or of how calls are made.
INSIDE = {
    *(f"World.{name}" for name in ("apply", "change", "wait", "process", "mounts")),
    *(f"World().{name}" for name in ("kernels", "servers", "helpers")),
    "FakeKernel.apply",
}


# What is promised.


def public_lines() -> Iterator[str]:
    """Give a line for each public name: of the package, of its plugin, of the ports, their values and errors."""
    for module in (fakes, testing):
        for name in sorted(module.__all__):
            yield from _lines_of(f"{module.__name__}.{name}", getattr(module, name))
    yield from (f"bocker.fakes.World().{name}" for name in sorted(vars(World())) if _is_public(f"World().{name}"))
    for name, port in sorted(observed.ports().items()):
        yield from _lines_of(f"bocker.kernel.{name}.{port.__name__}", port)
        yield from _values_of(sys.modules[port.__module__])
    for module in (addresses, limits, settings, spec):
        yield from _values_of(module)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KernelError)]
    yield from (f"bocker.kernel.errors.{kind.__name__}{_signature(kind)}" for kind in kinds)


def _lines_of(path: str, value: Any) -> Iterator[str]:
    value = inspect.unwrap(value) if not isinstance(value, type) and callable(value) else value
    yield path + (_signature(value) if isinstance(value, type) or inspect.isfunction(value) else "")
    for name, member in sorted(vars(value).items()) if isinstance(value, type) else ():
        if _is_public(f"{value.__name__}.{name}") and (inspect.isfunction(member) or isinstance(member, property)):
            yield f"{path}.{name}{_signature(member) if inspect.isfunction(member) else ''}"


def _values_of(module: ModuleType) -> Iterator[str]:
    for name, value in sorted(vars(module).items()):
        if isinstance(value, type) and value.__module__ == module.__name__ and issubclass(value, Value):
            yield f"{module.__name__}.{name}({', '.join(value.__annotations__)})"


def _is_public(name: str) -> bool:
    return name not in INSIDE and not name.partition(".")[2].startswith("_")


def _signature(value: Callable[..., Any]) -> str:
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    plain = (type(None), bool, int, float, str)
    parameters = [
        one if one.default is one.empty or isinstance(one.default, plain) else one.replace(default=...)
        for one in found.parameters.values()
        if one.name != "self"
    ]
    return str(found.replace(parameters=parameters)).replace("'", "").replace("Ellipsis", "...")


def test_what_is_public_is_what_was_recorded() -> None:
    """Read the top of this file when it is not."""
    assert list(public_lines()) == PUBLIC.read_text().splitlines()


def test_what_is_public_says_what_it_does() -> None:
    silent = []
    for module in (fakes, testing):
        for name in module.__all__:
            value = getattr(module, name)
            value = inspect.unwrap(value) if callable(value) else value
            members = [one for one in vars(value).values() if inspect.isfunction(one)] if inspect.isclass(value) else []
            documented = [one for one in (value, *members) if inspect.isclass(one) or inspect.isfunction(one)]
            silent += [one.__qualname__ for one in documented if not _is_documented(one)]
    assert silent == []


def _is_documented(value: Any) -> bool:
    return value.__name__.startswith("_") or bool(inspect.getdoc(value)) or value.__qualname__.endswith(".around")


def test_a_program_has_what_the_page_says(kernel: FakeKernel) -> None:
    for name in ("dead", "gate", "may_administer_network", "pid", "settings", "world", *PORTS):
        assert hasattr(kernel, name)


def test_it_is_no_entry_point() -> None:
    """An installed bocker has no business in everybody's tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "entry-points" not in project
    assert {word.partition(">")[0] for word in project["optional-dependencies"]["testing"]} == {"hypothesis", "pytest"}


# Anywhere.


def run_python(code: str) -> None:
    subprocess.run((sys.executable, "-c", code), check=True, cwd=ROOT, timeout=60)


def test_the_fake_itself_needs_no_test_library() -> None:
    run_python("import sys\nfor name in ('pytest', 'hypothesis'): sys.modules[name] = None\nimport bocker.fakes")


def test_nothing_that_only_linux_has_is_needed() -> None:
    run_python(
        "import sys, pytest, hypothesis\n"
        f"for name in {LINUX_ONLY!r}: sys.modules[name] = None\n"
        "from bocker.core.settings import Settings\n"
        "from bocker.fakes import World\n"
        "from bocker.fakes.testing import Faults\n"
        "world = World().prepare()\n"
        "swept = Faults(world).sweep(lambda kernel: kernel.storage.create('img_42002'), lambda outcome: None)\n"
        "assert swept.faults > 3\n"
        "assert not [name for name in sys.modules if name.startswith('bocker.linux')]\n"
    )


def sources() -> list[Path]:
    return [path for room in ("fakes", "core", "kernel") for path in (ROOT / "bocker" / room).rglob("*.py")]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT / "bocker")))
def test_what_is_imported_is_on_every_platform(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    numbers = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"errno", "_errno"}
    }
    assert {name.partition(".")[0] for name in imported} <= PORTABLE_MODULES
    assert numbers - {"errorcode"} <= PORTABLE_ERRNO


# The plugin in a project of its own.


def run_project(folder: Path, test: str, conftest: str = 'pytest_plugins = ["bocker.fakes.testing"]\n') -> str:
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_project.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    words = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(folder))
    paths = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, check=False, cwd=folder, env=paths, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


FAILING = """
def test_it(fake_kernel):
    fake_kernel.network.create_bridge("mine0", "02:42:0a:00:00:09")
    assert fake_kernel.network.link("mine0").up
"""
IN_A_VARIABLE = """
from bocker.fakes import World

def test_it():
    machine = World().prepare()
    machine.kernel().storage.create("img_42777")
    assert machine.kernel().storage.names() == ()
"""
IN_HYPOTHESIS = """
from hypothesis import Phase, given, settings
from bocker.fakes import World
from bocker.fakes.testing import programs, run_program

@settings(database=None, phases=[Phase.generate])
@given(programs("storage"))
def test_it(program):
    kernel = World().prepare().kernel()
    kernel.storage.create("img_42777")
    run_program(kernel, program)
    assert False
"""
IN_A_FIXTURE = """
import pytest

@pytest.fixture
def bridge(world):
    world.kernel().network.create_bridge("mine0", "02:42:0a:00:00:09")
    raise ValueError

def test_it(bridge):
    pass
"""


@pytest.mark.parametrize(
    ("test", "shown"),
    [
        (FAILING, ("link host mine0 down", "network.create_bridge mine0: ok")),
        (IN_A_VARIABLE, ("img_42777 subvolume", "storage.create img_42777: ok")),
        (IN_HYPOTHESIS, ("img_42777 subvolume", "storage.create img_42777: ok")),
        (IN_A_FIXTURE, ("link host mine0 down", "network.create_bridge mine0: ok")),
    ],
    ids=["fixture", "variable", "hypothesis", "setup"],
)
def test_a_failure_shows_the_world_and_the_calls(tmp_path: Path, test: str, shown: tuple[str, str]) -> None:
    output = run_project(tmp_path, test)
    assert output.count("- The world -") == 1
    assert output.count("- The last calls -") == 1
    assert all(line in output for line in shown), output


PASSING = """
def test_it(fake_kernel, world, faults, fake_settings):
    assert fake_kernel.network.link(fake_settings.bridge).up
    assert faults.world is world is fake_kernel.world
    faults.sweep(lambda kernel: kernel.storage.create("img_42002"), lambda outcome: None)
"""
OTHER_NAMES = """
import pytest
from bocker.core.settings import Settings
from bocker.fakes.testing import Names

pytest_plugins = ["bocker.fakes.testing"]

@pytest.fixture
def fake_settings():
    return Settings(bridge="other0")
"""


def test_a_project_has_the_fixtures_and_may_have_other_settings(tmp_path: Path) -> None:
    """Also without a warning that the plugin was imported before pytest could rewrite it."""
    output = run_project(tmp_path, PASSING, OTHER_NAMES)
    assert "1 passed" in output, output
    assert "world" not in output


def test_who_does_not_ask_for_it_has_nothing_of_it(tmp_path: Path) -> None:
    assert "fixture 'fake_kernel' not found" in run_project(tmp_path, FAILING, "")


def test_the_page_says_what_happens(tmp_path: Path) -> None:
    """Its examples are run: one fails on purpose, and shows what stands in the page."""
    page = (ROOT / "docs/a-kernel-in-memory.md").read_text()
    conftest, *examples = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    shown = re.findall(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(examples) == PAGE_EXAMPLES
    output = run_project(tmp_path, "\n\n".join(examples), conftest)
    assert "1 failed, 4 passed" in output, output
    assert "::test_a_failed_attach_leaves_nothing" in output
    assert [line for line in "".join(shown).splitlines() if f"E   {line}" not in _unindented(output)] == []


def _unindented(output: str) -> str:
    return re.sub(r"^E +(?:AssertionError: )?", "E   ", output, flags=re.MULTILINE)


# The sweep.


@pytest.fixture
def faults(world: World, settings: Settings) -> Faults:
    return Faults(world, settings)


def careless(kernel: FakeKernel) -> None:
    """Make a bridge that is up; leave it there when it does not come up."""
    kernel.network.create_bridge("mine0", "02:42:0a:00:00:09")
    kernel.network.set_up("mine0", True)


def careful(kernel: FakeKernel) -> str:
    try:
        careless(kernel)
    except KernelError as error:
        if error.operation != "network.create_bridge" or error.errno != errno.EEXIST:
            take_away(kernel)
        raise
    return "made"


def take_away(kernel: FakeKernel) -> None:
    try:
        kernel.network.delete("mine0")
    except Missing:
        pass


def nothing_is_left(outcome: Outcome) -> None:
    if not outcome.succeeded and not outcome.crashed:
        assert outcome.after == outcome.before


def test_a_sweep_finds_what_is_left_and_says_where(faults: Faults) -> None:
    with pytest.raises(AssertionError) as caught:
        faults.sweep(careless, nothing_is_left)
    text = str(caught.value)
    assert text.startswith("3 of 8 faults at 2 calls ended badly\n")
    assert "call 1, network.create_bridge mine0: done, and reported ENOBUFS" in text
    assert "call 2, network.set_up mine0: refused with EPERM" in text
    assert "call 2, network.set_up mine0: done, and reported ENOBUFS" in text
    assert "the function raised Denied: network.set_up mine0: EPERM fault\n+ link host mine0 down" in text
    assert isinstance(caught.value.__cause__, AssertionError)


def test_a_sweep_goes_through_every_fault(world: World, faults: Faults) -> None:
    seen: list[Outcome] = []
    before = world.dump()
    swept = faults.sweep(careful, seen.append)
    assert [call.operation for call in swept.calls] == ["network.create_bridge", "network.set_up"]
    assert swept.faults == len(seen) - 1
    assert [type(one.fault).__name__ for one in seen] == [
        "NoneType",
        *(["RefuseCall"] * 3),
        "DoButReportFailure",
        "CrashAt",
        "RefuseCall",
        "DoButReportFailure",
        "CrashAt",
    ]
    assert [one.answer for one in seen if one.succeeded] == ["made"]
    assert [one.crashed for one in seen] == [one.fault.__class__.__name__ == "CrashAt" for one in seen]
    assert world.dump() == before
    assert world.journal == []


def test_a_sweep_is_passed_by_who_undoes(faults: Faults) -> None:
    def check(outcome: Outcome) -> None:
        nothing_is_left(outcome)
        take_away(outcome.kernel())
        outcome.world.kill_program(outcome.world.kernels[-1])
        assert outcome.world.dump() == outcome.before

    faults.sweep(careful, check)


def test_a_lie_is_told_only_to_who_wants_it(faults: Faults) -> None:
    def check(outcome: Outcome) -> None:
        assert not isinstance(outcome.error, Missing)

    faults.sweep(careless, check)
    with pytest.raises(AssertionError, match=r"call 2, network\.set_up mine0: refused with ENODEV"):
        faults.sweep(careless, check, lies=True)


def test_what_may_really_be_missing_is_no_lie(faults: Faults) -> None:
    """The bridge may have gone meanwhile."""
    seen: list[Outcome] = []
    faults.sweep(
        lambda kernel: kernel.network.create_veth("a0", "b0", "02:42:0a:00:00:09", kernel.settings.bridge), seen.append
    )
    assert errno.ENODEV in [one.error.errno for one in seen if isinstance(one.error, KernelError)]


def test_an_error_that_nobody_meant_is_found(faults: Faults) -> None:
    def act(kernel: FakeKernel) -> None:
        try:
            careless(kernel)
        except KernelError as error:
            raise LookupError(error.operation) from error

    with pytest.raises(AssertionError, match=r"the function raised LookupError: network\.create_bridge"):
        faults.sweep(act, lambda outcome: None)
    faults.sweep(act, lambda outcome: None, errors=(LookupError,))


def test_a_function_that_fails_without_a_fault_is_no_sweep(faults: Faults) -> None:
    with pytest.raises(Missing):
        faults.sweep(lambda kernel: kernel.network.delete("none"), lambda outcome: None)


def test_a_function_that_calls_nothing_is_no_sweep(faults: Faults) -> None:
    with pytest.raises(AssertionError, match="called nothing"):
        faults.sweep(lambda kernel: None, lambda outcome: None)


def test_a_check_that_is_wrong_without_a_fault_is_said_to_be(faults: Faults) -> None:
    def check(outcome: Outcome) -> None:
        assert not outcome.succeeded

    with pytest.raises(AssertionError, match="without a fault\nthe function returned"):
        faults.sweep(careful, check)


def test_one_attempt_is_what_it_says(world: World, faults: Faults) -> None:
    outcome = faults.attempt(careless, RefuseCall(2, errno.EPERM))
    assert outcome.call is not None
    assert (outcome.call.operation, outcome.answer) == ("network.set_up", None)
    assert "link host mine0 down" in outcome.after
    assert "mine0" not in world.dump()
    assert faults.attempt(careful).answer == "made"
    assert faults.attempt(careful, DoButReportFailure(9, errno.EIO)).call is None


def test_what_was_there_goes_on_after_a_sweep(world: World, kernel: FakeKernel, faults: Faults) -> None:
    with kernel.records.lock("names"):
        faults.sweep(careful, nothing_is_left)
        kernel.storage.create("img_42002")
        assert not kernel.dead
        assert kernel in world.kernels
        assert "lock names" in world.dump()


def test_going_back_ends_what_was_started_since(world: World, kernel: FakeKernel) -> None:
    start = world.state
    later = world.kernel()
    world.schedule(1, lambda: pytest.fail("it was forgotten"))
    kernel.storage.create("img_42002")
    world.rewind(start)
    world.sleep(2)
    assert kernel.storage.names() == ()
    assert [one.call.operation for one in world.journal if one.call.program] == ["storage.names"]
    with pytest.raises(Crashed):
        later.storage.names()


# The programs.


def test_every_operation_of_a_programs_ports_is_drawn() -> None:
    """A new method of a port has to be drawn, or be one of those that are not."""
    of_ports = {
        f"{name}.{method}"
        for name in PORTS_OF_PROGRAMS
        for method in observed.ports()[name].__abstractmethods__  # type: ignore[attr-defined]
    }
    assert set(operations(Names())) == of_ports - NOT_DRAWN
    assert set(PORTS_OF_PROGRAMS) <= set(PORTS)


@given(steps())
def test_a_step_fits_its_port_and_its_text_is_the_call(step: Step) -> None:
    port, method = step.operation.split(".")
    inspect.signature(getattr(observed.ports()[port], method)).bind(None, *step.arguments)
    names: dict[str, object] = {"Interface": Interface, "Subnet": Subnet, "Limits": Limits}
    answers = []
    for call in (step.run, lambda kernel: eval(str(step), {"kernel": kernel, **names})):
        try:
            answers.append(str(call(World().prepare().kernel())))
        except KernelError as error:
            answers.append(str(error))
    assert answers[0] == answers[1]


@given(programs("network", "firewall", names=Names(links=("mine0",), tables=("mine",)), most=5))
def test_a_program_is_of_the_ports_and_names_that_were_asked_for(program: Program) -> None:
    assert 1 <= len(program) <= 5
    assert {step.operation.partition(".")[0] for step in program} <= {"network", "firewall"}
    links = [step.arguments[0] for step in program if step.operation == "network.link"]
    assert {name for name in links if name not in {"", "x" * 16, "a b", "a/b"}} <= {"mine0"}


@given(programs())
def test_any_program_runs(program: Program) -> None:
    kernel = World().prepare().kernel()
    assert len(run_program(kernel, program)) == len(program)


def test_refusals_are_answers(kernel: FakeKernel) -> None:
    program = (
        Step("storage.create", ("img_42002",)),
        Step("storage.create", ("img_42002",)),
        Step("storage.names", ()),
    )
    first, second, third = run_program(kernel, program)
    assert (first, third) == (None, ("img_42002",))
    assert isinstance(second, errors.AlreadyExists)


def test_an_unknown_port_is_refused() -> None:
    with pytest.raises(ValueError, match=r"programs know storage, .*, not processes"):
        programs("network", "processes")


if __name__ == "__main__":
    PUBLIC.write_text("".join(f"{line}\n" for line in public_lines()))

from __future__ import annotations

import pytest

from bocker.core import lifecycle
from bocker.core.errors import InvalidValue
from bocker.core.ids import ContainerId
from bocker.engine import store
from bocker.fakes import Crashed
from tests.unit.engine.bench import Bench, Screen, ready

SIGINT, SIGQUIT, SIGUSR1, SIGTERM = 2, 3, 10, 15
SECOND_NS = 1_000_000_000
PS = ContainerId(42002)


class Supervisor:
    """The engine that follows the container: in these tests it waits for `stop`, which runs inside of it, so
    somebody else writes the end down in its place."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench.in_another_terminal()
        self.look()

    def look(self) -> None:
        kernel = self.bench.kernel
        record = store.load_container(kernel, PS)
        if record.process is not None and not kernel.processes.alive(record.process):
            if record.remove_on_exit:
                kernel.records.remove(store.container_key(PS))
            else:
                store.save_container(kernel, record.replace(state=lifecycle.EXITED))
        else:
            self.bench.world.schedule(0.05, self.look)


def while_running(
    bench: Bench,
    *references: str,
    trap: int | None = SIGTERM,
    asked: dict[str, object] | None = None,
    **options: object,
) -> tuple[int, list[str], float]:
    """Run `live`, which leaves with 5 on a signal, and stop it in another terminal. Return its exit code,
    what `stop` said, and how many seconds that took."""
    said: list[str] = []
    took_s: list[float] = []

    def now(data: bytes) -> None:
        other = bench.in_another_terminal()
        Supervisor(bench)
        before_ns = other.kernel.ambient.now_ns()
        said.extend(other.stop(*references, **options))
        took_s.append((other.kernel.ambient.now_ns() - before_ns) / SECOND_NS)

    handler = ("trap", str(trap), "5", ",") if trap else ()
    words = ("probe", *handler, "echo", "up", ",", "sleep", "60")
    seen = bench.run(*words, name="live", screen=Screen(now), **(asked or {}))  # type: ignore[arg-type]
    return seen.code, said, took_s[0]


@pytest.mark.parametrize("reference", ["live", "ps_42002", "ps_4"])
def test_a_program_that_listens_ends_as_it_likes_and_the_word_is_said_as_typed(reference: str) -> None:
    code, said, took_s = while_running(ready(), reference)
    assert (code, said) == (5, [reference])
    assert took_s < 1


@pytest.mark.parametrize(
    ("image", "asked", "given", "number"),
    [
        ("SIGQUIT", None, None, SIGQUIT),
        ("sigrtmin+3", None, None, 37),
        ("3", None, None, SIGQUIT),
        ("SIGQUIT", "USR1", None, SIGUSR1),
        ("SIGQUIT", "USR1", "INT", SIGINT),
        ("NONSENSE", None, None, SIGTERM),
        ("RTMIN+31", None, None, SIGTERM),
    ],
)
def test_the_signal_is_the_images_the_runs_or_the_stops(
    image: str, asked: str | None, given: str | None, number: int
) -> None:
    bench = ready()
    bench.configure("base", stop_signal=image)
    request = {} if asked is None else {"stop_signal": asked}
    options = {} if given is None else {"signal": given}
    code, said, took_s = while_running(bench, "live", trap=number, asked=request, **options)
    assert (code, said) == (5, ["live"])
    assert took_s < 1


@pytest.mark.parametrize(("patience_s", "least_s"), [(10, 10), (3, 3), (0, 0)])
def test_one_that_does_not_listen_is_killed_after_a_while(patience_s: int, least_s: int) -> None:
    code, said, took_s = while_running(ready(), "live", trap=None, patience_s=patience_s)
    assert (code, said) == (137, ["live"])
    assert least_s <= took_s < least_s + 1


def test_without_a_bound_it_is_waited_for() -> None:
    code, said, took_s = while_running(ready(), "live", trap=None, patience_s=None)
    assert (code, said) == (0, ["live"])
    assert took_s > 55


def test_one_that_goes_with_its_end_is_stopped_too() -> None:
    code, said, _ = while_running(ready(), "live", asked={"remove_on_exit": True})
    assert (code, said) == (5, ["live"])


def test_what_does_not_run_is_stopped_and_what_is_not_there_keeps_nobody() -> None:
    bench = ready()
    bench.run("true", name="web")
    before = bench.traces()
    assert bench.stop("web", "nobody", "img_42002", "web") == [
        "web",
        "No container named 'nobody' exists",
        "No container named 'img_42002' exists",
        "web",
    ]
    assert bench.traces() == before


def test_no_such_signal_is_refused_and_nothing_is_told() -> None:
    bench = ready()
    code, _, _ = while_running(bench, "live", trap=SIGTERM, patience_s=1)
    assert code == 5
    with pytest.raises(InvalidValue, match="'NOPE' is not a signal for --signal"):
        bench.stop("live", signal="NOPE")


def test_one_whose_engine_was_killed_is_dead_then() -> None:
    bench = ready()
    victim = bench.in_another_terminal()
    with pytest.raises(Crashed):
        victim.run(
            "probe",
            "echo",
            "up",
            ",",
            "sleep",
            "60",
            screen=Screen(lambda data: bench.world.kill_program(victim.kernel)),
        )
    assert bench.stop("ps_42002") == ["ps_42002"]
    assert bench.ps() == {"ps_42002": "dead"}


def test_one_whose_supervisor_does_not_end_is_said() -> None:
    bench = ready()
    said: list[str] = []

    def now(data: bytes) -> None:
        said.extend(bench.in_another_terminal().stop("ps_42002", patience_s=0))

    assert bench.run("probe", "echo", "up", ",", "sleep", "60", screen=Screen(now)).code == 137
    assert said == ["Stopping ps_42002 failed: its supervisor does not end"]


def test_another_container_that_got_its_id_is_not_waited_for() -> None:
    bench = ready()
    said: list[str] = []

    def now(data: bytes) -> None:
        kernel = bench.program()

        def replace() -> None:
            record = store.load_container(kernel, PS)
            store.save_container(kernel, record.replace(created_ns=record.created_ns + 1))

        bench.world.schedule(0.5, replace)
        said.extend(bench.in_another_terminal().stop("ps_42002"))

    assert bench.run("probe", "echo", "up", ",", "sleep", "5", screen=Screen(now)).code == 0
    assert said == ["ps_42002"]

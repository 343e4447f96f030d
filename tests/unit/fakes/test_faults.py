from __future__ import annotations

import errno

import pytest

from bocker.fakes import FakeKernel, World
from bocker.fakes.errors import Crashed
from bocker.fakes.faults import (
    LOST_ANSWERS,
    REFUSALS,
    Call,
    CrashAt,
    DoButReportFailure,
    Gate,
    Recorder,
    RefuseCall,
    faults_of,
)
from bocker.kernel.errors import Busy, KernelError, NoSpace, StepFailed
from tests.contracts.specs import Containers
from tests.unit import observed
from tests.unit.fake_lab import FakeStage

SUBJECT = "img_42003"


def two_calls(kernel: FakeKernel) -> None:
    kernel.storage.create("img_42002")
    kernel.storage.create(SUBJECT)


def test_a_recorder_lets_all_through_and_counts(world: World) -> None:
    recorder = Recorder()
    kernel = world.kernel(gate=recorder)
    two_calls(kernel)
    assert recorder.calls == [Call(kernel.pid, "storage.create", name) for name in ("img_42002", SUBJECT)]
    assert kernel.storage.names() == ("img_42002", SUBJECT)


def test_a_refused_call_did_nothing(world: World, kernel: FakeKernel) -> None:
    kernel.gate = RefuseCall(2, errno.ENOSPC)
    with pytest.raises(NoSpace):
        two_calls(kernel)
    assert kernel.storage.names() == ("img_42002",)


def test_a_lost_answer_did_it(world: World, kernel: FakeKernel) -> None:
    kernel.gate = DoButReportFailure(2, errno.EIO)
    with pytest.raises(KernelError) as caught:
        two_calls(kernel)
    assert caught.value.errno == errno.EIO
    assert kernel.storage.names() == ("img_42002", SUBJECT)


def test_after_a_crash_nothing_runs(world: World, kernel: FakeKernel) -> None:
    kernel.records.lock("names")
    kernel.gate = CrashAt(2)
    with pytest.raises(Crashed):
        two_calls(kernel)
    with pytest.raises(Crashed):
        kernel.storage.delete("img_42002")
    after = world.kernel()
    assert after.storage.names() == ("img_42002",)
    with after.records.lock("names", wait=False):
        pass


def test_a_crash_kills_the_children(world: World, kernel: FakeKernel) -> None:
    containers = Containers(kernel, kernel.settings, FakeStage(world, kernel))
    process = containers.start("sleep", "60")
    kernel.gate = CrashAt(1)
    with pytest.raises(Crashed):
        kernel.processes.next_event(process)
    assert not world.kernel().processes.alive(process.identity)


@pytest.mark.parametrize("fault", [RefuseCall(1, errno.ENOENT), DoButReportFailure(1, errno.EIO)])
def test_a_child_that_fails_at_release_is_gone(world: World, kernel: FakeKernel, fault: Gate) -> None:
    containers = Containers(kernel, kernel.settings, FakeStage(world, kernel))
    process = containers.create(containers.spec("sleep", "60"))
    kernel.gate = fault
    with pytest.raises(StepFailed):
        kernel.processes.release(process)
    assert not kernel.processes.alive(process.identity)
    assert kernel.cgroups.members("ps_42002") == ()


def test_a_lock_that_is_refused_is_not_held(world: World, kernel: FakeKernel) -> None:
    kernel.gate = RefuseCall(1, errno.EAGAIN)
    with pytest.raises(Busy):
        kernel.records.lock("names")
    with kernel.records.lock("names", wait=False):
        pass


def test_the_gates_of_a_sweep(world: World) -> None:
    recorder = Recorder()
    two_calls(world.kernel(gate=recorder))
    gates = list(faults_of(recorder.calls))
    assert len(gates) == 2 * (len(REFUSALS["storage.create"]) + len(LOST_ANSWERS["storage.create"]) + 1)


def test_the_tables_name_operations_that_exist() -> None:
    operations = {f"{name}.{method}" for name, port in observed.ports().items() for method in vars(port)}
    assert set(REFUSALS) <= operations
    assert set(LOST_ANSWERS) <= set(REFUSALS)

"""The processes port: the lives of containers and of their members; the two others are parts of the same contract."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.core import spec as plan
from bocker.core.limits import Limits
from bocker.core.model import ProcessIdentity
from bocker.kernel.errors import Invalid, Missing
from bocker.kernel.processes import STDERR, STDOUT, Exited, Idle, Interrupted, Process
from tests.contracts.plans import PlansContract
from tests.contracts.programs import ProgramsContract
from tests.contracts.refusals import refused, step_fails
from tests.contracts.specs import (
    ENVIRONMENT,
    LONG,
    SLEEPER,
    Containers,
    finish,
    is_there,
    next_but_output,
    wait_for_output,
    wait_for_sleep,
    wait_until,
)
from tests.contracts.users import UsersContract
from tests.patience import patience

if TYPE_CHECKING:
    from bocker.kernel import Kernel
    from tests.contracts.specs import Stage

SIGHUP, SIGINT, SIGUSR1, SIGKILL, SIGPIPE, SIGTERM = 1, 2, 10, 9, 13, 15
NO_SIGNAL = 65
MEBIBYTE = 1 << 20
SHELLS_OWN = {b"PWD", b"OLDPWD", b"SHLVL", b"_"}


class ProcessesContract(PlansContract, ProgramsContract, UsersContract):
    def test_output_comes_by_stream_and_before_the_end(self, kernel: Kernel, containers: Containers) -> None:
        """What the program wrote to 1 and to 2 is told apart, and all of it comes before Exited."""
        process = containers.start("echo", "out", ",", "error", "err", ",", "echo", "more", ",", "exit", "7")
        assert finish(kernel, process) == (b"out\nmore\n", b"err\n", Exited(7, None))

    @pytest.mark.parametrize("code", [0, 1, 255])
    def test_the_exit_code_is_the_programs(self, kernel: Kernel, containers: Containers, code: int) -> None:
        """Whatever it is, it is not changed on the way."""
        process = containers.start("exit", str(code))
        assert finish(kernel, process)[2] == Exited(code, None)

    def test_the_end_comes_once(self, kernel: Kernel, containers: Containers) -> None:
        """The handle is closed then, for output too; to discard it does nothing."""
        process = containers.start("exit", "0")
        finish(kernel, process)
        with refused(Missing):
            kernel.processes.next_event(process)
        with refused(Missing):
            kernel.processes.close_output(process, STDOUT)
        kernel.processes.discard(process)

    def test_nothing_for_as_long_as_asked_is_idle(self, kernel: Kernel, containers: Containers) -> None:
        """Not before; and the program goes on."""
        process = containers.start("sleep", LONG)
        before_ns = kernel.ambient.now_ns()
        assert kernel.processes.next_event(process, 0.05) == Idle()
        assert kernel.ambient.now_ns() - before_ns >= 50_000_000
        assert kernel.processes.alive(process.identity)

    def test_words_reach_the_program_unchanged(self, kernel: Kernel, containers: Containers) -> None:
        """Quotes, blanks, dollars, an empty word, a byte that is no UTF-8: defect W8 of the original."""
        for word in ("a  b", "$(id) $HOME `x`", "'q' \"d\"", "", "back\\slash", "caf\udce9", "-n"):
            process = containers.start("echo", word)
            assert finish(kernel, process)[0] == word.encode("utf-8", "surrogateescape") + b"\n"

    def test_the_environment_is_the_plans(self, kernel: Kernel, containers: Containers) -> None:
        """And nothing of the caller's (S15); what a shell adds for itself is left out here."""
        process = containers.start("env")
        lines = finish(kernel, process)[0].splitlines()
        assert sorted(line for line in lines if line.split(b"=")[0] not in SHELLS_OWN) == sorted(
            word.encode() for word in ENVIRONMENT
        )

    def test_standard_input_is_passed_on_where_asked_for(
        self, kernel: Kernel, containers: Containers, stage: Stage
    ) -> None:
        """All of it, and then its end."""
        stage.give_input(b"some\0input\n")
        process = containers.start("cat", ",", "exit", "3", standard_input=True)
        assert finish(kernel, process) == (b"some\0input\n", b"", Exited(3, None))

    def test_standard_input_is_empty_otherwise(self, kernel: Kernel, containers: Containers, stage: Stage) -> None:
        """The program reads `/dev/null`, never what the caller was given."""
        stage.give_input(b"secret")
        process = containers.start("cat")
        assert finish(kernel, process) == (b"", b"", Exited(0, None))

    def test_what_children_wrote_comes_before_the_end(self, kernel: Kernel, containers: Containers) -> None:
        """Output of a background child is the container's as well."""
        process = containers.start("fork", "echo", "child", "|", "sleep", "0.3", ",", "exit", "0")
        assert finish(kernel, process)[0] == b"child\n"

    def test_the_first_process_takes_the_others_with_it(self, kernel: Kernel, containers: Containers) -> None:
        """A child in the background does not keep the container, nor its output, nor its group."""
        process = containers.start("fork", "sleep", LONG, "|", "exit", "0")
        assert finish(kernel, process)[2] == Exited(0, None)
        assert kernel.cgroups.members("ps_42002") == ()

    def test_discard_ends_all_of_a_container(self, kernel: Kernel, containers: Containers) -> None:
        """The first process, and those that it made. Twice is harmless."""
        process = containers.start("fork", "sleep", LONG, "|", *SLEEPER)
        wait_for_output(kernel, process, b"ready")
        kernel.processes.discard(process)
        kernel.processes.discard(process)
        assert not kernel.processes.alive(process.identity)
        assert kernel.cgroups.members("ps_42002") == ()

    def test_members_die_with_the_first_process(self, kernel: Kernel, containers: Containers) -> None:
        """They are killed at once; the first process's end is told only when they are reaped: whoever
        executed something in the container has to look after it."""
        first = containers.start("trap", str(SIGTERM), "8", ",", *SLEEPER)
        wait_for_output(kernel, first, b"ready")
        member = containers.execute(first, "sleep", LONG)
        kernel.processes.signal(first.identity, SIGTERM)
        assert kernel.processes.next_event(first, 0.1) == Idle()
        assert finish(kernel, member)[2] == Exited(None, SIGKILL)
        assert finish(kernel, first)[2] == Exited(8, None)

    def test_a_first_process_that_waits_for_its_members_end_is_not_alive(
        self, kernel: Kernel, containers: Containers
    ) -> None:
        """It has ended, though nobody can be told so yet; and nobody can enter its container any more."""
        first = containers.start("echo", "ready", ",", "sleep", f"{patience(0.5)}", ",", "exit", "5")
        wait_for_output(kernel, first, b"ready")
        member = containers.execute(first, "exit", "7")
        kernel.ambient.sleep(patience(1.5))
        assert kernel.processes.next_event(first, 0.1) == Idle()
        assert not kernel.processes.alive(first.identity)
        with refused(Missing, errno.ESRCH):
            containers.enter(first, "exit", "0")
        assert finish(kernel, member)[2] == Exited(7, None)
        assert finish(kernel, first)[2] == Exited(5, None)

    def test_a_child_can_be_discarded_before_its_release(self, kernel: Kernel, containers: Containers) -> None:
        """Its program never runs, and its network goes."""
        spec = containers.spec("write", "/tmp/ran", "x")
        process = containers.create(spec)
        kernel.processes.discard(process)
        assert not kernel.processes.alive(process.identity)
        wait_until(kernel, lambda: not is_there(kernel, spec.network.host_link))

    def test_a_member_whose_container_ended_before_its_release_is_seen_to_have_ended(
        self, kernel: Kernel, containers: Containers
    ) -> None:
        """It went with the pid namespace."""
        first = containers.start("sleep", "60")
        member = containers.enter(first, "echo", "hi")
        kernel.processes.signal(first.identity, SIGKILL)
        wait_until(kernel, lambda: not kernel.processes.alive(member.identity))
        assert kernel.processes.release(member) == ()
        assert kernel.processes.next_event(member) == Exited(None, SIGKILL)

    def test_a_child_that_fails_is_gone_before_its_release(self, kernel: Kernel, containers: Containers) -> None:
        """With its network and its place in the group; what failed is told by the release."""
        spec = containers.spec(hostname="h" * 65)
        process = containers.create(spec)
        wait_until(kernel, lambda: not kernel.processes.alive(process.identity))
        wait_until(kernel, lambda: not is_there(kernel, spec.network.host_link))
        assert kernel.cgroups.members(spec.group) == ()
        with step_fails(plan.STEP_HOSTNAME, errno.EINVAL):
            kernel.processes.release(process)

    def test_a_killed_child_can_be_released(self, kernel: Kernel, containers: Containers) -> None:
        """Nothing failed: that it was killed is told as its end."""
        process = containers.create(containers.spec("write", "/tmp/ran", "x"))
        kernel.processes.signal(process.identity, SIGKILL)
        assert kernel.processes.release(process) == ()
        assert finish(kernel, process) == (b"", b"", Exited(None, SIGKILL))

    def test_a_signal_before_the_release_waits_for_it(self, kernel: Kernel, containers: Containers) -> None:
        """The first process is spared then as always, a member dies before its program runs."""
        first = containers.create(containers.spec(*SLEEPER))
        kernel.processes.signal(first.identity, SIGTERM)
        kernel.processes.release(first)
        wait_for_output(kernel, first, b"ready")
        member = containers.enter(first, "write", "/tmp/ran", "x")
        for number in (SIGTERM, SIGHUP):
            kernel.processes.signal(member.identity, number)
        assert kernel.processes.alive(member.identity)
        assert kernel.processes.release(member) == ()
        assert finish(kernel, member)[2] == Exited(None, SIGHUP)

    def test_a_handle_is_not_given_twice(self, kernel: Kernel, containers: Containers) -> None:
        """One that is closed stays so: what is asked of it does not reach the process that was made next."""
        ended = containers.start("exit", "0")
        finish(kernel, ended)
        other = containers.start("echo", "kept", ",", "exit", "3")
        with refused(Missing):
            kernel.processes.close_output(ended, STDOUT)
        with refused(Missing):
            kernel.processes.next_event(ended)
        with refused(Missing, errno.ESRCH):
            kernel.processes.release(ended)
        kernel.processes.discard(ended)
        assert finish(kernel, other) == (b"kept\n", b"", Exited(3, None))

    def test_the_first_process_ignores_what_it_has_no_handler_for(self, kernel: Kernel, containers: Containers) -> None:
        """SIGTERM and others from outside do nothing to it, SIGKILL does. (Busybox's shell handles SIGINT.)"""
        process = containers.start(*SLEEPER)
        wait_for_output(kernel, process, b"ready")
        for number in (SIGTERM, SIGHUP, SIGUSR1):
            kernel.processes.signal(process.identity, number)
        assert kernel.processes.next_event(process, 0.1) == Idle()
        kernel.processes.signal(process.identity, SIGKILL)
        assert finish(kernel, process)[2] == Exited(None, SIGKILL)

    def test_a_handler_of_the_first_process_is_run(self, kernel: Kernel, containers: Containers) -> None:
        """A signal that it waits for arrives."""
        process = containers.start("trap", str(SIGTERM), "42", ",", *SLEEPER)
        wait_for_output(kernel, process, b"ready")
        kernel.processes.signal(process.identity, SIGTERM)
        assert finish(kernel, process)[2] == Exited(42, None)

    def test_any_other_process_is_ended_by_a_signal(self, kernel: Kernel, containers: Containers) -> None:
        """Only the first one is spared; the container goes on."""
        first = containers.start(*SLEEPER)
        member = containers.execute(first, *SLEEPER)
        wait_for_output(kernel, member, b"ready")
        kernel.processes.signal(member.identity, SIGTERM)
        assert finish(kernel, member)[2] == Exited(None, SIGTERM)
        assert kernel.processes.alive(first.identity)

    def test_a_signal_that_is_ignored_does_nothing(self, kernel: Kernel, containers: Containers) -> None:
        """A program may say so itself."""
        first = containers.start(*SLEEPER)
        member = containers.execute(first, "ignore", str(SIGTERM), ",", *SLEEPER)
        wait_for_output(kernel, member, b"ready")
        kernel.processes.signal(member.identity, SIGTERM)
        assert kernel.processes.next_event(member, 0.1) == Idle()

    def test_no_such_signal_is_invalid(self, kernel: Kernel, containers: Containers) -> None:
        """There are 64."""
        process = containers.start(*SLEEPER)
        with refused(Invalid, errno.EINVAL):
            kernel.processes.signal(process.identity, NO_SIGNAL)

    def test_the_last_signal_is_one(self, kernel: Kernel, containers: Containers) -> None:
        """`SIGRTMAX`, which ends a process as any other does."""
        first = containers.start(*SLEEPER)
        member = containers.execute(first, *SLEEPER)
        wait_for_output(kernel, member, b"ready")
        kernel.processes.signal(member.identity, NO_SIGNAL - 1)
        assert finish(kernel, member)[2] == Exited(None, NO_SIGNAL - 1)

    def test_what_ended_takes_no_signal(self, kernel: Kernel, containers: Containers) -> None:
        """Nor does another process that got its number: boot and start time are part of the identity."""
        process = containers.start(*SLEEPER)
        for other in _others(process):
            with refused(Missing, errno.ESRCH):
                kernel.processes.signal(other, SIGKILL)
        assert kernel.processes.alive(process.identity)
        kernel.processes.discard(process)
        with refused(Missing, errno.ESRCH):
            kernel.processes.signal(process.identity, SIGTERM)

    def test_alive_is_about_that_very_process(self, kernel: Kernel, containers: Containers) -> None:
        """Another boot, number or start time is another process."""
        process = containers.start(*SLEEPER)
        assert kernel.processes.alive(process.identity)
        assert not any(kernel.processes.alive(other) for other in _others(process))

    def test_a_zombie_is_not_alive(self, kernel: Kernel, containers: Containers) -> None:
        """A process that ended and was not waited for still has its number, and is no longer running."""
        process = containers.start("exit", "0")
        wait_until(kernel, lambda: not kernel.processes.alive(process.identity))
        assert finish(kernel, process)[2] == Exited(0, None)

    def test_this_program_is_alive(self, kernel: Kernel) -> None:
        """It has an identity that stays the same."""
        assert kernel.processes.alive(kernel.processes.myself())
        assert kernel.processes.myself() == kernel.processes.myself()

    def test_a_member_shares_the_containers_files_and_group(self, kernel: Kernel, containers: Containers) -> None:
        """It reads what the first process wrote, and is in the group while it runs."""
        first = containers.start("write", "/tmp/note", "hello", ",", *SLEEPER)
        wait_for_output(kernel, first, b"ready")
        member = containers.execute(first, "read", "/tmp/note", ",", *SLEEPER)
        wait_for_output(kernel, member, b"helloready")
        assert {first.identity.pid, member.identity.pid} <= set(kernel.cgroups.members("ps_42002"))

    def test_a_member_is_in_the_containers_network_from_its_release(
        self, kernel: Kernel, containers: Containers
    ) -> None:
        """Until then it is in the caller's."""
        first = containers.start(*SLEEPER)
        member = containers.enter(first, *SLEEPER)
        kernel.namespaces.link("netns_contract", member.identity.pid)
        try:
            before = {link.name for link in kernel.network.links("netns_contract")}
            kernel.processes.release(member)
            after = {link.name for link in kernel.network.links("netns_contract")}
        finally:
            kernel.namespaces.remove("netns_contract")
        assert "veth0_ps_42002" in before
        assert after == {"lo", "eth0"}

    def test_a_member_can_not_follow_one_that_ended(self, kernel: Kernel, containers: Containers) -> None:
        """ESRCH: its namespaces are entered when it is released, and nothing leads to them any more."""
        first = containers.start(*SLEEPER)
        target = containers.execute(first, *SLEEPER)
        member = containers.enter(target, *SLEEPER)
        kernel.processes.discard(target)
        with step_fails(plan.STEP_NAMESPACES, errno.ESRCH):
            kernel.processes.release(member)
        assert kernel.processes.alive(first.identity)

    def test_a_member_ends_without_its_container(self, kernel: Kernel, containers: Containers) -> None:
        """Its exit code is its own."""
        first = containers.start(*SLEEPER)
        assert finish(kernel, containers.execute(first, "exit", "9"))[2] == Exited(9, None)
        assert kernel.processes.alive(first.identity)

    def test_entering_what_does_not_run_is_missing(self, kernel: Kernel, containers: Containers) -> None:
        """A process that ended, and one that only has the same number."""
        process = containers.start(*SLEEPER)
        for other in _others(process):
            with refused(Missing):
                containers.enter(Process(other, 0), "exit", "0")
        kernel.processes.discard(process)
        with refused(Missing):
            containers.enter(process, "exit", "0")

    def test_nobody_can_enter_a_container_that_lost_its_root(self, kernel: Kernel, containers: Containers) -> None:
        """With the subvolume its mounts are gone, and the null device that a member without input begins with."""
        process = containers.start(*SLEEPER)
        wait_for_sleep(kernel, process)
        kernel.storage.delete("ps_42002")
        with step_fails(plan.STEP_PRIVILEGES, errno.ENOENT):
            containers.execute(process, "exit", "0")
        assert kernel.processes.alive(process.identity)

    def test_the_memory_limit_kills(self, kernel: Kernel, containers: Containers) -> None:
        """By SIGKILL, and the group counts it."""
        spec = containers.spec("eat", str(64 * MEBIBYTE))
        kernel.cgroups.limit(spec.group, Limits(memory_bytes=16 * MEBIBYTE))
        process = containers.create(spec)
        kernel.processes.release(process)
        assert finish(kernel, process)[2] == Exited(None, SIGKILL)
        assert kernel.cgroups.usage(spec.group).oom_kills == 1

    def test_the_memory_limit_spares_who_stays_below(self, kernel: Kernel, containers: Containers) -> None:
        """Also one process of the container that is killed does not take the others along."""
        spec = containers.spec("eat", str(2 * MEBIBYTE), ",", "eat", str(128 * MEBIBYTE), ",", "exit", "0")
        kernel.cgroups.limit(spec.group, Limits(memory_bytes=32 * MEBIBYTE))
        process = containers.create(spec)
        kernel.processes.release(process)
        assert finish(kernel, process)[2] == Exited(128 + SIGKILL, None)

    def test_the_pids_limit_refuses_a_fork(self, kernel: Kernel, containers: Containers) -> None:
        """The shell gives up with 2."""
        spec = containers.spec("fork", "sleep", LONG, "|", "exit", "0")
        kernel.cgroups.limit(spec.group, Limits(pids=1))
        process = containers.create(spec)
        kernel.processes.release(process)
        assert finish(kernel, process)[2] == Exited(2, None)

    def test_a_closed_stream_is_a_broken_pipe(self, kernel: Kernel, containers: Containers) -> None:
        """Who writes to it is ended by SIGPIPE; the other stream goes on until then."""
        first = containers.start(*SLEEPER)
        member = containers.execute(first, "sleep", "0.2", ",", "error", "still", ",", "echo", "lost", ",", "exit", "0")
        kernel.processes.close_output(member, STDOUT)
        assert finish(kernel, member) == (b"", b"still\n", Exited(None, SIGPIPE))

    def test_closing_one_stream_leaves_the_other(self, kernel: Kernel, containers: Containers) -> None:
        """A program that never writes to it notices nothing."""
        process = containers.start("sleep", "0.2", ",", "echo", "kept", ",", "exit", "6")
        kernel.processes.close_output(process, STDERR)
        assert finish(kernel, process) == (b"kept\n", b"", Exited(6, None))

    @pytest.mark.parametrize("number", [SIGINT, SIGTERM])
    def test_a_signal_to_this_program_is_an_event(
        self, kernel: Kernel, containers: Containers, stage: Stage, number: int
    ) -> None:
        """It reaches neither this program's own handling nor the container."""
        process = containers.start(*SLEEPER)
        wait_for_output(kernel, process, b"ready")
        stage.interrupt(number)
        assert next_but_output(kernel, process, 5) == Interrupted(number)
        assert kernel.processes.next_event(process, 0.05) == Idle()

    def test_each_signal_to_this_program_is_an_event(
        self, kernel: Kernel, containers: Containers, stage: Stage
    ) -> None:
        """Those that come together too."""
        process = containers.start(*SLEEPER)
        wait_for_output(kernel, process, b"ready")
        for number in (SIGINT, SIGTERM, SIGHUP):
            stage.interrupt(number)
        events = [next_but_output(kernel, process, 5) for _ in range(3)]
        assert {event.number for event in events if isinstance(event, Interrupted)} == {SIGINT, SIGTERM, SIGHUP}


def _others(process: Process) -> tuple[ProcessIdentity, ...]:
    """Return identities that differ from that of a running process in one part each."""
    identity = process.identity
    return (
        identity.replace(boot_id="another boot"),
        identity.replace(start_ticks=identity.start_ticks + 1),
    )

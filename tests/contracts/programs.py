"""How a container's program is found and executed, and finds files itself: execve(2), execvp(3), path_resolution(7)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.core import spec as plan
from bocker.core.limits import Limits
from bocker.core.spec import Mount
from bocker.kernel.errors import StepFailed
from bocker.kernel.processes import Exited, Idle
from tests.contracts.specs import MOUNTS, SLEEPER, Containers, WithContainers, finish, program

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

SIGKILL = 9
MEGABYTE = 1_000_000
# the environment, the working directory, and whether `probe`, which is in /bin, is found
PATHS = [
    (("PATH=/none:/bin",), "/", True),
    (("PATH=bin",), "/", True),
    (("PATH=bin",), "/tmp", False),
    (("PATH=../bin",), "/tmp", True),
    (("PATH=",), "/bin", True),
    (("PATH=",), "/tmp", False),
    (("PATH=/none:",), "/bin", True),
    (("PATH=:/none",), "/tmp", False),
    (("PATH=/none",), "/bin", False),
    (("PATH=/none", "PATH=/bin"), "/", True),
    (("PATH=/bin", "PATH=/none"), "/", False),
    ((), "/tmp", True),
]
# a program's name with a slash, and the working directory from which that is the probe
NAMES = [
    ("bin/probe", "/"),
    ("./probe", "/bin"),
    ("../probe", "/bin/X"),
    ("/bin/probe", "/tmp"),
    (".././bin//probe", "/tmp"),
]


class ProgramsContract(WithContainers):
    @pytest.mark.parametrize(("env", "cwd", "found"), PATHS)
    def test_an_entry_of_the_path_may_be_relative_or_empty(
        self, kernel: Kernel, containers: Containers, env: tuple[str, ...], cwd: str, found: bool
    ) -> None:
        """Both begin at the working directory; without PATH it is `/bin:/usr/bin`: execvp(3). The last one counts."""
        process = containers.create(containers.spec(process=program("exit", "5", cwd=cwd, env=env)))
        if found:
            kernel.processes.release(process)
            assert finish(kernel, process)[2] == Exited(5, None)
            return
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_EXECUTE, errno.ENOENT)

    def test_a_variable_is_given_once(self, kernel: Kernel, containers: Containers) -> None:
        """With its last value; one that was said without a value has an empty one."""
        process = containers.start(process=program("env", env=("PATH=/bin", "A=1", "B", "A=2", "C==")))
        lines = finish(kernel, process)[0].splitlines()
        assert sorted(line for line in lines if line[:1] in {b"A", b"B", b"C"}) == [b"A=2", b"B=", b"C=="]

    @pytest.mark.parametrize(("name", "cwd"), NAMES)
    def test_a_name_with_a_slash_is_not_looked_for(
        self, kernel: Kernel, containers: Containers, name: str, cwd: str
    ) -> None:
        """It is a path from the working directory."""
        process = containers.start(process=program(args=(name, "exit", "5"), cwd=cwd, env=("PATH=/none",)))
        assert finish(kernel, process)[2] == Exited(5, None)

    @pytest.mark.parametrize(("flags", "code"), [((), 5), (("noexec",), None)])
    def test_nothing_is_executed_on_a_mount_that_says_so(
        self, kernel: Kernel, containers: Containers, settings: Settings, flags: tuple[str, ...], code: int | None
    ) -> None:
        """EACCES, whatever the file's mode."""
        spec = containers.spec(process=program(args=("/mnt/probe", "exit", "5")))
        mounts = (*MOUNTS, Mount("bind", "/mnt", f"{settings.store}/{spec.name}/bin", flags=flags))
        process = containers.create(spec.replace(mounts=mounts))
        if code is not None:
            kernel.processes.release(process)
            assert finish(kernel, process)[2] == Exited(code, None)
            return
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_EXECUTE, errno.EACCES)

    @pytest.mark.parametrize("user", ["", "1000:1001"])
    def test_a_file_that_nobody_may_execute_is_not(self, kernel: Kernel, containers: Containers, user: str) -> None:
        """EACCES, to its owner as to root."""
        first = containers.start(*SLEEPER)
        writer = containers.execute(first, process=program("write", "/tmp/own", "x", user=user))
        assert finish(kernel, writer)[2] == Exited(0, None)
        member = containers.enter(first, process=program(args=("/tmp/own",), user=user))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(member)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_EXECUTE, errno.EACCES)

    def test_a_file_of_no_known_format_is_not_executed(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """ENOEXEC: an image's file with the right to be executed, and with nothing that the kernel knows in it."""
        spec = containers.spec(process=program(args=("/odd/setuid",)))
        lab.fill(f"{settings.store}/{spec.name}/odd")
        process = containers.create(spec)
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_EXECUTE, errno.ENOEXEC)

    def test_paths_of_a_program_begin_where_it_works(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """Those without a slash in front."""
        for path in ("hosts", "/etc/hosts", "../etc/./hosts", "..//../etc/hosts"):
            process = containers.start(process=program("read", path, cwd="/etc"))
            content = lab.read_file(f"{settings.store}/ps_{42000 + containers.count}/etc/hosts")
            assert finish(kernel, process)[::2] == (content, Exited(0, None))

    @pytest.mark.parametrize("seconds", ["infinity", "inf"])
    def test_a_program_may_sleep_for_ever(self, kernel: Kernel, containers: Containers, seconds: str) -> None:
        """Until it is killed."""
        process = containers.start("sleep", seconds)
        assert kernel.processes.next_event(process, 0.2) == Idle()
        kernel.processes.signal(process.identity, SIGKILL)
        assert finish(kernel, process)[2] == Exited(None, SIGKILL)

    def test_memory_that_fits_is_taken_and_handed_back(self, kernel: Kernel, containers: Containers) -> None:
        """The program goes on; what it hands back it can take once more."""
        spec = containers.spec("eat", str(30 * MEGABYTE), ",", "eat", str(30 * MEGABYTE), ",", "exit", "5")
        kernel.cgroups.limit(spec.group, Limits(memory_bytes=50 * MEGABYTE))
        process = containers.create(spec)
        kernel.processes.release(process)
        assert finish(kernel, process)[2] == Exited(5, None)
        assert kernel.cgroups.usage(spec.group).oom_kills == 0

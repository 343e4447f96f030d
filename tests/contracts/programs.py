"""How a container's program is found and executed, and finds files itself: execve(2), execvp(3), path_resolution(7)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from bocker.core import spec as plan
from bocker.core.limits import Limits
from bocker.core.spec import File, Mount
from bocker.kernel.processes import STDOUT, Exited, Idle
from tests.contracts.refusals import step_fails
from tests.contracts.specs import MOUNTS, SLEEPER, Containers, WithContainers, finish, program, wait_for_output

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

SIGKILL, SIGTERM = 9, 15
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

ROOT: dict[str, Any] = {}
OVERRIDER = {"capabilities": ("DAC_OVERRIDE",)}
READER = {"capabilities": ("DAC_READ_SEARCH",)}
MEMBER: dict[str, Any] = {"uid": 1000, "gid": 0}
FURTHER_MEMBER: dict[str, Any] = {"uid": 1000, "gid": 5, "groups": (7, 0)}
OTHER: dict[str, Any] = {"uid": 1000, "gid": 5}
OTHER_WITH_CAPABILITIES = {**OTHER, "capabilities": ("DAC_OVERRIDE", "DAC_READ_SEARCH")}
# what is done, a file's mode, who does it, and whether that is allowed
RIGHTS = [
    ("read", 0o400, ROOT, True),
    ("read", 0o044, ROOT, False),
    ("read", 0o000, OVERRIDER, True),
    ("read", 0o000, READER, True),
    ("read", 0o040, MEMBER, True),
    ("read", 0o404, MEMBER, False),
    ("read", 0o040, FURTHER_MEMBER, True),
    ("read", 0o404, FURTHER_MEMBER, False),
    ("read", 0o004, OTHER, True),
    ("read", 0o770, OTHER, False),
    ("read", 0o000, OTHER_WITH_CAPABILITIES, False),
    ("write", 0o200, ROOT, True),
    ("write", 0o577, ROOT, False),
    ("write", 0o000, OVERRIDER, True),
    ("write", 0o000, READER, False),
    ("write", 0o020, MEMBER, True),
    ("write", 0o757, MEMBER, False),
    ("write", 0o020, FURTHER_MEMBER, True),
    ("write", 0o757, FURTHER_MEMBER, False),
    ("write", 0o002, OTHER, True),
    ("write", 0o775, OTHER, False),
    ("write", 0o000, OTHER_WITH_CAPABILITIES, False),
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
        with step_fails(plan.STEP_EXECUTE, errno.ENOENT):
            kernel.processes.release(process)

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

    @pytest.mark.parametrize(
        ("path", "number"),
        [
            ("/etc:/none", errno.EACCES),
            ("/none:/etc", errno.EACCES),
            ("/etc/hosts:/etc:/etc/hosts", errno.EACCES),
            ("/none:/etc/hosts", errno.ENOTDIR),
            ("/etc/hosts:/none", errno.ENOENT),
            ("/etc/hosts", errno.ENOTDIR),
        ],
    )
    def test_what_was_found_and_may_not_be_executed_is_told_of_all(
        self, kernel: Kernel, containers: Containers, path: str, number: int
    ) -> None:
        """EACCES, wherever in the path it is; else what was in the way at its last entry."""
        process = containers.create(containers.spec(process=program(args=("hosts",), env=(f"PATH={path}",))))
        with step_fails(plan.STEP_EXECUTE, number):
            kernel.processes.release(process)

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
        with step_fails(plan.STEP_EXECUTE, errno.EACCES):
            kernel.processes.release(process)

    @pytest.mark.parametrize("user", ["", "1000:1001"])
    def test_a_file_that_nobody_may_execute_is_not(self, kernel: Kernel, containers: Containers, user: str) -> None:
        """EACCES, to its owner as to root."""
        first = containers.start(*SLEEPER)
        writer = containers.execute(first, process=program("write", "/tmp/own", "x", user=user))
        assert finish(kernel, writer)[2] == Exited(0, None)
        member = containers.enter(first, process=program(args=("/tmp/own",), user=user))
        with step_fails(plan.STEP_EXECUTE, errno.EACCES):
            kernel.processes.release(member)

    @pytest.mark.parametrize(("verb", "mode", "who", "may"), RIGHTS)
    def test_the_modes_of_a_file_say_who_may_what(
        self, kernel: Kernel, containers: Containers, verb: str, mode: int, who: dict[str, Any], may: bool
    ) -> None:
        """Of a file of root's, path_resolution(7): the first of owner, group and others that fits, and no other.

        Root may more by its capabilities, capabilities(7), and others don't keep theirs when they execute something.
        """
        words = ("read", "/etc/hosts") if verb == "read" else ("write", "/etc/hosts", "x")
        files = (File("/etc/hosts", b"planned", mode=mode),)
        process = containers.start(process=program(*words, **who), files=files)
        assert finish(kernel, process)[2] == Exited(0 if may else 1, None)

    @pytest.mark.parametrize("who", [{}, {"capabilities": ("DAC_OVERRIDE",)}, {"uid": 1000, "gid": 5}])
    def test_a_file_of_the_plan_is_not_executed(
        self, kernel: Kernel, containers: Containers, who: dict[str, Any]
    ) -> None:
        """EACCES, whatever its mode: such files are for reading."""
        files = (File("/tmp/true", b"#!/bin/busybox true\n", mode=0o777),)
        process = containers.create(containers.spec(process=program(args=("/tmp/true",), **who), files=files))
        with step_fails(plan.STEP_EXECUTE, errno.EACCES):
            kernel.processes.release(process)

    def test_a_file_of_no_known_format_is_not_executed(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """ENOEXEC: an image's file with the right to be executed, and with nothing that the kernel knows in it."""
        spec = containers.spec(process=program(args=("/odd/setuid",)))
        lab.fill(f"{settings.store}/{spec.name}/odd")
        process = containers.create(spec)
        with step_fails(plan.STEP_EXECUTE, errno.ENOEXEC):
            kernel.processes.release(process)

    def test_paths_of_a_program_begin_where_it_works(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """Those without a slash in front."""
        for path in ("hosts", "/etc/hosts", "../etc/./hosts", "..//../etc/hosts"):
            process = containers.start(process=program("read", path, cwd="/etc"))
            content = lab.read_file(f"{settings.store}/ps_{42000 + containers.count}/etc/hosts")
            assert finish(kernel, process)[::2] == (content, Exited(0, None))

    @pytest.mark.parametrize(
        ("args", "ended"),
        [
            (("true",), (b"", Exited(0, None))),
            (("/bin/true", "with", "words"), (b"", Exited(0, None))),
            (("false",), (b"", Exited(1, None))),
            (("/bin/false",), (b"", Exited(1, None))),
            (("echo", "a  b", "c"), (b"a  b c\n", Exited(0, None))),
            (("cat", "/etc/hosts"), (b"the plan's", Exited(0, None))),
            (("cat", "/none"), (b"", Exited(1, None))),
            (("sleep", "0"), (b"", Exited(0, None))),
            (("sh", "-c", "true"), (b"", Exited(0, None))),
            (("/bin/sh", "-c", "/bin/false"), (b"", Exited(1, None))),
            (("sh", "-c", "probe exit 3"), (b"", Exited(3, None))),
            (("sh", "-c", "/bin/probe echo 'a  b' , exit 4"), (b"a  b\n", Exited(4, None))),
            (("probe", "echo", "a", ","), (b"a\n", Exited(0, None))),
            (("probe", ",", "echo", "a", ",", ",", "exit", "3"), (b"a\n", Exited(3, None))),
            (("probe",), (b"", Exited(0, None))),
        ],
    )
    def test_programs_that_every_image_has(
        self, kernel: Kernel, containers: Containers, args: tuple[str, ...], ended: tuple[bytes, Exited]
    ) -> None:
        """Busybox's, and the probe itself."""
        files = (File("/etc/hosts", b"the plan's"),)
        assert finish(kernel, containers.start(process=program(args=args), files=files))[::2] == ended

    def test_what_is_written_need_not_be_utf_8(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """Words are bytes."""
        process = containers.start("write", "/tmp/caf\udce9", "\udcff", ",", "read", "/tmp/caf\udce9")
        assert finish(kernel, process)[0] == b"\xff"
        assert lab.read_file(f"{settings.store}/ps_42002/tmp/caf\udce9") == b"\xff"

    def test_a_program_that_forks_and_has_no_more_to_do_takes_its_child_along(
        self, kernel: Kernel, containers: Containers
    ) -> None:
        """It is the first process."""
        assert finish(kernel, containers.start("fork", "sleep", "60"))[2] == Exited(0, None)

    @pytest.mark.parametrize(
        ("words", "ended"),
        [
            (("trap", "15", "8", ",", "ignore", "15"), None),
            (("ignore", "15", ",", "trap", "15", "8"), Exited(8, None)),
            (("trap", "15", "8", ",", "ignore", "1"), Exited(8, None)),
            (("trap", "1", "8", ",", "ignore", "1"), Exited(None, SIGTERM)),
        ],
    )
    def test_what_was_said_of_a_signal_last_counts(
        self, kernel: Kernel, containers: Containers, words: tuple[str, ...], ended: Exited | None
    ) -> None:
        """And of no other one."""
        first = containers.start(*SLEEPER)
        member = containers.execute(first, *words, ",", *SLEEPER)
        wait_for_output(kernel, member, b"ready")
        kernel.processes.signal(member.identity, SIGTERM)
        if ended is None:
            assert kernel.processes.next_event(member, 0.1) == Idle()
        else:
            assert finish(kernel, member)[2] == ended

    def test_what_was_written_and_not_read_goes_with_its_stream(self, kernel: Kernel, containers: Containers) -> None:
        """The other stream's is told."""
        process = containers.start("echo", "out", ",", "error", "err", ",", "sleep", "0.5", ",", "exit", "5")
        kernel.ambient.sleep(0.25)
        kernel.processes.close_output(process, STDOUT)
        assert finish(kernel, process) == (b"", b"err\n", Exited(5, None))

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

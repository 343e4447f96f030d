from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from bocker.core import spec as plan
from bocker.core.limits import Limits
from bocker.core.model import ProcessIdentity
from bocker.core.spec import File, Mount
from bocker.kernel.errors import Invalid, Missing, StepFailed
from bocker.kernel.processes import STDERR, STDOUT, Exited, Idle, Interrupted, Process
from tests.contracts.refusals import refused
from tests.contracts.specs import (
    DEVICES,
    ENVIRONMENT,
    MOUNTS,
    Containers,
    finish,
    is_there,
    next_but_output,
    program,
    wait_for_output,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab
    from tests.contracts.specs import Stage

SIGHUP, SIGINT, SIGUSR1, SIGKILL, SIGPIPE, SIGTERM = 1, 2, 10, 9, 13, 15
NO_SIGNAL = 65
LONG = "60"  # seconds: longer than any test
MEBIBYTE = 1 << 20
SHELLS_OWN = {b"PWD", b"OLDPWD", b"SHLVL", b"_"}
SLEEPER = ("echo", "ready", ",", "sleep", LONG)

FAILURES: list[tuple[str, int, dict[str, Any]]] = [
    (plan.STEP_GROUP, errno.ENOENT, {"group": "ps_none"}),
    (plan.STEP_HOSTNAME, errno.EINVAL, {"hostname": "h" * 65}),
    (plan.STEP_SYSCTLS, errno.ENOENT, {"sysctls": (("net.ipv4.no_such_setting", "1"),)}),
    (plan.STEP_ROOT, errno.ENOENT, {"root": "/var/bocker/ps_none"}),
    (plan.STEP_ROOT, errno.ENOTDIR, {"root": "/etc/resolv.conf"}),
    (plan.STEP_MOUNTS, errno.ENODEV, {"mounts": (*MOUNTS, Mount("no-such-kind", "/mnt"))}),
    (plan.STEP_MOUNTS, errno.ENOENT, {"mounts": (*MOUNTS, Mount("bind", "/mnt", "/no/such/source"))}),
    (plan.STEP_MOUNTS, errno.ENOTDIR, {"mounts": (*MOUNTS, Mount("tmpfs", "/etc/hosts"))}),
    (plan.STEP_MOUNTS, errno.ENOTDIR, {"directories": ("/etc/hosts",)}),
    (plan.STEP_MOUNTS, errno.ENOTDIR, {"directories": ("/etc/hosts/below",)}),
    (plan.STEP_DIRECTORY, errno.ENOTDIR, {"process": program(cwd="/etc/hosts")}),
    (plan.STEP_DIRECTORY, errno.ENOTDIR, {"process": program(cwd="/etc/hosts/below")}),
    (plan.STEP_USER, errno.ENOENT, {"process": program(user="nobody-of-that-name")}),
]

PROGRAMS = [
    ("none", errno.ENOENT),
    ("/bin/none", errno.ENOENT),
    ("/etc/hosts/none", errno.ENOTDIR),
    ("/etc", errno.EACCES),
    ("/etc/hosts", errno.EACCES),
]

WHEEL = b"wheel:x:10:root\n"
GROUP_FILES = [
    (b"", b"0 3\n"),
    (b"root:x:0:\nbin:x:1:root,daemon\n" + WHEEL, b"0 1 3 10\n"),
    (WHEEL.rstrip() + b"\n" + WHEEL + b"root:x:0:root\nadm:x:4:daemon,root", b"0 3 4 10\n"),
    (b"a:x:5:rooter\nroot:x:6:\nb:x:7:groot,a\n#c:x:8:toor\n", b"0 3\n"),
    (
        b"root\n:::\n::root:root\na:x::root\na:9:root\na:x:-1:root\na:x:4294967295:root\n\xff\0:x:4294967294:root\n",
        b"0 3 4294967294\n",
    ),
    (b"a:x:" + b"9" * 5000 + b":root\n" + WHEEL, b"0 3 10\n"),
    (WHEEL + b"#" * (plan.GROUP_FILE_BYTES - len(WHEEL)), b"0 3 10\n"),
    (WHEEL + b"#" * plan.GROUP_FILE_BYTES, b"0 3\n"),
]

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\n"
    b"web:x:1000:1001:Web,,,:/srv/web:/bin/sh\n"
    b"web:x:7:7::/second:/bin/sh\n"
    b"short:x:5\nshorter:x:5:55\n\0\0nul:x:13:13:\0:/\0:\n"
    b"homeless:x:1002:1002:::\n"
    b"1003:x:8:8::/by-name:/bin/sh\n"
    b"bad:x:-1:0::/:\nbad:x:one:0::/:\nbad:x:2147483648:0::/:\nbad:x:9:9999999999999999999999::/:\n"
    b"  spaced:x:6:6::/spaced:\n"
    b"caf\xe9:x:1004:1004::/h\xff:\n"
    b":x:11:11::/nobody:\n#web:x:12:12::/:\n"
)
GROUP = (
    b"root:x:0:\nweb:x:1001:\nstaff:x:50:web,root\naudio:x:29:daemon, web,webb\nstaff:x:51:\n1003:x:80:\n"
    b"bad:x:-1:web\nbad:x:4294967295:web\nbad:x::web\nvideo:x:44:daemon,web\ncaf\xe9:x:60:caf\xe9\n\0\xff:::web"
)
# user, then what the program is: uid and gid; its groups; its HOME
USERS = [
    ("web", ("1000 1001", "44 50 1001", b"/srv/web")),
    ("1000", ("1000 1001", "44 50 1001", b"/srv/web")),
    ("root", ("0 0", "0 50", b"/root")),
    ("0", ("0 0", "0 50", b"/root")),
    ("web:", ("1000 1001", "44 50 1001", b"/srv/web")),
    ("web:staff", ("1000 50", "50", b"/srv/web")),
    ("web:29", ("1000 29", "29", b"/srv/web")),
    ("web:4000", ("1000 4000", "4000", b"/srv/web")),
    ("4000", ("4000 0", "0", b"/")),
    ("4000:staff", ("4000 50", "50", b"/")),
    ("4000:4001", ("4000 4001", "4001", b"/")),
    ("2147483647:2147483647", ("2147483647 2147483647", "2147483647", b"/")),
    (":staff", ("0 50", "50", b"/root")),
    ("homeless", ("1002 1002", "1002", b"/")),
    ("shorter", ("5 55", "55", b"/")),
    ("spaced", ("6 6", "6", b"/spaced")),
    ("1003", ("1003 0", "0", b"/")),
    ("4000:1003", ("4000 1003", "1003", b"/")),
    ("007", ("7 7", "44 50 7", b"/second")),
    ("caf\udce9", ("1004 1004", "60 1004", b"/h\xff")),
]
NO_USERS = [
    ("nobody", errno.ENOENT),
    ("web:none", errno.ENOENT),
    ("bad", errno.ENOENT),
    ("short", errno.ENOENT),
    ("nul", errno.ENOENT),
    ("#web", errno.ENOENT),
    ("-1", errno.ENOENT),
    ("+1000", errno.ENOENT),
    ("1000x", errno.ENOENT),
    (" web", errno.ENOENT),
    ("web:staff:more", errno.ENOENT),
    ("web:bad", errno.ENOENT),
    ("2147483648", errno.ERANGE),
    ("0:2147483648", errno.ERANGE),
    ("9" * 30, errno.ERANGE),
    ("\u0661", errno.ENOENT),
]
ODD_FILES = ["nothing", "directory", "fifo", "device", "nowhere", "itself", "outside", "too long", "mounted"]


class ProcessesContract:
    @pytest.fixture
    def containers(self, kernel: Kernel, settings: Settings, stage: Stage) -> Iterator[Containers]:
        made = Containers(kernel, settings, stage)
        yield made
        made.close()

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
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_HOSTNAME, errno.EINVAL)

    def test_a_host_name_may_have_64_bytes(self, kernel: Kernel, containers: Containers) -> None:
        """`HOST_NAME_MAX`."""
        process = containers.create(containers.spec("exit", "4", hostname="h" * 64))
        kernel.processes.release(process)
        assert finish(kernel, process)[2] == Exited(4, None)

    def test_mounts_are_opened_before_the_release(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """One that can't be is told even where the root is not there; one that is opened stays, whatever becomes
        of its source."""
        root = f"{settings.store}/ps_none"
        process = containers.create(containers.spec(root=root, mounts=(*MOUNTS, Mount("no-such-kind", "/mnt"))))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_MOUNTS, errno.ENODEV)
        source = f"{settings.store}/source"
        kernel.storage.create("source")
        lab.write_file(f"{source}/note", b"kept")
        mounts = (*MOUNTS, Mount("bind", "/mnt", source))
        process = containers.create(containers.spec("read", "/mnt/note", mounts=mounts))
        kernel.ambient.sleep(0.2)  # it opens them when it comes to it
        kernel.storage.publish("source", "moved")
        kernel.processes.release(process)
        assert finish(kernel, process)[0] == b"kept"

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

    @pytest.mark.parametrize(("content", "groups"), GROUP_FILES)
    def test_the_image_can_say_which_groups_root_is_in(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab, content: bytes, groups: bytes
    ) -> None:
        """Those that list it as a member, once, beside those of the plan; what makes no sense is passed over."""
        spec = containers.spec(process=program("groups", groups=(0, 3), groups_from_image=True))
        lab.write_file(f"{settings.store}/{spec.name}/etc/group", content)
        process = containers.create(spec)
        kernel.processes.release(process)
        assert finish(kernel, process) == (groups, b"", Exited(0, None))

    def test_the_images_groups_count_only_where_that_is_planned_and_for_root(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """Of a member as of the first process."""
        spec = containers.spec(*SLEEPER, process=program(*SLEEPER))
        lab.write_file(f"{settings.store}/{spec.name}/etc/group", b"wheel:x:10:root\n")
        first = containers.create(spec)
        kernel.processes.release(first)
        for changes, groups in (({}, b"3\n"), ({"groups_from_image": True}, b"3 10\n")):
            member = containers.execute(first, process=program("groups", groups=(3,), **changes))
            assert finish(kernel, member)[0] == groups
        other = program("groups", groups=(3,), groups_from_image=True, uid=1, capabilities=())
        assert finish(kernel, containers.execute(first, process=other))[0] == b"3\n"

    @pytest.mark.parametrize("kind", ["nothing", "directory", "link"])
    def test_groups_are_read_from_a_plain_file_only(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab, kind: str
    ) -> None:
        """No link is followed there; without the file there are no groups but the plan's."""
        spec = containers.spec(process=program("groups", groups=(3,), groups_from_image=True))
        path = f"{settings.store}/{spec.name}/etc/group"
        if lab.exists(path):
            kernel.host.delete(path)
        if kind == "directory":
            lab.make_directory(path)
        if kind == "link":
            lab.write_file(f"{path}s", b"wheel:x:10:root\n")
            lab.make_link(path, "groups")
        process = containers.create(spec)
        kernel.processes.release(process)
        assert finish(kernel, process)[0] == b"3\n"

    @pytest.mark.parametrize(("user", "expected"), USERS)
    def test_the_user_is_looked_for_in_the_images_own_files(
        self,
        kernel: Kernel,
        containers: Containers,
        settings: Settings,
        lab: Lab,
        user: str,
        expected: tuple[str, str, bytes],
    ) -> None:
        """docker's rules: the first of a name counts; a number needs no entry; a group that is said is the only one.
        What makes no sense in the files is passed over. It is so for a member of the container too."""
        asked = program("ids", ",", "groups", ",", "env", user=user, env=("PATH=/bin",), uid=3, gid=3, groups=(3,))
        spec = containers.spec(process=asked)
        self._write_accounts(spec, settings, lab)
        process = containers.create(spec)
        kernel.processes.release(process)
        said = finish(kernel, process)[0].splitlines()
        ids, groups, home = expected
        uid, gid = ids.split()
        assert said[0].decode().split() == [uid] * 3 + [gid] * 3
        assert sorted(map(int, said[1].split())) == sorted(map(int, groups.split()))
        assert b"HOME=" + home in said[2:]

    def _write_accounts(self, spec: plan.ContainerSpec, settings: Settings, lab: Lab) -> None:
        lab.write_file(f"{settings.store}/{spec.name}/etc/passwd", PASSWD)
        lab.write_file(f"{settings.store}/{spec.name}/etc/group", GROUP)

    @pytest.mark.parametrize(("user", "number"), NO_USERS)
    def test_a_user_or_group_that_is_not_there_fails_its_step(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab, user: str, number: int
    ) -> None:
        """ENOENT; a number that no user may have, ERANGE. The program never runs."""
        spec = containers.spec(process=program("write", "/tmp/ran", "x", user=user))
        self._write_accounts(spec, settings, lab)
        process = containers.create(spec)
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_USER, number)
        assert not lab.exists(f"{settings.store}/{spec.name}/tmp/ran")

    def test_a_member_has_its_own_user(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """As the files say now; HOME stays where the plan gives one, and one that is not there fails."""
        spec = containers.spec(process=program(*SLEEPER, user="web"))
        self._write_accounts(spec, settings, lab)
        first = containers.create(spec)
        kernel.processes.release(first)
        member = containers.execute(first, process=program("ids", ",", "env", user="4000:staff"))
        said = finish(kernel, member)[0].splitlines()
        assert said[0].split() == [b"4000"] * 3 + [b"50"] * 3
        assert b"HOME=/root" in said
        other = containers.enter(first, process=program("ids", user="nobody"))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(other)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_USER, errno.ENOENT)

    @pytest.mark.parametrize("kind", ODD_FILES)
    def test_users_are_read_from_plain_files_of_the_root_only(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab, kind: str
    ) -> None:
        """Whatever is in their place has no users and keeps nobody waiting; a number needs none."""
        entry = b"web:x:1000:1001:::\n"
        mounted = tuple(File(f"/etc/{name}", entry) for name in ("passwd", "group")) if kind == "mounted" else ()
        spec = containers.spec(*SLEEPER, files=mounted)
        root = f"{settings.store}/{spec.name}"
        lab.fill(f"{root}/odd")
        lab.write_file(f"{lab.directory}/outside", entry)
        targets = {"fifo": "/odd/fifo", "device": "/odd/null", "nowhere": "/none"}
        targets |= {"outside": f"{lab.directory}/outside", "directory": "/odd/below"}
        for name in ("passwd", "group"):
            path = f"{root}/etc/{name}"
            if lab.exists(path):
                kernel.host.delete(path)
            if kind == "too long":
                lab.write_file(path, entry + b"#" * plan.USER_FILE_BYTES)
            elif kind not in {"nothing", "mounted"}:
                lab.make_link(path, targets.get(kind, name))
        first = containers.create(spec)
        kernel.processes.release(first)
        member = containers.enter(first, process=program("ids", user="web"))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(member)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_USER, errno.ENOENT)
        member = containers.execute(first, process=program("ids", user="1000"))
        assert finish(kernel, member)[0].split() == [b"1000"] * 3 + [b"0"] * 3

    def test_users_may_lie_behind_a_link_within_the_root(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """Some images keep them elsewhere; the longest file that is read is read whole."""
        spec = containers.spec(process=program("ids", user="web"))
        root = f"{settings.store}/{spec.name}"
        entry = b"\nweb:x:1000:1001:::\n"
        lab.write_file(f"{root}/tmp/users", b"#" * (plan.USER_FILE_BYTES - len(entry)) + entry)
        kernel.host.delete(f"{root}/etc/passwd")
        lab.make_link(f"{root}/etc/passwd", "/tmp/users")
        process = containers.create(spec)
        kernel.processes.release(process)
        assert finish(kernel, process)[0].split() == [b"1000"] * 3 + [b"1001"] * 3

    def test_the_working_directory_of_the_first_process_is_made(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """Root's, mode 0755, with those above it; through a link within the root, and never out of it."""
        outside = f"{lab.directory}/outside"
        lab.make_directory(outside)
        for number, path in enumerate(("/new/below", "/link/new", "/out/new", "/tmp/../up/new", "/dev/new")):
            spec = containers.spec(process=program("cwd", cwd=path, user="1000:1000"))
            root = f"{settings.store}/{spec.name}"
            lab.make_link(f"{root}/link", "tmp")
            lab.make_link(f"{root}/out", f"{lab.directory}/outside")
            process = containers.create(spec)
            if path == "/out/new":
                with pytest.raises(StepFailed) as caught:
                    kernel.processes.release(process)
                assert (caught.value.step, caught.value.errno) == (plan.STEP_DIRECTORY, errno.EEXIST)
                assert list(lab.tree(outside)) == ["."]
                continue
            kernel.processes.release(process)
            real = ("/new/below", "/tmp/new", "", "/up/new", "/dev/new")[number]
            assert finish(kernel, process)[0].decode() == f"{real}\n"
            if not path.startswith("/dev"):
                made = lab.tree(root)[real[1:]]
                assert (made.kind, made.mode, made.owner) == ("directory", 0o755, (0, 0))

    def test_the_working_directory_of_a_member_must_be_there(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """ENOENT, and nothing is made."""
        spec = containers.spec(*SLEEPER)
        first = containers.create(spec)
        kernel.processes.release(first)
        member = containers.enter(first, process=program("cwd", cwd="/none"))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(member)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_DIRECTORY, errno.ENOENT)
        assert not lab.exists(f"{settings.store}/{spec.name}/none")
        member = containers.execute(first, process=program("cwd", cwd="/etc"))
        assert finish(kernel, member)[0] == b"/etc\n"

    def test_directories_that_the_plan_asks_for_are_made(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """And told, in the root file system; one that is there stays as it is."""
        directories = ("/data/of/mine", "/tmp", "/data", "/dev/own")
        spec = containers.spec(*SLEEPER, directories=directories)
        root = f"{settings.store}/{spec.name}"
        before = lab.tree(root)["tmp"]
        process = containers.create(spec)
        assert kernel.processes.release(process) == ("/data", "/data/of", "/data/of/mine")
        after = lab.tree(root)
        assert (after["data/of/mine"].mode, after["tmp"].mode) == (0o755, before.mode)

    @pytest.mark.parametrize(
        ("path", "number"), [("/etc/hosts/below/it", errno.ENOTDIR), ("/out", errno.EEXIST), ("/out/new", errno.EEXIST)]
    )
    def test_a_directory_that_can_not_be_made_is_named(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab, path: str, number: int
    ) -> None:
        """As the plan has it, whatever was in its way; a link that leads nowhere is."""
        outside = f"{lab.directory}/outside"
        lab.make_directory(outside)
        spec = containers.spec(*SLEEPER, directories=("/data", path, "/more"))
        lab.make_link(f"{settings.store}/{spec.name}/out", outside)
        process = containers.create(spec)
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        failure = caught.value
        assert (failure.step, failure.errno, failure.detail) == (plan.STEP_MOUNTS, number, path)
        assert list(lab.tree(outside)) == ["."]

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
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(member)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_NAMESPACES, errno.ESRCH)
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

    @pytest.mark.parametrize(("name", "number"), PROGRAMS)
    def test_a_member_that_can_not_be_executed_names_the_step(
        self, kernel: Kernel, containers: Containers, name: str, number: int
    ) -> None:
        """The container does not mind."""
        first = containers.start(*SLEEPER)
        member = containers.enter(first, process=program(args=(name,)))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(member)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_EXECUTE, number)
        assert not kernel.processes.alive(member.identity)
        assert kernel.processes.alive(first.identity)

    @pytest.mark.parametrize(("step", "number", "changes"), FAILURES)
    def test_a_step_that_fails_is_named(
        self, kernel: Kernel, containers: Containers, step: str, number: int, changes: dict[str, Any]
    ) -> None:
        """With its errno; the child is gone then, and so is its network, at once or soon.

        A group that is not there is met before there is a child where it would be born in it.
        """
        spec = containers.spec(**changes)
        created: list[Process] = []

        def start() -> None:
            created.append(containers.create(spec))
            kernel.processes.release(created[0])

        with pytest.raises(StepFailed) as caught:
            start()
        assert (caught.value.step, caught.value.errno) == (step, number)
        assert created or step == plan.STEP_GROUP
        assert not any(kernel.processes.alive(process.identity) for process in created)
        wait_until(kernel, lambda: not is_there(kernel, spec.network.host_link))

    @pytest.mark.parametrize(("name", "number"), PROGRAMS)
    def test_a_program_that_can_not_be_executed_names_the_step(
        self, kernel: Kernel, containers: Containers, name: str, number: int
    ) -> None:
        """What is not there, and what may not be executed: 127 and 126 to a person."""
        process = containers.create(containers.spec(process=program(args=(name,))))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_EXECUTE, number)

    def test_the_path_is_searched_as_execvp_does(self, kernel: Kernel, containers: Containers) -> None:
        """What may not be executed, or lies below a file, does not end the search."""
        env = ("PATH=/none:/etc/hosts:/etc:/bin",)
        process = containers.start(process=program("exit", "5", env=env))
        assert finish(kernel, process)[2] == Exited(5, None)

    def test_a_bridge_that_is_not_there_fails_the_network(self, kernel: Kernel, containers: Containers) -> None:
        """ENODEV, at the network's step."""
        spec = containers.spec()
        process = containers.create(spec.replace(network=spec.network.replace(bridge="bridge_none")))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_NETWORK, errno.ENODEV)

    def test_a_bridge_that_is_none_fails_the_network(self, kernel: Kernel, containers: Containers) -> None:
        """EOPNOTSUPP: only a bridge takes links."""
        spec = containers.spec()
        kernel.network.create_veth("other0", "other1", spec.network.mac, spec.network.bridge)
        process = containers.create(spec.replace(network=spec.network.replace(bridge="other0")))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_NETWORK, errno.EOPNOTSUPP)
        assert is_there(kernel, "other0")

    def test_a_link_that_is_taken_fails_the_network(self, kernel: Kernel, containers: Containers) -> None:
        """EEXIST; the one that was there stays, with its container."""
        spec = containers.spec(*SLEEPER)
        first = containers.create(spec)
        kernel.processes.release(first)
        other = containers.spec()
        second = containers.create(other.replace(network=other.network.replace(host_link=spec.network.host_link)))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(second)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_NETWORK, errno.EEXIST)
        assert is_there(kernel, spec.network.host_link)

    def test_the_root_may_come_between_create_and_release(
        self, kernel: Kernel, containers: Containers, settings: Settings
    ) -> None:
        """That is what the two steps are for."""
        spec = containers.spec("exit", "4")
        process = containers.create(spec.replace(root=f"{settings.store}/ps_late"))
        kernel.storage.snapshot(spec.name, "ps_late")
        kernel.processes.release(process)
        assert finish(kernel, process)[2] == Exited(4, None)

    def test_the_network_is_built_from_the_plan(self, kernel: Kernel, containers: Containers) -> None:
        """One end on the bridge, the other inside with its MAC, alias, address and default route."""
        spec = containers.spec(*SLEEPER)
        process = containers.create(spec)
        kernel.processes.release(process)
        outside = kernel.network.link(spec.network.host_link)
        assert (outside.kind, outside.master, outside.up) == ("veth", spec.network.bridge, True)
        kernel.namespaces.link("netns_contract", process.identity.pid)
        try:
            loopback, inside = kernel.network.links("netns_contract")
            route = kernel.network.default_route("netns_contract")
        finally:
            kernel.namespaces.remove("netns_contract")
        assert (loopback.name, loopback.up) == ("lo", True)
        assert (inside.name, inside.alias, inside.mac, inside.up) == (
            spec.network.interface,
            spec.network.alias,
            spec.network.mac,
            True,
        )
        assert [address.address for address in inside.addresses] == [spec.network.address]
        assert route == spec.network.gateway

    def test_the_link_goes_with_the_container(self, kernel: Kernel, containers: Containers) -> None:
        """Not necessarily at once: its name is free only when it is seen gone."""
        process = containers.start("exit", "0")
        finish(kernel, process)
        wait_until(kernel, lambda: not is_there(kernel, "veth0_ps_42002"))

    def test_mount_points_that_had_to_be_made_are_told(self, kernel: Kernel, containers: Containers) -> None:
        """What the image has none for, with the directories above; nothing for those that it has."""
        mounts = (*MOUNTS, Mount("tmpfs", "/none/below"))
        files = (File("/etc/hosts", b""), File("/etc/none", b""), File("/dev/own", b""))
        process = containers.create(containers.spec(*SLEEPER, mounts=mounts, files=files))
        assert kernel.processes.release(process) == ("/none", "/none/below", "/etc/none")

    def test_an_optional_mount_that_the_kernel_has_not_is_left_out(
        self, kernel: Kernel, containers: Containers
    ) -> None:
        """Whoever asked for it said that it may be."""
        process = containers.start("exit", "0", mounts=(*MOUNTS, Mount("no-such-kind", "/mnt", optional=True)))
        assert finish(kernel, process)[2] == Exited(0, None)

    def test_a_file_of_the_plan_covers_the_images(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """The program reads the plan's; the image's is as it was."""
        image = f"{settings.store}/ps_42002/etc/hosts"
        spec = containers.spec("read", "/etc/hosts", files=(File("/etc/hosts", b"planned"),))
        before = lab.read_file(image)
        process = containers.create(spec)
        kernel.processes.release(process)
        assert finish(kernel, process)[0] == b"planned"
        assert lab.read_file(image) == before != b"planned"

    def test_a_masked_file_is_empty_and_takes_nothing(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """It is `/dev/null`; the image's is as it was. What is not there is not masked."""
        words = ("read", "/etc/hosts", ",", "write", "/etc/hosts", "x", ",", "read", "/etc/hosts", ",", "echo", "done")
        process = containers.start(*words, masked_paths=("/etc/hosts", "/etc/none"))
        assert finish(kernel, process)[::2] == (b"done\n", Exited(0, None))
        assert lab.read_file(f"{settings.store}/ps_42002/etc/hosts") != b""

    def test_a_masked_directory_is_empty_and_takes_nothing(self, kernel: Kernel, containers: Containers) -> None:
        """Neither what the image has in it is there, nor can anything be made."""
        for words in (("read", "/etc/hosts"), ("write", "/etc/new", "x")):
            out, _, ended = finish(kernel, containers.start(*words, masked_paths=("/etc",)))
            assert (out, ended) == (b"", Exited(1, None))

    def test_a_read_only_path_can_be_read(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """And neither it nor what is below it be written; what is not there is passed over."""
        paths = ("/etc", "/none")
        for words in (("write", "/etc/new", "x"), ("write", "/etc/hosts", "x")):
            assert finish(kernel, containers.start(*words, readonly_paths=paths))[2] == Exited(1, None)
        content = lab.read_file(f"{settings.store}/ps_42002/etc/hosts")
        assert finish(kernel, containers.start("read", "/etc/hosts", readonly_paths=paths))[0] == content

    def test_links_of_the_plan_are_made_where_nothing_is(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """On a mount of the plan as well; what the image has there stays."""
        links = (("/tmp/link", "/etc/hosts"), ("/etc/hosts", "/none"))
        words = ("read", "/tmp/link", ",", "read", "/etc/hosts")
        process = containers.start(*words, links=links)
        content = lab.read_file(f"{settings.store}/ps_42002/etc/hosts")
        assert finish(kernel, process)[0] == 2 * content

    def test_a_file_of_the_plan_covers_a_link_without_following_it(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """Defect S8: neither the host's file of that name nor the image's is touched."""
        outside = f"{lab.directory}/outside"
        lab.write_file(outside, b"the host's")
        spec = containers.spec("read", "/etc/link", files=(File("/etc/link", b"planned"),))
        lab.make_link(f"{settings.store}/ps_42002/etc/link", outside)
        process = containers.create(spec)
        assert kernel.processes.release(process) == ()
        assert finish(kernel, process)[0] == b"planned"
        assert lab.read_file(outside) == b"the host's"

    def test_a_tmpfs_ends_with_its_container(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """What was written to it is not in the root file system."""
        process = containers.start("write", "/dev/note", "x", ",", "read", "/dev/note", ",", "write", "/tmp/note", "y")
        assert finish(kernel, process)[0] == b"x"
        assert not lab.exists(f"{settings.store}/ps_42002/dev/note")
        assert lab.read_file(f"{settings.store}/ps_42002/tmp/note") == b"y"

    def test_what_a_program_writes_is_its_users(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """Where the modes let it: a directory for everybody, root's file, and root's directory."""
        for path, code in (("/tmp/note", 0), ("/etc/hosts", 1), ("/note", 1)):
            spec = containers.spec(process=program("write", path, "x", user="1000:1001"))
            root = f"{settings.store}/{spec.name}"
            process = containers.create(spec)
            kernel.processes.release(process)
            assert finish(kernel, process)[2] == Exited(code, None)
            owners = {name: entry.owner for name, entry in lab.tree(root).items() if entry.owner != (0, 0)}
            assert owners == ({} if code else {"tmp/note": (1000, 1001)})

    def test_with_its_root_a_container_loses_its_mounts(
        self, kernel: Kernel, containers: Containers, settings: Settings
    ) -> None:
        """They lie on directories that are gone when the subvolume is deleted under it."""
        spec = containers.spec("echo", "ready", ",", "sleep", "0.6", ",", "write", "/dev/note", "x", ",", "exit", "0")
        process = containers.create(spec)
        kernel.processes.release(process)
        wait_for_output(kernel, process, b"ready")
        kernel.ambient.sleep(0.2)  # by then it sleeps, and needs no program any more
        kernel.storage.delete(spec.name)
        assert finish(kernel, process)[2] == Exited(1, None)

    def test_a_mount_goes_with_what_it_lies_on(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """The host deletes a file and a directory that a container has mounts on: there it can make new ones."""
        words = ("echo", "ready", ",", "sleep", "0.6", ",", "write", "/etc/hosts", "x", ",", "write", "/empty", "y")
        spec = containers.spec(*words, masked_paths=("/etc/hosts",), readonly_paths=("/empty",))
        root = f"{settings.store}/{spec.name}"
        lab.make_directory(f"{root}/empty")
        process = containers.create(spec)
        kernel.processes.release(process)
        wait_for_output(kernel, process, b"ready")
        for path in ("etc/hosts", "empty"):
            kernel.host.delete(f"{root}/{path}")
        assert finish(kernel, process)[2] == Exited(0, None)
        assert (lab.read_file(f"{root}/etc/hosts"), lab.read_file(f"{root}/empty")) == (b"x", b"y")

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

    def test_devices_are_the_hosts(self, kernel: Kernel, containers: Containers) -> None:
        """A node whose number is not the one planned is refused."""
        wrong = (*DEVICES, DEVICES[0].replace(path="/dev/zero"))
        process = containers.create(containers.spec(devices=wrong))
        with pytest.raises(StepFailed) as caught:
            kernel.processes.release(process)
        assert (caught.value.step, caught.value.errno) == (plan.STEP_MOUNTS, errno.ENODEV)


def _others(process: Process) -> tuple[ProcessIdentity, ...]:
    """Return identities that differ from that of a running process in one part each."""
    identity = process.identity
    return (
        identity.replace(boot_id="another boot"),
        identity.replace(start_ticks=identity.start_ticks + 1),
    )

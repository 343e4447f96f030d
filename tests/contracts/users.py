"""Who a container's program is: users and groups, from the image's own files."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.core import spec as plan
from bocker.core.spec import File
from bocker.kernel.processes import Exited
from tests.contracts.refusals import step_fails
from tests.contracts.specs import (
    SLEEPER,
    Containers,
    WithContainers,
    finish,
    program,
)

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

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


class UsersContract(WithContainers):
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

    @pytest.mark.parametrize(
        ("user", "groups"), [("root:staff", [50]), ("0:0", [0]), (":staff", [50]), ("root", [0, 50])]
    )
    def test_a_group_that_is_said_is_the_only_one(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab, user: str, groups: list[int]
    ) -> None:
        """Of root's too, where a plan without a user would add those of the image."""
        spec = containers.spec(process=program("groups", user=user, groups=(3,), groups_from_image=True))
        self._write_accounts(spec, settings, lab)
        process = containers.create(spec)
        kernel.processes.release(process)
        assert sorted(map(int, finish(kernel, process)[0].split())) == groups

    @pytest.mark.parametrize(("user", "number"), NO_USERS)
    def test_a_user_or_group_that_is_not_there_fails_its_step(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab, user: str, number: int
    ) -> None:
        """ENOENT; a number that no user may have, ERANGE. The program never runs."""
        spec = containers.spec(process=program("write", "/tmp/ran", "x", user=user))
        self._write_accounts(spec, settings, lab)
        process = containers.create(spec)
        with step_fails(plan.STEP_USER, number):
            kernel.processes.release(process)
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
        with step_fails(plan.STEP_USER, errno.ENOENT):
            kernel.processes.release(other)

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
        with step_fails(plan.STEP_USER, errno.ENOENT):
            kernel.processes.release(member)
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

    def _write_accounts(self, spec: plan.ContainerSpec, settings: Settings, lab: Lab) -> None:
        lab.write_file(f"{settings.store}/{spec.name}/etc/passwd", PASSWD)
        lab.write_file(f"{settings.store}/{spec.name}/etc/group", GROUP)

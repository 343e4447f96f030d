"""What a container's program finds: its root, mounts, devices, network and directories, as they were planned."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from bocker.core import spec as plan
from bocker.core.spec import File, Mount
from bocker.kernel.errors import StepFailed
from bocker.kernel.processes import Exited, Process
from tests.contracts.refusals import step_fails
from tests.contracts.specs import (
    DEVICES,
    MOUNTS,
    SLEEPER,
    Containers,
    WithContainers,
    finish,
    is_there,
    program,
    wait_for_output,
    wait_for_sleep,
    wait_until,
)
from tests.patience import patience

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

# What would have to be made on a mount that is read-only
READ_ONLY: list[tuple[str, dict[str, Any]]] = [
    (plan.STEP_MOUNTS, {"mounts": (Mount("tmpfs", "/tmp/new"),)}),
    (plan.STEP_MOUNTS, {"files": (File("/tmp/new", b""),)}),
    (plan.STEP_MOUNTS, {"links": (("/tmp/new", "/etc/hosts"),)}),
    (plan.STEP_MOUNTS, {"directories": ("/tmp/new",)}),
    (plan.STEP_DIRECTORY, {"process": program(cwd="/tmp/new")}),
]
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
    *(
        (
            step,
            errno.EROFS,
            {"mounts": (*MOUNTS, Mount("tmpfs", "/tmp", flags=("ro",)), *more.pop("mounts", ())), **more},
        )
        for step, more in READ_ONLY
    ),
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


class PlansContract(WithContainers):
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
        with step_fails(plan.STEP_MOUNTS, errno.ENODEV):
            kernel.processes.release(process)
        source = f"{settings.store}/source"
        kernel.storage.create("source")
        lab.write_file(f"{source}/note", b"kept")
        mounts = (*MOUNTS, Mount("bind", "/mnt", source))
        process = containers.create(containers.spec("read", "/mnt/note", mounts=mounts))
        kernel.ambient.sleep(patience(0.2))  # it opens them when it comes to it
        kernel.storage.publish("source", "moved")
        kernel.processes.release(process)
        assert finish(kernel, process)[0] == b"kept"

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
                with step_fails(plan.STEP_DIRECTORY, errno.EEXIST):
                    kernel.processes.release(process)
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
        with step_fails(plan.STEP_DIRECTORY, errno.ENOENT):
            kernel.processes.release(member)
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

    @pytest.mark.parametrize(("name", "number"), PROGRAMS)
    def test_a_member_that_can_not_be_executed_names_the_step(
        self, kernel: Kernel, containers: Containers, name: str, number: int
    ) -> None:
        """The container does not mind."""
        first = containers.start(*SLEEPER)
        member = containers.enter(first, process=program(args=(name,)))
        with step_fails(plan.STEP_EXECUTE, number):
            kernel.processes.release(member)
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

        with step_fails(step, number):
            start()
        assert created or step == plan.STEP_GROUP
        assert not any(kernel.processes.alive(process.identity) for process in created)
        wait_until(kernel, lambda: not is_there(kernel, spec.network.host_link))

    @pytest.mark.parametrize(("name", "number"), PROGRAMS)
    def test_a_program_that_can_not_be_executed_names_the_step(
        self, kernel: Kernel, containers: Containers, name: str, number: int
    ) -> None:
        """What is not there, and what may not be executed: 127 and 126 to a person."""
        process = containers.create(containers.spec(process=program(args=(name,))))
        with step_fails(plan.STEP_EXECUTE, number):
            kernel.processes.release(process)

    def test_the_path_is_searched_as_execvp_does(self, kernel: Kernel, containers: Containers) -> None:
        """What may not be executed, or lies below a file, does not end the search."""
        env = ("PATH=/none:/etc/hosts:/etc:/bin",)
        process = containers.start(process=program("exit", "5", env=env))
        assert finish(kernel, process)[2] == Exited(5, None)

    def test_a_bridge_that_is_not_there_fails_the_network(self, kernel: Kernel, containers: Containers) -> None:
        """ENODEV, at the network's step."""
        spec = containers.spec()
        process = containers.create(spec.replace(network=spec.network.replace(bridge="bridge_none")))
        with step_fails(plan.STEP_NETWORK, errno.ENODEV):
            kernel.processes.release(process)

    def test_a_bridge_that_is_none_fails_the_network(self, kernel: Kernel, containers: Containers) -> None:
        """EOPNOTSUPP: only a bridge takes links."""
        spec = containers.spec()
        kernel.network.create_veth("other0", "other1", spec.network.mac, spec.network.bridge)
        process = containers.create(spec.replace(network=spec.network.replace(bridge="other0")))
        with step_fails(plan.STEP_NETWORK, errno.EOPNOTSUPP):
            kernel.processes.release(process)
        assert is_there(kernel, "other0")

    @pytest.mark.parametrize("alias", ["eth0", "lo"])
    def test_an_alias_that_is_taken_fails_the_network(self, kernel: Kernel, containers: Containers, alias: str) -> None:
        """EEXIST: names and other names are of one kind, and the link's own is taken."""
        spec = containers.spec()
        process = containers.create(spec.replace(network=spec.network.replace(alias=alias)))
        with step_fails(plan.STEP_NETWORK, errno.EEXIST):
            kernel.processes.release(process)
        wait_until(kernel, lambda: not is_there(kernel, spec.network.host_link))

    def test_a_link_that_is_taken_fails_the_network(self, kernel: Kernel, containers: Containers) -> None:
        """EEXIST; the one that was there stays, with its container."""
        spec = containers.spec(*SLEEPER)
        first = containers.create(spec)
        kernel.processes.release(first)
        other = containers.spec()
        second = containers.create(other.replace(network=other.network.replace(host_link=spec.network.host_link)))
        with step_fails(plan.STEP_NETWORK, errno.EEXIST):
            kernel.processes.release(second)
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

    def test_mount_points_that_had_to_be_made_are_told(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """What the image has none for, with those above, modes 0755 and 0644; nothing for those that it has."""
        mounts = (*MOUNTS, Mount("tmpfs", "/none/below"))
        files = (File("/etc/hosts", b""), File("/etc/none", b""), File("/dev/own", b""))
        spec = containers.spec(*SLEEPER, mounts=mounts, files=files)
        process = containers.create(spec)
        assert kernel.processes.release(process) == ("/none", "/none/below", "/etc/none")
        tree = lab.tree(f"{settings.store}/{spec.name}")
        made = [(tree[path].kind, tree[path].mode) for path in ("none", "none/below", "etc/none")]
        assert made == [("directory", 0o755), ("directory", 0o755), ("file", 0o644)]

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

    @pytest.mark.parametrize(("mode", "code"), [(0o644, 1), (0o666, 0)])
    def test_a_file_of_the_plan_has_its_mode(
        self, kernel: Kernel, containers: Containers, mode: int, code: int
    ) -> None:
        """It is root's, and others may do with it what the mode says."""
        words = ("read", "/etc/hosts", ",", "write", "/etc/hosts", "x", ",", "read", "/etc/hosts")
        files = (File("/etc/hosts", b"planned", mode=mode),)
        process = containers.start(process=program(*words, user="1000:1001"), files=files)
        assert finish(kernel, process)[::2] == (b"planned" if code else b"plannedx", Exited(code, None))

    def test_a_masked_file_is_empty_and_takes_nothing(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """It is `/dev/null`; the image's is as it was. What is not there is not masked."""
        words = ("read", "/etc/hosts", ",", "write", "/etc/hosts", "x", ",", "read", "/etc/hosts", ",", "echo", "done")
        process = containers.start(*words, masked_paths=("/etc/hosts", "/etc/none"))
        assert finish(kernel, process)[::2] == (b"done\n", Exited(0, None))
        assert lab.read_file(f"{settings.store}/ps_42002/etc/hosts") != b""

    @pytest.mark.parametrize("user", ["", "1000:1001"])
    def test_a_masked_directory_is_empty_and_takes_nothing(
        self, kernel: Kernel, containers: Containers, user: str
    ) -> None:
        """Neither what the image has in it is there, nor can anything be made, by root or by others."""
        for words in (("read", "/etc/hosts"), ("read", "/etc"), ("write", "/etc/new", "x")):
            process = containers.start(process=program(*words, user=user), masked_paths=("/etc",))
            out, _, ended = finish(kernel, process)
            assert (out, ended) == (b"", Exited(1, None))

    @pytest.mark.parametrize(
        ("words", "out", "code"),
        [
            (("read", "/masked"), b"", 0),
            (("read", "/masked/note"), b"", 1),
            (("write", "/masked/note", "x"), b"", 1),
            (("read", "/etc/note"), b"kept", 0),
            (("write", "/frozen/note", "x", ",", "read", "/etc/note"), b"x", 0),
        ],
    )
    def test_of_a_link_that_is_covered_only_itself_is(
        self,
        kernel: Kernel,
        containers: Containers,
        settings: Settings,
        lab: Lab,
        words: tuple[str, ...],
        out: bytes,
        code: int,
    ) -> None:
        """Masked, it is an empty file; read-only, it leads where it led, and there can be written."""
        spec = containers.spec(*words, masked_paths=("/masked",), readonly_paths=("/frozen",))
        root = f"{settings.store}/{spec.name}"
        lab.write_file(f"{root}/etc/note", b"kept")
        for name in ("masked", "frozen"):
            lab.make_link(f"{root}/{name}", "etc")
        process = containers.create(spec)
        assert kernel.processes.release(process) == ()
        assert finish(kernel, process)[::2] == (out, Exited(code, None))

    @pytest.mark.parametrize(
        ("changes", "number"),
        [
            ({"mounts": (*MOUNTS, Mount("tmpfs", "/gone/below"))}, errno.EEXIST),
            ({"mounts": (*MOUNTS, Mount("tmpfs", "/gone"))}, errno.ENOTDIR),
            ({"mounts": (*MOUNTS, Mount("tmpfs", "/link"))}, errno.ENOTDIR),
            ({"mounts": (*MOUNTS, Mount("tmpfs", "/link/below"))}, 0),
            ({"mounts": (*MOUNTS, Mount("tmpfs", "/etc/hosts/below"))}, errno.ENOTDIR),
            ({"files": (File("/gone/below", b"x"),)}, 0),
            ({"files": (File("/gone", b"x"),)}, 0),
            ({"files": (File("/link/new", b"x"),)}, 0),
            ({"files": (File("/etc", b"x"),)}, errno.EINVAL),
            ({"files": (File("/etc/hosts/below", b"x"),)}, errno.ENOTDIR),
            ({"links": (("/gone/below", "/x"),)}, errno.EEXIST),
            ({"links": (("/gone", "/x"),)}, 0),
            ({"devices": (DEVICES[0].replace(path="/etc"),)}, errno.ENODEV),
            ({"directories": ("/link/new/below", "/link")}, 0),
            ({"mounts": (*MOUNTS, Mount("bind", "/mnt", "/no/such/source", optional=True))}, 0),
            ({"mounts": (*MOUNTS, Mount("bind", "/link/new", "/etc/resolv.conf"))}, 0),
            ({"mounts": (*MOUNTS, Mount("bind", "/etc", "/etc/resolv.conf"))}, errno.EINVAL),
            ({"mounts": (*MOUNTS, Mount("bind", "/etc/hosts", "/etc"))}, errno.ENOTDIR),
            ({"masked_paths": ("/etc/hosts", "/etc"), "readonly_paths": ("/etc/hosts", "/etc")}, 0),
            ({"links": (("/link/new", "/x"),)}, 0),
            ({"links": (("/none/new", "/x"),)}, 0),
            ({"links": (("/etc/hosts/new", "/x"),)}, errno.ENOTDIR),
            ({"masked_paths": ("/gone/below", "/none/below")}, 0),
            ({"readonly_paths": ("/gone/below", "/none/below")}, 0),
            ({"masked_paths": ("/etc/hosts/below",)}, errno.ENOTDIR),
            ({"readonly_paths": ("/etc/hosts/below",)}, errno.ENOTDIR),
        ],
    )
    def test_what_is_in_the_way_of_a_plan(
        self,
        kernel: Kernel,
        containers: Containers,
        settings: Settings,
        lab: Lab,
        changes: dict[str, Any],
        number: int,
    ) -> None:
        """`/gone` is a link that leads nowhere, `/link` one to a directory."""
        spec = containers.spec("exit", "5", **changes)
        root = f"{settings.store}/{spec.name}"
        lab.make_link(f"{root}/gone", "nowhere/at/all")
        lab.make_link(f"{root}/link", "etc")
        process = containers.create(spec)
        if not number:
            kernel.processes.release(process)
            assert finish(kernel, process)[2] == Exited(5, None)
            return
        with step_fails(plan.STEP_MOUNTS, number):
            kernel.processes.release(process)

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
        made = lab.tree(f"{settings.store}/ps_42002")["tmp/link"]
        assert (made.kind, made.mode, made.link, made.owner) == ("link", 0o777, "/etc/hosts", (0, 0))

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

    @pytest.mark.parametrize("path", ["/dev/note", "/note"])
    def test_with_its_root_a_container_loses_its_mounts(
        self, kernel: Kernel, containers: Containers, path: str
    ) -> None:
        """They lie on directories that are gone when the subvolume is deleted under it; new ones can't be made."""
        words = ("echo", "ready", ",", "sleep", f"{patience(0.6)}", ",", "write", path, "x", ",", "exit", "0")
        spec = containers.spec(*words)
        process = containers.create(spec)
        kernel.processes.release(process)
        wait_for_sleep(kernel, process)
        kernel.storage.delete(spec.name)
        assert finish(kernel, process)[2] == Exited(1, None)

    def test_a_mount_goes_with_what_it_lies_on(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """The host deletes a file and a directory that a container has mounts on: there it can make new ones."""
        first, second = ("write", "/etc/hosts", "x"), ("write", "/empty", "y")
        words = ("echo", "ready", ",", "sleep", f"{patience(0.6)}", ",", *first, ",", *second)
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

    def test_a_mask_goes_with_its_file_on_a_read_only_path_too(
        self, kernel: Kernel, containers: Containers, settings: Settings, lab: Lab
    ) -> None:
        """The path is covered by a mount of itself, on which the mask lies."""
        words = ("echo", "ready", ",", "sleep", f"{patience(0.6)}", ",", "read", "/data/below/note")
        spec = containers.spec(*words, readonly_paths=("/data",), masked_paths=("/data/below/note",))
        root = f"{settings.store}/{spec.name}"
        for path in ("data", "data/below"):
            lab.make_directory(f"{root}/{path}")
        lab.write_file(f"{root}/data/below/note", b"old")
        process = containers.create(spec)
        kernel.processes.release(process)
        wait_for_output(kernel, process, b"ready")
        kernel.host.delete(f"{root}/data/below/note")
        lab.write_file(f"{root}/data/below/note", b"new")
        assert finish(kernel, process)[0] == b"new"

    @pytest.mark.parametrize(
        ("changes", "number"),
        [
            ({"bridge": "b" * 16}, errno.ERANGE),
            ({"bridge": "a/b"}, errno.ENODEV),
            ({"bridge": ""}, errno.ENODEV),
            ({"host_link": "h" * 16}, errno.ERANGE),
            ({"host_link": "a/b"}, errno.EINVAL),
            ({"interface": "i" * 16}, errno.ERANGE),
            ({"interface": "a b"}, errno.EINVAL),
            ({"bridge": "bridge_none", "host_link": "a/b"}, errno.ENODEV),
        ],
    )
    def test_an_impossible_name_fails_the_network(
        self, kernel: Kernel, containers: Containers, changes: dict[str, str], number: int
    ) -> None:
        """Here the kernel alone looks at it: what can't be a name is only no link."""
        spec = containers.spec()
        process = containers.create(spec.replace(network=spec.network.replace(**changes)))
        with step_fails(plan.STEP_NETWORK, number):
            kernel.processes.release(process)

    def test_the_working_directory_of_a_member_is_no_file(self, kernel: Kernel, containers: Containers) -> None:
        """ENOTDIR."""
        first = containers.start(*SLEEPER)
        member = containers.enter(first, process=program("cwd", cwd="/etc/hosts"))
        with step_fails(plan.STEP_DIRECTORY, errno.ENOTDIR):
            kernel.processes.release(member)

    def test_a_mask_may_lie_on_a_read_only_path_of_the_kernels(self, kernel: Kernel, containers: Containers) -> None:
        """As deep as it likes."""
        paths = {"readonly_paths": ("/proc/sys",), "masked_paths": ("/proc/sys/kernel",)}
        process = containers.start("read", "/proc/sys/kernel/hostname", **paths)
        assert finish(kernel, process)[::2] == (b"", Exited(1, None))

    def test_devices_are_the_hosts(self, kernel: Kernel, containers: Containers) -> None:
        """A node whose number is not the one planned is refused."""
        wrong = (*DEVICES, DEVICES[0].replace(path="/dev/zero"))
        process = containers.create(containers.spec(devices=wrong))
        with step_fails(plan.STEP_MOUNTS, errno.ENODEV):
            kernel.processes.release(process)

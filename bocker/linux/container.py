"""How the first process of a container is made, between its birth and `child.execute`.

Apart from `child`, since `exec` needs none of this and start-up is a budget.
"""

from __future__ import annotations

import os

from bocker.core import spec as words
from bocker.core.spec import ContainerSpec, NetworkSpec
from bocker.linux import netlink, rootfs
from bocker.linux import syscalls as k
from bocker.linux.child import Ends, begin, execute, run, step, wait_for_release, write_tasks
from bocker.linux.files import write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def become_container(spec: ContainerSpec, ends: Ends, task_files: tuple[str, ...]) -> NoReturn:
    """Become the first process of a container."""
    run(lambda: _container(spec, ends, task_files), spec.process, ends)


def _container(spec: ContainerSpec, ends: Ends, task_files: tuple[str, ...]) -> None:
    begin(ends)
    step(words.STEP_GROUP, _join_group, task_files)
    step(words.STEP_NETWORK, _build_network, spec.network, ends.netlink)
    step(words.STEP_HOSTNAME, k.sethostname, os.fsencode(spec.hostname))
    step(words.STEP_SYSCTLS, _write_sysctls, spec.sysctls)
    prepared = step(words.STEP_MOUNTS, _prepare_mounts, spec)
    wait_for_release(ends)
    root = step(words.STEP_ROOT, rootfs.enter_root, spec.root)
    made = step(words.STEP_MOUNTS, rootfs.attach, spec, prepared, root)
    if made:
        os.write(ends.status, os.fsencode("".join(f"made\0{path}\n" for path in made)))
    step(words.STEP_DIRECTORY, rootfs.make_directory, root, spec.process.cwd)
    step(words.STEP_ROOT, rootfs.pivot, root)
    execute(spec.process, ends)


def _join_group(task_files: tuple[str, ...]) -> None:
    """Join, and only then leave for a cgroup namespace: its root is where we are now.

    Version 2 has done both at the clone; then there are no files to write to.
    """
    if task_files:
        write_tasks(task_files)
        k.unshare(k.CLONE_NEWCGROUP)


def _build_network(network: NetworkSpec, host_socket: int) -> None:
    """Make the pair through the host's socket, its peer here; then give the peer all it needs."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    netlink.create_container_link(host_socket, own, network)
    os.close(own)
    netlink.configure_container_link(network)


def _write_sysctls(sysctls: tuple[tuple[str, str], ...]) -> None:
    for name, value in sysctls:
        write_file("/proc/sys/" + name.replace(".", "/"), value.encode())


def _prepare_mounts(spec: ContainerSpec) -> rootfs.Prepared:
    k.mount(None, b"/", None, k.MS_REC | k.MS_PRIVATE)
    return rootfs.prepare(spec)

"""Control groups: one port, two mechanisms, chosen by what the kernel has mounted and not by where.

`cgroups_v1` and `cgroups_v2` know one version each and raise OSError only.
"""

from __future__ import annotations

import errno
import os

from bocker.core.limits import Limits
from bocker.core.spec import DeviceRule
from bocker.kernel.cgroups import Cgroups, Layout, Usage
from bocker.linux.errors import component, translated
from bocker.linux.files import read_file
from bocker.linux.mountinfo import MOUNTINFO, Mounted, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.linux.cgroups_v1 import GroupsV1
    from bocker.linux.cgroups_v2 import GroupsV2

CONTROLLERS = ("cpu", "memory", "pids", "devices")

_found: dict[tuple[str, str], GroupsV1 | GroupsV2] = {}


class LinuxCgroups(Cgroups):
    """The groups below `parent`. What is mounted is looked up once in the life of a program.

    mountinfo: the list of mounts, another one than the kernel's in tests only.
    """

    __slots__ = ("_mountinfo", "_parent")

    def __init__(self, parent: str, mountinfo: str = MOUNTINFO) -> None:
        self._parent = parent
        self._mountinfo = mountinfo

    def layout(self) -> Layout:
        """Return what this host offers; see the port."""
        with translated("cgroups.layout", ""):
            return self._groups().layout()

    def create(self, name: str) -> None:
        """Make a group; see the port."""
        with translated("cgroups.create", name):
            component(name)
            self._groups().create(name)

    def limit(self, name: str, limits: Limits, device_rules: tuple[DeviceRule, ...] = ()) -> Limits:
        """Set limits; see the port."""
        with translated("cgroups.limit", name):
            component(name)
            if limits.is_below_nothing:
                raise OSError(errno.EINVAL, "a limit below nothing")
            return self._groups().limit(name, limits, device_rules)

    def add(self, name: str, pid: int) -> None:
        """Put a process into a group; see the port."""
        with translated("cgroups.add", name):
            component(name)
            self._groups().add(name, pid)

    def members(self, name: str) -> tuple[int, ...]:
        """Return the processes in a group; see the port."""
        with translated("cgroups.members", name):
            component(name)
            return self._groups().members(name)

    def usage(self, name: str) -> Usage:
        """Return what a group has used; see the port."""
        with translated("cgroups.usage", name):
            component(name)
            return self._groups().usage(name)

    def remove(self, name: str) -> None:
        """Remove a group; see the port."""
        with translated("cgroups.remove", name):
            component(name)
            self._groups().remove(name)

    def names(self) -> tuple[str, ...]:
        """Return all groups; see the port."""
        with translated("cgroups.names", ""):
            return self._groups().names()

    def remove_parent(self) -> None:
        """Remove the parent group; see the port."""
        with translated("cgroups.remove_parent", self._parent):
            self._groups().remove_parent()

    def task_files(self, name: str) -> tuple[str, ...]:
        """Return the files that a process joins the group by when it writes 0 to each of them."""
        with translated("cgroups.task_files", name):
            component(name)
            return self._groups().task_files(name)

    def group_descriptor(self, name: str) -> int | None:
        """Return a descriptor of the group for CLONE_INTO_CGROUP, clone(2); None on version 1, which can't."""
        with translated("cgroups.group_descriptor", name):
            component(name)
            return self._groups().group_descriptor(name)

    def _groups(self) -> GroupsV1 | GroupsV2:
        key = (self._mountinfo, self._parent)
        if key not in _found:
            _found[key] = _detect(*key)
        return _found[key]


def _detect(mountinfo: str, parent: str) -> GroupsV1 | GroupsV2:
    """Choose the version that has more of the controllers: on a hybrid host each is in one of the two."""
    component(parent)
    mounted = mounts(b"cgroup", mountinfo)
    first = {controller: found for controller in CONTROLLERS if (found := _hierarchy(mounted, controller))}
    root = next((mount.target for mount in mounted if mount.kind == "cgroup2" and _is_visible(mount)), None)
    second = _controllers(root) if root else ()
    if root and len(second) >= max(len(first), 1):
        from bocker.linux.cgroups_v2 import GroupsV2

        return GroupsV2(root, parent, second)
    if not first:
        raise OSError(errno.ENOSYS, "no control groups")
    from bocker.linux.cgroups_v1 import GroupsV1

    return GroupsV1(first, parent)


def _hierarchy(mounted: tuple[Mounted, ...], controller: str) -> Mounted | None:
    """Return the mount of a controller of version 1, alone or joined with others."""
    for mount in mounted:
        if mount.kind == "cgroup" and controller in mount.options and _is_visible(mount):
            return mount
    return None


def _controllers(root: str) -> tuple[str, ...]:
    """Return what version 2 has controllers for; its device rules are programs and need none."""
    there = read_file(f"{root}/cgroup.controllers").decode("ascii").split()
    return tuple(controller for controller in CONTROLLERS if controller in there)


def _is_visible(mount: Mounted) -> bool:
    """Tell whether the mount is what one meets at its path: another file system may lie over it."""
    try:
        return os.stat(mount.target).st_dev == mount.device
    except OSError:
        return False

"""What somebody else does to the machine while a program is at work, or between two of its commands.

    interference.delete_link(world, "bridge0")
    kernel.gate = Meanwhile(7, lambda: interference.kill(world, pid))  # right before call 7

Each is what root can do with an ordinary tool, or what happens to a machine by itself: the disk fills, the
memory runs out, the clock is set. It tells whether there was anything to do it to; it never asks the ports,
and no gate is asked about it. That the kernel answers so afterwards is tested on Linux, by the tool that each
names (`tests/system/test_fake_interference.py`), and what a person sees then (`test_interference.py` there).

What "survived" means
---------------------
Whatever somebody else does, and whenever: a command succeeds, or ends with one line that says what it could
not do and why. It never reports as done what is not there, but for what that somebody took away himself.
`cleanup` then takes away what is left or says in one line what only a person can do first (mount the store,
make room), and once that is done it succeeds; done twice, it does nothing the second time. What was there
and was not touched is there still: no command, and no `cleanup`, deletes for want of something that is
missing. And a new container runs.

Not in the model: somebody who writes to the store what only looks as if it were bocker's, who changes the
program itself, or what the kernel keeps of a process (ptrace).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

import attrs

from bocker.core.limits import Limits
from bocker.fakes import files, groups, laws, programs, storage
from bocker.fakes.errors import Refused
from bocker.fakes.state import (
    FILE,
    HOST,
    SUBVOLUME,
    GroupRow,
    LinkRow,
    MountRow,
    Place,
    ProcessRow,
    State,
    put_group,
    put_link,
    put_process,
    with_row,
    without,
)
from bocker.fakes.world import SECOND_NS, World

MOST_BYTES = 1 << 60  # more than any machine has


def _done(world: World, what: str, subject: str, step: Callable[[State], State]) -> bool:
    """Change the world; tell whether anything was changed."""
    before = world.state
    world.change(f"interference.{what}", subject, lambda state: _if_possible(step, state))
    return attrs.evolve(world.state, clock_ns=before.clock_ns) != before


def _if_possible(step: Callable[[State], State], state: State) -> State:
    try:
        return step(state)
    except Refused:  # there is no such thing
        return state


def _process(state: State, pid: int) -> ProcessRow:
    if pid not in state.processes:
        raise Refused(errno.ESRCH, str(pid))
    return state.processes[pid]


# Links and the firewall


def delete_link(world: World, name: str, pid: int | None = None) -> bool:
    """Delete a link of the host, or of the namespace that a process is in, with its peer: ip-link(8), `delete`."""
    return _done(world, "delete_link", name, lambda state: laws.link_ends(state, _link(state, name, pid).id))


def set_link_down(world: World, name: str, pid: int | None = None) -> bool:
    """Set a link down, which takes the routes over it away: ip-link(8), `set NAME down`."""
    return _done(world, "set_link_down", name, lambda state: laws.link_goes_down(state, _link(state, name, pid).id))


def flush_addresses(world: World, name: str) -> bool:
    """Take a link's addresses away: ip-address(8), `flush dev NAME`."""

    def step(state: State) -> State:
        return put_link(state, attrs.evolve(_link(state, name, None), addresses=()))

    return _done(world, "flush_addresses", name, step)


def flush_ruleset(world: World) -> bool:
    """Delete all tables of the firewall, ours among them: nft(8), `flush ruleset`."""
    return _done(world, "flush_ruleset", "", lambda state: attrs.evolve(state, tables={}))


def delete_table(world: World, name: str) -> bool:
    """Delete one table of the firewall: nft(8), `delete table ip NAME`."""
    return _done(world, "delete_table", name, lambda state: attrs.evolve(state, tables=without(state.tables, name)))


def set_sysctl(world: World, name: str, value: str) -> bool:
    """Change a setting of the kernel: sysctl(8), `-w NAME=VALUE`."""
    return _done(
        world, "set_sysctl", name, lambda state: attrs.evolve(state, sysctls=with_row(state.sysctls, name, value))
    )


def remove_namespace_name(world: World, folder: str, name: str) -> bool:
    """Remove the name of a process's network namespace, `rm FOLDER/NAME`: ip-netns(8)."""
    return _done(
        world,
        "remove_namespace_name",
        name,
        lambda state: attrs.evolve(state, names=without(state.names, (folder, name))),
    )


def _link(state: State, name: str, pid: int | None) -> LinkRow:
    network = HOST if pid is None else _process(state, pid).namespaces.get(laws.NETWORK, HOST)
    for row in state.links.values():
        if (row.network, row.name) == (network, name):
            return row
    raise Refused(errno.ENODEV, name)


# Mounts and file systems


def unmount(world: World, target: str) -> bool:
    """Take a mount away with all that is mounted below, although it is in use: umount(8), `--lazy`. Whoever has
    something open in it keeps that, and a container its root."""
    below = target.rstrip("/") + "/"

    def step(state: State) -> State:
        left = tuple(row for row in state.mounts[HOST] if row.target != target and not row.target.startswith(below))
        return attrs.evolve(state, mounts=with_row(state.mounts, HOST, left))

    return _done(world, "unmount", target, step)


def mount(world: World, row: MountRow) -> bool:
    """Mount again what was unmounted, or went read-only: mount(8)."""

    def step(state: State) -> State:
        state = _with_read_only(state, state.subvolumes[row.place.subvolume].filesystem, False)
        return state if row in state.mounts[HOST] else files.add_mount(state, row)

    return _done(world, "mount", row.target, step)


def make_read_only(world: World, path: str) -> bool:
    """Let the file system at a path be read-only for all who have it mounted: mount(8), `-o remount,ro`; btrfs(5)
    does so by itself when it can't write its tables any more."""

    def step(state: State) -> State:
        place = files.locate(state, path).place
        return _with_read_only(state, files.filesystem_of(state, place).id, True)

    return _done(world, "make_read_only", path, step)


def _with_read_only(state: State, filesystem: int, read_only: bool) -> State:
    row = attrs.evolve(state.filesystems[filesystem], read_only=read_only)
    return attrs.evolve(state, filesystems=with_row(state.filesystems, filesystem, row))


def fill_disk(world: World, path: str) -> bool:
    """Let the file system at a path be full from now on: fallocate(1)."""
    before = world.state.filesystems
    world.set_free_bytes(path, 0)
    return world.state.filesystems != before


def empty_disk(world: World, path: str) -> None:
    """Let it have room again, without end."""
    world.set_free_bytes(path, None)


# Subvolumes and files


def delete_subvolume(world: World, path: str) -> bool:
    """Delete a subvolume with those in it: btrfs-subvolume(8), `delete`. Mounts of it vanish."""
    return _done(world, "delete_subvolume", path, lambda state: _without_subvolume(state, path))


def _without_subvolume(state: State, path: str) -> State:
    spot = files.locate(state, path, follow=False)
    name = files.entry_at(state, _above(state, path))
    if name is None or name.kind != SUBVOLUME:
        raise Refused(errno.EINVAL, path)
    for inner, entry in state.subvolumes[spot.place.subvolume].files.items():
        if entry.kind == SUBVOLUME:
            state = _without_subvolume(state, f"{path}/{inner}")
    return storage.drop_subvolume(state, _above(state, path), state.subvolumes[spot.place.subvolume])


def _above(state: State, path: str) -> Place:
    """Return the place of a name itself, whatever tree goes on there."""
    directory, _, name = path.rpartition("/")
    place = files.locate(state, directory).place
    return Place(place.subvolume, files.joined(place.path, name))


def set_read_only(world: World, path: str, read_only: bool) -> bool:
    """Make one subvolume read-only, or writable again: btrfs-property(8), `set PATH ro true`."""

    def step(state: State) -> State:
        spot = files.existing(state, path)[0]
        row = attrs.evolve(state.subvolumes[spot.place.subvolume], read_only=read_only)
        return attrs.evolve(state, subvolumes=with_row(state.subvolumes, row.id, row))

    return _done(world, "set_read_only", path, step)


def remove_file(world: World, path: str) -> bool:
    """Remove a file, or a directory with all in it: rm(1), `-r`."""
    return _done(world, "remove_file", path, lambda state: files.drop_entry(state, _file(state, path)))


def cut_file(world: World, path: str, size_bytes: int) -> bool:
    """Leave the first so many bytes of a file: truncate(1)."""
    return _rewritten(world, path, lambda content: content[:size_bytes])


def overwrite(world: World, path: str, content: bytes) -> bool:
    """Put something else into a file that is there."""
    return _rewritten(world, path, lambda before: content)


def _rewritten(world: World, path: str, change: Callable[[bytes], bytes]) -> bool:
    def step(state: State) -> State:
        place = _file(state, path)
        entry = state.subvolumes[place.subvolume].files[place.path]
        if entry.kind != FILE:
            raise Refused(errno.EISDIR, path)
        return files.put_entry(state, place, attrs.evolve(entry, content=change(entry.content)))

    return _done(world, "overwrite", path, step)


def _file(state: State, path: str) -> Place:
    return files.existing(state, path, follow=False)[0].place


# Processes, groups, memory and time


def kill(world: World, pid: int) -> bool:
    """Kill a process; the first one of a container takes all others with it: kill(1), `-KILL`, pid_namespaces(7)."""
    return _done(world, "kill", str(pid), lambda state: _killed(state, _process(state, pid)))


def _killed(state: State, row: ProcessRow) -> State:
    return programs.deliver(state, row.pid, programs.SIGKILL)


def exhaust_memory(world: World, pid: int) -> bool:
    """Let a process take more memory than its group may have; the kernel kills it: cgroups(7), "memory"."""

    def step(state: State) -> State:
        if groups.memory_bound(state, _process(state, pid).group) is None:
            return state
        return programs.take_memory(state, pid, MOST_BYTES)

    return _done(world, "exhaust_memory", str(pid), step)


def refuse_clones(world: World, reason: int) -> bool:
    """Let there be no new process from now on: clone(2), EAGAIN where a bound on their number is reached, ENOMEM
    where the machine has no memory left. 0: there may be some again."""
    return _done(world, "refuse_clones", str(reason), lambda state: attrs.evolve(state, clone_errno=reason))


def move_out(world: World, pid: int) -> bool:
    """Put a process into the group at the top, as a manager of groups does: cgroups(7)."""
    return _done(
        world,
        "move_out",
        str(pid),
        lambda state: put_process(state, attrs.evolve(_process(state, pid), group=None)),
    )


def remove_group(world: World, parent: str, name: str) -> bool:
    """Put who is in a group into the one at the top, and remove the group: cgroups(7), rmdir(1)."""
    return _done(world, "remove_group", name, lambda state: _without_group(state, _group(state, parent, name)))


def remove_groups(world: World, parent: str) -> bool:
    """Remove all groups below a parent, and the parent."""

    def step(state: State) -> State:
        for row in tuple(state.groups.values()):
            if row.parent == parent:
                state = _without_group(state, row)
        return attrs.evolve(state, parents=state.parents - {parent})

    return _done(world, "remove_groups", parent, step)


def set_limits(world: World, parent: str, name: str, limits: Limits) -> bool:
    """Give a group other limits: cgroups(7)."""
    return _done(
        world,
        "set_limits",
        name,
        lambda state: put_group(state, attrs.evolve(_group(state, parent, name), limits=groups.as_kept(limits))),
    )


def _group(state: State, parent: str, name: str) -> GroupRow:
    return groups.group_called(state, parent, name)


def _without_group(state: State, group: GroupRow) -> State:
    for row in groups.members(state, group.id):
        state = put_process(state, attrs.evolve(row, group=None))
    return attrs.evolve(state, groups=without(state.groups, group.id))


def set_clock_back(world: World, seconds: int) -> bool:
    """Set the clock that people see back; what the kernel measures time by goes on: clock_settime(2), date(1)."""
    return _done(
        world,
        "set_clock_back",
        str(seconds),
        lambda state: attrs.evolve(state, clock_set_ns=state.clock_set_ns - seconds * SECOND_NS),
    )

"""What somebody does to a host on which bocker is at work: to what, and what a person then has to put right."""

from __future__ import annotations

import errno
from collections.abc import Callable

import attrs

from bocker.core.addresses import parse_subnet
from bocker.core.ids import ContainerId, ImageId
from bocker.core.limits import Limits
from bocker.core.spec import ContainerSpec
from bocker.engine import store
from bocker.fakes import World, files, interference
from bocker.fakes.state import HOST, SUBVOLUME, ZOMBIE, MountRow, Place, ProcessRow
from tests.unit.engine.bench import Bench

FORWARDING = "net.ipv4.ip_forward"
DAY_S = 86_400
DISK = "/dev/vdb"  # that the store is on
THE_HOST = "the host"
TIGHT = Limits(memory_bytes=1 << 20, pids=1)

Victim = Callable[[Bench], str | None]
Act = Callable[[Bench, str], bool]


@attrs.frozen
class Interference:
    """What is done, to what, and what a person does before `cleanup` can: mount, make room, `bocker setup`.

    act: is given the victim as it was chosen at that moment, which may be gone by now; tells whether there was
    anything to do. victim: None when there is nothing of that kind.
    """

    name: str
    victim: Victim
    act: Act
    mend: Callable[[Bench], object] = lambda bench: None


# Victims


def youngest_container(bench: Bench) -> str | None:
    """Return the name of the container that has got a process last: the one that is being made, if one is."""
    found = [name_of(row) for row in sorted(_firsts(bench), key=lambda row: row.pid)]
    return found[-1] if found else None


def oldest_in(folder: str) -> Victim:
    """Return what finds the first file of a folder of bocker's: it was there before the command."""
    return lambda bench: _named(_files_in(bench, folder), 0, _meta(bench, folder))


def youngest_in(folder: str) -> Victim:
    """Return what finds the last file of a folder, which may be the command's own."""
    return lambda bench: _named(_files_in(bench, folder), -1, _meta(bench, folder))


def file_at(key: str) -> Victim:
    """Return what finds a file of bocker's, or a folder, by its name."""
    return lambda bench: _meta(bench, key)


def oldest_subvolume(kind: type[ContainerId] | type[ImageId] | str) -> Victim:
    """Return what finds the first subvolume of a kind."""
    return lambda bench: _named(_subvolumes(bench, kind), 0, bench.settings.store)


def youngest_subvolume(kind: type[ContainerId] | type[ImageId] | str) -> Victim:
    """Return what finds the last subvolume of a kind."""
    return lambda bench: _named(_subvolumes(bench, kind), -1, bench.settings.store)


def the_only_one(bench: Bench) -> str:
    """The bridge, the store, the machine."""
    return THE_HOST


def name_of(row: ProcessRow) -> str:
    """Return the name of the container that a process is in."""
    assert isinstance(row.spec, ContainerSpec)
    return row.spec.name


def _firsts(bench: Bench) -> list[ProcessRow]:
    rows = bench.world.state.processes.values()
    return [row for row in rows if row.first and row.phase != ZOMBIE and isinstance(row.spec, ContainerSpec)]


def _meta(bench: Bench, key: str) -> str:
    return f"{bench.settings.store}/.meta/{key}"


def _named(names: list[str], index: int, folder: str) -> str | None:
    return f"{folder}/{names[index]}" if names else None


def _files_in(bench: Bench, folder: str) -> list[str]:
    return sorted(_entries(bench, _meta(bench, folder)))


def _subvolumes(bench: Bench, kind: type[ContainerId] | type[ImageId] | str) -> list[str]:
    names = sorted(name for name, entry in _entries(bench, bench.settings.store).items() if entry.kind == SUBVOLUME)
    if isinstance(kind, str):
        return [name for name in names if name.startswith(kind)]
    return [str(one) for one in store.ids_among(names, kind)]


def _entries(bench: Bench, path: str) -> dict[str, files.Entry]:
    if not files.is_directory(bench.world.state, path):
        return {}
    return files.children(bench.world.state, files.existing(bench.world.state, path)[0].place)


# Acts


def on_process(act: Callable[[World, int], bool]) -> Act:
    """Return what is done to the first process of a container."""

    def on_container(bench: Bench, container: str) -> bool:
        done = [act(bench.world, row.pid) for row in _firsts(bench) if name_of(row) == container]
        return any(done)

    return on_container


def on_group(act: Callable[[World, str, str], bool]) -> Act:
    """Return what is done to the group of a container."""
    return lambda bench, container: act(bench.world, bench.settings.cgroup_parent, container)


def on_host_link(act: Callable[[World, str], bool]) -> Act:
    """Return what is done to a container's link on the host."""
    return lambda bench, container: act(bench.world, f"veth0_{container}")


def on_path(act: Callable[[World, str], bool]) -> Act:
    """Return what is done to a path."""
    return lambda bench, path: act(bench.world, path)


def on_host(act: Callable[[Bench], bool]) -> Act:
    """Return what is done to what is there once."""
    return lambda bench, nothing: act(bench)


def halve(bench: Bench, path: str) -> bool:
    entry = bench.world.entry(path)
    return entry is not None and interference.cut_file(bench.world, path, len(entry.content) // 2)


def empty(bench: Bench, path: str) -> bool:
    return interference.cut_file(bench.world, path, 0)


def garble(bench: Bench, path: str) -> bool:
    return interference.overwrite(bench.world, path, b'{"id": \xff\x00]')


def from_the_future(bench: Bench, path: str) -> bool:
    """A record as a later bocker may write it: other types, other words."""
    return interference.overwrite(bench.world, path, b'{"id": {"kind": 2}, "state": "hibernated"}\n')


def lock_up(bench: Bench, path: str) -> bool:
    return interference.set_read_only(bench.world, path, True)


def open_up(bench: Bench, path: str) -> bool:
    return interference.set_read_only(bench.world, path, False)


def unmount_runtime(bench: Bench) -> bool:
    """Take away what is mounted over the interpreter."""
    targets = [row.target for row in bench.world.state.mounts[HOST] if "ro" in row.flags]
    done = [interference.unmount(bench.world, target) for target in targets]
    return any(done)


# What only a person can put right


def set_up(bench: Bench) -> object:
    return bench.setup()


def give_address(bench: Bench) -> object:
    """`ip address add`: the bridge is a person's own, and `setup` gives it none."""
    network = bench.program().network
    if not network.link(bench.settings.bridge).addresses:
        network.add_address(bench.settings.bridge, parse_subnet(bench.settings.subnet).gateway)
    return bench.setup()


def mount_store(bench: Bench) -> object:
    """`umount` of what was made in its place, and `mount`, as it was when the host was set up."""
    at = bench.settings.store
    (filesystem,) = (row for row in bench.world.state.filesystems.values() if row.source == DISK)
    row = MountRow(at, Place(filesystem.top, ""), "btrfs", DISK, ("rw", "nosuid", "nodev"))
    interference.unmount(bench.world, at)
    return interference.mount(bench.world, row)


def make_room(bench: Bench) -> object:
    return interference.empty_disk(bench.world, bench.settings.store)


def make_room_for_processes(bench: Bench) -> object:
    return interference.refuse_clones(bench.world, 0)


def older_format(bench: Bench) -> object:
    """As the newer bocker would, that is to be used."""
    return interference.overwrite(bench.world, _meta(bench, store.FORMAT), b"1\n")


def unlock(bench: Bench) -> object:
    """`btrfs property set PATH ro false`, of what is bocker's own and writable."""
    found = [_subvolumes(bench, ContainerId), _subvolumes(bench, ImageId)]
    return [open_up(bench, f"{bench.settings.store}/{name}") for names in found for name in names]


def _bridge(act: Callable[[World, str], bool]) -> Act:
    return on_host(lambda bench: act(bench.world, bench.settings.bridge))


def _clones(reason: int) -> Act:
    return on_host(lambda bench: interference.refuse_clones(bench.world, reason))


def _inside(act: Callable[[World, str, int], bool]) -> Act:
    return on_process(lambda world, pid: act(world, "eth0", pid))


def _name_of_namespace(bench: Bench, container: str) -> bool:
    return interference.remove_namespace_name(bench.world, bench.settings.namespaces, f"netns_{container}")


def _tightened(bench: Bench, container: str) -> bool:
    return interference.set_limits(bench.world, bench.settings.cgroup_parent, container, TIGHT)


_ONE = the_only_one
_CONTAINER = youngest_container
_REMOVE = on_path(interference.remove_file)
_DELETE = on_path(interference.delete_subvolume)
INTERFERENCES = [
    Interference("bridge deleted", _ONE, _bridge(interference.delete_link), set_up),
    Interference("bridge down", _ONE, _bridge(interference.set_link_down), set_up),
    Interference("bridge without an address", _ONE, _bridge(interference.flush_addresses), give_address),
    Interference("host's link deleted", _CONTAINER, on_host_link(interference.delete_link)),
    Interference("host's link down", _CONTAINER, on_host_link(interference.set_link_down)),
    Interference("eth0 deleted inside", _CONTAINER, _inside(interference.delete_link)),
    Interference("eth0 down inside", _CONTAINER, _inside(interference.set_link_down)),
    Interference("ruleset flushed", _ONE, on_host(lambda bench: interference.flush_ruleset(bench.world)), set_up),
    Interference(
        "table deleted",
        _ONE,
        on_host(lambda bench: interference.delete_table(bench.world, bench.settings.table)),
        set_up,
    ),
    Interference(
        "forwarding off", _ONE, on_host(lambda bench: interference.set_sysctl(bench.world, FORWARDING, "0")), set_up
    ),
    Interference("namespace's name removed", _CONTAINER, _name_of_namespace),
    Interference(
        "store unmounted",
        _ONE,
        on_host(lambda bench: interference.unmount(bench.world, bench.settings.store)),
        mount_store,
    ),
    Interference("runtime unmounted", _ONE, on_host(unmount_runtime), set_up),
    Interference(
        "store read-only",
        _ONE,
        on_host(lambda bench: interference.make_read_only(bench.world, bench.settings.store)),
        mount_store,
    ),
    Interference(
        "store full", _ONE, on_host(lambda bench: interference.fill_disk(bench.world, bench.settings.store)), make_room
    ),
    Interference("first process killed", _CONTAINER, on_process(interference.kill)),
    Interference("memory used up", _CONTAINER, on_process(interference.exhaust_memory)),
    Interference("no more processes", _ONE, _clones(errno.EAGAIN), make_room_for_processes),
    Interference("no more memory", _ONE, _clones(errno.ENOMEM), make_room_for_processes),
    Interference("moved out of its group", _CONTAINER, on_process(interference.move_out)),
    Interference("group removed", _CONTAINER, on_group(interference.remove_group)),
    Interference("other limits", _CONTAINER, _tightened),
    Interference(
        "all groups removed",
        _ONE,
        on_host(lambda bench: interference.remove_groups(bench.world, bench.settings.cgroup_parent)),
    ),
    Interference("clock set back", _ONE, on_host(lambda bench: interference.set_clock_back(bench.world, DAY_S))),
    Interference("container's record removed", youngest_in(store.CONTAINERS), _REMOVE),
    Interference("container's record emptied", youngest_in(store.CONTAINERS), empty),
    Interference("container's record cut", youngest_in(store.CONTAINERS), halve),
    Interference("container's record garbled", youngest_in(store.CONTAINERS), garble),
    Interference("container's record of the future", youngest_in(store.CONTAINERS), from_the_future),
    Interference("older container's record removed", oldest_in(store.CONTAINERS), _REMOVE),
    Interference("older container's record garbled", oldest_in(store.CONTAINERS), garble),
    Interference("image's record removed", youngest_in(store.IMAGES), _REMOVE),
    Interference("image's record garbled", youngest_in(store.IMAGES), garble),
    Interference("older image's record removed", oldest_in(store.IMAGES), _REMOVE),
    Interference("older image's record cut", oldest_in(store.IMAGES), halve),
    Interference("content's record removed", youngest_in(store.CONTENTS), _REMOVE),
    Interference("content's record garbled", oldest_in(store.CONTENTS), garble),
    Interference("layer's record removed", oldest_in(store.LAYERS), _REMOVE),
    Interference("layer's record cut", youngest_in(store.LAYERS), halve),
    Interference("note of a name removed", youngest_in(store.NAMES), _REMOVE),
    Interference("note of a name garbled", oldest_in(store.NAMES), garble),
    Interference("log removed", youngest_in(store.LOGS), _REMOVE),
    Interference("log cut", oldest_in(store.LOGS), halve),
    Interference("counters removed", file_at(store.COUNTERS), _REMOVE),
    Interference("counters garbled", oldest_in(store.COUNTERS), garble),
    Interference("locks removed", file_at(".locks"), _REMOVE),
    Interference(
        "format of the future",
        file_at(store.FORMAT),
        lambda bench, path: interference.overwrite(bench.world, path, b"999\n"),
        older_format,
    ),
    Interference("format garbled", file_at(store.FORMAT), garble, older_format),
    Interference("blob removed", oldest_in("blobs"), _REMOVE),
    Interference("younger blob removed", youngest_in("blobs"), _REMOVE),
    Interference("blob cut", oldest_in("blobs"), halve),
    Interference("drafts removed", file_at("drafts"), _REMOVE),
    Interference("container deleted", youngest_subvolume(ContainerId), _DELETE),
    Interference("older container deleted", oldest_subvolume(ContainerId), _DELETE),
    Interference("image deleted", youngest_subvolume(ImageId), _DELETE),
    Interference("older image deleted", oldest_subvolume(ImageId), _DELETE),
    Interference("what is built deleted", youngest_subvolume("."), _DELETE),
    Interference("layer deleted", youngest_subvolume("layer_"), _DELETE),
    Interference("container read-only", youngest_subvolume(ContainerId), lock_up, unlock),
    Interference("older image read-only", oldest_subvolume(ImageId), lock_up, unlock),
    Interference("what is built read-only", youngest_subvolume("."), lock_up, unlock),
    Interference("layer writable", youngest_subvolume("layer_"), open_up),
]

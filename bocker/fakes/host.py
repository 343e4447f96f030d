"""The host port on the fake: mount(8), mkfs.btrfs(8), cp(1), sysctl(8)."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno

import attrs

from bocker.fakes import files, images, programs
from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.state import (
    DIRECTORY,
    FILE,
    HOST,
    SUBVOLUME,
    ZOMBIE,
    Entry,
    MountRow,
    Place,
    State,
    with_row,
    without,
)
from bocker.fakes.view import View
from bocker.kernel.host import Host, HostFacts, MountPoint

SMALLEST_BTRFS_BYTES = 114_294_784  # mkfs.btrfs 6.2 with its defaults
RESTRICTED = ("nosuid", "nodev")
DETACHED = ""  # a root directory that can not be reached by a path


class FakeHost(View, Host):
    """The machine that the world is."""

    __slots__ = ()
    name = "host"

    def facts(self) -> HostFacts:
        return self._ask("facts", "", self._facts)

    def mount_at(self, target: str) -> MountPoint | None:
        return self._ask("mount_at", target, lambda state: _mount_at(state, target))

    def make_filesystem(self, path: str, size_bytes: int) -> None:
        self._change("make_filesystem", path, lambda state: _make_filesystem(state, path, size_bytes))

    def mount_image(self, path: str, target: str) -> None:
        self._change("mount_image", target, lambda state: _mount_image(state, path, target))

    def restrict(self, target: str) -> None:
        self._change("restrict", target, lambda state: _restrict(state, target))

    def protect(self, path: str, target: str) -> None:
        self._change("protect", target, lambda state: _protect(state, path, target))

    def unmount(self, target: str, detach: bool = False) -> None:
        self._change("unmount", target, lambda state: _unmount(state, target, detach))

    def delete(self, path: str) -> None:
        self._change("delete", path, lambda state: _delete(state, path))

    def copy_tree(self, directory: str, target: str) -> None:
        self._change("copy_tree", target, lambda state: _copy_tree(state, directory, target))

    def read(self, path: str) -> bytes:
        return self._ask("read", path, lambda state: files.read_file(state, path))

    def read_sysctl(self, name: str) -> str:
        return self._ask("read_sysctl", name, lambda state: _sysctl(state, name))

    def write_sysctl(self, name: str, value: str) -> None:
        self._change("write_sysctl", name, lambda state: _write_sysctl(state, name, value))

    def _facts(self, state: State) -> HostFacts:
        world, program = self._world, self._kernel
        return HostFacts(
            world.privileged, world.processors, images.INTERPRETER, program.interpreter_read_only, world.kernel_version
        )


def _mount_at(state: State, target: str) -> MountPoint | None:
    try:
        mount = files.mount_at(state, files.locate(state, target).path)
    except Refused:
        return None
    return None if mount is None else MountPoint(target, mount.source, mount.kind, _flags_of(state, mount))


def _flags_of(state: State, mount: MountRow) -> tuple[str, ...]:
    """Return a mount's flags: `ro` where its file system is, too."""
    if not files.is_read_only(state, mount.place) or "ro" in mount.flags:
        return mount.flags
    return ("ro", *(flag for flag in mount.flags if flag != "rw"))


def _make_filesystem(state: State, path: str, size_bytes: int) -> State:
    spot = files.locate(state, path, follow=False)
    if files.entry_at(state, spot.place) is not None:
        raise Refused(errno.EEXIST, path)
    files.check_writable(state, spot)
    if size_bytes < SMALLEST_BTRFS_BYTES:
        raise Refused(errno.EINVAL, f"{size_bytes} bytes")
    programs.check_clone(state)
    files.check_space(state, spot.place)
    state, filesystem = files.add_filesystem(state, "btrfs", path, Entry(DIRECTORY, 0o755), size_bytes)
    state = files.put_entry(state, spot.place, Entry(FILE, 0o600, sparse=True, filesystem=filesystem.id))
    return files.synced(state, spot.place)


def _mount_image(state: State, path: str, target: str) -> State:
    _, image = files.existing(state, path)
    if not image.filesystem:
        raise Refused(errno.EINVAL, path)
    if files.mount_at(state, target) is not None:
        raise Refused(errno.EBUSY, target)
    programs.check_clone(state)
    there = files.entry_at(state, files.locate(state, target).place)
    if there is not None and there.kind != DIRECTORY:
        raise Refused(errno.EINVAL, target)
    state = files.make_directory(state, target, 0o700)
    top = Place(state.filesystems[image.filesystem].top, "")
    return files.add_mount(state, MountRow(target, top, "btrfs", "/dev/loop0", ("rw", *RESTRICTED)))


def _mounted(state: State, target: str) -> MountRow:
    mount = files.mount_at(state, target)
    if mount is None:
        files.existing(state, target)
        raise Refused(errno.EINVAL, target)
    return mount


def _restrict(state: State, target: str) -> State:
    mount = _mounted(state, target)
    files.check_writable(state, files.locate(state, target))
    flags = (*mount.flags, *(flag for flag in RESTRICTED if flag not in mount.flags))
    mounts = tuple(attrs.evolve(row, flags=flags) if row is mount else row for row in state.mounts[HOST])
    spot, entry = files.existing(state, target)
    state = files.put_entry(state, spot.place, attrs.evolve(entry, mode=0o700))
    return attrs.evolve(state, mounts=with_row(state.mounts, HOST, mounts))


def _protect(state: State, path: str, target: str) -> State:
    spot, entry = files.existing(state, path)
    if files.mount_at(state, target) is not None:
        raise Refused(errno.EBUSY, target)
    if entry.kind == DIRECTORY:
        raise Refused(errno.EINVAL, path)
    if path != target:
        state = files.make_directory(state, target.rpartition("/")[0])
        if files.entry_at(state, files.locate(state, target).place) is None:
            state = files.write_file(state, target, b"", mode=0o600)
    kind, source = files.filesystem_of(state, spot.place).kind, spot.mount.source
    flags = ("ro", *(flag for flag in spot.mount.flags if flag not in {"ro", "rw"}))
    return files.add_mount(state, MountRow(target, spot.place, kind, source, flags))


def _unmount(state: State, target: str, detach: bool) -> State:
    mount = _mounted(state, target)
    below = target.rstrip("/") + "/"
    used = [row.target for row in state.mounts[HOST]] + [row.root for row in state.locks.values()]
    roots = [row.root for row in state.processes.values() if row.phase != ZOMBIE]
    in_use = target in roots or any(path.startswith(below) for path in (*used, *roots))
    if in_use and detach:
        return _detached(state, mount, below)
    if in_use:
        raise Refused(errno.EBUSY, target)
    mounts = tuple(row for row in state.mounts[HOST] if row is not mount)
    return attrs.evolve(state, mounts=with_row(state.mounts, HOST, mounts))


def _detached(state: State, mount: MountRow, below: str) -> State:
    """Take a mount away with all that is mounted in it; its users keep a root that has no path any more."""
    rows = state.mounts[HOST]
    if any(row.target == mount.target for row in rows if row is not mount):
        raise NotModelled(f"who of the mounts at {mount.target} is in use")
    if any(row.root.startswith(below) for row in state.locks.values()):
        raise NotModelled(f"a lock that is held in {mount.target} while it is detached")
    left = tuple(row for row in rows if row is not mount and not row.target.startswith(below))
    processes = {
        pid: attrs.evolve(row, root=DETACHED) if f"{row.root}/".startswith(below) else row
        for pid, row in state.processes.items()
    }
    return attrs.evolve(state, mounts=with_row(state.mounts, HOST, left), processes=processes)


def _delete(state: State, path: str) -> State:
    spot, entry = files.existing(state, path, follow=False)
    if files.mount_at(state, path) is not None:
        raise Refused(errno.EBUSY, path)
    if entry.kind == DIRECTORY and files.children(state, spot.place):
        raise Refused(errno.ENOTEMPTY, path)
    if spot.place.path == "":
        raise NotModelled("deleting a subvolume as a directory")
    files.check_writable(state, spot)
    if entry.filesystem:
        state = _forget_filesystem(state, entry.filesystem)
    return files.drop_entry(state, spot.place)


def _forget_filesystem(state: State, number: int) -> State:
    """A deleted image's file system lives on while it is mounted: unlink(2)."""
    trees = {row.id for row in state.subvolumes.values() if row.filesystem == number}
    if any(mount.place.subvolume in trees for mounts in state.mounts.values() for mount in mounts):
        return state
    return attrs.evolve(
        state, filesystems=without(state.filesystems, number), subvolumes=without(state.subvolumes, *trees)
    )


def _copy_tree(state: State, directory: str, target: str) -> State:
    source, entry = files.existing(state, directory)
    if entry.kind != DIRECTORY:
        raise Refused(errno.ENOTDIR, directory)
    spot, there = files.existing(state, target)
    if there.kind != DIRECTORY:
        raise Refused(errno.ENOTDIR, target)
    if _is_in(state, spot.path, source.place):
        raise Refused(errno.EINVAL, target)
    programs.check_clone(state)
    files.check_writable(state, spot)
    for path, copied in images.tree_at(state, source.place).items():
        place = Place(spot.place.subvolume, files.joined(spot.place.path, path))
        files.check_space(state, place)
        plain = attrs.evolve(copied, kind=DIRECTORY, subvolume=0) if copied.kind == SUBVOLUME else copied
        state = files.put_entry(state, place, plain)
    return state


def _is_in(state: State, path: str, directory: Place) -> bool:
    """Tell whether a path, without links, leads to a directory or to what lies in it."""
    parts = path.strip("/").split("/")
    return any(files.locate(state, "/".join(parts[:count])).place == directory for count in range(len(parts) + 1))


def _sysctl(state: State, name: str) -> str:
    if name not in state.sysctls:
        raise Refused(errno.ENOENT, name)
    return state.sysctls[name]


def _write_sysctl(state: State, name: str, value: str) -> State:
    is_number = _sysctl(state, name).lstrip("-").isdigit()
    if not value:
        return state
    kept = str(_number(value)) if is_number else value.strip()
    return attrs.evolve(state, sysctls=images.with_setting(state.sysctls, name, kept))


def _number(text: str) -> int:
    """Return the first number of a text as `proc_dointvec` reads it; refuse EINVAL for what is none in C."""
    word = next(iter(text.split()), "")
    sign, digits = (-1, word[1:]) if word.startswith("-") else (1, word)
    base = 16 if digits.lower().startswith("0x") else 8 if digits.startswith("0") else 10
    if not digits[:1].isdigit() or not (digits.isascii() and digits.isalnum()):
        raise Refused(errno.EINVAL, text)
    try:
        number = sign * int(digits, base)
    except ValueError:
        raise Refused(errno.EINVAL, text) from None
    if not -(1 << 31) <= number < 1 << 31:
        raise Refused(errno.EINVAL, text)
    return number

"""How a child becomes a container's program: the steps of `core.spec`, carried out on the state.

clone(2), cgroups(7), veth(4), pivot_root(2), mount(2), capabilities(7), execve(2). A step that is
refused names itself; what the steps before it had made goes with the child's namespaces.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

import attrs

from bocker.core import spec as plan
from bocker.core import users
from bocker.core.addresses import Interface
from bocker.core.spec import ContainerSpec, ExecSpec, Mount, NetworkSpec, Process
from bocker.fakes import files, groups, laws, programs, wire
from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.state import (
    CHARACTER,
    DIRECTORY,
    FILE,
    HOST,
    PREPARING,
    RUNNING,
    SYMLINK,
    ZOMBIE,
    Entry,
    HandleRow,
    MountRow,
    Place,
    ProcessRow,
    State,
    new_id,
    put_link,
    put_process,
    with_row,
    without,
)
from bocker.kernel.processes import Exited

CAN_NOT_BECOME = 127  # how a child exits that could not become its program
KINDS = files.OPAQUE | {"tmpfs", "bind"}
LONGEST_HOSTNAME = 64
ROOT_FLAGS = ("nosuid", "nodev")
NAMESPACED_SYSCTLS = ("net.", "kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
DEFAULT_PATH = "/bin:/usr/bin"  # execvp(3), where the environment has none
CAPABILITIES = frozenset(
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE".split()
)

ChildStep = tuple[str, Callable[[State], State]]


def create(state: State, parent_pid: int, spec: ContainerSpec, cgroup_parent: str) -> tuple[State, ProcessRow]:
    """Make the first process of a container and let it prepare itself."""
    if set(spec.namespaces) != set(plan.NAMESPACES):
        raise NotModelled("a container that shares a namespace with the host")
    namespaces = {}
    for kind in plan.NAMESPACES:
        state, namespaces[kind] = wire.add_network(state) if kind == plan.NETWORK else new_id(state)
    state, row = _child(state, parent_pid, spec, namespaces, first=True)
    return _prepare(
        state,
        row.pid,
        (
            (plan.STEP_GROUP, lambda now: join_group(now, row.pid, cgroup_parent, spec.group)),
            (plan.STEP_NETWORK, lambda now: build_network(now, namespaces[plan.NETWORK], spec.network)),
            (plan.STEP_HOSTNAME, lambda now: set_hostname(now, row.pid, spec.hostname)),
            (plan.STEP_SYSCTLS, lambda now: set_sysctls(now, row.pid, spec.sysctls)),
            (plan.STEP_MOUNTS, lambda now: prepare_mounts(now, row.pid, spec)),
        ),
    )


def enter(
    state: State, parent_pid: int, target: ProcessRow, spec: ExecSpec, cgroup_parent: str
) -> tuple[State, ProcessRow]:
    """Make a process in the namespaces of another."""
    if target.first and target.phase == PREPARING:
        raise NotModelled("entering a container that was not released")
    state, row = _child(state, parent_pid, spec, {plan.PID: target.namespaces[plan.PID]}, first=False)
    row = attrs.evolve(row, target=target.pid)
    state = put_process(state, row)
    joins = (plan.STEP_GROUP, lambda now: join_group(now, row.pid, cgroup_parent, spec.group))
    return _prepare(state, row.pid, (joins,))


def _child(
    state: State, parent_pid: int, spec: ContainerSpec | ExecSpec, namespaces: dict[str, int], first: bool
) -> tuple[State, ProcessRow]:
    programs.check_clone(state, plan.STEP_CLONE)
    state, handle = new_id(attrs.evolve(state, last_pid=state.last_pid + 1))
    row = ProcessRow(
        pid=state.last_pid,
        start_ticks=programs.ticks(state),
        parent=parent_pid,
        phase=PREPARING,
        first=first,
        spec=spec,
        namespaces=namespaces,
        handle=handle,
        output=handle,
    )
    handles = with_row(state.handles, handle, HandleRow(handle, row.pid, parent_pid))
    return put_process(attrs.evolve(state, handles=handles), row), row


def _prepare(state: State, pid: int, steps: tuple[ChildStep, ...]) -> tuple[State, ProcessRow]:
    """Carry out the first steps. One that is refused ends the child: it tells when it is released."""
    state, refused = _carry_out(state, steps)
    if refused is not None and refused.step is not None:
        failed = attrs.evolve(state.processes[pid], failed=(refused.step, refused.errno))
        state = laws.process_ends(put_process(state, failed), pid, Exited(CAN_NOT_BECOME, None))
    return state, state.processes[pid]


def _carry_out(state: State, steps: tuple[ChildStep, ...]) -> tuple[State, Refused | None]:
    for name, step in steps:
        try:
            state = step(state)
        except Refused as refused:
            return state, Refused(refused.errno, refused.detail, name)
    return state, None


def release(state: State, handle: int) -> tuple[State, tuple[str, ...] | Refused]:
    """Let a child go on; the result is the mount points made, or the refusal after which it is gone."""
    row = prepared(state, handle)
    if row.failed is not None:
        return discard(state, handle), Refused(row.failed[1], step=row.failed[0])
    if row.phase == ZOMBIE:
        return state, ()  # it was killed, and nothing failed
    made: list[str] = []
    state, refused = _carry_out(state, ((plan.STEP_NAMESPACES, lambda now: enter_namespaces(now, row.pid)),))
    if refused is None:
        state, refused = _carry_out(state, _release_steps(state.processes[row.pid], made))
    if refused is not None:
        return discard(state, handle), refused
    return programs.run(state, row.pid), tuple(made)


def prepared(state: State, handle: int) -> ProcessRow:
    """Return the child behind a handle that was not released yet."""
    found = state.handles.get(handle)
    if found is None:
        raise Refused(errno.ESRCH)
    row = state.processes[found.pid]
    if row.phase == RUNNING or row.program:
        raise NotModelled("releasing a child twice")
    return row


def _release_steps(row: ProcessRow, made: list[str]) -> tuple[ChildStep, ...]:
    spec = row.spec
    assert spec is not None
    namespace = row.namespaces[plan.MOUNT]
    last: tuple[ChildStep, ...] = (
        (plan.STEP_USER, lambda now: identify(now, row.pid)),
        (plan.STEP_DIRECTORY, lambda now: check_directory(now, namespace, spec.process.cwd)),
        (plan.STEP_PRIVILEGES, lambda now: drop_privileges(now, row.pid)),
        (plan.STEP_EXECUTE, lambda now: execute(now, row.pid)),
    )
    if isinstance(spec, ExecSpec):
        return last
    return (
        (plan.STEP_ROOT, lambda now: enter_root(now, namespace, spec.root)),
        (plan.STEP_MOUNTS, lambda now: mount_all(now, namespace, spec, row.sources, made)),
        (plan.STEP_DIRECTORY, lambda now: make_directory(now, namespace, spec.process.cwd, [])),
        *last,
    )


def discard(state: State, handle: int) -> State:
    """Kill and reap a child, with its container when it is the first; nothing when it is gone."""
    found = state.handles.get(handle)
    if found is None:
        return state
    state = laws.process_ends(state, found.pid, Exited(None, programs.SIGKILL))
    if laws.waits_for_others(state, state.processes[found.pid]):
        raise NotModelled("discarding a container while a member of it is not reaped: on Linux this waits")
    return reap(state, handle)


def reap(state: State, handle: int) -> State:
    """Take a zombie and its handle away: wait(2)."""
    pid = state.handles[handle].pid
    return attrs.evolve(state, processes=without(state.processes, pid), handles=without(state.handles, handle))


def enter_namespaces(state: State, pid: int) -> State:
    """Let one that enters a container be where its target is: setns(2) with a pidfd."""
    row = state.processes[pid]
    if row.target is None:
        return state
    target = state.processes.get(row.target)
    if target is None or target.phase == ZOMBIE:
        raise Refused(errno.ESRCH)
    return put_process(state, attrs.evolve(row, namespaces={**target.namespaces, plan.PID: row.namespaces[plan.PID]}))


def join_group(state: State, pid: int, parent: str, name: str) -> State:
    """Put a process into a group."""
    group = groups.group_called(state, parent, name)
    return put_process(state, attrs.evolve(state.processes[pid], group=group.id))


def build_network(state: State, network: int, spec: NetworkSpec) -> State:
    """Make the container's link from within, with its address and its way out."""
    state = wire.add_veth(state, spec.host_link, spec.interface, spec.mac, spec.bridge, network)
    wire.check_free(state, network, spec.alias)
    link = wire.called(state, network, spec.interface)
    state = put_link(state, attrs.evolve(link, alias=spec.alias))
    for name in ("lo", spec.interface):
        state = wire.bring_up(state, wire.called(state, network, name))
    address = Interface(spec.address, spec.prefix_length)
    state = wire.add_address(state, wire.called(state, network, spec.interface), address)
    return wire.add_default_route(state, network, spec.gateway)


def set_hostname(state: State, pid: int, hostname: str) -> State:
    """Set the host name: sethostname(2)."""
    if len(hostname.encode()) > LONGEST_HOSTNAME:
        raise Refused(errno.EINVAL)
    return put_process(state, attrs.evolve(state.processes[pid], hostname=hostname))


def set_sysctls(state: State, pid: int, sysctls: tuple[tuple[str, str], ...]) -> State:
    """Set the kernel's settings that belong to the child's own namespaces."""
    for name, _ in sysctls:
        if name not in state.sysctls:
            raise Refused(errno.ENOENT, name)
        if not name.startswith(NAMESPACED_SYSCTLS):
            raise NotModelled(f"a container that changes the host's {name}")
    return put_process(state, attrs.evolve(state.processes[pid], sysctls=sysctls))


def prepare_mounts(state: State, pid: int, spec: ContainerSpec) -> State:
    """Open what will be mounted, as far as that does not need the root: fsopen(2), open_tree(2)."""
    sources = {}
    for mount in spec.mounts:
        if mount.kind not in KINDS and not mount.optional:
            raise Refused(errno.ENODEV, mount.kind)
        if mount.kind == "bind" and not (mount.optional and _is_missing(state, mount.source)):
            sources[mount.source] = files.existing(state, mount.source)[0].place
    for device in spec.devices:
        sources[device.path] = _device_of(state, device.path, (device.major, device.minor))
    return put_process(state, attrs.evolve(state.processes[pid], sources=sources))


def _is_missing(state: State, path: str) -> bool:
    return _entry_or_none(state, HOST, path, follow=True) is None


def _entry_or_none(state: State, namespace: int, path: str, follow: bool = False) -> Entry | None:
    """Return what a path leads to, None for ENOENT; anything else in its way is refused."""
    try:
        return files.existing(state, path, namespace, follow)[1]
    except Refused as refused:
        if refused.errno != errno.ENOENT:
            raise
        return None


def enter_root(state: State, namespace: int, root: str) -> State:
    """Make a subvolume or directory the root, the only mount that is left: pivot_root(2)."""
    spot, entry = files.existing(state, root)
    if entry.kind != DIRECTORY:
        raise Refused(errno.ENOTDIR, root)
    mount = MountRow("/", spot.place, "btrfs", spot.mount.source, (*spot.mount.flags, *ROOT_FLAGS))
    return attrs.evolve(state, mounts=with_row(state.mounts, namespace, (mount,)))


def mount_all(
    state: State, namespace: int, spec: ContainerSpec, sources: Mapping[str, Place], made: list[str]
) -> State:
    """Carry out the plan's mounts, devices, links, files, masks and read-only paths."""
    for mount in spec.mounts:
        state = mount_one(state, namespace, mount, sources, made)
    for device in spec.devices:
        state = _cover(state, namespace, device.path, sources[device.path], "bind", ("ro", "nosuid", "noexec"), made)
    for path, target in spec.links:
        state = _make_link(state, namespace, path, target, made)
    for file in spec.files:
        state, place = own_tree(state, namespace, "tmpfs", Entry(FILE, file.mode, content=file.content))
        state = _lay_over(state, namespace, file.target, place, made)
    for path in spec.directories:
        try:
            state = make_directory(state, namespace, path, made)
        except Refused as refused:
            raise Refused(refused.errno, path) from None
    for path in spec.readonly_paths:
        state = _make_read_only(state, namespace, path)
    for path in spec.masked_paths:
        state = _mask(state, namespace, path)
    return state


def mount_one(state: State, namespace: int, mount: Mount, sources: Mapping[str, Place], made: list[str]) -> State:
    """Mount one file system of the plan, or one of the host's directories."""
    if mount.kind not in KINDS or (mount.kind == "bind" and mount.source not in sources):
        return state  # it was optional
    kind = DIRECTORY
    if mount.kind == "bind":
        place = sources[mount.source]
        entry = files.entry_at(state, place)
        kind = DIRECTORY if entry is None else entry.kind  # one that was deleted since is mounted all the same
    else:
        state, place = own_tree(state, namespace, mount.kind, Entry(DIRECTORY, _mode_of(mount.data)))
    state = mount_point(state, namespace, mount.target, kind, made)
    target = _target(state, namespace, mount.target)
    return files.add_mount(state, MountRow(target, place, mount.kind, mount.source, mount.flags), namespace)


def _mode_of(data: str) -> int:
    for option in data.split(","):
        if option.startswith("mode="):
            return int(option[5:], 8)
    return 0o1777


def own_tree(state: State, namespace: int, kind: str, top: Entry) -> tuple[State, Place]:
    """Make a file system that ends with its mount namespace."""
    state, filesystem = files.add_filesystem(state, kind, f"mount:{namespace}", top)
    return state, Place(filesystem.top, "")


def mount_point(state: State, namespace: int, target: str, kind: str, made: list[str]) -> State:
    """Make the place for a mount where there is none; note what the root's own tree did not have.

    A link at the target itself is not followed, links on the way are: move_mount(2), openat2(2).
    """
    if _is_opaque(state, namespace, target):
        return state
    there = _entry_or_none(state, namespace, target)
    if there is None:
        return _make(state, namespace, target, Entry(DIRECTORY) if kind == DIRECTORY else Entry(FILE, 0o644), made)
    if (kind == DIRECTORY) != (there.kind == DIRECTORY):
        raise Refused(errno.ENOTDIR if kind == DIRECTORY else errno.EINVAL, target)
    return state


def make_directory(state: State, namespace: int, path: str, made: list[str]) -> State:
    """Make a directory, and those above it; refuse EEXIST at a link that leads nowhere: mkdir(2)."""
    if files.is_directory(state, path, namespace):
        return state
    return _make(state, namespace, path, Entry(DIRECTORY), made)


def _make(state: State, namespace: int, path: str, entry: Entry, made: list[str]) -> State:
    parent = path.rpartition("/")[0]
    if parent:
        state = make_directory(state, namespace, parent, made)
    spot = files.locate(state, path, namespace, follow=False)
    there = files.entry_at(state, spot.place)
    if there is not None:
        raise Refused(errno.EEXIST if there.kind == SYMLINK else errno.ENOTDIR, path)
    files.check_writable(state, spot)
    if spot.mount.target == "/" and entry.kind != SYMLINK:
        made.append(path)
    return files.put_entry(state, spot.place, entry)


def _is_opaque(state: State, namespace: int, path: str) -> bool:
    mounts = {mount.target: mount for mount in state.mounts[namespace]}
    parts = path.strip("/").split("/")
    above = ["/" + "/".join(parts[:count]) for count in range(1, len(parts))]
    under = [mounts[target] for target in above if target in mounts]
    return bool(under) and files.filesystem_of(state, under[-1].place).kind in files.OPAQUE


def _target(state: State, namespace: int, path: str) -> str:
    return path if _is_opaque(state, namespace, path) else files.locate(state, path, namespace, follow=False).path


def _lay_over(state: State, namespace: int, path: str, place: Place, made: list[str]) -> State:
    """Lay a file over a path; where its directory is a link that leads nowhere, nobody could read it: leave it out."""
    try:
        return _cover(state, namespace, path, place, "file", ("nosuid", "nodev", "noexec"), made)
    except Refused as refused:
        if refused.errno != errno.EEXIST:
            raise
        return state


def _cover(
    state: State, namespace: int, path: str, place: Place, kind: str, flags: tuple[str, ...], made: list[str]
) -> State:
    state = mount_point(state, namespace, path, FILE, made)
    target = _target(state, namespace, path)
    return files.add_mount(state, MountRow(target, place, kind, "", flags), namespace)


def _device_of(state: State, path: str, number: tuple[int, int]) -> Place:
    spot, entry = files.existing(state, path)
    if entry.kind != CHARACTER or entry.device != number:
        raise Refused(errno.ENODEV, path)
    return spot.place


def _make_link(state: State, namespace: int, path: str, target: str, made: list[str]) -> State:
    if _entry_or_none(state, namespace, path) is not None:
        return state
    return _make(state, namespace, path, Entry(SYMLINK, 0o777, target=target), made)


def _mask(state: State, namespace: int, path: str) -> State:
    """Cover a path that is there: a directory with an empty one, a file with `/dev/null`."""
    if not _is_there(state, namespace, path):
        return state
    if _is_opaque(state, namespace, path) or files.existing(state, path, namespace, follow=False)[1].kind == DIRECTORY:
        state, place = own_tree(state, namespace, "mask", Entry(DIRECTORY, 0o555))
    else:
        place = _device_of(state, "/dev/null", files.NULL)
    return files.add_mount(state, MountRow(_target(state, namespace, path), place, "mask", "", ("ro",)), namespace)


def _make_read_only(state: State, namespace: int, path: str) -> State:
    if not _is_there(state, namespace, path):
        return state
    if _is_opaque(state, namespace, path):
        state, place = own_tree(state, namespace, "proc", Entry(DIRECTORY, 0o555))
    else:
        place = files.locate(state, path, namespace, follow=False).place
    return files.add_mount(state, MountRow(_target(state, namespace, path), place, "bind", path, ("ro",)), namespace)


def _is_there(state: State, namespace: int, path: str) -> bool:
    """What the kernel's own file systems hold is taken to be there."""
    return _is_opaque(state, namespace, path) or _entry_or_none(state, namespace, path) is not None


def identify(state: State, pid: int) -> State:
    """Give a child the ids, groups and HOME of its user, by the image's own passwd(5) and group(5)."""
    row = state.processes[pid]
    assert row.spec is not None
    process = row.spec.process
    if not process.user:
        return state
    namespace = row.namespaces[plan.MOUNT]
    texts = (account_file(state, namespace, path, plan.USER_FILE_BYTES) for path in (plan.PASSWD_FILE, plan.GROUP_FILE))
    try:
        found = users.find(process.user, *texts)
    except users.UnknownUser as error:
        raise Refused(error.errno, error.name) from None
    has_home = any(entry.startswith("HOME=") for entry in process.env)
    env = process.env if has_home else (*process.env, f"HOME={found.home}")
    process = process.replace(uid=found.uid, gid=found.gid, groups=found.groups, groups_from_image=False, env=env)
    return put_process(state, attrs.evolve(row, spec=row.spec.replace(process=process)))


def account_file(state: State, namespace: int, path: str, limit_bytes: int, follow: bool = True) -> bytes:
    """Return a file of the image's; nothing where there is no plain file on the root's file system."""
    try:
        spot, entry = files.existing(state, path, namespace, follow)
    except Refused:
        return b""
    if spot.mount.target != "/" or entry.kind != FILE or len(entry.content) > limit_bytes:
        return b""
    return entry.content


def drop_privileges(state: State, pid: int) -> State:
    """Set descriptors, groups, capabilities and ids. Without the caller's input there must be a true
    `/dev/null`."""
    row = state.processes[pid]
    spec = row.spec
    assert spec is not None
    namespace = row.namespaces[plan.MOUNT]
    if not spec.standard_input and files.existing(state, "/dev/null", namespace, follow=False)[1].device != files.NULL:
        raise Refused(errno.ENODEV, "/dev/null")
    if not CAPABILITIES.issuperset(spec.process.capabilities):
        raise NotModelled("a capability that there is not")
    return put_process(state, attrs.evolve(row, groups=groups_of(state, namespace, spec.process)))


def groups_of(state: State, namespace: int, process: Process) -> tuple[int, ...]:
    """Return the groups of a program, those that the image's group(5) lists root in among them."""
    if not process.groups_from_image or process.uid:
        return process.groups
    content = account_file(state, namespace, plan.GROUP_FILE, plan.GROUP_FILE_BYTES, follow=False)
    return tuple(dict.fromkeys((*process.groups, *plan.groups_of_root(content))))


def check_directory(state: State, namespace: int, path: str) -> State:
    """Change to the working directory: chdir(2)."""
    if files.existing(state, path, namespace)[1].kind != DIRECTORY:
        raise Refused(errno.ENOTDIR, path)
    return state


def execute(state: State, pid: int) -> State:
    """Become the program: execve(2)."""
    state = deliver_pending(state, pid)
    row = state.processes[pid]
    if row.phase == ZOMBIE:
        return state
    assert row.spec is not None
    process = row.spec.process
    path = find_program(state, row.namespaces[plan.MOUNT], process)
    verbs = programs.verbs_of(path.rpartition("/")[2], process.args[1:])
    return put_process(state, attrs.evolve(row, phase=RUNNING, program=path, verbs=verbs))


def deliver_pending(state: State, pid: int) -> State:
    """Let the signals through that came before the release; they meet no handler yet."""
    numbers = sorted(state.processes[pid].pending)
    state = put_process(state, attrs.evolve(state.processes[pid], phase=RUNNING, pending=frozenset()))
    for number in numbers:
        if programs.is_alive(state.processes[pid]):
            state = programs.deliver(state, pid, number)
    return state


def find_program(state: State, namespace: int, process: Process) -> str:
    """Return the path of `args[0]`, looked for in the environment's PATH: execvp(3)."""
    if not process.args:
        raise NotModelled("a program without a name")
    name = process.args[0]
    if "/" in name:
        path = _from(process.cwd, name)
        check_executable(state, namespace, path, process)
        return path
    refusal = Refused(errno.ENOENT, name)
    for directory in _search_path(process):
        try:
            check_executable(state, namespace, f"{directory}/{name}", process)
        except Refused as refused:
            if refused.errno not in {errno.ENOENT, errno.ENOTDIR, errno.EACCES}:
                raise
            if refused.errno == errno.EACCES or refusal.errno != errno.EACCES:
                refusal = refused
        else:
            return f"{directory}/{name}"
    raise refusal


def _from(cwd: str, path: str) -> str:
    return path if path.startswith("/") else f"{cwd}/{path}"


def _search_path(process: Process) -> list[str]:
    path = programs.variables(process.env).get("PATH", DEFAULT_PATH)
    return [_from(process.cwd, directory) for directory in path.split(":")]


def check_executable(state: State, namespace: int, path: str, process: Process) -> None:
    """Refuse what execve(2) refuses: EACCES for no file or no right, ENOEXEC for an unknown format,
    ENOENT for a script whose interpreter is not there."""
    spot, entry = files.existing_or_opaque(state, path, namespace)
    if entry.kind != FILE or not _may_execute(entry, process) or "noexec" in spot.mount.flags:
        raise Refused(errno.EACCES, path)
    if entry.content.startswith(b"#!"):
        interpreter = entry.content[2:].split(b"\n")[0].split()
        check_executable(state, namespace, _from(process.cwd, interpreter[0].decode()), process)
    elif not entry.content.startswith(b"\x7fELF"):
        raise Refused(errno.ENOEXEC, path)


def _may_execute(entry: Entry, process: Process) -> bool:
    if process.uid == 0 and "DAC_OVERRIDE" in process.capabilities:
        return bool(entry.mode & 0o111)
    if process.uid == entry.uid:
        return bool(entry.mode & 0o100)
    return bool(entry.mode & (0o010 if entry.gid in {process.gid, *process.groups} else 0o001))

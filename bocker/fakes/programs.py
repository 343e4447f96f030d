"""What a fake process does: the verbs of the probe program, and signals.

    probe VERB ARGS [, VERB ARGS]...

`exit N`, `echo TEXT`, `error TEXT`, `sleep SECONDS`, `eat BYTES`, `write PATH TEXT`, `read PATH`,
`cat`, `env`, `groups`, `ids` (real, effective and saved, of user and group), `cwd`, `trap N CODE`,
`ignore N`, `fork VERBS | VERBS` (a child in the background does what is before the bar, the process
itself goes on behind it). The probe script of the system tests understands the same. A few
programs that every image has are the verb of the same name.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Callable

import attrs

from bocker.core.spec import Process
from bocker.fakes import files, groups, laws
from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.state import (
    DIRECTORY,
    HOST,
    PREPARING,
    RUNNING,
    ZOMBIE,
    Entry,
    ProcessRow,
    State,
    put_group,
    put_process,
    with_row,
)
from bocker.kernel.processes import STDERR, STDOUT, Exited, Output

Verb = tuple[str, ...]
WAIT: Verb = ("wait",)  # for a signal, for ever
SECOND_NS = 1_000_000_000
READ, WRITE, SEARCH = 4, 2, 1  # rights of a mode
SIGKILL = 9
SIGPIPE = 13
HIGHEST_SIGNAL = 64
IGNORED_BY_DEFAULT = frozenset({17, 18, 23, 28})  # CHLD, CONT, URG, WINCH: signal(7)
BLOCKED_BEFORE = frozenset({1, 2, 3, 10, 12, 15, 28})  # by a child that was not released: what bocker itself waits for
STOPPING = frozenset({19, 20, 21, 22})
APPLETS = frozenset({"echo", "sleep", "cat", "env"})


def verbs_of(name: str, args: tuple[str, ...]) -> tuple[Verb, ...]:
    """Return what the program called `name` does; raise NotModelled for one that is not known."""
    if name == "probe":
        return probe_verbs(args)
    if name == "true":
        return (("exit", "0"),)
    if name == "false":
        return (("exit", "1"),)
    if name in APPLETS:
        return ((name, *args),)
    if name == "sh" and len(args) == 2 and args[0] == "-c":
        return _shell_verbs(args[1])
    raise NotModelled(f"the program {name} {' '.join(args)}")


def _shell_verbs(text: str) -> tuple[Verb, ...]:
    words = shlex.split(text)
    if not words or any(mark in text for mark in "&;$`<>"):
        raise NotModelled(f"the shell's {text!r}")
    return verbs_of(words[0].rpartition("/")[2], tuple(words[1:]))


def probe_verbs(words: tuple[str, ...]) -> tuple[Verb, ...]:
    """Split the probe's words into verbs; a `fork` keeps all that follows."""
    verbs: list[Verb] = []
    current: list[str] = []
    for number, word in enumerate(words):
        if not current and word == "fork":
            return (*verbs, ("fork", *words[number + 1 :]))
        if word != ",":
            current.append(word)
        elif current:
            verbs.append(tuple(current))
            current = []
    return (*verbs, tuple(current)) if current else tuple(verbs)


def run(state: State, pid: int) -> State:
    """Let a process go on until it sleeps, waits or ends."""
    while True:
        row = state.processes.get(pid)
        if row is None or row.phase != RUNNING or row.spec is None or row.wakes_ns is not None:
            return state
        if not row.verbs:
            return laws.process_ends(state, pid, Exited(0, None))
        verb = row.verbs[0]
        if verb == WAIT:
            return state
        row = attrs.evolve(row, verbs=row.verbs[1:])
        state = _verb(verb[0])(put_process(state, row), row, verb[1:])


def pass_time(state: State, until_ns: int) -> State:
    """Let the kernel and the processes do what they do by themselves until an instant."""
    while True:
        due_ns = laws.next_due_ns(state)
        if due_ns is None or due_ns > until_ns:
            return attrs.evolve(state, clock_ns=max(until_ns, state.clock_ns))
        state = _happen(attrs.evolve(state, clock_ns=max(due_ns, state.clock_ns)), due_ns)


def _happen(state: State, due_ns: int) -> State:
    for network in tuple(state.networks.values()):
        if network.ends_ns == due_ns:
            state = laws.network_ends(state, network.id)
    for row in tuple(state.processes.values()):
        if row.wakes_ns == due_ns and row.pid in state.processes:
            awake = attrs.evolve(state.processes[row.pid], wakes_ns=None)
            state = run(put_process(state, awake), row.pid)
    return state


def deliver(state: State, pid: int, number: int, from_outside: bool = True) -> State:
    """Deliver a signal: signal(7). The first process of a pid namespace gets only what it has a
    handler for, but SIGKILL from outside always: pid_namespaces(7)."""
    if not 0 <= number <= HIGHEST_SIGNAL:
        raise Refused(errno.EINVAL)
    row = state.processes[pid]
    if row.phase == PREPARING and number in BLOCKED_BEFORE:
        return put_process(state, attrs.evolve(row, pending=row.pending | {number}))
    if number in row.handlers:
        return laws.process_ends(state, pid, Exited(row.handlers[number], None))
    if number == SIGKILL and (from_outside or not row.first):
        return laws.process_ends(state, pid, Exited(None, SIGKILL))
    if not number or row.first or number in row.ignored or number in IGNORED_BY_DEFAULT:
        return state
    if number in STOPPING:
        raise NotModelled("stopping a process")
    return laws.process_ends(state, pid, Exited(None, number))


def take_memory(state: State, pid: int, size_bytes: int) -> State:
    """Let a process take memory. Beyond its group's bound the kernel kills it: cgroups(7), "memory"."""
    row = state.processes[pid]
    bound = groups.memory_bound(state, row.group)
    if row.group is not None and bound is not None and groups.used_bytes(state, row.group) + size_bytes > bound:
        state = put_group(state, groups.count_oom_kill(state.groups[row.group]))
        return laws.process_ends(state, pid, Exited(None, SIGKILL))
    return put_process(state, attrs.evolve(row, memory_bytes=row.memory_bytes + size_bytes))


def fork(state: State, pid: int, verbs: tuple[Verb, ...]) -> State:
    """Make a child of a process; refuse EAGAIN at the bound of its group: fork(2)."""
    row = state.processes[pid]
    check_clone(state)
    if not groups.has_room_for_a_process(state, row.group):
        raise Refused(errno.EAGAIN)
    state = attrs.evolve(state, last_pid=state.last_pid + 1)
    child = attrs.evolve(
        row,
        pid=state.last_pid,
        start_ticks=ticks(state),
        parent=pid,
        first=False,
        handle=None,
        verbs=verbs,
        wakes_ns=None,
        memory_bytes=0,
    )
    return run(put_process(state, child), child.pid)


def check_clone(state: State, step: str | None = None) -> None:
    """Refuse what somebody made the kernel refuse to all who want a process: clone(2), EAGAIN and ENOMEM."""
    if state.clone_errno:
        raise Refused(state.clone_errno, step=step)


def ticks(state: State) -> int:
    """Return the start time of a process that starts now: hundredths of a second since the boot."""
    return state.clock_ns // 10_000_000


def write_output(state: State, row: ProcessRow, stream: int, data: bytes) -> State:
    """Write to a stream. Where nobody reads it any more: SIGPIPE, from which the first process of
    a container is spared as from any signal of its own namespace."""
    if not data:
        return state
    handle = None if row.output is None else state.handles.get(row.output)
    if handle is None or stream in handle.closed:
        return deliver(state, row.pid, SIGPIPE, from_outside=False)
    told = attrs.evolve(handle, output=(*handle.output, Output(stream, data)))
    return attrs.evolve(state, handles=with_row(state.handles, handle.id, told))


def environment_of(row: ProcessRow) -> tuple[str, ...]:
    """Return the environment that a process was started with."""
    return () if row.spec is None else tuple("=".join(pair) for pair in variables(row.spec.process.env).items())


def variables(env: tuple[str, ...]) -> dict[str, str]:
    """Return the variables of a plan: each once, with its last value."""
    parts = (variable.partition("=") for variable in env)
    return {name: value for name, _, value in parts}


def _encoded(words: tuple[str, ...]) -> bytes:
    return (" ".join(words) + "\n").encode("utf-8", "surrogateescape")


def _path(row: ProcessRow, path: str) -> str:
    cwd = "/" if row.spec is None else row.spec.process.cwd
    return path if path.startswith("/") else f"{cwd}/{path}"


def _exit(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    return laws.process_ends(state, row.pid, Exited(int(args[0]) & 0xFF, None))


def _echo(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    return write_output(state, row, STDOUT, _encoded(args))


def _error(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    return write_output(state, row, STDERR, _encoded(args))


def _sleep(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    if args[0] in {"infinity", "inf"}:
        return put_process(state, attrs.evolve(row, verbs=(WAIT,)))
    wakes_ns = state.clock_ns + max(1, int(float(args[0]) * SECOND_NS))
    return put_process(state, attrs.evolve(row, wakes_ns=wakes_ns))


def _eat(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    """The probe hands the memory back when it goes on; what it says last, it becomes.

    A child that waits for its release is a copy of the engine, and may look larger than the eater.
    """
    beside = groups.members(state, row.group) if row.group is not None else ()
    if any(member.phase == PREPARING for member in beside):
        raise NotModelled("whom the kernel kills beside a child that was not released")
    after = take_memory(state, row.pid, int(args[0]))
    eater = after.processes.get(row.pid)
    if eater is not None and eater.phase == RUNNING:
        return put_process(after, attrs.evolve(eater, memory_bytes=row.memory_bytes))
    if not row.verbs:
        return after
    group = state.groups[row.group or 0]
    state = put_group(state, groups.count_oom_kill(group))
    return laws.process_ends(state, row.pid, Exited(128 + SIGKILL, None))


def _write(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    path, data = _path(row, args[0]), " ".join(args[1:]).encode("utf-8", "surrogateescape")
    return _or_exit(state, row, args[0], lambda: _written(state, row, path, data))


def _written(state: State, row: ProcessRow, path: str, data: bytes) -> State:
    """Write a file as a process's user, who owns what it makes: open(2)."""
    namespace = row.namespaces.get("mount", HOST)
    process = None if row.spec is None else row.spec.process
    if process is None:
        return files.write_file(state, path, data, namespace)
    spot = files.locate(state, path, namespace)
    is_new = files.entry_at(state, spot.place) is None
    _, entry = files.existing(state, path.rpartition("/")[0] or "/" if is_new else path, namespace)
    check_may(row, process, entry, path, WRITE)
    state = files.write_file(state, path, data, namespace)
    if not is_new:
        return state
    made = files.existing(state, path, namespace)[1]
    return files.put_entry(state, spot.place, attrs.evolve(made, uid=process.uid, gid=process.gid))


def check_may(row: ProcessRow, process: Process, entry: Entry, path: str, wanted: int) -> None:
    """Refuse EACCES where a file's mode does not let a program do something: path_resolution(7), capabilities(7)."""
    capabilities = process.capabilities if process.uid == 0 else ()
    if "DAC_OVERRIDE" in capabilities or (wanted == READ and "DAC_READ_SEARCH" in capabilities):
        return
    shift = 6 if process.uid == entry.uid else 3 if entry.gid in {process.gid, *row.groups} else 0
    wanted |= SEARCH if entry.kind == DIRECTORY else 0
    if (entry.mode >> shift) & wanted != wanted:
        raise Refused(errno.EACCES, path)


def _read(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    namespace = row.namespaces.get("mount", HOST)
    path = _path(row, args[0])
    return _or_exit(
        state, row, args[0], lambda: write_output(state, row, STDOUT, _content(state, row, path, namespace))
    )


def _content(state: State, row: ProcessRow, path: str, namespace: int) -> bytes:
    """Read a file as a process's user: open(2)."""
    content = files.read_file(state, path, namespace)
    if row.spec is not None:
        check_may(row, row.spec.process, files.existing(state, path, namespace)[1], path, READ)
    return content


def _or_exit(state: State, row: ProcessRow, path: str, act: Callable[[], State]) -> State:
    try:
        return act()
    except Refused as refused:
        reason = errno.errorcode[refused.errno]
        state = write_output(state, row, STDERR, _encoded((f"probe: {path}: {reason}",)))
        return laws.process_ends(state, row.pid, Exited(1, None))


def _cat(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    if args:
        return _read(state, row, args)
    if row.spec is None or not row.spec.standard_input:
        return state
    data = state.standard_input
    return write_output(attrs.evolve(state, standard_input=b""), row, STDOUT, data)


def _env(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    del args
    return write_output(state, row, STDOUT, b"".join(_encoded((line,)) for line in environment_of(row)))


def _groups(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    del args
    return write_output(state, row, STDOUT, _encoded(tuple(map(str, sorted(row.groups)))))


def _ids(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    del args
    uid, gid = (0, 0) if row.spec is None else (row.spec.process.uid, row.spec.process.gid)
    return write_output(state, row, STDOUT, _encoded((*[str(uid)] * 3, *[str(gid)] * 3, "")))


def _cwd(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    del args
    spot = files.locate(state, _path(row, ""), row.namespaces.get("mount", HOST))
    return write_output(state, row, STDOUT, _encoded((spot.path,)))


def _trap(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    handlers = with_row(row.handlers, int(args[0]), int(args[1]))
    return put_process(state, attrs.evolve(row, handlers=handlers, ignored=row.ignored - {int(args[0])}))


def _ignore(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    handlers = {number: code for number, code in row.handlers.items() if number != int(args[0])}
    return put_process(state, attrs.evolve(row, handlers=handlers, ignored=row.ignored | {int(args[0])}))


def _fork(state: State, row: ProcessRow, args: tuple[str, ...]) -> State:
    cut = args.index("|") if "|" in args else len(args)
    row = attrs.evolve(row, verbs=probe_verbs(args[cut + 1 :]))
    try:
        return fork(put_process(state, row), row.pid, probe_verbs(args[:cut]))
    except Refused:
        state = write_output(state, row, STDERR, b"probe: can't fork: Resource temporarily unavailable\n")
        return laws.process_ends(state, row.pid, Exited(2, None))


VERBS: dict[str, Callable[[State, ProcessRow, tuple[str, ...]], State]] = {
    "exit": _exit,
    "echo": _echo,
    "error": _error,
    "sleep": _sleep,
    "eat": _eat,
    "write": _write,
    "read": _read,
    "cat": _cat,
    "env": _env,
    "groups": _groups,
    "ids": _ids,
    "cwd": _cwd,
    "trap": _trap,
    "ignore": _ignore,
    "fork": _fork,
}


def _verb(name: str) -> Callable[[State, ProcessRow, tuple[str, ...]], State]:
    if name not in VERBS:
        raise NotModelled(f"the probe's verb {name!r}")
    return VERBS[name]


def is_alive(row: ProcessRow | None) -> bool:
    """Tell whether a process is there and no zombie."""
    return row is not None and row.phase != ZOMBIE

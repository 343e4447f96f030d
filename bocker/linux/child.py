"""What a container's process does between its birth and its program.

The child is this same interpreter, after clone3. From the moment that it has entered the
container's root it must import nothing: an image with an `encodings/idna.py` of its own would run
it as the host's root (measured.md, fact 1). So everything is imported before, and the import
system is emptied first of all. No name is looked up by a library either.

Nothing returns from here: the child becomes its program, or reports the step and the errno that
failed and exits.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from bocker.core import spec as words
from bocker.core.spec import ExecSpec, Process
from bocker.linux import capabilities
from bocker.linux import syscalls as k
from bocker.linux.files import write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any, NoReturn
else:
    import _signal as signal  # the module without its enums, which cost four milliseconds

_UMASK = 0o022
_STATUS = 3  # the report's descriptor once all others are closed
_HIGHEST_SIGNAL = 64
_NOT_RESETTABLE = frozenset({9, 19, 32, 33})  # KILL, STOP, and two that the C library keeps
_DEFAULT_PATH = b"/bin:/usr/bin"  # execvp(3), where the environment has none
_NOT_FOUND = frozenset({errno.ENOENT, errno.ENOTDIR})


class Ends:
    """The child's ends of what joins it to its parent, as descriptors.

    control: a byte on it means "go on", its end that the parent is gone. status: where the child
    reports. stdin is -1 for `/dev/null`. netlink: a socket of the host's network namespace.
    target: the pidfd of the container's first process, for `enter`. parents_control: the parent's
    end of control, which the child must close to see that its parent is gone.
    """

    __slots__ = ("control", "netlink", "parents_control", "status", "stderr", "stdin", "stdout", "target")

    def __init__(self) -> None:
        self.parents_control = -1
        self.control = self.status = self.stdin = self.stdout = self.stderr = self.netlink = self.target = -1


class _Failure(Exception):
    def __init__(self, step: str, number: int, detail: str) -> None:
        self.step = step
        self.number = number
        self.detail = detail


def become_member(spec: ExecSpec, ends: Ends, task_files: tuple[str, ...]) -> NoReturn:
    """Become a further process of the container that `ends.target` is the first process of."""
    run(lambda: _member(spec, ends, task_files), spec.process, ends)


def run(become: Callable[[], object], process: Process, ends: Ends) -> NoReturn:
    """Let `become` turn this process into its program; report what failed and exit."""
    try:
        if process.user:
            import bocker.core.users  # noqa: F401 - the last import: `_identified` finds it there
        forget_imports()
        become()
    except _Failure as failure:
        report = f"failed\0{failure.step}\0{failure.number}\0{failure.detail}"
    except BaseException as error:
        report = f"failed\0{words.STEP_CLONE}\0{errno.EIO}\0{type(error).__name__}: {error}"
    try:
        os.write(ends.status, report.encode("utf-8", "surrogateescape"))
    finally:
        os._exit(127)


def forget_imports() -> None:
    """Empty the import system: what lies in the root that is entered next must never run as ours."""
    sys.path[:] = []
    sys.meta_path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()


def _member(spec: ExecSpec, ends: Ends, task_files: tuple[str, ...]) -> None:
    begin(ends)
    k.prctl(k.PR_SET_DUMPABLE, 0)  # nothing in the container may trace us before we are its equal
    step(words.STEP_GROUP, write_tasks, task_files)
    wait_for_release(ends)
    kinds = k.CLONE_NEWNS | k.CLONE_NEWUTS | k.CLONE_NEWIPC | k.CLONE_NEWNET | k.CLONE_NEWCGROUP
    step(words.STEP_NAMESPACES, k.setns, ends.target, kinds)
    execute(spec.process, ends)


def step(name: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Carry out one step under its name of `core.spec`, so that a failure can be told by it."""
    try:
        return function(*arguments)
    except OSError as error:
        raise _Failure(name, error.errno or errno.EIO, str(error.strerror or "")) from None


def begin(ends: Ends) -> None:
    """Die with the parent, and have a session of our own (or Ctrl-C would arrive twice).

    What is made in the root file system has its modes whatever the caller's umask is.
    """
    os.close(ends.parents_control)
    os.umask(_UMASK)
    k.prctl(k.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()


def write_tasks(task_files: tuple[str, ...]) -> None:
    """Write 0, which means the writer, to each hierarchy's `tasks`.

    `cgroup.procs` would take twenty times as long: it waits for all threads of the process.
    """
    for path in task_files:
        write_file(path, b"0")


def wait_for_release(ends: Ends) -> None:
    """Go on at the parent's byte; the end of the pipe means that there is no parent any more."""
    if os.read(ends.control, 1) != b"g":
        os._exit(127)


def execute(process: Process, ends: Ends) -> NoReturn:
    """Drop what the program must not have, and become it; the root is the container's by now."""
    process = step(words.STEP_USER, _identified, process)
    step(words.STEP_DIRECTORY, _enter_directory, process.cwd)
    step(words.STEP_PRIVILEGES, _standard_descriptors, ends, process.uid)
    step(words.STEP_PRIVILEGES, _drop_privileges, process)
    _reset_signals()
    step(words.STEP_EXECUTE, _become_program, process)
    raise _Failure(words.STEP_EXECUTE, errno.ENOEXEC, "")


def _identified(process: Process) -> Process:
    """Return the process with the ids, groups and HOME of its user, as the container's own files say."""
    if not process.user:
        return process
    from bocker.core import users  # loaded by `run`; the import system is empty

    limit = words.USER_FILE_BYTES
    try:
        found = users.find(
            process.user, _account_file(words.PASSWD_FILE, limit), _account_file(words.GROUP_FILE, limit)
        )
    except users.UnknownUser as error:
        raise OSError(error.errno, error.name) from None
    has_home = any(entry.startswith("HOME=") for entry in process.env)
    env = process.env if has_home else (*process.env, f"HOME={found.home}")
    return process.replace(uid=found.uid, gid=found.gid, groups=found.groups, groups_from_image=False, env=env)


def _enter_directory(path: str) -> None:
    """Change to a directory of the container's.

    A descriptor of ours may still lead to the host: with a link of the kernel's to it
    (`/proc/self/fd/7`) the image would get out of its root, as CVE-2024-21626 did.
    """
    flags = os.O_PATH | os.O_DIRECTORY
    descriptor = k.openat2(k.AT_FDCWD, os.fsencode(path), flags, k.RESOLVE_NO_MAGICLINKS)
    os.fchdir(descriptor)
    os.close(descriptor)


def _standard_descriptors(ends: Ends, uid: int) -> None:
    """Make 0, 1 and 2 the engine's pipes, or the container's own `/dev/null`: never the caller's.

    The pipes become the user's, who may open them as `/dev/stdout` then. All other descriptors are
    closed but that for the report: the program's path must not lead through one to the host.
    """
    stdin = ends.stdin if ends.stdin >= 0 else _null()
    for number, descriptor in enumerate((stdin, ends.stdout, ends.stderr)):
        os.dup2(descriptor, number, inheritable=True)
        if uid and stat.S_ISFIFO(os.fstat(number).st_mode):
            os.fchown(number, uid, -1)
    if ends.status != _STATUS:
        os.dup2(ends.status, _STATUS, inheritable=False)
        ends.status = _STATUS
    k.close_range(_STATUS + 1)


def _null() -> int:
    """Open `/dev/null`, sure that it is the device and nothing that the container put there."""
    descriptor = os.open("/dev/null", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
        raise OSError(errno.ENODEV, "/dev/null is not the null device")
    return descriptor


def _drop_privileges(process: Process) -> None:
    os.umask(process.umask)
    if process.no_new_privileges:
        k.prctl(k.PR_SET_NO_NEW_PRIVS, 1)
    os.setgroups(_groups(process))
    os.setresgid(process.gid, process.gid, process.gid)
    mask = capabilities.mask_of(process.capabilities)
    if process.uid:
        capabilities.bound_to(mask)
        os.setresuid(process.uid, process.uid, process.uid)
        k.prctl(k.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of uid has cleared it
    capabilities.limit_to(mask)


def _groups(process: Process) -> tuple[int, ...]:
    """Return the program's groups, those of the image's file among them."""
    if not process.groups_from_image or process.uid:
        return process.groups
    content = _account_file(words.GROUP_FILE, words.GROUP_FILE_BYTES, os.O_NOFOLLOW)
    return tuple(dict.fromkeys((*process.groups, *words.groups_of_root(content))))


def _account_file(path: str, limit_bytes: int, flags: int = 0) -> bytes:
    """Return a file of the image's own root, opened without waiting for anybody; nothing where there is
    no plain file, or a longer one. What the kernel shows as files (`/proc`) is on another mount."""
    flags |= os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = k.openat2(k.AT_FDCWD, path.encode(), flags, k.RESOLVE_NO_MAGICLINKS | k.RESOLVE_NO_XDEV)
    except OSError:
        return b""
    is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    content = os.read(descriptor, limit_bytes + 1) if is_file else b""
    os.close(descriptor)
    return content if len(content) <= limit_bytes else b""


def _reset_signals() -> None:
    """Give every signal its default action and let it through, whatever we inherited or Python did.

    What has its default action already is known without asking the kernel.
    """
    for number in range(1, _HIGHEST_SIGNAL + 1):
        if number not in _NOT_RESETTABLE and signal.getsignal(number) != signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _become_program(process: Process) -> None:
    """Execute the program, looked for in PATH as execvp(3) does; raise OSError as that would."""
    name = os.fsencode(process.args[0])
    arguments = [os.fsencode(word) for word in process.args]
    environment = _environment(process.env)
    refusal = OSError(errno.ENOENT, "")
    for path in _candidates(name, environment):
        try:
            os.execve(path, arguments, environment)
        except OSError as error:
            if error.errno not in _NOT_FOUND and error.errno != errno.EACCES:
                raise
            if error.errno == errno.EACCES or refusal.errno != errno.EACCES:
                refusal = error
    raise OSError(refusal.errno, "")


def _candidates(name: bytes, environment: dict[bytes, bytes]) -> list[bytes]:
    if b"/" in name:
        return [name]
    directories = environment.get(b"PATH", _DEFAULT_PATH).split(b":")
    return [directory + b"/" + name if directory else name for directory in directories]


def _environment(env: tuple[str, ...]) -> dict[bytes, bytes]:
    pairs = (os.fsencode(entry).partition(b"=") for entry in env)
    return {name: value for name, _, value in pairs}

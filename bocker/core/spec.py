"""A container's process as data, in the words of the OCI runtime specification.

`engine.plan` makes these values, `linux` carries them out in the child, `fakes` applies them to its
world. A bundle's `config.json` can be read into the same values. Words are `str` with undecodable
bytes as surrogates (`os.fsdecode`), so that any byte reaches the program.

Paths in `Mount.target`, `masked_paths` and so on are inside the container; whoever carries the
plan out resolves them within the root, never following a link out of it.
"""

from __future__ import annotations

from bocker.core.limits import Limits
from bocker.core.value import Value

NETWORK, MOUNT, UTS, IPC, PID, CGROUP = "network", "mount", "uts", "ipc", "pid", "cgroup"
NAMESPACES = (NETWORK, MOUNT, UTS, IPC, PID, CGROUP)

# The steps between `create` and the program, in their order. Both kernels name the one that
# failed with these words.
STEP_CLONE = "clone"
STEP_GROUP = "join the control group"
STEP_NETWORK = "build the network"
STEP_HOSTNAME = "set the host name"
STEP_SYSCTLS = "set the kernel's settings"
STEP_ROOT = "enter the root file system"
STEP_MOUNTS = "mount"
STEP_USER = "find the user"
STEP_NAMESPACES = "enter the namespaces"
STEP_DIRECTORY = "change to the working directory"
STEP_PRIVILEGES = "drop privileges"
STEP_EXECUTE = "execute"
CREATE_STEPS = (STEP_CLONE, STEP_GROUP, STEP_NETWORK, STEP_HOSTNAME, STEP_SYSCTLS)
RELEASE_STEPS = (STEP_ROOT, STEP_MOUNTS, STEP_USER, STEP_DIRECTORY, STEP_PRIVILEGES, STEP_EXECUTE)

PASSWD_FILE = "/etc/passwd"
GROUP_FILE = "/etc/group"
GROUP_FILE_BYTES = 65_536  # a longer one is not read for the groups of root
USER_FILE_BYTES = 1 << 20  # nor one above this where a user is looked for
HIGHEST_GROUP = (1 << 32) - 2  # the number above means "none" to the kernel


class Mount(Value):
    """A mount at `target`, an absolute path inside the container.

    kind is the file system (`proc`, `tmpfs`, `devpts`, `mqueue`, `sysfs`, `cgroup`, `cgroup2`),
    or `bind` for the host's `source`. flags are words of mount(8): `ro`, `nosuid`, `nodev`,
    `noexec`. data is the file system's own option text. An optional mount that the kernel does
    not have is left out; any other failure is one.
    """

    kind: str
    target: str
    source: str = ""
    flags: tuple[str, ...] = ()
    data: str = ""
    optional: bool = False


class File(Value):
    """A small file of the container's own, laid over `target` without touching the image's tree."""

    target: str
    content: bytes
    mode: int = 0o644


class Device(Value):
    """A character device: the host's node at `path`, checked by its number, bound to the same path."""

    path: str
    major: int
    minor: int


class DeviceRule(Value):
    """One line of docker's device list: `access` is of r, w and m; None means any number."""

    kind: str
    major: int | None
    minor: int | None
    access: str

    def __str__(self) -> str:
        major = "*" if self.major is None else self.major
        minor = "*" if self.minor is None else self.minor
        return f"{self.kind} {major}:{minor} {self.access}"


class NetworkSpec(Value):
    """The container's link: a veth pair made in one message with its bridge.

    `address` and `gateway` are numbers as in `addresses`; the link is `interface` inside, with
    `alias` as its alternative name, and `host_link` outside.
    """

    bridge: str
    host_link: str
    interface: str
    alias: str
    mac: str
    address: int
    prefix_length: int
    gateway: int


class Process(Value):
    """What is executed, and with which rights.

    args[0] is looked for in env's PATH when it has no slash. `capabilities` are names (`CHOWN`)
    for the bounding, permitted and effective sets; inheritable and ambient stay empty. `seccomp`
    is the place of a filter program, None until the engine has one. `groups_from_image`: to
    `groups`, add those that the container's own `GROUP_FILE` lists root in, when `uid` is root's.

    `user`: USER[:GROUP], names or numbers, looked for in the container's own `PASSWD_FILE` and
    `GROUP_FILE` by the rules of `core.users`; it replaces uid, gid and groups, and gives HOME where env
    has none. Files that are no plain ones on the root's own file system, or longer than
    `USER_FILE_BYTES`, list nobody. Empty: uid, gid and groups as they are.

    `cwd`, an absolute path, is entered by root's rights, whoever the user is; links of the kernel's that
    lead anywhere (`/proc/self/fd/7`) are not followed. It is made, root's, mode 0755, with those above
    it, where a container's first process has none.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    umask: int = 0o022
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = True
    seccomp: bytes | None = None
    groups_from_image: bool = False
    user: str = ""


class ContainerSpec(Value):
    """A whole container: everything that lies between a snapshot and its program.

    `root` is the host's path of the root file system; it need not exist before `release`. `links`
    are symbolic links as (path, where it leads); one that exists is left as it is. `directories` are
    made after the mounts, root's, mode 0755, where there are none.
    `standard_input`: pass the caller's input on; otherwise the program reads `/dev/null`.
    """

    name: str
    root: str
    hostname: str
    process: Process
    network: NetworkSpec
    group: str
    limits: Limits = Limits()
    device_rules: tuple[DeviceRule, ...] = ()
    namespaces: tuple[str, ...] = NAMESPACES
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    files: tuple[File, ...] = ()
    directories: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    standard_input: bool = False


class ExecSpec(Value):
    """A further process in a running container; the group is joined before anything else."""

    name: str
    group: str
    process: Process
    standard_input: bool = False


def groups_of_root(content: bytes) -> tuple[int, ...]:
    """Return the groups that list `root` as a member, group(5); lines that make no sense are passed over."""
    found = []
    for line in content.split(b"\n"):
        fields = line.split(b":") if b"root" in line else ()
        if len(fields) == 4 and b"root" in fields[3].split(b",") and fields[2].isdigit() and len(fields[2]) <= 10:
            found.append(int(fields[2]))
    return tuple(number for number in found if number <= HIGHEST_GROUP)

"""What a container is made of, as data: docker's mounts, devices, limits and rights (isolation).

Pure: from the record, the addresses and what the host offers to a `ContainerSpec`. The kernel port
carries the list out and decides nothing.
"""

from __future__ import annotations

from bocker.core import addresses
from bocker.core.ids import ContainerId
from bocker.core.spec import ContainerSpec, Device, DeviceRule, ExecSpec, File, Mount, NetworkSpec, Process
from bocker.core.value import Value
from bocker.engine.program import HOSTNAME, Program, overlaid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.addresses import AddressPlan
    from bocker.core.limits import Limits
    from bocker.core.settings import Settings
    from bocker.kernel.cgroups import Layout

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME = "HOME=/root"
FALLBACK_NAME_SERVER = "nameserver 8.8.8.8"
ROOT_GROUPS = (0,)

# docker's fourteen (isolation, "capabilities").
CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
)

# Every writable mount is `nodev`: the devices are bind mounts of their own (S3, S14). devpts alone
# is not, as the terminals in it are device nodes; the kernel makes none but terminals there.
MOUNTS = (
    Mount("proc", "/proc", flags=("nosuid", "noexec", "nodev")),
    Mount("tmpfs", "/dev", flags=("nosuid", "nodev"), data="mode=755,size=65536k"),
    Mount("devpts", "/dev/pts", flags=("nosuid", "noexec"), data="newinstance,ptmxmode=0666,mode=0620,gid=5"),
    Mount("tmpfs", "/dev/shm", flags=("nosuid", "noexec", "nodev"), data="mode=1777,size=65536k"),
    Mount("mqueue", "/dev/mqueue", flags=("nosuid", "noexec", "nodev"), optional=True),
    Mount("sysfs", "/sys", flags=("nosuid", "noexec", "nodev", "ro")),
)
GROUPS_TARGET = "/sys/fs/cgroup"
_GROUP_FLAGS = ("nosuid", "noexec", "nodev")

DEVICES = (
    Device("/dev/null", 1, 3),
    Device("/dev/zero", 1, 5),
    Device("/dev/full", 1, 7),
    Device("/dev/random", 1, 8),
    Device("/dev/urandom", 1, 9),
    Device("/dev/tty", 5, 0),
)
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/core", "/proc/kcore"),
)

# docker's: any node may be made, and only these may be opened.
DEVICE_RULES = (
    DeviceRule("b", None, None, "m"),
    DeviceRule("c", None, None, "m"),
    DeviceRule("c", 1, 3, "rwm"),
    DeviceRule("c", 1, 5, "rwm"),
    DeviceRule("c", 1, 7, "rwm"),
    DeviceRule("c", 1, 8, "rwm"),
    DeviceRule("c", 1, 9, "rwm"),
    DeviceRule("c", 5, 0, "rwm"),
    DeviceRule("c", 5, 1, "rwm"),
    DeviceRule("c", 5, 2, "rwm"),
    DeviceRule("c", 10, 200, "rwm"),
    DeviceRule("c", 136, None, "rwm"),
)
SYSCTLS = (("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647"))

# moby's list (isolation, "masked").
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class HostView(Value):
    """What a plan needs to know of the host; resolv_conf is the text of the host's own."""

    layout: Layout
    processors: int
    resolv_conf: bytes


def container_spec(
    settings: Settings,
    container: ContainerId,
    program: Program,
    addressing: AddressPlan,
    limits: Limits,
    host: HostView,
    hostname: str = "",
) -> ContainerSpec:
    """Return everything about a container; raise ValueError for an id without an address."""
    hostname = hostname or hostname_of(container)
    return ContainerSpec(
        name=str(container),
        root=f"{settings.store}/{container}",
        hostname=hostname,
        process=process(container, program, host.layout),
        network=network(settings, container, addressing),
        group=str(container),
        limits=limits,
        device_rules=DEVICE_RULES,
        mounts=(*MOUNTS, *group_mounts(host.layout)),
        devices=DEVICES,
        links=(*LINKS, *group_links(host.layout)),
        files=files(hostname, addresses.dotted(addressing.address_of(container).address), host.resolv_conf),
        sysctls=SYSCTLS,
        masked_paths=(*MASKED_PATHS, *throttle_paths(host.processors)),
        readonly_paths=READONLY_PATHS if host.layout.version == 2 else (*READONLY_PATHS, GROUPS_TARGET),
    )


def exec_spec(container: ContainerId, program: Program, layout: Layout, standard_input: bool) -> ExecSpec:
    """Return a further process with the rights of the first one."""
    return ExecSpec(str(container), str(container), process(container, program, layout), standard_input)


def process(container: ContainerId, program: Program, layout: Layout) -> Process:
    """Return what is executed: a clean environment (S15), docker's rights and nothing more (S2).

    HOME is that of the user, who is looked for in the container; nobody in particular is root.
    """
    own = (PATH, f"{HOSTNAME}={hostname_of(container)}", *(() if program.user else (HOME,)))
    return Process(
        args=program.words,
        env=overlaid(own, program.environment),
        cwd=program.working_directory or "/",
        groups=ROOT_GROUPS,
        groups_from_image=True,
        capabilities=capabilities(layout),
        user=program.user,
    )


def capabilities(layout: Layout) -> tuple[str, ...]:
    """Return the capabilities: without device rules there is no making of device nodes either."""
    if "devices" in layout.controllers:
        return CAPABILITIES
    return tuple(name for name in CAPABILITIES if name != "MKNOD")


def hostname_of(container: ContainerId) -> str:
    """Return the host name inside: the id, with the hyphen that host names have in place of `_`."""
    return f"ps-{container.number}"


def network(settings: Settings, container: ContainerId, addressing: AddressPlan) -> NetworkSpec:
    """Return the container's link, address and route."""
    own = addressing.address_of(container)
    return NetworkSpec(
        bridge=settings.bridge,
        host_link=addresses.host_link_of(container),
        interface="eth0",
        alias=addresses.peer_alias_of(container),
        mac=addresses.mac_of(container),
        address=own.address,
        prefix_length=own.prefix_length,
        gateway=addressing.gateway.address,
    )


def group_mounts(layout: Layout) -> tuple[Mount, ...]:
    """Return the view of the container's own groups: read-only on version 2.

    On version 1 the hierarchies lie on a tmpfs, which must be writable until they are attached;
    `readonly_paths` closes it afterwards. One that joins controllers can be mounted as a whole only.
    """
    if layout.version == 2:
        return (Mount("cgroup2", GROUPS_TARGET, flags=(*_GROUP_FLAGS, "ro")),)
    hierarchies = (
        Mount("cgroup", f"{GROUPS_TARGET}/{name}", flags=(*_GROUP_FLAGS, "ro"), data=name, optional=True)
        for name in layout.hierarchies
    )
    return (Mount("tmpfs", GROUPS_TARGET, flags=_GROUP_FLAGS, data="mode=755,size=64k"), *hierarchies)


def group_links(layout: Layout) -> tuple[tuple[str, str], ...]:
    """Return docker's links to hierarchies that join controllers: `cpu` leads to `cpu,cpuacct`."""
    joined = [name for name in layout.hierarchies if "," in name]
    return tuple((f"{GROUPS_TARGET}/{controller}", name) for name in joined for controller in name.split(","))


def throttle_paths(processors: int) -> tuple[str, ...]:
    """Return moby's masked paths of each processor."""
    return tuple(f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(processors))


def files(hostname: str, address: str, resolv_conf: bytes) -> tuple[File, ...]:
    """Return the container's own files, laid over the image's without touching them (S8)."""
    hosts = (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "ff00::0\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\n"
        "ff02::2\tip6-allrouters\n"
        f"{address}\t{hostname}\n"
    )
    return (
        File("/etc/hostname", f"{hostname}\n".encode()),
        File("/etc/hosts", hosts.encode()),
        File("/etc/resolv.conf", resolver_settings(resolv_conf)),
    )


def resolver_settings(host: bytes) -> bytes:
    """Return the host's `resolv.conf` without name servers that only the host itself can reach.

    Search domains and options stay. Where no name server is left, docker's choice is taken.
    """
    kept = [line for line in host.decode("utf-8", "replace").splitlines() if _passes_on(line)]
    if not any(line.split()[0] == "nameserver" for line in kept):
        kept.append(FALLBACK_NAME_SERVER)
    return ("\n".join(kept) + "\n").encode()


def _passes_on(line: str) -> bool:
    words = line.split()
    if not words or words[0] not in {"nameserver", "search", "domain", "options", "sortlist"}:
        return False
    if words[0] != "nameserver":
        return True
    return len(words) > 1 and not words[1].startswith("127.") and words[1].partition("%")[0] not in {"::1", "0.0.0.0"}

"""Is the host ready to run a container? Asked before anything is created (W23).

Only what costs next to nothing; the rest (masquerading) is for `setup --check`.
"""

from __future__ import annotations

from bocker.core.addresses import AddressPlan
from bocker.core.errors import HostNotReady, InvalidValue, NotPrivileged
from bocker.engine.failures import FORWARDING
from bocker.engine.plan import HostView
from bocker.kernel.errors import KernelError, Missing, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from bocker.kernel.cgroups import Layout
    from bocker.kernel.host import HostFacts
    from bocker.kernel.network import Link

OLDEST_KERNEL = (5, 12)  # that has mount_setattr(2), the newest call that `linux` can't do without
RESOLV_CONF = "/etc/resolv.conf"


def addressing(kernel: Kernel, settings: Settings) -> AddressPlan:
    """Return the address plan of the bridge that is there; raise HostNotReady when it can't serve."""
    bridge = bridge_of(kernel, settings)
    problem = bridge_problem(bridge, settings.bridge)
    if bridge is None or problem is not None:
        raise HostNotReady(problem or "")
    try:
        return AddressPlan(bridge.addresses[0])
    except InvalidValue as error:
        raise HostNotReady(f"{error.message}; {error.hint}") from None


def bridge_of(kernel: Kernel, settings: Settings) -> Link | None:
    """Return the bridge, None when there is no such link."""
    try:
        return kernel.network.link(settings.bridge)
    except Missing:
        return None


def bridge_problem(bridge: Link | None, name: str) -> str | None:
    """Return what is wrong with the bridge."""
    if bridge is None:
        return f"there is no bridge {name}"
    if bridge.kind != "bridge":
        return f"{name} is a {bridge.kind} link, no bridge"
    if not bridge.addresses:
        return f"the bridge {name} has no address"
    return None if bridge.up else f"the bridge {name} is down"


def is_forwarding(kernel: Kernel) -> bool:
    """Tell whether the host forwards packets: at every number but 0 (kernel-facts, "Network")."""
    return kernel.host.read_sysctl(FORWARDING) != "0"


def check_forwarding(kernel: Kernel) -> None:
    """Raise HostNotReady when the host does not forward packets."""
    if not is_forwarding(kernel):
        raise HostNotReady(f"{FORWARDING} is off, so containers reach nothing outside")


def host_facts(kernel: Kernel) -> HostFacts:
    """Return what the host is. Raise NotPrivileged; and HostNotReady where a container could write
    the interpreter that starts it, as `/proc/self/exe` (kernel-facts, "Processes")."""
    facts = kernel.host.facts()
    if not facts.privileged:
        raise NotPrivileged
    check_kernel(facts)
    if not facts.interpreter_read_only:
        raise HostNotReady(f"a container could overwrite the interpreter {facts.interpreter}")
    return facts


def check_kernel(facts: HostFacts) -> None:
    """Raise HostNotReady when the kernel is too old for what containers are made by."""
    if facts.kernel_version < OLDEST_KERNEL:
        found, oldest = (".".join(map(str, version)) for version in (facts.kernel_version, OLDEST_KERNEL))
        raise HostNotReady(f"this is Linux {found}, and bocker needs {oldest} or newer", "boot a newer kernel")


def group_layout(kernel: Kernel) -> Layout:
    """Return what control groups offer; raise HostNotReady when there are none."""
    try:
        return kernel.cgroups.layout()
    except Unsupported:
        raise HostNotReady("control groups are not mounted", "mount them at /sys/fs/cgroup") from None


def host_view(kernel: Kernel) -> HostView:
    """Return what a container's plan needs to know of the host."""
    facts = host_facts(kernel)
    check_forwarding(kernel)
    try:
        resolv_conf = kernel.host.read(RESOLV_CONF)
    except KernelError:  # a host without one has no name servers to pass on
        resolv_conf = b""
    return HostView(group_layout(kernel), facts.processors, resolv_conf)

"""Where bocker keeps things and what it calls them: settings, so that two sandboxes don't meet."""

from __future__ import annotations

from bocker.core.value import Value


class Settings(Value):
    """Names and places on the host.

    store: the btrfs file system with images and containers. state: what `setup` changed, and the
    default backing file. runtime: what does not outlive a boot. namespaces: where `ip netns`
    looks. bridge, table: names of the link and the firewall table. cgroup_parent: the group below
    which each container has its own. subnet: what `setup` gives a new bridge.
    """

    store: str = "/var/bocker"
    state: str = "/var/lib/bocker"
    runtime: str = "/run/bocker"
    namespaces: str = "/run/netns"
    bridge: str = "bridge0"
    table: str = "bocker"
    cgroup_parent: str = "bocker"
    subnet: str = "10.0.0.0/24"

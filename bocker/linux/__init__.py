"""The real kernel behind the ports: the only room that knows system calls, netlink and tools."""

from __future__ import annotations

import os

from bocker.kernel import PORTS, Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bocker.core.settings import Settings


class LinuxKernel(Kernel):
    """This machine's kernel. A port is imported when it is first asked for: start-up is a budget."""

    __slots__ = ("settings",)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        _occupy_standard_descriptors()

    def __getattr__(self, name: str) -> Any:
        if name not in PORTS:
            raise AttributeError(name)
        port = _open(name, self.settings)
        setattr(self, name, port)
        return port


def _occupy_standard_descriptors() -> None:
    """Open `/dev/null` where the caller closed 0, 1 or 2, so that nothing of ours gets that number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open("/dev/null", os.O_RDWR)


def _open(name: str, settings: Settings) -> Any:  # noqa: PLR0911 - one line a port
    if name == "storage":
        from bocker.linux.storage import LinuxStorage

        return LinuxStorage(settings.store)
    if name in {"records", "state"}:
        from bocker.linux.records import LinuxRecords

        return LinuxRecords(f"{settings.store}/.meta" if name == "records" else settings.state, name)
    if name == "network":
        from bocker.linux.network import LinuxNetwork

        return LinuxNetwork(settings.namespaces)
    if name == "namespaces":
        from bocker.linux.namespaces import LinuxNamespaces

        return LinuxNamespaces(settings.namespaces)
    if name == "firewall":
        from bocker.linux.firewall import LinuxFirewall

        return LinuxFirewall()
    if name == "cgroups":
        from bocker.linux.cgroups import LinuxCgroups

        return LinuxCgroups(settings.cgroup_parent)
    if name == "processes":
        from bocker.linux.processes import LinuxProcesses

        return LinuxProcesses(settings.cgroup_parent)
    if name == "host":
        from bocker.linux.host import LinuxHost

        return LinuxHost()
    if name == "archives":
        from bocker.linux.archives import LinuxArchives

        return LinuxArchives()
    if name == "blobs":
        from bocker.linux.blobs import LinuxBlobs

        return LinuxBlobs(f"{settings.store}/.meta")
    if name == "accounts":
        from bocker.linux.accounts import LinuxAccounts

        return LinuxAccounts()
    if name == "http":
        from bocker.linux.http import LinuxHttp

        return LinuxHttp()
    from bocker.linux.ambient import LinuxAmbient

    return LinuxAmbient()

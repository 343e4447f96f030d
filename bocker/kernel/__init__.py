"""The ports: what bocker asks of a kernel.

A port is an abstract class; the docstring of a method is its specification, and a contract in
`tests/contracts` holds both kernels to it. One operation is about one line of the old script: a
verb on a kernel resource, neither a system call nor a policy. Everything that crosses is an
immutable value. What goes wrong is a `KernelError`.

`Kernel` is the bundle of all ports and the only thing that is passed around.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.kernel.accounts import Accounts
    from bocker.kernel.ambient import Ambient
    from bocker.kernel.archives import Archives
    from bocker.kernel.blobs import Blobs
    from bocker.kernel.cgroups import Cgroups
    from bocker.kernel.firewall import Firewall
    from bocker.kernel.host import Host
    from bocker.kernel.http import Http
    from bocker.kernel.namespaces import Namespaces
    from bocker.kernel.network import Network
    from bocker.kernel.processes import Processes
    from bocker.kernel.records import Records
    from bocker.kernel.storage import Storage


PORTS = (
    "storage",
    "records",
    "state",
    "network",
    "namespaces",
    "firewall",
    "cgroups",
    "processes",
    "host",
    "archives",
    "blobs",
    "accounts",
    "http",
    "ambient",
)


class Kernel:
    """All ports of one kernel. `records` lies in the store, `state` outside it (`Settings.state`)."""

    __slots__ = PORTS
    if TYPE_CHECKING:
        storage: Storage
        records: Records
        state: Records
        network: Network
        namespaces: Namespaces
        firewall: Firewall
        cgroups: Cgroups
        processes: Processes
        host: Host
        archives: Archives
        blobs: Blobs
        accounts: Accounts
        http: Http
        ambient: Ambient

"""`setup`: what containers need on this host, made where it is missing, reported, taken back.

What is changed is written down before it is changed, in a record outside the store, so that
`undo` takes back exactly that, also after a crash. What a person made by hand is used and kept.
"""

from __future__ import annotations

from bocker.core import jsontext, lifecycle
from bocker.core.addresses import AddressPlan, Subnet, parse_subnet
from bocker.core.errors import BockerError, Damaged, HostNotReady, NotPrivileged
from bocker.core.model import SetupRecord, from_data, to_data
from bocker.core.value import Value
from bocker.engine import readiness, store
from bocker.engine.failures import FORWARDING, STORE_KIND, Doing, other_file_system, reason_of, store_problem
from bocker.engine.removal import destroy, destroy_image, harmless
from bocker.engine.repair import reconcile
from bocker.kernel.errors import AlreadyExists, Busy, Invalid, KernelError, Missing, NotEmpty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from bocker.kernel.network import Link

KEY = "host/setup"
DEFAULT_SIZE_BYTES = 10 << 30
BRIDGE_MAC = "02:42:ac:11:00:01"  # no container's: theirs begin at host part 2
RESTRICTIONS = frozenset({"nosuid", "nodev"})


class SetupOptions(Value):
    """What to make. storage: the file for the store, None for the default below `Settings.state`.
    interpreter_mount: where to mount the interpreter read-only, None for the file itself (one that
    is bocker's alone)."""

    storage: str | None = None
    size_bytes: int = DEFAULT_SIZE_BYTES
    subnet: Subnet | None = None
    interpreter_mount: str | None = None


class Need(Value):
    """Something that containers need on the host. detail: what is there, or what is wrong."""

    name: str
    met: bool
    detail: str


def check(kernel: Kernel, settings: Settings, interpreter_mount: str | None = None) -> tuple[Need, ...]:
    """Return every need with its state; change nothing. interpreter_mount: as in `SetupOptions`."""

    def look_at_interpreter(kernel: Kernel, settings: Settings) -> str:
        return _look_at_interpreter(kernel, interpreter_mount)

    looks: tuple[tuple[str, Callable[[Kernel, Settings], str]], ...] = (
        ("root's rights", _look_at_rights),
        ("kernel", _look_at_kernel),
        ("store", _look_at_store),
        ("control groups", _look_at_groups),
        ("bridge", _look_at_bridge),
        ("forwarding", _look_at_forwarding),
        ("masquerading", _look_at_masquerading),
        ("interpreter", look_at_interpreter),
    )
    return tuple(_need(name, look, kernel, settings) for name, look in looks)


def setup(kernel: Kernel, settings: Settings, options: SetupOptions) -> tuple[str, ...]:
    """Make what is missing; return a line for each thing done. Doing it again makes what a boot forgot."""
    with Doing(kernel, settings, "Setting the host up", needs_store=False):
        return tuple(_Setup(kernel, settings, options).all())


def undo(kernel: Kernel, settings: Settings, delete_data: bool = False) -> tuple[str, ...]:
    """Take back what `setup` changed; return a line for each thing. Images stay, unless `delete_data`.

    Raise BockerError while a container runs.
    """
    with Doing(kernel, settings, "Taking the set-up back", needs_store=False):
        if not kernel.host.facts().privileged:
            raise NotPrivileged
        return tuple(_Undo(kernel, settings, delete_data).all())


def load_record(kernel: Kernel, settings: Settings) -> SetupRecord:
    """Return what `setup` changed so far. Raise BockerError where that can't be read."""
    try:
        return from_data(SetupRecord, jsontext.loads(kernel.state.read(KEY)), "the host's set-up")
    except Missing:
        return SetupRecord()
    except (ValueError, Damaged) as error:
        raise BockerError(
            f"The record of what setup changed is damaged: {error}",
            f"delete {settings.state}/{KEY}, then use: bocker setup",
        ) from None


class _Setup:
    """One set-up: each step looks, writes down what it will do, does it and says so."""

    def __init__(self, kernel: Kernel, settings: Settings, options: SetupOptions) -> None:
        self.kernel = kernel
        self.settings = settings
        self.options = options
        self.lines: list[str] = []

    def all(self) -> list[str]:
        facts = self.kernel.host.facts()
        if not facts.privileged:
            raise NotPrivileged
        readiness.check_kernel(facts)
        readiness.group_layout(self.kernel)
        self.record = load_record(self.kernel, self.settings)
        self.store()
        self.bridge()
        self.forwarding()
        self.masquerading()
        self.interpreter()
        return self.lines

    def note(self, **changes: object) -> None:
        """Write down a change before it is made."""
        record = self.record.replace(**changes)
        if record != self.record:
            self.record = record
            self.kernel.state.write(KEY, jsontext.dumps(to_data(record)), durable=True)

    def store(self) -> None:
        target = self.settings.store
        mount = self.kernel.host.mount_at(target)
        if mount is None:
            self._mount_store(self._backing_file())
        elif mount.kind != STORE_KIND:
            raise other_file_system(mount)
        elif not RESTRICTIONS.issubset(mount.flags):
            self.lines.append(f"Restricted: {target} is for root alone now, without setuid programs and devices")
        self.kernel.host.restrict(target)
        store.check_format(self.kernel, self.settings)
        store.ensure_format(self.kernel)

    def _backing_file(self) -> str:
        path = self.options.storage or self.record.backing_file or f"{self.settings.state}/btrfs.img"
        ours = self.record.backing_file == path
        self.note(backing_file=path)
        try:
            self.kernel.host.make_filesystem(path, self.options.size_bytes)
        except AlreadyExists:
            if not ours:
                self.note(backing_file=None)
        except KernelError as error:
            if type(error) is not KernelError:  # refused; an error without a meaning may hide that it was done
                self.note(backing_file=None)
            raise
        else:
            self.lines.append(f"Created: {path}")
        return path

    def _mount_store(self, path: str) -> None:
        target = self.settings.store
        self.note(
            mounted_store=True,
            made_store_directory=self.record.made_store_directory or not _exists(self.kernel, target),
        )
        self.kernel.host.mount_image(path, target)
        self.lines.append(f"Mounted: {path} at {target}")

    def bridge(self) -> None:
        network, name = self.kernel.network, self.settings.bridge
        bridge = readiness.bridge_of(self.kernel, self.settings)
        if bridge is not None and self._is_elsewhere(bridge):
            self._refuse_new_subnet(bridge)
            network.delete(name)
            bridge = None
        if bridge is None:
            self.note(bridge=name, subnet=str(self.subnet))
            network.create_bridge(name, BRIDGE_MAC)
            self.lines.append(f"Created: {name}")
            bridge = network.link(name)
        if bridge.kind != "bridge":
            raise HostNotReady(
                f"{name} is a {bridge.kind} link, no bridge",
                "delete that link, or choose another name with BOCKER_BRIDGE",
            )
        if not bridge.addresses:
            self._add_address(name)
        if not bridge.up:
            self._raise(name)

    def _add_address(self, bridge: str) -> None:
        gateway = self.subnet.gateway
        if self.record.bridge != bridge:
            raise HostNotReady(
                f"the bridge {bridge} has no address, and bocker did not make it",
                f"give it one: ip address add {gateway} dev {bridge}",
            )
        self.kernel.network.add_address(bridge, gateway)
        self.lines.append(f"Added: {gateway} to {bridge}")

    def _raise(self, bridge: str) -> None:
        if self.record.bridge != bridge:
            self.note(raised_bridge=bridge)
            self.lines.append(f"Set: {bridge} up")
        self.kernel.network.set_up(bridge, True)

    @property
    def subnet(self) -> Subnet:
        """The subnet that a new bridge gets: after a boot the one that it had."""
        return self.options.subnet or parse_subnet(self.record.subnet or self.settings.subnet)

    def _is_elsewhere(self, bridge: Link) -> bool:
        wanted = self.options.subnet
        return wanted is not None and bool(bridge.addresses) and bridge.addresses[0].subnet != wanted

    def _refuse_new_subnet(self, bridge: Link) -> None:
        if self.record.bridge != bridge.name:
            raise BockerError(
                f"The bridge {bridge.name} has {bridge.addresses[0]}, and bocker did not make it",
                "leave --subnet out to use it as it is",
            )
        if store.container_ids(self.kernel):
            raise BockerError("The subnet can not change while there are containers", "remove them first")

    def forwarding(self) -> None:
        if readiness.is_forwarding(self.kernel):
            return
        if self.record.forwarding_was is None:
            self.note(forwarding_was="0")
        self.kernel.host.write_sysctl(FORWARDING, "1")
        self.lines.append(f"Set: {FORWARDING} = 1")

    def masquerading(self) -> None:
        table = self.settings.table
        subnet = readiness.addressing(self.kernel, self.settings).subnet
        if self.kernel.firewall.masqueraded(table) == subnet:
            return
        self.note(table=table)
        self.kernel.firewall.ensure_masquerade(table, subnet, self.settings.bridge)
        self.lines.append(f"Masqueraded: {subnet}")

    def interpreter(self) -> None:
        facts = self.kernel.host.facts()
        target = self.options.interpreter_mount or facts.interpreter
        if facts.interpreter_read_only or self.kernel.host.mount_at(target) is not None:
            return
        self.note(interpreter_mount=target)
        self.kernel.host.protect(facts.interpreter, target)
        self.lines.append(f"Protected: {facts.interpreter}")


class _Undo:
    """Takes back what the record says, the last thing first. What is gone already is no failure."""

    def __init__(self, kernel: Kernel, settings: Settings, delete_data: bool) -> None:
        self.kernel = kernel
        self.settings = settings
        self.delete_data = delete_data
        self.record = load_record(kernel, settings)
        self.lines: list[str] = []

    def all(self) -> list[str]:
        if self._has_store():
            self._refuse_while_running()
            if self.delete_data:
                self._delete_objects()
        self._host()
        self._store()
        harmless(self.kernel.cgroups.remove_parent)
        kept = SetupRecord(backing_file=self.record.backing_file)
        if kept == SetupRecord():
            self._forget()
        else:
            self.kernel.state.write(KEY, jsontext.dumps(to_data(kept)), durable=True)
        return self.lines

    def _has_store(self) -> bool:
        mount = self.kernel.host.mount_at(self.settings.store)
        return mount is not None and mount.kind == STORE_KIND

    def _refuse_while_running(self) -> None:
        for container in store.container_ids(self.kernel):
            record = reconcile(self.kernel, store.load_container(self.kernel, container))
            if record is not None and record.state in lifecycle.UNFINISHED:
                raise BockerError(
                    f"Container '{container}' is running", f"stop it first, or use: bocker rm -f {container}"
                )

    def _delete_objects(self) -> None:
        for container in store.container_ids(self.kernel):
            with self.kernel.records.lock(str(container)):
                destroy(self.kernel, container, None)
            self.lines.append(f"Removed: {container}")
        for name in self.kernel.records.list(store.NAMES):
            self.kernel.records.remove(store.name_key(name))
        for image in store.image_ids(self.kernel):
            with self.kernel.records.lock(str(image)):
                destroy_image(self.kernel, image)
            self.lines.append(f"Removed: {image}")

    def _host(self) -> None:
        record = self.record
        # This very program may run from it.
        if record.interpreter_mount is not None and _undone(self._detach, record.interpreter_mount):
            self.lines.append(f"Unmounted: {record.interpreter_mount}")
            if record.interpreter_mount.startswith(f"{self.settings.runtime}/"):
                self._tidy(record.interpreter_mount)
        if record.table is not None:
            self.kernel.firewall.remove(record.table)
            self.lines.append(f"Removed: the firewall table {record.table}")
        if record.forwarding_was is not None:
            self.kernel.host.write_sysctl(FORWARDING, record.forwarding_was)
            self.lines.append(f"Set: {FORWARDING} = {record.forwarding_was}")
        if record.bridge is not None and _undone(self.kernel.network.delete, record.bridge):
            self.lines.append(f"Removed: {record.bridge}")
        if record.raised_bridge is not None and _undone(self._lower, record.raised_bridge):
            self.lines.append(f"Set: {record.raised_bridge} down")

    def _lower(self, bridge: str) -> None:
        self.kernel.network.set_up(bridge, False)

    def _detach(self, target: str) -> None:
        self.kernel.host.unmount(target, detach=True)

    def _store(self) -> None:
        record, host = self.record, self.kernel.host
        # This program has the store open itself; no container runs, so nobody else of ours does.
        if record.mounted_store and self._has_store() and _undone(self._detach, self.settings.store):
            self.lines.append(f"Unmounted: {self.settings.store}")
        if record.made_store_directory:
            self._tidy(self.settings.store)
        if self.delete_data and record.backing_file is not None:
            if _undone(host.delete, record.backing_file):
                self.lines.append(f"Removed: {record.backing_file}")
            self.record = record.replace(backing_file=None)

    def _forget(self) -> None:
        harmless(self.kernel.state.remove, KEY)
        for directory in (f"{self.settings.state}/host", self.settings.state, self.settings.runtime):
            self._tidy(directory)

    def _tidy(self, path: str) -> None:
        """Delete what was made to hold something; what others use, or mount, stays theirs."""
        try:
            _undone(self.kernel.host.delete, path)
        except Busy:
            return


def _undone(step: Callable[[str], None], subject: str) -> bool:
    """Do a step; return False where it was done already, or where others use the thing."""
    try:
        step(subject)
    except (Missing, Invalid, NotEmpty):
        return False
    return True


def _exists(kernel: Kernel, path: str) -> bool:
    try:
        kernel.host.read(path)
    except Missing:
        return False
    except Invalid:  # a directory can't be read as a file, and is there
        return True
    return True


def _need(name: str, look: Callable[[Kernel, Settings], str], kernel: Kernel, settings: Settings) -> Need:
    try:
        return Need(name, True, look(kernel, settings))
    except BockerError as error:
        return Need(name, False, getattr(error, "need", error.message))
    except KernelError as error:
        return Need(name, False, reason_of(error))


def _look_at_rights(kernel: Kernel, settings: Settings) -> str:
    if not kernel.host.facts().privileged:
        raise NotPrivileged
    return "this is root"


def _look_at_kernel(kernel: Kernel, settings: Settings) -> str:
    facts = kernel.host.facts()
    readiness.check_kernel(facts)
    return f"Linux {facts.kernel_version[0]}.{facts.kernel_version[1]}"


def _look_at_store(kernel: Kernel, settings: Settings) -> str:
    problem = store_problem(kernel, settings)
    if problem is not None:
        raise problem
    mount = kernel.host.mount_at(settings.store)
    if mount is None or not RESTRICTIONS.issubset(mount.flags):
        raise HostNotReady(f"{settings.store} is mounted without nosuid,nodev")
    store.check_format(kernel, settings)
    return f"{mount.source} at {settings.store}"


def _look_at_groups(kernel: Kernel, settings: Settings) -> str:
    layout = readiness.group_layout(kernel)
    return f"version {layout.version}: {', '.join(layout.controllers)}"


def _look_at_bridge(kernel: Kernel, settings: Settings) -> str:
    plan: AddressPlan = readiness.addressing(kernel, settings)
    return f"{settings.bridge} {plan.gateway}, room for {plan.size} containers"


def _look_at_forwarding(kernel: Kernel, settings: Settings) -> str:
    readiness.check_forwarding(kernel)
    return f"{FORWARDING} is on"


def _look_at_masquerading(kernel: Kernel, settings: Settings) -> str:
    subnet = readiness.addressing(kernel, settings).subnet
    found = kernel.firewall.masqueraded(settings.table)
    if found != subnet:
        raise HostNotReady(f"what comes from {subnet} is not masqueraded by the table {settings.table}")
    return f"{subnet} by the table {settings.table}"


def _look_at_interpreter(kernel: Kernel, mount: str | None) -> str:
    facts = kernel.host.facts()
    if mount is not None and kernel.host.mount_at(mount) is not None:
        return f"{mount} is read-only"
    if not facts.interpreter_read_only:
        raise HostNotReady(f"a container could overwrite {facts.interpreter}")
    return f"{facts.interpreter} is read-only"

"""`inspect`: all that is known of an image or a container, in the shape that docker's users and their scripts know.

Source: docker's API documentation (ImageInspect, ContainerInspect). What bocker does not have is left out; a
time that is not there is Go's zero time, as in docker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.core import addresses, lifecycle
from bocker.core.addresses import AddressPlan
from bocker.core.errors import BockerError, NoSuchContainer, NoSuchImage, NoSuchObject
from bocker.core.ids import ContainerId, ImageId
from bocker.core.limits import CPU_PERIOD_US
from bocker.core.timestamps import rfc3339
from bocker.core.value import Value
from bocker.engine import listing, resolve, store
from bocker.engine.failures import Doing
from bocker.engine.plan import hostname_of
from bocker.engine.program import HOSTNAME
from bocker.images.contents import config_of, run_fields
from bocker.kernel.errors import Missing

if TYPE_CHECKING:
    from typing import Any

    from bocker.core.model import ContainerRecord, ImageContent
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from bocker.registry.config import ImageConfig
    from bocker.registry.platforms import Platform

IMAGE, CONTAINER = "image", "container"
NO_TIME = "0001-01-01T00:00:00Z"
UNKNOWN_EXIT = 255  # docker's, of a container whose end nobody saw


class Names(dict):  # type: ignore[type-arg]
    """An object whose names people choose: labels, ports, volumes. One that it lacks is no mistake."""


class Inspected(Value):
    """What one word names, or why it names nothing."""

    reference: str
    document: dict[str, Any] | None
    error: BockerError | None = None


def inspect(
    kernel: Kernel, settings: Settings, references: tuple[str, ...], platform: Platform, kind: str | None = None
) -> tuple[Inspected, ...]:
    """Return what is known of each, in the order of the words. kind: IMAGE or CONTAINER, None for either.

    platform: this machine's, for images that were made here. Raise only what concerns all of them.
    """
    with Doing(kernel, settings, "Looking up what to inspect"):
        store.check_format(kernel, settings)
    return tuple(_inspected(kernel, settings, reference, platform, kind) for reference in references)


def _inspected(kernel: Kernel, settings: Settings, reference: str, platform: Platform, kind: str | None) -> Inspected:
    try:
        with Doing(kernel, settings, f"Inspecting '{reference}'"):
            found = _found(kernel, reference, kind)
            if isinstance(found, ImageId):
                return Inspected(reference, _image(kernel, settings, found, platform))
            return Inspected(reference, _container(kernel, settings, found, reference))
    except BockerError as error:
        return Inspected(reference, None, error)


def _found(kernel: Kernel, reference: str, kind: str | None) -> ContainerId | ImageId:
    if kind == CONTAINER:
        container = resolve.find_container_id(kernel, reference)
        if container is None:
            raise NoSuchContainer(reference)
        return container
    return resolve.image(kernel, reference) if kind == IMAGE else resolve.anything(kernel, reference)


def _image(kernel: Kernel, settings: Settings, image: ImageId, platform: Platform) -> dict[str, Any]:
    try:
        content = store.image_content(kernel, image)
    except Missing:
        raise NoSuchImage(str(image)) from None
    config = config_of(kernel, content)
    made_for = platform if config is None else config.platform
    return {
        "Id": content.config,
        "ID": str(image),
        "RepoTags": list(resolve.tags_of(kernel, image)),
        "RepoDigests": list(content.digests),
        "Parent": "",
        "Comment": _comment(content, config),
        "Created": rfc3339(content.created_ns if content.dated_ns is None else content.dated_ns),
        "Author": content.author,
        "Config": _image_config(content),
        "Architecture": made_for.architecture,
        "Variant": made_for.variant,
        "Os": made_for.os,
        "Size": content.size_bytes or 0,
        "GraphDriver": _driver(settings, str(image)),
        "RootFS": {"Type": "layers", "Layers": [str(digest) for digest in config.diff_ids] if config else []},
    }


def _comment(content: ImageContent, config: ImageConfig | None) -> str:
    if content.config is None or config is None or not config.history:
        return content.message
    return config.history[-1].comment


def _image_config(content: ImageContent) -> dict[str, Any]:
    """Return what an image says of its program; a command or entrypoint that it has not is null, as in docker."""
    fields = run_fields(content)
    objects = {name: Names(fields[name]) for name in ("ExposedPorts", "Volumes", "Labels")}
    return {**fields, **objects, "Cmd": fields["Cmd"] or None, "Entrypoint": fields["Entrypoint"] or None}


def _container(kernel: Kernel, settings: Settings, container: ContainerId, reference: str) -> dict[str, Any]:
    try:
        record = listing.current(kernel, container)
    except Missing:
        record = None
    if record is None:
        raise NoSuchObject(reference)
    return {
        "Id": record.id,
        "Created": rfc3339(record.created_ns),
        "Path": record.command[0] if record.command else "",
        "Args": list(record.command[1:]),
        "State": _state(record),
        "Image": _image_of(kernel, record),
        "LogPath": f"{settings.store}/.meta/{store.log_key(record.id)}",
        "Name": f"/{record.name or record.id}",
        "Driver": "btrfs",
        "HostConfig": _host_config(record),
        "GraphDriver": _driver(settings, record.id),
        "Config": _container_config(record),
        "NetworkSettings": _network(kernel, settings, record),
    }


def _image_of(kernel: Kernel, record: ContainerRecord) -> str:
    """Return the id of the image that a container was made of; where that is gone, what it was called."""
    try:
        uuid = kernel.storage.describe(record.id).parent_uuid
    except Missing:
        return record.image
    for image in store.image_ids(kernel):
        try:
            if kernel.storage.describe(str(image)).uuid == uuid:
                return str(image)
        except Missing:
            continue
    return record.image


def _state(record: ContainerRecord) -> dict[str, Any]:
    is_alive = record.state in lifecycle.ALIVE
    lost = UNKNOWN_EXIT if record.state == lifecycle.DEAD else 0
    return {
        "Status": record.state,
        "Running": is_alive,
        "Paused": record.state == lifecycle.PAUSED,
        "Restarting": False,
        "OOMKilled": record.oom_killed,
        "Dead": record.state == lifecycle.DEAD,
        "Pid": record.process.pid if is_alive and record.process else 0,
        "ExitCode": lost if record.exit_code is None else record.exit_code,
        "StartedAt": _time(record.started_ns),
        "FinishedAt": _time(record.finished_ns),
    }


def _time(time_ns: int | None) -> str:
    return NO_TIME if time_ns is None else rfc3339(time_ns)


def _container_config(record: ContainerRecord) -> dict[str, Any]:
    variables = _pairs(record.environment)
    return {
        "Hostname": variables.get(HOSTNAME, hostname_of(store.id_of(record))),
        "User": record.user,
        "Env": list(record.environment),
        "Cmd": list(record.command),
        "Image": record.image,
        "WorkingDir": record.working_directory,
        "Labels": _pairs(record.labels),
        "StopSignal": record.stop_signal,
    }


def _pairs(words: tuple[str, ...]) -> Names:
    return Names((name, value) for name, _, value in (word.partition("=") for word in words))


def _host_config(record: ContainerRecord) -> dict[str, Any]:
    limits = record.limits
    quota = limits.cpu_quota_us or 0
    return {
        "Memory": limits.memory_bytes,
        "NanoCpus": quota * 1_000_000_000 // CPU_PERIOD_US,
        "CpuShares": limits.cpu_shares,
        "CpuPeriod": CPU_PERIOD_US if quota else 0,
        "CpuQuota": quota,
        "PidsLimit": limits.pids,
        "AutoRemove": record.remove_on_exit,
    }


def _network(kernel: Kernel, settings: Settings, record: ContainerRecord) -> dict[str, Any]:
    """Return a running container's addresses; one that does not run has none, as in docker."""
    plan = _plan(kernel, settings) if record.state in lifecycle.ALIVE else None
    container = store.id_of(record)
    if plan is None or container.number > plan.highest or container.number in plan.reserved:
        return {"Bridge": settings.bridge, "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "MacAddress": ""}
    return {
        "Bridge": settings.bridge,
        "Gateway": addresses.dotted(plan.gateway.address),
        "IPAddress": addresses.dotted(plan.address_of(container).address),
        "IPPrefixLen": plan.gateway.prefix_length,
        "MacAddress": addresses.mac_of(container),
    }


def _plan(kernel: Kernel, settings: Settings) -> AddressPlan | None:
    try:
        link = kernel.network.link(settings.bridge)
        return AddressPlan(link.addresses[0]) if link.addresses else None
    except (Missing, BockerError):
        return None


def _driver(settings: Settings, name: str) -> dict[str, Any]:
    return {"Name": "btrfs", "Data": {"Subvolume": f"{settings.store}/{name}"}}

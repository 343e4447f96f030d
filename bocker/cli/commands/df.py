"""`bocker df`: what takes the space in the store."""

from __future__ import annotations

from bocker.cli.lists import chosen_format, show
from bocker.cli.output import decimal_size, duration, say, say_lines, table
from bocker.core.errors import UsageError
from bocker.core.words import printable
from bocker.images.space import container_usages, image_usages, usages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bocker.cli.main import Call
    from bocker.images.space import ContainerUsage, ImageUsage, Usage

NONE = "<none>"
IMAGE_COLUMNS = ("IMAGE ID", "TAG", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")
CONTAINER_COLUMNS = ("CONTAINER ID", "IMAGE", "STATE", "CREATED", "SIZE", "NAMES")


def main(call: Call) -> int:
    """Print the bytes of each kind of thing, or of each thing."""
    form = chosen_format(call)
    if not call.has("verbose"):
        return show(call, form, usages(call.kernel, call.configuration.settings), UsageView())
    if form is not None:
        raise UsageError("--verbose is a table, and takes no --format")
    now_ns = call.kernel.ambient.now_ns()
    images = image_usages(call.kernel, call.configuration.settings)
    containers = container_usages(call.kernel, call.configuration.settings)
    say("Images space usage:\n")
    say_lines(table(IMAGE_COLUMNS, [image_row(image, now_ns) for image in images], flexible=1))
    say("\nContainers space usage:\n")
    say_lines(table(CONTAINER_COLUMNS, [container_row(one, now_ns) for one in containers], flexible=1))
    return 0


class UsageView:
    """A kind of thing in docker's columns."""

    header: tuple[str, ...] = ("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")
    flexible = 0

    def identity(self, usage: Usage) -> str:
        """Return what kind it is."""
        return usage.kind

    def row(self, usage: Usage) -> tuple[str, ...]:
        """Return docker's columns."""
        size = decimal_size(usage.size_bytes)
        return usage.kind, str(usage.total), str(usage.active), size, reclaimable(usage)

    def data(self, usage: Usage) -> dict[str, Any]:
        """Return docker's keys."""
        return {
            "Active": str(usage.active),
            "Reclaimable": reclaimable(usage),
            "Size": decimal_size(usage.size_bytes),
            "TotalCount": str(usage.total),
            "Type": usage.kind,
        }

    def fields(self, usage: Usage) -> dict[str, Any]:
        """Return the same for a template."""
        return self.data(usage)


def reclaimable(usage: Usage) -> str:
    """Return what could be given back, with its part of the whole in percent."""
    size = decimal_size(usage.reclaimable_bytes)
    return f"{size} ({usage.reclaimable_bytes * 100 // usage.size_bytes}%)" if usage.size_bytes else size


def image_row(image: ImageUsage, now_ns: int) -> tuple[str, ...]:
    """Return an image's columns."""
    sizes = (image.shared_bytes + image.own_bytes, image.shared_bytes, image.own_bytes)
    age = f"{duration(now_ns - image.created_ns)} ago"
    return image.image, ", ".join(image.tags) or NONE, age, *map(decimal_size, sizes), str(image.containers)


def container_row(container: ContainerUsage, now_ns: int) -> tuple[str, ...]:
    """Return a container's columns."""
    age = f"{duration(now_ns - container.created_ns)} ago"
    return (
        container.container,
        printable(container.image),
        container.state,
        age,
        decimal_size(container.size_bytes),
        container.name,
    )

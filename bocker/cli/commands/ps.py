"""`bocker ps`: the list of containers, running or not."""

from __future__ import annotations

from bocker.cli.lists import chosen_format, show
from bocker.cli.output import docker_time, duration, quoted, status
from bocker.core.errors import Damaged
from bocker.core.words import printable, shown
from bocker.engine.listing import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bocker.cli.layouts import Layout
    from bocker.cli.main import Call
    from bocker.core.model import ContainerRecord


def main(call: Call) -> int:
    """Print every container."""
    form = chosen_format(call)
    try:
        found = containers(call.kernel, call.configuration.settings)
    except Damaged as error:
        _show(call, form, error.others)
        raise
    return _show(call, form, found)


def _show(call: Call, form: str | Layout | None, found: tuple[ContainerRecord, ...]) -> int:
    view = ContainerView(call.kernel.ambient.now_ns(), whole=call.has("no-trunc"))
    script = [("CONTAINER_ID", "COMMAND"), *((container.id, shown(container.command)) for container in found)]
    return show(call, form, found, view, script)


class ContainerView:
    """A container in a list; `whole` does not shorten its command."""

    header: tuple[str, ...] = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
    flexible = 2

    def __init__(self, now_ns: int, whole: bool) -> None:
        self.now_ns = now_ns
        self.whole = whole

    def identity(self, container: ContainerRecord) -> str:
        """Return the id."""
        return container.id

    def row(self, container: ContainerRecord) -> tuple[str, ...]:
        """Return docker's columns."""
        command = quoted(container.command, self.whole)
        age = f"{self._age(container)} ago"
        return container.id, printable(container.image), command, age, self._status(container), "", container.name or ""

    def data(self, container: ContainerRecord) -> dict[str, Any]:
        """Return docker's keys."""
        return {
            "Command": quoted(container.command, self.whole),
            "CreatedAt": docker_time(container.created_ns),
            "ID": container.id,
            "Image": container.image,
            "Labels": ",".join(container.labels),
            "Names": container.name or "",
            "Ports": "",
            "RunningFor": f"{self._age(container)} ago",
            "State": container.state,
            "Status": self._status(container),
        }

    def fields(self, container: ContainerRecord) -> dict[str, Any]:
        """Return docker's keys, and `.Label "NAME"`."""
        from bocker.cli.template_functions import Method

        found = {name: value for name, _, value in (label.partition("=") for label in container.labels)}
        return {**self.data(container), "Label": Method(lambda name: found.get(name, ""))}

    def _age(self, container: ContainerRecord) -> str:
        return duration(self.now_ns - container.created_ns)

    def _status(self, container: ContainerRecord) -> str:
        times = container.started_ns, container.finished_ns, self.now_ns
        return status(container.state, container.exit_code, *times)

"""`bocker images`: the list of images."""

from __future__ import annotations

from bocker.cli.lists import chosen_format, show
from bocker.cli.output import docker_time, duration
from bocker.core.reference import split_tag
from bocker.core.words import printable
from bocker.engine.listing import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bocker.cli.main import Call
    from bocker.engine.listing import ImageSummary

NONE = "<none>"


def main(call: Call) -> int:
    """Print every image."""
    chosen_format(call)
    found = images(call.kernel, call.configuration.settings)
    return show(call, found, ImageView(call.kernel.ambient.now_ns()))


class ImageView:
    """An image in a list."""

    script_header: tuple[str, ...] = ("IMAGE_ID", "SOURCE")
    header: tuple[str, ...] = ("IMAGE ID", "TAG", "SOURCE", "CREATED")
    flexible = 2

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def identity(self, image: ImageSummary) -> str:
        """Return the id."""
        return image.id

    def script_row(self, image: ImageSummary) -> tuple[str, ...]:
        """Return id and source."""
        return image.id, printable(image.source)

    def row(self, image: ImageSummary) -> tuple[str, ...]:
        """Return what a person wants to see."""
        return image.id, ", ".join(image.tags) or NONE, printable(image.source), self._age(image)

    def data(self, image: ImageSummary) -> dict[str, Any]:
        """Return docker's keys; `Tags` and `Source` are ours, as an image may have several tags."""
        repository, tag = split_tag(image.tags[0]) if image.tags else (NONE, NONE)
        return {
            "CreatedAt": docker_time(image.created_ns),
            "CreatedSince": self._age(image),
            "ID": image.id,
            "Repository": repository,
            "Source": image.source,
            "Tag": tag,
            "Tags": list(image.tags),
        }

    def _age(self, image: ImageSummary) -> str:
        return f"{duration(self.now_ns - image.created_ns)} ago"

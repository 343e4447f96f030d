"""`bocker images`: the list of images."""

from __future__ import annotations

from bocker.cli.lists import TABLE, chosen_format, show
from bocker.cli.output import decimal_size, docker_time, duration
from bocker.core.reference import split_tag
from bocker.core.words import printable
from bocker.engine.listing import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bocker.cli.layouts import Layout
    from bocker.cli.main import Call
    from bocker.engine.listing import ImageSummary
    from bocker.images.space import ImageUsage

NONE = "<none>"
UNKNOWN = "N/A"
SIZE_DIGITS = 3
MEASURED = frozenset({"SharedSize", "UniqueSize", "Containers"})


def main(call: Call) -> int:
    """Print every image, or those that are asked for."""
    form = chosen_format(call)
    wanted = None
    if call.arguments.words or call.values("filter"):
        from bocker.cli.filters import chosen

        wanted = chosen(call)
    found = [image for image in images(call.kernel, call.configuration.settings) if wanted is None or wanted(image)]
    usages = measured(call) if is_measured(form) else {}
    view = ImageView(call.kernel.ambient.now_ns(), usages, digests=call.has("digests"))
    script = [("IMAGE_ID", "SOURCE"), *((image.id, printable(image.source)) for image in found)]
    return show(call, form, found, view, () if call.has("digests") else script)


def is_measured(form: str | Layout | None) -> bool:
    """Tell whether a form asks for what has to be measured."""
    if form is None or form == TABLE:
        return False
    return isinstance(form, str) or not MEASURED.isdisjoint(form.names)


def measured(call: Call) -> Mapping[str, ImageUsage]:
    """Return what each image shares and has alone, by its id."""
    from bocker.images.space import image_usages

    return {usage.image: usage for usage in image_usages(call.kernel, call.configuration.settings)}


class ImageView:
    """An image in a list. usages: what was measured, by id; digests: there is a column of them."""

    def __init__(self, now_ns: int, usages: Mapping[str, ImageUsage], digests: bool = False) -> None:
        self.now_ns = now_ns
        self.usages = usages
        self.digests = digests
        self.header: tuple[str, ...] = ("IMAGE ID", "TAG", "SOURCE", "CREATED", "SIZE")
        self.flexible = 2
        if digests:
            self.header = (*self.header[:2], "DIGEST", *self.header[2:])
            self.flexible = 3

    def identity(self, image: ImageSummary) -> str:
        """Return the id."""
        return image.id

    def row(self, image: ImageSummary) -> tuple[str, ...]:
        """Return what a person wants to see."""
        digest = (digest_of(image),) if self.digests else ()
        tags = ", ".join(image.tags) or NONE
        return image.id, tags, *digest, printable(image.source), self._age(image), size_of(image)

    def data(self, image: ImageSummary) -> dict[str, Any]:
        """Return docker's keys; `Tags` and `Source` are ours, as an image may have several tags."""
        repository, tag = split_tag(image.tags[0]) if image.tags else (NONE, NONE)
        usage = self.usages.get(image.id)
        return {
            "Containers": UNKNOWN if usage is None else str(usage.containers),
            "CreatedAt": docker_time(image.created_ns),
            "CreatedSince": self._age(image),
            "Digest": digest_of(image),
            "ID": image.id,
            "Repository": repository,
            "SharedSize": UNKNOWN if usage is None else decimal_size(usage.shared_bytes, SIZE_DIGITS),
            "Size": size_of(image),
            "Source": image.source,
            "Tag": tag,
            "Tags": list(image.tags),
            "UniqueSize": UNKNOWN if usage is None else decimal_size(usage.own_bytes, SIZE_DIGITS),
        }

    def fields(self, image: ImageSummary) -> dict[str, Any]:
        """Return the same for a template."""
        return self.data(image)

    def _age(self, image: ImageSummary) -> str:
        return f"{duration(self.now_ns - image.created_ns)} ago"


def digest_of(image: ImageSummary) -> str:
    """Return the digest that a registry has an image by."""
    return printable(image.digests[0].rpartition("@")[2]) if image.digests else NONE


def size_of(image: ImageSummary) -> str:
    """Return an image's size, as far as it is known."""
    return UNKNOWN if image.size_bytes is None else decimal_size(image.size_bytes, SIZE_DIGITS)

"""`bocker history`: how an image came about."""

from __future__ import annotations

from bocker.cli.lists import chosen_format, show
from bocker.cli.output import decimal_size, docker_time, duration, shortened
from bocker.core.words import printable
from bocker.images.history import history

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bocker.cli.main import Call
    from bocker.images.history import Step

MISSING = "<missing>"  # docker's word: what lies below has no id of its own
LONGEST = 45
SIZE_DIGITS = 3


def main(call: Call) -> int:
    """Print an image's steps, the newest first."""
    form = chosen_format(call)
    steps = history(call.kernel, call.configuration.settings, call.arguments.words[0])
    return show(call, form, steps, StepView(call.kernel.ambient.now_ns(), whole=call.has("no-trunc")))


class StepView:
    """A step in docker's columns; `whole` does not shorten how it was made."""

    header: tuple[str, ...] = ("IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT")
    flexible = 2

    def __init__(self, now_ns: int, whole: bool) -> None:
        self.now_ns = now_ns
        self.whole = whole

    def identity(self, step: Step) -> str:
        """Return the image's id, where the step has one."""
        return step.image or MISSING

    def row(self, step: Step) -> tuple[str, ...]:
        """Return docker's columns."""
        by, size = printable(self._made_by(step)), decimal_size(step.size_bytes, SIZE_DIGITS)
        return self.identity(step), self._age(step), by, size, printable(step.comment)

    def data(self, step: Step) -> dict[str, Any]:
        """Return docker's keys."""
        return {
            "Comment": step.comment,
            "CreatedAt": "" if step.created_ns is None else docker_time(step.created_ns),
            "CreatedBy": self._made_by(step),
            "CreatedSince": self._age(step),
            "ID": self.identity(step),
            "Size": decimal_size(step.size_bytes, SIZE_DIGITS),
        }

    def fields(self, step: Step) -> dict[str, Any]:
        """Return docker's keys."""
        return self.data(step)

    def _made_by(self, step: Step) -> str:
        words = " ".join(step.created_by.split())
        return words if self.whole else shortened(words, LONGEST)

    def _age(self, step: Step) -> str:
        return "N/A" if step.created_ns is None else f"{duration(self.now_ns - step.created_ns)} ago"

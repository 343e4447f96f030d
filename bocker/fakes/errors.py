"""What the fake raises besides `KernelError`."""

from __future__ import annotations


class NotModelled(Exception):
    """The fake does not know what the kernel would do here, so it does not answer at all."""


class Crashed(BaseException):
    """The program died at this call: nothing of it runs any more, undo included."""


class BrokenInvariant(AssertionError):
    """A step led to a state that no kernel can be in: a defect of the fake itself."""


class Refused(Exception):
    """A step's way to say that the kernel refuses; `World.apply` makes a `KernelError` of it."""

    def __init__(self, errno: int, detail: str = "", step: str | None = None) -> None:
        super().__init__(errno, detail, step)
        self.errno = errno
        self.detail = detail
        self.step = step

"""What can go wrong with images that come in or go out, beside what a registry refuses."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from bocker.core.errors import BockerError
from bocker.kernel.archives import STANDARD_STREAM
from bocker.kernel.errors import Invalid, KernelError, Missing, TooLarge, Unsupported
from bocker.registry.errors import one_line


class BadLayer(BockerError):
    """A layer that can't be unpacked, or that is not what its image says."""

    def __init__(self, digest: str, reason: str) -> None:
        super().__init__(f"Layer {digest} can not be used: {one_line(reason)}")
        self.digest = digest
        self.reason = reason


class LayerTooLarge(BockerError):
    """A layer has more than the settings allow."""

    def __init__(self, digest: str, reason: str) -> None:
        super().__init__(
            f"Layer {digest} is more than the limits allow: {one_line(reason)}",
            "if you trust the image, raise the limits in the table [images] of the settings",
        )
        self.digest = digest
        self.reason = reason


class BadArchive(BockerError):
    """A file that should hold images, and does not."""

    def __init__(self, path: str, reason: str) -> None:
        called = "the archive" if path == STANDARD_STREAM else f"'{one_line(path)}'"
        super().__init__(f"No image can be loaded from {called}: {one_line(reason)}")
        self.path = path
        self.reason = reason


class AtWork(BockerError):
    """Images come in or go out just now, so nobody can tell what is needed."""

    def __init__(self) -> None:
        super().__init__("Images are pulled, pushed, saved or loaded just now", "try again when that has ended")


class DocumentGone(BockerError):
    """An image's manifest or configuration was removed from the store, or changed there."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"The document {one_line(digest)} of the image is gone from the store, or damaged",
            "pull the image again; of one that was made here, a container can be committed",
        )
        self.digest = digest


class BlobGone(BockerError):
    """A layer is needed as it was downloaded, and that was pruned."""

    def __init__(self, digest: str, image: str) -> None:
        super().__init__(
            f"The download of layer {digest} of '{image}' was pruned, and no registry that is known has it",
            "pull the image again",
        )
        self.digest = digest
        self.image = image


class NoPlaceToWrite(BockerError):
    """A file that should be written can't be where it was said."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"'{one_line(path)}' can not be written: {reason}")
        self.path = path
        self.reason = reason


@contextmanager
def read_from(path: str) -> Iterator[None]:
    """Say of an archive why it can't be read: raise BadArchive."""
    try:
        yield
    except Missing:
        raise BadArchive(path, "there is no such file") from None
    except TooLarge as error:
        raise BadArchive(path, f"it is more than the limits allow: {error.detail or error.errno_name}") from error
    except (Invalid, Unsupported) as error:
        reason = f"it is no whole archive: {error.detail}" if error.detail else "it is no archive"
        raise BadArchive(path, reason) from error


@contextmanager
def written_to(path: str) -> Iterator[None]:
    """Say of an archive's place what is wrong with it. Turn the kernel's word for one that nobody reads any more
    (EPIPE) into Python's, which is no failure."""
    try:
        yield
    except KernelError as error:
        if error.errno == errno.EPIPE:
            raise BrokenPipeError from error
        if error.errno == errno.EISDIR:
            raise NoPlaceToWrite(path, "it is a directory") from error
        if isinstance(error, Missing):
            raise NoPlaceToWrite(path, "there is no such directory") from error
        raise

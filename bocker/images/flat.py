"""`export` and `import`: a container's files as one archive, and an image from one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bocker.core.model import ImageContent
from bocker.core.reference import parse_tag
from bocker.core.value import Value
from bocker.engine import resolve, store
from bocker.engine.building import Recipe, freeze, frozen_of, new_image
from bocker.engine.failures import Doing
from bocker.engine.undo import UndoStack
from bocker.images.changes import apply_changes
from bocker.images.errors import read_from, written_to
from bocker.kernel.archives import PLAIN, STANDARD_STREAM, Bounds

if TYPE_CHECKING:
    from bocker.core.ids import ImageId
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

STANDARD_INPUT = "/dev/stdin"


class ImportRequest(Value):
    """What to make an image of: an archive's absolute path, or `STANDARD_STREAM`; and what is known of it."""

    path: str
    tag: str | None = None
    changes: tuple[str, ...] = ()
    message: str = ""
    bounds: Bounds = Bounds()


def export(kernel: Kernel, settings: Settings, container: str, path: str = STANDARD_STREAM) -> None:
    """Write all files of a container, as they are at one instant, into an archive. Raise NoSuchContainer."""
    with Doing(kernel, settings, f"Exporting '{container}'"):
        store.check_format(kernel, settings)
        record = resolve.container(kernel, container)
        frozen = frozen_of(record.id)
        with kernel.records.lock(frozen.lstrip(".")), UndoStack() as undo:
            undo.push(store.delete_subvolume, kernel, frozen)
            with store.Meant(kernel, store.id_of(record), container):
                freeze(kernel, record.id)
            with written_to(path):
                kernel.archives.pack(f"{settings.store}/{frozen}", None, path, PLAIN)


def import_archive(kernel: Kernel, settings: Settings, request: ImportRequest) -> ImageId:
    """Make an image of an archive of files, plain or compressed. Raise BadArchive, InvalidValue."""
    tag = None if request.tag is None else parse_tag(request.tag)
    shown = "standard input" if request.path == STANDARD_STREAM else request.path
    content = apply_changes(ImageContent("", shown, 0, message=request.message), request.changes)
    with Doing(kernel, settings, f"Importing '{shown}'"):
        store.check_format(kernel, settings)
        return new_image(
            kernel,
            Recipe(content, kernel.storage.create, lambda aside: _unpack(kernel, f"{settings.store}/{aside}", request)),
            tag,
        )


def _unpack(kernel: Kernel, target: str, request: ImportRequest) -> None:
    path = STANDARD_INPUT if request.path == STANDARD_STREAM else request.path
    with read_from(request.path):
        kernel.archives.unpack(path, target, request.bounds)

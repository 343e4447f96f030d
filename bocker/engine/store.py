"""The records in the store: who is there, and what is known of them.

containers/ps_N   ContainerRecord; creating it claims the id
images/img_N      ImageTags; creating it claims the id
contents/UUID     ImageContent of the subvolume with that UUID
layers/CHAIN      LayerRecord of the subvolume layer_CHAIN
logs/ps_N         the container's output
names/NAME        the id of the container that has a name
counters/FOLDER   the last number that was given
store/format      the format of all this
"""

from __future__ import annotations

from bocker.core import jsontext, lifecycle
from bocker.core.errors import Damaged, NewerStore, NoSuchContainer, NoSuchImage
from bocker.core.ids import ContainerId, ImageId
from bocker.core.model import (
    STORE_FORMAT,
    ContainerRecord,
    ImageContent,
    ImageTags,
    LayerRecord,
    from_data,
    to_data,
)
from bocker.kernel.errors import Invalid, Missing, NotEmpty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import TypeVar

    from bocker.core.ids import Id
    from bocker.core.settings import Settings
    from bocker.core.value import Value
    from bocker.kernel import Kernel

    V = TypeVar("V", bound=Value)
    AnyId = TypeVar("AnyId", bound=Id)

CONTAINERS = "containers"
IMAGES = "images"
CONTENTS = "contents"
LAYERS = "layers"
LOGS = "logs"
COUNTERS = "counters"
NAMES = "names"
FORMAT = "store/format"
NAMES_LOCK = "names"


class Meant:
    """A block that works with the container or image that a word named.

    Where the kernel misses something in there, and that is gone by now, somebody has removed it meanwhile: then
    the word names nothing any more, and that is what is said.
    """

    __slots__ = ("identity", "kernel", "reference")

    def __init__(self, kernel: Kernel, identity: ContainerId | ImageId, reference: str) -> None:
        self.kernel = kernel
        self.identity = identity
        self.reference = reference

    def __enter__(self) -> None:
        """Work with it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Missing) and not has_subvolume(self.kernel, str(self.identity)):
            is_image = isinstance(self.identity, ImageId)
            raise (NoSuchImage if is_image else NoSuchContainer)(self.reference) from error


def container_key(container: object) -> str:
    """Return the key of a container's record."""
    return f"{CONTAINERS}/{container}"


def image_key(image: object) -> str:
    """Return the key of an image's tags."""
    return f"{IMAGES}/{image}"


def content_key(uuid: str) -> str:
    """Return the key of what is known of an image's content."""
    return f"{CONTENTS}/{uuid}"


def layer_key(chain_id: str) -> str:
    """Return the key of what is known of a layer."""
    return f"{LAYERS}/{chain_id}"


def log_key(container: object) -> str:
    """Return the key of a container's log."""
    return f"{LOGS}/{container}"


def name_key(name: str) -> str:
    """Return the key of what says which container has a name."""
    return f"{NAMES}/{name}"


def check_format(kernel: Kernel, settings: Settings) -> None:
    """Raise NewerStore for records of a later format; and the true cause when there is no store."""
    from_disk = read_format(kernel)
    if from_disk is None:
        from bocker.engine.failures import store_problem

        problem = store_problem(kernel, settings)
        if problem is not None:
            raise problem
    elif from_disk > STORE_FORMAT:
        raise NewerStore(from_disk, STORE_FORMAT)


def read_format(kernel: Kernel) -> int | None:
    """Return the format of the store, None where it was not written yet."""
    try:
        text = kernel.records.read(FORMAT).strip()
    except Missing:
        return None
    if not text.isdigit():
        raise Damaged(
            "the store's format", f"it is {text!r}", f"unless a newer bocker used it, remove .meta/{FORMAT} in it"
        )
    return int(text)


def ensure_format(kernel: Kernel) -> None:
    """Write the format into a store that has none."""
    if read_format(kernel) is None:
        kernel.records.write(FORMAT, f"{STORE_FORMAT}\n".encode(), durable=True)


def encode(record: Value) -> bytes:
    """Return a record as it is stored."""
    return jsontext.dumps(to_data(record))


def load_container(kernel: Kernel, container: ContainerId) -> ContainerRecord:
    """Return a container's record. Raise Missing, Damaged."""
    record = _load(kernel, ContainerRecord, container_key(container), str(container))
    if record.id != str(container) or record.state not in lifecycle.STATES:
        raise Damaged(str(container), f"it is of {record.id!r}, {record.state!r}")
    return record


def save_container(kernel: Kernel, record: ContainerRecord) -> None:
    """Replace a container's record."""
    kernel.records.write(container_key(record.id), encode(record))


def id_of(record: ContainerRecord) -> ContainerId:
    """Return the id that a container's record is of."""
    return ContainerId(int(record.id[len(ContainerId.prefix) :]))


def load_tags(kernel: Kernel, image: ImageId) -> ImageTags:
    """Return an image's tags. Raise Missing, Damaged."""
    tags = _load(kernel, ImageTags, image_key(image), str(image))
    if tags.id != str(image):
        raise Damaged(str(image), f"it is of {tags.id!r}")
    return tags


def load_content(kernel: Kernel, uuid: str) -> ImageContent:
    """Return what is known of an image's content. Raise Missing, Damaged."""
    return _load(kernel, ImageContent, content_key(uuid), f"content {uuid}")


def content_or_unknown(kernel: Kernel, uuid: str) -> ImageContent:
    """Return what is known of an image's content; of one that nothing is known of, an empty record."""
    try:
        return load_content(kernel, uuid)
    except (Missing, Damaged):
        return ImageContent(uuid, "", 0)


def image_content(kernel: Kernel, image: ImageId) -> ImageContent:
    """As `content_or_unknown`, of an image. Raise Missing when it has no subvolume.

    Where nothing is known of it, it may just have got another content (`replace_image`), or be going.
    """
    uuid = kernel.storage.describe(str(image)).uuid
    while True:
        try:
            return load_content(kernel, uuid)
        except (Missing, Damaged):
            before, uuid = uuid, kernel.storage.describe(str(image)).uuid
        if uuid == before:
            return content_or_unknown(kernel, uuid)


def image_contents(kernel: Kernel) -> Iterator[tuple[ImageId, ImageContent]]:
    """Give all images that are whole, ascending, with what is known of their content; not those that go meanwhile."""
    for image in image_ids(kernel):
        try:
            yield image, image_content(kernel, image)
        except Missing:
            continue


def load_layer(kernel: Kernel, chain_id: str) -> LayerRecord:
    """Return what is known of a layer. Raise Missing, Damaged."""
    return _load(kernel, LayerRecord, layer_key(chain_id), f"layer {chain_id}")


def uuids_in_use(kernel: Kernel) -> frozenset[str]:
    """Return the UUIDs of everything in the store, and of what its containers were made from."""
    return frozenset(uuid for name in kernel.storage.names() for uuid in uuids_of(kernel, name))


def uuids_of(kernel: Kernel, name: str) -> tuple[str, ...]:
    """Return the UUID of a subvolume, and of what a container was made from; none where nothing has the name."""
    try:
        found = kernel.storage.describe(name)
    except Missing:
        return ()
    is_container = ContainerId.parse(name) is not None
    return (found.uuid, found.parent_uuid) if is_container and found.parent_uuid else (found.uuid,)


def contents_in_use(kernel: Kernel) -> tuple[ImageContent, ...]:
    """Return what is known of all images, and of those that containers were made from. Raise Damaged."""
    known = frozenset(kernel.records.list(CONTENTS))
    found = []
    for uuid in sorted(known & uuids_in_use(kernel)):
        try:
            found.append(load_content(kernel, uuid))
        except Missing:  # it went meanwhile
            continue
    return tuple(found)


def stray_contents(kernel: Kernel) -> tuple[str, ...]:
    """Return the UUIDs of contents whose subvolume is gone, and with it the last container that was made from it.

    Asked twice: a name that is published or exchanged just now is missed by one look at most.
    """
    stray = frozenset(kernel.records.list(CONTENTS))
    for _ in range(2):
        stray = stray and stray - uuids_in_use(kernel)
    return tuple(sorted(stray))


def forget_content(kernel: Kernel, uuid: str) -> None:
    """Forget an image's content, unless a container was made from it. Raise Missing."""
    if uuid not in uuids_in_use(kernel):
        kernel.records.remove(content_key(uuid))


def container_ids(kernel: Kernel) -> tuple[ContainerId, ...]:
    """Return the ids of all containers, claimed ones too, ascending."""
    return ids_among(kernel.records.list(CONTAINERS), ContainerId)


def image_ids(kernel: Kernel) -> tuple[ImageId, ...]:
    """Return the ids of all images that are whole, ascending: claimed, and with a subvolume."""
    subvolumes = frozenset(kernel.storage.names())
    return ids_among((name for name in kernel.records.list(IMAGES) if name in subvolumes), ImageId)


def ids_among(names: Iterable[str], kind: type[AnyId]) -> tuple[AnyId, ...]:
    """Return the ids of one kind among names, ascending."""
    found = (kind.parse(name) for name in names)
    return tuple(sorted(identity for identity in found if identity is not None))


def has_subvolume(kernel: Kernel, name: str) -> bool:
    """Tell whether anything in the store has a name."""
    try:
        kernel.storage.describe(name)
    except Missing:
        return False
    except Invalid:  # something else than a subvolume
        return True
    return True


def delete_subvolume(kernel: Kernel, name: str) -> None:
    """Delete a subvolume with those inside it (L1, D11)."""
    try:
        kernel.storage.delete(name)
    except NotEmpty:
        for nested in kernel.storage.nested(name):
            kernel.storage.delete(nested)
        kernel.storage.delete(name)


def _load(kernel: Kernel, kind: type[V], key: str, subject: str) -> V:
    data = kernel.records.read(key)
    try:
        value = jsontext.loads(data)
    except ValueError as error:
        raise Damaged(subject, str(error)) from None
    return from_data(kind, value, subject)

"""What the records say of a container, an image, and the host's set-up.

A record outlives the program that wrote it: an unknown field is kept out of the way, a missing
one has its default, and a wrong type makes the record damaged, never a traceback.
"""

from __future__ import annotations

from bocker.core import lifecycle
from bocker.core.errors import Damaged
from bocker.core.limits import Limits
from bocker.core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    V = TypeVar("V", bound=Value)

STORE_FORMAT = 1


class ProcessIdentity(Value):
    """A process that can't be mistaken for another: boot, pid, and start time in clock ticks."""

    boot_id: str
    pid: int
    start_ticks: int


class ContainerRecord(Value):
    """What is known of a container; kept outside its root file system, where it can't forge it.

    environment: NAME=VALUE of the image and of `run`, which `exec` takes over with the user and the
    working directory. labels: NAME=VALUE.
    """

    id: str
    image: str
    image_source: str
    command: tuple[str, ...]
    created_ns: int
    state: str = lifecycle.CREATED
    name: str | None = None
    supervisor: ProcessIdentity | None = None
    process: ProcessIdentity | None = None
    started_ns: int | None = None
    finished_ns: int | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    remove_on_exit: bool = False
    limits: Limits = Limits()
    environment: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    stop_signal: str = ""
    labels: tuple[str, ...] = ()


class ImageTags(Value):
    """What belongs to an image's id, whatever its content is replaced by."""

    id: str
    tags: tuple[str, ...] = ()


class ImageContent(Value):
    """What belongs to an image's subvolume; its key is the subvolume's UUID.

    Replacing an image exchanges two subvolumes; as the record goes with the UUID, the exchange is
    the only commit point. The record stays while a container has a snapshot of it.

    command to labels: the words of OCI's configuration, pairs as NAME=VALUE. layers: the chain ids
    (64 hexadecimal digits) of its layers, the base first. config, manifest: the digests (`sha256:…`)
    of the documents among the blobs; None while its own layer was not written yet (after `init` and
    `commit`), then `base` is the configuration it was made on, `layers` and `manifest` are those of
    the base, and author and message wait for the history, after the `earlier` steps: of images in
    between that had no configuration either (each a StepRecord as JSON). digests:
    HOST/REPOSITORY@sha256:… where a registry has it. created_ns is when it came to be here, dated_ns
    what its configuration says.
    """

    uuid: str
    source: str
    created_ns: int
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    config: str | None = None
    manifest: str | None = None
    digests: tuple[str, ...] = ()
    base: str | None = None
    author: str = ""
    message: str = ""
    earlier: tuple[str, ...] = ()
    dated_ns: int | None = None
    size_bytes: int | None = None


class StepRecord(Value):
    """A step of an image's history, before there is a configuration to write it in."""

    created_ns: int
    author: str = ""
    message: str = ""


class LayerRecord(Value):
    """What is known of a layer's subvolume `layer_CHAIN`; the key is the chain id, 64 hexadecimal digits.

    diff_id: of what is packed in it, 64 hexadecimal digits. size_bytes: what it adds to the layer
    below, as `storage.size_bytes` counts.
    """

    chain_id: str
    diff_id: str
    size_bytes: int


class SetupRecord(Value):
    """What `setup` changed on the host, so that `--undo` takes back exactly that. subnet: what was asked
    for, if anything, as a boot forgets the bridge. raised_bridge: one of a person's own, that was down."""

    backing_file: str | None = None
    mounted_store: bool = False
    made_store_directory: bool = False
    bridge: str | None = None
    raised_bridge: str | None = None
    subnet: str | None = None
    forwarding_was: str | None = None
    table: str | None = None
    interpreter_mount: str | None = None


_NESTED: dict[str, type[Value]] = {"supervisor": ProcessIdentity, "process": ProcessIdentity, "limits": Limits}


def to_data(record: Value) -> dict[str, Any]:
    """Return a record as JSON's types."""
    return {
        name: to_data(value) if isinstance(value, Value) else list(value) if isinstance(value, tuple) else value
        for name, value in record.fields().items()
    }


def from_data(kind: type[V], data: object, subject: str) -> V:
    """Build a record of `kind` from JSON's types; raise Damaged when it can't be one."""
    if not isinstance(data, dict):
        raise Damaged(subject, "it is not an object")
    template = _template(kind)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name in template:
            values[name] = _read(template[name], name, value, subject)
    try:
        return kind(**values)
    except TypeError as error:
        raise Damaged(subject, str(error)) from None


def _template(kind: type[Value]) -> dict[str, str]:
    return {name: str(annotation) for name, annotation in kind.__annotations__.items()}


def _read(annotation: str, name: str, value: object, subject: str) -> object:
    if isinstance(value, dict) and name in _NESTED:
        return from_data(_NESTED[name], value, subject)
    if value is None and annotation.endswith("None"):
        return None
    base = annotation.partition(" |")[0]
    if base == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    expected = {"str": str, "int": int, "bool": bool}.get(base)
    if expected is None or type(value) is not expected:
        raise Damaged(subject, f"'{name}' is {value!r}")
    return value

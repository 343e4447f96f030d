"""The trees that images are made of: a read-only subvolume a layer, `layer_` and its chain id.

A layer has everything below it in itself, so that the next one is a snapshot of it. It is made at
one instant, by the snapshot of a finished tree, and belongs to nobody: it goes when no image and no
container is made of it any more.
"""

from __future__ import annotations

from bocker.core.errors import Damaged
from bocker.core.model import LayerRecord
from bocker.engine import store
from bocker.kernel.errors import AlreadyExists, Busy, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from bocker.core.model import ImageContent
    from bocker.kernel import Kernel

PREFIX = "layer_"
LOCK = "layers"


def name_of(chain_id: str) -> str:
    """Return the name of a layer's subvolume."""
    return f"{PREFIX}{chain_id}"


def in_work(kernel: Kernel) -> AbstractContextManager[None]:
    """Keep layers and blobs from being collected for the length of a `with` block, as all others may who do."""
    return kernel.records.lock(LOCK, shared=True)


def present(kernel: Kernel) -> frozenset[str]:
    """Return the chain ids of the layers that are there."""
    return frozenset(name[len(PREFIX) :] for name in kernel.storage.names() if name.startswith(PREFIX))


def keep(kernel: Kernel, tree: str, chain_id: str, diff_id: str, below: str | None) -> bool:
    """Make a layer of a finished tree, on the layer `below`. One that is there already stays: it has the same
    files, and False is returned."""
    try:
        kernel.storage.snapshot(tree, name_of(chain_id), read_only=True)
    except AlreadyExists:
        note(kernel, chain_id, diff_id, below)
        return False
    _write_down(kernel, chain_id, diff_id, below)
    return True


def note(kernel: Kernel, chain_id: str, diff_id: str, below: str | None) -> None:
    """Write down what is known of a layer that is there, if whoever made it was killed before that."""
    if load(kernel, chain_id) is None:
        _write_down(kernel, chain_id, diff_id, below)


def _write_down(kernel: Kernel, chain_id: str, diff_id: str, below: str | None) -> None:
    size_bytes = kernel.storage.size_bytes(name_of(chain_id), None if below is None else name_of(below))
    kernel.records.write(store.layer_key(chain_id), store.encode(LayerRecord(chain_id, diff_id, size_bytes)))


def load(kernel: Kernel, chain_id: str) -> LayerRecord | None:
    """Return what is known of a layer; None when nothing is. Raise Damaged."""
    try:
        return store.load_layer(kernel, chain_id)
    except Missing:
        return None


def collect(kernel: Kernel) -> tuple[str, ...]:
    """Delete the layers that nothing is made of; return their names. None goes while somebody works with them."""
    if not present(kernel):
        return ()
    try:
        lock = kernel.records.lock(LOCK, wait=False)
    except Busy:
        return ()
    with lock:
        return collect_held(kernel)


def collect_held(kernel: Kernel) -> tuple[str, ...]:
    """As `collect`, for a caller who holds the layers' lock alone."""
    try:
        contents = store.contents_in_use(kernel)
    except Damaged:  # nobody knows what it is made of
        return ()
    unused = sorted(present(kernel) - {chain_id for content in contents for chain_id in content.layers})
    for chain_id in unused:
        _delete(kernel, chain_id)
    _forget_records(kernel)
    return tuple(name_of(chain_id) for chain_id in unused)


def own_bytes(kernel: Kernel, content: ImageContent) -> tuple[tuple[str, int], ...]:
    """Return an image's layers with what each adds to the one below, in bytes."""
    records = ((chain_id, load(kernel, chain_id)) for chain_id in content.layers)
    return tuple((chain_id, 0 if record is None else record.size_bytes) for chain_id, record in records)


def _delete(kernel: Kernel, chain_id: str) -> None:
    try:
        store.delete_subvolume(kernel, name_of(chain_id))
    except Missing:
        return


def _forget_records(kernel: Kernel) -> None:
    there = present(kernel)
    for chain_id in kernel.records.list(store.LAYERS):
        if chain_id not in there:
            kernel.records.remove(store.layer_key(chain_id))

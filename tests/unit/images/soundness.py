"""What is true of every store of images, whatever was done to it, and by how many at once."""

from __future__ import annotations

from bocker.engine import layers, resolve, store
from bocker.fakes import FakeKernel
from bocker.images.blobs import blobs_in_use, documents_in_use
from bocker.kernel.errors import Missing
from tests.unit.images.bench import ImageBench


class Ancestry:
    """Which subvolume was made of which, also of those that are gone."""

    def __init__(self, known: Ancestry | None = None) -> None:
        self.parents: dict[str, str | None] = {} if known is None else dict(known.parents)

    def look(self, kernel: FakeKernel) -> None:
        """Remember what is there."""
        for name in kernel.storage.names():
            found = kernel.storage.describe(name)
            self.parents[found.uuid] = found.parent_uuid

    def of(self, uuid: str | None) -> set[str]:
        """Return a subvolume's UUID and those that it descends from."""
        found: set[str] = set()
        while uuid is not None:
            found.add(uuid)
            uuid = self.parents.get(uuid)
        return found


def complaints(bench: ImageBench, ancestry: Ancestry, downloads: bool = True) -> list[str]:
    """Return what is broken. downloads: whether the layers' blobs must be there."""
    kernel = bench.program()
    ancestry.look(kernel)
    found = []
    for image in store.image_ids(kernel):
        uuid = kernel.storage.describe(str(image)).uuid
        try:
            store.load_content(kernel, uuid)
        except Missing:
            found.append(f"nothing is known of {image}")
        try:
            store.load_tags(kernel, image)
        except Missing:
            found.append(f"{image} has no record")
    holders = [tag for image in store.image_ids(kernel) for tag in resolve.tags_of(kernel, image)]
    found += [f"{tag} is the name of two" for tag in set(holders) if holders.count(tag) > 1]
    there = {blob.name for blob in kernel.blobs.list()}
    needed = blobs_in_use(kernel) if downloads else documents_in_use(kernel)
    found += [f"blob {digest} is gone" for digest in needed - there]
    return found + _about_layers(kernel, ancestry)


def _about_layers(kernel: FakeKernel, ancestry: Ancestry) -> list[str]:
    found, present = [], layers.present(kernel)
    for content in store.contents_in_use(kernel):
        for chain_id in content.layers:
            if chain_id not in present:
                found.append(f"layer {chain_id} of {content.source} is gone")
            elif layers.load(kernel, chain_id) is None:
                found.append(f"nothing is known of layer {chain_id}")
        if content.layers and content.layers[-1] in present:
            top = kernel.storage.describe(layers.name_of(content.layers[-1]))
            if not ancestry.of(content.uuid) & {top.uuid, top.parent_uuid}:
                found.append(f"{content.source} does not descend from its layer")
    return found


def leftovers(bench: ImageBench) -> list[str]:
    """Return what nobody needs, after a cleanup."""
    kernel = bench.program()
    names = kernel.storage.names()
    found = [name for name in names if name.startswith(".")]
    used = {chain_id for content in store.contents_in_use(kernel) for chain_id in content.layers}
    found += [layers.name_of(chain_id) for chain_id in layers.present(kernel) - used]
    found += [f"record of {chain_id}" for chain_id in set(kernel.records.list(store.LAYERS)) - used]
    found += [f"content {uuid}" for uuid in store.stray_contents(kernel)]
    found += [image for image in kernel.records.list(store.IMAGES) if image not in names]
    return found

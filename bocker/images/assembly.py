"""An image's tree, put together from its layers: the base first, each one kept for the next image that has it.

    start from the highest layer that is there already,
    unpack the next one into it, see that it was the right one, keep a snapshot of it; and so on

Nothing is unpacked but what has its digest, and into nothing but a subvolume that no list shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bocker.engine import layers, store
from bocker.images import watch as words
from bocker.images.errors import BadLayer, LayerTooLarge
from bocker.kernel.errors import Invalid, TooLarge, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.kernel.archives import Bounds, Unpacked
    from bocker.registry.config import Layer
    from bocker.registry.manifests import Descriptor


class Supply(ABC):
    """Where the layers' blobs come from."""

    __slots__ = ()

    @abstractmethod
    def need(self, blob: Descriptor) -> None:
        """Return when the blob is there. Raise BockerError when it will not come."""

    @abstractmethod
    def go_on(self) -> None:
        """Do what can be done without waiting. It is called now and then while a layer is unpacked."""


class AllHere(Supply):
    """Every blob is there already."""

    __slots__ = ()

    def need(self, blob: Descriptor) -> None:
        """Be content."""

    def go_on(self) -> None:
        """Do nothing."""


class Assembly:
    """The tree of one image. `begin` and `fill` are those of a `Recipe`.

    The caller shares the layers' lock from before this is made until the image is published.
    """

    def __init__(
        self,
        kernel: Kernel,
        settings: Settings,
        wanted: tuple[Layer, ...],
        bounds: Bounds,
        supply: Supply,
        watch: Watch,
    ) -> None:
        self._kernel = kernel
        self._settings = settings
        self._bounds = bounds
        self._supply = supply
        self._watch = watch
        there = present_below(kernel, wanted)
        self._present = wanted[:there]
        self._missing = wanted[there:]

    def begin(self, aside: str) -> None:
        """Make the subvolume: of the highest layer that is there, or empty."""
        if self._present:
            self._kernel.storage.snapshot(_name(self._present[-1]), aside)
        else:
            self._kernel.storage.create(aside)

    def fill(self, aside: str) -> None:
        """Unpack what is missing, and keep each layer. Raise BadLayer, LayerTooLarge."""
        below = None
        for layer in self._present:
            layers.note(self._kernel, layer.chain_id.hexadecimal, layer.diff_id.hexadecimal, below)
            below = layer.chain_id.hexadecimal
        for layer in self._missing:
            self._supply.need(layer.blob)
            self._unpack(layer, aside)
            self._keep(layer, aside, below)
            below = layer.chain_id.hexadecimal

    def _unpack(self, layer: Layer, aside: str) -> None:
        digest = layer.blob.digest
        unpacked = self._unpacked(layer, f"{self._settings.store}/{aside}")
        if unpacked.diff_id != layer.diff_id.hexadecimal:
            raise BadLayer(str(digest), f"it unpacks to {unpacked.diff_id}, its image says {layer.diff_id.hexadecimal}")

    def _unpacked(self, layer: Layer, target: str) -> Unpacked:
        digest, size_bytes = layer.blob.digest, layer.blob.size_bytes

        def progress(done_bytes: int) -> None:
            self._watch.part(digest.hexadecimal, words.EXTRACTING, done_bytes, size_bytes)
            self._supply.go_on()

        progress(0)
        try:
            blob = self._kernel.blobs.path(digest.hexadecimal)
            return self._kernel.archives.unpack(blob, target, self._bounds, progress)
        except TooLarge as error:
            raise LayerTooLarge(str(digest), error.detail) from error
        except (Invalid, Unsupported) as error:
            raise BadLayer(str(digest), error.detail or str(error)) from error

    def _keep(self, layer: Layer, aside: str, below: str | None) -> None:
        """Make a layer of what is unpacked. Where somebody else was first, go on from theirs: what is written to an
        image can be told only from a layer that it shares its files with."""
        if not layers.keep(self._kernel, aside, layer.chain_id.hexadecimal, layer.diff_id.hexadecimal, below):
            store.delete_subvolume(self._kernel, aside)
            self._kernel.storage.snapshot(_name(layer), aside)
        self._watch.part(layer.blob.digest.hexadecimal, words.COMPLETE)


def present_below(kernel: Kernel, wanted: tuple[Layer, ...]) -> int:
    """Return how many layers, from the base, need not be unpacked: up to the highest one that is there."""
    there = layers.present(kernel)
    numbers = (number for number in range(len(wanted), 0, -1) if wanted[number - 1].chain_id.hexadecimal in there)
    return next(numbers, 0)


def _name(layer: Layer) -> str:
    return layers.name_of(layer.chain_id.hexadecimal)

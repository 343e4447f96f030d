"""`rm`: containers and images go, what they are made of first and their record last.

So whatever a crash leaves has a record, and `cleanup` finds it.
"""

from __future__ import annotations

from bocker.core import addresses, lifecycle
from bocker.core.errors import BockerError, OperationFailed, RemovedMeanwhile, StillRunning
from bocker.core.ids import ContainerId, ImageId
from bocker.core.value import Value
from bocker.engine import layers, resolve, store
from bocker.engine.burial import bury, is_orphan
from bocker.engine.failures import Doing
from bocker.engine.relay import SIGKILL
from bocker.kernel.errors import AlreadyExists, Busy, KernelError, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from bocker.core.model import ContainerRecord
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

KILL_INTERVAL_S = 0.02
KILL_ROUNDS = 500


class Removal(Value):
    """What became of one word: the id that was removed, or why it was not."""

    reference: str
    removed: str | None
    error: BockerError | None = None


class MovedMeanwhile(BockerError):
    """A tag moved to another image after it was looked up what to remove, and before that was removed."""

    def __init__(self, reference: str, image: ImageId) -> None:
        super().__init__(f"'{reference}' has become the name of {image} meanwhile", "look again, and say the id")
        self.reference = reference


def remove(kernel: Kernel, settings: Settings, references: tuple[str, ...], force: bool = False) -> tuple[Removal, ...]:
    """Remove containers and images. All words are looked up before the first thing is touched, and
    one that fails does not keep the others. A running container goes only with `force`, which kills it.

    Raise only what concerns all of them (HostNotReady, NewerStore, NotPrivileged).
    """
    with Doing(kernel, settings, "Looking up what to remove"):
        store.check_format(kernel, settings)
        found = [_resolved(kernel, reference) for reference in dict.fromkeys(references)]
        if any(isinstance(subject, BockerError) for _, subject in found):
            store.check_format(kernel, settings)  # or the store went, and nothing was to be found
    removals, seen = [], set()
    for reference, subject in found:
        if isinstance(subject, BockerError):
            removals.append(Removal(reference, None, subject))
        elif subject not in seen:
            seen.add(subject)
            removals.append(_removed(kernel, settings, reference, subject, force))
    if seen:
        collect(kernel)
    return tuple(removals)


def collect(kernel: Kernel) -> None:
    """Take away what nothing is made of any more. What was asked for is done: what fails here is left to `cleanup`."""
    try:
        for uuid in store.stray_contents(kernel):
            harmless(kernel.records.remove, store.content_key(uuid))
        layers.collect(kernel)
    except KernelError:
        return


def destroy(kernel: Kernel, container: ContainerId, name: str | None) -> None:
    """Take away everything of a container that has no process any more, its record last. The caller holds its lock."""
    harmless(kernel.namespaces.remove, addresses.namespace_of(container))
    harmless(kernel.cgroups.remove, str(container))
    harmless(store.delete_subvolume, kernel, str(container))
    harmless(kernel.records.remove, store.log_key(container))
    if name is not None:
        harmless(resolve.give_up_name, kernel, name, container)
    harmless(kernel.records.remove, store.container_key(container))


def destroy_image(kernel: Kernel, image: ImageId) -> None:
    """Take an image away: at one instant, by a name that no list shows; the rest follows. The caller holds its
    lock, and that of the names, so that nobody gives it a tag."""
    gone = gone_of(image)
    uuid = None
    try:
        uuid = kernel.storage.describe(str(image)).uuid
        kernel.storage.publish(str(image), gone)
    except AlreadyExists:  # left by an engine that was killed
        store.delete_subvolume(kernel, gone)
        kernel.storage.publish(str(image), gone)
    except Missing:
        pass
    harmless(store.delete_subvolume, kernel, gone)
    if uuid is not None:
        harmless(store.forget_content, kernel, uuid)
    harmless(kernel.records.remove, store.image_key(image))


def gone_of(image: ImageId) -> str:
    """Return the name that an image has while it is being deleted."""
    return f".{image}.gone"


def harmless(step: Callable[..., object], *arguments: object) -> bool:
    """Do a step; return False where there was nothing to do it to."""
    try:
        step(*arguments)
    except Missing:
        return False
    return True


def _resolved(kernel: Kernel, reference: str) -> tuple[str, ContainerId | ImageId | BockerError]:
    try:
        return reference, resolve.anything(kernel, reference)
    except BockerError as error:
        return reference, error


def _removed(
    kernel: Kernel, settings: Settings, reference: str, subject: ContainerId | ImageId, force: bool
) -> Removal:
    try:
        with Doing(kernel, settings, f"Removing {subject}"):
            if isinstance(subject, ContainerId):
                _remove_container(kernel, subject, reference, force)
            else:
                _remove_image(kernel, subject, reference)
    except BockerError as error:
        return Removal(reference, None, error)
    return Removal(reference, str(subject))


def _remove_image(kernel: Kernel, image: ImageId, reference: str) -> None:
    with kernel.records.lock(str(image)), kernel.records.lock(store.NAMES_LOCK):
        meant = resolve.find_image(kernel, reference)
        if meant is None:  # somebody was faster
            raise RemovedMeanwhile(reference)
        if meant != image:
            raise MovedMeanwhile(reference, meant)
        for tag in resolve.tags_of(kernel, image):
            if resolve.tagged(kernel, tag) == image:  # or it is a newer one's, whose maker was killed
                resolve.take_from_others(kernel, tag, image)
        destroy_image(kernel, image)


def _remove_container(kernel: Kernel, container: ContainerId, reference: str, force: bool) -> None:
    lock, killed = _lock_of_ended(kernel, container, reference, force)
    with lock:
        try:
            record = store.load_container(kernel, container)
        except Missing:
            if killed is not None and killed.remove_on_exit:
                return  # it was to go on its end, and it has ended
            raise RemovedMeanwhile(reference) from None
        if record.state in lifecycle.UNFINISHED:
            record = bury(kernel, record)
        lifecycle.after(record.id, record.state, lifecycle.REMOVE)
        destroy(kernel, container, record.name)


def _lock_of_ended(
    kernel: Kernel, container: ContainerId, reference: str, force: bool
) -> tuple[AbstractContextManager[None], ContainerRecord | None]:
    """Return the container's lock, which its supervisor gives up when it has ended, and its record as it was killed."""
    killed = None
    for _ in range(KILL_ROUNDS):
        try:
            return kernel.records.lock(str(container), wait=False), killed
        except Busy:
            record = _record(kernel, container)
        if record is not None and record.state in lifecycle.UNFINISHED:
            if not force and not is_orphan(kernel, record):
                raise StillRunning(reference)
            if record.process is not None:
                harmless(kernel.processes.signal, record.process, SIGKILL)
            killed = record
        kernel.ambient.sleep(KILL_INTERVAL_S)
    raise OperationFailed(f"Removing {container}", "its supervisor does not end")


def _record(kernel: Kernel, container: ContainerId) -> ContainerRecord | None:
    try:
        return store.load_container(kernel, container)
    except Missing:
        return None

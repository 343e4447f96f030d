"""After a crash: the records are compared with the kernel, and what is left is finished or taken away.

Every resource has its container's id in its name, so names are the journal. What a live engine
works on is known by its lock and left alone; so is whatever has no record and a subvolume that was
made of nothing that is known here, as it is not ours.
"""

from __future__ import annotations

from bocker.core import addresses, lifecycle
from bocker.core.errors import BockerError, Damaged
from bocker.core.ids import ContainerId, ImageId
from bocker.core.model import ContainerRecord, ImageContent, ImageTags
from bocker.core.value import Value
from bocker.engine import layers, resolve, store
from bocker.engine.building import aside_of, frozen_of
from bocker.engine.burial import bury, is_orphan, lost
from bocker.engine.failures import Doing, operation_failed, store_problem
from bocker.engine.removal import destroy, gone_of, harmless
from bocker.kernel.errors import Busy, Invalid, KernelError, Missing, NoSpace, ReadOnly, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

# A link goes some milliseconds after its namespace (kernel-facts, "delete a named namespace").
LINKS_GO_S = 0.2
DYING_S = 0.02
DYING_ROUNDS = 50
CLEANING = "Cleaning up"


class Cleaned(Value):
    """What was done, a line each; and what could not be, and why."""

    lines: tuple[str, ...]
    errors: tuple[BockerError, ...] = ()


def reconcile(kernel: Kernel, record: ContainerRecord) -> ContainerRecord | None:
    """Return the record as it is true now, None when it is gone.

    One that says that the container runs, and whose lock nobody holds, belongs to an engine that
    was killed: the container is dead.
    """
    if record.state not in lifecycle.UNFINISHED:
        return record
    container = store.id_of(record)
    try:
        lock = _lock(kernel, container)
    except (ReadOnly, NoSpace):  # what can't be written down is true all the same
        return lost(kernel, record) if is_orphan(kernel, record) else record
    if lock is None:
        return record
    with lock:
        try:
            current = store.load_container(kernel, container)
        except Missing:
            return None
        return bury(kernel, current) if current.state in lifecycle.UNFINISHED else current


def cleanup(kernel: Kernel, settings: Settings) -> Cleaned:
    """Repair and remove what crashes left. Doing it twice does nothing more. Raise HostNotReady where the store is
    what is missing."""
    with Doing(kernel, settings, CLEANING):
        store.check_format(kernel, settings)
        sweep = _Sweep(kernel)
        for container in _containers_seen(kernel):
            if not sweep.locked(container, sweep.container, container):
                sweep.attempt(sweep.living, container)
        sweep.links()
        for image in _images_seen(kernel):
            sweep.locked(image, sweep.image, image)
        for name in _frozen_seen(kernel):
            sweep.locked(name.lstrip("."), sweep.frozen, name)
        sweep.attempt(sweep.contents)
        sweep.attempt(sweep.layers)
        sweep.attempt(sweep.tags)
        sweep.attempt(sweep.names)
        return Cleaned(tuple(sweep.lines), _errors(kernel, settings, sweep))


def _errors(kernel: Kernel, settings: Settings, sweep: _Sweep) -> tuple[BockerError, ...]:
    failed = sweep.failures or sweep.damaged
    if failed and (problem := store_problem(kernel, settings)):
        raise problem
    return (*(operation_failed(CLEANING, failure) for failure in sweep.failures), *sweep.damaged)


def _containers_seen(kernel: Kernel) -> tuple[ContainerId, ...]:
    """Return every container's id that any name has, ascending."""
    names = {
        *kernel.records.list(store.CONTAINERS),
        *kernel.records.list(store.LOGS),
        *kernel.storage.names(),
        *_group_names(kernel),
        *(name.removeprefix("netns_") for name in kernel.namespaces.names() if name.startswith("netns_")),
    }
    return store.ids_among(names, ContainerId)


def _images_seen(kernel: Kernel) -> tuple[ImageId, ...]:
    """Return every image's id that a record, a subvolume or something half done has, ascending."""
    names = kernel.storage.names()
    asides = (name[1:].rpartition(".")[0] for name in names if name.startswith(".img_"))
    return store.ids_among({*kernel.records.list(store.IMAGES), *names, *asides}, ImageId)


def _frozen_seen(kernel: Kernel) -> tuple[str, ...]:
    """Return the snapshots that archives of containers are written from; each has a lock of its own name."""
    names = (name for name in kernel.storage.names() if name.startswith(".ps_"))
    return tuple(name for name in names if name == frozen_of(name[1:].partition(".")[0]))


def _group_names(kernel: Kernel) -> tuple[str, ...]:
    try:
        return kernel.cgroups.names()
    except Unsupported:
        return ()


def _lock(kernel: Kernel, name: object) -> AbstractContextManager[None] | None:
    """Return the lock with a container's or an image's name, None while a live engine holds it."""
    for _ in range(DYING_ROUNDS):
        try:
            return kernel.records.lock(str(name), wait=False)
        except Busy:
            if not _was_orphaned(kernel, name):
                return None
        kernel.ambient.sleep(DYING_S)
    return None


def _was_orphaned(kernel: Kernel, name: object) -> bool:
    """Tell whether this is a container whose engine is gone."""
    container = ContainerId.parse(str(name))
    try:
        record = None if container is None else store.load_container(kernel, container)
    except (Missing, Damaged):
        return False
    return record is not None and is_orphan(kernel, record)


class _Sweep:
    """One go over everything; `lines` is what was done, `failures` what could not be, `damaged` what can't be
    mended yet."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lines: list[str] = []
        self.failures: list[KernelError] = []
        self.damaged: list[Damaged] = []

    def locked(self, name: object, step: Callable[..., None], *arguments: object) -> bool:
        """Do a step while holding a lock; leave alone what somebody else holds, and return False."""
        lock = _lock(self.kernel, name)
        if lock is None:
            return False
        with lock:
            self.attempt(step, *arguments)
        return True

    def attempt(self, step: Callable[..., None], *arguments: object) -> None:
        """Do a step; remember a failure and go on."""
        try:
            step(*arguments)
        except KernelError as error:
            self.failures.append(error)

    def container(self, container: ContainerId) -> None:
        """Finish or undo one container, or what has only its name."""
        record = self._record(container)
        if record is None:
            if not store.has_subvolume(self.kernel, str(container)):
                self._remnants(container)
                self._removed(self.kernel.records.remove, store.log_key(container), f"the log of {container}")
            return
        was_unfinished = record.state in lifecycle.UNFINISHED
        if was_unfinished:
            record = bury(self.kernel, record)
        if record.started_ns is None or record.remove_on_exit or not store.has_subvolume(self.kernel, str(container)):
            destroy(self.kernel, container, record.name)
            self.lines.append(f"Removed: {container}")
        else:
            if was_unfinished:
                self.lines.append(f"Repaired: {container} is dead")
            self._remnants(container)
            self._note_name(record)

    def living(self, container: ContainerId) -> None:
        """Look at a container whose engine is at work: it may have lost its name, or its record."""
        try:
            record = store.load_container(self.kernel, container)
        except Missing:
            return
        except Damaged as error:
            hint = "it still runs, and its record is written again when it ends"
            self.damaged.append(Damaged(error.subject, error.reason, hint))
            return
        if record.process is not None and self.kernel.processes.alive(record.process):  # or it is just being removed
            self._note_name(record)

    def _record(self, container: ContainerId) -> ContainerRecord | None:
        """Return a container's record, a new one where it is damaged, or gone and the files are there."""
        try:
            return store.load_container(self.kernel, container)
        except Missing:
            if not _is_known(self.kernel, str(container), of_parent=True):
                return None
        except Damaged:
            # An empty one is a claim, and power failed before the disk knew of anything that came after it:
            # unless there are files that somebody wrote.
            if not self.kernel.records.read(store.container_key(container)) and not self._has_own_files(container):
                return ContainerRecord(str(container), "", "", (), 0, lifecycle.DEAD)
        name = next((name for name in self.kernel.records.list(store.NAMES) if self._leads_to(name, container)), None)
        record = ContainerRecord(str(container), "", "", (), 0, lifecycle.DEAD, name, started_ns=0)
        store.save_container(self.kernel, record)
        self.lines.append(f"Repaired: the record of {container}")
        return record

    def _has_own_files(self, container: ContainerId) -> bool:
        try:
            self.kernel.storage.sync()  # the size is known only when it is on disk
            return self.kernel.storage.size_bytes(str(container), since=str(container)) > 0
        except (Missing, Invalid):
            return False

    def _leads_to(self, name: str, container: ContainerId) -> bool:
        return resolve.noted(self.kernel, name) == container

    def _note_name(self, record: ContainerRecord) -> None:
        """Let a name lead to its container again, if the note of that was lost and nobody has got the name since."""
        if record.name is None or resolve.is_noted(self.kernel, record.name):
            return
        with self.kernel.records.lock(store.NAMES_LOCK):
            if not resolve.is_noted(self.kernel, record.name):
                resolve.note_name(self.kernel, record.name, store.id_of(record))
                self.lines.append(f"Repaired: the name {record.name}")

    def _remnants(self, container: ContainerId) -> None:
        name = addresses.namespace_of(container)
        self._removed(self.kernel.namespaces.remove, name, name)
        try:
            self._removed(self.kernel.cgroups.remove, str(container), f"the control group {container}")
        except (Busy, Unsupported):
            return  # somebody's processes are in it

    def links(self) -> None:
        """Remove the links of containers that have ended, once the kernel had time to do it itself."""
        if not self._stray_links():
            return
        self.kernel.ambient.sleep(LINKS_GO_S)
        for container in self._stray_links():
            self.locked(container, self._link, container)

    def _stray_links(self) -> tuple[ContainerId, ...]:
        names = (link.name for link in self.kernel.network.links())
        found = store.ids_among(
            (name.removeprefix("veth0_") for name in names if name.startswith("veth0_")), ContainerId
        )
        return tuple(container for container in found if self._has_ended(container))

    def _has_ended(self, container: ContainerId) -> bool:
        try:
            return store.load_container(self.kernel, container).state not in lifecycle.UNFINISHED
        except Damaged:
            return False
        except Missing:
            return not store.has_subvolume(self.kernel, str(container))

    def _link(self, container: ContainerId) -> None:
        name = addresses.host_link_of(container)
        if self._has_ended(container):
            self._removed(self.kernel.network.delete, name, name)

    def image(self, image: ImageId) -> None:
        """Take away what was being built or deleted, and the claim of an image that never came to be."""
        for aside in (aside_of(image), frozen_of(image), gone_of(image)):
            self._aside(aside)
        try:
            store.load_tags(self.kernel, image)
        except Missing:
            if not _is_known(self.kernel, str(image)):
                return
            self._write_tags(image)
        except Damaged:
            self._write_tags(image)
        if not store.has_subvolume(self.kernel, str(image)):
            self._removed(self.kernel.records.remove, store.image_key(image), str(image))

    def _write_tags(self, image: ImageId) -> None:
        """Give an image a record without tags: which it had, nobody knows any more."""
        self.kernel.records.write(store.image_key(image), store.encode(ImageTags(str(image))), durable=True)
        self.lines.append(f"Repaired: the record of {image}")

    def _aside(self, aside: str) -> None:
        try:
            uuid = self.kernel.storage.describe(aside).uuid
        except (Missing, Invalid):
            return
        store.delete_subvolume(self.kernel, aside)
        self.lines.append(f"Removed: {aside}")
        harmless(store.forget_content, self.kernel, uuid)

    def frozen(self, name: str) -> None:
        """Remove the snapshot of an export that did not come to its end."""
        self._removed(lambda frozen: store.delete_subvolume(self.kernel, frozen), name, name)

    def layers(self) -> None:
        """Remove the layers that a pull unpacked which did not come to its end."""
        self.lines += [f"Removed: {name}" for name in layers.collect(self.kernel)]

    def contents(self) -> None:
        """Forget contents that nothing is made of. Of one whose record is damaged nothing is known any more but that
        it is an image's, or nobody could tell which layers are needed."""
        for uuid in store.stray_contents(self.kernel):
            self._removed(self.kernel.records.remove, store.content_key(uuid), f"the record of content {uuid}")
        for uuid in self.kernel.records.list(store.CONTENTS):
            try:
                store.load_content(self.kernel, uuid)
            except Missing:
                continue
            except Damaged:
                self.kernel.records.write(
                    store.content_key(uuid), store.encode(ImageContent(uuid, "", 0)), durable=True
                )
                self.lines.append(f"Repaired: the record of content {uuid}")

    def tags(self) -> None:
        """Leave a tag that two images have to the newer one."""
        for tag in _repeated(
            tag for image in store.image_ids(self.kernel) for tag in resolve.tags_of(self.kernel, image)
        ):
            winner = resolve.give_up_tag(self.kernel, tag)
            if winner is not None:
                self.lines.append(f"Repaired: {tag} is {winner}")

    def names(self) -> None:
        """Forget names of containers that are gone."""
        for name in self.kernel.records.list(store.NAMES):
            with self.kernel.records.lock(store.NAMES_LOCK):
                if not resolve.is_noted(self.kernel, name):
                    self._removed(self.kernel.records.remove, store.name_key(name), f"the name {name}")

    def _removed(self, step: Callable[[str], None], name: str, shown: str) -> None:
        if harmless(step, name):
            self.lines.append(f"Removed: {shown}")


def _is_known(kernel: Kernel, name: str, of_parent: bool = False) -> bool:
    """Tell whether a subvolume, or the one that it is a snapshot of, is known as an image's: then it is bocker's,
    though its record is gone."""
    try:
        found = kernel.storage.describe(name)
    except (Missing, Invalid):
        return False
    uuid = found.parent_uuid if of_parent else found.uuid
    return uuid is not None and uuid in kernel.records.list(store.CONTENTS)


def _repeated(words: Iterable[str]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return tuple(word for word, count in counts.items() if count > 1)

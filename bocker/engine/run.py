"""`run`: a container from an image, in the foreground, to the end of its program.

    claim the id, make the group, start the child (it joins the group and builds its network),
    take the snapshot meanwhile, name the namespace, let the child go, write down that it runs

Whatever fails takes everything back. This program is the container's supervisor: it holds the
lock with the container's name for as long as it follows it, so that the lock alone tells whether
somebody still does.
"""

from __future__ import annotations

import errno

from bocker.core import addresses, lifecycle
from bocker.core.errors import RUN_FAILED, NameInUse, NoSuchImage, PoolFull
from bocker.core.ids import ContainerId
from bocker.core.limits import Limits
from bocker.core.model import ContainerRecord
from bocker.core.reference import parse_name
from bocker.core.spec import STEP_NETWORK
from bocker.core.value import Value
from bocker.engine import plan, program, readiness, resolve, store
from bocker.engine.claims import candidates, remember
from bocker.engine.failures import Doing
from bocker.engine.relay import no_volume, not_placed, not_started
from bocker.engine.supervise import finish, supervise
from bocker.engine.undo import UndoStack
from bocker.kernel.errors import AlreadyExists, Busy, Missing, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.ids import ImageId
    from bocker.core.model import ImageContent
    from bocker.core.settings import Settings
    from bocker.engine.console import Console
    from bocker.kernel import Kernel
    from bocker.kernel.processes import Process

# A name that was given up is the kernel's for some milliseconds more (kernel-facts, "delete a named namespace").
LINGER_S = 0.05
LINGER_ROUNDS = 40


class RunRequest(Value):
    """What to run. `words` may be empty where the image has a command of its own.

    environment: NAME=VALUE, or a NAME that is taken out of the image's. entrypoint, user, working
    directory and stop signal replace the image's where they are given; an entrypoint of no words is
    none. labels: NAME=VALUE, beside the image's.
    """

    image: str
    words: tuple[str, ...] = ()
    limits: Limits = Limits()
    name: str | None = None
    remove_on_exit: bool = False
    standard_input: bool = False
    environment: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    stop_signal: str = ""
    labels: tuple[str, ...] = ()
    hostname: str = ""


class _Job(Value):
    """A request with everything looked up that it needs."""

    kernel: Kernel
    settings: Settings
    console: Console
    request: RunRequest
    image: ImageId
    content: ImageContent
    program: program.Program
    addressing: addresses.AddressPlan
    host: plan.HostView

    @property
    def directories(self) -> tuple[str, ...]:
        """What has to be there for the image's volumes."""
        return program.directories_of(self.content.volumes)


class _Lingers(Exception):
    """Something with the name of this id is still there, or just now in somebody's hands."""


class _Replaced(Exception):
    """The image has got another content since it was read what it says."""


def run(kernel: Kernel, settings: Settings, request: RunRequest, console: Console) -> int:
    """Run a program in a new container; return its exit code, 128 and the number for a signal.

    Raise ProgramNotStarted when the container was made and its program is not there or can't be
    executed; any other BockerError when there is no container, and nothing is left of it.
    """
    with Doing(kernel, settings, "Starting the container"):
        while True:
            try:
                return _in_a_free_place(_prepared(kernel, settings, request, console))
            except _Replaced:
                continue


def _prepared(kernel: Kernel, settings: Settings, request: RunRequest, console: Console) -> _Job:
    if request.name is not None:
        parse_name(request.name)
    if request.hostname or request.stop_signal or request.labels:
        from bocker.engine.options import check

        check(request)
    store.check_format(kernel, settings)
    image = resolve.image(kernel, request.image)
    try:
        content = store.image_content(kernel, image)
    except Missing:
        raise NoSuchImage(request.image) from None
    wanted = program.of_image(request, content)
    addressing = readiness.addressing(kernel, settings)
    host = readiness.host_view(kernel)
    return _Job(kernel, settings, console, request, image, content, wanted, addressing, host)


def _in_a_free_place(job: _Job) -> int:
    addressing = job.addressing
    for _ in range(LINGER_ROUNDS):
        lingers = False
        for container in candidates(job.kernel, store.CONTAINERS, ContainerId, addressing.highest, addressing.reserved):
            try:
                code = _attempt(job, container)
            except _Lingers:
                lingers = True
                continue
            if code is not None:
                return code
        if not lingers:
            break
        job.kernel.ambient.sleep(LINGER_S)
    raise PoolFull(addressing.size, "container ids")


def _attempt(job: _Job, container: ContainerId) -> int | None:
    """Run in a container with this id; return None when the id is taken. Raise _Lingers."""
    try:
        lock = job.kernel.records.lock(str(container), wait=False)
    except Busy:
        _pass_over(job, container)
        return None
    with lock:
        if store.has_subvolume(job.kernel, str(container)):
            _pass_over(job, container)
            return None
        started = _started(job, container)
        return None if started is None else supervise(job.kernel, *started, job.console)


def _pass_over(job: _Job, container: ContainerId) -> None:
    """Raise _Lingers for an id that no container has: what is there goes, or is not ours, and then no record of ours
    may ever claim it. One that has a container is not waited for."""
    if resolve.find_container_id(job.kernel, str(container)) is None:
        raise _Lingers


def _started(job: _Job, container: ContainerId) -> tuple[ContainerRecord, Process] | None:
    try:
        with UndoStack() as undo:
            if job.request.name is not None:
                undo.push(resolve.give_up_name, job.kernel, job.request.name, container)
            record = _claimed(job, container)
            if record is None:
                return None
            undo.push_journal(job.kernel.records.remove, store.container_key(container))
            started = _start(job, container, record, undo)
            undo.commit()
            return started
    except (AlreadyExists, StepFailed) as error:
        if not _is_in_the_way(error):
            raise
        raise _Lingers from error


def _claimed(job: _Job, container: ContainerId) -> ContainerRecord | None:
    kernel, request = job.kernel, job.request
    record = ContainerRecord(
        id=str(container),
        image=request.image,
        image_source=job.content.source,
        command=job.program.command,
        created_ns=kernel.ambient.now_ns(),
        name=request.name,
        supervisor=kernel.processes.myself(),
        remove_on_exit=request.remove_on_exit,
        limits=request.limits,
        environment=job.program.environment,
        working_directory=job.program.working_directory,
        user=job.program.user,
        stop_signal=request.stop_signal or job.content.stop_signal,
        labels=program.overlaid(job.content.labels, request.labels),
    )
    try:
        if request.name is None:
            kernel.records.claim(store.container_key(container), store.encode(record))
        else:
            _claim_with_name(kernel, container, request.name, record)
    except AlreadyExists:
        return None
    return record


def _claim_with_name(kernel: Kernel, container: ContainerId, name: str, record: ContainerRecord) -> None:
    with kernel.records.lock(store.NAMES_LOCK):
        owner = resolve.named(kernel, name)
        if owner is not None:
            raise NameInUse(name, str(owner))
        resolve.note_name(kernel, name, container)
        kernel.records.claim(store.container_key(container), store.encode(record))


def _start(
    job: _Job, container: ContainerId, record: ContainerRecord, undo: UndoStack
) -> tuple[ContainerRecord, Process]:
    kernel, request = job.kernel, job.request
    spec = plan.container_spec(
        job.settings, container, job.program, job.addressing, request.limits, job.host, request.hostname
    ).replace(
        directories=job.directories,
        standard_input=request.standard_input,
    )
    undo.act(lambda: kernel.cgroups.create(spec.group), kernel.cgroups.remove, spec.group)
    process = kernel.processes.create(spec)
    undo.push(kernel.processes.discard, process)
    # From here on the child builds its network; what does not need it is done meanwhile.
    kernel.cgroups.limit(spec.group, spec.limits, spec.device_rules)
    remember(kernel, store.CONTAINERS, container)
    root = str(container)
    with store.Meant(kernel, job.image, request.image):
        undo.act(lambda: kernel.storage.snapshot(str(job.image), root), store.delete_subvolume, kernel, root)
    if job.content.uuid and kernel.storage.describe(root).parent_uuid != job.content.uuid:
        raise _Replaced
    name = addresses.namespace_of(container)
    try:
        undo.act(lambda: kernel.namespaces.link(name, process.identity.pid), kernel.namespaces.remove, name)
    except Missing:
        pass  # the child could not build its network and is gone: its release tells why
    # Two writes: after the first, a crash is never taken for a container that did not run, and goes
    # with its files; and before the second, `exec` can't enter a process that is still in our root.
    undo.push(store.save_container, kernel, record)
    record = record.replace(process=process.identity, started_ns=kernel.ambient.now_ns())
    store.save_container(kernel, record)
    _release(job, record, process, undo)
    record = _begun(record)
    store.save_container(kernel, record)
    return record, process


def _release(job: _Job, record: ContainerRecord, process: Process, undo: UndoStack) -> None:
    """Let the program run. One that can't be executed leaves its container, as with docker."""
    try:
        job.kernel.processes.release(process)
    except StepFailed as failure:
        place = f"image '{job.request.image}'"
        refusal = not_placed(job.program, place, failure, RUN_FAILED) or no_volume(job.directories, place, failure)
        if refusal is not None:
            raise refusal from failure
        error = not_started(job.program.words[0], failure)
        if error is None:
            if failure.step == STEP_NETWORK and failure.errno != errno.EEXIST:
                readiness.addressing(job.kernel, job.settings)  # or the bridge is what is missing
            raise
        if not record.remove_on_exit:
            finish(job.kernel, _begun(record), error.exit_code, False, job.console)
            undo.commit()
        raise error from failure


def _begun(record: ContainerRecord) -> ContainerRecord:
    return record.replace(state=lifecycle.after(record.id, record.state, lifecycle.START))


def _is_in_the_way(error: AlreadyExists | StepFailed) -> bool:
    """Tell whether an id's group, subvolume, name or link was there already."""
    return not isinstance(error, StepFailed) or (error.errno == errno.EEXIST and error.step == STEP_NETWORK)

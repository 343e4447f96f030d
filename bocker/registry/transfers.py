"""Blobs between a registry and the store, several at once, without a thread: a state machine on the port `http`.

    with Transfers(client, kernel.blobs, kernel.records) as transfers:
        for layer in manifest.layers:
            transfers.start(layer)                       # or transfers.send(digest, path, size_bytes)
        while transfers.is_busy:
            for event in transfers.step(0.1):
                match event:
                    case Progress(): ...                 # so many bytes are there, or were sent
                    case Done(): ...                     # the blob is in the store, or in the registry
                    case Retrying(): ...                 # what went wrong, and when it is tried again

A download goes into the draft that is named by the digest's digits, is gone on with where an earlier one
stopped, and becomes a blob when its size and its SHA-256 are the manifest's. While it lasts, and no longer, the
lock `blob_<digits>` is held; where another engine holds it, we look again later, and what has become a blob
meanwhile is done. Nobody waits for a lock, so there is no deadlock.

What `step` does by itself: new tokens, redirects (the token stays with the registry), and waiting and trying
again when a transfer breaks off, or the registry is overloaded (429) or broken (5xx): five failures in a row
are the end, counted from the last one that brought new bytes. A draft that turns out wrong (another digest, or
no such range) is begun anew once. An upload that fails is begun anew, after a look whether the blob is there.

Errors: those of `client`, with the layer in their subject, among them `WrongDigest` (expected and found) and
`BadDocument` for a wrong size; and `KernelError` where a file can't be read or written. The transfer that an
error is about is given up, its draft stays (unless it is wrong) and its lock is free; the others go on, if
`step` is called again. `close`, at the end of the `with` block, gives up all; drafts stay.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

from bocker.core.errors import BockerError
from bocker.kernel import http
from bocker.kernel.errors import Busy, KernelError, TooLarge
from bocker.kernel.http import Answered, Failed, Request
from bocker.registry.digests import ALGORITHM, Digest
from bocker.registry.errors import BadDocument, WrongDigest
from bocker.registry.sending import (
    MOST_REDIRECTS,
    Patience,
    Reply,
    next_address,
    patiently,
    too_many_redirects,
    translated,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from bocker.kernel.blobs import Blobs
    from bocker.kernel.records import Records
    from bocker.registry.client import Client
    from bocker.registry.documents import Pairs
    from bocker.registry.manifests import Descriptor

AT_ONCE = 3
LOOK_AGAIN_S = 0.5  # at what another engine downloads
MOST_HAPPENINGS = 64  # that one step looks at
SECOND_NS = 10**9


@attrs.frozen
class Progress:
    """So many bytes are there, or were sent."""

    digest: Digest
    done_bytes: int
    total_bytes: int


@attrs.frozen
class Done:
    """A blob is where it should be; `was_there` if nothing had to be moved."""

    digest: Digest
    was_there: bool = False


@attrs.frozen
class Retrying:
    """A transfer failed, and is tried again after `wait_s`."""

    digest: Digest
    error: BockerError
    wait_s: float


Event = Progress | Done | Retrying


class _Job:
    """One blob on its way.

    path: of the file to send; empty for a download. location: of an upload that was begun already. due_ns: not
    before that. request: what to ask next where it is not the registry, and what was asked while under way.
    transfer: its number while it is under way. replaces: what is there already does not do.
    """

    def __init__(self, digest: Digest, size_bytes: int, subject: str, path: str = "", location: str = "") -> None:
        self.digest = digest
        self.replaces = False
        self.size_bytes = size_bytes
        self.subject = subject
        self.path = path
        self.location = location
        self.due_ns = 0
        self.request: Request | None = None
        self.transfer: int | None = None
        self.lock: ExitStack | None = None
        self.redirects = 0
        self.was_denied = False
        self.was_begun_anew = False
        self.is_repeated = False
        self.furthest_bytes = 0
        self.patience = Patience()

    @property
    def draft(self) -> str:
        """The name of the draft, and then of the blob."""
        return self.digest.hexadecimal


def lock_of(draft: str) -> str:
    """Return the name of the lock that whoever downloads a blob holds; `draft` is named by the blob's digits."""
    return f"blob_{draft}"


def is_whole(blobs: Blobs, digits: str, size_bytes: int) -> bool:
    """Tell whether a blob is there in its whole length; one that somebody cut is fetched again, and replaced when
    that has come whole."""
    return blobs.has(digits) and any(blob.size_bytes == size_bytes for blob in blobs.list() if blob.name == digits)


class Transfers:
    """Downloads and uploads of one repository, at most `at_once` under way and the others waiting."""

    def __init__(self, client: Client, blobs: Blobs, records: Records, at_once: int = AT_ONCE) -> None:
        self._client = client
        self._http = client.http
        self._ambient = client.ambient
        self._blobs = blobs
        self._records = records
        self._at_once = at_once
        self._jobs: dict[Digest, _Job] = {}
        self._events: list[Event] = []

    @property
    def is_busy(self) -> bool:
        """Tell whether there is a blob on its way, or an event that was not told."""
        return bool(self._jobs or self._events)

    def start(self, layer: Descriptor, replace: bool = False) -> None:
        """Have a blob downloaded into the store; one that is on its way already is so once.

        One that is there already is told as done; with `replace` it is put in its place all the same, once it has
        come whole.
        """
        subject = f"layer {layer.digest} of {self._client.name}"
        job = self._jobs.setdefault(layer.digest, _Job(layer.digest, layer.size_bytes, subject))
        job.replaces = job.replaces or replace

    def send(self, digest: Digest, path: str, size_bytes: int, location: str | None = None) -> None:
        """Have a file uploaded, whose digest and size these are; `location` as `Client.mount` gave it."""
        subject = f"layer {digest} of {self._client.name}"
        self._jobs.setdefault(digest, _Job(digest, size_bytes, subject, path, location or ""))

    def step(self, timeout_s: float) -> tuple[Event, ...]:
        """Go on with everything; return what happened, after `timeout_s` at most if nothing does.

        It takes longer only where the registry must be asked for something else, such as a token.
        """
        self._launch()
        wait_s = 0.0 if self._events else self._wait_s(timeout_s)
        for _ in range(MOST_HAPPENINGS):
            happened = self._next(wait_s)
            if happened is None:
                break
            self._handle(happened)
            wait_s = 0.0
        self._launch()
        events, self._events = tuple(self._events), []
        return events

    def close(self) -> None:
        """Give up what is on its way; drafts stay, locks are free."""
        for job in tuple(self._jobs.values()):
            self._give_up(job)
        self._events = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What is under way, and what is next

    def _running(self) -> list[_Job]:
        return [job for job in self._jobs.values() if job.transfer is not None]

    def _launch(self) -> None:
        """Begin what is due, as long as there is room; a look at a lock, or at a blob that is there, takes none."""
        now_ns = self._ambient.now_ns()
        for job in tuple(self._jobs.values()):
            if job.transfer is None and job.due_ns <= now_ns and len(self._running()) < self._at_once:
                self._guarded(job, self._upload if job.path else self._download)

    def _wait_s(self, timeout_s: float) -> float:
        """Return how long to wait: until something that rests is due, if there is room for it."""
        resting = [job.due_ns for job in self._jobs.values() if job.transfer is None]
        if not resting or len(self._running()) >= self._at_once:
            return timeout_s
        return max(0.0, min(timeout_s, (min(resting) - self._ambient.now_ns()) / SECOND_NS))

    def _next(self, wait_s: float) -> http.Progress | Answered | Failed | None:
        if self._running():
            return self._http.wait(wait_s)
        if wait_s > 0 and self._jobs:
            self._ambient.sleep(wait_s)
        return None

    def _handle(self, happened: http.Progress | Answered | Failed) -> None:
        job = next((job for job in self._running() if job.transfer == happened.transfer), None)
        if job is None:
            return
        if isinstance(happened, http.Progress):
            self._events.append(Progress(job.digest, happened.bytes_done, job.size_bytes))
            return
        self._guarded(job, lambda job: self._ended(job, happened))

    def _guarded(self, job: _Job, act: Callable[[_Job], None]) -> None:
        """Do something for a job, which is given up when that fails."""
        try:
            act(job)
        except BaseException:
            self._give_up(job)
            raise

    def _give_up(self, job: _Job) -> None:
        self._jobs.pop(job.digest, None)
        with job.lock or ExitStack():
            if job.transfer is not None:
                self._http.cancel(job.transfer)

    def _done(self, job: _Job, was_there: bool = False) -> None:
        self._give_up(job)
        self._events.append(Done(job.digest, was_there))

    # How a transfer begins

    def _download(self, job: _Job) -> None:
        if job.lock is None and not self._take_lock(job):
            job.due_ns = self._ambient.now_ns() + int(LOOK_AGAIN_S * SECOND_NS)
        elif not job.replaces and is_whole(self._blobs, job.draft, job.size_bytes):
            self._done(job, was_there=True)
        else:
            self._begin(job, job.request or self._client.blob_request(job.digest))

    def _take_lock(self, job: _Job) -> bool:
        """Become the only one who writes the draft; tell whether that worked."""
        lock = ExitStack()
        try:
            lock.enter_context(self._records.lock(lock_of(job.draft), wait=False))
        except Busy:
            return False
        job.lock = lock
        return True

    def _upload(self, job: _Job) -> None:
        if job.is_repeated and self._client.has_blob(job.digest):
            self._done(job, was_there=True)
            return
        location, job.location, job.is_repeated = job.location or self._client.begin_upload(), "", True
        self._begin(job, self._client.upload_request(location, job.digest))

    def _begin(self, job: _Job, request: Request) -> None:
        job.request = request.replace(headers=(*request.headers, *self._secrets(request.url)))
        if job.path:
            job.transfer = self._http.upload(job.request, job.path)
        else:
            job.transfer = self._http.download(job.request, self._blobs.draft(job.draft), job.size_bytes)

    def _secrets(self, url: str) -> Pairs:
        """Return what to send along; a token server may have to be asked for it, more than once."""
        return patiently(self._ambient, lambda: self._client.access.headers(url))

    def _is_admitted(self, reply: Reply) -> bool:
        return patiently(self._ambient, lambda: self._client.access.admit(reply))

    # How it ends

    def _ended(self, job: _Job, happened: Answered | Failed) -> None:
        request, job.request, job.transfer = job.request, None, None
        assert request is not None
        if isinstance(happened, Failed):
            self._broke(job, request, happened.error)
            return
        reply = Reply(request, happened.answer)
        if not reply.is_success:
            self._refused(job, reply)
        elif job.path:
            self._done(job)
        else:
            self._arrived(job, happened)

    def _arrived(self, job: _Job, happened: Answered) -> None:
        """Keep what was downloaded if it is what the manifest says."""
        if happened.digest != job.draft:
            self._anew(job, WrongDigest(job.subject, str(job.digest), f"{ALGORITHM}:{happened.digest}"))
        else:
            self._blobs.keep(job.draft, job.draft)
            self._done(job)

    def _refused(self, job: _Job, reply: Reply) -> None:
        status = reply.answer.status
        if reply.is_redirect:
            self._redirect(job, reply)
        elif status == HTTPStatus.UNAUTHORIZED and not job.was_denied and self._is_admitted(reply):
            job.was_denied = True
        elif status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and not job.path:
            self._anew(job, self._wrong_size(job, "fewer"))
        else:
            self._retry(job, self._client.refusal(job.subject, reply.answer))

    def _redirect(self, job: _Job, reply: Reply) -> None:
        job.redirects += 1
        if job.redirects > MOST_REDIRECTS:
            raise too_many_redirects(job.subject)
        job.request = Request("GET", next_address(reply, job.subject))

    def _broke(self, job: _Job, request: Request, error: KernelError) -> None:
        """Go on after a transfer without an answer, or with half of one."""
        if isinstance(error, TooLarge) and not job.path:
            self._blobs.discard(job.draft)
            raise self._wrong_size(job, "more") from error
        plain = translated(error, request.url, job.subject)
        if plain is None:
            raise error
        if error.errno_name == "EPROTO" and not job.was_begun_anew and self._draft_bytes(job):
            self._anew(job, plain)  # a server that can't do ranges well
        else:
            self._retry(job, plain)

    def _anew(self, job: _Job, error: BockerError) -> None:
        """Begin from nothing, once: what is there is wrong."""
        self._blobs.discard(job.draft)
        if job.was_begun_anew:
            raise error
        job.was_begun_anew = True
        job.redirects, job.was_denied, job.furthest_bytes = 0, False, 0
        self._events.append(Retrying(job.digest, error, 0.0))

    def _retry(self, job: _Job, error: BockerError) -> None:
        """Try again later what failed, as long as there is patience left."""
        there_bytes = self._draft_bytes(job)
        if there_bytes > job.furthest_bytes:
            job.furthest_bytes = there_bytes
            job.patience.succeeded()
        wait_s = job.patience.wait_s(error)
        job.redirects, job.was_denied = 0, False
        job.due_ns = self._ambient.now_ns() + int(wait_s * SECOND_NS)
        self._events.append(Retrying(job.digest, error, wait_s))

    def _draft_bytes(self, job: _Job) -> int:
        if job.path:
            return 0
        return next((draft.size_bytes for draft in self._blobs.drafts() if draft.name == job.draft), 0)

    def _wrong_size(self, job: _Job, found: str) -> BadDocument:
        return BadDocument(job.subject, f"the registry has {found} bytes of it, and the manifest says {job.size_bytes}")

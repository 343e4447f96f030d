"""A registry in memory, and the token server and the content network that stand beside it.

Source: the OCI distribution specification 1.1; where that leaves a choice, what the distribution project's
server does (`docker-registry` of Debian).

    registry = FakeRegistry("http://127.0.0.1:5000")
    registry.put_image("library/debian", "12", (layer,))
    world.serve(registry, *registry.addresses)

It has neither sockets nor a clock. What puts one behind a real listener, one for each of `addresses` or one
for all of them, has to: read the whole request; make its URL of the scheme, the Host header and the target;
give the time; hold a lock during `respond`; and send the reply as `servers.Reply` says: status, headers as they
are (a Content-Length if there is none), the body in its pieces with their pauses, a closed connection at `cut` or
where there is no answer, and for ETIMEDOUT an open one that says nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import attrs

from bocker.fakes import publishing
from bocker.fakes.access import PULL, PUSH, Access, Rights
from bocker.fakes.mishaps import Mishap
from bocker.fakes.publishing import GZIP, LINUX, OCI, Layer, Platform
from bocker.fakes.servers import SECOND_NS, Headers, Reply
from bocker.fakes.web import Visit, json_answer, refusal, visit
from bocker.kernel.http import Answer, Request

VERSION = ("docker-distribution-api-version", "registry/2.0")
CDN_LIFE_S = 60
BYTES = "application/octet-stream"
READING = frozenset({"GET", "HEAD"})
_ROUTE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs/uploads|blobs|tags)/(?P<reference>[^/]*)")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK = re.compile(r"(\d+)-(\d+)")


@attrs.frozen
class Document:
    """A manifest or an index, as it was sent."""

    media_type: str
    data: bytes


@attrs.define
class Repository:
    """What a repository holds: blobs and documents by digest, and what each tag means."""

    blobs: dict[str, bytes] = attrs.field(factory=dict)
    documents: dict[str, Document] = attrs.field(factory=dict)
    tags: dict[str, str] = attrs.field(factory=dict)

    def digest_of(self, reference: str) -> str:
        """Return the digest that a tag, or a digest, means; empty where none is there."""
        digest = self.tags.get(reference, reference)
        return digest if digest in self.documents else ""


@attrs.define
class Upload:
    """A blob that is on its way in."""

    repository: str
    data: bytes = b""


@attrs.frozen
class Seen:
    """A request that came, and how it was answered; 0 where nothing was. Header names in lower case."""

    method: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Headers
    status: int


@attrs.frozen
class Route:
    """What a path of the protocol is about."""

    visit: Visit
    name: str
    kind: str
    reference: str


class FakeRegistry:
    """A registry at `url`; blobs come from `cdn` where that is said, an address that takes no Authorization.

    What tests may set besides: `mishaps` (see that module); `ranges`, `mounts`, `single_uploads`, whether it
    knows those; `relative`, whether it tells places without its host.
    """

    def __init__(
        self, url: str = "https://registry.example", access: Access | None = None, cdn: str = "", distrust: str = ""
    ) -> None:
        self.url = url
        self.access = access or Access()
        self.cdn = cdn
        self.tls = url.startswith("https:")
        self.distrust = distrust
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, Upload] = {}
        self.mishaps: list[Mishap] = []
        self.seen: list[Seen] = []
        self.ranges = self.mounts = self.single_uploads = True
        self.relative = False
        self._uploads_begun = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it answers: its own address, that of its token server, that of its content network."""
        return tuple(url for url in (self.url, self.access.url, self.cdn) if url)

    def carried(self, name: str) -> set[str]:
        """Return the hosts that got a header, by its name in lower case."""
        return {request.host for request in self.seen if name in dict(request.headers)}

    # What tests put into it

    def repository(self, name: str) -> Repository:
        """Return a repository; make it if it is not there."""
        return self.repositories.setdefault(name, Repository())

    def put_blob(self, name: str, data: bytes) -> str:
        """Put a blob into a repository; return its digest."""
        digest = publishing.digest_of(data)
        self.repository(name).blobs[digest] = data
        return digest

    def put_document(self, name: str, tag: str, document: Document) -> str:
        """Put a manifest or an index, of any content, into a repository; return its digest. No tag if empty."""
        digest = publishing.digest_of(document.data)
        self.repository(name).documents[digest] = document
        if tag:
            self.repository(name).tags[tag] = digest
        return digest

    def put_image(
        self,
        name: str,
        tag: str,
        layers: Sequence[bytes | Layer],
        config: Mapping[str, Any] | None = None,
        *,
        compression: str = GZIP,
        kind: str = OCI,
        platform: Platform = LINUX,
    ) -> str:
        """Put an image of plain archives into a repository; return its manifest's digest.

        compression: of the layers that don't say their own. config: what is changed of the configuration.
        """
        packed = [layer if isinstance(layer, Layer) else Layer(layer, compression) for layer in layers]
        configuration = publishing.configuration(packed, platform, config or {})
        for data in (configuration, *(layer.packed for layer in packed)):
            self.put_blob(name, data)
        media_type, manifest = publishing.manifest(kind, configuration, packed)
        return self.put_document(name, tag, Document(media_type, manifest))

    def put_index(self, name: str, tag: str, images: Sequence[tuple[Platform, str]], kind: str = OCI) -> str:
        """Put an index over images that are in the repository, by platform; return its digest."""
        documents = self.repository(name).documents
        rows = [(platform, documents[digest].media_type, documents[digest].data) for platform, digest in images]
        media_type, index = publishing.index(kind, rows)
        return self.put_document(name, tag, Document(media_type, index))

    # What clients ask of it

    def respond(self, request: Request, now_ns: int) -> Reply:
        """Answer a request to any of its addresses, as the first mishap that fits wants it."""
        came = visit(request, now_ns)
        acts = [mishap.act for mishap in self.mishaps if mishap.is_now(came)]
        reply = (
            acts[0](request, lambda changed: self._handle(changed, now_ns)) if acts else self._handle(request, now_ns)
        )
        status = 0 if reply.answer is None else reply.answer.status
        headers = tuple((name.lower(), value) for name, value in request.headers)
        self.seen.append(Seen(request.method, came.host, came.path, came.query, headers, status))
        return reply

    def _handle(self, request: Request, now_ns: int) -> Reply:
        came = visit(request, now_ns)
        if self._is_for(came, self.access.url):
            return Reply(self.access.respond(came))
        if came.host == urlsplit(self.cdn).netloc:
            return Reply(self._content(came))
        answer = self._registry(came)
        return Reply(answer.replace(headers=(*answer.headers, VERSION)))

    def _is_for(self, came: Visit, url: str) -> bool:
        """Tell whether a request is for a server that may stand at the registry's own host."""
        address = urlsplit(url)
        return came.host == address.netloc and (came.host != urlsplit(self.url).netloc or came.path == address.path)

    def _registry(self, came: Visit) -> Answer:
        if came.path == "/v2/":
            return self.access.refuse(came, frozenset()) or json_answer(200, {})
        found = _ROUTE.fullmatch(came.path)
        if found is None:
            return Answer(404)
        if not _NAME.fullmatch(found["name"]):
            return refusal(400, "NAME_INVALID", detail=found["name"])
        route = Route(came, found["name"], found["kind"], found["reference"])
        handler = _HANDLERS.get((route.kind, "GET" if came.method == "HEAD" else came.method))
        if handler is None:
            return refusal(405, "UNSUPPORTED")
        return self.access.refuse(came, _needed(route)) or handler(self, route)

    # Manifests and tags

    def _get_manifest(self, route: Route) -> Answer:
        repository = self.repositories.get(route.name, Repository())
        digest = repository.digest_of(route.reference)
        if not digest or not _accepts(route.visit, repository.documents[digest].media_type):
            return refusal(404, "MANIFEST_UNKNOWN", detail=route.reference)
        document = repository.documents[digest]
        return _content_answer(route.visit, document.data, document.media_type, digest)

    def _put_manifest(self, route: Route) -> Answer:
        data = route.visit.request.body
        digest = publishing.digest_of(data)
        by_digest = _DIGEST.fullmatch(route.reference)
        if by_digest and route.reference != _digest_like(route.reference, data):
            return refusal(400, "DIGEST_INVALID", detail=digest)
        if not by_digest and not _TAG.fullmatch(route.reference):
            return refusal(400, "TAG_INVALID", detail=route.reference)
        document = Document(route.visit.header("content-type"), data)
        complaint = self._complaint(self.repository(route.name), document)
        if complaint is not None:
            return complaint
        self.put_document(route.name, "" if by_digest else route.reference, document)
        place = self._place(f"/v2/{route.name}/manifests/{digest}")
        return Answer(201, (place, ("docker-content-digest", digest)))

    def _complaint(self, repository: Repository, document: Document) -> Answer | None:
        """Return why a manifest is not taken: it is none, or what it names is not there."""
        try:
            content = json.loads(document.data)
            said = content.get("mediaType", document.media_type)
            named = publishing.named_by(content)
        except (ValueError, AttributeError, KeyError, TypeError):
            return refusal(400, "MANIFEST_INVALID")
        if said != document.media_type or content.get("schemaVersion") != 2:
            return refusal(400, "MANIFEST_INVALID", detail=said)
        missing = [digest for digest in named if digest not in {**repository.blobs, **repository.documents}]
        return refusal(400, "MANIFEST_BLOB_UNKNOWN", detail=missing) if missing else None

    def _list_tags(self, route: Route) -> Answer:
        repository = self.repositories.get(route.name)
        if route.reference != "list":
            return Answer(404)
        if repository is None or not repository.documents:
            return refusal(404, "NAME_UNKNOWN", detail={"name": route.name})
        tags = [tag for tag in sorted(repository.tags) if tag > route.visit.asked("last")]
        number = route.visit.asked("n") or str(len(tags))
        if not number.isdecimal():
            return refusal(400, "PAGINATION_NUMBER_INVALID", detail=number)
        most = int(number)
        link: Headers = ()
        if 0 < most < len(tags):
            link = (("link", f'</v2/{route.name}/tags/list?last={quote(tags[most - 1])}&n={most}>; rel="next"'),)
        return json_answer(200, {"name": route.name, "tags": tags[:most]}, link)

    # Blobs

    def _get_blob(self, route: Route) -> Answer:
        repository = self.repositories.get(route.name, Repository())
        data = repository.blobs.get(route.reference)
        if not _DIGEST.fullmatch(route.reference):
            return refusal(400, "DIGEST_INVALID", detail=route.reference)
        if data is None:
            return refusal(404, "BLOB_UNKNOWN", detail={"digest": route.reference})
        if self.cdn and route.visit.method == "GET":
            ends_s = route.visit.now_ns // SECOND_NS + CDN_LIFE_S
            signed = f"{self.cdn}/{route.reference}?ends={ends_s}&signature={_signature(route.reference, ends_s)}"
            return Answer(307, (("location", signed),))
        return _content_answer(route.visit, data, BYTES, route.reference, self.ranges)

    def _content(self, came: Visit) -> Answer:
        """Answer for the content network: a signed address is all that it wants, and takes."""
        digest, ends = came.path.lstrip("/"), came.asked("ends")
        if came.header("authorization"):
            page = b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>"
            return Answer(400, (("content-type", "application/xml"),), page)
        is_signed = ends.isdigit() and came.asked("signature") == _signature(digest, int(ends))
        if not is_signed or int(ends) * SECOND_NS < came.now_ns or came.method not in READING:
            return Answer(403)
        for repository in self.repositories.values():
            if digest in repository.blobs:
                return _content_answer(came, repository.blobs[digest], BYTES, "", self.ranges)
        return Answer(404)

    # Uploads

    def _begin_upload(self, route: Route) -> Answer:
        mounted, origin, digest = (route.visit.asked(name) for name in ("mount", "from", "digest"))
        there = self.repositories.get(origin)
        if mounted and self.mounts and there is not None and mounted in there.blobs:
            self.repository(route.name).blobs[mounted] = there.blobs[mounted]
            return self._created(route.name, mounted)
        if digest and self.single_uploads:
            return self._finished(Upload(route.name, route.visit.request.body), digest)
        self._uploads_begun += 1
        number = f"{self._uploads_begun:08x}-0000-4000-8000-000000000000"
        self.uploads[number] = Upload(route.name)
        return self._upload_answer(202, number)

    def _upload_answer(self, status: int, number: str) -> Answer:
        """The place of an upload changes with each piece: whoever sends the next one to the old place is refused."""
        upload = self.uploads[number]
        place = self._place(f"/v2/{upload.repository}/blobs/uploads/{number}?_state={_state(upload)}")
        # the distribution project's server says 0-0 for nothing, too
        so_far = ("range", f"0-{max(0, len(upload.data) - 1)}")
        return Answer(status, (place, so_far, ("docker-upload-uuid", number)))

    def _continue_upload(self, route: Route) -> Answer:
        upload = self.uploads.get(route.reference)
        if upload is None or upload.repository != route.name:
            return refusal(404, "BLOB_UPLOAD_UNKNOWN")
        if route.visit.asked("_state") != _state(upload):
            return refusal(404, "BLOB_UPLOAD_INVALID")
        data = route.visit.request.body
        if not _fits(route.visit.header("content-range"), len(upload.data), len(data)):
            return self._upload_answer(416, route.reference)
        upload.data += data
        return self._upload_answer(202, route.reference)

    def _finish_upload(self, route: Route) -> Answer:
        continued = self._continue_upload(route)
        if continued.status != 202:
            return continued
        return self._finished(self.uploads.pop(route.reference), route.visit.asked("digest"))

    def _finished(self, upload: Upload, digest: str) -> Answer:
        if not _DIGEST.fullmatch(digest) or digest != _digest_like(digest, upload.data):
            return refusal(400, "DIGEST_INVALID", detail=digest)
        self.repository(upload.repository).blobs[digest] = upload.data
        return self._created(upload.repository, digest)

    def _created(self, name: str, digest: str) -> Answer:
        return Answer(201, (self._place(f"/v2/{name}/blobs/{digest}"), ("docker-content-digest", digest)))

    def _upload_status(self, route: Route) -> Answer:
        known = route.reference in self.uploads
        return self._upload_answer(204, route.reference) if known else refusal(404, "BLOB_UPLOAD_UNKNOWN")

    def _cancel_upload(self, route: Route) -> Answer:
        known = self.uploads.pop(route.reference, None) is not None
        return Answer(204) if known else refusal(404, "BLOB_UPLOAD_UNKNOWN")

    def _place(self, path: str) -> tuple[str, str]:
        return "location", path if self.relative else f"{self.url}{path}"


_HANDLERS: dict[tuple[str, str], Callable[[FakeRegistry, Route], Answer]] = {
    ("manifests", "GET"): FakeRegistry._get_manifest,
    ("manifests", "PUT"): FakeRegistry._put_manifest,
    ("tags", "GET"): FakeRegistry._list_tags,
    ("blobs", "GET"): FakeRegistry._get_blob,
    ("blobs/uploads", "POST"): FakeRegistry._begin_upload,
    ("blobs/uploads", "GET"): FakeRegistry._upload_status,
    ("blobs/uploads", "PATCH"): FakeRegistry._continue_upload,
    ("blobs/uploads", "PUT"): FakeRegistry._finish_upload,
    ("blobs/uploads", "DELETE"): FakeRegistry._cancel_upload,
}


def _needed(route: Route) -> Rights:
    """Return the rights that a request needs: to take a blob over, also that to pull it from where it is."""
    if route.visit.method in READING and route.kind != "blobs/uploads":
        return frozenset({(route.name, PULL)})
    rights = {(route.name, PULL), (route.name, PUSH)}
    if route.visit.asked("mount") and route.visit.asked("from"):
        rights.add((route.visit.asked("from"), PULL))
    return frozenset(rights)


def _accepts(came: Visit, media_type: str) -> bool:
    """Tell whether a client names a type of document; for one that does not there is none, not even for `*/*`."""
    said = [value for name, value in came.request.headers if name.lower() == "accept"]
    return media_type in {word.partition(";")[0].strip() for value in said for word in value.split(",")}


def _content_answer(came: Visit, data: bytes, media_type: str, digest: str, ranges: bool = False) -> Answer:
    """Answer with content, or with the range of it that was asked for (RFC 9110, 14)."""
    headers: Headers = (("content-type", media_type),)
    headers += (("docker-content-digest", digest), ("etag", f'"{digest}"')) if digest else ()
    headers += (("accept-ranges", "bytes"),) if ranges else ()
    wanted = _RANGE.fullmatch(came.header("range")) if ranges else None
    if wanted is None or wanted[1] == wanted[2] == "":
        return _measured(Answer(200, headers, data))
    first, stop = _span(wanted[1], wanted[2], len(data))
    if not first < stop:
        return _measured(Answer(416, (*headers, ("content-range", f"bytes */{len(data)}"))))
    return _measured(
        Answer(206, (*headers, ("content-range", f"bytes {first}-{stop - 1}/{len(data)}")), data[first:stop])
    )


def _measured(answer: Answer) -> Answer:
    """Say how long the body is: to a HEAD, too, which does not get it."""
    return answer.replace(headers=(*answer.headers, ("content-length", str(len(answer.body)))))


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1, size) if last else size


def _fits(content_range: str, offset: int, length: int) -> bool:
    """Tell whether a piece of an upload is the next one; one that says nothing is."""
    if not content_range:
        return True
    said = _CHUNK.fullmatch(content_range)
    return said is not None and int(said[1]) == offset and int(said[2]) - int(said[1]) + 1 == length


def _state(upload: Upload) -> str:
    return hashlib.sha256(f"{upload.repository} {len(upload.data)}".encode()).hexdigest()[:16]


def _signature(digest: str, ends_s: int) -> str:
    return hashlib.sha256(f"secret {digest} {ends_s}".encode()).hexdigest()[:16]


def _digest_like(digest: str, data: bytes) -> str:
    algorithm = digest.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"

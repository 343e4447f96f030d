"""One repository of one registry: what `pull`, `push` and `login` ask it.

    client = Client(kernel.http, kernel.ambient, endpoint, "library/debian", credentials, name="debian")
    fetched = client.manifest("12")                    # the bytes, checked against their digest
    config = client.blob(manifest.config.digest, manifest.config.size_bytes)
    with Transfers(client, kernel.blobs, kernel.records) as transfers: ...     # layers, see `transfers`

Every method does by itself what the protocol asks for (the OCI distribution specification, and docker's for
tokens): it authenticates when the registry wants it, follows redirects without taking the token to another
host, and waits and tries again (1, 2, 4 and 8 seconds, or as long as Retry-After says) when the registry can't
be reached, is overloaded (429) or broken (5xx). What it raises in the end, each a `BockerError` for a person:

- `NotInRegistry`: no such repository, manifest or blob. `AccessDenied`: other credentials, or any, are needed;
  many registries say so of what does not exist, too. `RegistryError`, the base of both: any other refusal.
- `TooManyRequests`, `RegistryFailed`, `Unreached`: it did not pass. Another mirror may do better.
- `Distrusted`: the certificate. `BadDocument`: an answer that breaks the protocol; `WrongDigest`, one of them:
  the bytes are not what was asked for. `Unsupported`: a way to authenticate that we don't have.
- `HelperFailed` and whatever else `credentials` raises.

Nothing secret is in an error or in the text form of a value.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import attrs

from bocker.core.errors import BockerError
from bocker.kernel.http import Answer, Request
from bocker.registry.access import Access
from bocker.registry.challenges import repository_scope
from bocker.registry.digests import ALGORITHM, Digest, digest_of, parse_digest
from bocker.registry.documents import DOCUMENT_BYTES, Pairs
from bocker.registry.errors import AccessDenied, BadDocument, WrongDigest
from bocker.registry.manifests import ACCEPT
from bocker.registry.names import ImageName
from bocker.registry.sending import Reply, Waiting, follow, next_address, patiently, refused

if TYPE_CHECKING:
    from bocker.kernel.ambient import Ambient
    from bocker.kernel.http import Http
    from bocker.registry.credentials import Credentials
    from bocker.registry.endpoints import Endpoint

PULL = ("pull",)
PUSH = ("pull", "push")
_ACCEPT = (("Accept", ACCEPT),)
_OCTETS = (("Content-Type", "application/octet-stream"),)
_ABSENT = frozenset({HTTPStatus.NOT_FOUND})


@attrs.frozen
class Fetched:
    """A manifest or an index as the registry sent it: for `parse_manifest(data, content_type)`."""

    data: bytes = attrs.field(repr=False)
    content_type: str
    digest: Digest


class Client:
    """One repository of one registry.

    endpoint: where the registry is. credentials: called once at most, and only if the registry asks; None is
    nobody. actions: `PULL` or `PUSH`. name: what the repository is called in errors, by default as people write
    it; for a mirror, the name that the person used. `waiting`, if it is set, is told when a question is asked again
    after a while. For `check` alone the repository may be empty.
    """

    def __init__(
        self,
        http: Http,
        ambient: Ambient,
        endpoint: Endpoint,
        repository: str,
        credentials: Callable[[], Credentials | None],
        actions: tuple[str, ...] = PULL,
        name: str = "",
    ) -> None:
        self.http = http
        self.ambient = ambient
        self.endpoint = endpoint
        self.repository = repository
        self.waiting: Waiting | None = None
        self.name = name or (ImageName(endpoint.host, repository, None).familiar if repository else endpoint.host)
        self.access = Access(http, ambient, endpoint, credentials, self.name)
        self._scopes = (repository_scope(repository, *actions),) if repository else ()
        self.access.want(self._scopes)

    def check(self) -> None:
        """Return if the registry is one, and lets these credentials in; what `login` wants to know."""
        self.ask("GET", "", subject=self.endpoint.host)

    def manifest(self, reference: str) -> Fetched:
        """Return a manifest or an index by its tag, or by its digest as text, which its bytes must have then.

        The digest that a registry tells of a tag's manifest must be right, too.
        """
        subject = self._called(reference)
        answer = self.ask("GET", f"{self.repository}/manifests/{reference}", _ACCEPT, subject=subject)
        found = digest_of(answer.body)
        _compare(f"manifest of {subject}", reference if ":" in reference else _told(answer), found)
        return Fetched(answer.body, answer.get("content-type"), found)

    def has_blob(self, digest: Digest) -> bool:
        """Tell whether the repository has a blob."""
        path = f"{self.repository}/blobs/{digest}"
        return self.ask("HEAD", path, allowed=_ABSENT).status != HTTPStatus.NOT_FOUND

    def blob(self, digest: Digest, size_bytes: int) -> bytes:
        """Return a small blob, such as a configuration, whose digest and size were checked."""
        subject = f"blob {digest} of {self.name}"
        path = f"{self.repository}/blobs/{digest}"
        data = self.ask("GET", path, subject=subject, most_bytes=min(size_bytes, DOCUMENT_BYTES)).body
        _compare(subject, str(digest), digest_of(data))
        if len(data) != size_bytes:
            raise BadDocument(subject, f"it has {len(data)} bytes, and should have {size_bytes}")
        return data

    def mount(self, digest: Digest, from_repository: str) -> str | None:
        """Have a blob of another repository in this one as well: None when that was done, else the address of
        an upload that the registry began in its place (for `Transfers.send`)."""
        self.access.want((*self._scopes, repository_scope(from_repository, *PULL)))
        try:
            return self._begin({"mount": str(digest), "from": from_repository})
        except AccessDenied:
            self.access.want(self._scopes)
            return self.begin_upload()

    def begin_upload(self) -> str:
        """Begin an upload and return its address (for `Transfers.send`)."""
        location = self._begin({})
        if location is None:
            raise BadDocument(f"answer for {self.name}", "it has a blob that was not sent yet")
        return location

    def put_manifest(self, reference: str, data: bytes, media_type: str) -> Digest:
        """Store a manifest or an index under a tag, or under its digest as text; return its digest.

        All that it names must be there. The digest that the registry tells must be the right one.
        """
        subject, digest = self._called(reference), digest_of(data)
        path = f"{self.repository}/manifests/{reference}"
        answer = self.ask("PUT", path, (("Content-Type", media_type),), data, subject=subject)
        _compare(f"manifest of {subject} in the registry", _told(answer), digest)
        return digest

    def ask(
        self,
        method: str,
        path: str,
        headers: Pairs = (),
        body: bytes = b"",
        *,
        subject: str = "",
        most_bytes: int = DOCUMENT_BYTES,
        allowed: frozenset[int] = frozenset(),
    ) -> Answer:
        """Return the answer to a request for what is below `/v2/`, if it is a success or `allowed`."""
        request = Request(method, self._address(path), headers, body)
        subject = subject or self.name
        return patiently(self.ambient, lambda: self._ask_once(request, subject, most_bytes, allowed), self.waiting)

    def blob_request(self, digest: Digest) -> Request:
        """Return the request for a blob's content, without what `access.headers` adds; for `Transfers`."""
        return Request("GET", self._address(f"{self.repository}/blobs/{digest}"))

    def upload_request(self, location: str, digest: Digest) -> Request:
        """Return the request that sends all of a blob to an upload's address; for `Transfers`."""
        parts = urlsplit(location)
        query = "&".join(filter(None, (parts.query, urlencode({"digest": str(digest)}))))
        return Request("PUT", urlunsplit(parts._replace(query=query, fragment="")), _OCTETS)

    def refusal(self, subject: str, answer: Answer) -> BockerError:
        """Return the error for an answer that is no success."""
        return refused(subject, self.endpoint.host, answer)

    def _address(self, path: str) -> str:
        return f"{self.endpoint.url}/v2/{path}"

    def _called(self, reference: str) -> str:
        return f"{self.name}{'@' if ':' in reference else ':'}{reference}"

    def _begin(self, query: dict[str, str]) -> str | None:
        path = f"{self.repository}/blobs/uploads/" + (f"?{urlencode(query)}" if query else "")
        answer = self.ask("POST", path)
        if answer.status == HTTPStatus.CREATED:
            return None
        return next_address(Reply(Request("POST", self._address(path)), answer), self.name)

    def _ask_once(self, request: Request, subject: str, most_bytes: int, allowed: frozenset[int]) -> Answer:
        reply = follow(self.http, request, subject, self.access.headers, most_bytes)
        if reply.answer.status == HTTPStatus.UNAUTHORIZED and self.access.admit(reply):
            reply = follow(self.http, request, subject, self.access.headers, most_bytes)
        if reply.is_success or reply.answer.status in allowed:
            return reply.answer
        raise self.refusal(subject, reply.answer)


def _told(answer: Answer) -> str:
    """Return the digest that a registry tells, empty if it tells none that we can compute."""
    told = answer.get("docker-content-digest")
    return told if told.startswith(f"{ALGORITHM}:") else ""


def _compare(subject: str, expected: str, found: Digest) -> None:
    if expected and parse_digest(expected) != found:
        raise WrongDigest(subject, expected, str(found))

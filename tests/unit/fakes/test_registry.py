"""The registry of the fake world speaks the protocol. That Debian's `docker-registry` gives the same answers, and
that skopeo takes these, was seen when it was written."""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

import attrs
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bocker.fakes import access, mishaps, publishing
from bocker.fakes.access import PULL, Basic, Rules, Tokens
from bocker.fakes.mishaps import ALWAYS, Mishap
from bocker.fakes.publishing import DOCKER, GZIP, OCI, PLAIN, ZSTD, Layer, Platform, digest_of
from bocker.fakes.registry import Document, FakeRegistry
from bocker.fakes.servers import SECOND_NS, arrival
from bocker.kernel.http import Request

if TYPE_CHECKING:
    from bocker.fakes.mishaps import Act
    from bocker.fakes.servers import Arrival, Reply
    from bocker.kernel.http import Answer

URL = "http://127.0.0.1:5000"
CDN = "http://127.0.0.1:5001"
NAME = "library/debian"
NOW_NS = 1_795_224_000 * SECOND_NS
BLOB = bytes(range(256)) * 4
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
RULES = Rules({"alice": "secret", "bob": "word"}, frozenset({"team/app"}), denied=frozenset({("bob", NAME, "push")}))


class Client:
    """Asks, as a program would, by whole addresses or paths of the registry."""

    def __init__(self, registry: FakeRegistry) -> None:
        self.registry = registry
        self.now_ns = NOW_NS

    def reply(self, method: str, place: str, body: bytes = b"", **headers: str) -> Reply:
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return self.registry.respond(Request(method, urljoin(self.registry.url, place), named, body), self.now_ns)

    def arrival(self, method: str, place: str, body: bytes = b"", **headers: str) -> Arrival:
        return arrival(self.reply(method, place, body, **headers), method)

    def ask(self, method: str, place: str, body: bytes = b"", **headers: str) -> Answer:
        arrived = self.arrival(method, place, body, **headers)
        assert not arrived.ending
        return arrived.answer

    def upload(self, *pieces: bytes, name: str = NAME) -> str:
        """Send pieces to a new upload; return the place to go on at."""
        place = self.ask("POST", f"/v2/{name}/blobs/uploads/").get("location")
        for piece in pieces:
            answer = self.ask("PATCH", place, piece)
            assert answer.status == 202
            place = answer.get("location")
        return place

    def token(self, scope: str, authorization: str = "", **query: str) -> Answer:
        asked = urlencode({"service": "registry.example", "scope": scope, **query})
        headers = {"authorization": authorization} if authorization else {}
        return self.ask("GET", f"{self.registry.access.url}?{asked}", b"", **headers)

    def post(self, **fields: str) -> Answer:
        given = {"service": "registry.example", "client_id": "test", "scope": f"repository:{NAME}:pull,push"}
        return self.ask("POST", self.registry.access.url, urlencode(given | fields).encode("ascii"))


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry(URL)


@pytest.fixture
def client(registry: FakeRegistry) -> Client:
    return Client(registry)


def code_of(answer: Answer) -> str:
    return str(json.loads(answer.body)["errors"][0]["code"])


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def manifest_of(config: str, *layers: str, **fields: object) -> bytes:
    rows = [{"mediaType": "application/octet-stream", "digest": digest, "size": 1} for digest in (config, *layers)]
    content = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": rows[0], "layers": rows[1:], **fields}
    return json.dumps(content).encode("ascii")


# Blobs


@settings(deadline=None)  # other work may hold it up
@given(data=st.data(), blob=st.binary(max_size=200), single=st.booleans())
def test_what_is_sent_in_any_pieces_comes_back_in_any(data: st.DataObject, blob: bytes, single: bool) -> None:
    client = Client(FakeRegistry(URL))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(blob)), max_size=4)))
    pieces = [blob[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(blob)], strict=True)]
    digest = digest_of(blob)
    if single:
        answer = client.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest}", blob)
    else:
        answer = client.ask("PUT", f"{client.upload(*pieces[:-1])}&digest={digest}", pieces[-1])
    assert (answer.status, answer.get("docker-content-digest")) == (201, digest)
    place = answer.get("location")
    assert client.ask("GET", place).body == blob
    assert client.ask("HEAD", place).get("content-length") == str(len(blob))
    first, last = data.draw(st.integers(0, 220)), data.draw(st.integers(0, 220))
    part = client.ask("GET", place, range=f"bytes={first}-{last}")
    if first > last or first >= len(blob):
        assert (part.status, part.get("content-range"), part.body) == (416, f"bytes */{len(blob)}", b"")
    else:
        assert (part.status, part.body) == (206, blob[first : last + 1])
        assert part.get("content-range") == f"bytes {first}-{first + len(part.body) - 1}/{len(blob)}"
    if blob:
        count = data.draw(st.integers(1, 220))
        assert client.ask("GET", place, range=f"bytes=-{count}").body == blob[-count:]
        start = data.draw(st.integers(0, len(blob) - 1))
        assert client.ask("GET", place, range=f"bytes={start}-").body == blob[start:]


def test_a_registry_may_know_no_ranges(registry: FakeRegistry, client: Client) -> None:
    registry.ranges = False
    answer = client.ask("GET", f"/v2/{NAME}/blobs/{registry.put_blob(NAME, BLOB)}", range="bytes=5-9")
    assert (answer.status, answer.body) == (200, BLOB)


def test_an_upload_tells_how_far_it_is(client: Client) -> None:
    place = client.upload(BLOB[:300])
    answer = client.ask("GET", place)
    assert (answer.status, answer.get("range"), answer.get("location")) == (204, "0-299", place)
    answer = client.ask("PATCH", place, BLOB[300:], content_range=f"300-{len(BLOB) - 1}")
    assert (answer.status, answer.get("range")) == (202, f"0-{len(BLOB) - 1}")


@pytest.mark.parametrize("said", ["0-9", "301-310", "300-310", "nonsense"])
def test_a_piece_that_is_not_the_next_one(client: Client, said: str) -> None:
    place = client.upload(BLOB[:300])
    answer = client.ask("PATCH", place, bytes(10), content_range=said)
    assert (answer.status, answer.get("range")) == (416, "0-299")
    assert client.ask("PATCH", place, bytes(10), content_range="300-309").status == 202


def test_the_place_of_an_upload_changes(client: Client) -> None:
    """Whoever goes on at the place before is refused."""
    place = client.upload()
    assert client.ask("PATCH", place, b"abc").get("location") != place
    answer = client.ask("PATCH", place, b"def")
    assert (answer.status, code_of(answer)) == (404, "BLOB_UPLOAD_INVALID")


@pytest.mark.parametrize("digest", [digest_of(b"other"), "sha256:12", "md5:" + "0" * 32, ""])
def test_a_wrong_digest_ends_an_upload(registry: FakeRegistry, client: Client, digest: str) -> None:
    place = client.upload(BLOB)
    answer = client.ask("PUT", f"{place}&digest={digest}")
    assert (answer.status, code_of(answer)) == (400, "DIGEST_INVALID")
    assert registry.repositories.get(NAME) is None
    assert code_of(client.ask("PATCH", place, b"more")) == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_can_be_given_up(client: Client) -> None:
    place = client.upload(BLOB)
    assert client.ask("DELETE", place).status == 204
    for method in ("DELETE", "GET", "PATCH", "PUT"):
        answer = client.ask(method, place)
        assert (answer.status, code_of(answer)) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_an_upload_belongs_to_its_repository(client: Client) -> None:
    place = client.upload(BLOB).replace(NAME, "team/app")
    assert client.ask("PUT", f"{place}&digest={digest_of(BLOB)}").status == 404


@pytest.mark.parametrize(
    ("origin", "knows", "status"), [(NAME, True, 201), (NAME, False, 202), ("none", True, 202), ("", True, 202)]
)
def test_a_blob_is_taken_over(registry: FakeRegistry, client: Client, origin: str, knows: bool, status: int) -> None:
    registry.mounts = knows
    digest = registry.put_blob(NAME, BLOB)
    answer = client.ask("POST", f"/v2/team/app/blobs/uploads/?mount={digest}&from={origin}")
    assert answer.status == status
    assert client.ask("HEAD", f"/v2/team/app/blobs/{digest}").status == (200 if status == 201 else 404)
    assert ("uploads" in answer.get("location")) == (status == 202)


def test_a_registry_may_want_two_requests(registry: FakeRegistry, client: Client) -> None:
    registry.single_uploads = False
    answer = client.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest_of(BLOB)}", BLOB)
    assert answer.status == 202
    assert client.ask("PUT", f"{answer.get('location')}&digest={digest_of(BLOB)}", BLOB).status == 201


@pytest.mark.parametrize("relative", [False, True])
def test_places_are_whole_addresses_or_paths(registry: FakeRegistry, client: Client, relative: bool) -> None:
    registry.relative = relative
    place = client.upload(BLOB)
    assert place.startswith("/v2/" if relative else f"{URL}/v2/")
    assert client.ask("PUT", f"{place}&digest={digest_of(BLOB)}").status == 201


# Manifests, tags


@pytest.mark.parametrize("kind", [OCI, DOCKER])
@pytest.mark.parametrize("compression", [GZIP, PLAIN, ZSTD])
def test_an_image_is_what_was_put(registry: FakeRegistry, client: Client, kind: str, compression: str) -> None:
    """The documents name each other by digest and size, and the archives come out of the layers."""
    archives = (b"one" * 100, b"two" * 100)
    digest = registry.put_image(NAME, "12", archives, {"config": {"User": "me"}}, compression=compression, kind=kind)
    media_type = registry.repositories[NAME].documents[digest].media_type
    answer = client.ask("GET", f"/v2/{NAME}/manifests/12", accept=media_type)
    assert digest_of(answer.body) == digest == answer.get("docker-content-digest")
    assert answer.get("content-type") == media_type == json.loads(answer.body)["mediaType"]
    assert ("docker" in media_type) == (kind == DOCKER)
    config, *layers = [blob_of(client, row) for row in named_in(answer.body)]
    assert json.loads(config)["config"] == {"User": "me"}
    assert json.loads(config)["rootfs"]["diff_ids"] == [digest_of(archive) for archive in archives]
    assert tuple(unpacked(layer, compression) for layer in layers) == archives
    assert all(layer["mediaType"].endswith(ENDS[kind, compression]) for layer in json.loads(answer.body)["layers"])


ENDS = {
    (OCI, PLAIN): ".tar",
    (OCI, GZIP): ".tar+gzip",
    (OCI, ZSTD): ".tar+zstd",
    (DOCKER, PLAIN): ".tar",
    (DOCKER, GZIP): ".tar.gzip",
    (DOCKER, ZSTD): ".tar.zstd",
}


def named_in(manifest: bytes) -> list[dict[str, Any]]:
    content = json.loads(manifest)
    return [content["config"], *content["layers"]]


def blob_of(client: Client, row: dict[str, Any]) -> bytes:
    data = client.ask("GET", f"/v2/{NAME}/blobs/{row['digest']}").body
    assert (digest_of(data), len(data)) == (row["digest"], row["size"])
    return data


def unpacked(blob: bytes, compression: str) -> bytes:
    if compression == GZIP:
        return gzip.decompress(blob)
    return zstandard.decompress(blob) if compression == ZSTD else blob


@pytest.mark.parametrize("kind", [OCI, DOCKER])
def test_an_index_names_images_by_platform(registry: FakeRegistry, client: Client, kind: str) -> None:
    arm = Platform("arm64", variant="v8")
    images = [
        (platform, registry.put_image(NAME, "", (b"x",), kind=kind, platform=platform))
        for platform in (publishing.LINUX, arm)
    ]
    digest = registry.put_index(NAME, "12", images, kind)
    media_type = registry.repositories[NAME].documents[digest].media_type
    answer = client.ask("GET", f"/v2/{NAME}/manifests/{digest}", accept=media_type)
    rows = json.loads(answer.body)["manifests"]
    assert [row["digest"] for row in rows] == [image for _, image in images]
    assert rows[1]["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert registry.repositories[NAME].tags == {"12": digest}


def test_layers_may_be_packed_each_in_its_way(registry: FakeRegistry) -> None:
    digest = registry.put_image(NAME, "12", (b"one", Layer(b"two", PLAIN)))
    rows = named_in(registry.repositories[NAME].documents[digest].data)
    assert [row["mediaType"].rpartition(".")[2] for row in rows[1:]] == ["tar+gzip", "tar"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["", "*/*", OCI_INDEX])
def test_a_document_is_there_for_whoever_names_its_type(
    registry: FakeRegistry, client: Client, method: str, accept: str
) -> None:
    registry.put_image(NAME, "12", (b"x",))
    headers = {"accept": accept} if accept else {}
    assert client.ask(method, f"/v2/{NAME}/manifests/12", b"", **headers).status == 404
    both = f"{OCI_INDEX}, {OCI_MANIFEST};q=0.5"
    assert client.ask(method, f"/v2/{NAME}/manifests/12", accept=both).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/none/manifests/12", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{NAME}/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{NAME}/manifests/{digest_of(b'')}", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{NAME}/blobs/{digest_of(b'none')}", 404, "BLOB_UNKNOWN"),
        ("GET", f"/v2/{NAME}/blobs/12", 400, "DIGEST_INVALID"),
        ("GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", f"/v2/{NAME}/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/Upper/tags/list", 400, "NAME_INVALID"),
        ("DELETE", f"/v2/{NAME}/manifests/12", 405, "UNSUPPORTED"),
        ("PUT", f"/v2/{NAME}/manifests/-bad", 400, "TAG_INVALID"),
        ("PUT", f"/v2/{NAME}/manifests/{digest_of(b'x')}", 400, "DIGEST_INVALID"),
    ],
)
def test_errors_are_the_protocols(
    registry: FakeRegistry, client: Client, method: str, path: str, status: int, code: str
) -> None:
    registry.put_image(NAME, "12", (b"x",))
    answer = client.ask(method, path, accept=OCI_MANIFEST)
    assert (answer.status, code_of(answer)) == (status, code)
    assert answer.get("docker-distribution-api-version") == "registry/2.0"


@pytest.mark.parametrize("path", ["/", "/v1/", f"/v2/{NAME}", f"/v2/{NAME}/tags/other"])
def test_other_places_are_nowhere(client: Client, path: str) -> None:
    assert client.ask("GET", path).status == 404


def test_there_is_a_place_to_see_whether_it_is_one(client: Client) -> None:
    assert client.ask("GET", "/v2/").status == 200


def test_a_manifest_is_kept_as_it_was_sent(registry: FakeRegistry, client: Client) -> None:
    data = manifest_of(registry.put_blob(NAME, b"{}"), registry.put_blob(NAME, BLOB)) + b"\n"
    for reference in ("12", digest_of(data)):
        answer = client.ask("PUT", f"/v2/{NAME}/manifests/{reference}", data, content_type=OCI_MANIFEST)
        assert (answer.status, answer.get("docker-content-digest")) == (201, digest_of(data))
        assert client.ask("GET", answer.get("location"), accept=OCI_MANIFEST).body == data
    assert registry.repositories[NAME].tags == {"12": digest_of(data)}


def test_what_a_manifest_names_has_to_be_there(registry: FakeRegistry, client: Client) -> None:
    """In that repository; layers that come from elsewhere have not."""
    config, layer, other = (registry.put_blob(name, data) for name, data in ((NAME, b"{}"), (NAME, b"x"), ("b", b"y")))
    for named in ((config, other), (other, layer)):
        answer = client.ask("PUT", f"/v2/{NAME}/manifests/12", manifest_of(*named), content_type=OCI_MANIFEST)
        assert (answer.status, code_of(answer)) == (400, "MANIFEST_BLOB_UNKNOWN")
    foreign = [{"digest": other, "urls": ["https://elsewhere/"]}]
    data = manifest_of(config, layers=foreign)
    assert client.ask("PUT", f"/v2/{NAME}/manifests/12", data, content_type=OCI_MANIFEST).status == 201
    index = {"schemaVersion": 2, "manifests": [{"digest": digest_of(data)}, {"digest": other}]}
    answer = client.ask("PUT", f"/v2/{NAME}/manifests/13", json.dumps(index).encode(), content_type=OCI_INDEX)
    assert code_of(answer) == "MANIFEST_BLOB_UNKNOWN"
    index["manifests"] = [{"digest": digest_of(data)}]
    answer = client.ask("PUT", f"/v2/{NAME}/manifests/13", json.dumps(index).encode(), content_type=OCI_INDEX)
    assert answer.status == 201


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"schemaVersion": 2, "layers": []}', b"\xff"])
def test_what_is_no_manifest_is_not_taken(client: Client, data: bytes) -> None:
    answer = client.ask("PUT", f"/v2/{NAME}/manifests/12", data, content_type=OCI_MANIFEST)
    assert (answer.status, code_of(answer)) == (400, "MANIFEST_INVALID")


def test_the_types_that_are_said_agree(registry: FakeRegistry, client: Client) -> None:
    data = manifest_of(registry.put_blob(NAME, b"{}"))
    answer = client.ask("PUT", f"/v2/{NAME}/manifests/12", data, content_type="text/plain")
    assert code_of(answer) == "MANIFEST_INVALID"


def test_tags_are_listed_in_pages(registry: FakeRegistry, client: Client) -> None:
    for tag in ("c", "a", "b"):
        registry.put_image(NAME, tag, (b"x",))
    assert json.loads(client.ask("GET", f"/v2/{NAME}/tags/list").body) == {"name": NAME, "tags": ["a", "b", "c"]}
    first = client.ask("GET", f"/v2/{NAME}/tags/list?n=2")
    assert json.loads(first.body)["tags"] == ["a", "b"]
    place = first.get("link").partition(">")[0].lstrip("<")
    last = client.ask("GET", place)
    assert (json.loads(last.body)["tags"], last.get("link")) == (["c"], "")


# Who may do what


@pytest.mark.parametrize(
    ("authorization", "method", "status"),
    [
        ("", "GET", 401),
        ("Basic ???", "GET", 401),
        ("Bearer x", "GET", 401),
        (basic("alice", "wrong"), "GET", 401),
        (basic("nobody", ""), "GET", 401),
        (basic("alice", "secret"), "GET", 200),
        (basic("bob", "word"), "GET", 200),
        (basic("alice", "secret"), "POST", 202),
        (basic("bob", "word"), "POST", 403),
    ],
)
def test_a_password_with_each_request(authorization: str, method: str, status: int) -> None:
    registry = FakeRegistry(URL, Basic(RULES))
    registry.put_image(NAME, "12", (b"x",))
    path = f"/v2/{NAME}/blobs/uploads/" if method == "POST" else f"/v2/{NAME}/tags/list"
    headers = {"authorization": authorization} if authorization else {}
    answer = Client(registry).ask(method, path, b"", **headers)
    assert answer.status == status
    assert answer.get("www-authenticate") == ('Basic realm="a registry"' if status == 401 else "")


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(RULES, "http://127.0.0.1:5002/token")


@pytest.fixture
def guarded(tokens: Tokens) -> Client:
    registry = FakeRegistry(URL, tokens, cdn=CDN)
    for name in (NAME, "team/app"):
        registry.put_image(name, "12", (b"x",))
    return Client(registry)


def bearer(answer: Answer) -> str:
    assert answer.status == 200
    return f"Bearer {json.loads(answer.body)['token']}"


def test_who_brings_no_token_hears_where_to_get_one(guarded: Client) -> None:
    where = 'Bearer realm="http://127.0.0.1:5002/token",service="registry.example"'
    answer = guarded.ask("GET", f"/v2/{NAME}/tags/list")
    assert (answer.status, code_of(answer)) == (401, "UNAUTHORIZED")
    assert answer.get("www-authenticate") == f'{where},scope="repository:{NAME}:pull"'
    answer = guarded.ask("POST", f"/v2/{NAME}/blobs/uploads/?mount={digest_of(b'')}&from=team/app")
    scopes = f"repository:{NAME}:pull,push repository:team/app:pull"
    assert answer.get("www-authenticate") == f'{where},scope="{scopes}"'
    assert guarded.ask("GET", "/v2/").get("www-authenticate") == where


def test_a_token_opens_what_it_was_given_for(guarded: Client) -> None:
    """And nothing else; one for nothing still shows that somebody is there."""
    given = bearer(guarded.token(f"repository:{NAME}:pull"))
    assert guarded.ask("GET", f"/v2/{NAME}/tags/list", authorization=given).status == 200
    assert guarded.ask("GET", "/v2/", authorization=given).status == 200
    for method, path in (("POST", f"/v2/{NAME}/blobs/uploads/"), ("GET", "/v2/team/app/tags/list")):
        answer = guarded.ask(method, path, authorization=given)
        assert answer.status == 401
        assert 'error="insufficient_scope"' in answer.get("www-authenticate")


@pytest.mark.parametrize(
    ("authorization", "scope", "granted"),
    [
        ("", f"repository:{NAME}:pull,push", f"repository:{NAME}:pull"),
        ("", "repository:team/app:pull", ""),
        (basic("alice", "secret"), "repository:team/app:pull,push", "repository:team/app:pull,push"),
        (basic("bob", "word"), f"repository:{NAME}:pull,push", f"repository:{NAME}:pull"),
        ("", "registry:catalog:*", ""),
        ("", "", ""),
    ],
)
def test_a_token_is_for_what_one_may(guarded: Client, authorization: str, scope: str, granted: str) -> None:
    answer = guarded.token(scope, authorization)
    assert (answer.status, json.loads(answer.body)["scope"]) == (200, granted)


def test_nobody_gets_a_token_when_all_have_to_be_known() -> None:
    tokens = Tokens(attrs.evolve(RULES, anonymous=False))
    assert json.loads(Client(FakeRegistry(URL, tokens)).token(f"repository:{NAME}:pull").body)["scope"] == ""


def test_a_token_ends(guarded: Client) -> None:
    given = bearer(guarded.token(f"repository:{NAME}:pull"))
    guarded.now_ns += 299 * SECOND_NS
    assert guarded.ask("GET", f"/v2/{NAME}/tags/list", authorization=given).status == 200
    guarded.now_ns += SECOND_NS
    answer = guarded.ask("GET", f"/v2/{NAME}/tags/list", authorization=given)
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.get("www-authenticate")


@pytest.mark.parametrize("authorization", [basic("alice", "wrong"), "Basic ?", "Bearer x"])
def test_the_token_server_knows_its_users(guarded: Client, authorization: str) -> None:
    assert guarded.token("", authorization).status == 401


def test_a_token_server_serves_its_own_registry(guarded: Client) -> None:
    assert guarded.token("", service="other").status == 400
    assert guarded.ask("GET", "http://127.0.0.1:5002/other").status == 404


def test_a_refresh_token_stands_for_a_password(guarded: Client) -> None:
    """By GET with `offline_token`, by POST with `access_type`; never for somebody unknown."""
    alice = basic("alice", "secret")
    first = json.loads(guarded.token("", alice, offline_token="true").body)["refresh_token"]
    fields = json.loads(guarded.post(grant_type="refresh_token", refresh_token=first).body)
    assert fields["scope"] == f"repository:{NAME}:pull,push"
    answer = guarded.post(grant_type="password", username="alice", password="secret", access_type="offline")
    second = json.loads(answer.body)["refresh_token"]
    assert guarded.post(grant_type="refresh_token", refresh_token=second).status == 200
    assert "refresh_token" not in json.loads(guarded.token("", alice).body)
    assert "refresh_token" not in json.loads(guarded.token("", offline_token="true").body)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "none"}, 401),
        ({"grant_type": "password", "username": "alice", "password": "wrong"}, 401),
        ({"grant_type": "other", "username": "alice", "password": "secret"}, 401),
        ({"grant_type": "password", "username": "alice", "password": "secret", "client_id": ""}, 400),
        ({"grant_type": "password", "username": "alice", "password": "secret", "service": "x"}, 400),
    ],
)
def test_a_post_that_gets_no_token(guarded: Client, fields: dict[str, str], status: int) -> None:
    assert guarded.post(**fields).status == status


def test_token_servers_differ() -> None:
    tokens = Tokens(RULES, f"{URL}/token", fields=("access_token",), oauth=False)
    client = Client(FakeRegistry(URL, tokens))
    assert set(json.loads(client.token("").body)) == {"access_token", "expires_in", "scope"}
    assert client.post(grant_type="password", username="alice", password="secret").status == 405
    assert client.ask("GET", "/v2/").status == 401
    assert client.registry.addresses == (URL, f"{URL}/token")


def test_scopes_are_read_and_written() -> None:
    rights = access.parse_scopes("repository:a/b:pull,push repository:host:5000/c:pull other")
    assert rights == {("a/b", PULL), ("a/b", "push"), ("host:5000/c", PULL)}
    assert access.parse_scopes(access.scope_text(rights)) == rights


# The content network


def test_the_content_network_takes_no_token(guarded: Client) -> None:
    given = bearer(guarded.token(f"repository:{NAME}:pull"))
    digest = next(iter(guarded.registry.repositories[NAME].blobs))
    assert guarded.ask("HEAD", f"/v2/{NAME}/blobs/{digest}", authorization=given).status == 200
    place = guarded.ask("GET", f"/v2/{NAME}/blobs/{digest}", authorization=given)
    assert (place.status, place.body) == (307, b"")
    assert urlsplit(place.get("location")).netloc == "127.0.0.1:5001"
    assert guarded.registry.carried("authorization") == {"127.0.0.1:5000"}
    assert digest_of(guarded.ask("GET", place.get("location")).body) == digest
    assert guarded.ask("GET", place.get("location"), range="bytes=0-1").status == 206
    assert guarded.ask("GET", place.get("location"), authorization=given).status == 400
    assert guarded.registry.carried("authorization") == {"127.0.0.1:5000", "127.0.0.1:5001"}


def test_an_address_of_the_content_network_ends(guarded: Client) -> None:
    given = bearer(guarded.token(f"repository:{NAME}:pull"))
    digest = next(iter(guarded.registry.repositories[NAME].blobs))
    place = guarded.ask("GET", f"/v2/{NAME}/blobs/{digest}", authorization=given).get("location")
    assert guarded.ask("GET", place.replace("signature=", "signature=0")).status == 403
    assert guarded.ask("GET", f"{CDN}/{digest}").status == 403
    guarded.now_ns += 61 * SECOND_NS
    assert guarded.ask("GET", place).status == 403


def test_what_came_is_written_down(guarded: Client) -> None:
    guarded.ask("GET", f"/v2/{NAME}/tags/list?n=1", Authorization="Bearer x")
    seen = guarded.registry.seen[-1]
    assert (seen.method, seen.host, seen.path, seen.status) == ("GET", "127.0.0.1:5000", f"/v2/{NAME}/tags/list", 401)
    assert (seen.query, seen.headers) == ((("n", "1"),), (("authorization", "Bearer x"),))
    assert guarded.registry.addresses == (URL, "http://127.0.0.1:5002/token", CDN)


# What goes wrong


@pytest.fixture
def place(registry: FakeRegistry) -> str:
    """Where a blob is."""
    return f"/v2/{NAME}/blobs/{registry.put_blob(NAME, BLOB)}"


def meets(registry: FakeRegistry, act: Act, pattern: str = "GET */blobs/*") -> None:
    registry.mishaps.append(Mishap(pattern, act))


def test_a_mishap_happens_to_the_request_that_is_said(registry: FakeRegistry, client: Client, place: str) -> None:
    registry.mishaps.append(Mishap("GET 127.0.0.1:5000/v2/*/blobs/*", mishaps.broken, number=2, times=2))
    registry.mishaps.append(Mishap("HEAD *", mishaps.error_page, times=ALWAYS))
    assert [client.ask("GET", place).status for _ in range(5)] == [200, 500, 500, 200, 200]
    assert [client.ask("HEAD", place).status for _ in range(3)] == [503, 503, 503]
    assert client.ask("GET", "/v2/").status == 200


def test_the_first_mishap_that_fits_is_met(registry: FakeRegistry, client: Client, place: str) -> None:
    """And the others count: their own first request is this one."""
    meets(registry, mishaps.broken)
    meets(registry, mishaps.error_page)
    assert [client.ask("GET", place).status for _ in range(2)] == [500, 200]


def test_slowly(registry: FakeRegistry, client: Client, place: str) -> None:
    meets(registry, mishaps.slow(512))
    arrived = client.arrival("GET", place)
    assert (arrived.answer.body, arrived.ending) == (BLOB, 0)
    assert 2 * SECOND_NS <= arrived.duration_ns(1 << 30) < 2.2 * SECOND_NS


@pytest.mark.parametrize(("act", "ending"), [(mishaps.cut, errno.ECONNRESET), (mishaps.stalled, errno.ETIMEDOUT)])
def test_broken_off(registry: FakeRegistry, client: Client, place: str, act: Any, ending: int) -> None:
    meets(registry, act(100))
    arrived = client.arrival("GET", place)
    assert (arrived.answer.status, arrived.answer.body, arrived.ending) == (200, BLOB[:100], ending)
    assert arrived.duration_ns(1 << 30) >= (30 * SECOND_NS if ending == errno.ETIMEDOUT else 0)


def test_an_upload_broken_off(registry: FakeRegistry, client: Client) -> None:
    """What came is kept, and nobody hears of it."""
    meets(registry, mishaps.cut(300), "PATCH *")
    place = client.upload()
    arrived = client.arrival("PATCH", place, BLOB)
    assert (arrived.answer.status, arrived.ending) == (0, errno.ECONNRESET)
    assert [upload.data for upload in registry.uploads.values()] == [BLOB[:300]]


def test_an_answer_that_is_lost(registry: FakeRegistry, client: Client) -> None:
    meets(registry, mishaps.lost_answer, "PUT *")
    assert client.arrival("PUT", f"{client.upload(BLOB)}&digest={digest_of(BLOB)}").ending == errno.ECONNRESET
    assert digest_of(BLOB) in registry.repositories[NAME].blobs


def test_other_bytes(registry: FakeRegistry, client: Client, place: str) -> None:
    meets(registry, mishaps.corrupted)
    body = client.ask("GET", place).body
    assert (len(body), hashlib.sha256(body).digest() == hashlib.sha256(BLOB).digest()) == (len(BLOB), False)
    assert client.ask("GET", place).body == BLOB


def test_garbage_for_a_manifest(registry: FakeRegistry, client: Client) -> None:
    data = b'{"schemaVersion": 2}'
    registry.put_document(NAME, "12", Document(OCI_MANIFEST, data))
    meets(registry, mishaps.garbage, "* */manifests/*")
    answer = client.ask("GET", f"/v2/{NAME}/manifests/12", accept=OCI_MANIFEST)
    assert (answer.status, len(answer.body)) == (200, len(data))
    with pytest.raises(ValueError):
        json.loads(answer.body)


@pytest.mark.parametrize(("more", "body", "ending"), [(5, BLOB, errno.ECONNRESET), (-5, BLOB[:-5], 0), (0, BLOB, 0)])
def test_a_wrong_length(
    registry: FakeRegistry, client: Client, place: str, more: int, body: bytes, ending: int
) -> None:
    meets(registry, mishaps.announced(more))
    arrived = client.arrival("GET", place)
    assert (arrived.answer.body, arrived.ending) == (body, ending)
    assert arrived.answer.get("content-length") == str(len(BLOB) + more)


def test_a_token_that_is_not_good_any_more(guarded: Client) -> None:
    given = bearer(guarded.token(f"repository:{NAME}:pull"))
    meets(guarded.registry, mishaps.expired, "GET */tags/*")
    answer = guarded.ask("GET", f"/v2/{NAME}/tags/list", Authorization=given)
    assert (answer.status, 'error="invalid_token"' in answer.get("www-authenticate")) == (401, True)
    assert guarded.ask("GET", f"/v2/{NAME}/tags/list", Authorization=given).status == 200


def test_refusals(registry: FakeRegistry, client: Client, place: str) -> None:
    for act in (mishaps.busy(7), mishaps.broken, mishaps.error_page, mishaps.redirected(CDN), mishaps.looping):
        registry.mishaps.clear()
        meets(registry, act)
        answer = client.ask("GET", place)
        told = (answer.status, answer.get("retry-after") or answer.get("location"), answer.get("content-type"))
        assert (
            told
            == {
                429: (429, "7", "application/json; charset=utf-8"),
                500: (500, "", "application/json; charset=utf-8"),
                503: (503, "", "text/html"),
                307: (307, URL + place if act is mishaps.looping else CDN, ""),
            }[answer.status]
        )


@pytest.mark.parametrize(("act", "ending"), [(mishaps.refusing, errno.ECONNREFUSED), (mishaps.silent, errno.ETIMEDOUT)])
def test_no_answer(registry: FakeRegistry, client: Client, place: str, act: Act, ending: int) -> None:
    meets(registry, act)
    assert client.reply("GET", place).answer is None
    assert registry.seen[-1].status == 0
    meets(registry, act, "HEAD *")
    assert client.arrival("HEAD", place).ending == ending

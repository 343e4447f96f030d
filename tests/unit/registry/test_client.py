"""The client against a server that answers from a script: the protocol, request by request."""

from __future__ import annotations

import errno
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from bocker.core.errors import BockerError
from bocker.fakes.servers import Reply
from bocker.fakes.world import World
from bocker.kernel.http import Answer, Request
from bocker.registry import errors
from bocker.registry.client import PUSH, Fetched
from bocker.registry.credentials import Credentials
from bocker.registry.digests import digest_of
from bocker.registry.manifests import ACCEPT, OCI_MANIFEST
from tests.unit.registry.scripted import REPOSITORY, URL, Scripted, a_client, address, authorization

SECOND_NS = 10**9
AUTH = "https://auth.example"
MANIFEST = b'{"schemaVersion":2}'
DIGEST = digest_of(MANIFEST)
TAGGED = f"/v2/{REPOSITORY}/manifests/1"
PINNED = f"/v2/{REPOSITORY}/manifests/{DIGEST}"
BLOB = f"/v2/{REPOSITORY}/blobs/{DIGEST}"
UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
SENT = Answer(200, (("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", str(DIGEST))), MANIFEST)
BEARER = f'Bearer realm="{AUTH}/token",service="registry.example"'
WHO = Answer(401, (("WWW-Authenticate", BEARER),))
WHO_BASIC = Answer(401, (("WWW-Authenticate", 'Basic realm="here"'),))
USER = Credentials("ann", "s3cret")


@pytest.fixture
def registry(world: World) -> Scripted:
    server = Scripted()
    world.serve(server, URL)
    return server


@pytest.fixture
def auth(world: World) -> Scripted:
    server = Scripted()
    world.serve(server, AUTH)
    return server


def moved(where: str, status: int = 307) -> Answer:
    return Answer(status, (("Location", where),))


def token(value: str, life_s: int = 300) -> Answer:
    return Answer(200, (), json.dumps({"token": value, "expires_in": life_s}).encode())


def slept_s(world: World, since_ns: int) -> float:
    return (world.state.clock_ns - since_ns) // SECOND_NS


# Manifests and blobs


def test_a_manifest_comes_with_its_type_and_its_digest(world: World, registry: Scripted) -> None:
    registry.on(f"GET {TAGGED}", SENT)
    assert a_client(world).manifest("1") == Fetched(MANIFEST, OCI_MANIFEST, DIGEST)
    assert ("accept", ACCEPT) in registry.seen[0].headers


def test_a_manifest_by_its_digest_has_that_digest(world: World, registry: Scripted) -> None:
    registry.on(f"GET {PINNED}", SENT, Answer(200, (), b"something else"))
    client = a_client(world)
    assert client.manifest(str(DIGEST)).data == MANIFEST
    with pytest.raises(errors.WrongDigest) as caught:
        client.manifest(str(DIGEST))
    assert (caught.value.expected, caught.value.found) == (str(DIGEST), str(digest_of(b"something else")))


def test_the_digest_that_is_told_of_a_tag_must_be_right(world: World, registry: Scripted) -> None:
    told = str(digest_of(b"another"))
    registry.on(f"GET {TAGGED}", Answer(200, (("Docker-Content-Digest", told),), MANIFEST))
    with pytest.raises(errors.WrongDigest, match=r"registry.example/team/app:1"):
        a_client(world).manifest("1")


def test_a_digest_of_another_kind_is_no_reason_to_refuse_a_tag(world: World, registry: Scripted) -> None:
    registry.on(f"GET {TAGGED}", Answer(200, (("Docker-Content-Digest", "sha512:" + "0" * 128),), MANIFEST))
    assert a_client(world).manifest("1").digest == DIGEST


def test_a_manifest_that_is_too_large_is_refused(world: World, registry: Scripted) -> None:
    registry.on(f"GET {TAGGED}", Answer(200, (), b" " * ((4 << 20) + 1)))
    with pytest.raises(errors.BadDocument, match="larger than it may be"):
        a_client(world).manifest("1")


def test_a_small_blob_is_checked(world: World, registry: Scripted) -> None:
    registry.on(f"GET {BLOB}", SENT)
    client = a_client(world)
    assert client.blob(DIGEST, len(MANIFEST)) == MANIFEST
    with pytest.raises(errors.BadDocument, match="it has 19 bytes, and should have 20"):
        client.blob(DIGEST, len(MANIFEST) + 1)
    with pytest.raises(errors.BadDocument, match="larger than it may be"):
        client.blob(DIGEST, len(MANIFEST) - 1)
    registry.on(f"GET {BLOB}", Answer(200, (), b"x" * len(MANIFEST)))
    with pytest.raises(errors.WrongDigest):
        client.blob(DIGEST, len(MANIFEST))


def test_whether_a_blob_is_there(world: World, registry: Scripted) -> None:
    client = a_client(world)
    assert not client.has_blob(DIGEST)
    registry.on(f"HEAD {BLOB}", Answer(200))
    assert client.has_blob(DIGEST)
    registry.on(f"HEAD {BLOB}", Answer(403))
    with pytest.raises(errors.AccessDenied):
        client.has_blob(DIGEST)


def test_the_api_of_a_mirror_may_lie_below_a_path(world: World, registry: Scripted) -> None:
    registry.on(f"GET /docker{TAGGED}", SENT)
    assert a_client(world, url=f"{URL}/docker").manifest("1").data == MANIFEST


# Who is there


def test_a_token_is_fetched_once_and_sent_from_then_on(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on(f"GET {TAGGED}", WHO, SENT)
    auth.on("GET /token", token("t1"))
    client = a_client(world)
    client.manifest("1")
    client.manifest("1")
    assert auth.asked() == [
        "GET /token?service=registry.example&scope=repository%3Ateam%2Fapp%3Apull",
    ]
    assert [authorization(request) for request in auth.seen + registry.seen] == ["", "", "Bearer t1", "Bearer t1"]


def test_the_token_server_is_told_who_asks(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on(f"GET {TAGGED}", WHO, SENT)
    auth.on("GET /token", token("t1"))
    a_client(world, USER).manifest("1")
    assert "account=ann" in auth.asked()[0]
    assert authorization(auth.seen[0]) == "Basic YW5uOnMzY3JldA=="
    assert authorization(registry.seen[1]) == "Bearer t1"


def test_an_identity_token_is_posted(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on(f"GET {TAGGED}", WHO, SENT)
    auth.on("POST /token", token("t1"))
    a_client(world, Credentials("ann", identity_token="idt")).manifest("1")
    form = parse_qs(auth.seen[0].body.decode())
    assert form["refresh_token"] == ["idt"]
    assert form["scope"] == [f"repository:{REPOSITORY}:pull"]
    assert authorization(auth.seen[0]) == ""


def test_a_password_is_sent_where_the_registry_asks_for_it(world: World, registry: Scripted) -> None:
    registry.on(f"GET {TAGGED}", WHO_BASIC, SENT)
    client = a_client(world, USER)
    client.manifest("1")
    client.manifest("1")
    assert [authorization(request)[:5] for request in registry.seen] == ["", "Basic", "Basic"]


@pytest.mark.parametrize("known", [None, Credentials("ann", identity_token="idt")])
def test_without_a_password_there_is_nothing_to_send(
    world: World, registry: Scripted, known: Credentials | None
) -> None:
    registry.on(f"GET {TAGGED}", WHO_BASIC)
    with pytest.raises(errors.AccessDenied) as caught:
        a_client(world, known).manifest("1")
    assert caught.value.hint == "run: bocker login registry.example"
    assert len(registry.seen) == 1


def test_credentials_are_looked_up_once_and_only_if_asked_for(world: World, registry: Scripted, auth: Scripted) -> None:
    looked_up = []
    client = a_client(world)
    client.access._credentials = lambda: looked_up.append(1)
    registry.on(f"GET {TAGGED}", SENT)
    client.manifest("1")
    assert looked_up == []
    registry.on(f"GET {TAGGED}", WHO, SENT, WHO, SENT)
    auth.on("GET /token", token("t1"), token("t2"))
    client.manifest("1")
    client.manifest("1")
    assert looked_up == [1]


def test_a_second_401_in_a_row_is_the_end(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on(f"GET {TAGGED}", WHO)
    auth.on("GET /token", token("t1"), token("t2"))
    with pytest.raises(errors.AccessDenied):
        a_client(world).manifest("1")
    assert len(registry.seen) == 2


def test_a_token_that_is_over_is_renewed_before_it_is_sent(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on(f"GET {TAGGED}", WHO, SENT)
    auth.on("GET /token", token("t1", 60), token("t2", 60))
    client = a_client(world)
    client.manifest("1")
    client.ambient.sleep(45)
    client.manifest("1")
    client.ambient.sleep(10)
    client.manifest("1")
    assert [authorization(request) for request in registry.seen] == ["", "Bearer t1", "Bearer t1", "Bearer t2"]


def test_a_token_that_the_registry_does_not_take_any_more_is_fetched_anew(
    world: World, registry: Scripted, auth: Scripted
) -> None:
    registry.on(f"GET {TAGGED}", WHO, SENT, WHO, SENT)
    auth.on("GET /token", token("t1"), token("t2"))
    client = a_client(world)
    client.manifest("1")
    client.manifest("1")
    assert authorization(registry.seen[-1]) == "Bearer t2"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(401, (), b'{"details":"incorrect username or password"}'), errors.AccessDenied),
        (Answer(404), errors.RegistryError),
        (Answer(200, (), b"<html>"), errors.BadDocument),
        (moved("https://auth.example/token"), errors.BadDocument),
    ],
)
def test_a_token_server_that_refuses(
    world: World, registry: Scripted, auth: Scripted, answer: Answer, kind: type[BockerError]
) -> None:
    registry.on(f"GET {TAGGED}", WHO)
    auth.on("GET /token", answer)
    with pytest.raises(kind) as caught:
        a_client(world, USER).manifest("1")
    assert not isinstance(caught.value, errors.NotInRegistry)


def test_a_token_server_that_is_broken_is_asked_five_times(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on(f"GET {TAGGED}", WHO, WHO, SENT)
    auth.on("GET /token", Answer(503), token("t1"))
    assert a_client(world).manifest("1").data == MANIFEST
    registry.on(f"GET {TAGGED}", WHO)
    auth.on("GET /token", Answer(503))
    auth.seen.clear()
    with pytest.raises(errors.RegistryFailed):
        a_client(world).manifest("1")
    assert len(auth.seen) == 5


def test_a_password_does_not_follow_the_token_server_to_another_host(
    world: World, registry: Scripted, auth: Scripted
) -> None:
    other = Scripted()
    world.serve(other, "https://other.example")
    registry.on(f"GET {TAGGED}", WHO, SENT)
    auth.on("GET /token", moved("https://other.example/token"))
    other.on("GET /token", token("t1"))
    a_client(world, USER).manifest("1")
    assert authorization(auth.seen[0]) != ""
    assert authorization(other.seen[0]) == ""


def test_nothing_is_sent_in_the_clear_because_a_registry_says_so(world: World, registry: Scripted) -> None:
    registry.on(f"GET {TAGGED}", Answer(401, (("WWW-Authenticate", 'Bearer realm="http://auth.example/t"'),)))
    with pytest.raises(errors.BadDocument, match="in the clear"):
        a_client(world, USER).manifest("1")


def test_a_way_to_authenticate_that_nobody_here_knows(world: World, registry: Scripted) -> None:
    registry.on(f"GET {TAGGED}", Answer(401, (("WWW-Authenticate", "Negotiate"),)))
    with pytest.raises(errors.Unsupported, match="negotiate"):
        a_client(world).manifest("1")


def test_a_401_that_asks_for_nothing(world: World, registry: Scripted) -> None:
    registry.on(f"GET {TAGGED}", Answer(401))
    with pytest.raises(errors.AccessDenied):
        a_client(world).manifest("1")


def test_login_asks_for_no_scope(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on("GET /v2/", WHO, Answer(200))
    auth.on("GET /token", token("t1"))
    client = a_client(world, USER)
    client.access.want(())
    client.check()
    assert auth.asked() == ["GET /token?service=registry.example&account=ann"]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_the_token_stays(
    world: World, registry: Scripted, auth: Scripted, status: int
) -> None:
    store = Scripted()
    world.serve(store, "https://cdn.example")
    registry.on(f"GET {BLOB}", WHO, moved("https://cdn.example/x?sig=1", status))
    auth.on("GET /token", token("t1"))
    store.on("GET /x", SENT)
    assert a_client(world).blob(DIGEST, len(MANIFEST)) == MANIFEST
    assert [authorization(request) for request in registry.seen + store.seen] == ["", "Bearer t1", ""]


def test_a_redirect_within_the_registry_keeps_the_token(world: World, registry: Scripted) -> None:
    registry.on(f"GET {BLOB}", WHO_BASIC, moved("/x"))
    registry.on("GET /x", moved("?a=b"), SENT)
    assert a_client(world, USER).blob(DIGEST, len(MANIFEST)) == MANIFEST
    assert all(authorization(request) for request in registry.seen[1:])
    assert address(registry.seen[-1]) == "/x?a=b"


@pytest.mark.parametrize(
    "where", ["http://registry.example/x", "ftp://x.example/", "", "https://", "https://a@b.example/", "https://[/"]
)
def test_where_we_do_not_go(world: World, registry: Scripted, where: str) -> None:
    registry.on(f"GET {BLOB}", moved(where))
    with pytest.raises(errors.BadDocument, match="it sends us"):
        a_client(world).blob(DIGEST, len(MANIFEST))


def test_a_circle_ends(world: World, registry: Scripted) -> None:
    registry.on(f"GET {BLOB}", moved(BLOB))
    with pytest.raises(errors.BadDocument, match="more than 10 times"):
        a_client(world).blob(DIGEST, len(MANIFEST))
    assert len(registry.seen) == 11


def test_what_is_sent_is_not_sent_elsewhere(world: World, registry: Scripted) -> None:
    registry.on(f"PUT {TAGGED}", moved("https://cdn.example/x"))
    with pytest.raises(errors.RegistryError) as caught:
        a_client(world, actions=PUSH).put_manifest("1", MANIFEST, OCI_MANIFEST)
    assert caught.value.status == 307


def test_a_401_from_elsewhere_gets_no_answer(world: World, registry: Scripted) -> None:
    store = Scripted()
    world.serve(store, "https://cdn.example")
    registry.on(f"GET {BLOB}", moved("https://cdn.example/x"))
    store.on("GET /x", WHO_BASIC)
    with pytest.raises(errors.AccessDenied):
        a_client(world, USER).blob(DIGEST, len(MANIFEST))
    assert len(store.seen) == 1


# What may pass


@pytest.mark.parametrize("bad", [Answer(429), Answer(500), Answer(503, (), b"<html>"), Reply(None)])
def test_another_try_after_one_two_four_and_eight_seconds(
    world: World, registry: Scripted, bad: Answer | Reply
) -> None:
    registry.on(f"GET {TAGGED}", bad, bad, bad, bad, SENT)
    client, before_ns = a_client(world), world.state.clock_ns
    assert client.manifest("1").data == MANIFEST
    assert slept_s(world, before_ns) == 15


@pytest.mark.parametrize(
    ("bad", "kind"),
    [(Answer(429), errors.TooManyRequests), (Answer(502), errors.RegistryFailed), (Reply(None), errors.Unreached)],
)
def test_five_failures_are_the_end(
    world: World, registry: Scripted, bad: Answer | Reply, kind: type[BockerError]
) -> None:
    registry.on(f"GET {TAGGED}", bad)
    with pytest.raises(kind):
        a_client(world).manifest("1")
    assert len(registry.seen) == 5


@pytest.mark.parametrize(("asked", "waited"), [("30", 30), ("0", 1), ("soon", 1)])
def test_a_registry_is_left_alone_as_long_as_it_wants(
    world: World, registry: Scripted, asked: str, waited: int
) -> None:
    registry.on(f"GET {TAGGED}", Answer(503, (("Retry-After", asked),)), SENT)
    client, before_ns = a_client(world), world.state.clock_ns
    client.manifest("1")
    assert slept_s(world, before_ns) == waited


def test_a_registry_that_wants_an_hour_is_not_waited_for(world: World, registry: Scripted) -> None:
    registry.on(f"GET {TAGGED}", Answer(429, (("Retry-After", "3600"),)), SENT)
    client, before_ns = a_client(world), world.state.clock_ns
    with pytest.raises(errors.TooManyRequests) as caught:
        client.manifest("1")
    assert caught.value.retry_after_s == 3600
    assert slept_s(world, before_ns) == 0


@pytest.mark.parametrize("status", [400, 403, 404, 405, 418])
def test_a_refusal_is_not_asked_about_again(world: World, registry: Scripted, status: int) -> None:
    registry.on(f"GET {TAGGED}", Answer(status))
    with pytest.raises(errors.RegistryError, match=r"registry.example/team/app:1") as caught:
        a_client(world).manifest("1")
    assert caught.value.status == status
    assert len(registry.seen) == 1


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (errno.ECONNRESET, "The registry registry.example can not be reached: the connection broke off"),
        (errno.ETIMEDOUT, "The registry registry.example can not be reached: it does not answer"),
        (errno.EPROTO, "The registry registry.example can not be reached: it does not speak HTTP"),
    ],
)
def test_a_registry_out_of_reach_is_told_in_words(world: World, registry: Scripted, ending: int, said: str) -> None:
    registry.on(f"GET {TAGGED}", Reply(None, ending=ending))
    with pytest.raises(errors.Unreached) as caught:
        a_client(world).manifest("1")
    assert caught.value.message == said
    assert caught.value.hint


def test_nobody_listens(world: World, registry: Scripted) -> None:
    with pytest.raises(errors.Unreached, match=r"registry.example:444 can not be reached: connection refused"):
        a_client(world, url=f"{URL}:444").manifest("1")


def test_an_address_that_is_none(world: World) -> None:
    with pytest.raises(errors.BadDocument, match=r"nothing can be asked of 'registry\.example:0'"):
        a_client(world, url=f"{URL}:0").manifest("1")


def test_a_certificate_that_nobody_trusts_is_not_tried_again(world: World, registry: Scripted) -> None:
    registry.distrust = "self-signed certificate"
    client, before_ns = a_client(world), world.state.clock_ns
    with pytest.raises(errors.Distrusted, match="self-signed certificate") as caught:
        client.manifest("1")
    assert "REQUESTS_CA_BUNDLE" in (caught.value.hint or "")
    assert slept_s(world, before_ns) == 0


def test_a_registry_without_tls_is_named(world: World, registry: Scripted) -> None:
    registry.tls = False
    with pytest.raises(errors.Unreached) as caught:
        a_client(world).manifest("1")
    assert "plain http" in (caught.value.hint or "")


# Sending


def test_an_upload_begins_at_an_address(world: World, registry: Scripted) -> None:
    registry.on(f"POST {UPLOADS}", Answer(202, (("Location", f"{UPLOADS}u1?_state=a%2Bb"),)))
    client = a_client(world, actions=PUSH)
    location = client.begin_upload()
    assert location == f"{URL}{UPLOADS}u1?_state=a%2Bb"
    url = client.upload_request(location, DIGEST).url
    assert urlsplit(url).query.startswith("_state=a%2Bb&digest=sha256")
    assert parse_qs(urlsplit(url).query)["digest"] == [str(DIGEST)]
    assert urlsplit(client.upload_request(f"{URL}/u1", DIGEST).url).query.startswith("digest=")


@pytest.mark.parametrize(
    "answer", [Answer(202), Answer(201), Answer(202, (("Location", "http://registry.example/u1"),))]
)
def test_an_upload_without_an_address_is_none(world: World, registry: Scripted, answer: Answer) -> None:
    registry.on(f"POST {UPLOADS}", answer)
    with pytest.raises(errors.BadDocument):
        a_client(world, actions=PUSH).begin_upload()


def test_a_mount_asks_for_the_other_repository_too(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on(f"POST {UPLOADS}", WHO, Answer(201), Answer(202, (("Location", f"{UPLOADS}u1"),)))
    auth.on("GET /token", token("t1"))
    client = a_client(world, actions=PUSH)
    assert client.mount(DIGEST, "library/debian") is None
    assert client.mount(DIGEST, "library/debian") == f"{URL}{UPLOADS}u1"
    assert parse_qs(urlsplit(registry.seen[0].url).query) == {"mount": [str(DIGEST)], "from": ["library/debian"]}
    scopes = parse_qs(urlsplit(auth.seen[0].url).query)["scope"]
    assert scopes == [f"repository:{REPOSITORY}:pull,push", "repository:library/debian:pull"]
    assert len(auth.seen) == 1


def test_who_may_not_mount_uploads(world: World, registry: Scripted, auth: Scripted) -> None:
    begun = Answer(202, (("Location", f"{UPLOADS}u1"),))

    def decide(request: Request) -> Answer:
        return Answer(403) if "mount" in request.url else begun

    registry.on(f"POST {UPLOADS}", WHO, decide)
    auth.on("GET /token", token("t1"), token("t2"))
    assert a_client(world, actions=PUSH).mount(DIGEST, "library/debian") == f"{URL}{UPLOADS}u1"
    assert parse_qs(urlsplit(auth.seen[1].url).query)["scope"] == [f"repository:{REPOSITORY}:pull,push"]


def test_a_manifest_is_stored_and_its_digest_compared(world: World, registry: Scripted) -> None:
    told = Answer(201, (("Docker-Content-Digest", str(DIGEST)),))
    registry.on(f"PUT {TAGGED}", told, Answer(201), Answer(201, (("Docker-Content-Digest", str(digest_of(b""))),)))
    client = a_client(world, actions=PUSH)
    assert client.put_manifest("1", MANIFEST, OCI_MANIFEST) == DIGEST
    assert client.put_manifest("1", MANIFEST, OCI_MANIFEST) == DIGEST
    assert registry.seen[0].body == MANIFEST
    assert ("content-type", OCI_MANIFEST) in registry.seen[0].headers
    with pytest.raises(errors.WrongDigest, match="in the registry"):
        client.put_manifest("1", MANIFEST, OCI_MANIFEST)


# Secrets


def test_no_secret_is_shown(world: World, registry: Scripted, auth: Scripted) -> None:
    registry.on(f"GET {TAGGED}", WHO, Reply(None))
    auth.on("GET /token", token("t0ken"))
    client = a_client(world, USER)
    with pytest.raises(errors.Unreached) as caught:
        client.manifest("1")
    shown = repr([caught.value, caught.value.__cause__, vars(client), client.access, USER, caught.value.hint])
    assert "s3cret" not in shown
    assert "t0ken" not in shown


def test_a_mirror_is_spoken_of_by_the_name_that_was_used(world: World, registry: Scripted) -> None:
    with pytest.raises(errors.NotInRegistry, match=r"^debian:1: not found"):
        a_client(world, name="debian").manifest("1")

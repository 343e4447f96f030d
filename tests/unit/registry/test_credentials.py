from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.errors import InvalidValue
from bocker.registry import credentials
from bocker.registry.credentials import Credentials, HelperCall, parse_auth_file, parse_helper_answer
from bocker.registry.errors import BadDocument, HelperFailed
from bocker.registry.names import parse_name
from tests.unit.registry.samples import any_bytes, tried, written

HUB = "https://index.docker.io/v1/"


def auth(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


FULL: dict[str, Any] = {
    "auths": {HUB: auth("hub"), "quay.io": auth("q"), "quay.io/team": {"identitytoken": "t"}, "empty.example": {}},
    "credHelpers": {"gcr.io": "gcloud"},
    "HttpHeaders": {"X-Meta": "é"},
    "psFormat": "table {{.ID}}",
    "detachKeys": "ctrl-e,e",
}
HOSTS = st.sampled_from(["docker.io", "quay.io", "gcr.io", "localhost:5000", "empty.example"])
USERS = st.builds(Credentials, st.text("abé", min_size=1, max_size=5), st.text("abé: ", max_size=5))
TOKENS = st.builds(Credentials, st.just(""), identity_token=st.text("abc.-", min_size=1, max_size=9))


def lookups(document: dict[str, Any], name: str) -> list[Credentials | HelperCall]:
    return list(parse_auth_file(written(document)).lookups(parse_name(name)))


def user_of(document: dict[str, Any], name: str) -> str | None:
    for found in lookups(document, name):
        assert isinstance(found, Credentials)
        return found.user
    return None


@pytest.mark.parametrize(
    "key",
    [HUB, "https://index.docker.io/v1", "index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io",
     "docker.io/library", "docker.io/library/debian"],
)  # fmt: skip
def test_docker_s_hub_has_many_names(key: str) -> None:
    assert user_of({"auths": {key: auth("me")}}, "debian") == "me"
    assert user_of({"auths": {key: auth("me")}}, "quay.io/debian") is None


@pytest.mark.parametrize(
    ("key", "name", "fits"),
    [
        ("quay.io", "quay.io/a/b", True),
        ("QUAY.io", "quay.io/a/b", True),
        ("https://quay.io", "quay.io/a/b", True),
        ("https://quay.io/v2/", "quay.io/a/b", True),
        ("quay.io/a", "quay.io/a/b", True),
        ("quay.io/a/b", "quay.io/a/b", True),
        ("quay.io/a/b/c", "quay.io/a/b", False),
        ("quay.io/ab", "quay.io/a/b", False),
        ("quay.io/v2", "quay.io/a/b", False),
        ("quay.io:443", "quay.io/a/b", False),
        ("quay.io", "quay.io:8443/a", False),
        ("x.quay.io", "quay.io/a", False),
        ("io", "quay.io/a", False),
    ],
)
def test_an_entry_is_for_its_registry_or_namespace_alone(key: str, name: str, fits: bool) -> None:
    assert (user_of({"auths": {key: auth("me")}}, name) == "me") == fits


def test_the_longest_namespace_counts() -> None:
    entries = {"quay.io": auth("host"), "quay.io/a": auth("outer"), "quay.io/a/b": auth("inner")}
    for name, user in [("quay.io/a/b/c", "inner"), ("quay.io/a/x", "outer"), ("quay.io/x", "host")]:
        assert user_of({"auths": entries}, name) == user


def test_docker_s_own_spelling_goes_before_others() -> None:
    assert user_of({"auths": {"docker.io": auth("podman"), HUB: auth("docker")}}, "debian") == "docker"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (auth("me", "a:b"), Credentials("me", "a:b")),
        (auth("me", "x\0\0"), Credentials("me", "x")),
        ({"username": "me", "password": "x"}, Credentials("me", "x")),
        (auth("me", "") | {"identitytoken": "t"}, Credentials("", identity_token="t")),
    ],
)
def test_each_kind_of_entry_is_read(entry: dict[str, str], expected: Credentials) -> None:
    assert lookups({"auths": {"quay.io": entry}}, "quay.io/x") == [expected]


@pytest.mark.parametrize("encoded", ["no base64!", "bWU6!eA==", "bWU=", base64.b64encode(b"\xff:x").decode(), "Onh4"])
def test_a_damaged_entry_is_named_when_it_is_wanted_and_only_then(encoded: str) -> None:
    document = {"auths": {"quay.io": {"auth": encoded}, "x.example": auth("me")}}
    assert user_of(document, "x.example/y") == "me"
    with pytest.raises(BadDocument, match=r"entry for quay\.io in the file of credentials") as caught:
        lookups(document, "quay.io/x")
    assert encoded not in caught.value.message


def test_helpers_are_asked_before_the_file_itself() -> None:
    document = FULL | {"credsStore": "desktop"}
    assert lookups(document, "gcr.io/x") == [
        HelperCall("docker-credential-gcloud", "gcr.io"),
        HelperCall("docker-credential-desktop", "gcr.io"),
    ]
    assert lookups(document, "debian") == [HelperCall("docker-credential-desktop", HUB), Credentials("hub", "secret")]
    assert lookups(FULL, "gcr.io/x") == [HelperCall("docker-credential-gcloud", "gcr.io")]
    assert lookups(FULL, "empty.example/x") == []


@pytest.mark.parametrize("helper", ["../../tmp/evil", "a b", "-x", "/bin/sh", "a\n"])
def test_a_helper_is_no_path(helper: str) -> None:
    for document in ({"credsStore": helper}, {"credHelpers": {"quay.io": helper}}):
        with pytest.raises(BadDocument, match="a helper can not be called"):
            lookups(document, "quay.io/x")


def test_what_a_helper_prints() -> None:
    answer = {"ServerURL": HUB, "Username": "me", "Secret": "x"}
    assert parse_helper_answer("h", 0, written(answer)) == Credentials("me", "x")
    token = answer | {"Username": "<token>"}
    assert parse_helper_answer("h", 0, written(token)) == Credentials("", identity_token="x")
    assert parse_helper_answer("h", 0, written(answer | {"Secret": ""})) is None
    assert parse_helper_answer("h", 1, b"credentials not found in native keychain\n") is None
    with pytest.raises(HelperFailed, match=r"'h' failed: no \\x1b bus"):
        parse_helper_answer("h", 1, b"no \x1b bus\n")
    with pytest.raises(BadDocument, match="answer of 'h'"):
        parse_helper_answer("h", 0, b"")


@given(USERS | TOKENS)
def test_what_a_helper_is_given_it_gives_back(given_credentials: Credentials) -> None:
    back = parse_helper_answer("h", 0, credentials.helper_entry(HUB, given_credentials))
    kept = given_credentials.password or given_credentials.identity_token
    assert back == (given_credentials if kept else None)


@given(HOSTS, USERS | TOKENS)
def test_what_is_written_is_found_again_and_nothing_else_changes(host: str, made: Credentials) -> None:
    data = credentials.with_entry(written(FULL), host, made)
    name = parse_name(f"{host}/x/y")
    assert parse_auth_file(data).lookups(name)[-1] == made
    before, after = dict(FULL), json.loads(data)
    entries = dict(before.pop("auths"))
    entries.pop(credentials.registry_key(host), None)
    changed = after.pop("auths")
    changed.pop(credentials.registry_key(host))
    assert (after, changed) == (before, entries)
    assert list(json.loads(data)) == list(FULL)


@given(HOSTS)
def test_what_is_taken_out_is_gone_and_nothing_else_changes(host: str) -> None:
    after = json.loads(credentials.without_entry(written(FULL), host))
    entries = {key: value for key, value in FULL["auths"].items() if key != credentials.registry_key(host)}
    assert after == FULL | {"auths": entries}


def test_one_registry_s_other_names_are_taken_out_too() -> None:
    names = {key: auth("old") for key in ("docker.io", "index.docker.io", HUB)}
    data = credentials.with_entry(written({"auths": names}), "docker.io", Credentials("new", "x"))
    assert json.loads(data) == {"auths": {HUB: auth("new", "x")}}
    assert json.loads(credentials.without_entry(data, "docker.io")) == {"auths": {}}


def test_a_file_that_is_not_there_yet_is_made() -> None:
    for nothing in (b"", b"\n", b"{}", b'{"auths": null}'):
        data = credentials.with_entry(nothing, "docker.io", Credentials("me", "x"))
        assert json.loads(data) == {"auths": {HUB: auth("me", "x")}}
        assert data.startswith(b'{\n\t"auths": {\n\t\t"https://index')
        assert parse_auth_file(nothing).lookups(parse_name("debian")) == ()


def test_a_file_that_can_not_be_kept_is_not_touched() -> None:
    for data in (b"[]", b"{", b'{"auths": []}', b'{"x": 1e400}'):
        with pytest.raises(BadDocument):
            credentials.with_entry(data, "quay.io", Credentials("me", "x"))
    with pytest.raises(InvalidValue, match="colon"):
        credentials.with_entry(b"{}", "quay.io", Credentials("a:b", "x"))


def test_a_file_that_is_too_deep_to_write_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer interpreters read deeper than they write."""
    monkeypatch.setattr(json, "dumps", too_deep)
    with pytest.raises(BadDocument, match="can not be written again"):
        credentials.with_entry(b"{}", "quay.io", Credentials("me", "x"))


def too_deep(*_: object, **__: object) -> str:
    raise RecursionError


def test_a_secret_is_not_in_its_text_form() -> None:
    assert "hunter2" not in repr(Credentials("me", "hunter2", "hunter2"))


@given(any_bytes(FULL, FULL | {"credsStore": "x"}), st.sampled_from(["debian", "quay.io/team/x", "gcr.io/a"]))
def test_any_file_is_read_or_refused(data: bytes, name: str) -> None:
    tried(lambda: parse_auth_file(data).lookups(parse_name(name)))
    changed = tried(lambda: credentials.with_entry(data, "quay.io", Credentials("me", "x")))
    found = tried(lambda: parse_auth_file(changed or b"").lookups(parse_name("quay.io/z")))
    assert changed is None or found is None or Credentials("me", "x") in found


@given(st.integers(0, 2), any_bytes({"ServerURL": HUB, "Username": "me", "Secret": "x"}))
def test_any_answer_of_a_helper_is_read_or_refused(exit_code: int, output: bytes) -> None:
    tried(lambda: parse_helper_answer("h", exit_code, output))

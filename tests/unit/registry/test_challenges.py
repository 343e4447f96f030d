from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.errors import InvalidValue
from bocker.registry import challenges
from bocker.registry.challenges import Challenge, Token, may_carry, parse_challenges, parse_token
from bocker.registry.errors import BadDocument, Unsupported
from tests.strategies import ARGUMENT
from tests.unit.registry.samples import any_bytes, tried, written

REGISTRY = "https://registry-1.docker.io/v2/"
REALM = "https://auth.docker.io/token"
HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull"'
ASKED = Challenge(
    "bearer", (("realm", REALM), ("service", "registry.docker.io"), ("scope", "repository:library/x:pull"))
)
WORD = st.text("abcXYZ019-_", min_size=1, max_size=8)
PARAMETERS = st.lists(st.tuples(WORD.map(str.lower), st.text('ab ,="\\é:/', max_size=12)), max_size=4).map(tuple)
CHALLENGES = st.lists(st.builds(Challenge, WORD.map(str.lower), PARAMETERS), max_size=4).map(tuple)
HEADERISH = st.text('Bearer basic realm="\\,=/: \t\n', max_size=60) | ARGUMENT
URLISH = st.text("htps:/@\\.ab[]%#?019 ", max_size=30).map(lambda text: "https://" + text) | ARGUMENT


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def asking(**parameters: str) -> Challenge:
    return Challenge("bearer", tuple(parameters.items()))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HUB, [ASKED]),
        ('Basic realm="Registry Realm"', [Challenge("basic", (("realm", "Registry Realm"),))]),
        ("BASIC Realm=plain", [Challenge("basic", (("realm", "plain"),))]),
        ("Bearer realm=https://a.example/t,service=x", [asking(realm="https://a.example/t", service="x")]),
        ('Bearer realm = "x" , service = "y"', [asking(realm="x", service="y")]),
        ("Negotiate, Basic realm=x", [Challenge("negotiate"), Challenge("basic", (("realm", "x"),))]),
        ("Negotiate YWJj==,Basic", [Challenge("negotiate"), Challenge("basic")]),
        (r'Bearer realm="a\"b,c\\"', [asking(realm='a"b,c\\')]),
        (",, Basic ,", [Challenge("basic")]),
        ("", []),
    ],
)
def test_challenges_are_read(header: str, expected: list[Challenge]) -> None:
    assert list(parse_challenges(header)) == expected


@pytest.mark.parametrize("header", ['Bearer realm="x', 'realm="x"', "Bearer a b", 'Bearer realm=x"y"', "Basic, " * 600])
def test_a_header_that_can_not_be_read_is_refused(header: str) -> None:
    with pytest.raises(BadDocument, match="WWW-Authenticate"):
        parse_challenges(header)


@given(CHALLENGES)
def test_any_challenges_are_read_as_they_were_meant(expected: tuple[Challenge, ...]) -> None:
    pieces = [
        f"{challenge.scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in challenge.parameters)
        for challenge in expected
    ]
    assert parse_challenges(", ".join(pieces)) == expected


@given(HEADERISH)
def test_any_header_is_read_or_refused(header: str) -> None:
    for challenge in tried(lambda: parse_challenges(header)) or ():
        tried(lambda challenge=challenge: challenges.token_url(challenge, REGISTRY, ()))  # type: ignore[misc]


def test_the_first_of_two_parameters_counts() -> None:
    assert parse_challenges("Bearer realm=a,realm=b")[0].get("realm") == "a"
    assert ASKED.get("error") == ""


def test_a_token_goes_before_a_password() -> None:
    basic, negotiate = Challenge("basic"), Challenge("negotiate")
    assert challenges.choose_challenge((negotiate, basic, ASKED)) == ASKED
    assert challenges.choose_challenge((negotiate, basic)) == basic
    with pytest.raises(Unsupported, match="asks for negotiate"):
        challenges.choose_challenge((negotiate,))
    with pytest.raises(Unsupported, match="asks for nothing"):
        challenges.choose_challenge(())


def test_a_token_is_asked_for_what_is_wanted_and_what_is_demanded() -> None:
    scope = challenges.repository_scope("library/x", "pull", "push")
    url = challenges.token_url(ASKED, REGISTRY, (scope, "repository:library/x:pull"), account="me & you")
    assert url.startswith(REALM + "?")
    assert parse_qs(urlsplit(url).query) == {
        "service": ["registry.docker.io"],
        "account": ["me & you"],
        "scope": ["repository:library/x:pull,push", "repository:library/x:pull"],
    }


def test_what_the_realm_asks_itself_is_kept() -> None:
    asked = asking(realm="https://gitlab.example/jwt/auth?client=1&empty=#x")
    assert challenges.token_url(asked, REGISTRY, ()) == "https://gitlab.example/jwt/auth?client=1&empty="


def test_a_broken_byte_of_the_header_is_replaced() -> None:
    odd = asking(realm=REALM, service="\udc80", scope="\udc80")
    assert challenges.token_url(odd, REGISTRY, ()) == REALM + "?service=%3F&scope=%3F"
    assert b"service=%3F" in challenges.refresh_form(odd, (), "x")


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        (REGISTRY, REALM, True),
        (REGISTRY, "HTTPS://auth.example/token", True),
        ("http://localhost:5000/v2/", "http://localhost:5001/token", True),
        ("http://localhost:5000/v2/", REALM, True),
        (REGISTRY, "http://auth.docker.io/token", False),
        (REGISTRY, "", False),
        (REGISTRY, "/token", False),
        (REGISTRY, "file:///etc/shadow", False),
        (REGISTRY, "https://user@auth.docker.io/token", False),
        (REGISTRY, "https://a.example\\@b.example/", False),
        (REGISTRY, "https://a.example\\b.example/", False),
        (REGISTRY, "https://auth.example/ x", False),
        (REGISTRY, "https://:443/", False),
    ],
)
def test_a_realm_is_no_less_secret_than_its_registry(registry: str, realm: str, allowed: bool) -> None:
    found = tried(lambda: challenges.token_url(asking(realm=realm), registry, ()), BadDocument)
    assert (found is not None) == allowed


def test_an_identity_token_is_posted() -> None:
    form = challenges.refresh_form(ASKED, ("repository:y:pull",), "se&cret")
    assert parse_qs(form.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["registry.docker.io"],
        "client_id": ["bocker"],
        "scope": ["repository:y:pull repository:library/x:pull"],
        "refresh_token": ["se&cret"],
    }


@pytest.mark.parametrize(
    ("document", "token"),
    [
        ({"token": "a.b-c"}, Token("a.b-c", 60)),
        ({"access_token": "x", "expires_in": 300, "issued_at": "2026-11-21T00:00:00Z"}, Token("x", 300)),
        ({"token": "x", "access_token": "y", "expires_in": 1}, Token("x", 60)),
        ({"token": "", "access_token": "y", "expires_in": None}, Token("y", 60)),
    ],
)
def test_a_token_is_read(document: dict[str, object], token: Token) -> None:
    assert parse_token(written(document)) == token
    assert challenges.bearer_header(token) == f"Bearer {token.value}"


@pytest.mark.parametrize("value", ["", None, "a b", "a\r\nHost: x", "é", "\x7f"])
def test_a_token_that_would_forge_a_header_is_refused(value: str | None) -> None:
    with pytest.raises(BadDocument, match="no token"):
        parse_token(written({"token": value}))


@given(any_bytes({"token": "abc", "expires_in": 300}))
def test_any_bytes_are_a_token_or_refused(data: bytes) -> None:
    token = tried(lambda: parse_token(data))
    assert token is None or (token.life_s >= 60 and token.value.isascii())


def test_a_token_is_not_in_its_text_form() -> None:
    assert "hunter2" not in repr(Token("hunter2"))


@given(st.text("ab c:é", max_size=8), ARGUMENT)
def test_a_password_is_sent_as_rfc_7617_says(user: str, password: str) -> None:
    header = tried(lambda: challenges.basic_header(user, password), InvalidValue)
    if header is None:
        assert ":" in user or not password.isprintable()
        return
    assert ":" not in user
    assert header.isascii()
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"{user}:{password}"


SAME = "https://registry.example/v2/x"


@pytest.mark.parametrize(
    ("issued", "target", "allowed"),
    [
        (SAME, SAME, True),
        (SAME, "https://registry.example/other?x#y", True),
        (SAME, "https://REGISTRY.example:443/", True),
        (SAME, "HTTPS://registry.example/", True),
        ("http://localhost:5000/", "http://localhost:5000/v2/", True),
        (SAME, "http://registry.example/v2/x", False),
        (SAME, "http://registry.example:443/v2/x", False),
        (SAME, "https://registry.example:444/", False),
        (SAME, "https://registry.example:0/", False),
        (SAME, "https://registry.exa\nmple/", False),
        (SAME, "https://cdn.registry.example/", False),
        (SAME, "https://example/", False),
        (SAME, "https://registry.example.evil.example/", False),
        (SAME, "https://registry.example@evil.example/", False),
        (SAME, "https://evil.example\\@registry.example/", False),
        (SAME, "https://registry.example\n.evil.example/", False),
        (SAME, "https://x@registry.example/", False),
        (SAME, "https://registry.example:x/", False),
        (SAME, "//registry.example/", False),
        (SAME, "", False),
        ("", "", False),
        ("ftp://a/", "ftp://a/", False),
        ("https://[::1", "https://[::1", False),
    ],
)
def test_a_secret_goes_to_no_other_host(issued: str, target: str, allowed: bool) -> None:
    assert may_carry(issued, target) == may_carry(target, issued) == allowed


@given(URLISH)
def test_any_address_is_judged(url: str) -> None:
    if may_carry(SAME, url):
        assert url.lower().startswith(("https://registry.example/", "https://registry.example:"))
    assert not may_carry(url, url) or "@" not in urlsplit(url).netloc

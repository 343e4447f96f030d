"""Who may do what in a fake registry: everybody, whoever knows a password, whoever brings a token.

Sources: the distribution project's pages on token authentication (scope, JWT left out: a token is a word),
RFC 6750 for what a refused token is told, RFC 6749 for `refresh_token`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs

from bocker.fakes.servers import SECOND_NS
from bocker.fakes.web import Fields, Visit, basic_credentials, form, json_answer, refusal
from bocker.kernel.http import Answer

PULL, PUSH = "pull", "push"
ANONYMOUS = ""
Right = tuple[str, str]  # a repository, and what is done to it
Rights = frozenset[Right]


class Access:
    """Everybody may do everything; the base of the others. `url`: where its own server is, if it has one."""

    url = ""

    def refuse(self, visit: Visit, needed: Rights) -> Answer | None:
        """Return why a request may not have what it needs, None where it may."""
        return None

    def respond(self, visit: Visit) -> Answer:
        """Answer a request to its own server."""
        return Answer(404)


@attrs.frozen
class Rules:
    """Who is known, and may do what.

    users: by name their passwords, who may do everything but what is `denied` them. What is not `private`
    may be pulled by anybody, if `anonymous`.
    """

    users: Mapping[str, str] = attrs.field(factory=dict)
    private: frozenset[str] = frozenset()
    anonymous: bool = True
    denied: frozenset[tuple[str, str, str]] = frozenset()

    def knows(self, user: str, password: str) -> bool:
        """Tell whether a password is the user's."""
        return self.users.get(user) == password

    def allows(self, user: str, right: Right) -> bool:
        """Tell whether a user, or anybody (ANONYMOUS), may do that."""
        repository, action = right
        if user == ANONYMOUS:
            return self.anonymous and action == PULL and repository not in self.private
        return (user, repository, action) not in self.denied


class Basic(Access):
    """A name and a password with each request (RFC 7617)."""

    def __init__(self, rules: Rules, realm: str = "a registry") -> None:
        self.rules = rules
        self.realm = realm

    def refuse(self, visit: Visit, needed: Rights) -> Answer | None:
        """Return 401 where nobody is known, 403 where he may not."""
        credentials = basic_credentials(visit.header("authorization"))
        if credentials is None or not self.rules.knows(*credentials):
            return refusal(401, "UNAUTHORIZED", (("www-authenticate", f'Basic realm="{self.realm}"'),))
        if not all(self.rules.allows(credentials[0], right) for right in needed):
            return refusal(403, "DENIED")
        return None


@attrs.frozen
class Grant:
    """What a token is good for, and until when."""

    user: str
    rights: Rights
    ends_ns: int


class Tokens(Access):
    """A token for some rights, from a server of its own at `url` (the realm), for `life_s`.

    `fields` are the names under which an answer has the token; servers differ. `oauth`: whether a token
    is given by POST too, for a password or a refresh token; a server without it answers 405.
    """

    def __init__(
        self,
        rules: Rules,
        url: str = "https://auth.example/token",
        service: str = "registry.example",
        life_s: int = 300,
        fields: tuple[str, ...] = ("token", "access_token"),
        oauth: bool = True,
    ) -> None:
        self.rules = rules
        self.url = url
        self.service = service
        self.life_s = life_s
        self.fields = fields
        self.oauth = oauth
        self.grants: dict[str, Grant] = {}
        self.refresh_tokens: dict[str, str] = {}

    def refuse(self, visit: Visit, needed: Rights) -> Answer | None:
        """Return 401 with the way to a token, where there is none that is good for it."""
        authorization = visit.header("authorization")
        scheme, _, token = authorization.partition(" ")
        grant = self.grants.get(token) if scheme.lower() == "bearer" else None
        if grant is None or grant.ends_ns <= visit.now_ns:
            return self._challenge(needed, "invalid_token" if authorization else "")
        return None if needed <= grant.rights else self._challenge(needed, "insufficient_scope")

    def _challenge(self, needed: Rights, error: str) -> Answer:
        words = [f'realm="{self.url}"', f'service="{self.service}"']
        words += [f'scope="{scope_text(needed)}"'] if needed else []
        words += [f'error="{error}"'] if error else []
        return refusal(401, "UNAUTHORIZED", (("www-authenticate", f"Bearer {','.join(words)}"),), sorted(needed))

    def respond(self, visit: Visit) -> Answer:
        """Give a token for what was asked for, as far as the user may have it."""
        if visit.path != urlsplit(self.url).path:
            return Answer(404)
        if visit.method == "GET":
            return self._by_get(visit)
        return self._by_post(visit) if visit.method == "POST" and self.oauth else Answer(405)

    def _by_get(self, visit: Visit) -> Answer:
        user = ANONYMOUS
        if visit.header("authorization"):
            credentials = basic_credentials(visit.header("authorization"))
            if credentials is None or not self.rules.knows(*credentials):
                return refusal(401, "UNAUTHORIZED")
            user = credentials[0]
        if visit.asked("service") != self.service:
            return refusal(400, "UNSUPPORTED", detail="service")
        scopes = " ".join(value for key, value in visit.query if key == "scope")
        return self._give(user, scopes, visit, user != ANONYMOUS and visit.asked("offline_token") == "true")

    def _by_post(self, visit: Visit) -> Answer:
        fields = form(visit.request.body)
        user = self._user_of(fields)
        if not user:
            return json_answer(401, {"error": "invalid_grant"})
        if fields.get("service") != self.service or not fields.get("client_id"):
            return json_answer(400, {"error": "invalid_request"})
        return self._give(user, fields.get("scope", ""), visit, fields.get("access_type") == "offline")

    def _user_of(self, fields: Fields) -> str:
        if fields.get("grant_type") == "refresh_token":
            return self.refresh_tokens.get(fields.get("refresh_token", ""), ANONYMOUS)
        user = fields.get("username", "")
        known = fields.get("grant_type") == "password" and self.rules.knows(user, fields.get("password", ""))
        return user if known else ANONYMOUS

    def _give(self, user: str, scopes: str, visit: Visit, offline: bool) -> Answer:
        rights = frozenset(right for right in parse_scopes(scopes) if self.rules.allows(user, right))
        token = f"bearer-{len(self.grants) + 1}"
        self.grants[token] = Grant(user, rights, visit.now_ns + self.life_s * SECOND_NS)
        content: dict[str, object] = dict.fromkeys(self.fields, token)
        content |= {"expires_in": self.life_s, "scope": scope_text(rights)}
        if offline:
            content["refresh_token"] = self.refresh_token(user)
        return json_answer(200, content)

    def refresh_token(self, user: str) -> str:
        """Return a new refresh token (docker calls it an identity token) of a user."""
        token = f"refresh-{len(self.refresh_tokens) + 1}"
        self.refresh_tokens[token] = user
        return token


def parse_scopes(text: str) -> Rights:
    """Return the rights that scopes, joined by blanks, ask for; what is not about a repository is passed over."""
    found = set()
    for scope in text.split():
        kind, _, rest = scope.partition(":")
        repository, _, actions = rest.rpartition(":")
        if kind == "repository":
            found |= {(repository, action) for action in actions.split(",")}
    return frozenset(found)


def scope_text(rights: Rights) -> str:
    """Return rights as scopes, joined by blanks."""
    by_repository: dict[str, list[str]] = {}
    for repository, action in sorted(rights):
        by_repository.setdefault(repository, []).append(action)
    return " ".join(f"repository:{name}:{','.join(actions)}" for name, actions in by_repository.items())

"""Who we are to one registry: what is sent as `Authorization`, found out when the registry first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bocker.core.errors import BockerError
from bocker.kernel.http import Request
from bocker.registry.challenges import (
    BASIC,
    Challenge,
    Token,
    basic_header,
    bearer_header,
    check_realm,
    choose_challenge,
    may_carry,
    parse_challenges,
    parse_token,
    refresh_form,
    token_url,
)
from bocker.registry.errors import NotInRegistry, RegistryError
from bocker.registry.sending import Reply, follow, refused

if TYPE_CHECKING:
    from bocker.kernel.ambient import Ambient
    from bocker.kernel.http import Http
    from bocker.registry.credentials import Credentials
    from bocker.registry.documents import Pairs
    from bocker.registry.endpoints import Endpoint

RENEWED_BEFORE_NS = 10 * 10**9  # a token's end: what is on the way should arrive before it
_FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


class Access:
    """The header for one registry and some scopes, made when it is asked for, and anew when it has expired.

    `credentials` is called once at most, and only if the registry asks who is there.
    """

    def __init__(
        self,
        http: Http,
        ambient: Ambient,
        endpoint: Endpoint,
        credentials: Callable[[], Credentials | None],
        subject: str,
    ) -> None:
        self._http = http
        self._ambient = ambient
        self._endpoint = endpoint
        self._credentials = credentials
        self._subject = subject
        self._asked: tuple[Credentials | None] | None = None
        self._scopes: tuple[str, ...] = ()
        self._challenge: Challenge | None = None
        self._value = ""
        self._ends_ns: int | None = None

    def want(self, scopes: tuple[str, ...]) -> None:
        """From now on be somebody who may do this; a token for something else is given up."""
        if scopes != self._scopes:
            self._scopes = scopes
            self._value = ""

    def headers(self, url: str) -> Pairs:
        """Return what to send to an address: nothing to another host than the registry's."""
        if not may_carry(self._endpoint.url, url):
            return ()
        if self._challenge is not None and self._is_over():
            self._renew(self._challenge)
        return (("Authorization", self._value),) if self._value else ()

    def admit(self, reply: Reply) -> bool:
        """Answer a 401: tell whether there is something else to send now than what was sent.

        Raises Unsupported for a way to authenticate that we don't have, AccessDenied when the credentials
        are refused, and what else goes wrong with the token server, which is asked once.
        """
        header = reply.answer.get("www-authenticate")
        if not header or not may_carry(self._endpoint.url, reply.request.url):
            return False
        if _authorization(reply.request) != self._value:
            return True  # it was renewed since
        self._challenge = choose_challenge(parse_challenges(header))
        self._renew(self._challenge)
        return bool(self._value)

    def _is_over(self) -> bool:
        return not self._value or (self._ends_ns is not None and self._ambient.now_ns() >= self._ends_ns)

    def _renew(self, challenge: Challenge) -> None:
        if challenge.scheme == BASIC:
            self._value, self._ends_ns = self._basic(), None
            return
        token = self._fetch(challenge)
        self._value = bearer_header(token)
        self._ends_ns = self._ambient.now_ns() + token.life_s * 10**9 - RENEWED_BEFORE_NS

    def _fetch(self, challenge: Challenge) -> Token:
        request, basic = self._token_request(challenge)
        secrets = (("Authorization", basic),) if basic else ()
        reply = follow(self._http, request, self._subject, lambda url: secrets if may_carry(request.url, url) else ())
        if not reply.is_success:
            raise _token_refused(refused(self._subject, self._endpoint.host, reply.answer))
        return parse_token(reply.answer.body)

    def _token_request(self, challenge: Challenge) -> tuple[Request, str]:
        """Return what to ask the token server, and the Authorization to go with it."""
        known = self._known()
        if known and known.identity_token:
            form = refresh_form(challenge, self._scopes, known.identity_token)
            return Request("POST", check_realm(challenge, self._endpoint.url), _FORM, form), ""
        user = known.user if known else ""
        return Request("GET", token_url(challenge, self._endpoint.url, self._scopes, user)), self._basic()

    def _basic(self) -> str:
        known = self._known()
        return basic_header(known.user, known.password) if known and not known.identity_token else ""

    def _known(self) -> Credentials | None:
        if self._asked is None:
            self._asked = (self._credentials(),)
        return self._asked[0]


def _authorization(request: Request) -> str:
    return next((value for name, value in request.headers if name == "Authorization"), "")


def _token_refused(error: BockerError) -> BockerError:
    """A token server that has no such page says nothing about the image."""
    if isinstance(error, NotInRegistry):
        return RegistryError(error.subject, error.status, error.code, error.reason)
    return error

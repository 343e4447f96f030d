"""How a registry asks who is there: `WWW-Authenticate`, the token that it sends us for, and who may see what.

Sources: RFC 9110, 11.6.1 (the header), the distribution project's token specification, RFC 6749 for refresh
tokens. Nothing secret is in the text form of a value, or in an error.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from bocker.core.errors import InvalidValue
from bocker.registry.documents import Pairs, read_object
from bocker.registry.errors import BadDocument, Unsupported, one_line

BASIC, BEARER = "basic", "bearer"
CLIENT_ID = "bocker"
SHORTEST_LIFE_S = 60
LONGEST_LIFE_S = 10 * 365 * 24 * 3600
LONGEST_HEADER = 4096
_HEADER = "WWW-Authenticate header"
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PIECES = re.compile(rf'(?:{_QUOTED}|[^",])+')
_SCHEME = re.compile(rf"({_WORD})(?: +(.*))?")
_PARAMETER = re.compile(rf"({_WORD}) *= *({_QUOTED}|[^\s\",=][^\s\",]*)")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_PLAIN_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Challenge:
    """One way in: the scheme in lower case, and its parameters with names in lower case."""

    scheme: str
    parameters: Pairs = ()

    def get(self, name: str) -> str:
        """Return a parameter, empty where there is none; the first one where there are two."""
        return next((value for key, value in self.parameters if key == name), "")


@attrs.frozen
class Token:
    """What a token server gives. `life_s` counts from the answer's arrival, by our clock."""

    value: str = attrs.field(repr=False)
    life_s: int = SHORTEST_LIFE_S


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read the header, or several joined by commas; raise BadDocument."""
    if len(header) > LONGEST_HEADER or '"' in re.sub(_QUOTED, "", header):
        raise BadDocument(_HEADER, "it is too long, or a quotation mark is missing")
    found: list[Challenge] = []
    for piece in _PIECES.findall(header):
        if piece.strip():
            _add(found, piece.strip())
    return tuple(found)


def choose_challenge(challenges: tuple[Challenge, ...]) -> Challenge:
    """Return the challenge to answer: a token's before a password's; raise Unsupported for others."""
    for scheme in (BEARER, BASIC):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    asked = ", ".join(challenge.scheme for challenge in challenges) or "nothing that it names"
    raise Unsupported("registry's way to authenticate", f"it asks for {asked}")


def repository_scope(repository: str, *actions: str) -> str:
    """Return the scope of some actions (`pull`, `push`) on a repository."""
    return f"repository:{repository}:{','.join(actions)}"


def token_url(challenge: Challenge, registry_url: str, scopes: tuple[str, ...], account: str = "") -> str:
    """Return the address to GET a token from, for what the challenge asks and for `scopes`.

    `account` is the user's name where credentials go along. Raises BadDocument for a realm that may not be
    asked (`check_realm`).
    """
    parts = urlsplit(check_realm(challenge, registry_url))
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += [(name, value) for name, value in (("service", challenge.get("service")), ("account", account)) if value]
    query += [("scope", scope) for scope in _scopes(challenge, scopes)]
    return urlunsplit(parts._replace(query=urlencode(query, errors="replace"), fragment=""))


def refresh_form(challenge: Challenge, scopes: tuple[str, ...], identity_token: str) -> bytes:
    """Return the form to POST to the realm, for a token in exchange for an identity token."""
    fields = {
        "grant_type": "refresh_token",
        "service": challenge.get("service"),
        "client_id": CLIENT_ID,
        "scope": " ".join(_scopes(challenge, scopes)),
        "refresh_token": identity_token,
    }
    return urlencode(fields, errors="replace").encode("ascii")


def check_realm(challenge: Challenge, registry_url: str) -> str:
    """Return the token server's address; raise BadDocument if it is none, or less secret than the registry's."""
    realm = challenge.get("realm")
    there, here = origin(realm), origin(registry_url)
    if there is None or here is None:
        raise BadDocument(_HEADER, f"its realm is no address: {realm}")
    if here[0] == "https" and there[0] != "https":
        raise BadDocument(_HEADER, f"its realm would have passwords sent in the clear: {realm}")
    return realm


def parse_token(data: bytes, subject: str = "token server's answer") -> Token:
    """Read a token server's answer; raise BadDocument. It lives for a minute if the server does not say longer."""
    fields = read_object(data, subject)
    value = fields.text("token") or fields.text("access_token")
    if not _is_header_word(value):
        raise BadDocument(subject, "it has no token that can be sent")
    life_s = fields.number("expires_in", LONGEST_LIFE_S, default=SHORTEST_LIFE_S)
    return Token(value, max(life_s, SHORTEST_LIFE_S))


def basic_header(user: str, password: str) -> str:
    """Return the Authorization header for a name and a password (RFC 7617); raise InvalidValue."""
    if ":" in user or not (user + password).isprintable():
        raise InvalidValue("A user's name has no colon, and neither it nor a password has control characters")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def bearer_header(token: Token) -> str:
    """Return the Authorization header for a token."""
    return f"Bearer {token.value}"


def may_carry(issued_url: str, target_url: str) -> bool:
    """Tell whether what was made for one address may be sent to another: same scheme, host and port, nothing else.

    An address that two programs could read in two ways (a user's name, a backslash, a space) may carry nothing.
    """
    issued = origin(issued_url)
    return issued is not None and issued == origin(target_url)


def origin(url: str) -> tuple[str, str, int] | None:
    """Return the scheme, the host and the port of an address, None for what two programs could read in two ways."""
    if not _PLAIN_URL.fullmatch(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if "@" in parts.netloc or not parts.hostname or port == 0:
        return None
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme]


def _add(found: list[Challenge], piece: str) -> None:
    """Take in what stands between two commas: a parameter of the last challenge, or the start of a new one."""
    if found and (parameter := _PARAMETER.fullmatch(piece)):
        found[-1] = _with(found[-1], parameter)
        return
    scheme = _SCHEME.fullmatch(piece)
    if scheme is None:
        raise BadDocument(_HEADER, f"it has '{one_line(piece)}'")
    found.append(_started(scheme[1].lower(), (scheme[2] or "").strip()))


def _started(scheme: str, rest: str) -> Challenge:
    if parameter := _PARAMETER.fullmatch(rest):
        return _with(Challenge(scheme), parameter)
    if rest and not _TOKEN68.fullmatch(rest):
        raise BadDocument(_HEADER, f"'{one_line(rest)}' is no parameter of {one_line(scheme)}")
    return Challenge(scheme)


def _with(challenge: Challenge, parameter: re.Match[str]) -> Challenge:
    value = parameter[2]
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return attrs.evolve(challenge, parameters=(*challenge.parameters, (parameter[1].lower(), value)))


def _scopes(challenge: Challenge, scopes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*scopes, *challenge.get("scope").split())))


def _is_header_word(text: str) -> bool:
    return bool(text) and all("!" <= character <= "~" for character in text)

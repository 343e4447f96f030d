"""Requests taken apart and answers put together, for the servers of the fake world."""

from __future__ import annotations

import base64
import binascii
import json
from urllib.parse import parse_qsl, urlsplit

import attrs

from bocker.fakes.servers import Headers, header
from bocker.kernel.http import Answer, Request

JSON = "application/json; charset=utf-8"
Fields = dict[str, str]


@attrs.frozen
class Visit:
    """A request as a server reads it: host with port as it was asked for, path, query, and when it came."""

    request: Request
    host: str
    path: str
    query: tuple[tuple[str, str], ...]
    now_ns: int

    @property
    def method(self) -> str:
        """The request's method."""
        return self.request.method

    def header(self, name: str) -> str:
        """Return a header by its name in lower case, empty where there is none."""
        return header(self.request.headers, name)

    def asked(self, name: str) -> str:
        """Return a parameter of the query, empty where there is none."""
        return next((value for key, value in self.query if key == name), "")


def visit(request: Request, now_ns: int) -> Visit:
    """Take a request apart."""
    address = urlsplit(request.url)
    query = tuple(parse_qsl(address.query, keep_blank_values=True))
    return Visit(request, address.netloc.lower(), address.path, query, now_ns)


def form(body: bytes) -> Fields:
    """Return the fields of a form that was sent."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def json_answer(status: int, content: object, headers: Headers = ()) -> Answer:
    """Return an answer with a JSON document."""
    return Answer(status, (("content-type", JSON), *headers), json.dumps(content).encode("utf-8"))


def refusal(status: int, code: str, headers: Headers = (), detail: object = None) -> Answer:
    """Return an error as the distribution protocol tells it."""
    message = code.lower().replace("_", " ")
    return json_answer(status, {"errors": [{"code": code, "message": message, "detail": detail}]}, headers)


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """Return the user and the password of an Authorization header (RFC 7617), None where it has none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None

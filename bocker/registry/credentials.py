"""Credentials in docker's `config.json` and podman's `auth.json`, and in the helpers that those files name.

Sources: github.com/docker/cli (cli/config), github.com/docker/docker-credential-helpers, and
containers-auth.json(5). A file of a person's is changed in the one entry that `login` is about.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

import attrs

from bocker.core import jsontext
from bocker.registry.challenges import basic_header
from bocker.registry.documents import Fields, read_object
from bocker.registry.errors import BadDocument, HelperFailed
from bocker.registry.names import DEFAULT_API_HOST, DEFAULT_HOST, ImageName

HUB_KEY = "https://index.docker.io/v1/"
TOKEN_USER = "<token>"  # a helper gives an identity token as the password of this user
PROGRAM_PREFIX = "docker-credential-"
NOT_FOUND = "credentials not found in native keychain"
FILE_BYTES = 1 << 20
_HUB_NAMES = frozenset({DEFAULT_HOST, "index.docker.io", DEFAULT_API_HOST})
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_API_PATH = re.compile(r"/v[12]/?")


@attrs.frozen
class Credentials:
    """A user's name and password, or an identity token (a refresh token, and no password)."""

    user: str
    password: str = attrs.field(default="", repr=False)
    identity_token: str = attrs.field(default="", repr=False)


@attrs.frozen
class HelperCall:
    """A program to ask: `PROGRAM get` with the key on its standard input."""

    program: str
    key: str


@attrs.frozen
class AuthFile:
    """A file that was read. `subject` names it in errors."""

    fields: Fields
    subject: str

    def lookups(self, name: ImageName) -> tuple[Credentials | HelperCall, ...]:
        """Return where credentials for a name are, to be tried in this order; the file's own come last.

        Raises BadDocument for an entry of this registry, or a helper's name, that can't be read.
        """
        found = (self._helper(name), self._store(name), self._entry(name))
        return tuple(place for place in found if place is not None)

    def keeper(self, name: ImageName) -> HelperCall | None:
        """Return the helper that keeps what `login` is given, None where the file itself does; raise BadDocument."""
        return self._helper(name) or self._store(name)

    def _helper(self, name: ImageName) -> HelperCall | None:
        helpers = self.fields.object("credHelpers")
        key = _best_key(helpers.names(), name)
        return self._call(helpers.text(key), name) if key else None

    def _store(self, name: ImageName) -> HelperCall | None:
        return self._call(self.fields.text("credsStore"), name)

    def _entry(self, name: ImageName) -> Credentials | None:
        entries = self.fields.object("auths")
        for key in _keys(entries.names(), name):
            if found := _read_entry(entries.object(key), f"entry for {key} in the {self.subject}"):
                return found
        return None

    def _call(self, helper: str, name: ImageName) -> HelperCall | None:
        if helper and not _HELPER.fullmatch(helper):
            raise BadDocument(self.subject, f"a helper can not be called '{helper}'")
        return HelperCall(PROGRAM_PREFIX + helper, registry_key(name.host)) if helper else None


def parse_auth_file(data: bytes, subject: str = "file of credentials") -> AuthFile:
    """Read docker's or podman's file; an empty one is as good as none. Raises BadDocument."""
    return AuthFile(read_object(data.strip() or b"{}", subject, FILE_BYTES), subject)


def registry_key(host: str) -> str:
    """Return what docker calls a registry in its file and to helpers."""
    return HUB_KEY if host == DEFAULT_HOST else host


def with_entry(data: bytes, host: str, credentials: Credentials, subject: str = "file of credentials") -> bytes:
    """Return the file with one registry's entry replaced, and all else as it was.

    Raises BadDocument for what is no such file, InvalidValue for a user's name with a colon.
    """
    document = _document(data, subject)
    entries = _without(document.get("auths"), host)
    entries[registry_key(host)] = _written(credentials)
    return _dumped(document | {"auths": entries}, subject)


def without_entry(data: bytes, host: str, subject: str = "file of credentials") -> bytes:
    """Return the file without a registry's entry, by whichever of its names; all else as it was."""
    document = _document(data, subject)
    return _dumped(document | {"auths": _without(document.get("auths"), host)}, subject)


def parse_helper_answer(program: str, exit_code: int, output: bytes) -> Credentials | None:
    """Return what a helper's `get` printed, None where it has nothing; raise HelperFailed or BadDocument."""
    if exit_code != 0:
        text = output[:4096].decode("utf-8", "replace")
        if NOT_FOUND in text:
            return None
        raise HelperFailed(program, text)
    fields = read_object(output, f"answer of '{program}'", FILE_BYTES)
    return _credentials(fields.text("Username"), fields.text("Secret"))


def helper_entry(key: str, credentials: Credentials) -> bytes:
    """Return what a helper's `store` reads on its standard input."""
    user = TOKEN_USER if credentials.identity_token else credentials.user
    secret = credentials.identity_token or credentials.password
    return json.dumps({"ServerURL": key, "Username": user, "Secret": secret}).encode("ascii")


def _credentials(user: str, secret: str) -> Credentials | None:
    if user == TOKEN_USER and secret:
        return Credentials("", identity_token=secret)
    return Credentials(user, secret) if user and secret else None


def _host_of(key: str) -> str:
    """Return the registry's host if a key is for all of it, else an empty text.

    Old docker wrote `https://host/v1/`; podman adds a namespace to the host.
    """
    bare = key.lower().removeprefix("https://").removeprefix("http://")
    host, slash, path = bare.partition("/")
    whole = not path or (_API_PATH.fullmatch(slash + path) and "://" in key)
    return _plain_host(host) if whole or bare == "index.docker.io/v1/" else ""


def _plain_host(host: str) -> str:
    return DEFAULT_HOST if host in _HUB_NAMES else host


def _keys(keys: tuple[str, ...], name: ImageName) -> tuple[str, ...]:
    """Return the keys that are for a name: podman's longest namespace first, docker's own spelling of a host next."""
    path = f"{name.host}/{name.repository}".split("/")
    namespaces = ["/".join(path[:length]) for length in range(len(path), 1, -1)]
    whole = [key for key in sorted(keys, key=lambda key: key != registry_key(name.host)) if _host_of(key) == name.host]
    return (*(namespace for namespace in namespaces if namespace in keys), *whole)


def _best_key(keys: tuple[str, ...], name: ImageName) -> str:
    return next(iter(_keys(keys, name)), "")


def _read_entry(entry: Fields, subject: str) -> Credentials | None:
    if token := entry.text("identitytoken"):
        return Credentials(entry.text("username"), identity_token=token)
    if encoded := entry.text("auth"):
        return _decoded(encoded, subject)
    return _credentials(entry.text("username"), entry.text("password"))


def _decoded(encoded: str, subject: str) -> Credentials:
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        raise BadDocument(subject, "its 'auth' is not base64") from None
    if not user or not colon:
        raise BadDocument(subject, "its 'auth' is not USER:PASSWORD")
    return Credentials(user, password.strip("\0"))


def _document(data: bytes, subject: str) -> dict[str, Any]:
    read_object(data.strip() or b"{}", subject, FILE_BYTES).object("auths")  # refuses what is no such file
    document: dict[str, Any] = jsontext.loads(data.strip() or b"{}")
    return document


def _without(entries: dict[str, Any] | None, host: str) -> dict[str, Any]:
    return {key: value for key, value in (entries or {}).items() if _host_of(key) != host}


def _written(credentials: Credentials) -> dict[str, str]:
    entry = {"auth": basic_header(credentials.user, credentials.password).removeprefix("Basic ")}
    return entry | ({"identitytoken": credentials.identity_token} if credentials.identity_token else {})


def _dumped(document: dict[str, Any], subject: str) -> bytes:
    try:
        return (json.dumps(document, indent="\t", allow_nan=False) + "\n").encode("ascii")
    except (ValueError, RecursionError):
        raise BadDocument(subject, "it has what can not be written again") from None

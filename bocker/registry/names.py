"""What a person calls an image in a registry, as docker reads it: HOST/REPOSITORY:TAG@DIGEST.

The grammar is that of github.com/distribution/reference. `debian` is `docker.io/library/debian:latest`; the
first part is a host when it has a dot or a colon, or is `localhost`. Every name without a digest is, in its
familiar form, also a local tag (`core.reference.parse_tag`).
"""

from __future__ import annotations

import re

import attrs

from bocker.core.errors import InvalidValue
from bocker.core.reference import DEFAULT_NAMESPACE, DEFAULT_TAG, looks_like_id
from bocker.kernel.blobs import is_digest
from bocker.registry.digests import Digest, parse_digest
from bocker.registry.errors import one_line

DEFAULT_HOST = "docker.io"
DEFAULT_API_HOST = "registry-1.docker.io"
LONGEST_NAME = 255
_ALIASES = {"index.docker.io": DEFAULT_HOST, DEFAULT_API_HOST: DEFAULT_HOST}
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::([0-9]{{1,5}}))?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@attrs.frozen
class ImageName:
    """Where an image is: `docker.io`, `library/debian`, and a tag or a digest, or both (then the digest counts)."""

    host: str
    repository: str
    tag: str | None = DEFAULT_TAG
    digest: Digest | None = None

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}{self._suffix}"

    @property
    def familiar(self) -> str:
        """The name as people write it: without docker.io and its `library/`, where it still means the same."""
        for short in (self.repository.removeprefix(DEFAULT_NAMESPACE), self.repository):
            if _split_host(short) == (self.host, self.repository):
                return short + self._suffix
        return str(self)

    @property
    def api_host(self) -> str:
        """The host that is spoken to; docker.io's is another one."""
        return DEFAULT_API_HOST if self.host == DEFAULT_HOST else self.host

    @property
    def reference(self) -> str:
        """What stands in the address of the manifest: the digest if there is one, else the tag."""
        return str(self.digest or self.tag)

    def pinned(self, digest: Digest) -> str:
        """Return the whole name with a digest and no tag: what can't come to mean another image."""
        return f"{self.host}/{self.repository}@{digest}"

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_name(text: str, tag: str | None = None) -> ImageName:
    """Read a name, and the tag of the original's `pull NAME TAG`; raise InvalidValue."""
    words, at, digits = text.partition("@")
    digest = parse_digest(digits) if at else None
    path, own_tag = _split_tag(words)
    if tag is not None and (own_tag or digest):
        raise InvalidValue(f"'{one_line(text)}' has a tag or a digest already", "say the tag once")
    host, repository = _split_host(path)
    _check(text, host, repository)
    name = ImageName(host, repository, _tag(own_tag if tag is None else tag, digest), digest)
    _refuse_id_shape(attrs.evolve(name, tag=None, digest=None).familiar)
    return name


def parse_host(text: str) -> str:
    """Read a registry's host as `login` is told it, with or without `https://` and `/v1/`; raise InvalidValue."""
    bare = text.lower().removeprefix("https://").removeprefix("http://").partition("/")[0]
    if not is_host(bare):
        raise InvalidValue(f"'{one_line(text)}' can not be a registry", "write it like registry.example.org:5000")
    return _ALIASES.get(bare, bare)


def _split_tag(words: str) -> tuple[str, str | None]:
    """A colon before the last slash belongs to a host's port."""
    head, colon, tail = words.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (words, None)


def _split_host(path: str) -> tuple[str, str]:
    first, slash, rest = path.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = DEFAULT_HOST, path
    host = _ALIASES.get(first.lower(), first.lower())
    if host == DEFAULT_HOST and "/" not in rest:
        rest = DEFAULT_NAMESPACE + rest
    return host, rest


def _tag(tag: str | None, digest: Digest | None) -> str | None:
    if tag is None:
        return None if digest else DEFAULT_TAG
    if not _TAG.fullmatch(tag):
        raise InvalidValue(f"'{one_line(tag)}' can not be a tag", "a tag has letters, digits, _ . and -")
    return tag


def _check(text: str, host: str, repository: str) -> None:
    if "://" in text:
        raise InvalidValue(f"'{one_line(text)}' is an address, not a name", "leave out what is before the host")
    if not is_host(host):
        raise InvalidValue(f"'{one_line(host)}' can not be a registry", "write it like registry.example.org:5000")
    if len(f"{host}/{repository}") > LONGEST_NAME or not _REPOSITORY.fullmatch(repository):
        raise InvalidValue(
            f"'{one_line(text)}' can not be an image's name", "write it like debian:12, in lower-case letters"
        )


def _refuse_id_shape(familiar: str) -> None:
    if looks_like_id(familiar) or is_digest(familiar):
        raise InvalidValue(
            f"'{one_line(familiar)}' can not be an image's name, as it looks like an id",
            "to give an image a name, use: bocker tag",
        )


def is_host(text: str) -> bool:
    """Tell whether a text can be a registry's host, with a port or without one."""
    found = _HOST.fullmatch(text)
    return found is not None and (found[1] is None or 0 < int(found[1]) < 65_536)

"""Digests: a content's SHA-256, which is its name in a registry."""

from __future__ import annotations

import hashlib

import attrs

from bocker.core.errors import InvalidValue
from bocker.kernel.blobs import is_digest
from bocker.registry.errors import one_line

ALGORITHM = "sha256"


@attrs.frozen(order=True)
class Digest:
    """A SHA-256 as 64 hexadecimal digits; as text with `sha256:` before them."""

    hexadecimal: str

    def __str__(self) -> str:
        return f"{ALGORITHM}:{self.hexadecimal}"

    @property
    def short(self) -> str:
        """The twelve digits that people are shown."""
        return self.hexadecimal[:12]


def parse_digest(text: str) -> Digest:
    """Read `sha256:` and 64 lower-case digits; raise InvalidValue, which names any other algorithm."""
    algorithm, _, digits = text.partition(":")
    if algorithm.isalnum() and digits and algorithm != ALGORITHM:
        raise InvalidValue(f"Digests by '{one_line(algorithm)}' are not supported", f"use one by {ALGORITHM}")
    if algorithm != ALGORITHM or not is_digest(digits):
        raise InvalidValue(f"'{one_line(text)}' is no digest", "a digest is sha256: and 64 of 0-9 and a-f")
    return Digest(digits)


def digest_of(data: bytes) -> Digest:
    """Return the digest of some bytes in memory."""
    return Digest(hashlib.sha256(data).hexdigest())

"""Words that name a container or an image: ids, names, tags, prefixes of ids. Nothing else.

The original took any word that its regular expressions let through, `..` included, and deleted
the host's `/var` for it (defects D1, D5, D8, W10, W11).
"""

from __future__ import annotations

from bocker.core.errors import InvalidValue
from bocker.core.ids import Id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    AnyId = TypeVar("AnyId", bound=Id)

_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME = _ALPHANUMERIC | frozenset("_.-")
_REPOSITORY = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-/:")
LONGEST_NAME = 128
LONGEST_TAG = 128
DEFAULT_TAG = "latest"
DEFAULT_HOST = "docker.io/"
DEFAULT_NAMESPACE = "library/"


def parse_name(text: str) -> str:
    """Return `text` if it may name a container; raise InvalidValue if not."""
    if len(text) < 2 or len(text) > LONGEST_NAME or text[0] not in _ALPHANUMERIC or not _NAME.issuperset(text):
        raise InvalidValue(
            f"'{text}' can not be a name",
            "a name is two or more letters, digits, _ . and -, and starts with a letter or digit",
        )
    _refuse_id_shape(text)
    return text


def parse_tag(text: str) -> str:
    """Return `text` as NAME:TAG, with `latest` where no tag is given; raise InvalidValue.

    `docker.io/library/debian` is what people call `debian`.
    """
    repository, tag = split_tag(text.removeprefix(DEFAULT_HOST).removeprefix(DEFAULT_NAMESPACE))
    if not _is_repository(repository) or not _is_tag(tag):
        raise InvalidValue(f"'{text}' can not be a tag", "write it like debian:12")
    _refuse_id_shape(repository)
    return f"{repository}:{tag}"


def split_tag(text: str) -> tuple[str, str]:
    """Split NAME:TAG; a colon before the last slash belongs to a host's port."""
    head, colon, tail = text.rpartition(":")
    if not colon or "/" in tail:
        return text, DEFAULT_TAG
    return head, tail


def is_prefix_word(text: str, prefix: str) -> bool:
    """Tell whether `text` is an id's prefix with at least one digit (`ps_4`, not `ps_`)."""
    digits = text[len(prefix) :]
    return text.startswith(prefix) and digits.isascii() and digits.isdigit() and len(digits) <= 6


def matching(text: str, ids: Iterable[AnyId]) -> tuple[AnyId, ...]:
    """Return the ids that `text` is an unambiguous or ambiguous prefix of, in ascending order."""
    return tuple(sorted(found for found in ids if is_prefix_word(text, found.prefix) and str(found).startswith(text)))


def looks_like_id(text: str) -> bool:
    """Tell whether a word is shaped like an id, so that no name may look like it."""
    return any(text.startswith(prefix) and text[len(prefix) :].isdigit() for prefix in ("img_", "ps_"))


def _refuse_id_shape(text: str) -> None:
    if looks_like_id(text):
        raise InvalidValue(f"'{text}' can not be a name", "it looks like an id")


def _is_repository(text: str) -> bool:
    parts = text.split("/")
    return (
        0 < len(text) <= 255
        and _REPOSITORY.issuperset(text)
        and all(part and part[0] in _ALPHANUMERIC and part[-1] in _ALPHANUMERIC for part in parts)
        and all(":" not in part for part in parts[1:])
        and (":" not in parts[0] or _is_host_with_port(parts))
    )


def _is_host_with_port(parts: list[str]) -> bool:
    host, _, port = parts[0].partition(":")
    return len(parts) > 1 and bool(host) and port.isdigit() and 0 < int(port) < 65_536


def _is_tag(text: str) -> bool:
    return 0 < len(text) <= LONGEST_TAG and text[0] in _ALPHANUMERIC | {"_"} and _NAME.issuperset(text)

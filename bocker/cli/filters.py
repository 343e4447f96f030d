"""Which images a person wants to see: `images NAME` and `--filter`, as docker has them."""

from __future__ import annotations

import re

from bocker.core.errors import UsageError
from bocker.core.reference import DEFAULT_HOST, DEFAULT_NAMESPACE, split_tag
from bocker.core.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.cli.main import Call
    from bocker.engine.listing import ImageSummary

    Test = Callable[[ImageSummary], bool]

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_SPECIAL, _DASHES = re.compile(r"[&~|^\[]"), re.compile("-+")
_PART = re.compile(r"\[[^]]*\]|\\.|.", re.DOTALL)


def chosen(call: Call) -> Test:
    """Return what tells whether an image is wanted; raise UsageError for a filter that makes no sense."""
    tests = [_test(text) for text in call.values("filter")]
    tests += [_reference(name) for name in call.arguments.words]
    return lambda image: all(test(image) for test in tests)


def _test(text: str) -> Test:
    name, equals, value = text.partition("=")
    if name == "dangling" and value in _TRUTH:
        return lambda image: (not image.tags) is _TRUTH[value]
    if name == "reference" and equals:
        return _reference(value)
    raise UsageError(f"invalid filter '{printable(text)}'", "there are dangling=true and reference=PATTERN")


def _reference(pattern: str) -> Test:
    """Return what tells whether a tag, or its name without the version, is like the pattern."""
    like = re.compile(_expression(pattern.removeprefix(DEFAULT_HOST).removeprefix(DEFAULT_NAMESPACE)), re.DOTALL)

    def test(image: ImageSummary) -> bool:
        return any(like.fullmatch(tag) or like.fullmatch(split_tag(tag)[0]) for tag in image.tags)

    return test


def _expression(pattern: str) -> str:
    """Return Go's `path.Match` as a regular expression: `*` and `?` do not match a slash."""
    expression = "".join(_part(found[0]) for found in _PART.finditer(pattern))
    try:
        re.compile(expression)
    except re.error:
        raise UsageError(f"'{printable(pattern)}' is no pattern", "write it like debian:* or */app") from None
    return expression


def _part(part: str) -> str:
    if part == "*":
        return "[^/]*"
    if part == "?":
        return "[^/]"
    if len(part) > 2 and part[0] == "[":
        negated = part[1] == "^"
        inside = _SPECIAL.sub(r"\\\g<0>", _DASHES.sub("-", part[1 + negated : -1].replace("\\", "")))
        return f"[{'^/' if negated else ''}{inside}]"
    return re.escape(part[-1])

"""What a template of `--format` can call: Go's own functions, docker's, and how a value is written.

Sources: Go's text/template and fmt; docker/cli templates/templates.go.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

from bocker.core.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

NO_VALUE = "<no value>"
WIDEST = 1000  # columns that a template may ask for
_VERB = re.compile(r"%([-+# 0]*)([0-9]*)(?:\.([0-9]*))?(.)", re.DOTALL)
_WORD = re.compile(r"\w+")
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


class Method:
    """A field that is asked with one text, such as `.Label "name"`."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.answer = answer


class Function:
    """A function and how many arguments it takes; `most` None is any number."""

    def __init__(self, call: Callable[..., Any], least: int, most: int | None = -1) -> None:
        self.call = call
        self.least = least
        self.most = least if most == -1 else most


def refused(reason: str) -> InvalidValue:
    """Return the error for a template that can't be read, or can't be done."""
    return InvalidValue(f"template parsing error: {reason}", "write it like '{{.ID}}', or json")


def is_true(value: object) -> bool:
    """Tell what `if` tells: nothing, false, 0 and what is empty are not true."""
    return bool(value)


def kind_of(value: object) -> str:
    """Return the word that Go has for a value's type."""
    if isinstance(value, bool):
        return "bool"
    words = ((str, "string"), (int, "int"), (float, "float64"), (list, "slice"), (dict, "map"), (type(None), "nil"))
    return next((word for kind, word in words if isinstance(value, kind)), "func")


def written(value: object, inner: bool = False) -> str:
    """Return a value as Go's `%v` writes it."""
    if value is None:
        return "<nil>" if inner else NO_VALUE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(written(item, inner=True) for item in value)}]"
    if isinstance(value, dict):
        pairs = sorted((name, item) for name, item in value.items() if not isinstance(item, Method))
        return f"map[{' '.join(f'{name}:{written(item, inner=True)}' for name, item in pairs)}]"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def text_of(value: object) -> str:
    """Return a text argument; raise InvalidValue for anything else."""
    if not isinstance(value, str):
        raise refused(f"expected string; got {kind_of(value)}")
    return value


def number_of(value: object) -> int:
    """Return a whole number; raise InvalidValue for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise refused(f"expected integer; got {kind_of(value)}")
    return value


def index(value: Any, *keys: Any) -> Any:
    """Return what is inside at some keys; a name that people choose, and nobody chose, is empty."""
    for key in keys:
        if isinstance(value, list):
            value = _item(value, number_of(key))
        elif isinstance(value, dict):
            value = _entry(value, text_of(key))
        elif isinstance(value, str):
            value = _item(list(value.encode("utf-8", "surrogatepass")), number_of(key))
        else:
            raise refused(f"can't index item of type {kind_of(value)}")
    return value


def _item(items: list[Any], number: int) -> Any:
    if not 0 <= number < len(items):
        raise refused(f"index out of range: {number}")
    return items[number]


def _entry(entries: dict[str, Any], name: str) -> Any:
    if name not in entries and type(entries) is dict:
        raise refused(f'map has no entry for key "{name}"')
    return entries.get(name, "")


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, (list, dict)):
        return len(value)
    raise refused(f"len of type {kind_of(value)}")


def _without_methods(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_methods(item) for name, item in value.items() if not isinstance(item, Method)}
    return [_without_methods(item) for item in value] if isinstance(value, list) else value


def _json(value: object) -> str:
    return json.dumps(_without_methods(value), separators=(",", ":"))


def _title(text: object) -> str:
    return _WORD.sub(lambda found: found[0][0].upper() + found[0][1:], text_of(text))


def _join(items: object, separator: object) -> str:
    if not isinstance(items, list):
        raise refused(f"expected slice; got {kind_of(items)}")
    return text_of(separator).join(written(item) for item in items)


def _split(text: object, separator: object) -> list[str]:
    between = text_of(separator)
    return text_of(text).split(between) if between else list(text_of(text))


def _pad(text: object, before: object, after: object) -> str:
    return " " * _width(number_of(before)) + text_of(text) + " " * _width(number_of(after))


def _truncate(text: object, longest: object) -> str:
    return text_of(text)[: max(0, number_of(longest))]


def _width(number: int) -> int:
    if number > WIDEST:
        raise refused(f"a width of {number} is too much")
    return max(0, number)


def _comparable(first: object, second: object) -> None:
    kinds = kind_of(first), kind_of(second)
    if "nil" not in kinds and (kinds[0] != kinds[1] or kinds[0] in {"slice", "map", "func"}):
        raise refused("incompatible types for comparison")


def _equal(first: object, *others: object) -> bool:
    for other in others:
        _comparable(first, other)
        if first == other:
            return True
    return False


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    def call(first: object, second: object) -> bool:
        _comparable(first, second)
        if kind_of(first) not in {"string", "int", "float64"} or second is None:
            raise refused("invalid type for comparison")
        return compare(first, second)

    return call


def _print(*values: object) -> str:
    """Write values, with a blank between two of which none is a text."""
    parts = []
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            parts.append(" ")
        parts.append(written(value))
    return "".join(parts)


def _println(*values: object) -> str:
    return " ".join(map(written, values)) + "\n"


def _printf(form: object, *values: object) -> str:
    rest = list(values)

    def one(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        text = _verb(verb, rest.pop(0), flags, precision)
        size = _width(int(width[:9] or "0"))
        return text.ljust(size) if "-" in flags else _right(text, size, zeros="0" in flags and verb in "df")

    done = _VERB.sub(one, text_of(form))
    extra = ", ".join(f"{kind_of(value)}={written(value)}" for value in rest)
    return f"{done}%!(EXTRA {extra})" if rest else done


def _right(text: str, size: int, zeros: bool) -> str:
    return text.zfill(size) if zeros else text.rjust(size)


def _verb(verb: str, value: object, flags: str, precision: str | None) -> str:
    places = None if precision is None else _width(int(precision[:9] or "0"))
    if verb in "vs" and not (verb == "s" and isinstance(value, (int, float))):
        return written(value) if places is None else written(value)[:places]
    if verb == "q" and isinstance(value, str):
        return _quoted(value)
    if verb == "t" and isinstance(value, bool):
        return written(value)
    if verb in "dx" and isinstance(value, int) and not isinstance(value, bool):
        return f"{value:{'+' if '+' in flags else ''}{verb}}"
    if verb == "f" and isinstance(value, float):
        return f"{value:.{6 if places is None else places}f}"
    return f"%!{verb}({kind_of(value)}={written(value)})"


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def finite(number: float) -> float:
    """Return a number that JSON has; raise InvalidValue for one that is too large."""
    if not math.isfinite(number):
        raise refused("a number is too large")
    return number


# `and` and `or` are the template's own, as they end at the first argument that decides.
FUNCTIONS: Mapping[str, Function] = {
    "eq": Function(_equal, 2, None),
    "ge": Function(_ordered(lambda first, second: first >= second), 2),
    "gt": Function(_ordered(lambda first, second: first > second), 2),
    "index": Function(index, 1, None),
    "join": Function(_join, 2),
    "json": Function(_json, 1),
    "le": Function(_ordered(lambda first, second: first <= second), 2),
    "len": Function(_length, 1),
    "lower": Function(lambda text: text_of(text).lower(), 1),
    "lt": Function(_ordered(lambda first, second: first < second), 2),
    "ne": Function(lambda first, second: not _equal(first, second), 2),
    "not": Function(lambda value: not is_true(value), 1),
    "pad": Function(_pad, 3),
    "print": Function(_print, 0, None),
    "printf": Function(_printf, 1, None),
    "println": Function(_println, 0, None),
    "split": Function(_split, 2),
    "title": Function(_title, 1),
    "truncate": Function(_truncate, 2),
    "upper": Function(lambda text: text_of(text).upper(), 1),
}
_AS_IT_IS = ("json", "lower", "title", "truncate", "upper", "join", "split", "pad")
# For the line of headers: what changes a value leaves a header as it is.
HEADER_FUNCTIONS: Mapping[str, Function] = {
    **FUNCTIONS,
    **{name: Function(lambda text, *_: text, 1, None) for name in _AS_IT_IS},
}

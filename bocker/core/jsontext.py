"""JSON for records, without importing `json`.

`import json` costs as much as starting the interpreter (it pulls in `re` and `enum`). The standard
library's own C scanner and encoder do the work when they are asked directly; where an interpreter
lacks them, or has changed them, `json` itself serves. A property-based test compares the two.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def dumps(value: Any) -> bytes:
    """Return `value` as one line of ASCII JSON with a newline at its end."""
    return ("".join(_encoder(value, 0)) + "\n").encode("ascii")


def loads(data: bytes) -> Any:
    """Read JSON; raise ValueError for anything else."""
    text = data.decode("utf-8").strip(" \t\r\n")
    try:
        value, end = _scanner(text, 0)
    except StopIteration:
        raise ValueError("not JSON") from None
    except SystemError:  # the C scanner has an error to raise, and finds no `json.decoder` to take it from
        raise ValueError("not JSON, or a part of it") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


class _ScannerContext:
    """What the C scanner asks its caller for, as `json.JSONDecoder` would answer."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)


def _direct() -> tuple[Any, Any]:
    import _json

    context: Any = _ScannerContext()
    scanner = _json.make_scanner(context)
    encoder = _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ": ", ", ", False, False, False)
    if "".join(encoder({"a": [1, None, "\n"]}, 0)) != '{"a": [1, null, "\\n"]}':
        raise ImportError("the C encoder answers differently")
    return scanner, encoder


def _ordinary() -> tuple[Any, Any]:
    import json

    encoder = json.JSONEncoder(allow_nan=False, check_circular=False)
    decoder: Any = json.JSONDecoder(parse_constant=_refuse_constant)
    return decoder.scan_once, lambda value, level: encoder.iterencode(value)


try:
    _scanner, _encoder = _direct()
except (ImportError, AttributeError, TypeError):  # another interpreter, or a later one
    _scanner, _encoder = _ordinary()

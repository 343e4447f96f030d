from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.registry import errors
from bocker.registry.refusals import Complaint, read_complaint, read_retry_after, refusal
from tests.strategies import ARGUMENT
from tests.unit.registry.samples import any_bytes, written

NAME, HOST = "quay.io/x:1", "quay.io"
PAGE = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"


def said(code: str, message: str | None = None) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": message, "detail": {"Tag": "1"}}, {"code": "SECOND"}]}


def refused(status: int, body: bytes, retry_after: str = "") -> errors.RegistryError:
    return refusal(NAME, HOST, status, body, retry_after)


@pytest.mark.parametrize(
    ("status", "document", "kind", "line"),
    [
        (404, said("MANIFEST_UNKNOWN", "manifest unknown"), errors.NotInRegistry, "manifest unknown (404)"),
        (404, said("NAME_UNKNOWN"), errors.NotInRegistry, "name unknown (404)"),
        (400, said("BLOB_UNKNOWN", "gone"), errors.NotInRegistry, "gone (400)"),
        (401, said("UNAUTHORIZED", "authentication required"), errors.AccessDenied, "authentication required (401)"),
        (404, said("denied", "no"), errors.AccessDenied, "no (404)"),
        (403, {"details": "email not verified"}, errors.AccessDenied, "email not verified (403)"),
        (401, {"error": "invalid_grant", "error_description": "expired"}, errors.AccessDenied, "expired (401)"),
        (401, {"message": "bad password"}, errors.AccessDenied, "bad password (401)"),
        (429, said("TOOMANYREQUESTS", "slow\n down"), errors.TooManyRequests, "slow down (429)"),
        (400, said("NAME_INVALID", "\x1b[2Jno"), errors.RegistryError, "\\x1b[2Jno (400)"),
        (404, {}, errors.NotInRegistry, "not found (404)"),
        (503, {}, errors.RegistryFailed, "service unavailable (503)"),
        (418, {"errors": []}, errors.RegistryError, "i'm a teapot (418)"),
        (599, {"errors": 5}, errors.RegistryFailed, "the registry refused (599)"),
        (500, said("UNKNOWN", "<html>x</html>"), errors.RegistryFailed, "unknown (500)"),
    ],
)
def test_a_refusal_is_one_clear_line(
    status: int, document: dict[str, Any], kind: type[errors.RegistryError], line: str
) -> None:
    error = refused(status, written(document))
    assert type(error) is kind
    assert error.message == f"{NAME}: {line}"


def test_P6_a_page_of_html_is_never_shown() -> None:
    error = refused(502, PAGE)
    assert isinstance(error, errors.RegistryFailed)
    assert error.message == f"{NAME}: bad gateway (502)"


def test_who_is_not_let_in_is_told_to_log_in() -> None:
    assert refused(401, b"").hint == "run: bocker login quay.io"
    assert refused(500, b"").hint is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", None), ("30", 30), ("0", 0), ("999999999", 86_400), ("-1", None), ("1.5", None), ("²", None),
     ("9" * 5000, None), ("Sat, 21 Nov 2026 00:00:00 GMT", None)],
)  # fmt: skip
def test_how_long_to_wait(header: str, seconds: int | None) -> None:
    error = refused(429, b"", header)
    assert isinstance(error, errors.TooManyRequests)
    assert error.retry_after_s == seconds


def test_an_answer_that_is_too_long_says_nothing() -> None:
    assert read_complaint(written(said("X" * 100, "x"))) != Complaint()
    assert read_complaint(written(said("X" * 100_000, "x"))) == Complaint()


@given(st.integers(300, 999), any_bytes(said("DENIED", "no"), {"details": "x", "error": "y"}), ARGUMENT)
def test_any_answer_is_one_line_that_can_be_shown(status: int, body: bytes, retry_after: str) -> None:
    error = refused(status, body, retry_after)
    assert error.message.isprintable()
    assert error.message.startswith(f"{NAME}: ")
    assert (read_retry_after(retry_after) or 0) >= 0

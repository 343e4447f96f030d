"""A pytest plugin that writes down which tests failed, and by what: an assertion, or an exception of another kind.

An assertion is the test's own, or an answer of the kernel or the engine where the test awaits another one
(`KernelError`, `BockerError`): not a NameError, an import that fails, a fixture that could not be made.
It writes a line of JSON for each test that failed, or could not be run, into the file `$BOCKER_VERDICT`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from typing import Any

import pytest

from bocker.core.errors import BockerError
from bocker.kernel.errors import KernelError

FILE = "BOCKER_VERDICT"
ASSERTIONS = (AssertionError, pytest.fail.Exception, KernelError, BockerError)


def is_assertion(error: BaseException) -> bool:
    """Tell whether a test failed by what it asserts; of several failures (hypothesis), by all of them."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_assertion(one) for one in error.exceptions)
    return isinstance(error, ASSERTIONS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and call.excinfo is not None:
        told = {"test": item.nodeid, "asserted": report.when == "call" and is_assertion(call.excinfo.value)}
        with open(os.environ[FILE], "a", encoding="utf-8") as file:
            print(json.dumps(told), file=file)
    return report

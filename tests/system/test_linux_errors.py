from __future__ import annotations

import errno

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from bocker.kernel.errors import AlreadyExists, KernelError, Missing, Unreachable
from bocker.linux.errors import ToolError, component, translated


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EEXIST, AlreadyExists),
        (errno.ESRCH, Missing),
        (errno.ENETUNREACH, Unreachable),
        (errno.ELOOP, KernelError),
    ],
)
def test_both_families_become_one(number: int, kind: type[KernelError]) -> None:
    for error in (OSError(number, "words"), NetlinkError(number, "words")):
        with pytest.raises(kind) as caught, translated("storage.create", "img_1"):
            raise error
        assert type(caught.value) is kind
        assert (caught.value.operation, caught.value.subject, caught.value.errno) == ("storage.create", "img_1", number)
        assert caught.value.detail == ""


def test_a_tools_words_are_kept_for_people() -> None:
    with pytest.raises(KernelError) as caught, translated("host.copy_tree", "/x"):
        raise ToolError(errno.EIO, "cp: it broke")
    assert caught.value.detail == "cp: it broke"


@pytest.mark.parametrize("error", [ValueError("a mistake"), SystemExit(2), KeyboardInterrupt()])
def test_what_is_no_refusal_of_the_kernel_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, translated("storage.create", "img_1"):
        raise error
    assert caught.value is error


def test_an_error_that_is_translated_already_passes() -> None:
    error = Missing("inner.operation", "x", errno.ENOENT)
    with pytest.raises(Missing) as caught, translated("outer.operation", "y"):
        raise error
    assert caught.value is error


def test_a_component_keeps_its_bytes() -> None:
    assert component("a\udcff") == b"a\xff"

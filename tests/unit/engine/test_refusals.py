"""What could not be done is said with its cause, and with what a person can do about it."""

from __future__ import annotations

import errno

import pytest

from bocker.core.errors import InvalidValue
from bocker.core.ids import ImageId
from bocker.core.spec import STEP_DIRECTORY, STEP_EXECUTE, STEP_MOUNTS, STEP_USER
from bocker.engine import options, relay
from bocker.engine.failures import operation_failed
from bocker.engine.program import Program
from bocker.engine.removal import MovedMeanwhile
from bocker.engine.run import RunRequest
from bocker.engine.tags import SeveralTags
from bocker.kernel.errors import StepFailed, kernel_error

WANTED = Program(("serve",), working_directory="/srv", user="web")


def failed(step: str, number: int, detail: str = "") -> StepFailed:
    return StepFailed("processes.release", "ps_42002", number, step, detail)


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (errno.ENOENT, 127, "it is not found"),
        (errno.EACCES, 126, "permission denied"),
        (errno.EIO, 126, "EIO"),
    ],
)
def test_a_program_that_does_not_start_is_told_with_the_reason_if_need_be_the_kernels(
    number: int, code: int, reason: str
) -> None:
    error = relay.not_started("serve", failed(STEP_EXECUTE, number))
    assert error is not None
    assert (error.exit_code, error.message.endswith(reason)) == (code, True), error.message
    assert "serve" in error.message


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOTDIR, "no directory"), (errno.EIO, "EIO")])
def test_a_directory_that_can_not_be_entered_or_made_is_told_with_the_reason(number: int, reason: str) -> None:
    entered = relay.not_placed(WANTED, "image 'base'", failed(STEP_DIRECTORY, number), 126)
    made = relay.no_volume(("/data",), "image 'base'", failed(STEP_MOUNTS, number, "/data"))
    assert entered is not None
    assert made is not None
    for error, directory in ((entered, "/srv"), (made, "/data")):
        assert directory in error.message
        assert reason in f"{error.message} {error.hint}"


@pytest.mark.parametrize("step", [STEP_MOUNTS, STEP_EXECUTE])
def test_another_step_is_not_taken_for_the_users_or_the_directorys(step: str) -> None:
    assert relay.not_placed(WANTED, "image 'base'", failed(step, errno.ENOENT), 126) is None
    assert relay.no_volume(("/data",), "image 'base'", failed(step, errno.ENOENT, "/elsewhere")) is None


@pytest.mark.parametrize("step", [STEP_USER, STEP_DIRECTORY, STEP_MOUNTS])
def test_a_program_that_was_not_reached_did_not_fail_to_start(step: str) -> None:
    assert relay.not_started("serve", failed(step, errno.ENOENT)) is None


def test_who_has_no_such_user_says_where_it_was_looked_for() -> None:
    error = relay.not_placed(WANTED, "container 'web'", failed(STEP_USER, errno.ENOENT), 126)
    assert error is not None
    assert "container 'web'" in error.message
    assert error.exit_code == 126


def test_what_could_not_be_taken_back_is_left_to_cleanup_and_said() -> None:
    error = kernel_error("network.create_veth", "veth0_ps_42002", errno.EPERM)
    assert "cleanup" not in (operation_failed("Starting the container", error).hint or "")
    error.add_note("not taken back: cgroups.remove ps_42002: EBUSY")
    assert (operation_failed("Starting the container", error).hint or "").endswith(
        "something is left of it; run: bocker cleanup"
    )


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"hostname": "a b"}, "letters, digits, . _ and -, at most 64 of them"),
        ({"hostname": "-a"}, "letters, digits"),
        ({"hostname": "a" * 65}, "at most 64"),
        ({"labels": ("colour",)}, "NAME=VALUE"),
        ({"labels": ("=red",)}, "NAME=VALUE"),
        ({"labels": ("=red=blue",)}, "NAME=VALUE"),
        ({"labels": ("a=b", "colour")}, "NAME=VALUE"),
    ],
)
def test_a_value_that_is_none_is_refused_with_how_to_write_one(asked: dict[str, object], hint: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        options.check(RunRequest("base", **asked))  # type: ignore[arg-type]
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize("hostname", ["a" * 64, "a-b_c.d", "0", "X-ray"])
def test_a_host_name_of_the_longest_length_and_of_every_character_is_taken(hostname: str) -> None:
    options.check(RunRequest("base", hostname=hostname, labels=("colour=", "a=b=c")))


def test_four_tags_are_shown_and_of_more_that_there_are_more() -> None:
    tags = tuple(f"app:{number}" for number in range(1, 6))
    assert SeveralTags("img_42002", tags[:4]).message == (
        "Image 'img_42002' has several tags: app:1, app:2, app:3, app:4"
    )
    error = SeveralTags("img_42002", tags)
    assert error.message == "Image 'img_42002' has several tags: app:1, app:2, app:3, app:4, …"
    assert error.hint == "say which, or use: bocker rmi -f"
    assert (error.reference, error.tags) == ("img_42002", tags)


def test_a_tag_that_moved_comes_with_who_has_it_and_what_to_do() -> None:
    error = MovedMeanwhile("base", ImageId(42003))
    assert (error.message, error.hint, error.reference) == (
        "'base' has become the name of img_42003 meanwhile",
        "look again, and say the id",
        "base",
    )

"""What an image says of how it is run, and what a person says over it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.errors import (
    InvalidValue,
    NoSuchUser,
    NoVolumeDirectory,
    NoWorkingDirectory,
    ProgramNotStarted,
    UsageError,
)
from bocker.core.model import ImageContent
from bocker.engine import program
from bocker.engine.run import RunRequest
from bocker.fakes.images import file
from bocker.fakes.state import DIRECTORY, SYMLINK, Entry
from tests.unit.engine.bench import Bench, Screen, Seen
from tests.unit.engine.test_execute import while_live

PASSWD = file(b"root:x:0:0::/root:\nweb:x:1000:1001::/srv/web:\n")
GROUP = file(b"root:x:0:\nstaff:x:50:web\n")
FILES = {"": Entry(DIRECTORY), "etc": Entry(DIRECTORY), "etc/passwd": PASSWD, "etc/group": GROUP}


def app(**configuration: object) -> Bench:
    """Return a bench whose image `base` has a user `web`, and a configuration."""
    bench = Bench()
    rows = bench.world.tree("/rootfs")
    bench.world.add_files("/rootfs", {**rows, **FILES})
    bench.add_image(tag="base")
    bench.configure("base", **configuration)
    return bench


@pytest.mark.parametrize(
    ("entrypoint", "command", "words", "instead", "said"),
    [
        (("probe", "echo"), ("image",), (), None, b"image\n"),
        (("probe", "echo"), ("image",), ("mine",), None, b"mine\n"),
        (("probe", "echo"), ("image",), ("a b; c",), None, b"a b; c\n"),
        (("probe", "echo", "whole"), (), (), None, b"whole\n"),
        ((), ("probe", "echo", "image"), (), None, b"image\n"),
        ((), ("probe", "exit", "1"), ("probe", "echo", "mine"), None, b"mine\n"),
        ((), ("probe", "exit", "1"), ("probe echo mine",), None, b"mine\n"),
        (("probe", "exit", "1"), ("image",), ("mine",), ("echo",), b"mine\n"),
        (("probe", "exit", "1"), ("image",), (), ("echo",), b"\n"),
        (("probe", "exit", "1"), ("image",), ("probe echo mine",), (), b"mine\n"),
    ],
)
def test_what_is_executed_is_dockers_rule(
    entrypoint: tuple[str, ...],
    command: tuple[str, ...],
    words: tuple[str, ...],
    instead: tuple[str, ...] | None,
    said: bytes,
) -> None:
    """Words replace the command and go to the entrypoint; another entrypoint drops the command. A line is
    the shell's only where there is no entrypoint."""
    bench = app(entrypoint=entrypoint, command=command)
    seen = bench.run(*words, entrypoint=instead)
    assert (seen.code, seen.out) == (0, said)
    own = instead is None
    shown = (*(entrypoint if instead is None else instead), *(words or (command if own else ())))
    assert bench.records()[0].command == shown


def test_U8_the_images_own_command_runs_and_without_one_it_is_a_usage_error() -> None:
    assert app(command=("probe", "exit", "3")).run().code == 3
    bench = app(command=("probe", "exit", "3"), entrypoint=("probe",))
    before = bench.traces()
    with pytest.raises(UsageError, match="no command"):
        bench.run(entrypoint=())
    assert bench.traces() == before


def test_the_environment_is_the_images_over_ours_and_the_persons_over_both() -> None:
    bench = app(
        environment=("PATH=/bin", "LANG=C", "EDITOR=vi", "HOSTNAME=elsewhere", "nonsense", "=x", "LANG=C.UTF-8")
    )
    out = bench.run("env", environment=("EDITOR=ed", "OWN=a=b", "LANG")).out
    expected = [b"EDITOR=ed", b"HOME=/root", b"HOSTNAME=ps-42002", b"OWN=a=b", b"PATH=/bin"]
    assert sorted(out.splitlines()) == expected
    assert bench.records()[0].environment == ("PATH=/bin", "EDITOR=ed", "OWN=a=b")
    assert b"HOSTNAME=mine" in bench.run("env", environment=("HOSTNAME=mine",)).out


def test_the_images_path_finds_its_program() -> None:
    """PATH of the image wins, also where it leads away from ours."""
    bench = app(environment=("PATH=/opt",))
    assert bench.run("probe", "echo", "hi", environment=("PATH=/bin",)).out == b"hi\n"
    with pytest.raises(ProgramNotStarted, match="not found"):
        bench.run("probe", "echo", "hi")


@pytest.mark.parametrize(
    ("image", "asked", "ids", "home"),
    [
        ("", "", "0 0", b"/root"),
        ("web", "", "1000 1001", b"/srv/web"),
        ("web", "7:8", "7 8", b"/"),
        ("", "web:staff", "1000 50", b"/srv/web"),
        ("nobody", "1000", "1000 1001", b"/srv/web"),
    ],
)
def test_the_user_is_the_images_or_the_persons(image: str, asked: str, ids: str, home: bytes) -> None:
    bench = app(user=image)
    said = bench.run("probe", "ids", ",", "env", user=asked).out.splitlines()
    uid, gid = ids.split()
    assert said[0].decode().split() == [uid] * 3 + [gid] * 3
    assert b"HOME=" + home in said
    assert bench.records()[0].user == (asked or image)


@pytest.mark.parametrize("user", ["nobody", "web:none", "99999999999", "0:99999999999"])
def test_a_user_that_is_not_there_is_said_with_125_and_nothing_is_left(user: str) -> None:
    bench = app(user=user)
    before = bench.traces()
    with pytest.raises(NoSuchUser, match=f"'{user}' in image 'base'") as refused:
        bench.run("true")
    assert refused.value.exit_code == 125
    assert bench.traces() == before


def test_HOME_of_the_image_or_of_the_person_is_kept() -> None:
    bench = app(user="web", environment=("HOME=/image",))
    assert b"HOME=/image" in bench.run("env").out
    assert b"HOME=/mine" in bench.run("env", environment=("HOME=/mine",)).out


@pytest.mark.parametrize(
    ("image", "asked", "cwd"),
    [("", "", "/"), ("/srv/app", "", "/srv/app"), ("app/x", "", "/app/x"), ("/x", "/y", "/y")],
)
def test_the_working_directory_is_the_images_or_the_persons_and_is_made(image: str, asked: str, cwd: str) -> None:
    bench = app(working_directory=image)
    assert bench.run("probe", "cwd", working_directory=asked).out.decode() == f"{cwd}\n"
    if cwd != "/":
        assert bench.world.tree("/var/bocker/ps_42002")[cwd[1:]].kind == DIRECTORY
        assert cwd[1:] not in bench.world.tree("/var/bocker/img_42002")


def test_a_working_directory_that_is_a_file_is_said_with_125_and_nothing_is_left() -> None:
    bench = app(working_directory="/etc/passwd")
    before = bench.traces()
    with pytest.raises(NoWorkingDirectory, match="'/etc/passwd': a part of its path is no directory") as refused:
        bench.run("true")
    assert refused.value.exit_code == 125
    assert bench.traces() == before


def test_directories_for_an_images_volumes_are_there() -> None:
    bench = app(volumes=("/data", "srv/deep/er/", "/", "/tmp", "/data"))
    bench.run("true")
    tree = bench.world.tree("/var/bocker/ps_42002")
    assert tree["data"].kind == tree["srv/deep/er"].kind == DIRECTORY


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        ("/etc/passwd", "a part of its path is no directory"),
        ("/gone", "it leads through a link to nowhere"),
        ("gone/data/", "it leads through a link to nowhere"),
    ],
)
def test_a_volume_for_which_no_directory_can_be_made_is_named_and_nothing_is_left(volume: str, reason: str) -> None:
    bench = app(volumes=("/data", volume))
    bench.world.add_files("/var/bocker/img_42002", {"gone": Entry(SYMLINK, target="/nowhere")})
    before = bench.traces()
    with pytest.raises(NoVolumeDirectory) as refused:
        bench.run("true", image="base")
    path = f"/{volume.strip('/')}"
    assert refused.value.message == f"Can not make the directory '{path}' for a volume of image 'base': {reason}"
    assert bench.traces() == before


def test_labels_and_stop_signal_are_kept_the_persons_over_the_images() -> None:
    bench = app(labels=("a=image", "b=image"), stop_signal="SIGQUIT")
    bench.run("true", labels=("b=mine", "c="))
    bench.run("true", stop_signal="USR1")
    first, second = bench.records()
    assert (first.labels, first.stop_signal) == (("a=image", "b=mine", "c="), "SIGQUIT")
    assert second.stop_signal == "USR1"


def test_another_host_name_is_the_kernels_the_files_and_the_environments() -> None:
    bench = app()
    out = bench.run("probe", "env", ",", "read", "/etc/hostname", ",", "read", "/etc/hosts", hostname="db.example").out
    assert b"HOSTNAME=db.example\n" in out
    assert b"\ndb.example\n" in out
    assert b"10.0.0.2\tdb.example\n" in out


@pytest.mark.parametrize(
    "request_of",
    [
        {"environment": ("=x",)},
        {"environment": ("",)},
        {"environment": ("A=\0",)},
        {"environment": ("A=\ud800",)},
        {"working_directory": "srv"},
        {"working_directory": "/\0"},
        {"user": "w\0"},
        {"entrypoint": ("a\0",)},
        {"hostname": "a b"},
        {"hostname": "-a"},
        {"hostname": "a\n10.0.0.1 evil"},
        {"hostname": "h" * 65},
        {"stop_signal": "NOPE"},
        {"stop_signal": "0"},
        {"stop_signal": "65"},
        {"labels": ("=x",)},
        {"labels": ("x",)},
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(request_of: dict[str, object]) -> None:
    bench = app()
    before, calls = bench.traces(), len(bench.world.journal)
    with pytest.raises(InvalidValue):
        bench.run("true", **request_of)  # type: ignore[arg-type]
    assert bench.traces() == before
    made = [entry.call.operation for entry in bench.world.journal[calls:]]
    assert not {"records.claim", "cgroups.create", "processes.create"} & set(made)


@pytest.mark.parametrize(
    "configuration",
    [
        {"command": ("a\0b",)},
        {"environment": ("A=\0",)},
        {"working_directory": "/\0"},
        {"user": "\0"},
        {"volumes": ("/\0",)},
        {"entrypoint": ("\ud800",)},
    ],
)
def test_an_image_whose_configuration_is_no_text_is_refused_before_anything_is_made(
    configuration: dict[str, object],
) -> None:
    bench = app(**{"command": ("true",), **configuration})
    before = bench.traces()
    with pytest.raises(InvalidValue, match="no text"):
        bench.run()
    assert bench.traces() == before


def test_exec_takes_over_environment_user_and_directory_of_the_container() -> None:
    bench = app(environment=("LANG=C",), user="web", working_directory="/srv")
    answers: list[Seen] = []

    def now(data: bytes) -> None:
        if not answers:
            other = bench.in_another_terminal()
            answers.append(other.execute("live", "probe", "ids", ",", "cwd", ",", "env"))
            asked = {"user": "0", "working_directory": "/tmp", "environment": ("LANG", "OWN=2", "NEW=3")}
            answers.append(other.execute("live", "probe", "ids", ",", "cwd", ",", "env", **asked))

    words = ("probe", "echo", "up", ",", "sleep", "5")
    bench.run(*words, name="live", environment=("OWN=1",), screen=Screen(now))
    first, second = (answer.out.splitlines() for answer in answers)
    path = b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert first[:2] == [b"1000 1000 1000 1001 1001 1001 ", b"/srv"]
    assert sorted(first[2:]) == [b"HOME=/srv/web", b"HOSTNAME=ps-42002", b"LANG=C", b"OWN=1", path]
    assert second[:2] == [b"0 0 0 0 0 0 ", b"/tmp"]
    assert sorted(second[2:]) == [b"HOME=/root", b"HOSTNAME=ps-42002", b"NEW=3", b"OWN=2", path]


@pytest.mark.parametrize(
    ("asked", "kind"), [({"user": "nobody"}, NoSuchUser), ({"working_directory": "/none"}, NoWorkingDirectory)]
)
def test_exec_as_nobody_or_nowhere_is_126_and_the_container_goes_on(asked: dict[str, str], kind: type) -> None:
    code, answers = while_live(lambda other: other.execute("live", "true", **asked))  # type: ignore[arg-type]
    (error,) = answers
    assert isinstance(error, kind)
    assert error.exit_code == 126
    assert code == 3


def test_exec_of_what_makes_no_sense_makes_no_process() -> None:
    _, answers = while_live(lambda other: other.execute("live", "true", working_directory="srv"))
    assert isinstance(answers[0], InvalidValue)


NAMES = st.sampled_from(["A", "B", "PATH", "HOSTNAME", ""])
ENTRIES = st.lists(st.one_of(NAMES, st.builds(lambda name, value: f"{name}={value}", NAMES, st.text("x=", max_size=3))))


@given(ENTRIES, ENTRIES)
def test_an_overlaid_environment_has_each_name_once_and_the_last_counts(below: list[str], above: list[str]) -> None:
    found = program.overlaid(program.overlaid((), tuple(below)), tuple(above))
    expected: dict[str, str] = {}
    for entry in (*below, *above):
        name, equals, value = entry.partition("=")
        if equals:
            expected[name] = value
        else:
            expected.pop(name, None)
    assert dict(entry.split("=", 1) for entry in found) == expected
    assert len(found) == len(expected)


@given(ENTRIES)
def test_no_image_takes_the_host_name_over(entries: list[str]) -> None:
    content = ImageContent("", "", 0, command=("true",), environment=tuple(entries))
    found = program.of_image(RunRequest("base"), content).environment
    assert not [entry for entry in found if entry.partition("=")[0] in {"HOSTNAME", ""}]

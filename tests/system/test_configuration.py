"""The image's configuration on the real kernel: what a hostile image can say with it, too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest

from bocker.engine import resolve, store
from tests.patience import patience
from tests.system.program import make_busybox_root
from tests.system.test_isolation import DOCKERS_CAPABILITIES, status_field
from tests.system.waiting import wait_until

PASSWD = "root:x:0:0::/root:/bin/sh\nweb:x:1000:1001::/srv/web:/bin/sh\n"
GROUP = "root:x:0:\nstaff:x:50:web\nweb:x:1001:\n"
HIGHEST_DESCRIPTOR = 20
PATIENCE_S = patience(20)


@pytest.fixture
def app(make_image, kernel, tmp_path):
    """Make an image with users and a configuration; `change` may spoil its files."""

    def make(change=lambda root: None, **configuration):
        root = tmp_path / f"root{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        make_busybox_root(root)
        (root / "etc/passwd").write_text(PASSWD)
        (root / "etc/group").write_text(GROUP)
        change(root)
        image = make_image(root)
        content = store.load_content(kernel, kernel.storage.describe(str(resolve.image(kernel, image))).uuid)
        kernel.records.write(store.content_key(content.uuid), store.encode(content.replace(**configuration)))
        return image

    return make


IDENTITY = "id -u; id -g; id -G; echo $HOME"
USERS = [
    ("web", ["1000", "1001", "1001 50", "/srv/web"]),
    ("1000", ["1000", "1001", "1001 50", "/srv/web"]),
    ("web:staff", ["1000", "50", "50", "/srv/web"]),
    ("4000", ["4000", "0", "0", "/"]),
    ("4000:4001", ["4000", "4001", "4001", "/"]),
    ("root", ["0", "0", "0", "/root"]),
]


@pytest.mark.parametrize(("user", "expected"), USERS)
def test_the_user_is_the_images(bocker, app, user, expected):
    """By name, number and group; `exec` has the same one, and `-u` another."""
    image = app(user=user)
    assert bocker("run", "--rm", image, "/bin/sh", "-c", IDENTITY).out.splitlines() == expected
    assert bocker("run", "--rm", "-u", "7:8", image, "/bin/sh", "-c", IDENTITY).out.splitlines() == ["7", "8", "8", "/"]


def test_another_user_than_root_has_no_rights_left(bocker, app, running):
    """Effective and permitted capabilities are empty and the bounding set is docker's, in `exec` too; what it
    may open is its own output."""
    name = running(app(user="web"))
    script = "cat /proc/self/status; echo out > /dev/stdout; echo err > /dev/stderr; touch /etc/x 2>&1"
    for result in (
        bocker("run", "--rm", app(user="web"), "/bin/sh", "-c", script),
        bocker("exec", name, "/bin/sh", "-c", script),
    ):
        for field in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status_field(result.out, field), 16) == 0
        assert int(status_field(result.out, "CapBnd"), 16) == DOCKERS_CAPABILITIES
        assert status_field(result.out, "NoNewPrivs") == "1"
        assert result.out.splitlines()[-2:] == ["out", "touch: /etc/x: Permission denied"]
        assert result.err == "err\n"
    assert bocker("exec", "-u", "0", name, "/bin/touch", "/etc/x").code == 0


@pytest.mark.parametrize("user", ["nobody", "web:none", "99999999999"])
def test_a_user_that_is_not_there(bocker, app, running, user):
    """125 and nothing is left of it; 126 from `exec`, and the container goes on."""
    image = app()
    refused = bocker("run", "--user", user, image, "/bin/true")
    assert (refused.code, refused.out) == (125, "")
    assert f"'{user}' in image '{image}'" in refused.err
    assert bocker("ps", "-q").out == ""
    name = running(image)
    refused = bocker("exec", "-u", user, name, "/bin/true")
    assert (refused.code, refused.out) == (126, "")
    assert f"'{user}' in container '{name}'" in refused.err
    assert bocker("exec", name, "/bin/true").code == 0


def fifo(path):
    os.mkfifo(path)


def long_file(path):
    with open(path, "wb") as file:
        file.write(b"web:x:0:0:::\n")
        file.truncate(100 << 20)


def directory(path):
    path.mkdir()


def device(path):
    os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))


HOSTILE = [fifo, long_file, directory, device]
LINKS = ["/proc/kmsg", "/proc/self/fd/0", "/proc/1/environ", "/proc/self/root/etc/passwd", "passwd", "/dev/zero"]
LINKS += ["/dev/stdin", "../../../../../../../../etc/passwd-of-the-host"]


@pytest.mark.parametrize("hostile", [*HOSTILE, *LINKS], ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_what_is_no_list_of_users_keeps_nobody_waiting(bocker, app, start, hostile):
    """A name is nobody there, a number needs nothing; and neither takes time, memory or the host's file."""

    def spoil(root):
        for name in ("passwd", "group"):
            path = root / "etc" / name
            path.unlink()
            if isinstance(hostile, str):
                os.symlink(hostile, path)
            else:
                hostile(path)

    image = app(spoil, user="web")
    begin = time.monotonic()
    refused = bocker("run", "--rm", "-i", image, "/bin/true", data=b"web:x:0:0:::\n")
    assert (refused.code, refused.err.splitlines()[0][:13]) == (125, "No user 'web'")
    result = bocker("run", "--rm", "-i", "-u", "1000", image, "/bin/probe", "ids", data=b"web:x:0:0:::\n")
    assert result.out.split() == ["1000"] * 3 + ["0"] * 3
    assert time.monotonic() - begin < PATIENCE_S


def test_the_working_directory_is_made_whatever_the_callers_umask_is(bocker, app, settings):
    """Root's, 0755, with those above it; the image has none afterwards."""
    image = app(working_directory="srv/app", user="web")
    command = f"umask 077; exec {bocker.launcher} run --name one {image} /bin/sh -c 'pwd; stat -c %a:%u:%g . ..'"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=patience(30), check=False)
    assert done.stdout.split() == [b"/srv/app", b"755:0:0", b"755:0:0"]
    assert not os.path.exists(f"{settings.store}/{image}/srv")
    bocker("rm", "one")


def test_a_working_directory_that_is_not_the_users_is_entered_all_the_same(bocker, app):
    """As with docker: WORKDIR may be root's alone."""
    image = app(lambda root: (root / "root").chmod(0o700), working_directory="/root", user="web")
    assert bocker("run", "--rm", image, "/bin/sh", "-c", "ls; echo $?").out == "1\n"


def test_exec_works_where_the_container_does_and_makes_nothing(bocker, app, start):
    image = app(working_directory="/srv/app")
    start("run", "--name", "work", image, "/bin/sleep", "60")
    wait_until(lambda: bocker("exec", "work", "/bin/true").code == 0)
    assert bocker("exec", "work", "/bin/sh", "-c", "pwd").out == "/srv/app\n"
    assert bocker("exec", "-w", "/etc", "work", "/bin/sh", "-c", "pwd").out == "/etc\n"
    missing = bocker("exec", "-w", "/none", "work", "/bin/sh", "-c", "pwd")
    assert (missing.code, missing.out) == (126, "")
    assert missing.err.startswith("Can not work in the directory '/none'")
    assert bocker("exec", "work", "/bin/ls", "-d", "/none").code != 0
    bocker("rm", "-f", "work")


def test_no_descriptor_leads_the_image_to_the_host(bocker, app, running, tmp_path):
    """CVE-2024-21626: a working directory, or a program, by way of `/proc/self/fd`, where the caller has left a
    directory open; and by the kernel's other links."""
    image = app()
    name = running(image)
    shutil.copy("/bin/busybox", tmp_path / "busybox")
    leaked = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    places = [f"/proc/self/fd/{number}" for number in (*range(HIGHEST_DESCRIPTOR), leaked)]
    try:
        for command in (("run", "--rm"), ("exec",)):
            subject = image if command[0] == "run" else name
            for place in (*places, "/proc/self/cwd", "/proc/self/root", "/proc/1/root/etc"):
                inside = bocker(*command, "-w", place, subject, "/bin/echo", "inside", pass_fds=(leaked,))
                assert (inside.code, inside.out) == (125 if command[0] == "run" else 126, ""), (place, inside)
            for place in places:
                program = bocker(*command, subject, f"{place}/busybox", "echo", "escaped", pass_fds=(leaked,))
                assert (program.code in {126, 127}, program.out) == (True, ""), (place, program)
    finally:
        os.close(leaked)


def test_the_images_words_and_environment(bocker, app):
    """ENTRYPOINT with CMD, words in place of CMD, another entrypoint; PATH of the image finds the program."""

    def move(root):
        (root / "opt").mkdir()
        os.symlink("/bin/busybox", root / "opt/printf")

    image = app(
        move,
        entrypoint=("printf", "[%s]"),
        command=("a b", "$HOME"),
        environment=("PATH=/opt", "HOSTNAME=elsewhere", "NOT_THE_CALLERS=image"),
    )
    assert bocker("run", "--rm", image).out == "[a b][$HOME]"
    assert bocker("run", "--rm", image, "one; two").out == "[one; two]"
    assert bocker("run", "--rm", "--entrypoint", "/bin/echo", image).out == "\n"
    assert bocker("run", "--rm", "--entrypoint", "", image, "/bin/echo", "mine").out == "mine\n"
    assert bocker("run", "--rm", "--entrypoint", "", image).code == 125
    flags = ("-e", "NOT_THE_CALLERS", "-e", "MINE=x y", "-e", "TERM_OF_MINE", "--entrypoint", "/bin/env")
    lines = bocker("run", "--rm", *flags, image, environment={"TERM_OF_MINE": "vt100"}).out.splitlines()
    assert sorted(line for line in lines if not line.startswith("HOSTNAME=ps-")) == [
        "HOME=/root",
        "MINE=x y",
        "PATH=/opt",
        "TERM_OF_MINE=vt100",
    ]


def test_a_file_of_variables(bocker, app, tmp_path):
    """docker's form; `-e` comes after it."""
    (tmp_path / "env").write_bytes(b"# a remark\n\n  ONE=1\nTWO=a=b  c\r\nTHREE=file\nHOME_OF_MINE\nCAF\xc9=\xff\n")
    flags = ("--env-file", str(tmp_path / "env"), "-e", "THREE=3")
    result = bocker("run", "--rm", *flags, app(), "/bin/env", environment={"HOME_OF_MINE": "here"})
    lines = set(result.raw.splitlines())
    assert {b"ONE=1", b"TWO=a=b  c", b"THREE=3", b"HOME_OF_MINE=here", b"CAF\xc9=\xff"} <= lines
    missing = bocker("run", "--env-file", "/none", app(), "/bin/env")
    assert (missing.code, missing.out) == (125, "")


def test_directories_of_volumes_are_there(bocker, app):
    image = app(volumes=("/var/lib/data", "/proc/self/fd/3/escape"))
    refused = bocker("run", "--rm", image, "/bin/true")
    assert refused.code == 125
    assert refused.err.startswith("Can not make the directory '/proc/self/fd/3/escape' for a volume of image 'img_")
    assert refused.err.endswith("': it leads through a link that is not followed\n")
    image = app(volumes=("/var/lib/data",))
    assert bocker("run", "--rm", image, "/bin/ls", "/var/lib").out == "data\n"


def test_a_volume_below_a_link_to_nowhere_is_refused_on_one_line(bocker, app):
    image = app(lambda root: (root / "gone").symlink_to("/nowhere"), volumes=("/gone/data",))
    refused = bocker("run", "--rm", image, "/bin/true")
    message = f"Can not make the directory '/gone/data' for a volume of image '{image}'"
    assert (refused.code, refused.err) == (125, f"{message}: it leads through a link to nowhere\n")


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM, signal.SIGRTMIN + 3])
def test_stop_sends_the_images_signal_and_prints_what_was_typed(bocker, app, start, number):
    image = app(stop_signal=str(int(number)) if number != signal.SIGTERM else "")
    words = ("/bin/probe", "trap", str(int(number)), "42", ",", "echo", "ready", ",", "sleep", "60")
    engine = start("run", "--name", "stopped", image, *words)
    assert engine.stdout.readline() == b"ready\n"
    time.sleep(0.05)
    result = bocker("stop", "stopped", "stopped")
    assert (result.code, result.out, result.err) == (0, "stopped\nstopped\n", "")
    assert engine.wait(patience(10)) == 42
    assert bocker("rm", "stopped").code == 0


def test_stop_kills_what_does_not_listen_and_says_what_is_not_there(bocker, app, start):
    """`--rm` goes with its end; one that does not exist makes the exit code 1."""
    image = app()
    engines = [start("run", "--rm", "--name", f"deaf-{number}", image, "/bin/sleep", "60") for number in range(2)]
    wait_until(lambda: all(bocker("exec", f"deaf-{number}", "/bin/true").code == 0 for number in range(2)))
    begin = time.monotonic()
    result = bocker("stop", "-t", "1", "deaf-0", "nobody", "deaf-1")
    took_s = time.monotonic() - begin
    assert (result.code, result.out) == (1, "deaf-0\ndeaf-1\n")
    assert result.err.startswith("No container named 'nobody' exists")
    assert 1 <= took_s < 1 + patience(1.5)
    assert [engine.wait(patience(10)) for engine in engines] == [137, 137]
    assert bocker("ps", "-q").out == ""

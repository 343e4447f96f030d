"""A person's session on the fake kernel: the words that are typed, and what is answered."""

from __future__ import annotations

import errno
import json
import os
import re

import pytest

from bocker.cli.main import main
from bocker.fakes import World
from tests.unit.engine.test_setup import RefuseOperation

CREATED_IMAGE = re.compile(r"Created: (img_\d+)\n")
SESSION = {"TERM": "dumb"}  # an environment without any of our settings


@pytest.fixture
def world():
    world = World().prepare()
    world.add_root_filesystem("/srv/rootfs")
    return world


@pytest.fixture
def bocker(world, capfd):
    """A function that types a command; it returns exit code, output and errors."""

    def call(*argv, environ=SESSION):
        code = main(argv, environ, world.kernel)
        return (code, *capfd.readouterr())

    assert call("setup")[0] == 0
    return call


@pytest.fixture
def image(bocker):
    return CREATED_IMAGE.fullmatch(bocker("init", "/srv/rootfs", "-t", "small:1")[1])[1]


def test_init_prints_the_id_as_the_originals_scripts_expect(bocker):
    code, out, err = bocker("init", "/srv/rootfs")
    assert (code, err) == (0, "")
    assert CREATED_IMAGE.fullmatch(out)


def test_init_of_what_is_no_directory_names_it_as_typed(bocker):
    assert bocker("init", "nowhere") == (1, "", "No directory named 'nowhere' exists\n")
    assert bocker("init", "") == (1, "", "No directory named '' exists\n")


def test_init_shows_the_words_as_typed_and_finds_them_from_here(bocker, world, tmp_path, monkeypatch):
    """The engine and the kernel know no working directory; a person need not know that."""
    world.add_root_filesystem(f"{tmp_path}/roots/small")
    monkeypatch.chdir(tmp_path)
    code, out, err = bocker("init", "./roots/small")
    assert (code, err) == (0, "")
    assert bocker("images")[1].splitlines()[1:] == [f"{CREATED_IMAGE.fullmatch(out)[1]}\t\t./roots/small"]
    world.set_free_bytes("/var/bocker", 0)
    code, out, err = bocker("init", "./roots/small")
    assert (code, out) == (1, "")
    assert err.startswith("Making an image of './roots/small' failed: no space is left")


def test_init_where_the_working_directory_is_gone_names_it_as_typed(bocker, monkeypatch):
    def gone():
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", gone)
    assert bocker("init", "rootfs") == (1, "", "No directory named 'rootfs' exists\n")
    assert bocker("init", "/srv/rootfs")[0] == 0


def test_a_script_sees_the_originals_columns(bocker, image):
    bocker("run", image, "/bin/echo", "hello")
    assert bocker("images") == (0, f"IMAGE_ID\t\tSOURCE\n{image}\t\t/srv/rootfs\n", "")
    assert bocker("ps") == (0, "CONTAINER_ID\t\tCOMMAND\nps_42002\t\t/bin/echo hello\n", "")


def test_empty_lists_have_their_header(bocker):
    assert bocker("images") == (0, "IMAGE_ID\t\tSOURCE\n", "")
    assert bocker("ps") == (0, "CONTAINER_ID\t\tCOMMAND\n", "")
    assert bocker("ps", "-q") == (0, "", "")
    assert bocker("ps", "--format", "json") == (0, "", "")


def test_quiet_lists_are_ids_only(bocker, image):
    bocker("run", image, "/bin/true")
    assert bocker("images", "-q")[1] == f"{image}\n"
    assert bocker("ps", "-aq")[1] == "ps_42002\n"


def test_json_has_dockers_keys(bocker, image):
    bocker("run", "--name", "web", image, "/bin/sh", "-c", "probe exit 7")
    container = json.loads(bocker("ps", "--format", "json")[1])
    assert container["ID"] == "ps_42002"
    assert container["Names"] == "web"
    assert container["State"] == "exited"
    assert container["Status"].startswith("Exited (7) ")
    assert container["Image"] == image
    assert container["Command"] == '"/bin/sh -c probe ex…"'
    made = json.loads(bocker("images", "--format", "json")[1])
    assert (made["ID"], made["Repository"], made["Tag"]) == (image, "small", "1")


def test_no_trunc_keeps_the_command_whole(bocker, image):
    bocker("run", image, "/bin/echo", "a" * 40)
    assert json.loads(bocker("ps", "--no-trunc", "--format=json")[1])["Command"] == f'"/bin/echo {"a" * 40}"'


def test_a_person_sees_a_table(bocker, image, monkeypatch):
    bocker("run", "--name", "web", image, "/bin/echo", "a" * 40)
    monkeypatch.setattr("bocker.cli.output.on_terminal", lambda: True)
    header, row = bocker("ps", environ={"COLUMNS": "200"})[1].splitlines()
    assert header.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert row.endswith("web")
    assert '"/bin/echo aaaaaaaaa…"' in row
    assert max(map(len, bocker("ps", environ={"COLUMNS": "115"})[1].splitlines())) <= 115
    assert bocker("images", environ={"COLUMNS": "200"})[1].split()[:2] == ["IMAGE", "ID"]


def test_an_unknown_format_is_a_usage_error(bocker):
    code, out, err = bocker("ps", "--format", "yaml")
    assert (code, out) == (2, "")
    assert err == "--format does not know 'yaml'; it is json, table or a template such as '{{.ID}}'\n"


@pytest.mark.parametrize("verb", [("ps",), ("images",), ("history", "small:1")])
def test_a_bad_template_is_a_usage_error_before_anything_is_looked_at(bocker, verb):
    code, out, err = bocker(*verb, "--format", "{{.ID")
    assert (code, out) == (2, "")
    assert err == "template parsing error: unclosed action; write it like '{{.ID}}', or json\n"


def test_a_field_that_is_not_there_is_named_with_those_that_are(bocker, image):
    code, out, err = bocker("images", "--format", "{{.Id}}")
    assert (code, out) == (2, "")
    assert err.startswith('template parsing error: at <.Id>: map has no entry for key "Id"; there are Containers, Cre')


def test_templates_of_ps(bocker, image):
    bocker("run", "--name", "web", "-l", "com.example.the-role=db", "-l", "x=\x1b[2J", image, "/bin/echo", "a")
    bocker("run", image, "/bin/true")
    assert bocker("ps", "--format", "{{.ID}} {{.Names}} {{.State}}")[1] == "ps_42002 web exited\nps_42003  exited\n"
    form = 'table {{.ID}}\\t{{.Label "com.example.the-role"}}\\t{{upper .Names}}'
    assert bocker("ps", "--format", form) == (
        0,
        "CONTAINER ID   THE ROLE   NAMES\nps_42002       db         WEB\nps_42003\n",
        "",
    )
    assert bocker("ps", "--format", '{{.Label "x"}}')[1] == "\\x1b[2J\n\n"
    assert json.loads(bocker("ps", "--format", "{{json .}}")[1].splitlines()[0])["Labels"].startswith("com.example")
    assert bocker("ps", "--format", "table {{.ID}}{{.RunningFor}}{{.CreatedAt}}")[1].startswith(
        "CONTAINER IDCREATEDCREATED AT"
    )
    assert bocker("ps", "-q", "--format", "{{.Names}}")[1] == "ps_42002\nps_42003\n"


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_W3_the_exit_code_is_the_programs(bocker, image, code):
    assert bocker("run", "--rm", image, "/bin/sh", "-c", f"probe exit {code}") == (code, "", "")


def test_rm_leaves_no_container(bocker, image):
    bocker("run", "--rm", image, "/bin/true")
    assert bocker("ps", "-q")[1] == ""
    bocker("run", image, "/bin/true")
    assert bocker("ps", "-q")[1] != ""


def test_standard_input_is_passed_on_only_when_asked_for(bocker, image, world):
    world.standard_input = b"typed\n"
    assert bocker("run", "--rm", image, "/bin/sh", "-c", "probe cat") == (0, "", "")
    assert bocker("run", "-i", "--rm", image, "/bin/sh", "-c", "probe cat") == (0, "typed\n", "")


def test_W18_the_two_streams_stay_apart(bocker, image):
    words = ("/bin/sh", "-c", "probe echo one , error two")
    assert bocker("run", "--name", "web", image, *words) == (0, "one\n", "two\n")
    assert bocker("logs", "web") == (0, "one\n", "two\n")


def test_run_names_what_is_wrong_with_125_126_127(bocker, image):
    assert bocker("run", "nope", "/bin/true") == (125, "", "No image named 'nope' exists\n")
    code, out, err = bocker("run", "--rm", image, "/bin/nope")
    assert (code, out) == (127, "")
    assert "/bin/nope" in err


def test_U8_an_image_without_a_command_of_its_own_needs_one(bocker, image):
    code, out, err = bocker("run", image)
    assert (code, out) == (125, "")
    assert "bocker run IMAGE COMMAND" in err


def test_what_is_typed_stands_over_the_image(bocker, image, tmp_path):
    (tmp_path / "env").write_text("# remark\n  FILE=1\nMINE\nNONE\nTWICE=file\n")
    environ = {"MINE": "my own", "TERM": "dumb"}
    flags = ("-e", "TWICE=1", "-e", "TWICE=2", "-e", "MINE", "--env-file", str(tmp_path / "env"))
    place = ("-w", "/srv", "-u", "7:8", "--hostname", "db", "--entrypoint", "/bin/probe")
    code, out, err = bocker("run", "--rm", *flags, *place, image, "env", ",", "ids", ",", "cwd", environ=environ)
    assert (code, err) == (0, "")
    assert {"FILE=1", "MINE=my own", "TWICE=2", "HOME=/", "HOSTNAME=db"} <= set(out.splitlines())
    assert out.splitlines()[-2:] == ["7 7 7 8 8 8 ", "/srv"]
    assert "NONE" not in out


def test_labels_and_the_stop_signal_are_kept(bocker, image, world):
    bocker("run", "-l", "a=b=c", "--label", "alone", "--stop-signal", "INT", image, "/bin/true")
    found = json.loads(world.read_file("/var/bocker/.meta/containers/ps_42002"))
    assert (found["labels"], found["stop_signal"]) == (["a=b=c", "alone="], "INT")


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("-e", "=x"), "=x"),
        (("-w", "srv"), "srv"),
        (("--stop-signal", "NOPE"), "NOPE"),
        (("--hostname", "a b"), "a b"),
        (("-l", "=x"), "=x"),
        (("--env-file", "/none"), "/none"),
        (("-u", "nobody"), "nobody"),
    ],
)
def test_run_names_what_it_can_not_do_with_125(bocker, image, flags, word):
    code, out, err = bocker("run", *flags, image, "/bin/true")
    assert (code, out, err.count("\n")) == (125, "", 1)
    assert f"'{word}'" in err
    assert bocker("ps", "-q")[1] == ""


@pytest.mark.parametrize("line", ["A B=1", "=1", "\t=1"])
def test_a_line_of_a_file_that_is_no_variable_is_named(bocker, image, tmp_path, line):
    (tmp_path / "env").write_text(f"GOOD=1\n{line}\n")
    code, out, err = bocker("run", "--env-file", str(tmp_path / "env"), image, "/bin/true")
    assert (code, out) == (125, "")
    assert "in line 2 of" in err


def test_stop_prints_what_was_typed_and_goes_on_after_one_that_is_not_there(bocker, image):
    bocker("run", "--name", "web", image, "/bin/true")
    assert bocker("stop", "web", "ps_42002") == (0, "web\nps_42002\n", "")
    assert bocker("stop", "nobody", "web") == (1, "web\n", "No container named 'nobody' exists\n")
    assert bocker("stop")[0] == 2
    for flags in (("-t", "x"), ("-t", "-2"), ("-t", ""), ("-s", "NOPE")):
        assert bocker("stop", *flags, "web")[0] == 2
    assert bocker("stop", "-t", "-1", "-s", "KILL", "web")[0] == 0


def test_limits_come_from_flags_over_settings(bocker, image, world):
    bocker("run", "--name", "one", image, "/bin/true", environ={"BOCKER_MEM_LIMIT": "64", "BOCKER_CPU_SHARE": "100"})
    bocker("run", "-m", "32m", "-c", "7", "--pids-limit", "9", "--cpus", "0.5", "--name", "two", image, "/bin/true")
    first, second = (_record(world, f"ps_{number}") for number in (42002, 42003))
    assert (first["memory_bytes"], first["cpu_shares"]) == (64_000_000, 100)
    assert second == {"memory_bytes": 32 << 20, "cpu_shares": 7, "pids": 9, "cpu_quota_us": 50_000}


@pytest.mark.parametrize("flag", ["--memory=a[$(touch /x)]", "--cpus=0", "--cpu-shares=010", "--pids-limit=0"])
def test_W15_a_bad_limit_creates_nothing(bocker, image, flag):
    code, out, err = bocker("run", flag, image, "/bin/true")
    assert (code, out) == (125, "")
    assert flag.partition("=")[0] in err or "CPUs" in err
    assert bocker("ps", "-q")[1] == ""


def test_exec_says_which_of_the_two_it_is(bocker, image):
    bocker("run", "--name", "web", image, "/bin/true")
    assert bocker("exec", "web", "/bin/true") == (1, "", "Container 'web' exists but is not running\n")
    assert bocker("exec", "nope", "/bin/true") == (1, "", "No container named 'nope' exists\n")
    assert bocker("exec", image, "/bin/true")[0] == 1


def test_commit_prints_removed_only_when_it_replaced(bocker, image):
    bocker("run", "--name", "web", image, "/bin/sh", "-c", "probe write /etc/motd changed")
    made = CREATED_IMAGE.fullmatch(bocker("commit", "web", "small:2")[1])[1]
    assert made != image
    assert bocker("commit", "web", "small:2") == (0, f"Removed: {made}\nCreated: {made}\n", "")
    assert bocker("run", "--rm", "small:2", "/bin/sh", "-c", "probe read /etc/motd")[1].startswith("changed")


def test_U5_rm_removes_all_and_goes_on_past_a_failure(bocker, image):
    bocker("run", "--name", "one", image, "/bin/true")
    code, out, err = bocker("rm", "one", "nope", image)
    assert code == 1
    assert err == "No container or image named 'nope' exists\n"
    assert out == f"Removed: ps_42002\nRemoved: {image}\n"


def test_logs_can_be_cut_and_stamped(bocker, image):
    bocker("run", "--name", "web", image, "/bin/sh", "-c", "probe echo one , echo two , echo three")
    assert bocker("logs", "--tail", "2", "web")[1] == "two\nthree\n"
    assert bocker("logs", "-n0", "web")[1] == ""
    assert bocker("logs", "--tail=all", "web")[1] == "one\ntwo\nthree\n"
    assert re.fullmatch(r"(\d{4}-\d\d-\d\dT[\d:.]+Z (one|two|three)\n){3}", bocker("logs", "-t", "web")[1])
    assert bocker("logs", "--since", "1s", "web")[1] == "one\ntwo\nthree\n"
    assert bocker("logs", "--since", "2099-01-01", "web")[1] == ""
    assert bocker("logs", "--tail", "-2", "web")[0] == 2


def test_cleanup_says_so_when_there_is_nothing(bocker):
    assert bocker("cleanup") == (0, "Nothing to clean up\n", "")


def test_cleanup_says_what_it_did_and_each_thing_that_it_could_not_do(world, capfd):
    """One that fails hides neither what went nor another one that fails."""
    assert main(("setup",), SESSION, world.kernel) == 0
    kernel = world.kernel()
    kernel.storage.create(".img_42005.new")
    kernel.namespaces.create("netns_ps_42010")
    kernel.namespaces.create("netns_ps_42011")
    capfd.readouterr()

    def refusing(settings):
        return world.kernel(settings, RefuseOperation("namespaces.remove", errno.EPERM))

    assert main(("cleanup",), SESSION, refusing) == 1
    refused = "Cleaning up failed: it is not permitted (namespaces.remove {}: EPERM)"
    assert capfd.readouterr() == (
        "Removed: .img_42005.new\n",
        f"{refused.format('netns_ps_42010')}\n{refused.format('netns_ps_42011')}\n",
    )


def test_setup_reports_every_need(bocker):
    code, out, err = bocker("setup", "--check")
    assert (code, err) == (0, "")
    assert all(line.startswith("ok ") for line in out.splitlines())


def test_setup_check_fails_where_something_is_missing(capfd):
    code = main(("setup", "--check"), SESSION, World().kernel)
    assert code == 1
    assert "missing" in capfd.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [("--check", "--undo"), ("--check", "--size", "1g"), ("--undo", "--subnet", "10.1.0.0/24"), ("--delete-data",)],
)
def test_setups_flags_that_contradict_each_other_are_refused(bocker, flags):
    code, out, _ = bocker("setup", *flags)
    assert (code, out) == (2, "")


def test_setup_makes_and_takes_back(capfd):
    world = World()
    before = world.dump()

    def bocker(*argv):
        code = main(argv, SESSION, world.kernel)
        return (code, *capfd.readouterr())

    assert bocker("setup", "--size", "1g", "--subnet", "10.9.0.0/24")[0] == 0
    assert "10.9.0.1/24" in world.dump()
    assert bocker("setup", "--check")[0] == 0
    assert bocker("setup", "--undo", "--delete-data")[0] == 0
    assert "10.9.0.1/24" not in world.dump()
    assert before


def test_S13_a_command_can_not_forge_a_row(bocker, image):
    bocker("run", image, "/bin/echo", "x\nps_42003\t\tforged\x1b[2J")
    assert bocker("ps")[1].splitlines()[1:] == ["ps_42002\t\t/bin/echo x\\x0aps_42003\\x09\\x09forged\\x1b[2J"]


def test_words_that_are_no_utf8_reach_the_program_and_the_list(bocker, image):
    word = os.fsdecode(b"caf\xe9")
    code, _, err = bocker("run", image, "/bin/echo", word)
    assert (code, err) == (0, "")
    assert bocker("ps")[1].endswith("/bin/echo caf\\xe9\n")


def _record(world, container):
    found = json.loads(world.read_file(f"/var/bocker/.meta/containers/{container}"))["limits"]
    return {name: found[name] for name in ("memory_bytes", "cpu_shares", "pids", "cpu_quota_us")}

"""`images`, `history`, `df`, `prune` and `inspect` as they are typed, beside a fake registry."""

from __future__ import annotations

import io
import json

import pytest

from bocker.cli.main import main
from tests.unit.images.bench import BASE, HOST, with_app

SESSION = {"TERM": "dumb"}
APP = f"{HOST}/app:1"


@pytest.fixture
def bench():
    return with_app()


@pytest.fixture
def bocker(bench, capfd):
    """A function that types a command; it returns exit code, output and errors."""

    def call(*argv, environ=SESSION):
        code = main(argv, environ, bench.world.kernel)
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def person(monkeypatch):
    monkeypatch.setattr("bocker.cli.output.on_terminal", lambda: True)


def test_a_person_sees_tags_source_age_and_size(bocker, bench, person):
    bench.tag(APP, "second:2")
    header, row = bocker("images", environ={"COLUMNS": "200"})[1].splitlines()
    assert header.split("  ")[0] == "IMAGE ID"
    assert header.split() == ["IMAGE", "ID", "TAG", "SOURCE", "CREATED", "SIZE"]
    size = sum(map(len, bench.tree("img_42002").values()))
    assert row.startswith(f"img_42002   {APP}, second:2   {APP}")
    assert row.endswith(f"   {size}B")


def test_digests_have_a_column_where_they_are_asked_for(bocker, bench):
    bench.add_image(tag="small:1")
    digest = bench.pull("app:1").digest
    header, first, second = bocker("images", "--digests")[1].splitlines()
    assert header.split() == ["IMAGE", "ID", "TAG", "DIGEST", "SOURCE", "CREATED", "SIZE"]
    assert f"   {digest}   " in first
    assert "   <none>   " in second


def test_an_image_is_as_old_as_its_configuration_says(bocker, bench):
    bench.configure("img_42002", dated_ns=1_600_000_000_000_000_000)
    found = json.loads(bocker("images", "--format", "json")[1])
    assert found["CreatedAt"] == "2020-09-13 12:26:40 +0000 UTC"


def test_json_tells_what_is_shared(bocker, bench):
    bench.run("probe", "write", "/own", "x" * 1500, image=APP, name="web")
    bench.commit("web", "mine:1")
    first, second = map(json.loads, bocker("images", "--format", "json")[1].splitlines())
    assert (first["Containers"], second["Containers"]) == ("1", "0")
    assert (first["UniqueSize"], second["UniqueSize"]) == ("0B", "1.5kB")
    assert first["SharedSize"] == second["SharedSize"] != "0B"
    assert bocker("images", "--format", "{{.ID}} {{.UniqueSize}}")[1] == "img_42002 0B\nimg_42003 1.5kB\n"


def test_nothing_is_measured_that_nobody_asked_for(bocker, bench, monkeypatch):
    monkeypatch.setattr("bocker.images.space.image_usages", lambda *_: pytest.fail("it was measured"))
    assert bocker("images", "--format", "{{.ID}} {{.Repository}} {{.Tag}}")[1] == f"img_42002 {HOST}/app 1\n"
    assert bocker("images", "--format", "table")[0] == 0


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("small",), "img_42003"),
        (("small:1",), "img_42003"),
        (("small:2",), ""),
        (("docker.io/library/small",), "img_42003"),
        (("*",), "img_42003"),
        (("*/*",), "img_42002"),
        (("s[l-n]al?:[^2]",), "img_42003"),
        (("s[^l-n]all",), ""),
        (("[",), ""),
        (("[&&--||~~[]",), ""),
        (("-f", "dangling=true"), "img_42004"),
        (("--filter", "dangling=false"), "img_42002 img_42003"),
        (("-f", "reference=small*", "-f", "reference=*:1"), "img_42003"),
        (("-f", "reference=small", "-f", "dangling=true"), ""),
        (("-f", "reference=small", "none"), ""),
    ],
)
def test_filters(bocker, bench, words, found):
    bench.add_image(tag="small:1")
    bench.add_image()
    assert bocker("images", "-q", *words) == (0, "".join(f"{image}\n" for image in found.split()), "")


@pytest.mark.parametrize("text", ["dangling", "dangling=x", "color=red", "reference", "=", "reference=[z-a]"])
def test_a_filter_that_makes_no_sense_is_a_usage_error(bocker, text):
    code, out, err = bocker("images", "-f", text)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_history_has_dockers_columns(bocker, bench):
    lines = bocker("history", APP)[1].splitlines()
    assert lines[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert len(lines) == 4
    assert lines[1].startswith("img_42002   ")
    assert all(line.startswith("<missing>") for line in lines[2:])
    assert bocker("history", "-q", APP)[1].split() == ["img_42002", "<missing>", "<missing>"]
    assert bocker("history", "nope") == (1, "", "No image named 'nope' exists\n")


def test_a_commits_step_is_the_newest(bocker, bench):
    bench.run("probe", "write", "/own", "x" * 1500, image=APP, name="web")
    assert bocker("commit", "-m", "what was\ndone", "web", "mine:1")[0] == 0
    steps = list(map(json.loads, bocker("history", "--format", "json", "mine:1")[1].splitlines()))
    assert len(steps) == 4
    assert steps[0]["ID"] == "img_42003"
    assert (steps[0]["CreatedBy"], steps[0]["Size"], steps[0]["Comment"]) == (
        "bocker commit",
        "1.5kB",
        "what was\ndone",
    )
    assert "what was\\x0adone" in bocker("history", "mine:1")[1]


def test_how_a_step_was_made_is_shortened(bocker, bench):
    made = {"created_by": "RUN  a \t" + "b" * 60, "created": "2020-09-13T12:26:40Z"}
    bench.registry.put_image(
        "long", "1", [BASE], {"history": [{"created_by": "FROM\x1b[2J", "empty_layer": True}, made]}
    )
    bench.pull("long:1")
    rows = bocker("history", f"{HOST}/long:1")[1].splitlines()
    assert f"   RUN a {'b' * 38}…   " in rows[1]
    assert rows[2].split() == ["<missing>", "N/A", "FROM\\x1b[2J", "0B"]
    assert f"RUN a {'b' * 60}" in bocker("history", "--no-trunc", f"{HOST}/long:1")[1]
    found = json.loads(bocker("history", "--no-trunc", "--format", "json", f"{HOST}/long:1")[1].splitlines()[0])
    assert found["CreatedAt"] == "2020-09-13 12:26:40 +0000 UTC"


def test_df_has_dockers_columns(bocker, bench):
    bench.run("probe", "write", "/own", "x", image=APP, name="web")
    bench.add_image(tag="small:1")
    code, out, err = bocker("df")
    assert (code, err) == (0, "")
    header, images, *_ = [line.split("   ") for line in out.splitlines()]
    assert " ".join(" ".join(header).split()) == "TYPE TOTAL ACTIVE SIZE RECLAIMABLE"
    assert [part.strip() for part in images if part.strip()][:3] == ["Images", "2", "1"]
    own = sum(map(len, bench.tree("img_42003").values()))
    found = {row["Type"]: row for row in map(json.loads, bocker("df", "--format", "json")[1].splitlines())}
    assert found["Images"]["Reclaimable"].startswith(f"{own}B (")
    assert found["Images"]["Reclaimable"].endswith("%)")
    assert found["Containers"]["TotalCount"] == "1"
    assert found["Downloads"]["Active"] == found["Downloads"]["TotalCount"] == "5"
    assert (found["Downloads"]["Reclaimable"], found["Partial downloads"]["Reclaimable"])[1] == "0B"
    assert bocker("df", "--format", "{{.Type}}")[1].splitlines()[0] == "Images"


def test_df_of_each(bocker, bench):
    bench.run("probe", "write", "/own", "x", image=APP, name="web")
    bench.add_image()
    rows = bocker("df", "-v")[1].splitlines()
    assert rows[0] == "Images space usage:"
    assert rows[2].startswith("IMAGE ID    TAG")
    assert (rows[3].split()[0], rows[3].split()[1], rows[3].split()[-1]) == ("img_42002", APP, "1")
    assert (rows[4].split()[0], rows[4].split()[1], rows[4].split()[-1]) == ("img_42003", "<none>", "0")
    assert rows[6] == "Containers space usage:"
    assert rows[9].split()[:3] == ["ps_42002", APP, "exited"]
    assert rows[9].endswith("   web")
    assert bocker("df", "-v", "--format", "json")[0] == 2


def test_prune_asks_nobody_where_nobody_is(bocker, bench):
    before = bench.traces()
    assert bocker("prune", "-a") == (
        2,
        "",
        "There is no terminal to ask on; use -f, or --dry-run to see what would go\n",
    )
    assert bench.traces() == before


@pytest.fixture
def answer(monkeypatch):
    """A function that says what the person at the terminal will type."""

    def at_terminal(text):
        monkeypatch.setattr("bocker.cli.commands.prune.os.isatty", lambda descriptor: True)
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return at_terminal


@pytest.mark.parametrize("text", ["", "\n", "n\n", "no\n", "yesterday\n"])
def test_prune_takes_only_yes_for_yes(bocker, bench, answer, text):
    image = bench.add_image()
    answer(text)
    code, out, err = bocker("prune")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"Would remove: {image}"
    assert out.splitlines()[-1] == "Are you sure you want to continue? [y/N] "
    assert image in bench.images()


def test_prune_with_yes(bocker, bench, answer):
    image = bench.add_image()
    size = sum(map(len, bench.tree(image).values()))
    answer("Y\n")
    code, out, err = bocker("prune")
    assert (code, err) == (0, "")
    assert out.splitlines()[-2:] == [f"Removed: {image}", f"Total reclaimed space: {size}B"]
    assert list(bench.images()) == ["img_42002"]


def test_prune_says_what_would_go_and_then_that_goes(bocker, bench):
    bench.run("probe", "write", "/own", "x", image=APP, name="web")
    would = bocker("prune", "-a", "--containers", "--dry-run")
    assert would[0] == 0
    names = [line.removeprefix("Would remove: ") for line in would[1].splitlines()[:-1]]
    assert names[:2] == ["ps_42002", "img_42002"]
    assert len([name for name in names if name.startswith("layer_")]) == 3
    assert len(names) == 2 + 3 + 5
    did = bocker("prune", "-a", "--containers", "-f")
    assert [line.removeprefix("Removed: ") for line in did[1].splitlines()[:-1]] == names
    assert did[1].splitlines()[-1].split(": ")[1] == would[1].splitlines()[-1].split(": ")[1] != "0B"
    assert bench.images() == {}
    assert bench.layers() == []
    assert bench.program().blobs.list() == ()
    assert bocker("prune", "-af") == (0, "Total reclaimed space: 0B\n", "")


def test_prune_keeps_what_is_in_use(bocker, bench):
    bench.run("probe", "write", "/own", "x", image=APP, name="web")
    bench.rmi(APP)
    before = bench.traces()
    assert bocker("prune", "-a", "-f") == (0, "Total reclaimed space: 0B\n", "")
    assert bench.traces() == before
    assert "ps_42002" in bocker("ps", "-q")[1]


def test_prune_of_downloads_keeps_the_images(bocker, bench):
    code, out, err = bocker("prune", "--downloads", "-f")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 3 + 1
    assert bench.run("probe", "read", "/top", image=APP).out == b"third"


def test_inspect_prints_an_array_in_the_order_of_the_words(bocker, bench):
    bench.run("probe", "exit", "3", image=APP, name="web")
    code, out, err = bocker("inspect", "web", APP)
    assert (code, err) == (0, "")
    container, image = json.loads(out)
    assert (container["Id"], container["Name"], container["State"]["ExitCode"]) == ("ps_42002", "/web", 3)
    assert image["ID"] == "img_42002"


def test_inspect_of_nothing_prints_an_empty_array(bocker):
    assert bocker("inspect", "nope") == (1, "[]\n", "No container or image named 'nope' exists\n")
    code, out, err = bocker("inspect", "nope", APP, "none")
    assert code == 1
    assert [found["ID"] for found in json.loads(out)] == ["img_42002"]
    assert err.splitlines() == [f"No container or image named '{name}' exists" for name in ("nope", "none")]


def test_inspect_of_one_kind(bocker, bench):
    bench.run("probe", "exit", "0", image=APP, name="web")
    assert bocker("inspect", "--type", "container", APP) == (1, "[]\n", f"No container named '{APP}' exists\n")
    assert bocker("inspect", "--type", "image", "web") == (1, "[]\n", "No image named 'web' exists\n")
    assert json.loads(bocker("inspect", "--type", "image", APP)[1])[0]["ID"] == "img_42002"
    assert json.loads(bocker("inspect", "--type=container", "web")[1])[0]["Id"] == "ps_42002"
    assert bocker("inspect", "--type", "volume", "web")[0] == 2


def test_inspect_by_a_template(bocker, bench):
    bench.run("probe", "exit", "0", image=APP, name="web", environment=("A=1\x1b[2J\n",), labels=("x.y=z",))
    form = '{{.Name}} {{index .Config.Labels "x.y"}}{{.Config.Labels.none}} {{json .Config.Cmd}}'
    assert bocker("inspect", "-f", form, "web")[1] == '/web z<no value> ["probe","exit","0"]\n'
    assert bocker("inspect", "-f", "{{.State.Pid}}", "web", "nope") == (
        1,
        "0\n",
        "No container or image named 'nope' exists\n",
    )
    assert "A=1\x1b[2J\n" in bocker("inspect", "-f", "{{range .Config.Env}}{{.}} {{end}}", "web")[1]
    assert "A=1\\u001b[2J\\n" in bocker("inspect", "web")[1]
    code, out, err = bocker("inspect", "-f", "{{.Nope}}", "web")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert bocker("inspect", "-f", "{{", "nope") == (
        2,
        "",
        "template parsing error: unclosed action; write it like '{{.ID}}', or json\n",
    )


def test_a_template_can_not_drive_a_terminal(bocker, bench, person):
    bench.run("probe", "exit", "0", image=APP, name="web", environment=("A=1\x1b[2J\nB",))
    assert "A=1\\x1b[2J\nB" in bocker("inspect", "-f", "{{range .Config.Env}}{{.}} {{end}}", "web")[1]

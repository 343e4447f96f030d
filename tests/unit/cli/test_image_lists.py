"""`images`, `history`, `df`, `prune` and `inspect` as they are typed, beside a fake registry."""

from __future__ import annotations

import json

import pytest

from bocker.cli.main import main
from tests.unit.images.bench import BASE, HOST, ImageBench, three_layers

SESSION = {"TERM": "dumb"}
APP = f"{HOST}/app:1"


@pytest.fixture
def bench():
    bench = ImageBench()
    three_layers(bench)
    bench.pull("app:1")
    return bench


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

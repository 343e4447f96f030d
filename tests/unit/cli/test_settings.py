"""Settings: file under environment under `--NAME=VALUE`, and a bad one refused with its source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.cli.settings import MEANINGS, Configuration, load
from bocker.core.errors import BockerError, InvalidValue, UsageError
from bocker.core.settings import Settings


@pytest.fixture
def config(tmp_path):
    """A function that writes the file of settings and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return str(path)

    return write


def test_without_anything_the_defaults_hold(tmp_path):
    assert load({}, config_file=str(tmp_path / "none")) == Configuration()
    assert load({}, config_file=str(tmp_path / "none")).settings == Settings()


def test_the_environment_wins_over_the_file_and_the_flag_over_both(config):
    path = config('store = "/file"\nstate = "/file"\nruntime = "/file"\n')
    environ = {"BOCKER_STATE": "/variable", "BOCKER_RUNTIME": "/variable"}
    settings = load(environ, [("runtime", "/flag", "--runtime")], path).settings
    assert (settings.store, settings.state, settings.runtime) == ("/file", "/variable", "/flag")


@pytest.mark.parametrize("written", ["mem-limit", "mem_limit", "MEM_LIMIT", "Mem-Limit"])
def test_the_originals_flags_take_any_spelling(written, tmp_path):
    chosen = load({}, [(written, "64", f"--{written}")], str(tmp_path / "none")).mem_limit
    assert chosen.text == "64"
    assert chosen.source == f"--{written}"


def test_an_empty_variable_is_none_as_in_the_original(tmp_path):
    assert load({"BOCKER_MEM_LIMIT": "", "BOCKER_STORE": ""}, config_file=str(tmp_path / "none")) == Configuration()


def test_other_variables_belong_to_somebody_else(tmp_path):
    assert load({"BOCKER_REQUIRE_SYSTEM": "1"}, config_file=str(tmp_path / "none")) == Configuration()


@pytest.mark.parametrize("written", ["bogus", "a[$(touch /x)]", "", "path"])
def test_S18_an_unknown_flag_is_refused(written, tmp_path):
    with pytest.raises(UsageError, match="unknown setting"):
        load({}, [(written, "1", f"--{written}")], str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOCKER_STORE", "relative"),
        ("BOCKER_STORE", "/"),
        ("BOCKER_STORE", "/var/../etc"),
        ("BOCKER_STATE", "/a\nb"),
        ("BOCKER_BRIDGE", "sixteen_letters_"),
        ("BOCKER_BRIDGE", "a/b"),
        ("BOCKER_BRIDGE", "a b"),
        ("BOCKER_TABLE", "x; flush ruleset"),
        ("BOCKER_CGROUP_PARENT", "../other"),
        ("BOCKER_CGROUP_PARENT", "/absolute"),
        ("BOCKER_SUBNET", "10.0.0.1/24"),
        ("BOCKER_SUBNET", "10.0.0.0/31"),
    ],
)
def test_a_bad_value_is_refused_with_its_source(variable, value, tmp_path):
    with pytest.raises(InvalidValue) as caught:
        load({variable: value}, config_file=str(tmp_path / "none"))
    assert variable in caught.value.message


def test_a_path_is_kept_without_what_means_nothing(tmp_path):
    assert load({"BOCKER_STORE": "/mnt//./store/"}, config_file=str(tmp_path / "none")).settings.store == "/mnt/store"


def test_the_file_may_hold_numbers(config):
    path = config("mem_limit = 64\n")
    chosen = load({}, config_file=path).mem_limit
    assert chosen.text == "64"
    assert chosen.source == f"{path}, mem_limit"


@pytest.mark.parametrize(
    "text", ["bogus = 1\n", "store = [1]\n", "store = true\n", "= broken", 'bridge = "a b"\n', "\x00"]
)
def test_a_bad_file_is_refused_by_name(config, text):
    path = config(text)
    with pytest.raises(UsageError) as caught:
        load({}, config_file=path)
    assert path in caught.value.message


@given(st.sampled_from(sorted(MEANINGS)), st.text(max_size=20))
def test_any_value_is_taken_or_refused_with_its_source(name, text):
    refused = None
    try:
        load({}, [(name, text, f"--{name}")], "/nonexistent/config.toml")
    except BockerError as error:
        refused = error
    assert refused is None or f"--{name}" in refused.message

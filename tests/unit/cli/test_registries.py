"""Mirrors, plain http and bounds: bocker's own settings, and what docker and podman are told on this host."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from bocker.cli.registries import auth_places, bounds, registries
from bocker.cli.settings import Configuration, load
from bocker.core.errors import BockerError, InvalidValue, UsageError
from bocker.kernel.archives import Bounds
from bocker.registry.endpoints import Registries

NONE = "/nonexistent/file"
OWN = """
mem_limit = 64
[registries]
plain-http = ["nas:5000", "10.0.0.0/8"]
[registries.mirrors]
"docker.io" = ["https://one.example", "https://two.example/v2/hub"]
"quay.io" = "http://three.example"
[images]
max-size = "2g"
max-entries = 1000
max-depth = 7
"""


@pytest.fixture
def write(tmp_path):
    """A function that writes a file and returns its path."""

    def written(text: str) -> str:
        path = tmp_path / f"file{len(list(tmp_path.iterdir()))}"
        path.write_text(text)
        return str(path)

    return written


def own(configuration: Configuration) -> Registries:
    return registries(configuration, NONE, NONE)


def test_without_settings_there_are_none():
    assert own(load({}, config_file=NONE)) == Registries()
    assert bounds(load({}, config_file=NONE)) == Bounds()


def test_the_tables_of_the_file(write):
    configuration = load({}, config_file=write(OWN))
    assert own(configuration) == Registries(
        (
            ("docker.io", "https://one.example"),
            ("docker.io", "https://two.example/v2/hub"),
            ("quay.io", "http://three.example"),
        ),
        ("nas:5000", "10.0.0.0/8"),
    )
    assert bounds(configuration) == Bounds(entries=1000, size_bytes=2 << 30, depth=7)
    assert configuration.mem_limit.text == "64"


def test_variables_go_before_the_file_and_flags_before_both(write):
    environ = {"BOCKER_PLAIN_HTTP": " a.example , b.example:5000,", "BOCKER_MIRRORS": "docker.io=https://v.example"}
    configuration = load(environ, [("max-size", "1m", "--max-size")], write(OWN))
    assert own(configuration) == Registries((("docker.io", "https://v.example"),), ("a.example", "b.example:5000"))
    assert bounds(configuration).size_bytes == 1 << 20


@pytest.mark.parametrize(
    "text",
    ["[registries]\nbogus = 1", "[images]\nplain-http = []", "[registry]\nx = 1", "[registries]\n'a\x1bb' = 1"],
)
def test_an_unknown_key_is_refused_with_its_source(write, text):
    path = write(text.replace("\x1b", "\\u001b").replace("'", '"'))
    with pytest.raises(UsageError, match="unknown setting") as caught:
        load({}, config_file=path)
    assert path in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("value", ["[true]", "[[1]]", "{a = true}", "1.5", "[{a = 1}]"])
def test_what_is_neither_text_nor_a_list_is_refused_with_its_source(write, value):
    with pytest.raises(UsageError, match=r"registries\.plain-http: neither text nor a whole number"):
        load({}, config_file=write(f"[registries]\nplain-http = {value}"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOCKER_PLAIN_HTTP", "http://x.example"),
        ("BOCKER_MIRRORS", "https://x.example"),
        ("BOCKER_MIRRORS", "docker.io=x.example"),
        ("BOCKER_MIRRORS", "a b=https://x.example"),
    ],
)
def test_a_bad_registry_is_refused_with_its_source(variable, value):
    with pytest.raises(InvalidValue, match=f"^{variable}: '"):
        own(load({variable: value}, config_file=NONE))


@pytest.mark.parametrize("name", ["MAX_SIZE", "MAX_ENTRIES", "MAX_DEPTH"])
@pytest.mark.parametrize("value", ["x", "-1", "1x", "99999999999999999999"])
def test_a_bad_bound_is_refused_with_its_source(name, value):
    with pytest.raises(InvalidValue, match=f"BOCKER_{name}"):
        bounds(load({f"BOCKER_{name}": value}, config_file=NONE))


def test_a_bad_registry_in_the_file_names_the_file_and_the_key(write):
    path = write("[registries]\nplain-http = 'a b'")
    with pytest.raises(InvalidValue) as caught:
        own(load({}, config_file=path))
    assert caught.value.message.startswith(f"{path}, registries.plain-http: 'a b'")


def test_docker_s_and_podman_s_files_count_too(write):
    docker = write('{"registry-mirrors": ["https://d.example"], "insecure-registries": ["nas:5000"], "debug": true}')
    podman = write(
        """
unqualified-search-registries = ["docker.io"]
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "p.example/hub"
[[registry.mirror]]
location = "q.example:5000"
insecure = true
[[registry]]
prefix = "old.example"
insecure = true
[[registry]]
prefix = "quay.io/team"
insecure = true
[[registry]]
prefix = "*.example.org"
insecure = true
"""
    )
    configuration = load({"BOCKER_MIRRORS": "docker.io=https://o.example,docker.io=https://d.example"}, (), NONE)
    assert registries(configuration, docker, podman) == Registries(
        (
            ("docker.io", "https://o.example"),
            ("docker.io", "https://d.example"),
            ("docker.io", "https://p.example/v2/hub"),
            ("docker.io", "http://q.example:5000"),
        ),
        ("nas:5000", "old.example"),
    )


@pytest.mark.parametrize(
    ("docker", "podman"),
    [
        ("no json", ""),
        ("[]", ""),
        ('{"registry-mirrors": "https://d.example"}', ""),
        ('{"registry-mirrors": [1]}', ""),
        ('{"registry-mirrors": ["d.example"]}', ""),
        ('{"insecure-registries": ["a b"]}', ""),
        ("{}", "no toml"),
        ("{}", "registry = 1"),
        ("{}", "registry = [1]"),
        ("{}", "[[registry]]\nprefix = 1"),
        ("{}", "[[registry]]\nprefix = 'a.example'\nmirror = 1"),
        ("{}", "[[registry]]\nprefix = 'a.example'\nmirror = ['x']"),
        ("{}", "[[registry]]\nprefix = 'a.example'\n[[registry.mirror]]\nlocation = ''"),
        ("{}", "[[registry]]\nprefix = 'a b'\ninsecure = true"),
    ],
)
def test_a_bad_file_of_theirs_is_named_on_one_line(write, docker, podman):
    paths = write(docker), write(podman)
    with pytest.raises(BockerError) as caught:
        registries(Configuration(), *paths)
    assert caught.value.message.startswith(paths[1 if docker == "{}" else 0])
    assert caught.value.message.isprintable()


def test_a_file_of_theirs_that_can_not_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match="can not be read: Is a directory"):
        registries(Configuration(), str(tmp_path), NONE)


def test_credentials_are_where_podman_and_docker_keep_them():
    here = {"HOME": "/home/me"}
    assert auth_places(here).files == (
        f"/run/containers/{os.geteuid()}/auth.json",
        "/home/me/.config/containers/auth.json",
        "/home/me/.docker/config.json",
    )
    there = {"REGISTRY_AUTH_FILE": "/r", "XDG_RUNTIME_DIR": "/x", "XDG_CONFIG_HOME": "/c", "DOCKER_CONFIG": "/d/"}
    assert auth_places(here | there).files == (
        "/r",
        "/x/containers/auth.json",
        "/c/containers/auth.json",
        "/d/config.json",
    )


def test_credentials_are_found_without_a_home_and_by_relative_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = auth_places({"REGISTRY_AUTH_FILE": "auth.json", "DOCKER_CONFIG": "docker"}).files
    assert (files[0], files[-1]) == (f"{tmp_path}/auth.json", f"{tmp_path}/docker/config.json")
    assert files[2] == f"{pwd.getpwuid(os.geteuid()).pw_dir}/.config/containers/auth.json"


def test_the_page_about_registries_has_settings_that_work(write):
    """Its file, and the same as variables, to the letter."""
    page = (Path(__file__).parents[3] / "docs/registries.md").read_text()
    file, words = (page.split(f"```{start}\n")[1].split("```")[0] for start in ("toml", "sh"))
    variables = dict(word.split("=", 1) for word in words.split())
    from_file, from_variables = load({}, config_file=write(file)), load(variables, config_file=NONE)
    assert own(from_file).plain_http == own(from_variables).plain_http == ("nas.example.org:5000", "10.20.0.0/16")
    assert own(from_file).mirrors == (
        ("docker.io", "https://mirror.example.org"),
        ("docker.io", "https://harbor.example.org/v2/hub"),
    )
    assert dict(own(from_variables).mirrors) == {
        "docker.io": "https://mirror.example.org",
        "quay.io": "https://harbor.example.org/v2/quay",
    }
    assert bounds(from_file) == bounds(from_variables) == Bounds()

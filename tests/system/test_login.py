"""login and logout against a real registry, and side by side with skopeo."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.linux import LinuxKernel
from tests.system.layouts import GZIP, Layout
from tests.system.program import Bocker
from tests.system.registry import BASIC, PASSWORD, TOKEN, USER, Registry

HELPER = """#!/bin/sh
nothing() { echo 'credentials not found in native keychain'; exit 1; }
case "$1" in
store) cat > "$0.kept" ;;
get) grep -q "$(cat)" "$0.kept" 2> /dev/null || nothing; cat "$0.kept" ;;
erase) rm "$0.kept" 2> /dev/null || nothing ;;
esac
"""


@pytest.fixture(params=[BASIC, TOKEN])
def registry(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Registry]:
    with Registry(tmp_path, access=request.param) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a person who has not logged in anywhere yet."""
    folder = tmp_path / "home"
    folder.mkdir()
    return {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture
def no_blobs_left(kernel: LinuxKernel) -> Iterator[None]:
    """What a pull keeps of a registry's files goes after the test."""
    yield
    for blob in kernel.blobs.list():
        kernel.blobs.remove(blob.name)


def skopeo(home: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **home}
    return subprocess.run(["skopeo", *words], env=environment, capture_output=True, text=True, check=False)


def test_what_we_keep_skopeo_reads_until_we_log_out(bocker: Bocker, registry: Registry, home: dict[str, str]) -> None:
    file = Path(home["HOME"]) / ".docker/config.json"
    words = ("login", "-u", USER, "--password-stdin", registry.address)
    wrong = bocker(*words, environment=home, data=b"wrong\n")
    assert (wrong.code, wrong.out) == (1, ""), wrong
    assert not file.exists()
    right = bocker(*words, environment=home, data=PASSWORD.encode())
    assert (right.code, right.out) == (0, "Login Succeeded\n"), right
    assert str(file) in right.err
    assert file.stat().st_mode & 0o777 == 0o600
    assert skopeo(home, "login", "--get-login", registry.address).stdout == f"{USER}\n"
    gone = bocker("logout", registry.address, environment=home)
    assert (gone.code, gone.out) == (0, f"Removing login credentials for {registry.address}\n"), gone
    assert skopeo(home, "login", "--get-login", registry.address).returncode != 0


def test_what_skopeo_keeps_is_told_of(bocker: Bocker, registry: Registry, home: dict[str, str]) -> None:
    kept = skopeo(home, "login", "--tls-verify=false", "-u", USER, "-p", PASSWORD, registry.address)
    assert kept.returncode == 0, kept
    answer = bocker("logout", registry.address, environment=home)
    assert (answer.code, answer.out) == (0, f"Not logged in to {registry.address}\n"), answer
    assert f"{home['HOME']}/containers/auth.json has credentials" in answer.err


def test_a_helper_that_is_a_program(bocker: Bocker, registry: Registry, home: dict[str, str]) -> None:
    program = Path(home["HOME"]) / "docker-credential-file"
    program.write_text(HELPER)
    program.chmod(0o755)
    (Path(home["HOME"]) / ".docker").mkdir()
    (Path(home["HOME"]) / ".docker/config.json").write_text(json.dumps({"credHelpers": {registry.address: "file"}}))
    words = ("login", "-u", USER, "--password-stdin", registry.address)
    right = bocker(*words, environment=home, data=PASSWORD.encode())
    assert (right.code, right.out, right.err) == (0, "Login Succeeded\n", "")
    kept = json.loads(Path(f"{program}.kept").read_text())
    assert kept == {"ServerURL": registry.address, "Username": USER, "Secret": PASSWORD}
    assert skopeo(home, "login", "--get-login", registry.address).stdout == f"{USER}\n"
    for said in ("Removing login credentials for", "Not logged in to"):
        gone = bocker("logout", registry.address, environment=home)
        assert (gone.code, gone.out, gone.err) == (0, f"{said} {registry.address}\n", "")


def test_a_pull_has_the_credentials_that_login_kept(
    bocker: Bocker, registry: Registry, home: dict[str, str], tmp_path: Path, busybox_root: Path, no_blobs_left: None
) -> None:
    """With passwords nobody else gets anything; with tokens the password goes to their server alone."""
    layout = Layout(tmp_path / "layout")
    archive = subprocess.run(["tar", "-C", busybox_root, "-c", "."], capture_output=True, check=True).stdout
    layout.image("small", [([archive], GZIP)])
    name = f"{registry.address}/team/small:1"
    sent = skopeo(
        home,
        *("copy", "--dest-tls-verify=false", "--dest-creds", f"{USER}:{PASSWORD}"),
        *(layout.reference("small"), f"docker://{name}"),
    )
    assert sent.returncode == 0, sent
    if registry.token_server is None:
        refused = bocker("pull", name, environment=home)
        assert (refused.code, refused.out) == (1, ""), refused
        assert "(401)" in refused.err
    words = ("login", "-u", USER, "--password-stdin", registry.address)
    assert bocker(*words, environment=home, data=PASSWORD.encode()).code == 0
    pulled = bocker("pull", "-q", name, environment=home)
    assert (pulled.code, pulled.err) == (0, ""), pulled
    if registry.token_server is not None:
        assert registry.token_server.asked[-1].user == USER
    assert bocker("rm", pulled.out.strip()).code == 0

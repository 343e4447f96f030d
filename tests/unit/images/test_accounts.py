from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from bocker.core.errors import BockerError, InvalidValue, OperationFailed
from bocker.fakes.state import DIRECTORY, FILE, Entry
from bocker.images.accounts import AuthPlaces, LoggedOut, Stored, credentials_for, logout, store
from bocker.registry.credentials import NOT_FOUND, Credentials
from bocker.registry.errors import BadDocument, HelperFailed
from bocker.registry.names import parse_name

if TYPE_CHECKING:
    from bocker.fakes import FakeKernel, World

PODMAN = "/run/containers/0/auth.json"
DOCKER = "/root/.docker/config.json"
PLACES = AuthPlaces((PODMAN, DOCKER))
HUB = "https://index.docker.io/v1/"
ME = Credentials("me", "secret")
PROGRAM = "docker-credential-test"
NAME = parse_name("quay.io/team/app")


class Keychain:
    """A helper as docker's are, and what it was asked."""

    def __init__(self, **secrets: tuple[str, str]) -> None:
        self.secrets: dict[str, tuple[str, str]] = dict(secrets)
        self.asked: list[tuple[str, bytes]] = []

    def __call__(self, verb: str, text: bytes) -> tuple[int, bytes]:
        self.asked.append((verb, text))
        if verb == "store":
            fields = json.loads(text)
            self.secrets[fields["ServerURL"]] = (fields["Username"], fields["Secret"])
            return 0, b""
        key = text.decode()
        if key not in self.secrets:
            return 1, NOT_FOUND.encode() + b"\n"
        if verb == "erase":
            del self.secrets[key]
            return 0, b""
        user, secret = self.secrets[key]
        return 0, json.dumps({"ServerURL": key, "Username": user, "Secret": secret}).encode()


def auth(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def put(world: World, path: str, document: Any) -> None:
    directory = path.rpartition("/")[0]
    if world.entry(directory) is None:
        world.add_files(directory, {"": Entry(DIRECTORY, 0o700)})
    if world.entry(path) is not None:
        world.remove(path)
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    world.add_files(path, {"": Entry(FILE, 0o644, content=data)})


def document(world: World, path: str = DOCKER) -> Any:
    return json.loads(world.read_file(path))


def found(kernel: FakeKernel, name: str = "quay.io/team/app") -> str | None:
    credentials = credentials_for(kernel, PLACES, parse_name(name))
    return credentials.user if credentials else None


def test_without_files_nobody_has_any(kernel: FakeKernel, world: World) -> None:
    assert found(kernel) is None
    world.add_files("/root", {"": Entry(FILE)})
    assert found(kernel) is None, "HOME may be /dev/null"


def test_podman_s_file_goes_before_docker_s(kernel: FakeKernel, world: World) -> None:
    put(world, DOCKER, {"auths": {"quay.io": auth("docker"), HUB: auth("hub")}})
    put(world, PODMAN, {"auths": {"quay.io/team": auth("podman")}})
    assert found(kernel) == "podman"
    assert found(kernel, "quay.io/other") == "docker"
    assert found(kernel, "debian") == "hub"
    assert found(kernel, "gcr.io/x") is None


def test_a_helper_is_asked_and_the_file_after_it(kernel: FakeKernel, world: World) -> None:
    keychain = world.helpers[PROGRAM] = Keychain(**{"quay.io": ("kept", "x")})
    put(world, DOCKER, {"credsStore": "test", "auths": {"quay.io": auth("file"), "gcr.io": auth("g")}})
    assert credentials_for(kernel, PLACES, NAME) == Credentials("kept", "x")
    assert found(kernel, "gcr.io/x") == "g"
    assert keychain.asked == [("get", b"quay.io"), ("get", b"gcr.io")]


def test_a_helper_that_is_not_there_counts_only_where_nobody_else_has_any(kernel: FakeKernel, world: World) -> None:
    put(world, PODMAN, {"credsStore": "gone"})
    put(world, DOCKER, {"credHelpers": {"quay.io": "forbidden"}, "auths": {"quay.io": auth("docker")}})
    world.helpers["docker-credential-forbidden"] = None
    assert found(kernel) == "docker"
    with pytest.raises(HelperFailed, match="'docker-credential-gone' failed: there is no such program") as caught:
        found(kernel, "gcr.io/x")
    assert PODMAN in caught.value.message
    put(world, PODMAN, {})
    put(world, DOCKER, {"credHelpers": {"quay.io": "forbidden"}})
    with pytest.raises(HelperFailed, match="it can not be executed"):
        found(kernel)


def test_a_helper_that_fails_has_the_last_word(kernel: FakeKernel, world: World) -> None:
    """It may have had the right ones: others are not tried in their place."""
    world.helpers[PROGRAM] = lambda verb, text: (1, b"the keychain is locked\n")
    put(world, DOCKER, {"credsStore": "test", "auths": {"quay.io": auth("docker")}})
    with pytest.raises(HelperFailed, match="the keychain is locked"):
        found(kernel)
    world.helpers[PROGRAM] = lambda verb, text: None
    with pytest.raises(HelperFailed, match="ETIMEDOUT"):
        found(kernel)


def test_a_broken_file_names_itself(kernel: FakeKernel, world: World) -> None:
    put(world, PODMAN, b"{")
    with pytest.raises(BadDocument, match=f"file of credentials {PODMAN} can not be used: it is not JSON"):
        found(kernel)
    world.remove(PODMAN)
    world.add_files(PODMAN, {"": Entry(DIRECTORY)})
    with pytest.raises(OperationFailed, match=f"Reading the file of credentials {PODMAN} failed: .*EISDIR"):
        found(kernel)


def test_what_is_stored_is_found_and_nothing_else_is_changed(kernel: FakeKernel, world: World) -> None:
    before = {"psFormat": "é", "auths": {"gcr.io": auth("g"), "https://quay.io/v1/": auth("old")}, "x": [1, None]}
    put(world, DOCKER, before)
    assert store(kernel, PLACES, "quay.io", ME) == Stored(DOCKER)
    assert document(world) == before | {"auths": {"gcr.io": auth("g"), "quay.io": auth("me")}}
    assert credentials_for(kernel, PLACES, NAME) == ME
    entry = world.entry(DOCKER)
    assert entry is not None
    assert entry.mode == 0o600


def test_storing_makes_the_file(kernel: FakeKernel, world: World) -> None:
    world.add_files("/root", {"": Entry(DIRECTORY, 0o700)})
    store(kernel, PLACES, "docker.io", ME)
    assert document(world) == {"auths": {HUB: auth("me")}}


def test_a_helper_keeps_what_is_stored_and_the_file_forgets_it(kernel: FakeKernel, world: World) -> None:
    keychain = world.helpers[PROGRAM] = Keychain()
    put(world, DOCKER, {"credHelpers": {"quay.io": "test"}, "auths": {"quay.io": auth("old"), HUB: auth("hub")}})
    assert store(kernel, PLACES, "quay.io", ME) == Stored(DOCKER, PROGRAM)
    assert keychain.secrets == {"quay.io": ("me", "secret")}
    assert document(world) == {"credHelpers": {"quay.io": "test"}, "auths": {HUB: auth("hub")}}
    assert store(kernel, PLACES, "docker.io", ME) == Stored(DOCKER)


def test_a_helper_that_does_not_keep_it(kernel: FakeKernel, world: World) -> None:
    """Nothing is written down in its place."""
    before = {"credsStore": "test"}
    put(world, DOCKER, before)
    with pytest.raises(HelperFailed, match="no such program"):
        store(kernel, PLACES, "quay.io", ME)
    world.helpers[PROGRAM] = lambda verb, text: (1, b"no room\n")
    with pytest.raises(HelperFailed, match="no room"):
        store(kernel, PLACES, "quay.io", ME)
    assert document(world) == before


def test_what_can_not_be_stored_leaves_the_file_as_it_was(kernel: FakeKernel, world: World) -> None:
    put(world, DOCKER, b"[]")
    with pytest.raises(BadDocument, match=DOCKER):
        store(kernel, PLACES, "quay.io", ME)
    assert world.read_file(DOCKER) == b"[]"
    put(world, DOCKER, {})
    with pytest.raises(InvalidValue):
        store(kernel, PLACES, "quay.io", Credentials("a:b", "x"))
    world.add_files("/root/.docker", {"": Entry(DIRECTORY, 0o700, immutable=True)})
    with pytest.raises(OperationFailed, match=r"Writing the file of credentials .* it is not permitted"):
        store(kernel, PLACES, "quay.io", ME)
    assert world.read_file(DOCKER) == b"{}"


def test_logging_out_takes_the_entries_of_one_registry(kernel: FakeKernel, world: World) -> None:
    before = {"auths": {"gcr.io": auth("g"), "quay.io": auth("me"), "https://quay.io/v2/": auth("old")}, "x": 1}
    put(world, DOCKER, before)
    assert logout(kernel, PLACES, "quay.io") == LoggedOut(removed=True)
    assert document(world) == {"auths": {"gcr.io": auth("g")}, "x": 1}
    written = world.entry(DOCKER)
    assert logout(kernel, PLACES, "quay.io") == LoggedOut(removed=False)
    assert world.entry(DOCKER) == written, "nothing was to be changed, so nothing was written"


def test_logging_out_asks_the_helper(kernel: FakeKernel, world: World) -> None:
    world.helpers[PROGRAM] = Keychain(**{HUB: ("me", "x")})
    put(world, DOCKER, {"credsStore": "test"})
    assert logout(kernel, PLACES, "docker.io") == LoggedOut(removed=True)
    assert logout(kernel, PLACES, "docker.io") == LoggedOut(removed=False)
    world.helpers[PROGRAM] = lambda verb, text: (1, b"the keychain is locked\n")
    with pytest.raises(HelperFailed, match="the keychain is locked"):
        logout(kernel, PLACES, "docker.io")


def test_logging_out_tells_who_else_has_credentials(kernel: FakeKernel, world: World) -> None:
    put(world, PODMAN, {"auths": {"quay.io": auth("podman")}})
    before = world.read_file(PODMAN)
    assert logout(kernel, PLACES, "quay.io") == LoggedOut(removed=False, elsewhere=(PODMAN,))
    assert logout(kernel, PLACES, "gcr.io") == LoggedOut(removed=False)
    assert world.read_file(PODMAN) == before
    put(world, PODMAN, b"broken")
    assert logout(kernel, PLACES, "quay.io") == LoggedOut(removed=False)


def test_logging_out_without_a_file_makes_none(kernel: FakeKernel, world: World) -> None:
    assert logout(kernel, PLACES, "quay.io") == LoggedOut(removed=False)
    assert world.entry(DOCKER) is None


def test_no_error_holds_a_secret(kernel: FakeKernel, world: World) -> None:
    secret = "hunter2-and-more"
    put(world, DOCKER, {"auths": {"quay.io": {"auth": base64.b64encode(secret.encode()).decode()}}})
    with pytest.raises(BockerError) as caught:
        found(kernel)
    assert secret not in str(caught.value)
    assert base64.b64encode(secret.encode()).decode() not in str(caught.value)

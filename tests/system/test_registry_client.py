"""The registry client and its transfers against Debian's docker-registry, with requests beneath them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from bocker.linux import LinuxKernel
from bocker.registry import errors
from bocker.registry.client import PULL, PUSH, Client
from bocker.registry.credentials import Credentials
from bocker.registry.digests import Digest, digest_of
from bocker.registry.endpoints import Endpoint
from bocker.registry.manifests import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Manifest, compose_manifest
from bocker.registry.transfers import Done, Event, Progress, Retrying, Transfers
from tests.system.registry import BASIC, OPEN, PASSWORD, TOKEN, USER, Registry, TokenServer

REPOSITORY, OTHER = "team/app", "team/other"
KNOWN = Credentials(USER, PASSWORD)
CONTENTS = (b"first" * 100_000, os.urandom(3_000_000), b"")
CONFIG = b"{}"


@pytest.fixture
def blobs(kernel: LinuxKernel) -> Iterator[LinuxKernel]:
    """The kernel; what blobs there are at the end are taken away."""
    yield kernel
    for blob in kernel.blobs.list():
        kernel.blobs.remove(blob.name)
    for draft in kernel.blobs.drafts():
        kernel.blobs.discard(draft.name)


def client_of(
    kernel: LinuxKernel, url: str, known: Credentials | None = None, actions: tuple[str, ...] = PULL
) -> Client:
    endpoint = Endpoint(url, url.partition("://")[2], REPOSITORY)
    return Client(kernel.http, kernel.ambient, endpoint, REPOSITORY, lambda: known, actions)


def descriptor(data: bytes, media_type: str = OCI_LAYER) -> Descriptor:
    return Descriptor(media_type, digest_of(data), len(data))


def manifest() -> Manifest:
    return compose_manifest(descriptor(CONFIG, OCI_CONFIG), tuple(map(descriptor, CONTENTS)))


def run(transfers: Transfers) -> list[Event]:
    events: list[Event] = []
    while transfers.is_busy:
        events += transfers.step(1.0)
    return events


def done(events: list[Event]) -> set[Digest]:
    return {event.digest for event in events if isinstance(event, Done)}


def push(kernel: LinuxKernel, client: Client) -> None:
    with Transfers(client, kernel.blobs, kernel.records) as transfers:
        for data in (*CONTENTS, CONFIG):
            digits = sha256(data).hexdigest()
            kernel.blobs.add(digits, data)
            transfers.send(Digest(digits), kernel.blobs.path(digits), len(data))
        assert done(run(transfers)) == {digest_of(data) for data in (*CONTENTS, CONFIG)}
    assert client.put_manifest("1", manifest().data, OCI_MANIFEST) == manifest().digest
    for data in (*CONTENTS, CONFIG):
        kernel.blobs.remove(sha256(data).hexdigest())


def pull(kernel: LinuxKernel, client: Client) -> None:
    fetched = client.manifest("1")
    assert (fetched.data, fetched.content_type) == (manifest().data, OCI_MANIFEST)
    assert client.manifest(str(fetched.digest)) == fetched
    assert client.blob(digest_of(CONFIG), len(CONFIG)) == CONFIG
    with Transfers(client, kernel.blobs, kernel.records) as transfers:
        for data in CONTENTS:
            transfers.start(descriptor(data))
        assert done(run(transfers)) == {digest_of(data) for data in CONTENTS}
    for data in CONTENTS:
        assert kernel.blobs.read(sha256(data).hexdigest()) == data
    assert kernel.blobs.drafts() == ()


@pytest.mark.parametrize(("access", "tls"), [(OPEN, False), (BASIC, False), (TOKEN, False), (BASIC, True)])
def test_what_is_pushed_is_pulled(
    tmp_path: Path, blobs: LinuxKernel, monkeypatch: pytest.MonkeyPatch, access: str, tls: bool
) -> None:
    with Registry(tmp_path, access, tls) as registry:
        if registry.authority is not None:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(registry.authority))
        sender = client_of(blobs, registry.url, KNOWN, PUSH)
        sender.check()
        assert not sender.has_blob(digest_of(CONFIG))
        push(blobs, sender)
        assert sender.has_blob(digest_of(CONFIG))
        pull(blobs, client_of(blobs, registry.url, None if access == TOKEN else KNOWN))


def test_a_blob_is_mounted_from_another_repository(tmp_path: Path, blobs: LinuxKernel) -> None:
    with Registry(tmp_path, TOKEN) as registry:
        push(blobs, client_of(blobs, registry.url, KNOWN, PUSH))
        endpoint = Endpoint(registry.url, registry.address, OTHER)
        other = Client(blobs.http, blobs.ambient, endpoint, OTHER, lambda: KNOWN, PUSH)
        assert other.mount(digest_of(CONTENTS[0]), REPOSITORY) is None
        assert other.has_blob(digest_of(CONTENTS[0]))
        location = other.mount(digest_of(b"new"), REPOSITORY)
        assert location is not None
        blobs.blobs.add(sha256(b"new").hexdigest(), b"new")
        with Transfers(other, blobs.blobs, blobs.records) as transfers:
            transfers.send(digest_of(b"new"), blobs.blobs.path(sha256(b"new").hexdigest()), 3, location)
            run(transfers)
        assert other.blob(digest_of(b"new"), 3) == b"new"


def test_an_identity_token_is_taken(tmp_path: Path, blobs: LinuxKernel) -> None:
    with Registry(tmp_path, TOKEN) as registry:
        known = Credentials(USER, identity_token=TokenServer.REFRESH)
        push(blobs, client_of(blobs, registry.url, known, PUSH))
        pull(blobs, client_of(blobs, registry.url, known))


def test_what_a_registry_refuses(tmp_path: Path, blobs: LinuxKernel) -> None:
    with Registry(tmp_path, BASIC) as registry:
        with pytest.raises(errors.NotInRegistry) as caught:
            client_of(blobs, registry.url, KNOWN).manifest("nothing")
        assert caught.value.status == 404
        for known in (None, Credentials(USER, "wrong")):
            with pytest.raises(errors.AccessDenied, match=registry.address) as denied:
                client_of(blobs, registry.url, known).check()
            assert denied.value.hint == f"run: bocker login {registry.address}"


def test_a_certificate_that_nobody_trusts(tmp_path: Path, blobs: LinuxKernel) -> None:
    with Registry(tmp_path, OPEN, tls=True) as registry:
        with pytest.raises(errors.Distrusted, match="certificate"):
            client_of(blobs, registry.url).check()
        with pytest.raises(errors.RegistryError) as caught:
            client_of(blobs, registry.url.replace("https", "http")).check()
        assert caught.value.status == 400


def test_a_registry_that_speaks_plain_http_is_named(
    tmp_path: Path, blobs: LinuxKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bocker.registry.sending.FIRST_WAIT_S", 0.01)
    with Registry(tmp_path) as registry:
        client = client_of(blobs, registry.url.replace("http", "https"))
        with pytest.raises((errors.Unreached, errors.Distrusted)) as caught:
            client.check()
        assert "BOCKER_PLAIN_HTTP" in (caught.value.hint or "")
    with pytest.raises(errors.Unreached, match="connection refused"):
        client_of(blobs, registry.url).check()


class Cutter:
    """A proxy on loopback for plain TCP that ends its first connections after so many bytes from the server."""

    def __init__(self, target: str, *limits: int) -> None:
        host, _, port = target.partition(":")
        self._target = (host, int(port))
        self._limits = list(limits)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            limit = self._limits.pop(0) if self._limits else 1 << 60
            threading.Thread(target=self._forward, args=(client, server, 1 << 60), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, limit), daemon=True).start()

    @staticmethod
    def _forward(source: socket.socket, sink: socket.socket, limit: int) -> None:
        try:
            while limit > 0 and (data := source.recv(min(65_536, limit))):
                sink.sendall(data)
                limit -= len(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_a_download_that_breaks_off_goes_on_where_it_was(
    tmp_path: Path, blobs: LinuxKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bocker.registry.sending.FIRST_WAIT_S", 0.01)
    data = CONTENTS[1]
    with Registry(tmp_path) as registry:
        push(blobs, client_of(blobs, registry.url, None, PUSH))
        cutter = Cutter(registry.address, 1_000_000, 1_000_000)
        try:
            client = client_of(blobs, f"http://{cutter.address}")
            with Transfers(client, blobs.blobs, blobs.records) as transfers:
                transfers.start(descriptor(data))
                events = run(transfers)
        finally:
            cutter.close()
    assert [type(event) for event in events if not isinstance(event, Progress)] == [Retrying, Retrying, Done]
    assert blobs.blobs.read(sha256(data).hexdigest()) == data

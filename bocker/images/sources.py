"""Where an image is, and what its documents say: from a name to a manifest and a configuration that fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bocker.core.errors import BockerError, NoSuchImage
from bocker.core.value import Value
from bocker.images.accounts import credentials_for
from bocker.images.errors import BadLayer
from bocker.registry.client import PULL, Client
from bocker.registry.config import parse_config
from bocker.registry.digests import digest_of
from bocker.registry.endpoints import endpoints
from bocker.registry.errors import BadDocument, Distrusted, NotInRegistry, RegistryError, Unreached
from bocker.registry.manifests import choose_manifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from bocker.images.accounts import AuthPlaces
    from bocker.images.watch import Watch
    from bocker.kernel import Kernel
    from bocker.registry.config import ImageConfig
    from bocker.registry.credentials import Credentials
    from bocker.registry.digests import Digest
    from bocker.registry.endpoints import Endpoint, Registries
    from bocker.registry.manifests import Descriptor, Index, Manifest
    from bocker.registry.names import ImageName
    from bocker.registry.platforms import Platform

    T = TypeVar("T")


# What another source may do better at; a disk that is full it may not.
OF_THE_SOURCE = (RegistryError, Unreached, Distrusted, BadDocument, BadLayer)


class Remote(Value):
    """How registries are reached, and where a person's credentials are."""

    registries: Registries
    places: AuthPlaces


@attrs.frozen
class Found:
    """An image in a registry. digest: of what the name led to, which may be an index."""

    client: Client
    digest: Digest
    manifest: Manifest
    config: ImageConfig


def client_for(
    kernel: Kernel, name: ImageName, endpoint: Endpoint, remote: Remote, watch: Watch, actions: tuple[str, ...] = PULL
) -> Client:
    """Return the client of a name's repository at an endpoint. A mirror is shown credentials of its own only."""
    there = attrs.evolve(name, host=endpoint.host)

    def credentials() -> Credentials | None:
        return credentials_for(kernel, remote.places, there)

    def waiting(error: BockerError, wait_s: float) -> None:
        watch.say(f"{error.message}; trying again in {wait_s:.0f} s")

    called = attrs.evolve(name, tag=None, digest=None).familiar
    client = Client(kernel.http, kernel.ambient, endpoint, endpoint.repository, credentials, actions, called)
    client.waiting = waiting
    return client


def obtain(
    kernel: Kernel,
    name: ImageName,
    wanted: Platform,
    remote: Remote,
    watch: Watch,
    bring: Callable[[Found], T],
) -> T:
    """Find the image that a name leads to, in the first of the mirrors that has it or in the registry itself, and
    return what `bring` makes of it. What a mirror fails at in the middle, the next one is asked for.

    Raise NoSuchImage when the registry has none of that name, NoSuchPlatform, and what `Client` and `bring` raise.
    """
    for endpoint in endpoints(name, remote.registries):
        found = _looked_up(kernel, name, endpoint, wanted, remote, watch)
        if found is None:
            continue
        try:
            return bring(found)
        except OF_THE_SOURCE as error:
            if not endpoint.is_mirror:
                raise
            _passed_over(endpoint, error, watch)
    raise NoSuchImage(name.familiar)


def _looked_up(
    kernel: Kernel, name: ImageName, endpoint: Endpoint, wanted: Platform, remote: Remote, watch: Watch
) -> Found | None:
    """Return the image as it is told there; None where that is a mirror and tells nothing of use."""
    try:
        return _found(kernel, client_for(kernel, name, endpoint, remote, watch), name, wanted)
    except NotInRegistry as error:
        if not endpoint.is_mirror:
            raise NoSuchImage(name.familiar) from error
    except BockerError as error:
        if not endpoint.is_mirror:
            raise
        _passed_over(endpoint, error, watch)
    return None


def _passed_over(endpoint: Endpoint, error: BockerError, watch: Watch) -> None:
    watch.say(f"Mirror {endpoint.host}: {error.message}")


def _found(kernel: Kernel, client: Client, name: ImageName, wanted: Platform) -> Found:
    fetched = client.manifest(name.reference)
    document = parse_manifest(fetched.data, fetched.content_type, subject=f"manifest of {name.familiar}")
    manifest = choose_manifest(
        document, wanted, lambda entry: _entry(client, entry, name.familiar), subject=f"index of {name.familiar}"
    )
    return Found(client, fetched.digest, manifest, _config(kernel, client, manifest, name.familiar))


def _entry(client: Client, entry: Descriptor, called: str) -> Manifest | Index:
    """Return what an index names."""
    fetched = client.manifest(str(entry.digest))
    return parse_manifest(fetched.data, fetched.content_type, subject=f"manifest {entry.digest} of {called}")


def _config(kernel: Kernel, client: Client, manifest: Manifest, called: str) -> ImageConfig:
    descriptor = manifest.config
    digits = descriptor.digest.hexadecimal
    data = kernel.blobs.read(digits) if kernel.blobs.has(digits) else b""
    if digest_of(data) != descriptor.digest:
        data = client.blob(descriptor.digest, descriptor.size_bytes)
    return parse_config(data, subject=f"configuration of {called}")

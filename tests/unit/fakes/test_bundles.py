from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from bocker.fakes import World
from bocker.kernel.archives import Bounds, Member
from tests.unit.core.test_tarmembers import NAMES


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=2000)), max_size=6))
def test_what_is_bundled_is_laid_out_with_the_same_digests(members: list[tuple[str, bytes]]) -> None:
    kernel = World().prepare().kernel()
    kernel.archives.bundle(tuple(members), "/var/bocker/archive")
    expected = tuple(Member(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in members)
    assert kernel.archives.spill("/var/bocker/archive", "/var/bocker/blobs", Bounds()) == expected


def test_what_is_laid_out_is_on_disk() -> None:
    world = World().prepare()
    kernel = world.kernel()
    kernel.archives.bundle((("a", b"content"),), "/var/bocker/archive")
    (member,) = kernel.archives.spill("/var/bocker/archive", "/var/bocker/blobs", Bounds())
    assert not world.unsynced(f"/var/bocker/blobs/{member.digest}")
    kernel.blobs.add(member.digest, b"content")
    assert not world.unsynced(kernel.blobs.path(member.digest))


def test_a_draft_that_is_kept_is_on_disk() -> None:
    world = World().prepare()
    kernel = world.kernel()
    world.write_file(kernel.blobs.draft("a"), b"content")
    assert world.unsynced(kernel.blobs.draft("a"))
    kernel.blobs.keep("a", "f" * 64)
    assert not world.unsynced(kernel.blobs.path("f" * 64))

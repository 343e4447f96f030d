"""Transfers on the fake: a registry with tokens and a content network, and all that can go wrong on the way."""

from __future__ import annotations

import errno
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bocker.core.errors import BockerError
from bocker.fakes import mishaps
from bocker.fakes.access import Rules, Tokens
from bocker.fakes.mishaps import ALWAYS, Act, Mishap
from bocker.fakes.registry import FakeRegistry
from bocker.fakes.servers import Reply
from bocker.fakes.world import World
from bocker.kernel.blobs import Blob
from bocker.kernel.errors import Busy, Missing, NoSpace
from bocker.kernel.http import Answer, Request
from bocker.registry import errors
from bocker.registry.client import PUSH, Client
from bocker.registry.credentials import Credentials
from bocker.registry.digests import Digest, digest_of
from bocker.registry.manifests import OCI_LAYER, Descriptor, Manifest, parse_manifest
from bocker.registry.transfers import Done, Event, Progress, Retrying, Transfers
from tests.unit.registry.scripted import HOST, REPOSITORY, URL, Scripted, a_client, authorization

pytestmark = pytest.mark.sweep

if TYPE_CHECKING:
    from bocker.fakes import FakeKernel

SECOND_NS = 10**9
CDN = "https://cdn.example"
AUTH = "https://auth.example/token"
USERS = Rules(users={"ann": "s3cret"}, private=frozenset({REPOSITORY}))
ANN = Credentials("ann", "s3cret")
CONTENTS = (b"a" * 5000, b"bc" * 10_000, b"", b"d" * 301, b"e" * 3000)
NOWHERE = "https://nowhere.example/x"


def descriptor(data: bytes, size_bytes: int | None = None) -> Descriptor:
    return Descriptor(OCI_LAYER, digest_of(data), len(data) if size_bytes is None else size_bytes)


def path_of(data: bytes) -> str:
    return f"/v2/{REPOSITORY}/blobs/{digest_of(data)}"


def a_registry(world: World, contents: tuple[bytes, ...] = CONTENTS, cdn: str = CDN) -> FakeRegistry:
    registry = FakeRegistry(URL, Tokens(USERS, AUTH), cdn)
    registry.put_image(REPOSITORY, "1", contents, compression="plain")
    world.serve(registry, *registry.addresses)
    return registry


def transfers_of(client: Client, kernel: FakeKernel, at_once: int = 3) -> Transfers:
    return Transfers(client, kernel.blobs, kernel.records, at_once)


def run(transfers: Transfers, timeout_s: float = 1.0) -> list[Event]:
    """Step until nothing is on its way."""
    events: list[Event] = []
    for _ in range(10_000):
        if not transfers.is_busy:
            return events
        events += transfers.step(timeout_s)
    raise AssertionError("it goes on for ever")


def fetch(world: World, *layers: Descriptor, at_once: int = 3) -> tuple[FakeKernel, list[Event]]:
    client = a_client(world, ANN)
    kernel = world.kernels[-1]
    with transfers_of(client, kernel, at_once) as transfers:
        for layer in layers:
            transfers.start(layer)
        return kernel, run(transfers)


def draft_of(world: World, data: bytes, content: bytes) -> None:
    """Leave what an earlier download wrote."""
    world.write_file(world.kernel().blobs.draft(digest_of(data).hexadecimal), content)


def kept(kernel: FakeKernel) -> list[bytes]:
    """Return the blobs, each of which is what its name says."""
    found = [(blob.name, kernel.blobs.read(blob.name)) for blob in kernel.blobs.list()]
    assert all(sha256(data).hexdigest() == name for name, data in found)
    return [data for _, data in found]


def done(events: list[Event]) -> dict[Digest, bool]:
    return {event.digest: event.was_there for event in events if isinstance(event, Done)}


def retries(events: list[Event]) -> list[Retrying]:
    return [event for event in events if isinstance(event, Retrying)]


def partial(data: bytes, *mishap: Callable[[Reply], Reply]) -> Callable[[Request], Reply]:
    """Return what answers with a blob, and with a range of it; the first times something happens to it."""
    first = list(mishap)

    def answer(request: Request) -> Reply:
        wanted = next((value for name, value in request.headers if name == "range"), "bytes=0-")
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        span = (("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}"),)
        reply = Reply(Answer(206, span, data[start:]) if start else Answer(200, (), data))
        return first.pop(0)(reply) if first else reply

    return answer


def breaks(after_bytes: int) -> Callable[[Reply], Reply]:
    return lambda reply: Reply(reply.answer, cut=after_bytes)


def ranges_asked(server: Scripted) -> list[str]:
    return [next((value for name, value in request.headers if name == "range"), "") for request in server.seen]


@pytest.fixture
def server(world: World) -> Scripted:
    scripted = Scripted()
    world.serve(scripted, URL)
    return scripted


# Downloads that succeed


def test_blobs_arrive_and_are_told_of(world: World) -> None:
    registry = a_registry(world)
    world.bytes_per_s = 10_000
    kernel, events = fetch(world, *map(descriptor, CONTENTS))
    assert sorted(kept(kernel)) == sorted(CONTENTS)
    assert done(events) == {digest_of(data): False for data in CONTENTS}
    assert retries(events) == []
    assert kernel.blobs.drafts() == ()
    assert registry.carried("authorization") == {HOST, "auth.example"}
    told = [event for event in events if isinstance(event, Progress) and event.digest == digest_of(CONTENTS[1])]
    assert told
    assert all(event.total_bytes == 20_000 and 0 <= event.done_bytes <= 20_000 for event in told)


def test_several_go_side_by_side_and_no_more(world: World) -> None:
    a_registry(world, (b"a" * 1000, b"b" * 1000, b"c" * 1000, b"d" * 1000))
    world.bytes_per_s = 1000
    client = a_client(world, ANN)
    client.manifest("1")
    kernel, before_ns, most = world.kernels[-1], world.state.clock_ns, 0
    with transfers_of(client, kernel, 3) as transfers:
        for letter in (b"a", b"b", b"c", b"d"):
            transfers.start(descriptor(letter * 1000))
        while transfers.is_busy:
            transfers.step(0.05)
            most = max(most, len(world.state.transfers))
    assert most == 3
    assert 2 <= (world.state.clock_ns - before_ns) / SECOND_NS < 2.5


def test_a_blob_that_is_there_is_not_fetched(world: World) -> None:
    registry = a_registry(world)
    world.kernel().blobs.add(digest_of(CONTENTS[0]).hexadecimal, CONTENTS[0])
    _, events = fetch(world, descriptor(CONTENTS[0]))
    assert done(events) == {digest_of(CONTENTS[0]): True}
    assert registry.seen == []


def test_a_blob_that_is_there_and_does_not_do_is_replaced_by_the_whole(world: World) -> None:
    registry = a_registry(world)
    digits, spoilt = digest_of(CONTENTS[1]).hexadecimal, b"?" * len(CONTENTS[1])
    client = a_client(world, ANN)
    kernel = world.kernels[-1]
    kernel.blobs.add(digits, spoilt)
    registry.mishaps.append(Mishap("GET cdn.example/*", mishaps.corrupted, times=2))
    with transfers_of(client, kernel) as transfers:
        transfers.start(descriptor(CONTENTS[1]), replace=True)
        with pytest.raises(errors.WrongDigest):
            run(transfers)
        assert kernel.blobs.read(digits) == spoilt
        transfers.start(descriptor(CONTENTS[1]), replace=True)
        transfers.start(descriptor(CONTENTS[1]))
        assert done(run(transfers)) == {digest_of(CONTENTS[1]): False}
    assert kept(kernel) == [CONTENTS[1]]


def test_the_same_layer_twice_is_fetched_once(world: World) -> None:
    registry = a_registry(world)
    _, events = fetch(world, descriptor(CONTENTS[0]), descriptor(CONTENTS[0]))
    assert len(events) == 1
    assert [seen.host for seen in registry.seen].count("cdn.example") == 1


def test_an_earlier_download_is_gone_on_with(world: World, server: Scripted) -> None:
    data = CONTENTS[1]
    server.on(f"GET {path_of(data)}", partial(data))
    draft_of(world, data, data[:12_345])
    kernel, _ = fetch(world, descriptor(data))
    assert kept(kernel) == [data]
    assert ranges_asked(server) == ["bytes=12345-"]


def test_a_draft_that_is_longer_than_the_blob_is_none(world: World, server: Scripted) -> None:
    data = CONTENTS[1]
    server.on(f"GET {path_of(data)}", partial(data))
    draft_of(world, data, data + b"x")
    kernel, _ = fetch(world, descriptor(data))
    assert kept(kernel) == [data]
    assert ranges_asked(server) == [""]


# Waiting, and trying again


def test_a_transfer_that_breaks_off_goes_on_where_it_was(world: World, server: Scripted) -> None:
    data = CONTENTS[1]
    server.on(f"GET {path_of(data)}", partial(data, breaks(7000), breaks(2000)))
    before_ns = world.state.clock_ns
    kernel, events = fetch(world, descriptor(data))
    assert kept(kernel) == [data]
    assert ranges_asked(server) == ["", "bytes=7000-", "bytes=9000-"]
    assert [event.wait_s for event in retries(events)] == [1.0, 1.0]
    assert (world.state.clock_ns - before_ns) // SECOND_NS == 2


def test_five_failures_in_a_row_without_a_new_byte_are_the_end(world: World, server: Scripted) -> None:
    data = CONTENTS[1]
    server.on(f"GET {path_of(data)}", partial(data, *[breaks(100)] * 6, *[breaks(0)] * 99))
    with pytest.raises(errors.Unreached, match="broke off"):
        fetch(world, descriptor(data))
    assert len(server.seen) == 6 + 4
    assert world.kernel().blobs.drafts() == (Blob(digest_of(data).hexadecimal, 600),)


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(world: World, server: Scripted) -> None:
    data = CONTENTS[1]
    server.on(f"GET {path_of(data)}", Reply(Answer(200, (), data), cut=9000))
    with pytest.raises(errors.Unreached):
        fetch(world, descriptor(data))
    assert len(server.seen) == 1 + 4


@pytest.mark.parametrize("bad", [Answer(429), Answer(500), Answer(503, (), b"<html>"), Reply(None)])
def test_failures_are_waited_for_twice_as_long_each_time(world: World, server: Scripted, bad: Answer | Reply) -> None:
    data = CONTENTS[0]
    server.on(f"GET {path_of(data)}", bad, bad, bad, bad, Answer(200, (), data))
    before_ns = world.state.clock_ns
    kernel, events = fetch(world, descriptor(data))
    assert kept(kernel) == [data]
    assert [event.wait_s for event in retries(events)] == [1, 2, 4, 8]
    assert (world.state.clock_ns - before_ns) // SECOND_NS == 15
    server.on(f"GET {path_of(CONTENTS[1])}", bad)
    with pytest.raises((errors.TooManyRequests, errors.RegistryFailed, errors.Unreached)):
        fetch(world, descriptor(CONTENTS[1]))


def test_retry_after_is_obeyed(world: World, server: Scripted) -> None:
    data = CONTENTS[0]
    server.on(f"GET {path_of(data)}", Answer(429, (("Retry-After", "20"),)), Answer(200, (), data))
    _, events = fetch(world, descriptor(data))
    assert [event.wait_s for event in retries(events)] == [20]
    server.on(f"GET {path_of(CONTENTS[1])}", Answer(429, (("Retry-After", "4000"),)))
    with pytest.raises(errors.TooManyRequests):
        fetch(world, descriptor(CONTENTS[1]))


def test_others_go_on_while_one_rests(world: World, server: Scripted) -> None:
    first, second = CONTENTS[0], CONTENTS[1]
    server.on(f"GET {path_of(first)}", Answer(503), Answer(200, (), first))
    server.on(f"GET {path_of(second)}", Answer(200, (), second))
    _, events = fetch(world, descriptor(first), descriptor(second), at_once=1)
    assert [type(event) for event in events] == [Retrying, Done, Done]
    assert list(done(events)) == [digest_of(second), digest_of(first)]


def test_the_next_one_is_under_way_when_one_is_told_of(world: World, server: Scripted) -> None:
    for data in CONTENTS[:2]:
        server.on(f"GET {path_of(data)}", partial(data))
    client = a_client(world)
    with transfers_of(client, world.kernels[-1], 1) as transfers:
        for data in CONTENTS[:2]:
            transfers.start(descriptor(data))
        assert done(list(transfers.step(1))) == {digest_of(CONTENTS[0]): False}
        assert len(world.state.transfers) == 1


def test_a_step_ends_as_soon_as_something_happened_or_is_due(world: World, server: Scripted) -> None:
    there, data = CONTENTS[1], CONTENTS[0]
    server.on(f"GET {path_of(data)}", Answer(503), Answer(200, (), data))
    client = a_client(world)
    kernel, before_ns = world.kernels[-1], world.state.clock_ns
    kernel.blobs.add(digest_of(there).hexadecimal, there)
    with transfers_of(client, kernel) as transfers:
        transfers.start(descriptor(data))
        assert [type(event) for event in transfers.step(60)] == [Retrying]
        transfers.start(descriptor(there))
        assert done(list(transfers.step(60))) == {digest_of(there): True}
        assert (world.state.clock_ns - before_ns) // SECOND_NS == 0
        assert run(transfers, 60) == [Done(digest_of(data))]
        assert (world.state.clock_ns - before_ns) // SECOND_NS == 1


def test_a_step_takes_no_longer_than_it_is_told(world: World, server: Scripted) -> None:
    server.on(f"GET {path_of(CONTENTS[0])}", Answer(503))
    client = a_client(world)
    with transfers_of(client, world.kernels[-1]) as transfers:
        transfers.start(descriptor(CONTENTS[0]))
        transfers.step(0)
        before_ns = world.state.clock_ns
        assert transfers.step(0.25) == ()
        assert (world.state.clock_ns - before_ns) / SECOND_NS == pytest.approx(0.25, abs=0.01)
        assert transfers.step(0) == ()


# What is wrong with what comes


def test_wrong_bytes_are_fetched_once_more(world: World, server: Scripted) -> None:
    data = CONTENTS[0]
    server.on(f"GET {path_of(data)}", Answer(200, (), b"x" * len(data)), Answer(200, (), data))
    kernel, events = fetch(world, descriptor(data))
    assert kept(kernel) == [data]
    assert [type(event.error) for event in retries(events)] == [errors.WrongDigest]


def test_wrong_bytes_twice_are_named(world: World, server: Scripted) -> None:
    data, wrong = CONTENTS[0], b"x" * len(CONTENTS[0])
    server.on(f"GET {path_of(data)}", Answer(200, (), wrong))
    with pytest.raises(errors.WrongDigest, match="layer sha256:") as caught:
        fetch(world, descriptor(data))
    assert (caught.value.expected, caught.value.found) == (str(digest_of(data)), str(digest_of(wrong)))
    assert world.kernel().blobs.drafts() == world.kernel().blobs.list() == ()


def test_a_draft_that_was_wrong_costs_no_more_than_a_download(world: World, server: Scripted) -> None:
    data = CONTENTS[0]
    server.on(f"GET {path_of(data)}", partial(data))
    draft_of(world, data, b"x" * 1000)
    kernel, _ = fetch(world, descriptor(data))
    assert kept(kernel) == [data]
    assert ranges_asked(server) == ["bytes=1000-", ""]


def test_a_whole_draft_that_was_wrong_is_fetched_anew(world: World, server: Scripted) -> None:
    data = CONTENTS[0]
    server.on(f"GET {path_of(data)}", partial(data))
    draft_of(world, data, b"x" * len(data))
    kernel, _ = fetch(world, descriptor(data))
    assert kept(kernel) == [data]


@pytest.mark.parametrize(("size_bytes", "said"), [(4999, "more bytes"), (5001, "fewer bytes")])
def test_another_size_than_the_manifest_s_is_named(world: World, size_bytes: int, said: str) -> None:
    a_registry(world, cdn="")
    with pytest.raises(errors.BadDocument, match=f"the registry has {said} of it, and the manifest says {size_bytes}"):
        fetch(world, descriptor(CONTENTS[0], size_bytes))
    assert world.kernel().blobs.list() == ()
    assert world.kernel().blobs.drafts() == ()


def test_a_server_that_sends_another_range_is_asked_for_all(world: World, server: Scripted) -> None:
    data = CONTENTS[0]
    wrong = Answer(206, (("Content-Range", f"bytes 0-4999/{len(data)}"),), data)
    server.on(f"GET {path_of(data)}", wrong, Answer(200, (), data))
    draft_of(world, data, data[:10])
    kernel, _ = fetch(world, descriptor(data))
    assert kept(kernel) == [data]
    assert ranges_asked(server) == ["bytes=10-", ""]


@pytest.mark.parametrize(
    ("status", "kind"), [(404, errors.NotInRegistry), (403, errors.AccessDenied), (400, errors.RegistryError)]
)
def test_a_refusal_names_the_layer_and_the_image(
    world: World, server: Scripted, status: int, kind: type[BockerError]
) -> None:
    server.on(f"GET {path_of(CONTENTS[0])}", Answer(status))
    with pytest.raises(kind, match=rf"^layer {digest_of(CONTENTS[0])} of {HOST}/{REPOSITORY}: "):
        fetch(world, descriptor(CONTENTS[0]))
    assert len(server.seen) == 1


# Redirects and tokens


def test_the_token_does_not_go_along_and_comes_back(world: World, server: Scripted) -> None:
    data, cdn = CONTENTS[0], Scripted()
    world.serve(cdn, CDN)
    basic = Answer(401, (("WWW-Authenticate", "Basic realm=x"),))
    away = Answer(307, (("Location", f"{CDN}/x"),))
    server.on(f"GET {path_of(data)}", basic, away)
    cdn.on("GET /x", Answer(503), Answer(307, (("Location", f"{URL}/y"),)))
    server.on("GET /y", Answer(200, (), data))
    kernel, _ = fetch(world, descriptor(data))
    assert kept(kernel) == [data]
    assert [bool(authorization(request)) for request in cdn.seen] == [False, False]
    assert [bool(authorization(request)) for request in server.seen] == [False, True, True, True]


@pytest.mark.parametrize("where", ["http://registry.example/x", ""])
def test_where_we_do_not_go(world: World, server: Scripted, where: str) -> None:
    server.on(f"GET {path_of(CONTENTS[0])}", Answer(307, (("Location", where),)))
    with pytest.raises(errors.BadDocument, match="it sends us"):
        fetch(world, descriptor(CONTENTS[0]))


def test_a_circle_ends(world: World, server: Scripted) -> None:
    server.on(f"GET {path_of(CONTENTS[0])}", Answer(307, (("Location", path_of(CONTENTS[0])),)))
    with pytest.raises(errors.BadDocument, match="more than 10 times"):
        fetch(world, descriptor(CONTENTS[0]))
    assert len(server.seen) == 11


def test_a_token_that_is_over_is_renewed_once_for_all(world: World) -> None:
    registry = a_registry(world, cdn="")
    client = a_client(world, ANN)
    client.manifest("1")
    assert isinstance(registry.access, Tokens)
    grants = registry.access.grants
    grants |= {token: attrs.evolve(grant, ends_ns=0) for token, grant in grants.items()}
    with transfers_of(client, world.kernels[-1]) as transfers:
        for data in CONTENTS:
            transfers.start(descriptor(data))
        run(transfers)
    assert len(grants) == 2
    assert sorted(kept(world.kernels[-1])) == sorted(CONTENTS)


def test_a_token_server_that_breaks_meanwhile_is_asked_again(world: World) -> None:
    registry = a_registry(world)
    registry.mishaps.append(Mishap("GET auth.example/*", mishaps.broken, times=4))
    kernel, events = fetch(world, descriptor(CONTENTS[0]))
    assert kept(kernel) == [CONTENTS[0]]
    assert retries(events) == []


def test_a_token_that_is_over_when_its_server_is_broken_is_fetched_later(world: World) -> None:
    registry = a_registry(world)
    client = a_client(world, ANN)
    client.manifest("1")
    client.ambient.sleep(400)
    registry.mishaps.append(Mishap("GET auth.example/*", mishaps.broken, times=4))
    with transfers_of(client, world.kernels[-1]) as transfers:
        transfers.start(descriptor(CONTENTS[0]))
        run(transfers)
    assert kept(world.kernels[-1]) == [CONTENTS[0]]


def test_401s_that_are_not_in_a_row_are_not_the_end(world: World, server: Scripted) -> None:
    data, who = CONTENTS[0], Answer(401, (("WWW-Authenticate", "Basic realm=x"),))
    wrong = Answer(200, (), b"x" * len(data))
    server.on(f"GET {path_of(data)}", who, Answer(503), who, wrong, who, Answer(200, (), data))
    kernel, _ = fetch(world, descriptor(data))
    assert kept(kernel) == [data]


def test_a_second_401_in_a_row_is_the_end(world: World) -> None:
    registry = a_registry(world)
    registry.mishaps.append(Mishap("GET */blobs/*", mishaps.expired, times=ALWAYS))
    with pytest.raises(errors.AccessDenied):
        fetch(world, descriptor(CONTENTS[0]))
    assert [seen.status for seen in registry.seen] == [401, 200, 401]


# Files, locks and other engines


def test_a_full_disk_is_passed_on_and_the_lock_is_free(world: World) -> None:
    a_registry(world)
    client = a_client(world, ANN)
    world.set_free_bytes("/var/bocker", 0)
    with transfers_of(client, world.kernels[-1]) as transfers:
        transfers.start(descriptor(CONTENTS[0]))
        with pytest.raises(NoSpace):
            run(transfers)
        assert not transfers.is_busy
    world.set_free_bytes("/var/bocker", None)
    with world.kernel().records.lock(f"blob_{digest_of(CONTENTS[0]).hexadecimal}", wait=False):
        pass
    fetch(world, descriptor(CONTENTS[0]))


def test_after_an_error_the_others_go_on(world: World, server: Scripted) -> None:
    first, second = CONTENTS[0], CONTENTS[1]
    server.on(f"GET {path_of(second)}", Answer(200, (), second))
    client = a_client(world)
    with transfers_of(client, world.kernels[-1]) as transfers:
        transfers.start(descriptor(first))
        transfers.start(descriptor(second))
        with pytest.raises(errors.NotInRegistry):
            run(transfers)
        assert done(run(transfers)) == {digest_of(second): False}


def test_closing_leaves_drafts_and_nothing_else(world: World, server: Scripted) -> None:
    data = CONTENTS[1]
    server.on(f"GET {path_of(data)}", partial(data))
    world.bytes_per_s = 10_000
    client = a_client(world)
    kernel = world.kernels[-1]
    with transfers_of(client, kernel) as transfers:
        transfers.start(descriptor(data))
        transfers.step(0.5)
        with pytest.raises(Busy):
            world.kernel().records.lock(f"blob_{digest_of(data).hexadecimal}", wait=False)
    assert not transfers.is_busy
    assert world.state.transfers == {}
    assert 0 < kernel.blobs.drafts()[0].size_bytes < len(data)
    kernel, _ = fetch(world, descriptor(data))
    assert kept(kernel) == [data]


def test_two_engines_fetch_each_blob_once(world: World) -> None:
    registry = a_registry(world)
    world.bytes_per_s = 10_000
    both = []
    for order in (CONTENTS, CONTENTS[::-1]):
        client = a_client(world, ANN)
        transfers = transfers_of(client, world.kernels[-1], 2)
        for data in order:
            transfers.start(descriptor(data))
        both.append(transfers)
    events: list[Event] = []
    for _ in range(1000):
        for transfers in both:
            events += transfers.step(0.1)
    assert not any(transfers.is_busy for transfers in both)
    assert [event.was_there for event in events if isinstance(event, Done)].count(False) == len(CONTENTS)
    assert [seen.host for seen in registry.seen].count("cdn.example") == len(CONTENTS)
    assert sorted(kept(world.kernel())) == sorted(CONTENTS)


def test_what_a_killed_engine_began_another_one_ends(world: World, server: Scripted) -> None:
    data = CONTENTS[1]
    server.on(f"GET {path_of(data)}", partial(data))
    world.bytes_per_s = 10_000
    first = transfers_of(a_client(world), world.kernels[-1])
    victim = world.kernels[-1]
    first.start(descriptor(data))
    first.step(0.5)
    client = a_client(world)
    kernel = world.kernels[-1]
    with transfers_of(client, kernel) as second:
        second.start(descriptor(data))
        assert second.step(1) == ()
        world.kill_program(victim)
        run(second)
    assert kept(kernel) == [data]
    assert ranges_asked(server)[0] == ""
    assert ranges_asked(server)[1] > "bytes=1"


# Every fault at every request

FAULTS: dict[str, Act] = {
    "slow": mishaps.slow(700),
    "cut at once": mishaps.cut(0),
    "cut": mishaps.cut(150),
    "stalled": mishaps.stalled(150),
    "corrupted": mishaps.corrupted,
    "garbage": mishaps.garbage,
    "too long": mishaps.announced(7),
    "too short": mishaps.announced(-7),
    "expired": mishaps.expired,
    "busy": mishaps.busy(3),
    "busy for long": mishaps.busy(90_000),
    "broken": mishaps.broken,
    "error page": mishaps.error_page,
    "to nowhere": mishaps.redirected(NOWHERE),
    "in the clear": mishaps.redirected("http://registry.example/"),
    "looping": mishaps.looping,
    "refusing": mishaps.refusing,
    "silent": mishaps.silent,
    "lost answer": mishaps.lost_answer,
    "no content": lambda request, handle: Reply(Answer(200)),
    "partial": lambda request, handle: Reply(Answer(206, (), b"xyz")),
    "no such range": lambda request, handle: Reply(Answer(416)),
    "babble": lambda request, handle: Reply(None, ending=errno.EPROTO),
}
PASSING = frozenset(
    ("slow", "cut at once", "cut", "stalled", "too long", "busy", "broken", "error page", "refusing")
) | {"silent", "lost answer", "babble"}
REQUESTS = 15  # of a pull of CONTENTS, without a fault


def pull(world: World) -> FakeKernel:
    """Do what a pull asks of a registry; check what it gives."""
    client = a_client(world, ANN)
    kernel = world.kernels[-1]
    fetched = client.manifest("1")
    manifest = parse_manifest(fetched.data, fetched.content_type)
    assert isinstance(manifest, Manifest)
    client.blob(manifest.config.digest, manifest.config.size_bytes)
    with transfers_of(client, kernel) as transfers:
        for layer in manifest.layers:
            transfers.start(layer)
        run(transfers)
    assert sorted(kept(kernel)) == sorted(CONTENTS)
    assert kernel.blobs.drafts() == ()
    return kernel


def tried(act: Callable[[], object]) -> BockerError | None:
    try:
        act()
    except BockerError as error:
        return error
    return None


def is_clear(error: BockerError) -> bool:
    """Tell whether an error is one line that may be shown to anybody."""
    shown = f"{error.message} {error.hint} {error.__cause__!r}"
    return error.message.isprintable() and not any(secret in shown for secret in ("s3cret", "bearer-", "signature"))


def check_pull(registry: FakeRegistry, world: World) -> bool:
    """A pull gives the right blobs or a clear error, and nothing wrong is kept; later it succeeds."""
    error = tried(lambda: pull(world))
    assert error is None or is_clear(error)
    kept(world.kernel())
    assert registry.carried("authorization") <= {HOST, "auth.example"}
    assert not world.state.locks
    registry.mishaps.clear()
    pull(world)
    return error is None


def test_how_many_requests_a_pull_makes(world: World) -> None:
    registry = a_registry(world)
    pull(world)
    assert len(registry.seen) == REQUESTS


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("times", [1, ALWAYS], ids=["once", "ever"])
def test_every_fault_at_every_request(name: str, times: int) -> None:
    succeeded = []
    for number in range(1, REQUESTS + 1):
        world = World().prepare()
        registry = a_registry(world)
        registry.mishaps.append(Mishap("*", FAULTS[name], number, times))
        succeeded.append(check_pull(registry, world))
    if times == 1 and name in PASSING:
        assert all(succeeded)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(1, 20), st.integers(1, 4)), max_size=5))
def test_any_row_of_faults(faults: list[tuple[str, int, int]]) -> None:
    world = World().prepare()
    registry = a_registry(world)
    registry.mishaps += [Mishap("*", FAULTS[name], number, times) for name, number, times in faults]
    check_pull(registry, world)


# Uploads


def push(world: World, *contents: bytes) -> list[Event]:
    client = a_client(world, ANN, PUSH)
    kernel = world.kernels[-1]
    with transfers_of(client, kernel) as transfers:
        for data in contents:
            digits = digest_of(data).hexadecimal
            kernel.blobs.add(digits, data)
            transfers.send(digest_of(data), kernel.blobs.path(digits), len(data))
        return run(transfers)


def an_empty_registry(world: World) -> FakeRegistry:
    registry = FakeRegistry(URL, Tokens(USERS, AUTH))
    world.serve(registry, *registry.addresses)
    return registry


def blobs_of(registry: FakeRegistry) -> dict[str, bytes]:
    return registry.repository(REPOSITORY).blobs


@pytest.mark.parametrize("relative", [False, True])
def test_files_are_sent(world: World, relative: bool) -> None:
    registry = an_empty_registry(world)
    registry.relative = relative
    world.bytes_per_s = 10_000
    events = push(world, *CONTENTS)
    assert blobs_of(registry) == {str(digest_of(data)): data for data in CONTENTS}
    assert done(events) == {digest_of(data): False for data in CONTENTS}
    assert any(isinstance(event, Progress) and 0 < event.done_bytes < event.total_bytes for event in events)


def test_an_upload_that_a_mount_began_is_used(world: World) -> None:
    registry = an_empty_registry(world)
    registry.mounts = False
    client, data = a_client(world, ANN, PUSH), CONTENTS[0]
    kernel, digits = world.kernels[-1], digest_of(CONTENTS[0]).hexadecimal
    kernel.blobs.add(digits, data)
    location = client.mount(digest_of(data), "library/debian")
    with transfers_of(client, kernel) as transfers:
        transfers.send(digest_of(data), kernel.blobs.path(digits), len(data), location)
        run(transfers)
    assert blobs_of(registry) == {str(digest_of(data)): data}
    assert [seen.method for seen in registry.seen].count("POST") == 2  # the first one without a token


def test_an_upload_that_failed_is_begun_anew(world: World) -> None:
    registry = an_empty_registry(world)
    registry.mishaps.append(Mishap("PUT *", mishaps.cut(1000), times=2))
    events = push(world, CONTENTS[0])
    assert blobs_of(registry) == {str(digest_of(CONTENTS[0])): CONTENTS[0]}
    assert [event.wait_s for event in retries(events)] == [1, 2]


def test_an_upload_whose_answer_was_lost_is_not_repeated(world: World) -> None:
    registry = an_empty_registry(world)
    registry.mishaps.append(Mishap("PUT *", mishaps.lost_answer))
    events = push(world, CONTENTS[0])
    assert done(events) == {digest_of(CONTENTS[0]): True}
    assert [seen.method for seen in registry.seen].count("PUT") == 1


def test_five_failures_of_an_upload_are_the_end(world: World) -> None:
    registry = an_empty_registry(world)
    registry.mishaps.append(Mishap("PUT *", mishaps.broken, times=ALWAYS))
    with pytest.raises(errors.RegistryFailed):
        push(world, CONTENTS[0])
    assert [seen.method for seen in registry.seen].count("PUT") == 5


def test_the_token_stays_when_an_upload_goes_to_another_host(world: World, server: Scripted) -> None:
    cdn, data = Scripted(), CONTENTS[0]
    world.serve(cdn, CDN)
    who = Answer(401, (("WWW-Authenticate", "Basic realm=x"),))
    server.on(f"POST /v2/{REPOSITORY}/blobs/uploads/", who, Answer(202, (("Location", f"{CDN}/u?sig=1"),)))
    cdn.on("PUT /u", Answer(201))
    push(world, data)
    assert authorization(server.seen[-1])
    assert [(request.body, authorization(request)) for request in cdn.seen] == [(data, "")]
    assert cdn.asked() == [f"PUT /u?sig=1&digest=sha256%3A{digest_of(data).hexadecimal}"]


def test_an_upload_that_is_refused(world: World) -> None:
    registry = an_empty_registry(world)
    registry.mishaps.append(Mishap("PUT *", lambda request, handle: Reply(Answer(413))))
    with pytest.raises(errors.RegistryError, match=r"of registry\.example/team/app"):
        push(world, CONTENTS[0])


def test_a_file_that_is_not_there(world: World) -> None:
    an_empty_registry(world)
    client = a_client(world, ANN, PUSH)
    with transfers_of(client, world.kernels[-1]) as transfers:
        transfers.send(digest_of(b"x"), "/var/bocker/nothing", 1)
        with pytest.raises(Missing):
            run(transfers)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_at_every_request_of_a_push(name: str) -> None:
    for number in range(1, 7):
        world = World().prepare()
        registry = an_empty_registry(world)
        registry.mishaps.append(Mishap("*", FAULTS[name], number))
        error = tried(lambda world=world: push(world, CONTENTS[0], CONTENTS[2]))  # type: ignore[misc]
        assert error is None or is_clear(error)
        registry.mishaps.clear()
        push(world, CONTENTS[0], CONTENTS[2])
        assert blobs_of(registry) == {str(digest_of(data)): data for data in (CONTENTS[0], CONTENTS[2])}

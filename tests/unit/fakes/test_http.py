"""The fake's wires: what the contract can't bring about."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

import attrs
import pytest

from bocker.fakes import FakeKernel, World, invariants
from bocker.fakes.errors import BrokenInvariant, Crashed
from bocker.fakes.faults import CrashAt, DoButReportFailure, Recorder, RefuseCall
from bocker.fakes.mishaps import ALWAYS, Mishap, announced, corrupted, cut, lost_answer, silent, slow, stalled
from bocker.fakes.registry import FakeRegistry
from bocker.fakes.servers import SECOND_NS, Reply
from bocker.fakes.state import without
from bocker.kernel.errors import EKEYREJECTED, KernelError, Unreachable, Untrusted
from bocker.kernel.http import ANSWER_BYTES, Answer, Answered, Failed, Progress, Request

if TYPE_CHECKING:
    from bocker.fakes.mishaps import Act
    from bocker.fakes.transfers import Event

NAME = "library/debian"
BLOB = bytes(range(256)) * 400
DIGEST = hashlib.sha256(BLOB).hexdigest()
PLACE = f"https://registry.example/v2/{NAME}/blobs/sha256:{DIGEST}"
DRAFT = "/tmp/draft"


@pytest.fixture
def registry(world: World) -> FakeRegistry:
    made = FakeRegistry()
    made.put_blob(NAME, BLOB)
    world.serve(made, *made.addresses)
    return made


def download(kernel: FakeKernel, path: str = DRAFT) -> int:
    return kernel.http.download(Request("GET", PLACE), path, len(BLOB))


def end_of(kernel: FakeKernel, timeout_s: float = 3600.0) -> Event | None:
    """Return what is told in that time and is no progress."""
    until_ns = kernel.world.state.clock_ns + int(timeout_s * SECOND_NS)
    while isinstance(news := kernel.http.wait((until_ns - kernel.world.state.clock_ns) / SECOND_NS), Progress):
        pass
    return news


def failure_of(kernel: FakeKernel) -> KernelError:
    end = end_of(kernel)
    assert isinstance(end, Failed)
    return end.error


def meets(registry: FakeRegistry, act: Act, times: int = 1) -> None:
    registry.mishaps.append(Mishap("*", act, times=times))


# Addresses


def test_https_is_spoken_with_whom_one_trusts(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    answer = kernel.http.ask(Request("GET", PLACE))
    assert hashlib.sha256(answer.body).hexdigest() == DIGEST
    registry.distrust = "the certificate has expired"
    with pytest.raises(Untrusted) as caught:
        kernel.http.ask(Request("GET", PLACE))
    assert (caught.value.errno, caught.value.detail) == (EKEYREJECTED, registry.distrust)


def test_http_to_a_server_of_https_is_an_answer(kernel: FakeKernel, registry: FakeRegistry) -> None:
    """And the server does not see the request."""
    answer = kernel.http.ask(Request("GET", "http://registry.example:443/v2/"))
    assert (answer.status, b"HTTP request to an HTTPS server" in answer.body) == (400, True)
    assert registry.seen == []


@pytest.mark.parametrize(
    ("url", "number"),
    [
        ("http://registry.example/v2/", errno.ECONNREFUSED),
        ("https://registry.example:5000/v2/", errno.ECONNREFUSED),
        ("https://other.example/v2/", errno.EHOSTUNREACH),
        ("https://plain.example:5000/v2/", errno.EPROTO),
    ],
)
def test_nobody_there(world: World, kernel: FakeKernel, registry: FakeRegistry, url: str, number: int) -> None:
    world.serve(FakeRegistry("http://plain.example:5000"), "http://plain.example:5000")
    with pytest.raises(Unreachable) as caught:
        kernel.http.ask(Request("GET", url))
    assert caught.value.errno == number
    assert kernel.http.ask(Request("GET", "http://Plain.example:5000/v2/")).status == 200


def test_what_every_client_says_is_said(kernel: FakeKernel, registry: FakeRegistry) -> None:
    kernel.http.ask(Request("POST", PLACE + "#fragment", (("User-Agent", "mine"),)))
    assert registry.seen[0].headers == (
        ("user-agent", "mine"),
        ("host", "registry.example"),
        ("accept-encoding", "identity"),
        ("content-length", "0"),
    )


class Listener:
    """Answers, and keeps the addresses that it was asked for."""

    tls = False
    distrust = ""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.urls: list[str] = []

    def respond(self, request: Request, now_ns: int) -> Reply:
        self.urls.append(request.url)
        return self.reply


def test_a_server_sees_what_an_address_says_to_it(world: World, kernel: FakeKernel) -> None:
    listener = Listener(Reply(Answer(200)))
    world.serve(listener, "http://here.example")
    for path in ("/a?b=c#fragment", "", "?b"):
        kernel.http.ask(Request("GET", f"http://me:secret@here.example{path}"))
    assert listener.urls == ["http://here.example/a?b=c", "http://here.example/", "http://here.example/?b"]


# Time and mishaps


def test_a_slow_answer_takes_its_time(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    meets(registry, slow(len(BLOB) // 8))
    before_ns = world.state.clock_ns
    kernel.http.ask(Request("GET", PLACE))
    assert 8 <= (world.state.clock_ns - before_ns) / SECOND_NS < 8.1


def test_a_slow_transfer_takes_its_time(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    """Whether anybody waits for it or not, and the file grows meanwhile."""
    meets(registry, slow(len(BLOB) // 8))
    download(kernel)
    before_ns = world.state.clock_ns
    assert isinstance(kernel.http.wait(4.0), Progress)
    assert end_of(kernel, 4.0) is None
    assert 0.4 < len(world.read_file(DRAFT)) / len(BLOB) < 0.6
    kernel.ambient.sleep(2.0)
    assert isinstance(end_of(kernel), Answered)
    assert 8 <= (world.state.clock_ns - before_ns) / SECOND_NS < 8.1


def test_all_that_was_missed_is_one_progress(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    meets(registry, slow(len(BLOB) // 8))
    transfer = download(kernel)
    kernel.http.wait(0.2)
    kernel.ambient.sleep(4.0)
    news = kernel.http.wait(1.0)
    assert isinstance(news, Progress)
    assert news.transfer == transfer
    assert news.bytes_done >= len(BLOB) // 2


def test_the_wire_has_a_speed(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    """Up and down."""
    world.bytes_per_s = len(BLOB) // 4
    world.write_file("/tmp/up", BLOB)
    for up in (False, True):
        before_ns = world.state.clock_ns
        if up:
            kernel.http.upload(Request("POST", f"https://registry.example/v2/{NAME}/blobs/uploads/"), "/tmp/up")
        else:
            download(kernel)
        news = kernel.http.wait(10.0)
        assert isinstance(news, Progress)
        assert 0 < news.bytes_done < len(BLOB)
        assert isinstance(end_of(kernel), Answered)
        assert 4 <= (world.state.clock_ns - before_ns) / SECOND_NS < 4.1


def test_transfers_take_turns(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    meets(registry, slow(1000), times=2)
    download(kernel)
    download(kernel, "/tmp/other")
    assert isinstance(kernel.http.wait(1.0), Progress)
    for _ in range(20):
        kernel.http.wait(1.0)
        sizes = [len(world.read_file(path)) for path in (DRAFT, "/tmp/other")]
        assert abs(sizes[0] - sizes[1]) <= 100
    assert min(sizes) > 500


def test_what_broke_off_is_taken_up(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    meets(registry, cut(300))
    download(kernel)
    assert failure_of(kernel).errno == errno.ECONNRESET
    assert world.read_file(DRAFT) == BLOB[:300]
    download(kernel)
    end = end_of(kernel)
    assert isinstance(end, Answered)
    assert (end.answer.status, end.digest) == (206, DIGEST)
    assert world.unsynced(DRAFT)


@pytest.mark.parametrize("act", [silent, stalled(300)])
def test_patience_ends(world: World, kernel: FakeKernel, registry: FakeRegistry, act: Act) -> None:
    """After thirty seconds without a byte, of a transfer and of a question."""
    meets(registry, act, times=ALWAYS)
    before_ns = world.state.clock_ns
    with pytest.raises(Unreachable) as caught:
        kernel.http.ask(Request("GET", PLACE))
    assert caught.value.errno == errno.ETIMEDOUT
    assert 30 <= (world.state.clock_ns - before_ns) / SECOND_NS < 30.1
    before_ns = world.state.clock_ns
    download(kernel)
    assert end_of(kernel, 29.0) is None
    assert failure_of(kernel).errno == errno.ETIMEDOUT
    assert 30 <= (world.state.clock_ns - before_ns) / SECOND_NS < 30.1


def test_patience_ends_between_two_pieces(world: World, kernel: FakeKernel) -> None:
    answer = Answer(200, (), BLOB)
    world.serve(Listener(Reply(answer, piece_bytes=1, pause_ns=31 * SECOND_NS)), "http://slow.example")
    with pytest.raises(Unreachable) as caught:
        kernel.http.ask(Request("GET", "http://slow.example/"))
    assert caught.value.errno == errno.ETIMEDOUT


@pytest.mark.parametrize(("bytes_read", "is_answer"), [(ANSWER_BYTES - 1, False), (ANSWER_BYTES, True)])
def test_the_end_of_a_long_refusal_is_not_read(
    world: World, kernel: FakeKernel, bytes_read: int, is_answer: bool
) -> None:
    """And so it does not matter whether it comes."""
    answer = Answer(500, (), bytes(2 * ANSWER_BYTES))
    world.serve(Listener(Reply(answer, cut=bytes_read)), "http://cut.example")
    kernel.http.download(Request("GET", "http://cut.example/"), DRAFT, len(BLOB))
    end = end_of(kernel)
    assert isinstance(end, Answered) == is_answer
    assert isinstance(end, Failed) != is_answer


def test_a_longer_body_was_said(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    meets(registry, announced(1))
    download(kernel)
    assert failure_of(kernel).errno == errno.ECONNRESET
    assert world.read_file(DRAFT) == BLOB


def test_the_digest_is_of_what_came(kernel: FakeKernel, registry: FakeRegistry) -> None:
    meets(registry, corrupted)
    download(kernel)
    end = end_of(kernel)
    assert isinstance(end, Answered)
    assert (end.digest != DIGEST, end.size_bytes) == (True, len(BLOB))


def test_a_disk_that_fills_up(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    """In the middle: what fitted stays."""
    world.bytes_per_s = 100_000
    world.set_free_bytes("/tmp", 5500)
    download(kernel)
    assert failure_of(kernel).errno == errno.ENOSPC
    assert world.read_file(DRAFT) == BLOB[:5000]


# Programs and faults


def test_transfers_are_their_programs(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    other = world.kernel()
    transfer = download(kernel)
    other.http.cancel(transfer)
    assert other.http.wait(3600.0) is None
    assert f"download {DRAFT} 0 of {len(BLOB)} bytes" in world.dump().splitlines()
    assert isinstance(end_of(kernel), Answered)
    assert "download" not in world.dump()


@pytest.mark.parametrize("number", [2, 5])
def test_a_program_that_dies_leaves_a_draft(
    world: World, kernel: FakeKernel, registry: FakeRegistry, number: int
) -> None:
    meets(registry, slow(1000))
    kernel.gate = CrashAt(number)
    download(kernel)
    with pytest.raises(Crashed):
        end_of(kernel)
    assert world.state.transfers == {}
    entry = world.entry(DRAFT)
    assert (entry is not None) == (number == 5)
    if entry is not None:
        assert 0 < len(entry.content) < 1000
        assert BLOB.startswith(entry.content)
        assert world.unsynced(DRAFT)
    other = world.kernel()
    download(other)
    assert isinstance(end_of(other), Answered)


def test_a_program_can_be_killed_while_it_waits(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    meets(registry, slow(1000))
    download(kernel)
    world.schedule(5.0, lambda: world.kill_program(kernel))
    with pytest.raises(Crashed):
        end_of(kernel)
    assert 4900 <= len(world.read_file(DRAFT)) <= 5000
    assert world.state.transfers == {}


def test_the_machine_starts_again(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    download(kernel)
    world.reboot()
    assert world.state.transfers == {}
    assert world.kernel().http.ask(Request("GET", PLACE)).status == 200


def test_a_question_that_is_refused_is_not_asked(kernel: FakeKernel, registry: FakeRegistry) -> None:
    kernel.gate = RefuseCall(1, errno.ECONNREFUSED)
    with pytest.raises(Unreachable):
        kernel.http.ask(Request("GET", PLACE))
    assert registry.seen == []


def test_an_answer_that_is_lost_was_given(kernel: FakeKernel, registry: FakeRegistry) -> None:
    """Whether the gate loses it or the server."""
    begin = Request("POST", f"https://registry.example/v2/{NAME}/blobs/uploads/")
    kernel.gate = DoButReportFailure(1, errno.ECONNRESET)
    with pytest.raises(Unreachable):
        kernel.http.ask(begin)
    assert len(registry.uploads) == 1
    meets(registry, lost_answer)
    with pytest.raises(Unreachable):
        kernel.http.ask(begin)
    assert len(registry.uploads) == 2


@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.ENOSPC])
def test_a_fault_while_one_waits_is_the_transfers(
    world: World, kernel: FakeKernel, registry: FakeRegistry, number: int
) -> None:
    """It is told as the port tells it; the others go on."""
    meets(registry, slow(1000))
    transfers = [download(kernel), download(kernel, "/tmp/other")]
    kernel.gate = RefuseCall(1, number)
    failed = kernel.http.wait(3600.0)
    assert isinstance(failed, Failed)
    assert (failed.transfer, failed.error.errno, failed.error.operation) == (transfers[0], number, "http.download")
    end = end_of(kernel)
    assert isinstance(end, Answered)
    assert end.transfer == transfers[1]


def test_a_fault_while_there_is_nothing_to_wait_for(kernel: FakeKernel) -> None:
    kernel.gate = RefuseCall(1, errno.ECONNRESET)
    assert kernel.http.wait(3600.0) is None


def test_every_call_goes_through_the_gate(kernel: FakeKernel, registry: FakeRegistry) -> None:
    """And nothing besides: a sweep counts them."""
    kernel.gate = recorder = Recorder()
    kernel.http.ask(Request("GET", PLACE))
    transfer = download(kernel)
    end_of(kernel)
    kernel.http.cancel(transfer)
    assert [call.operation for call in recorder.calls] == ["http.ask", "http.download", "http.wait", "http.cancel"]


def test_a_transfer_of_nobody_is_found(world: World, kernel: FakeKernel, registry: FakeRegistry) -> None:
    download(kernel)
    state = world.state
    with pytest.raises(BrokenInvariant, match="nobody"):
        invariants.check(state, attrs.evolve(state, processes=without(state.processes, kernel.pid)))

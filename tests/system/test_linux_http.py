"""HTTP on Linux: what only a real process, real certificates, proxies and a real registry show."""

from __future__ import annotations

import base64
import errno
import gc
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bocker.kernel.errors import EKEYREJECTED, KernelError, Unreachable, Untrusted
from bocker.kernel.http import Answered, Failed, Progress, Request
from bocker.linux import transfers
from bocker.linux.http import LinuxHttp, frame
from tests.contracts.http import BODY, DIGEST, HANGING, PAGE, TRICKLE, Page
from tests.patience import patience
from tests.system.http_server import HttpServer
from tests.system.proc_stat import state_of
from tests.system.registry import BASIC, PASSWORD, SERVICE, TOKEN, USER, Registry
from tests.system.waiting import wait_until

PATIENCE_S = patience(20.0)
BASIC_WORDS = ("Authorization", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
HELPER_MIB = 35
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
SCRIPT = """
import os, sys, time
sys.path[:0] = {path!r}
from bocker.kernel.http import Request
from bocker.linux.http import LinuxHttp
http = LinuxHttp()
url = {url!r}
def helper():
    return int(open("/proc/thread-self/children").read())
"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's proxies and certificates."""
    for name in (*PROXIES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def http() -> Iterator[LinuxHttp]:
    made = LinuxHttp(silence_s=5.0)
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    made = HttpServer(tmp_path)
    yield made
    made.close()


def end_of(http: LinuxHttp) -> Answered | Failed:
    """Wait for the end of the only transfer."""
    while isinstance(news := http.wait(PATIENCE_S), Progress):
        pass
    assert news is not None
    return news


def helpers() -> list[int]:
    """Return the children of this thread, which has no others."""
    with open("/proc/thread-self/children") as file:
        return [int(word) for word in file.read().split()]


def start(url: str, *lines: str) -> subprocess.Popen[str]:
    """Run a program that has `http`, and begins with these lines."""
    program = SCRIPT.format(path=sys.path, url=url) + "\n".join(lines)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def gone(pid: int) -> Callable[[], bool]:
    return lambda: not os.path.exists(f"/proc/{pid}")


def sockets_of(pid: int) -> int:
    return sum(is_socket(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd"))


def is_socket(descriptor: str) -> bool:
    try:
        return os.readlink(descriptor).startswith("socket:")
    except FileNotFoundError:  # closed since it was listed
        return False


# The other process


def test_who_asks_stays_small(server: HttpServer) -> None:
    """One thread, and none of the library: unpacking forks."""
    process = start(
        server.serve("/page", PAGE),
        "assert http.ask(Request('GET', url)).status == 200",
        "print(len(os.listdir('/proc/self/task')), sorted({'requests', 'socket', 'ssl', 'json'} & set(sys.modules)))",
    )
    assert line_of(process) == "1 []"
    assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)", "sys.exit()"])
def test_it_does_not_outlive_who_asks(server: HttpServer, end: str) -> None:
    """However that ends, and whatever is under way."""
    process = start(
        server.address(HANGING),
        "http.download(Request('GET', url), '/none/file', 5)",
        "print(helper(), flush=True)",
        end,
    )
    helper = int(line_of(process))
    process.wait(PATIENCE_S)
    wait_until(gone(helper))


def test_who_else_has_the_pipe_does_not_keep_it_alive(server: HttpServer) -> None:
    """A child of who asks, that outlives him."""
    process = start(
        server.serve("/page", PAGE),
        "http.ask(Request('GET', url))",
        "print(helper(), flush=True)",
        "child = os.fork()",
        "if not child: time.sleep(60); os._exit(0)",
        "print(child, flush=True)",
        "os.kill(os.getpid(), 9)",
    )
    helper, child = int(line_of(process)), int(line_of(process))
    process.wait(PATIENCE_S)
    wait_until(gone(helper))
    os.kill(child, signal.SIGKILL)
    wait_until(gone(child))


def test_a_cancelled_transfer_has_let_go_of_its_file(http: LinuxHttp, server: HttpServer, tmp_path: Path) -> None:
    """However slow the other process is just then."""
    transfer = http.download(Request("GET", server.serve("/slow", TRICKLE)), str(tmp_path / "file"), len(BODY))
    wait_until((tmp_path / "file").exists)
    (helper,) = helpers()
    os.kill(helper, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (helper, signal.SIGCONT)).start()
    http.cancel(transfer)
    size_bytes = os.path.getsize(tmp_path / "file")
    time.sleep(0.5)
    assert os.path.getsize(tmp_path / "file") == size_bytes


def test_what_has_come_already_is_not_written_after_a_cancel(
    http: LinuxHttp, server: HttpServer, tmp_path: Path
) -> None:
    """The kernel keeps megabytes of a fast server."""
    size_bytes = 64 << 20
    url = server.serve("/fast", Page(body=bytes(size_bytes)))
    for number in range(3):
        path = tmp_path / f"file{number}"
        transfer = http.download(Request("GET", url), str(path), size_bytes)
        wait_until(path.exists)
        http.cancel(transfer)
        had_bytes = os.path.getsize(path)
        time.sleep(0.3)
        assert os.path.getsize(path) == had_bytes


def test_ctrl_c_is_for_who_asks(server: HttpServer) -> None:
    """The whole group gets the signal, as from a terminal; the transfers go on until they are cancelled.

    Who asks has to be waiting: where it comes amid a message, the other process is given up.
    """
    process = start(
        server.serve("/page", Page(body=BODY, pause_s=0.5, piece_bytes=len(BODY) // 16)),
        "print(helper() if http.download(Request('GET', url), '/run/tmp/interrupted', 262144) else 0, flush=True)",
        "try:",
        "    while http.wait(60): pass",
        "except KeyboardInterrupt:",
        "    print(helper(), bool(http.wait(5)), flush=True)",
        "    http.cancel(1)",
        "    print(os.path.getsize('/run/tmp/interrupted') > 0, http.wait(9), flush=True)",
    )
    helper = line_of(process)
    wait_until(lambda: os.path.exists("/run/tmp/interrupted"))
    wait_until(lambda: state_of(process.pid) == "S")
    os.killpg(process.pid, signal.SIGINT)
    assert line_of(process) == f"{helper} True"
    assert line_of(process) == "True None"
    assert process.wait(PATIENCE_S) == 0
    wait_until(gone(int(helper)))
    os.unlink("/run/tmp/interrupted")


def test_it_has_nothing_of_who_asks_open(http: LinuxHttp, server: HttpServer, tmp_path: Path) -> None:
    """A lock that stayed open there would stay locked."""
    with open(tmp_path / "lock", "w"):
        http.ask(Request("GET", server.serve("/page", PAGE)))
        (helper,) = helpers()
        assert {os.readlink(f"/proc/{helper}/fd/{number}") for number in range(3)} == {"/dev/null"}
        assert len(os.listdir(f"/proc/{helper}/fd")) == 5 + sockets_of(helper)


def test_there_is_but_one(http: LinuxHttp, server: HttpServer, tmp_path: Path) -> None:
    """And one connection, which is kept for the next request."""
    for _ in range(5):
        http.ask(Request("GET", server.serve("/page", PAGE)))
        http.download(Request("GET", server.serve("/page", PAGE)), str(tmp_path / "file"), len(BODY))
        assert isinstance(end_of(http), Answered)
    (helper,) = helpers()
    assert sockets_of(helper) == 1


def test_its_death_is_a_failure_and_no_end(http: LinuxHttp, server: HttpServer, tmp_path: Path) -> None:
    url = server.serve("/slow", TRICKLE)
    transfer = http.download(Request("GET", url), str(tmp_path / "file"), len(BODY))
    wait_until((tmp_path / "file").exists)
    (helper,) = helpers()
    os.kill(helper, signal.SIGKILL)
    failed = end_of(http)
    assert isinstance(failed, Failed)
    assert (failed.transfer, type(failed.error), failed.error.errno) == (transfer, Unreachable, errno.ECONNRESET)
    assert http.wait(PATIENCE_S) is None
    assert http.ask(Request("GET", server.serve("/page", PAGE))).body == BODY
    assert gone(helper)()


def test_a_library_that_is_not_there_is_named(server: HttpServer) -> None:
    process = start(
        server.serve("/page", PAGE),
        "sys.modules['requests'] = None",
        "try:",
        "    http.ask(Request('GET', url))",
        "except Exception as error:",
        "    print(error.errno, 'requests' in error.detail)",
    )
    assert line_of(process) == f"{errno.EIO} True"
    process.wait(PATIENCE_S)


def test_a_cancelled_connection_is_closed(http: LinuxHttp, server: HttpServer, tmp_path: Path) -> None:
    """At once, though nothing comes."""
    never = server.serve("/never", Page(body=BODY, pause_s=60, piece_bytes=len(BODY) - 1))
    transfer = http.download(Request("GET", never), str(tmp_path / "file"), len(BODY))
    wait_until((tmp_path / "file").exists)
    (helper,) = helpers()
    assert sockets_of(helper) == 1
    http.cancel(transfer)
    wait_until(lambda: sockets_of(helper) == 0, 2.0)


def test_progress_does_not_wait_for_who_does_not_listen() -> None:
    """What must arrive does."""
    read_end, write_end = os.pipe()
    channel = transfers.Channel(write_end)
    begin = time.monotonic()
    for number in range(20_000):
        channel.mention("progress", 1, number)
    assert time.monotonic() - begin < 5
    last = threading.Thread(target=channel.tell, args=("gone", 1))
    last.start()
    data = b""
    while not data.endswith(frame("gone", 1)):
        data += os.read(read_end, 1 << 20)
    last.join()
    os.close(read_end)
    os.close(write_end)


def test_memory_is_bounded(server: HttpServer) -> None:
    """Four transfers at once, of far more than that."""
    size_bytes = 64 << 20
    url = server.serve("/big", Page(body=bytes(size_bytes)))
    process = start(
        url,
        f"for n in range(4): http.download(Request('GET', url), f'/run/tmp/big{{n}}', {size_bytes})",
        "peak = 0",
        "while http.wait(60):",
        "    for line in open(f'/proc/{helper()}/smaps_rollup'):",
        "        if line.startswith('Pss:'): peak = max(peak, int(line.split()[1]))",
        "print(peak)",
    )
    peak_kib = int(line_of(process))
    process.wait(PATIENCE_S)
    assert [os.path.getsize(f"/run/tmp/big{n}") for n in range(4)] == [size_bytes] * 4
    for n in range(4):
        os.unlink(f"/run/tmp/big{n}")
    assert 0 < peak_kib < HELPER_MIB << 10


# Certificates, proxies, netrc


def test_certificates_are_those_of_the_environment(
    http: LinuxHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry(tmp_path, tls=True) as registry:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(registry.authority))
        assert http.ask(Request("GET", f"{registry.url}/v2/")).status == 200
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        for bundle in ("", str(tmp_path / "none.pem"), str(tmp_path / "registry.yml")):
            other = LinuxHttp()
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
            with pytest.raises(Untrusted) as caught:
                other.ask(Request("GET", f"{registry.url}/v2/"))
            other.close()
            assert caught.value.errno == EKEYREJECTED
            assert caught.value.detail


def test_a_server_without_tls_is_told_from_one_that_is_not_trusted(http: LinuxHttp, server: HttpServer) -> None:
    url = server.serve("/page", PAGE).replace("http:", "https:")
    with pytest.raises(Unreachable) as caught:
        http.ask(Request("GET", url))
    assert caught.value.errno == errno.EPROTO


def test_the_name_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good certificate of another host is none."""
    with Registry(tmp_path, tls=True) as registry, Tunnel("200 OK", registry.address) as tunnel:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(registry.authority))
        monkeypatch.setenv("HTTPS_PROXY", f"http://{tunnel.address}")
        http = LinuxHttp()
        with pytest.raises(Untrusted) as caught:
            http.ask(Request("GET", "https://registry.example/v2/"))
        http.close()
    assert "registry.example" in caught.value.detail


def test_http_goes_through_the_proxy(http: LinuxHttp, server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole address and the proxy's credentials; NO_PROXY's hosts are asked themselves."""
    direct = server.serve("/page", PAGE)
    server.serve("http://registry.example/v2/", PAGE)
    monkeypatch.setenv("HTTP_PROXY", direct.replace("http://", "http://me:word@").removesuffix("/page"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,.internal")
    assert http.ask(Request("GET", direct)).status == 200
    assert http.ask(Request("GET", "http://registry.example/v2/?a=b")).status == 200
    asked, through = server.seen()
    assert (asked.target, asked.get("proxy-authorization")) == ("/page", "")
    assert through.target == "http://registry.example/v2/?a=b"
    assert through.get("host") == "registry.example"
    assert through.get("proxy-authorization") == "Basic " + base64.b64encode(b"me:word").decode()


@pytest.mark.parametrize("no_proxy", ["", "127.0.0.1"])
def test_https_goes_through_a_tunnel(
    http: LinuxHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    """CONNECT, unless the host is one of NO_PROXY."""
    with Registry(tmp_path, tls=True) as registry, Tunnel("200 OK") as tunnel:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(registry.authority))
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:word@{tunnel.address}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert http.ask(Request("GET", f"{registry.url}/v2/")).status == 200
        if no_proxy:
            assert tunnel.asked == []
        else:
            (asked,) = tunnel.asked
            assert asked.startswith(f"CONNECT {registry.address} HTTP/1.".encode())
            assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:word") in asked


def test_a_tunnel_that_is_refused(http: LinuxHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tunnel("407 Proxy Authentication Required") as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:word@{tunnel.address}")
        with pytest.raises(Unreachable) as caught:
            http.ask(Request("GET", "https://registry.example/v2/"))
    assert caught.value.errno == errno.EHOSTUNREACH
    assert "407" in caught.value.detail
    assert "word" not in str(caught.value)


def test_a_proxy_that_is_not_there(http: LinuxHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(Unreachable) as caught:
        http.ask(Request("GET", "https://registry.example/v2/"))
    assert caught.value.errno == errno.ECONNREFUSED


def test_netrc_is_not_used(
    http: LinuxHttp, server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password word\ndefault login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    http.ask(Request("GET", server.serve("/page", PAGE)))
    assert server.seen()[0].get("authorization") == ""


# A real registry


def push(http: LinuxHttp, registry: Registry, path: Path, *headers: tuple[str, str]) -> Answered:
    """Send a file as a blob of `a/b`, in the way of the distribution API."""
    begun = http.ask(Request("POST", f"{registry.url}/v2/a/b/blobs/uploads/", headers))
    assert begun.status == 202, begun
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    http.upload(Request("PUT", f"{begun.get('location')}&digest=sha256:{digest}", headers), str(path))
    end = end_of(http)
    assert isinstance(end, Answered)
    return end


def test_a_registry_takes_and_gives_a_blob(http: LinuxHttp, tmp_path: Path) -> None:
    """Whole, and only the rest of it; a blob can be deleted."""
    (tmp_path / "blob").write_bytes(BODY)
    with Registry(tmp_path) as registry:
        assert http.ask(Request("GET", f"{registry.url}/v2/")).status == 200
        assert push(http, registry, tmp_path / "blob").answer.status == 201
        url = f"{registry.url}/v2/a/b/blobs/sha256:{DIGEST}"
        for kept in (0, 100_000):
            (tmp_path / "fetched").write_bytes(BODY[:kept])
            http.download(Request("GET", url), str(tmp_path / "fetched"), len(BODY))
            end = end_of(http)
            assert isinstance(end, Answered)
            assert (end.answer.status, end.digest) == (206 if kept else 200, DIGEST)
            assert (tmp_path / "fetched").read_bytes() == BODY
        head = http.ask(Request("HEAD", url))
        assert (head.status, head.get("content-length")) == (200, str(len(BODY)))
        assert http.ask(Request("DELETE", url)).status == 202
        http.download(Request("GET", url), str(tmp_path / "none"), len(BODY))
        end = end_of(http)
        assert isinstance(end, Answered)
        assert (end.answer.status, b"BLOB_UNKNOWN" in end.answer.body) == (404, True)


def test_a_registry_with_passwords(http: LinuxHttp, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(BODY)
    with Registry(tmp_path, BASIC) as registry:
        refused = http.ask(Request("GET", f"{registry.url}/v2/"))
        assert (refused.status, refused.get("www-authenticate")) == (401, 'Basic realm="test"')
        assert push(http, registry, tmp_path / "blob", BASIC_WORDS).answer.status == 201


def test_a_registry_with_tokens(http: LinuxHttp, tmp_path: Path) -> None:
    """Anybody's token reads, the user's writes."""
    (tmp_path / "blob").write_bytes(BODY)
    with Registry(tmp_path, TOKEN) as registry:
        assert registry.token_server is not None
        refused = http.ask(Request("GET", f"{registry.url}/v2/a/b/tags/list"))
        assert refused.get("www-authenticate").startswith(f'Bearer realm="{registry.token_server.url}"')
        url = f"{registry.token_server.url}?service={SERVICE}&scope=repository:a/b:pull,push"
        bearers = []
        for headers in ((), (BASIC_WORDS,)):
            token = json.loads(http.ask(Request("GET", url, headers)).body)["token"]
            bearers.append(("Authorization", f"Bearer {token}"))
        nobodys, users = bearers
        assert http.ask(Request("POST", f"{registry.url}/v2/a/b/blobs/uploads/", (nobodys,))).status == 401
        assert push(http, registry, tmp_path / "blob", users).answer.status == 201
        read = Request("GET", f"{registry.url}/v2/a/b/blobs/sha256:{DIGEST}", (nobodys,))
        assert http.ask(read).body == BODY
        assert http.ask(Request("GET", url, (("Authorization", "Basic Ojpub25l"),))).status == 401


def test_errors_of_the_port_are_all_that_comes(http: LinuxHttp) -> None:
    """A program that can't fork says so as the kernel does."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(KernelError) as caught:
            http.ask(Request("GET", "http://127.0.0.1:9/"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (caught.value.operation, caught.value.errno) == ("http.ask", errno.EMFILE)


class Tunnel:
    """A proxy that answers CONNECT with a status, and if that is 200 joins both ends; the other one is the
    address that was asked for, or `target`."""

    def __init__(self, status: str, target: str = "") -> None:
        self.asked: list[bytes] = []
        self._target = target
        self._status = status
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *failure: object) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.asked.append(client.recv(1 << 16))
            client.sendall(f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode())
            if not self._status.startswith("200"):
                client.close()
                continue
            host, _, port = (self._target or self.asked[-1].split()[1].decode()).rpartition(":")
            other = socket.create_connection((host, int(port)))
            for pair in ((client, other), (other, client)):
                threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with source, target:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass


def test_failures_are_collected_though_the_caller_collects_nothing() -> None:
    """As the launcher has it; what the library keeps of a failure leads back to itself."""
    gc.disable()
    try:
        http = LinuxHttp(silence_s=5.0)
        http.prepare()
        sizes_kib = [_failed_and_left(http, count) for count in (20, 300)]
    finally:
        gc.enable()
        http.close()
    assert sizes_kib[1] - sizes_kib[0] < 2000


def _failed_and_left(http: LinuxHttp, count: int) -> int:
    """Let requests fail; return how much the process of the transfers has in memory."""
    for _ in range(count):
        with pytest.raises(Unreachable):
            http.ask(Request("GET", "http://127.0.0.1:1/"))
    helper = Path("/proc/thread-self/children").read_text().split()[-1]
    status = Path(f"/proc/{helper}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])

"""Measures pulling in the sandbox (`benchmarks/pull` makes it): medians of whole processes, and their ratios.

Who is compared takes turns, A B C A B C, each with a new btrfs of its own on a loop device, whose file
lies in memory: what counts is the work, not a disk. In a round each pulls the image, pulls it again, and
pulls a second image that shares all layers but one. Memory is taken in a round of its own, as looking
at it costs time: the sum of the proportional set sizes of a command and all its descendants, docker's
daemon among them.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from tests.system.layouts import GZIP, ZSTD, Layout  # noqa: E402
from tests.system.peers import ADDRESS, Docker, Peers  # noqa: E402

BOCKER = os.environ.get("BOCKER_BENCHMARK", "/usr/local/bin/bocker")
WORK = "/run/benchmark"
STORE = f"{WORK}/store"  # where each has its file system in turn
STORE_BYTES = 8 << 30
FIRST, SECOND = "benchmark/first:1", "benchmark/second:1"
# The second to fifth layer: parts of Debian under another name. The last is the second image's own.
PARTS = (("usr/lib/",), ("usr/share/",), ("usr/bin/", "usr/sbin/"), ("var/lib/",), ("usr/bin/",))
COLD, AGAIN, ONE_LAYER = "cold", "again", "one new layer"
DOCKER = "docker"
GOALS = {("podman, overlay", COLD): 0.75, ("podman, btrfs", COLD): 0.6, (DOCKER, AGAIN): 1.0, (DOCKER, ONE_LAYER): 1.0}
MEMORY_GOAL_MIB = 60
SAMPLE_S = 0.01

Pull = Callable[[str], list[str]]
Seconds = dict[tuple[str, str], list[float]]


def main() -> None:
    """Make the images, measure, print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with Peers(f"{WORK}/peers") as peers:
        os.environ.update(peers.environment())
        make_images(peers)
        if BOCKER == "/usr/local/bin/bocker":
            subprocess.run([f"{HERE}/../provision/provision.sh"], check=True, stdout=subprocess.DEVNULL)
        for compression in ("gzip", "zstd"):
            report(compression, *measured(rounds, contestants(compression)))


def contestants(compression: str) -> dict[str, Pull]:
    """Return who is measured: from an image's name to the words of the command."""

    def podman(driver: str) -> Pull:
        words = ["podman", "--root", f"{STORE}/{driver}", "--runroot", f"{WORK}/run-{driver}"]
        return lambda name: [*words, "--storage-driver", driver, "pull", "--quiet", f"{ADDRESS}/{compression}/{name}"]

    def skopeo(name: str) -> list[str]:
        source = f"docker://{ADDRESS}/{compression}/{name}"
        options = ("--registries-conf", f"{WORK}/peers/registries.conf")
        return ["skopeo", "--insecure-policy", *options, "copy", "--quiet", source, f"dir:{STORE}/{name[10:13]}"]

    def docker(name: str) -> list[str]:
        words = Docker(f"{WORK}/docker").command("pull", "--quiet", f"{ADDRESS}/{compression}/{name}")
        return [str(word) for word in words]

    found = {
        "bocker": lambda name: [BOCKER, "pull", "--quiet", f"{ADDRESS}/{compression}/{name}"],
        "podman, overlay": podman("overlay"),
        "podman, btrfs": podman("btrfs"),
        DOCKER: docker,
        "skopeo copy": skopeo,
    }
    if compression == "zstd":
        del found[DOCKER]  # Debian's can't
    return found


def make_images(peers: Peers) -> None:
    """Put the two images into the registry, in both compressions."""
    with open(os.environ["BOCKER_TEST_DEBIAN"], "rb") as file:
        debian = file.read()
    layers = [debian, *(part(debian, number, prefixes) for number, prefixes in enumerate(PARTS, 2))]
    layout = Layout(f"{WORK}/layout")
    for compression, how in (("gzip", GZIP), ("zstd", ZSTD)):
        for name, chosen in ((FIRST, layers[:-1]), (SECOND, [*layers[:-2], layers[-1]])):
            layout.image(f"{compression}-{name[:11]}", [((layer,), how) for layer in chosen])
            peers.push(layout.reference(f"{compression}-{name[:11]}"), f"{compression}/{name}")


def part(archive: bytes, number: int, prefixes: tuple[str, ...]) -> bytes:
    """Return a layer of those files of an archive whose names begin so, below `/opt/NUMBER`."""
    written = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as source,
        tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            if not member.name.removeprefix("./").startswith(prefixes):
                continue
            content = source.extractfile(member) if member.isreg() else None
            member.name = f"opt/{number}/{member.name.removeprefix('./')}"
            if member.islnk():
                member.linkname = f"opt/{number}/{member.linkname.removeprefix('./')}"
            target.addfile(member, content)
    return written.getvalue()


def measured(rounds: int, pulls: dict[str, Pull]) -> tuple[Seconds, dict[str, float]]:
    """Return the seconds of each pull of each contestant, and the MiB that a cold one takes at most."""
    seconds: Seconds = {}
    for number in range(rounds + 1):
        for who, pull in pulls.items():
            with place_of(who):
                times = [timed(pull(name)) for name in (FIRST, FIRST, SECOND)]
            for job, taken in zip((COLD, AGAIN, ONE_LAYER), times, strict=True):
                if number:  # the first round warms up
                    seconds.setdefault((who, job), []).append(taken)
    memory = {}
    for who, pull in pulls.items():
        with place_of(who) as daemon:
            memory[who] = most_memory(pull(FIRST), daemon) / (1 << 20)
    return seconds, memory


@contextmanager
def place_of(who: str) -> Iterator[int | None]:
    """A new file system; docker's daemon on it, whose process is given."""
    with ExitStack() as stack:
        stack.enter_context(store())
        yield stack.enter_context(Docker(f"{WORK}/docker", f"{STORE}/docker")).pid if who == DOCKER else None


@contextmanager
def store() -> Iterator[None]:
    """A new btrfs; `BOCKER_STORE` is its place."""
    os.makedirs(STORE, exist_ok=True)
    with open(f"{WORK}/disk", "wb") as file:
        file.truncate(STORE_BYTES)
    subprocess.run(["mkfs.btrfs", "--quiet", f"{WORK}/disk"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", f"{WORK}/disk", STORE], check=True)
    os.environ["BOCKER_STORE"] = STORE
    try:
        yield
    finally:
        subprocess.run(["umount", "--recursive", STORE], check=True)
        os.unlink(f"{WORK}/disk")


def timed(command: list[str]) -> float:
    """Return the seconds that a command takes, which must succeed."""
    start = time.perf_counter()
    finished(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    return time.perf_counter() - start


def finished(process: subprocess.Popen[bytes]) -> None:
    """Wait for a command that must succeed."""
    said, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{process.args!r}: exit code {process.returncode}: {said.decode()}")


def most_memory(command: list[str], daemon: int | None = None) -> int:
    """Return the most bytes that a command, a daemon and their descendants had resident, shared ones counted once."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    samples = [0]

    def sample() -> None:
        while process.returncode is None:
            pids = family(process.pid) + ([] if daemon is None else family(daemon))
            samples.append(sum(map(proportional_bytes, pids)))
            time.sleep(SAMPLE_S)

    watcher = threading.Thread(target=sample)
    watcher.start()
    finished(process)
    watcher.join()
    return max(samples)


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as file:
                    found += map(int, file.read().split())
        except OSError:
            continue  # it has just ended
    return found


def proportional_bytes(pid: int) -> int:
    """Return a process's proportional set size (proc(5), smaps_rollup); 0 of one that has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


def report(title: str, seconds: Seconds, memory: dict[str, float]) -> None:
    """Print the medians, and ours against each of the others."""
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    print(f"{title}\n  {'':<18} {COLD:>16} {AGAIN:>16} {ONE_LAYER:>16} {'MiB':>8}")
    for who, most_mib in memory.items():
        columns = " ".join(cell(medians, who, job) for job in (COLD, AGAIN, ONE_LAYER))
        print(f"  {who:<18} {columns} {most_mib:8.1f}")
    wanted = ", ".join(f"{job} {goal} of {who}" for (who, job), goal in GOALS.items())
    print(f"  in brackets: bocker's time against theirs; goals: {wanted}; {MEMORY_GOAL_MIB} MiB\n", flush=True)


def cell(medians: dict[tuple[str, str], float], who: str, job: str) -> str:
    """Return a time, and ours as a part of it."""
    ours = medians.get(("bocker", job))
    ratio = f"({ours / medians[who, job]:.2f})" if ours is not None else ""
    return f"{medians[who, job]:7.2f} s {ratio:>6}"


if __name__ == "__main__":
    main()

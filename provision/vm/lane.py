#!/usr/bin/python3
"""Runs the system tests in a virtual machine of Debian's packages, with systemd and control groups v2.

    tox run -e vagrant                            the box's own kernel, for as long as SECONDS allow
    tox run -e vagrant -- --kernel trixie         the kernel of another Debian: bullseye, trixie, sid, ...
    tox run -e vagrant -- --seconds 0             without a limit
    tox run -e vagrant -- --prepare               only make what is made once
    tox run -e vagrant -- --table                 and write the counts into docs/virtual-machine.md

Makes the box (`box.sh`, cached), an emulator where one is needed (`qemu.sh`, cached), what has to be made
outside (`made.sh`), and brings the machine up with vagrant and libvirt in namespaces of its own
(`host.sh`). The most telling tests come first, the others in an order that the commit decides; those for
which there was no time are counted as left out. Results lie in .cache/vm/KERNEL as JUnit XML.

The exit code is 0 when no test failed, 4 when the lane is not possible on this machine, else 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from results import TABLE, Row, count

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "provision/vm"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "bocker"
PACKAGES = (
    "vagrant vagrant-libvirt libvirt-daemon-system libvirt-clients dnsmasq-base qemu-utils qemu-system-x86 "
    "extlinux fdisk e2fsprogs mmdebstrap iptables iproute2 rsync openssh-client zstd"
).split()
NOT_POSSIBLE = 4
ROOM_BYTES = 4 << 30
MEMORY_BYTES = 5 << 30  # the machine has 4 GiB
SECONDS = 1200
RESERVE_SECONDS = 220  # to finish the test that runs, skip the others, and destroy the machine
PYTHON = "/usr/bin/python3"
SLOWNESS = 20  # of qemu's emulation, on a machine with other work
FIRST = [  # what is different beside systemd and in version 2 of control groups
    *(f"tests/system/test_{name}.py" for name in "linux_cgroups run exec isolation removal setup".split()),
    *(f"tests/system/test_contracts.py::Test{name}" for name in "Cgroups Processes Namespaces Firewall".split()),
    *(f"tests/system/test_{name}.py" for name in "kernel_facts masquerade linux_host bash_bugs".split()),
]
CONTRACTS = "tests/system/test_contracts.py"
# A machine that goes down while ssh is connected says nothing any more: it has to be asked.
PATIENT = ["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6"]


def main() -> int:
    """Run the lane; return the exit code."""
    options = read_options()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # and take everything away
    if options.inside:
        return inside(Path(options.inside), options)
    CACHE.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    reason = why_not() or prepare(options.kernel)
    if reason:
        print(f"lane: not possible here: {reason}", file=sys.stderr)
        return NOT_POSSIBLE
    tell(started, "the box, the emulator, the packages are there")
    return 0 if options.prepare else outside(options)


def why_not() -> str:
    """Return what this machine lacks, or nothing."""
    memory = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if os.geteuid() != 0:
        return "it needs root"
    if subprocess.call(["unshare", "--net", "--mount", "--pid", "--fork", "true"], stderr=subprocess.DEVNULL):
        return "this root may not make namespaces"
    if shutil.disk_usage(CACHE).free < ROOM_BYTES:
        return f"there are less than {ROOM_BYTES >> 30} GiB of room in {CACHE}"
    if memory and int(memory[1]) << 10 < MEMORY_BYTES:
        return f"there are less than {MEMORY_BYTES >> 30} GiB of memory to be had"
    return ""


def prepare(kernel: str) -> str:
    """Make what is made once; return why that can't be done, or nothing. Who calls has seen the rest."""
    steps = [[str(ROOT / "provision/packages.sh"), *PACKAGES], [str(HERE / "box.sh"), kernel]]
    if not has_virtualisation():
        steps.append([str(HERE / "qemu.sh")])
    for step in steps:
        if subprocess.call(step, stdin=subprocess.DEVNULL):
            return f"{Path(step[0]).name} has failed"
    return ""


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="bookworm", help="the Debian suite that the kernel is of")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"for the tests; 0 is without limit ({SECONDS})")
    parser.add_argument("--limit", type=int, default=0, help="seconds for the whole lane: tests get what is left of it")
    parser.add_argument("--prepare", action="store_true", help="only make what is made once: packages, box, emulator")
    parser.add_argument("--table", action="store_true", help=f"write the counts into docs/{TABLE.name}")
    parser.add_argument("--inside", metavar="DIR", help=argparse.SUPPRESS)
    parser.add_argument("tests", nargs="*", help="as pytest takes them, in place of all system tests")
    return parser.parse_args()


def outside(options: argparse.Namespace) -> int:
    """Make what this working tree needs, then go on beside a libvirtd of our own."""
    started = time.monotonic()
    box = answer(HERE / "box.sh", options.kernel)
    emulator = {} if has_virtualisation() else {"BOCKER_EMULATOR": answer(HERE / "qemu.sh")}
    with tempfile.TemporaryDirectory(prefix="vm-", dir=CACHE) as name:
        work = Path(name)
        make(work / "made")
        tell(started, "the program and the test libraries are made")
        (work / "box").symlink_to(box)
        (work / "state").mkdir()
        command = ["nice", str(HERE / "host.sh"), f"{work}/state", sys.executable, __file__, "--inside", name]
        environment = {**os.environ, **emulator, "BOCKER_LANE_STARTED": str(started)}
        code = subprocess.call([*command, *sys.argv[1:]], env=environment)
    tell(started, "everything is destroyed")
    return code


def make(made: Path) -> None:
    """Make what the machine has no network for."""
    lock = (ROOT / "requirements/run.lock").read_bytes()
    wheels = CACHE / f"wheels-{zlib.crc32(lock):08x}"
    if not wheels.is_dir():
        new = wheels.with_name(f"{wheels.name}.new")
        subprocess.run(["/usr/bin/python3", ROOT / "provision/install.py", "--download", new], check=True)
        new.rename(wheels)
    debian = answer(ROOT / "provision/debian-root.sh")
    subprocess.run([HERE / "made.sh", made, wheels, debian, sysconfig.get_path("purelib")], check=True)
    compile_tests()


def compile_tests() -> None:
    """Have pytest compile the tests; what it keeps in __pycache__ goes into the machine with them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "tests/system"]
    environment = {**os.environ, "BOCKER_SANDBOX": "none", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


def inside(work: Path, options: argparse.Namespace) -> int:
    """Bring the machine up, test in it, bring the results back, destroy it."""
    started = float(os.environ["BOCKER_LANE_STARTED"])
    machine = Machine(work)
    results = ROOT / ".cache/vm" / options.kernel
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    try:
        machine.up(work / "box")
        tell(started, f"the machine is up, by {machine.processor_seconds()} s of processor time")
        kernel = machine.ask("uname -r").strip()
        codes = run_tests(machine, results, options, started)
    finally:
        machine.destroy()
    counts = count(sorted(results.glob("*.xml")))
    broken = [] if counts["failed"] else [f"FAILED {name}: exit code {code}" for name, code in codes.items() if code]
    what = Row(options.kernel, kernel, "v2, systemd", counts, round(time.monotonic() - started), options.tests)
    print("\n".join([*what.report(), *broken]), flush=True)
    if options.table:
        what.write(TABLE)
    return 0 if counts["passed"] and not counts["failed"] and not broken else 1


class Machine:
    """The machine that the Vagrantfile describes."""

    def __init__(self, work: Path) -> None:
        self.ssh = work / "ssh"
        self.environment = {
            **os.environ,
            "VAGRANT_HOME": f"{work}/vagrant",
            "VAGRANT_DOTFILE_PATH": f"{work}/machine",
            "VAGRANT_CWD": str(ROOT),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "BOCKER_BOX": "bocker-of-debian",
            "BOCKER_MADE": f"{work}/made",
        }

    def up(self, box: Path) -> None:
        """Make and provision it, twice: the second time changes nothing."""
        self.vagrant("box", "add", "--name", "bocker-of-debian", str(box))
        self.vagrant("up")
        self.ssh.write_text(answer("vagrant", "ssh-config", environment=self.environment))
        again = self.ask(
            "sudo env BOCKER_MADE=/opt/made sh -c '/vagrant/provision/vm/store.sh && /vagrant/provision/provision.sh'"
        )
        if again.strip():
            raise SystemExit(f"lane: provisioning twice changed something: {again}")

    def reboot(self) -> None:
        """Reboot, and wait until the machine is there again with all that its boot starts."""
        before = self.ask("cat /proc/sys/kernel/random/boot_id")
        self.call("sudo systemctl reboot")
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            done = self.call("cat /proc/sys/kernel/random/boot_id", quiet=True)
            if done.returncode == 0 and done.stdout != before:
                self.call("systemctl is-system-running --wait", quiet=True)  # ssh answers before the units are up
                return
            time.sleep(2)
        raise SystemExit("lane: the machine did not come back")

    def vagrant(self, *words: str) -> None:
        """Run vagrant."""
        subprocess.run(["vagrant", *words], check=True, env=self.environment, stdin=subprocess.DEVNULL)

    def run(self, command: str) -> int:
        """Run a command in the machine, and let be seen what it prints; return its exit code."""
        return subprocess.call(["ssh", "-F", self.ssh, "default", command], stdin=subprocess.DEVNULL)

    def call(self, command: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine to its end."""
        words = ["ssh", "-F", str(self.ssh), *PATIENT, "default", command]
        errors = subprocess.DEVNULL if quiet else None
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
        )

    def ask(self, command: str) -> str:
        """Return what a command says that must succeed."""
        done = self.call(command)
        if done.returncode:
            raise SystemExit(f"lane: {command}: exit code {done.returncode}\n{done.stdout}")
        return done.stdout

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file or directory from the machine."""
        subprocess.run(["rsync", "--archive", "--rsh", f"ssh -F {self.ssh}", f"default:{path}", target], check=True)

    def processor_seconds(self) -> str:
        """Return the processor time that the machine has used: under load it says more than the clock."""
        virsh = ["virsh", "--quiet", "--connect", "qemu:///system"]
        known = answer(*virsh, "dominfo", answer(*virsh, "list", "--name").strip())
        found = re.search(r"CPU time: +([\d.]+)", known)
        return found[1] if found else "?"

    def destroy(self) -> None:
        """End it; what is left ends with its namespaces."""
        subprocess.run(["vagrant", "destroy", "--force"], env=self.environment, stdin=subprocess.DEVNULL, check=False)


def run_tests(machine: Machine, results: Path, options: argparse.Namespace, started: float) -> dict[str, int]:
    """Run the tests with systemd, over a reboot too; then the system tests as `./test` does.

    Returns the exit codes: of a sandbox that had something left it is another one although every test has passed.
    """
    codes = {}
    machine.ask(
        "cd /opt/made && sudo mkdir -p site /opt/results && sudo tar --extract --file site.tar --directory site"
        " && sudo tar --extract --file home/bocker.tar --directory home"
    )
    if not options.tests:
        codes["systemd"] = machine.run(pytest("systemd", "test_systemd.py", "test_before_reboot.py"))
        machine.reboot()
        tell(started, "the machine is up again")
        codes["reboot"] = machine.run(pytest("reboot", "test_after_reboot.py"))
    selection = options.tests or in_order(system_tests(), answer("sh", "-c", f"git -C {ROOT} rev-parse HEAD || date"))
    seconds = options.seconds
    if options.limit:
        left = options.limit - (time.monotonic() - started) - RESERVE_SECONDS
        seconds = max(round(min(seconds or left, left)), 1)
    codes["system"] = machine.run(test("system", selection, seconds))
    tell(started, f"the tests have ended; the machine has used {machine.processor_seconds()} s of processor time")
    machine.ask("sudo chmod -R a+rX /opt/results")
    machine.fetch("/opt/results/", results)
    return codes


def system_tests() -> list[str]:
    """Return the files of the system tests; of the contracts, which are one file, the classes."""
    classes = re.findall(r"^class (Test\w+)", (ROOT / CONTRACTS).read_text(), re.MULTILINE)
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/system").glob("test_*.py")} - {CONTRACTS}
    return [*sorted(files), *(f"{CONTRACTS}::{name}" for name in classes)]


def in_order(tests: Sequence[str], commit: str) -> list[str]:
    """Return the most telling first, then the others as the commit has it: nothing is always the last."""
    others = sorted(set(tests) - set(FIRST), key=lambda name: zlib.crc32(f"{commit} {name}".encode()))
    return [*FIRST, *others]


def pytest(name: str, *files: str) -> str:
    """Return the command line that runs tests in the machine itself."""
    return as_root(name, [PYTHON, "-m", "pytest", *report(name), *(f"tests/vm/{file}" for file in files)])


def test(name: str, selection: Sequence[str], seconds: int) -> str:
    """Return the command line that runs system tests in the machine, in sandboxes side by side."""
    words = ["./test", "--no-install", "--system=only", "--", *report(f"{name}-$BOCKER_TEST_SANDBOX"), *selection]
    return as_root(name, words, BOCKER_TEST_SECONDS=str(seconds))


def report(name: str) -> list[str]:
    """Return how pytest tells of the tests; it puts variables into the name of its file."""
    patience = ["-p", "no:cacheprovider", "--timeout", str(60 * SLOWNESS)]
    return [*patience, "--tb", "short", "--junit-xml", f"/opt/results/{name}.xml"]


def as_root(name: str, words: Sequence[str], **more: str) -> str:
    """Return the command line that runs a program in the machine and leaves what it prints in /opt/results."""
    environment = {
        "BOCKER_TEST_PREFIX": "/opt/made/test-prefix.tar",
        "BOCKER_TEST_SLOWNESS": str(SLOWNESS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "/opt/made/site:/vagrant",
        "XDG_CACHE_HOME": "/opt/made/home",
        **more,
    }
    program = shlex.join(["sudo", "env", *(f"{key}={value}" for key, value in environment.items()), *words])
    return f"set -o pipefail; cd /vagrant && {program} 2>&1 | sudo tee /opt/results/{name}.log"


def has_virtualisation() -> bool:
    """Tell whether the processor has it; /dev/kvm alone says nothing."""
    flags = Path("/proc/cpuinfo").read_text()
    return os.path.exists("/dev/kvm") and re.search(r"\b(svm|vmx)\b", flags) is not None


def answer(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Return what a program prints."""
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment
    )
    return done.stdout.strip()


def tell(started: float, what: str) -> None:
    """Say what is done, and after how long."""
    print(f"vagrant: {time.monotonic() - started:5.0f} s  {what}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"lane: {error}")

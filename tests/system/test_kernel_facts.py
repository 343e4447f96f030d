"""What the real kernel does where no port shows it: rows of docs/kernel-facts.md without a contract."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel, messages, netlink, syscalls
from tests.system import groups
from tests.system.proc_stat import parent_of
from tests.system.waiting import wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
PR_GET_PDEATHSIG = 2
NOBODY = 65_534
NAMESPACE = "netns_facts"
MAC = "02:42:ac:11:00:2d"
PR_SET_CHILD_SUBREAPER = 36
FOR_A_WHILE_S = 0.3


@pytest.fixture
def namespace(kernel: LinuxKernel) -> Iterator[str]:
    kernel.namespaces.create(NAMESPACE)
    yield NAMESPACE
    kernel.namespaces.remove(NAMESPACE)


@pytest.fixture
def group(settings: Settings) -> Iterator[str]:
    path = groups.memory_directory(f"{settings.cgroup_parent}-facts")
    os.mkdir(path)
    yield path
    os.rmdir(path)


def in_a_child(function: Callable[[], int]) -> int:
    """Call a function in a process of its own, as it changes that for good; return the number that it answers."""
    pid = os.fork()
    if pid == 0:
        answer = 255
        try:
            answer = function()
        finally:
            os._exit(answer)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def inside(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the namespace."""
    return subprocess.run(
        ["nsenter", f"--net=/run/netns/{NAMESPACE}", *words], capture_output=True, text=True, check=False
    )


def test_no_fork_into_a_pid_namespace_whose_first_process_ended() -> None:
    """ENOMEM."""

    def fork_twice() -> int:
        syscalls.unshare(syscalls.CLONE_NEWPID)
        first = os.fork()
        if first == 0:
            os._exit(0)
        os.waitpid(first, 0)
        try:
            if os.fork() == 0:
                os._exit(0)
        except OSError as error:
            return error.errno or 0
        return 0

    assert in_a_child(fork_twice) == errno.ENOMEM


def test_a_change_of_user_clears_the_parents_death_signal() -> None:
    """So it is set after."""

    def signal_after_the_change() -> int:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setuid(NOBODY)
        return _death_signal()

    def signal_set_after() -> int:
        os.setuid(NOBODY)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        return _death_signal()

    assert in_a_child(signal_after_the_change) == 0
    assert in_a_child(signal_set_after) == signal.SIGKILL


def _death_signal() -> int:
    number = ctypes.c_int(-1)
    LIBC.prctl(PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    return number.value


def test_an_open_executable_is_busy_before_its_mount_is_read_only(tmp_path: Path) -> None:
    """ETXTBSY while it runs, EROFS when nobody runs it any more: who tests the mount must not see the first."""
    program = tmp_path / "sleep"
    shutil.copy("/bin/sleep", program)
    subprocess.run(["mount", "--bind", program, program], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", program], check=True)
        running = subprocess.Popen([program, "30"])
        busy = _errno_of(lambda: os.open(program, os.O_WRONLY))
        running.kill()
        running.wait()
        assert (busy, _errno_of(lambda: os.open(program, os.O_WRONLY))) == (errno.ETXTBSY, errno.EROFS)
    finally:
        subprocess.run(["umount", program], check=True)


def _errno_of(call: Callable[[], object]) -> int:
    try:
        call()
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.mark.parametrize(("options", "number", "mode"), [("rw", 0, 0o600), ("ro", errno.EROFS, 0o666)])
def test_chmod_through_a_bind_of_a_device_node_changes_the_hosts(
    tmp_path: Path, options: str, number: int, mode: int
) -> None:
    """Unless the bind is read-only; writing to the device works through either."""
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    node, target = tmp_path / "node", tmp_path / "target"
    os.mknod(node, 0o020666, os.makedev(1, 3))
    os.chmod(node, 0o666)
    target.touch()
    subprocess.run(["mount", "--bind", node, target], check=True)
    subprocess.run(["mount", "-o", f"remount,bind,{options}", target], check=True)
    assert _errno_of(lambda: os.chmod(target, 0o600)) == number
    target.write_bytes(b"swallowed")
    assert os.stat(node).st_mode & 0o777 == mode
    subprocess.run(["umount", target, tmp_path], check=True)


def test_a_nameless_file_is_linked_once(tmp_path: Path) -> None:
    """An O_TMPFILE file that lost the only name it ever got can't have another: ENOENT."""
    directory = os.open(tmp_path, os.O_PATH)
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY, 0o600)
    try:
        os.link(f"/proc/self/fd/{fd}", "name", dst_dir_fd=directory)
        os.unlink("name", dir_fd=directory)
        with pytest.raises(FileNotFoundError):
            os.link(f"/proc/self/fd/{fd}", "again", dst_dir_fd=directory)
    finally:
        os.close(fd)
        os.close(directory)


def test_a_buffered_write_hides_the_refusal_until_it_is_closed(group: str) -> None:
    """Python's own `open`; os.write is told at once."""
    file = open(f"{group}/{groups.MEMORY_LIMIT}", "w")  # noqa: SIM115 - its close is what is looked at
    file.write("garbage")
    with pytest.raises(OSError) as late:
        file.close()
    assert late.value.errno == errno.EINVAL
    fd = os.open(f"{group}/{groups.MEMORY_LIMIT}", os.O_WRONLY)
    with pytest.raises(OSError) as at_once:
        os.write(fd, b"garbage")
    os.close(fd)
    assert at_once.value.errno == errno.EINVAL


def test_memory_and_swap_may_not_be_below_memory(group: str) -> None:
    """EINVAL when the sum is written first."""
    if not os.path.exists(f"{group}/memory.memsw.limit_in_bytes"):
        pytest.skip("a file of version 1 of control groups, where swap is counted")
    fd = os.open(f"{group}/memory.memsw.limit_in_bytes", os.O_WRONLY)
    with pytest.raises(OSError) as refused:
        os.write(fd, b"20000000")
    os.close(fd)
    assert refused.value.errno == errno.EINVAL


def test_a_control_file_is_not_made(group: str) -> None:
    """A file that the kernel has not is ENOENT; asked for with O_CREAT, as Python's `open` does, it is EACCES."""
    for flags, number in ((os.O_WRONLY, errno.ENOENT), (os.O_WRONLY | os.O_CREAT, errno.EACCES)):
        with pytest.raises(OSError) as refused:
            os.open(f"{group}/memory.nothing", flags)
        assert refused.value.errno in {number, errno.EPERM}


def test_an_alternative_name_in_the_creating_message_is_ignored(kernel: LinuxKernel, namespace: str) -> None:
    """Without a word; a message of its own sets it (test_messages.py)."""
    names = messages._attribute(messages._IFLA_ALT_IFNAME, b"ignored\0")
    properties = messages._attribute(messages._IFLA_PROP_LIST | messages._NESTED, names)
    message = messages.create_veth("veth_facts", "veth_peer", MAC, 0, None)
    opened = netlink.open_socket()
    netlink.exchange(opened.fileno(), _longer(message, properties))
    opened.close()
    try:
        shown = subprocess.run(["ip", "link", "show", "veth_facts"], capture_output=True, text=True, check=True).stdout
        assert "ignored" not in shown
    finally:
        kernel.network.delete("veth_facts")


def _longer(message: bytes, attributes: bytes) -> bytes:
    """A netlink message begins with its length."""
    return (len(message) + len(attributes)).to_bytes(4, sys.byteorder) + message[4:] + attributes


def test_a_bridge_without_a_mac_of_its_own_takes_the_lowest_of_its_links(namespace: str) -> None:
    """And another when that link goes."""
    macs = []
    for words in (
        "link add br0 type bridge",
        "link add low address 02:00:00:00:00:01 type veth peer name low_peer",
        "link set low master br0",
        "link del low",
    ):
        assert inside("ip", *words.split()).returncode == 0
        macs.append(_mac_of("br0"))
    *_, with_the_link, without = macs
    assert with_the_link == "02:00:00:00:00:01"
    assert without != with_the_link


def _mac_of(link: str) -> str:
    return inside("ip", "-o", "link", "show", link).stdout.partition("link/ether ")[2].split()[0]


def test_the_mac_of_a_link_that_is_up_can_be_changed(namespace: str) -> None:
    """But to no address of a group."""
    for words in (
        "link add d0 type veth peer name d0_peer",
        "link set d0 up",
        "link set d0_peer up",
        f"link set d0 address {MAC}",
    ):
        assert inside("ip", *words.split()).returncode == 0
    assert _mac_of("d0") == MAC
    assert inside("ip", "link", "set", "d0", "address", "03:00:00:00:00:01").returncode != 0


def test_a_link_on_its_bridge_is_put_there_again_without_a_word(namespace: str) -> None:
    """A bridge on itself is refused, and one on what is no bridge."""
    for words in (
        "link add br0 type bridge",
        "link add d0 type veth peer name d0_peer",
        "link add d1 type veth peer name d1_peer",
    ):
        assert inside("ip", *words.split()).returncode == 0
    for _ in range(2):
        assert inside("ip", "link", "set", "d0", "master", "br0").returncode == 0
    assert inside("ip", "link", "set", "br0", "master", "br0").returncode != 0
    assert inside("ip", "link", "set", "d1", "master", "d0").returncode != 0


def test_a_default_route_is_deleted_once(namespace: str) -> None:
    """ESRCH the second time."""
    words = (
        "link add d0 type veth peer name d0_peer",
        "addr add 10.1.0.2/24 dev d0",
        "link set d0 up",
        "link set d0_peer up",
        "route add default via 10.1.0.1",
    )
    for line in words:
        assert inside("ip", *line.split()).returncode == 0
    assert inside("ip", "route", "del", "default").returncode == 0
    assert "No such process" in inside("ip", "route", "del", "default").stderr


def test_packets_are_forwarded_whatever_the_setting_is_but_zero(namespace: str) -> None:
    """The kernel keeps the number that was written; each but 0 is on."""
    for words in ("link add d0 type bridge", "link add d1 type bridge", "link set d0 up", "link set d1 up"):
        assert inside("ip", *words.split()).returncode == 0
    for words in ("addr add 10.1.0.1/24 dev d0", "addr add 10.2.0.1/24 dev d1"):
        assert inside("ip", *words.split()).returncode == 0
    for value, forwarded in (("0", False), ("1", True), ("2", True), ("-1", True)):
        assert inside("sysctl", "-q", "-w", f"net.ipv4.ip_forward={value}").returncode == 0
        route = inside("ip", "route", "get", "10.2.0.5", "from", "10.1.0.5", "iif", "d0")
        assert (route.returncode == 0) is forwarded


def test_a_bind_mount_pins_a_namespace_after_its_process(kernel: LinuxKernel, settings: Settings) -> None:
    """And the link in it, which a symbolic link would let go."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "30"])
    path = f"{settings.namespaces}/{NAMESPACE}"
    wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
    Path(path).touch()
    subprocess.run(["mount", "--bind", f"/proc/{holder.pid}/ns/net", path], check=True)
    subprocess.run(
        ["ip", "link", "add", "veth_facts", "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE], check=True
    )
    holder.kill()
    holder.wait()
    time.sleep(0.1)
    try:
        assert "eth0" in inside("ip", "link").stdout
        assert kernel.network.link("veth_facts")
    finally:
        kernel.network.delete("veth_facts")
        subprocess.run(["umount", path], check=True)
        os.unlink(path)


def test_nft_tells_a_missing_table_by_its_words_only(namespace: str) -> None:
    """Exit code 1, as for every other mistake."""
    missing = inside("nft", "delete", "table", "ip", "nothing")
    mistake = inside("nft", "no such command")
    assert missing.returncode == mistake.returncode == 1
    assert "No such file" in missing.stderr


def test_a_zombie_that_nobody_reaps_keeps_its_first_process_from_dying() -> None:
    """What entered a PID namespace goes, when its parent was killed, to the init outside: that one has to reap it."""
    assert in_a_child(_first_process_waits_for_the_zombie) == 0


def _first_process_waits_for_the_zombie() -> int:
    """Play the init of the outer namespace; answer 0 when all is as the table says."""
    syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1)
    outside = os.pidfd_open(os.getpid())
    syscalls.unshare(syscalls.CLONE_NEWPID)
    first = os.fork()
    if first == 0:
        signal.pause()
    syscalls.setns(outside, syscalls.CLONE_NEWPID)
    member = _left_by_a_killed_engine(first)
    if parent_of(member) != os.getpid():
        return 1
    os.kill(member, signal.SIGKILL)
    os.kill(first, signal.SIGKILL)
    time.sleep(FOR_A_WHILE_S)
    if os.waitpid(first, os.WNOHANG) != (0, 0):
        return 2
    os.waitpid(member, 0)
    return 0 if os.waitpid(first, 0)[1] == signal.SIGKILL else 3


def _left_by_a_killed_engine(first: int) -> int:
    """Return the pid of a process inside, whose parent outside is gone."""
    reader, writer = os.pipe()
    engine = os.fork()
    if engine == 0:
        syscalls.setns(os.pidfd_open(first), syscalls.CLONE_NEWPID)
        member = os.fork()
        if member == 0:
            signal.pause()
        os.write(writer, str(member).encode())
        os._exit(0)
    os.waitpid(engine, 0)
    return int(os.read(reader, 20))

"""The plan of a container is data, so what it grants can be read off it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.core.addresses import AddressPlan, parse_interface
from bocker.core.ids import ContainerId
from bocker.core.limits import Limits
from bocker.core.settings import Settings
from bocker.core.spec import ContainerSpec, Mount
from bocker.engine import plan
from bocker.engine.program import Program
from bocker.kernel.cgroups import Layout
from tests.strategies import WORDS
from tests.unit.engine.bench import Bench

V1 = Layout(1, ("cpu", "memory", "pids", "devices"), True, ("cpu", "memory", "pids", "devices"))
JOINED = V1.replace(hierarchies=("cpu,cpuacct", "cpuset,memory,pids", "devices"))
V2 = Layout(2, ("cpu", "memory", "pids"), True)
PS = ContainerId(42045)
LAYOUTS = pytest.mark.parametrize("layout", [V1, JOINED, V2], ids=["v1", "joined", "v2"])


def spec(layout: Layout = V1, words: tuple[str, ...] = ("/bin/true",), resolv_conf: bytes = b"") -> ContainerSpec:
    host = plan.HostView(layout, 2, resolv_conf)
    addressing = AddressPlan(parse_interface("10.0.0.1/24"))
    return plan.container_spec(Settings(), PS, Program(words), addressing, Limits(), host)


def mount_at(target: str, layout: Layout = V1) -> Mount:
    (found,) = [mount for mount in spec(layout).mounts if mount.target == target]
    return found


def test_W1_W2_the_link_has_the_address_and_the_mac_of_its_id() -> None:
    network = spec().network
    assert (network.address, network.prefix_length, network.gateway) == (0x0A00002D, 24, 0x0A000001)
    assert (network.mac, network.host_link, network.alias) == ("02:42:ac:11:00:2d", "veth0_ps_42045", "veth1_ps_42045")
    assert (network.interface, network.bridge) == ("eth0", "bridge0")


def test_the_root_is_the_subvolume_itself() -> None:
    assert (spec().root, spec().name, spec().group) == ("/var/bocker/ps_42045", "ps_42045", "ps_42045")


def test_W20_the_host_name_is_the_containers_and_a_valid_one() -> None:
    assert spec().hostname == "ps-42045"


@given(WORDS)
def test_W8_the_words_are_the_programs_words(words: tuple[str, ...]) -> None:
    assert spec(words=words).process.args == words


def test_S15_the_environment_is_clean() -> None:
    assert spec().process.env == (
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=ps-42045",
        "HOME=/root",
    )


def test_S2_the_rights_are_dockers_and_no_more() -> None:
    bits = {
        "CHOWN": 0,
        "DAC_OVERRIDE": 1,
        "FOWNER": 3,
        "FSETID": 4,
        "KILL": 5,
        "SETGID": 6,
        "SETUID": 7,
        "SETPCAP": 8,
        "NET_BIND_SERVICE": 10,
        "NET_RAW": 13,
        "SYS_CHROOT": 18,
        "MKNOD": 27,
        "AUDIT_WRITE": 29,
        "SETFCAP": 31,
    }
    assert sum(1 << bits[name] for name in spec().process.capabilities) == 0xA80425FB
    assert spec().process.no_new_privileges


def test_root_is_in_the_groups_that_the_image_says() -> None:
    assert (spec().process.groups, spec().process.groups_from_image) == ((0,), True)


def test_S3_without_device_rules_no_device_is_made() -> None:
    assert "MKNOD" not in spec(V2).process.capabilities
    assert len(spec(V2).process.capabilities) == 13


def test_S3_the_device_rules_are_dockers() -> None:
    assert [str(rule) for rule in spec().device_rules] == [
        "b *:* m", "c *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm",
        "c 5:1 rwm", "c 5:2 rwm", "c 10:200 rwm", "c 136:* rwm",
    ]  # fmt: skip


def test_W17_dev_holds_what_programs_expect() -> None:
    assert {device.path for device in spec().devices} == {
        f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")
    }
    assert dict(spec().links)["/dev/ptmx"] == "pts/ptmx"
    assert {path for path, _ in spec().links} >= {"/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"}
    assert mount_at("/dev/shm").data == "mode=1777,size=65536k"
    assert "newinstance" in mount_at("/dev/pts").data


@LAYOUTS
def test_S14_every_writable_mount_is_without_devices_and_setuid(layout: Layout) -> None:
    for mount in spec(layout).mounts:
        assert "nosuid" in mount.flags
        assert "nodev" in mount.flags or mount.kind == "devpts"


@LAYOUTS
def test_S4_S5_control_groups_are_seen_and_not_changed(layout: Layout) -> None:
    groups = [mount for mount in spec(layout).mounts if mount.target.startswith("/sys/fs/cgroup")]
    hierarchies = [mount for mount in groups if mount.kind.startswith("cgroup")]
    assert hierarchies
    assert all("ro" in mount.flags for mount in hierarchies)
    assert "ro" in groups[0].flags or "/sys/fs/cgroup" in spec(layout).readonly_paths
    assert "ro" in mount_at("/sys", layout).flags


@pytest.mark.parametrize("layout", [V1, JOINED], ids=["v1", "joined"])
def test_a_hierarchy_is_mounted_whole_as_the_kernel_refuses_a_part_of_it(layout: Layout) -> None:
    mounts = [mount for mount in spec(layout).mounts if mount.kind == "cgroup"]
    assert [mount.data for mount in mounts] == list(layout.hierarchies)
    assert [mount.target for mount in mounts] == [f"/sys/fs/cgroup/{name}" for name in layout.hierarchies]


def test_each_controller_of_a_joined_hierarchy_is_found_by_its_name() -> None:
    assert set(spec(JOINED).links) - set(spec(V1).links) == {
        ("/sys/fs/cgroup/cpu", "cpu,cpuacct"),
        ("/sys/fs/cgroup/cpuacct", "cpu,cpuacct"),
        ("/sys/fs/cgroup/cpuset", "cpuset,memory,pids"),
        ("/sys/fs/cgroup/memory", "cpuset,memory,pids"),
        ("/sys/fs/cgroup/pids", "cpuset,memory,pids"),
    }
    assert not [path for path, _ in (*spec(V1).links, *spec(V2).links) if path.startswith("/sys")]


def test_a_container_runs_where_hierarchies_are_joined() -> None:
    bench = Bench(hierarchies=JOINED.hierarchies)
    bench.add_image(tag="base")
    assert bench.run("true").code == 0


def test_S6_S7_the_kernels_own_files_are_masked_or_read_only() -> None:
    assert set(spec().readonly_paths) >= {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
    assert set(spec().masked_paths) >= {"/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware", "/proc/interrupts"}
    assert "/sys/devices/system/cpu/cpu1/thermal_throttle" in spec().masked_paths


def test_S21_S22_the_limits_are_in_the_plan_and_bound_processes() -> None:
    assert spec().limits == Limits()
    assert spec().limits.pids == 2048


def test_S8_the_containers_files_are_laid_over_the_images() -> None:
    files = {file.target: file.content for file in spec(resolv_conf=b"nameserver 192.0.2.1\n").files}
    assert files["/etc/hostname"] == b"ps-42045\n"
    assert b"10.0.0.45\tps-42045\n" in files["/etc/hosts"]
    assert files["/etc/hosts"].startswith(b"127.0.0.1\tlocalhost\n")
    assert files["/etc/resolv.conf"] == b"nameserver 192.0.2.1\n"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"", b"nameserver 8.8.8.8\n"),
        (b"nameserver 127.0.0.53\n", b"nameserver 8.8.8.8\n"),
        (b"nameserver ::1\nnameserver 192.0.2.1\n", b"nameserver 192.0.2.1\n"),
        (
            b"# c\nsearch a b\noptions edns0\nnameserver 192.0.2.1\n",
            b"search a b\noptions edns0\nnameserver 192.0.2.1\n",
        ),
        (b"search a\nnameserver 127.0.0.1\n", b"search a\nnameserver 8.8.8.8\n"),
        (b"nameserver\n\xff\n", b"nameserver 8.8.8.8\n"),
    ],
)
def test_name_servers_that_only_the_host_can_reach_are_left_out(host: bytes, expected: bytes) -> None:
    assert plan.resolver_settings(host) == expected


@given(st.binary(max_size=200))
def test_any_resolv_conf_gives_one_with_a_name_server(host: bytes) -> None:
    assert b"nameserver " in plan.resolver_settings(host)


def test_S20_exec_has_the_rights_and_the_group_of_the_first_program() -> None:
    further = plan.exec_spec(PS, Program(("/bin/true",)), V1, False)
    assert (further.group, further.name) == (spec().group, spec().name)
    assert further.process == spec().process


def test_low_ports_and_ping_are_for_every_user_as_with_docker() -> None:
    assert dict(spec().sysctls) == {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
    }


def test_etc_hosts_has_dockers_names() -> None:
    (hosts,) = [file.content.decode() for file in spec().files if file.target == "/etc/hosts"]
    assert [line.split() for line in hosts.splitlines()] == [
        ["127.0.0.1", "localhost"],
        ["::1", "localhost", "ip6-localhost", "ip6-loopback"],
        ["fe00::0", "ip6-localnet"],
        ["ff00::0", "ip6-mcastprefix"],
        ["ff02::1", "ip6-allnodes"],
        ["ff02::2", "ip6-allrouters"],
        ["10.0.0.45", "ps-42045"],
    ]


@pytest.mark.parametrize("keyword", ["search a b", "domain a", "options edns0", "sortlist 10.0.0.0"])
def test_what_else_says_how_to_resolve_names_stays(keyword: str) -> None:
    text = f"lookup file bind\n{keyword}\nnameserver\t192.0.2.1\n"
    assert plan.resolver_settings(text.encode()).decode().splitlines() == [keyword, "nameserver\t192.0.2.1"]


@pytest.mark.parametrize("server", ["127.0.0.1", "127.0.1.1", "::1", "::1%lo", "0.0.0.0", ""])
def test_a_name_server_on_the_host_itself_is_none_for_a_container(server: str) -> None:
    assert plan.resolver_settings(f"nameserver {server}\n".encode()) == b"nameserver 8.8.8.8\n"


@pytest.mark.parametrize("server", ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "12.7.0.1"])
def test_any_other_name_server_is_one(server: str) -> None:
    assert plan.resolver_settings(f"nameserver {server}\n".encode()) == f"nameserver {server}\n".encode()


def test_a_tmpfs_holds_the_hierarchies_and_is_closed_when_they_are_in_it() -> None:
    tmpfs = mount_at("/sys/fs/cgroup", V1)
    assert (tmpfs.kind, tmpfs.data) == ("tmpfs", "mode=755,size=64k")
    assert spec(V1).readonly_paths == (*spec(V2).readonly_paths, "/sys/fs/cgroup")
    assert "/sys/fs/cgroup" not in spec(V2).readonly_paths


def test_a_hierarchy_that_can_not_be_seen_is_left_out_and_the_tree_of_version_2_is_not() -> None:
    assert {mount.optional for mount in spec(V1).mounts if mount.kind == "cgroup"} == {True}
    assert not mount_at("/sys/fs/cgroup", V2).optional


def test_the_heat_of_each_processor_is_masked_and_of_no_other() -> None:
    masked = [path for path in spec().masked_paths if "thermal" in path]
    assert masked == [f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in (0, 1)]

"""What a container can't do. Run as its root, by the installed program, on the real kernel."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.system import groups as control_groups
from tests.system.waiting import wait_until

DOCKERS_CAPABILITIES = 0xA80425FB


def shell(bocker, image, script, **options):
    """Run a script by the image's shell and return what it wrote."""
    return bocker("run", "--rm", image, "/bin/sh", "-c", script, **options)


def status_field(text: str, name: str) -> str:
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(name + ":"))


def test_S2_capabilities_are_dockers_and_no_new_privileges_is_set(bocker, image):
    """The bounding, permitted and effective sets are docker's fourteen; nothing is inherited."""
    text = shell(bocker, image, "cat /proc/self/status").out
    assert int(status_field(text, "CapBnd"), 16) == DOCKERS_CAPABILITIES
    assert int(status_field(text, "CapEff"), 16) == DOCKERS_CAPABILITIES
    assert int(status_field(text, "CapPrm"), 16) == DOCKERS_CAPABILITIES
    assert int(status_field(text, "CapInh"), 16) == 0
    assert int(status_field(text, "CapAmb"), 16) == 0
    assert status_field(text, "NoNewPrivs") == "1"


def test_S2_exec_has_no_more_than_the_first_process(bocker, image, running):
    """A process of `exec` has the same capabilities, namespaces and groups as pid 1."""
    name = running(image)
    own = bocker("exec", name, "/bin/cat", "/proc/self/status").out
    for field in ("CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs"):
        first = bocker("exec", name, "/bin/cat", "/proc/1/status").out
        assert status_field(own, field) == status_field(first, field), field
    script = (
        "for n in net mnt uts ipc pid cgroup; do "
        "[ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo $n; done"
    )
    assert bocker("exec", name, "/bin/sh", "-c", script).out == ""
    assert (
        bocker("exec", name, "/bin/sh", "-c", "cat /proc/self/cgroup").out
        == bocker("exec", name, "/bin/sh", "-c", "cat /proc/1/cgroup").out
    )


def test_S1_the_classic_chroot_escape_stays_inside(bocker, image, tmp_path):
    """chroot into a folder and walk up: the walk ends at the container's own root."""
    secret = f"host-{os.getpid()}"
    script = (
        "mkdir -p /jail; cat > /escape.sh <<'EOF'\n"
        "cd ../../../../../../../../; ls -d etc/host-secret var/bocker 2>/dev/null; cat etc/hostname\n"
        "EOF\n"
        "exec 9</; chroot /jail /bin/true 2>/dev/null; cd /jail; sh /escape.sh"
    )
    result = shell(bocker, image, script)
    assert "var/bocker" not in result.out
    assert secret not in result.out


def test_S1_the_old_root_is_not_mounted_anywhere(bocker, image):
    """No mount in the container shows the host's root or the store."""
    mounts = shell(bocker, image, "cat /proc/self/mountinfo").out
    roots = [line.split()[4] for line in mounts.splitlines()]
    assert roots.count("/") == 1
    assert not any(root.startswith("/var/bocker") for root in roots)


def test_S3_a_node_for_the_hosts_disk_can_not_be_used(bocker, image):
    """mknod may work, as in docker; opening what it made does not."""
    result = shell(
        bocker,
        image,
        "mknod /disk b 254 0; dd if=/disk of=/dev/null bs=512 count=1; "
        "mknod /dev/disk b 254 0; dd if=/dev/disk of=/dev/null count=1",
    )
    assert result.code != 0
    assert "copied" not in result.err.replace("0+0 records", "")


def test_S3_S4_S5_mounting_is_refused(bocker, image):
    """No mount right: not of a disk, a control group, nor a tmpfs."""
    script = (
        "mkdir -p /m; for t in tmpfs proc cgroup cgroup2 sysfs; do mount -t $t none /m && echo mounted $t; done; "
        "mount -o remount,rw /sys && echo remounted; umount /proc && echo unmounted"
    )
    assert shell(bocker, image, script).out == ""


def test_S4_S5_control_groups_are_read_only(bocker, image):
    """Neither release_agent nor the container's own limits can be written."""
    script = (
        "find /sys/fs/cgroup -name release_agent -o -name memory.limit_in_bytes -o -name memory.max -o -name tasks "
        "-o -name cgroup.procs | while read f; do (echo 1 > $f) 2>/dev/null && echo wrote $f; done; "
        "mkdir /sys/fs/cgroup/x 2>/dev/null && echo made; true"
    )
    assert shell(bocker, image, script).out == ""


def test_root_is_in_the_groups_that_the_image_says(bocker, make_image, running, busybox_root, tmp_path):
    """As in docker, of `exec` as well; a FIFO in the file's place keeps us not waiting."""
    root = tmp_path / "root"
    subprocess.run(("cp", "--archive", busybox_root, root), check=True)
    (root / "etc/group").write_text("root:x:0:\nwheel:x:10:daemon,root\naudio:x:29:daemon\n")
    image = make_image(root)
    assert bocker("run", "--rm", image, "/bin/probe", "groups").out == "0 10\n"
    assert bocker("exec", running(image), "/bin/probe", "groups").out == "0 10\n"
    (root / "etc/group").unlink()
    os.mkfifo(root / "etc/group")
    assert bocker("run", "--rm", make_image(root), "/bin/probe", "groups").out == "0\n"


def test_S5_the_container_sees_itself_as_the_root_of_its_groups(bocker, image):
    """The cgroup namespace hides where the group lies, and all other groups."""
    groups = shell(bocker, image, "cat /proc/self/cgroup").out
    unified = {""} if control_groups.VERSION == 2 else set()
    controllers = {*control_groups.CONTROLLERS, *unified}
    limited = [line for line in groups.splitlines() if line.split(":")[1] in controllers]
    assert limited
    assert {line.split(":")[2] for line in limited} == {"/"}
    assert "ps_4" not in shell(bocker, image, "find /sys/fs/cgroup").out


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/drop_caches",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/mm/ksm/run",
    ],
)
def test_S6_kernel_settings_are_read_only(bocker, image, path):
    """docker's read-only paths, and all of /sys."""
    result = shell(bocker, image, f"[ -e {path} ] || exit 0; echo 1 > {path}; echo wrote")
    assert "wrote" not in result.out or "ead-only" in result.err or "denied" in result.err
    assert shell(bocker, image, f"(: > {path}) 2>/dev/null && echo opened").out == ""


@pytest.mark.parametrize("path", ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"])
def test_S6_masked_files_are_empty(bocker, image, path):
    """docker's masked paths answer as /dev/null does."""
    assert shell(bocker, image, f"[ -e {path} ] || exit 0; head -c 100 {path}").out == ""


def test_S6_masked_directories_are_empty(bocker, image):
    """/sys/firmware and the others hold nothing, and nothing can be put there."""
    script = (
        "for d in /sys/firmware /proc/acpi /proc/scsi /proc/asound /sys/devices/virtual/powercap; do "
        "[ -d $d ] && ls -A $d; (: > $d/x) 2>/dev/null && echo wrote $d; done; true"
    )
    assert shell(bocker, image, script).out == ""


def test_S7_the_hosts_kernel_log_is_out_of_reach(bocker, image):
    """No CAP_SYSLOG, and no /dev/kmsg."""
    result = shell(bocker, image, "dmesg; ls /dev/kmsg")
    assert result.out == ""
    assert result.code != 0


def test_dev_is_what_docker_has_and_nothing_more(bocker, image):
    """Six devices, the pseudo terminals, shared memory, message queues and the links."""
    found = shell(bocker, image, "ls /dev").out.split()
    assert sorted(found) == sorted(
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split()
    )
    assert shell(
        bocker, image, "echo x > /dev/null && head -c 3 /dev/zero | od -An -tx1 && echo y > /dev/full"
    ).out.split() == ["00", "00", "00"]


def test_the_hosts_devices_keep_their_modes(bocker, image):
    """A container's root owns the node's inode; the read-only bind keeps it from changing the host's."""
    before = os.stat("/dev/null")
    try:
        result = shell(
            bocker, image, "chmod 0 /dev/null; chown 1:1 /dev/null; chmod 0 /proc/self/fd/0; touch /dev/zero; true"
        )
        after = os.stat("/dev/null")
    finally:  # it is the machine's own, also where the bug is planted
        os.chown("/dev/null", before.st_uid, before.st_gid)
        os.chmod("/dev/null", stat.S_IMODE(before.st_mode))
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert "ead-only" in result.err


def test_every_writable_mount_is_nodev(bocker, image):
    """Apart from the pseudo terminals, which can't hold any other node."""
    text = shell(bocker, image, "cat /proc/self/mountinfo").out
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        options, kind = fields.split()[5].split(","), rest.split()[0]
        if "rw" in options and kind != "devpts":
            assert "nodev" in options, line


def test_S8_the_images_links_are_not_followed(bocker, make_image, tmp_path):
    """An image whose /etc/resolv.conf, or /etc, leads to the host's files."""
    victim = tmp_path / "resolv.conf"
    victim.write_text("the host's own")
    for shape in ("file", "directory"):
        tree = tmp_path / shape
        busybox_tree(tree)
        if shape == "file":
            (tree / "etc").mkdir()
            (tree / "etc/resolv.conf").symlink_to(victim)
        else:
            (tree / "etc").symlink_to(tmp_path)
        image = make_image(tree)
        result = bocker("run", "--rm", image, "/bin/true")
        assert victim.read_text() == "the host's own"
        assert result.code == 0, result.err


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_link_in_place_of_a_mount_point_is_refused(bocker, make_image, tmp_path, name):
    """/proc, /sys or /dev as a symbolic link: one clear error, and the host is not touched."""
    tree = tmp_path / "tree"
    busybox_tree(tree)
    (tree / name).symlink_to("/etc")
    result = bocker("run", "--rm", make_image(tree), "/bin/true")
    assert result.code == 125
    assert f"/{name}" in result.err
    assert "Traceback" not in result.err


def test_S9_S10_S12_old_state_files_in_the_root_mean_nothing(bocker, make_image, tmp_path):
    """Links and FIFOs named like the original's state files are neither read nor written."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    tree = tmp_path / "tree"
    busybox_tree(tree)
    for number in range(42002, 42010):
        (tree / f"ps_{number}.log").symlink_to(victim)
        os.mkfifo(tree / f"ps_{number}.cmd")
    (tree / "img.source").symlink_to("/etc/shadow")
    image = make_image(tree)
    name = "s9-test"
    assert bocker("run", "--name", name, image, "/bin/echo", "hello").out == "hello\n"
    assert victim.read_text() == "untouched"
    assert "root:" not in bocker("images").out
    assert "hello" not in bocker("ps").out.replace("/bin/echo hello", "")
    assert bocker("logs", name).out == "hello\n"
    bocker("rm", name)


def test_the_root_file_system_is_without_setuid_programs_and_devices_by_itself(bocker, image, settings):
    """Whatever the store's own mount allows: a person may have mounted it without these."""
    subprocess.run(["mount", "-o", "remount,bind,suid,dev", settings.store], check=True)
    try:
        text = shell(bocker, image, "cat /proc/self/mountinfo").out
    finally:
        subprocess.run(["mount", "-o", "remount,bind,nosuid,nodev", settings.store], check=True)
    (options,) = (line.split()[5].split(",") for line in text.splitlines() if line.split()[4] == "/")
    assert {"nosuid", "nodev"}.issubset(options)


def test_a_containers_mounts_stay_inside_where_the_hosts_are_shared(bocker, image, start, settings):
    """As they are on any host with systemd: what is mounted in a child would be seen by all of them."""
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    try:
        before = Path("/proc/self/mountinfo").read_text()
        engine = start("run", "--rm", image, "/bin/sleep", "62.5")
        wait_until(lambda: sleeping("62.5"))
        during = Path("/proc/self/mountinfo").read_text()
        engine.send_signal(signal.SIGTERM)
        engine.send_signal(signal.SIGTERM)
        engine.send_signal(signal.SIGTERM)
        engine.wait()
    finally:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    assert during == before


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_no_descriptor_leads_the_working_directory_out(bocker, image, running, verb):
    """CVE-2024-21626: a directory that the caller left open, by the kernel's own link to it."""
    name = running(image)
    directory = os.open("/", os.O_RDONLY)
    os.set_inheritable(directory, True)
    place = f"/proc/self/fd/{directory}"
    words = ("run", "--rm", "-w", place, image) if verb == "run" else ("exec", "-w", place, name)
    try:
        result = bocker(*words, "/bin/ls", pass_fds=(directory,))
    finally:
        os.close(directory)
    assert result.code != 0
    assert result.out == ""


def test_S15_the_callers_environment_stays_outside(bocker, image):
    """PATH, HOME and HOSTNAME, and nothing of the caller's."""
    result = bocker("run", "--rm", image, "/bin/busybox", "env", environment={"SECRET_TOKEN": "x", "LD_PRELOAD": ""})
    assert sorted(line.split("=")[0] for line in result.out.splitlines()) == ["HOME", "HOSTNAME", "PATH"]


def test_S16_no_descriptor_of_ours_or_the_callers_is_inherited(bocker, image):
    """An open directory of the caller's would be a way out."""
    directory = os.open("/", os.O_RDONLY)
    os.set_inheritable(directory, True)
    try:
        result = bocker("run", "--rm", image, "/bin/ls", "/proc/self/fd", pass_fds=(directory,))
    finally:
        os.close(directory)
    assert set(result.out.split()) - {"3"} == {"0", "1", "2"}  # 3 is the directory that ls reads


def test_a_host_file_as_standard_input_can_not_be_opened_for_writing(bocker, image, tmp_path):
    """0, 1 and 2 are pipes of the engine's: /proc/self/fd/0 leads to no file of the host."""
    victim = tmp_path / "input"
    victim.write_text("untouched")
    with victim.open() as stream:
        bocker("run", "--rm", "-i", image, "/bin/sh", "-c", "echo overwritten > /proc/self/fd/0; cat", stdin=stream)
    assert victim.read_text() == "untouched"


def test_S20_exec_is_inside_the_memory_limit(bocker, image, running):
    """What `exec` allocates counts for the container."""
    name = running(image, "--memory", "20m")
    result = bocker("exec", name, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=50M", "count=1")
    assert result.code == 137


def test_S21_processes_are_limited(bocker, image):
    """A fork bomb meets the limit; the host does not."""
    script = "i=0; while [ $i -lt 60 ]; do /bin/busybox sleep 20 & i=$((i+1)); done; echo all"
    result = bocker("run", "--rm", "--pids-limit", "20", image, "/bin/sh", "-c", script)
    assert "all" not in result.out
    assert "fork" in result.err


def test_S14_the_store_is_closed_to_other_users(settings):
    """0700, and mounted nosuid,nodev: a setuid file in a container gives nobody root on the host."""
    assert os.stat(settings.store).st_mode & 0o777 == 0o700
    mountinfo = Path("/proc/self/mountinfo").read_text().splitlines()
    line = [line for line in mountinfo if line.split()[4] == settings.store][-1]
    assert {"nosuid", "nodev"} <= set(line.split()[5].split(","))


def test_S19_records_and_logs_are_for_root_only(bocker, image, settings):
    """Commands and output hold secrets."""
    bocker("run", "--name", "s19", image, "/bin/echo", "secret")
    for folder, _, files in os.walk(f"{settings.store}/.meta"):
        assert os.stat(folder).st_mode & 0o077 == 0
        for name in files:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0
    bocker("rm", "s19")


# A hostile image against the interpreter (measured.md, fact 1).


def test_the_image_can_not_make_the_engine_run_its_python(bocker, make_image, tmp_path):
    """Modules of the image under every name that Python could look up after entering the root."""
    tree = tmp_path / "tree"
    busybox_tree(tree)
    payload = "import os\nos.write(2, b'HOSTILE CODE RAN')\nopen('/hostile', 'w').write('x')\n"
    for folder in ("usr/lib/python3.11", "usr/lib/python3.11/encodings", "usr/local/lib/bocker/site", ".", "bocker"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
        for module in (
            "idna ascii latin_1 pwd grp traceback linecache json re signal socket __init__ sitecustomize locale".split()
        ):
            (tree / folder / f"{module}.py").write_text(payload)
    image = make_image(tree)
    for words in (["/bin/true"], ["/missing"], ["/etc"], ["caf\udce9"], ["/bin/echo", "\udcff"]):
        result = bocker("run", "--rm", image, *words)
        assert "HOSTILE" not in result.err + result.out
        assert "Traceback" not in result.err


@pytest.mark.parametrize("shape", ["direct", "shebang"])
def test_the_interpreter_can_not_be_overwritten_through_proc_self_exe(bocker, image, prefix, shape):
    """A program started as /proc/self/exe meets a read-only file, also after the engine was killed."""
    interpreter = f"{prefix}/bin/python3"
    before = Path(interpreter).read_bytes()
    code = (
        "import os,time\n"
        "time.sleep(1)\n"
        "fd=os.open('/proc/self/exe',os.O_RDONLY)\n"
        "try:\n os.open('/proc/self/fd/%d'%fd,os.O_WRONLY); print('OPENED')\n"
        "except OSError as e: print(e.errno)\n"
    )
    if shape == "direct":
        words = ["/proc/self/exe", "-I", "-S", "-c", code]
    else:
        words = ["/bin/sh", "-c", f"printf '#!/proc/self/exe -IS\\n%s' \"{code}\" > /s; chmod +x /s; exec /s"]
    result = bocker("run", "--rm", image, *words)
    assert "OPENED" not in result.out
    with pytest.raises(OSError) as refused:
        os.open(interpreter, os.O_WRONLY)
    assert refused.value.errno == 30  # EROFS, whoever asks
    assert Path(interpreter).read_bytes() == before


@pytest.mark.parametrize("user", ["0", "1000"])
def test_L3_a_killed_engine_takes_its_container_along(bocker, image, start, settings, user):
    """SIGKILL to the engine: the program is gone at once, whoever it is, and `cleanup` takes the rest away."""
    engine = start("run", "--name", "killed", "-u", user, image, "/bin/sleep", "61.5")
    wait_until(lambda: sleeping("61.5"))
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    wait_until(lambda: not sleeping("61.5"))
    bocker("cleanup")
    assert "ead" in bocker("ps", "--format", "json").out
    assert bocker("rm", "killed").code == 0


def sleeping(seconds: str) -> bool:
    return subprocess.run(["pgrep", "-f", f"^/bin/sleep {seconds}$"], capture_output=True, check=False).returncode == 0


def busybox_tree(tree) -> None:
    """A root file system of one program, without /proc, /dev, /etc or anything else."""
    (tree / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    for applet in "sh true echo cat ls sleep mount mkdir id".split():
        os.link(tree / "bin/busybox", tree / "bin" / applet)

#!/bin/sh
# Runs a command beside a libvirtd of its own: provision/vm/host.sh STATE COMMAND...
#
# libvirtd, its bridge, its rules and the machines that it starts live in namespaces that end with the
# command, whatever way that ends; the network of the VM has no way out. STATE is an empty directory.
# BOCKER_EMULATOR is the qemu that qemu.sh made, where nothing but emulation serves.

set -eu
state=$1
shift
if [ "${BOCKER_VM_HOST:-}" != yes ]; then
    exec env BOCKER_VM_HOST=yes setpriv --pdeathsig KILL unshare --net --mount --pid --uts --ipc --fork --kill-child \
        --mount-proc --propagation private "$0" "$state" "$@"
fi

mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/libvirt
for place in etc/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt; do
    mkdir -p "$state/$place" "/$place"
    mount --bind "$state/$place" "/$place"
done
if [ -n "${BOCKER_EMULATOR:-}" ]; then # in the host's place, with its modules: it would abort on those of another build
    modules=/usr/lib/x86_64-linux-gnu/qemu
    mount --bind "$(dirname "$BOCKER_EMULATOR")/root$modules" "$modules"
    mount --bind "$BOCKER_EMULATOR" /usr/bin/qemu-system-x86_64
    [ ! -e /usr/bin/qemu-system-i386 ] || mount --bind /dev/null /usr/bin/qemu-system-i386
fi
cat >/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
END
cat >/etc/libvirt/libvirtd.conf <<END
unix_sock_group = "root"
auth_unix_ro = "none"
auth_unix_rw = "none"
END
ip link set lo up
sysctl -q -w net.ipv4.ip_forward=1
libvirtd >"$state/libvirtd.log" 2>&1 &
tries=0
until virsh --quiet --connect qemu:///system version >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { cat "$state/libvirtd.log" >&2; echo "host.sh: libvirtd does not answer" >&2; exit 1; }
    sleep 0.1
done
"$@"

#!/bin/sh
# Runs a command as root on a host of its own: provision/sandbox.sh COMMAND...
#
# New namespaces (no network but the loopback), an empty /run, and what is written below /var and
# /usr/local goes to memory: the host's own bocker is neither seen nor touched. Control groups are
# below a parent of the sandbox's own, which goes at the end.

set -eu
if [ "${BOCKER_IN_SANDBOX:-}" != yes ]; then
    BOCKER_CGROUP_PARENT=bocker_sandbox_$$
    export BOCKER_CGROUP_PARENT
    code=0
    BOCKER_IN_SANDBOX=yes unshare --net --mount --pid --uts --ipc --fork --kill-child --mount-proc \
        --propagation private "$0" "$@" || code=$?
    left=$(find /sys/fs/cgroup -maxdepth 3 -depth -path "*/$BOCKER_CGROUP_PARENT*" -type d)
    if [ -n "$left" ]; then
        echo "sandbox: control groups were left: $left" >&2
        find /sys/fs/cgroup -maxdepth 3 -depth -path "*/$BOCKER_CGROUP_PARENT*" -type d -exec rmdir {} +
        [ "$code" -ne 0 ] || code=3
    fi
    exit "$code"
fi

mount -t tmpfs tmpfs /run
for place in var usr/local; do
    mkdir -p "/run/$place/upper" "/run/$place/work"
    mount -t overlay overlay -o "lowerdir=/$place,upperdir=/run/$place/upper,workdir=/run/$place/work" "/$place"
done
rm -rf /var/bocker /var/lib/bocker /usr/local/lib/bocker /usr/local/bin/bocker
mount -t tmpfs tmpfs /run
mkdir /run/lock
ip link set lo up
unset BOCKER_IN_SANDBOX
"$@"

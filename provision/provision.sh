#!/bin/sh
# Makes a Debian host ready for bocker: its packages, bocker itself, `bocker setup` now and at each boot.
# `./try` and the Vagrantfile both call it; it may run any number of times.
#
#   provision/provision.sh [PACKAGE...]     further Debian packages to have
#
# BOCKER_MADE names a directory with the program as it was installed elsewhere (provision/vm/made.sh):
# then nothing is fetched, and the packages must be there.

set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
prefix=${BOCKER_INSTALL_PREFIX:-/usr/local/lib/bocker}
launcher=${BOCKER_INSTALL_LAUNCHER:-/usr/local/bin/bocker}
made=${BOCKER_MADE:+$BOCKER_MADE/installed.tar}

if [ -n "$made" ]; then
    mark=/usr/local/lib/bocker.made
    if [ "$(cat "$mark" 2>/dev/null)" != "$(cksum <"$made")" ]; then
        while umount --lazy "$prefix/bin/python3" 2>/dev/null; do :; done # it is mounted read-only on itself
        tar --extract --file "$made" --directory /
        cksum <"$made" >"$mark"
        echo "Installed: $launcher, $prefix"
    fi
else
    # python3-venv brings the pip that install.py runs
    "$here/provision/packages.sh" python3 python3-venv ca-certificates btrfs-progs nftables iproute2 "$@"
    /usr/bin/python3 "$here/provision/install.py" --prefix "$prefix" --launcher "$launcher"
fi
"$launcher" setup
if [ -d /run/systemd/system ] && [ -e /usr/local/lib/systemd/system/bocker.service ] &&
    ! systemctl --quiet is-enabled bocker.service; then
    systemctl daemon-reload
    systemctl --quiet enable --now bocker.service
    echo "Enabled: bocker.service"
fi

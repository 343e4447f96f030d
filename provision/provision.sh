#!/bin/sh
# Makes a Debian host ready for bocker: its packages, bocker itself, and `bocker setup`.
# `./try` and the Vagrantfile both call it; it may run any number of times.
#
#   provision/provision.sh [PACKAGE...]     further Debian packages to have

set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
prefix=${BOCKER_INSTALL_PREFIX:-/usr/local/lib/bocker}
launcher=${BOCKER_INSTALL_LAUNCHER:-/usr/local/bin/bocker}

# The package python3-venv brings the pip that install.py runs.
missing=
for package in python3 python3-venv ca-certificates btrfs-progs nftables iproute2 "$@"; do
    state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done

if [ -n "$missing" ]; then
    echo "Installing Debian packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086 # the names are words
    if ! { apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        echo "provision: Debian's packages could not be installed" >&2
        exit 1
    fi
    rm -f "$log"
fi

/usr/bin/python3 "$here/provision/install.py" --prefix "$prefix" --launcher "$launcher"
"$launcher" setup

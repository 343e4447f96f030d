#!/bin/sh
# Makes a Debian host ready for bocker: its packages, bocker itself, and `bocker setup`.
# `./try` and the Vagrantfile both call it; it may run any number of times.
#
#   provision/provision.sh [PACKAGE...]     further Debian packages to have

set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
prefix=${BOCKER_INSTALL_PREFIX:-/usr/local/lib/bocker}
launcher=${BOCKER_INSTALL_LAUNCHER:-/usr/local/bin/bocker}

# python3-venv brings the pip that install.py runs
"$here/provision/packages.sh" python3 python3-venv ca-certificates btrfs-progs nftables iproute2 "$@"
/usr/bin/python3 "$here/provision/install.py" --prefix "$prefix" --launcher "$launcher"
"$launcher" setup

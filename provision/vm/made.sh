#!/bin/sh
# Makes what the VM has no network and too little speed for: provision/vm/made.sh DIRECTORY WHEELS DEBIAN SITE
#
#   installed.tar    bocker in its usual place      test-prefix.tar  the same where the system tests want it
#   home/bocker.tar  WHEELS and DEBIAN, as the sandbox of the tests looks for them
#   site.tar         the test libraries, from SITE
#
# All of them compressed, as under emulation every byte of ssh is dear.
#
# By Debian's own interpreter of the same release, in a sandbox, since a prefix holds literal paths.

set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
made=$1
wheels=$2
if [ "${BOCKER_MADE_INSIDE:-}" != yes ]; then
    mkdir -p "$made/home"
    tar --zstd --create --file "$made/home/bocker.tar" --transform 's,^,bocker/,' \
        --directory "$(dirname "$wheels")" "$(basename "$wheels")" --directory "$(dirname "$3")" "$(basename "$3")"
    tar --zstd --create --file "$made/site.tar" --directory "$4" --exclude '*mypy*' --exclude '*ruff*' \
        --exclude 'pip*' --exclude 'grimp*' --exclude librt . # with __pycache__: compiling takes long in there
    BOCKER_MADE_INSIDE=yes exec "$here/provision/sandbox.sh" "$0" "$@"
fi

install() {
    /usr/bin/python3 "$here/provision/install.py" --prefix "$1" --launcher "$2" --wheels "$wheels" --cgroups 2
}
install /usr/local/lib/bocker /usr/local/bin/bocker
install /run/bocker-test /run/bocker-test/bin/bocker
cd /
tar --zstd --create --file "$made/installed.tar" \
    usr/local/lib/bocker usr/local/bin/bocker usr/local/lib/systemd/system/bocker.service
tar --zstd --create --file "$made/test-prefix.tar" run/bocker-test

#!/bin/sh
# Installs the Debian packages named, those that are missing. Says what it installs, else nothing.

set -eu
missing=
for package in "$@"; do
    state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "Installing Debian packages:$missing"
case " $missing " in # the tests start these themselves; nothing shall serve on this host because of them
    *" docker-registry "* | *" docker.io "*)
        mkdir -p /etc/systemd/system
        for unit in docker-registry.service docker.service docker.socket containerd.service; do
            [ -e "/lib/systemd/system/$unit" ] || ln -sfn /dev/null "/etc/systemd/system/$unit"
        done ;;
esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # the names are words
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } \
    >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "Debian's packages could not be installed" >&2
    exit 1
fi

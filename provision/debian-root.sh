#!/bin/sh
# Makes a real Debian root file system once and prints the path of its archive: /srv/packages in it
# holds a package that can be installed without any network. Used by `./try --debian` and by the tests.

set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bocker
recipe=$(cksum <"$0" | cut -d' ' -f1)
archive=$cache/debian-bookworm-$recipe.tar
if [ ! -s "$archive" ]; then
    mkdir -p "$cache"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    log=$work/log
    # The package is of the same suite, whatever this machine is: apt with the new root's sources.
    if ! {
        mmdebstrap --variant=apt --quiet --skip=output/dev,output/mknod \
            --customize-hook='mkdir -m 755 "$1/srv/packages" && cd "$1/srv/packages" &&
                APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download -q hello' bookworm "$cache/new.$$.tar"
    } >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        exit 1
    fi
    mv "$cache/new.$$.tar" "$archive"
fi
echo "$archive"

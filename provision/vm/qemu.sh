#!/bin/sh
# Makes a qemu of a newer Debian in a directory of its own, once, and prints the program's path.
#
# Where the processor has no virtualisation, qemu's emulation is what the lane waits for: qemu 11.1 starts
# programs two to three times as fast as the 7.2 of Debian 12, on which Linux 6.12 panics besides
# (docs/virtual-machine.md). Nothing is installed: the program is run by its own release's loader and libraries.

set -eu
release=trixie
suite=trixie-backports
here=$(dirname "$(readlink -f "$0")")
keys=/usr/share/keyrings/debian-archive-keyring.gpg

cache=${XDG_CACHE_HOME:-$HOME/.cache}/bocker
place=$cache/qemu-$(cksum <"$0" | cut -d' ' -f1)
program=$place/qemu-system-x86_64
if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
mirror=$("$here/mirror.sh" Debian)
mkdir -p "$cache"
new=$(mktemp -d "$cache/qemu.XXXXXX")
# who is stopped halfway may leave the host's /proc and /sys mounted in there
trap 'rm -rf --one-file-system "$new"' EXIT
trap 'exit 143' TERM INT

# fetch: the packages' files, and no file of anybody's data base
fetch() {
    printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$release" "$keys" "$mirror" "$suite" |
        mmdebstrap --variant=extract --quiet --skip=output/dev --aptopt="APT::Default-Release \"$suite\"" \
            --aptopt='APT::Install-Recommends false' --include=libc6,qemu-system-x86,seabios,ipxe-qemu \
            "$release" "$new/root" -
}

# wrapper: with paths as they are when the directory has got its name
wrapper() {
    libraries=$place/root/usr/lib/x86_64-linux-gnu
    cat <<END
#!/bin/sh
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries $place/root/usr/bin/qemu-system-x86_64 \\
    -L $place/root/usr/share/qemu -L $place/root/usr/share/seabios "\$@"
END
}

if ! fetch >"$new/log" 2>&1 </dev/null; then
    cat "$new/log" >&2
    echo "qemu.sh: it could not be fetched" >&2
    exit 1
fi
wrapper >"$new/qemu-system-x86_64"
chmod 755 "$new" "$new/qemu-system-x86_64"
mv -T "$new" "$place"
"$program" --version >/dev/null
echo "$program"

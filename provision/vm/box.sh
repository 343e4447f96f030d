#!/bin/sh
# Makes a Vagrant box (provider libvirt) of Debian's packages alone, once, and prints its path:
#
#   provision/vm/box.sh [SUITE]     SUITE is where the kernel comes from; all else is of bookworm
#
# The name has a checksum of this recipe in it, so that another recipe makes another box. As root.

set -eu
suite=${1:-bookworm}
release=bookworm
here=$(dirname "$(readlink -f "$0")")
keys=/usr/share/keyrings/debian-archive-keyring.gpg
disk_size=6G
boot_mib=128
packages="systemd-sysv udev dbus initramfs-tools openssh-server sudo rsync python3 python3-venv btrfs-progs iproute2 nftables
    procps kmod zstd busybox-static libarchive-tools ca-certificates e2fsprogs libcap2-bin openssl xz-utils
    skopeo umoci podman buildah docker-registry docker.io crun mmdebstrap"
unwanted="e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
    fstrim.timer systemd-networkd-wait-online.service docker.service docker.socket containerd.service
    docker-registry.service podman.service podman.socket podman-restart.service podman-auto-update.service
    podman-auto-update.timer"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/bocker
box=$cache/box-$suite-$(cksum <"$0" | cut -d' ' -f1).box
if [ -s "$box" ]; then
    echo "$box"
    exit 0
fi
mirror=$("$here/mirror.sh" Debian)
security=$("$here/mirror.sh" Debian-Security)
mkdir -p "$cache"
work=$(mktemp -d "$cache/box.XXXXXX")
# who is stopped halfway may leave the host's /proc and /sys mounted in there
trap 'umount "$work/disk" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
trap 'exit 143' TERM INT

# apt_sources SUITE: what a suite's packages depend on as well
apt_sources() {
    archive="[signed-by=$keys] $mirror"
    updates="[signed-by=$keys] $security"
    case $1 in
        *-backports) printf 'deb %s %s main\n' "$archive" "${1%-backports}" "$archive" "$1" ;;
        sid) echo "deb $archive sid main" ;;
        *) printf 'deb %s main\n' "$archive $1" "$updates $1-security" ;;
    esac
}

# add_kernel ROOT: the suite's, unpacked there, with an initrd of the release's tools. Its own scripts want
# the tools of its own release.
add_kernel() {
    apt_sources "$suite" | mmdebstrap --variant=extract --verbose --skip=output/dev --include=linux-image-cloud-amd64 \
        --aptopt="APT::Default-Release \"/^$suite(-security)?\$/\"" --aptopt='APT::Install-Recommends false' \
        "${suite%-backports}" "$work/kernel" -
    modules=$(echo "$work"/kernel/lib/modules/* "$work"/kernel/usr/lib/modules/*)
    for directory in $modules; do
        [ -d "$directory" ] || continue
        version=${directory##*/}
        cp -a "$directory" "$1/lib/modules/"
        for file in vmlinuz config; do # since 7.0 they lie beside the modules
            cp "$work/kernel/boot/$file-$version" "$1/boot/" 2>/dev/null || cp "$directory/$file" "$1/boot/$file-$version"
        done
    done
    chroot "$1" depmod "$version"
    chroot "$1" update-initramfs -c -k "$version"
}

# configure ROOT: what a Vagrant box has, and nothing that waits for a network that is not there
configure() {
    chroot "$1" useradd --create-home --shell /bin/bash vagrant
    echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/vagrant"
    mkdir -m 700 "$1/home/vagrant/.ssh"
    cp "$(dpkg -L vagrant | grep "/keys/vagrant.pub$")" "$1/home/vagrant/.ssh/authorized_keys"
    chmod 600 "$1/home/vagrant/.ssh/authorized_keys"
    chroot "$1" chown -R vagrant:vagrant /home/vagrant/.ssh
    : >"$1/etc/resolv.conf"
    : >"$1/etc/machine-id"
    echo bocker >"$1/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 bocker\n' >"$1/etc/hosts"
    echo 'UseDNS no' >"$1/etc/ssh/sshd_config.d/vagrant.conf"
    printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' >"$1/etc/systemd/network/wired.network"
    echo 'LABEL=root / ext4 errors=remount-ro 0 1' >"$1/etc/fstab"
    chroot "$1" systemctl --quiet enable systemd-networkd ssh
    # shellcheck disable=SC2086 # the names are words; the tests start the servers that they want
    chroot "$1" systemctl --quiet mask $unwanted
    rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1/usr/share/doc" "$1/usr/share/locale"
}

# boot_files ROOT DIRECTORY: the kernel, and what starts it
boot_files() {
    mkdir -p "$2/extlinux"
    mv "$1"/boot/vmlinuz-* "$2/vmlinuz"
    mv "$1"/boot/initrd.img-* "$2/initrd"
    cat >"$2/extlinux/extlinux.conf" <<END
default linux
label linux
    kernel /vmlinuz
    initrd /initrd
    append root=LABEL=root ro quiet mitigations=off net.ifnames=0 console=ttyS0 console=tty0
END
}

# make_disk ROOT BOOT FILE: a bootable disk. The partition of BOOT is never mounted in the machine: from
# a root file system that Linux had written to, extlinux did not start a second time.
make_disk() {
    truncate --size "$disk_size" "$3"
    printf '2048,%s,L,*\n,,L\n' "${boot_mib}M" | sfdisk --quiet --label dos "$3"
    boot_start=1 # MiB
    root_start=$((boot_start + boot_mib))
    root_mib=$(($(stat --format %s "$3") / 1048576 - root_start))
    mkfs.ext2 -q -F -L start -E "offset=$((boot_start * 1048576))" -d "$2" "$3" "${boot_mib}M"
    mkfs.ext4 -q -F -L root -E "offset=$((root_start * 1048576))" -d "$1" "$3" "${root_mib}M"
    mkdir "$work/disk"
    mount -o "loop,offset=$((boot_start * 1048576))" "$3" "$work/disk"
    extlinux --install "$work/disk/extlinux" 2>/dev/null
    umount "$work/disk"
    dd if=/usr/lib/EXTLINUX/mbr.bin of="$3" bs=440 count=1 conv=notrunc status=none
}

make_box() {
    apt_sources "$release" | mmdebstrap --variant=minbase --verbose --skip=output/dev \
        --aptopt='APT::Install-Recommends false' --include="$(echo $packages)" "$release" "$work/root" -
    mkdir -p "$work/root/lib/modules"
    add_kernel "$work/root"
    configure "$work/root"
    boot_files "$work/root" "$work/boot"
    make_disk "$work/root" "$work/boot" "$work/raw"
    qemu-img convert -c -O qcow2 -o compression_type=zstd "$work/raw" "$work/box.img"
    echo "{\"provider\":\"libvirt\",\"format\":\"qcow2\",\"virtual_size\":${disk_size%G}}" >"$work/metadata.json"
    echo 'Vagrant.configure("2") { |config| config.vm.guest = :debian }' >"$work/Vagrantfile"
    tar --create --file "$work/box" --directory "$work" metadata.json Vagrantfile box.img
}

log=$work/log
set +e # in a condition the shell would go on after a failure within
(set -e; make_box) >"$log" 2>&1 </dev/null
code=$?
set -e
if [ "$code" -ne 0 ]; then
    cat "$log" >&2
    echo "box.sh: the box could not be made" >&2
    exit 1
fi
mv "$work/box" "$box"
echo "$box"

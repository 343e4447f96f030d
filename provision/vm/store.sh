#!/bin/sh
# In the VM: makes a btrfs of the disk that nobody uses and mounts it at /var/bocker, now and at each
# boot. Where there is no such disk nothing happens: `bocker setup` takes a file then.

set -eu
label=bocker
command -v mkfs.btrfs >/dev/null || "$(dirname "$0")/../packages.sh" btrfs-progs
if ! blkid --label "$label" >/dev/null; then
    for disk in $(lsblk --noheadings --nodeps --paths --include 8,253,254,259 --output NAME); do
        # a disk that has partitions, or a signature of anything, belongs to somebody
        if [ "$(lsblk --noheadings --output NAME "$disk" | wc -l)" -eq 1 ] && [ -z "$(wipefs --noheadings "$disk")" ]; then
            mkfs.btrfs --quiet --label "$label" "$disk"
            echo "Created: a btrfs on $disk"
            break
        fi
    done
fi
if blkid --label "$label" >/dev/null && ! grep -q " /var/bocker btrfs " /etc/fstab; then
    echo "LABEL=$label /var/bocker btrfs nosuid,nodev,discard=async,nofail 0 0" >>/etc/fstab
    mkdir -p /var/bocker
    ! command -v systemctl >/dev/null || systemctl daemon-reload
fi
mountpoint --quiet /var/bocker || ! grep -q " /var/bocker btrfs " /etc/fstab || mount /var/bocker

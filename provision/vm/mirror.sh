#!/bin/sh
# Prints where this machine's apt gets packages from: those of Debian, or of another LABEL (Debian-Security).
# No archive is named in this project: whoever has one of their own has said so to apt already.

set -eu
label=${1:-Debian}
uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Label: $label" | sort -u | head -n 1)
if [ -z "$uri" ]; then
    echo "mirror.sh: apt knows no archive with the label $label: set one up, and do apt-get update" >&2
    exit 1
fi
echo "${uri%/}"

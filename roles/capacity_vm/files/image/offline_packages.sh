#!/bin/sh
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Hook of mmdebstrap: packages that the guest must be able to install without reaching a mirror, with all they need,
# as an apt repository inside it.
set -eu
root=$1
repository=$root/var/lib/predictive.tenancy/packages
mkdir -p "$repository"
if [ -n "$TENANCY_OFFLINE" ]; then
    # shellcheck disable=SC2086  # a list of words
    APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes --download-only install $TENANCY_OFFLINE
    find "$root/var/cache/apt/archives" -name '*.deb' -exec mv {} "$repository/" \;
fi
cd "$repository"
: > Packages
for package in *.deb; do
    [ -e "$package" ] || continue
    dpkg-deb --field "$package" >> Packages
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$package" "$(stat -c %s "$package")" \
        "$(sha256sum "$package" | cut -d ' ' -f 1)" >> Packages
done

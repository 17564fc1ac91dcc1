# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# build_image.sh IMAGE: a Debian guest as a disk image, a kernel and a small initrd in the folder IMAGE, from the
# recipe in this script's folder (SUITE, PACKAGES and so on are in its file `inputs`).
#
# An image appears in one rename, so that a killed build leaves only .building beside it, which the next one throws
# away.
set -euo pipefail
umask 022

recipe=$(cd "$(dirname "$0")" && pwd)
image=$1
cache=$(dirname "$image")
# shellcheck source=/dev/null  # rendered by the role
. "$recipe/inputs"
architecture=$(dpkg --print-architecture)

mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9 # another run may be building: then this one finds its result
if [ -e "$image/base.raw" ]; then exit 0; fi

log=$cache/build.log
exec 3>&2 > "$log" 2>&1
work=$cache/.building
ended() {
    local code=$?
    if [ "$code" -ne 0 ]; then
        { echo "building the image failed; the end of $log:"; tail -n 30 "$log"; } >&3
        rm -rf --one-file-system "$work" # a full disk is not helped by half an image
    fi
}
trap ended EXIT
rm -rf --one-file-system "$work"
mkdir -p "$work/image"
root=$work/root
say() { printf '\n== %s  %s\n' "$(date +%T)" "$*"; }

# --- the mirror: the one in apt's own sources where that is Debian's, with its updates and security suites
sources=()
if [ -n "$MIRROR" ]; then
    sources+=("deb $MIRROR $SUITE main")
else
    while read -r origin label uri; do
        if [ "$origin" = Debian ] && [ "$label" = Debian ]; then
            sources+=("deb $uri $SUITE main" "deb $uri $SUITE-updates main")
        elif [ "$origin" = Debian ] && [ "$label" = Debian-Security ]; then
            sources+=("deb $uri $SUITE-security main")
        fi
    done < <(apt-get indextargets --format "\$(ORIGIN) \$(LABEL) \$(REPO_URI)" 'Created-By: Packages' | LC_ALL=C sort -u)
    if [ "${#sources[@]}" -eq 0 ]; then sources+=("deb http://deb.debian.org/debian $SUITE main"); fi
fi
proxies=()
while IFS= read -r line; do proxies+=("--aptopt=$line"); done < <(apt-config dump --format '%f "%v";%n' Acquire::http::Proxy Acquire::https::Proxy | grep -v '""' || true)

say "packages from:" "${sources[@]}"
export TENANCY_OFFLINE=$OFFLINE
mmdebstrap --variant=minbase --mode=root --format=directory --architectures="$architecture" --include="$PACKAGES" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
    "${proxies[@]}" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='force-unsafe-io' \
    --customize-hook="$recipe/offline_packages.sh" \
    "$SUITE" "$root" "${sources[@]}"

say "the guest's own files"
cp -r --no-preserve=ownership,mode "$recipe/guest/." "$root/"
chmod 755 "$root/usr/local/sbin/"*
echo "nameserver $NAMESERVER" > "$root/etc/resolv.conf"
: > "$root/etc/fstab"
: > "$root/etc/hostname"    # comes from the hypervisor
: > "$root/etc/machine-id"  # empty is "made at boot"; "uninitialized" would mean first boot, which presets all units
rm -f "$root"/etc/ssh/ssh_host_*
printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"

enable() { chroot "$root" systemctl --quiet enable "$@"; }
enable systemd-networkd.service ssh.service qemu-guest-agent.service serial-getty@ttyS0.service
ln -s /usr/lib/systemd/system/systemd-growfs-root.service "$root/etc/systemd/system/multi-user.target.wants/"
# What a machine that only holds sandboxes has no use for; each costs boot time, most of all under emulation.
while read -r unit; do
    case $unit in '' | '#'*) continue ;; esac
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done < "$recipe/masked_units"
mkdir -p "$root/etc/systemd/system-generators"
while read -r generator; do
    ln -sf /dev/null "$root/etc/systemd/system-generators/$generator"
done < "$recipe/masked_generators"

say "package lists of the guest"
rm -rf "$root/var/lib/apt/lists"
mkdir -p "$root/var/lib/apt/lists/partial"
if [ "$ONLINE" != true ]; then rm -f "$root"/etc/apt/sources.list.d/0000* "$root/etc/apt/sources.list"; fi
echo 'deb [trusted=yes] file:/var/lib/predictive.tenancy/packages ./' > "$root/etc/apt/sources.list.d/predictive-tenancy.list"
chroot "$root" apt-get --quiet -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/predictive-tenancy.list \
    -o Dir::Etc::sourceparts=/dev/null update
chroot "$root" dpkg-query --show > "$work/image/manifest"

say "initrd"
kernel=$(find "$root/lib/modules" -mindepth 1 -maxdepth 1 -printf '%f\n' | LC_ALL=C sort -V | tail -n 1)
modules=$root/lib/modules/$kernel
tree=$work/initrd
mkdir -p "$tree/bin" "$tree/dev" "$tree/new"
cp "$root/usr/bin/busybox" "$tree/bin/"
{ echo "#!/bin/busybox sh"; cat "$recipe/init"; } > "$tree/init"
chmod 755 "$tree/init"
: > "$tree/modules"
add_module() { # with what it depends on, in the order of loading; built-in ones need nothing
    local line dependency file
    line=$(grep -E "/$1\.ko[^:]*:" "$modules/modules.dep" || true)
    if [ -z "$line" ]; then
        if grep -q "/$1\.ko" "$modules/modules.builtin"; then return; fi
        echo "the kernel $kernel has no module $1"
        exit 1
    fi
    for dependency in ${line#*:}; do
        dependency=${dependency##*/}
        add_module "${dependency%%.ko*}"
    done
    if grep -qx "$1.ko" "$tree/modules"; then return; fi
    file=$modules/${line%%:*}
    case $file in
        *.xz) xz -dc "$file" ;;
        *.zst) zstd -dcq "$file" ;;
        *) cat "$file" ;;
    esac > "$tree/$1.ko"
    echo "$1.ko" >> "$tree/modules"
}
for module in virtio_pci virtio_blk ext4; do add_module "$module"; done
(cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) > "$work/image/initrd"
cp "$root/boot/vmlinuz-$kernel" "$work/image/vmlinuz"

say "disk"
truncate -s "$SIZE" "$work/image/base.raw"
mke2fs -q -t ext4 -L tenancy -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 -d "$root" "$work/image/base.raw"
chmod -R a+rX "$work/image"
rm -rf --one-file-system "$root" "$tree"
mv "$work/image" "$image"
rm -rf "$work"
say "done: $image"

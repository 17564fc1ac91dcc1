#!/bin/sh
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# base_rootfs.sh --check|--make FOLDER [BUSYBOX]: a root file system with a static busybox and nothing else.
# Says `changed` or `unchanged`. It appears in one rename; while there are sandboxes the one that they were started with
# is kept beside it, until the next change.
set -eu
umask 022
action=$1
folder=$2
busybox=${3:-}
if [ -z "$busybox" ]; then
    for busybox in /bin/busybox /usr/bin/busybox /usr/local/bin/busybox /usr/sbin/busybox; do
        if [ -x "$busybox" ]; then break; fi
    done
fi
if [ ! -x "$busybox" ]; then
    if [ "$action" = --check ]; then # the package that brings it is not installed yet
        echo changed
        exit 0
    fi
    echo "no static busybox at $busybox: install the package busybox-static, or set gvisor_busybox" >&2
    exit 1
fi
if cmp -s "$busybox" "$folder/bin/busybox" && [ -L "$folder/bin/sh" ] && [ -e "$folder/etc/group" ]; then
    echo unchanged
    exit 0
fi
echo changed
if [ "$action" = --check ]; then exit 0; fi

parent=$(dirname "$folder")
new=$parent/.$(basename "$folder").new
old=$parent/.$(basename "$folder").old
rm -rf "$new" "$old"
mkdir -p "$new/bin" "$new/dev" "$new/etc" "$new/proc" "$new/root" "$new/run" "$new/sys" "$new/tmp" "$new/usr" "$new/var"
cp "$busybox" "$new/bin/busybox"
chmod 755 "$new/bin/busybox" "$parent" "$(dirname "$parent")"
for name in $("$new/bin/busybox" --list); do
    if [ "$name" != busybox ]; then ln -s busybox "$new/bin/$name"; fi
done
ln -s ../bin "$new/usr/bin"
ln -s ../bin "$new/usr/sbin"
ln -s bin "$new/sbin"
chmod 1777 "$new/tmp"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$new/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' > "$new/etc/group"
if [ -e "$folder" ]; then mv "$folder" "$old"; fi
mv "$new" "$folder"
if [ -z "$(ls -A "$(dirname "$parent")/places" 2> /dev/null)" ]; then rm -rf "$old"; fi

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop sandboxes where they are, and let them go on.

Nothing can begin in a frozen cgroup, and systemd waits for each process that it starts until it has begun. So it must
know what is frozen. Else, where a sandbox that stands still is ended, by the kernel for want of memory say, systemd
starts it again and waits for ever, and the whole machine with it (seen with 257). A claim, which is to be quick, thaws
through the kernel and tells systemd afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping

from .._core.errors import CommandError
from .host import Host, slice_unit
from .slices import SliceState


def freeze(host: Host, instances: Iterable[str]) -> None:
    """Stop all processes of these slices where they are."""
    units = [slice_unit(name) for name in instances]
    if units:
        host.systemctl("freeze", "--", *units, doing="freezing", item=", ".join(units))


def _go(folder: str) -> None:
    try:
        with open(os.path.join(folder, "cgroup.freeze"), "w", encoding="ascii") as handle:
            handle.write("0")
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):  # this one has ended
            raise CommandError(f"cannot thaw: {error.strerror}", item=folder) from error


def let_go(host: Host, instance: str) -> None:
    """Let the processes of a slice go on, in a millisecond: ``thaw`` must follow. systemd freezes the cgroups in it
    too."""
    for folder, _folders, _files in os.walk(host.paths.slice(instance)):
        _go(folder)


def thaw(host: Host, places: Mapping[str, SliceState]) -> None:
    """Let the processes of these slices go on, whoever froze them."""
    for instance, state in places.items():
        if state.frozen and not state.paused:
            let_go(host, instance)
    units = [slice_unit(instance) for instance, state in places.items() if state.paused]
    if units:
        host.systemctl("thaw", "--", *units, doing="thawing", item=", ".join(units))

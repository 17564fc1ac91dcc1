# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop sandboxes where they are, and let them go on.

Nothing can begin in a frozen cgroup, and systemd waits for each process that it starts until it has begun. So it must
know what is frozen. Else, where a sandbox that stands still is ended, by the kernel for want of memory say, systemd
starts it again and waits for ever, and the whole machine with it (seen with 257). What it has frozen it does not start;
before 256 it does, and such a start waits in vain, alone. A claim, which is to be quick, thaws through the kernel and
tells systemd afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .._core.errors import CommandError
from .host import Host, Outcome, slice_unit
from .wishes import Work


def freeze(host: Host, works: Sequence[Work]) -> None:
    """Stop all processes of these works' slices where they are."""
    units = [slice_unit(work.record.instance) for work in works]
    if units:
        host.systemctl("freeze", "--", *units, doing="freezing", item=", ".join(units))


def _write(folder: str, frozen: bool) -> None:
    try:
        with open(os.path.join(folder, "cgroup.freeze"), "w", encoding="ascii") as handle:
            handle.write(str(int(frozen)))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):  # this one has ended
            raise CommandError(f"cannot {'freeze' if frozen else 'thaw'}: {error.strerror}", item=folder) from error


def let_go(host: Host, instance: str) -> None:
    """Let the processes of a slice go on, in a millisecond: ``thaw`` must follow. systemd freezes the cgroups in it
    too."""
    for folder, _folders, _files in os.walk(host.paths.slice(instance)):
        _write(folder, False)


@contextmanager
def moving(host: Host, instance: str) -> Iterator[None]:
    """Let the processes of a slice that systemd has frozen go on for a while, which systemd need not know."""
    let_go(host, instance)
    try:
        yield
    finally:
        _write(host.paths.slice(instance), True)


def thaw(host: Host, works: Sequence[Work], outcome: Outcome) -> None:
    """Let the processes of these works' slices go on, whoever stopped them. The kernel first: before 256 systemd
    refuses to thaw a slice while a unit in it has no cgroup, as one that is about to be started again."""
    known = []
    for work in works:
        if work.place is not None and work.place.slice.stopped:
            let_go(host, work.record.instance)
            if work.place.slice.paused:
                known.append(work)
    _tell(host, known, outcome)


def _tell(host: Host, works: Sequence[Work], outcome: Outcome) -> None:
    units = [slice_unit(work.record.instance) for work in works]
    if not units:
        return
    try:
        host.systemctl("thaw", "--", *units, doing="thawing", item=", ".join(units))
    except CommandError as error:
        if len(works) == 1:
            outcome.note(works[0].wish.name, f"it goes on, and systemd still takes it for frozen: {error}")
            return
        for work in works:
            _tell(host, [work], outcome)

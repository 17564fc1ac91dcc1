# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: a sandbox that waits on disk, holds no memory, and outlives a reboot.

A checkpoint is the tenant's memory, so only root can read its folder. It counts once it has its final name and the
sandbox's settings say "restore"; a run that is killed before leaves what the next one makes anew."""

from __future__ import annotations

import os
import shutil

from .._core.errors import CommandError
from . import apply, starts
from .host import Host, Outcome, service_unit, slice_unit, write_text
from .limits import Machine
from .sandboxes import Sandbox, require_runtime
from .units import CHECKPOINT, SETTINGS
from .wishes import Work

RUNTIMES = tuple(CHECKPOINT)


def discard(host: Host, instance: str) -> None:
    """Remove a checkpoint, whole or not."""
    folder = host.paths.checkpoint(instance)
    try:
        for path in (folder, folder + ".new"):
            if os.path.isdir(path):
                shutil.rmtree(path)
    except OSError as error:
        raise CommandError(f"cannot remove a checkpoint: {error.strerror}", item=folder) from error


def size(host: Host, instance: str) -> int:
    """Bytes of a checkpoint on disk; 0 where there is none."""
    folder = host.paths.checkpoint(instance)
    try:
        return sum(entry.stat().st_blocks * 512 for entry in os.scandir(folder))
    except FileNotFoundError:
        return 0


def take(host: Host, work: Work, sandbox: Sandbox) -> None:
    """Write a sandbox that runs to disk and end it."""
    instance = work.record.instance
    folder = host.paths.checkpoint(instance)
    discard(host, instance)
    try:
        os.mkdir(folder + ".new", mode=0o700)
    except OSError as error:
        raise CommandError(f"cannot make a checkpoint: {error.strerror}", item=folder) from error
    runtime = require_runtime(host, sandbox.runtime)
    words = CHECKPOINT[sandbox.runtime](runtime, host.paths, instance, folder + ".new")
    try:
        host.call(words, "writing a checkpoint", work.wish.name, hint=f"check the free space of {host.paths.state}")
    except CommandError:
        discard(host, instance)
        raise
    # The runtime has ended the sandbox; this keeps systemd from starting it again.
    apply.stop_services(host, [service_unit(sandbox.runtime, instance)])
    unit = slice_unit(instance)  # with what its cgroup still holds of the page cache
    host.systemctl("stop", "--", unit, doing="stopping the slice", item=unit)
    settings = SETTINGS[sandbox.runtime](sandbox, "restore", host.paths.place(instance))
    write_text(f"{host.paths.place(instance)}/settings", settings)
    try:
        os.rename(folder + ".new", folder)
    except OSError as error:
        raise CommandError(f"cannot keep a checkpoint: {error.strerror}", item=folder) from error


def restore(host: Host, work: Work, sandbox: Sandbox, about: Machine, outcome: Outcome) -> bool:
    """Start a sandbox from its checkpoint, or from the beginning where the runtime refuses it; whether it was restored.

    Its settings say "restore" until the caller changes them. Where neither comes up, ``outcome`` has the error."""
    instance = work.record.instance
    unit, restored = service_unit(sandbox.runtime, instance), True
    work.start = True
    apply.limit(host, about, outcome, work)
    try:
        host.systemctl("start", "--", unit, doing="restoring", item=unit)
    except CommandError as error:
        restored = False
        outcome.note(work.wish.name, f"its checkpoint cannot be restored, so it starts cold: {error}")
        place = host.paths.place(instance)
        write_text(f"{place}/settings", SETTINGS[sandbox.runtime](sandbox, "run", place))
        starts.start(host, [work], outcome)
    apply.settle(host, about, work)
    return restored

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time changes a machine. Two that read it at once would give the same user ids to two sandboxes, and one
would remove the images that the other unpacks."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .._core.errors import CommandError
from .host import Host

LONGEST = 900.0  # seconds: a run that starts hundreds of sandboxes and warms them up is over by then
_STEP = 0.2


@contextmanager
def exclusive(host: Host, check: bool) -> Iterator[None]:
    """Keep other runs from changing this machine, once they are done with it. Check mode changes nothing and waits for
    nobody. The kernel lets go when the process ends, whatever ended it. Raises CommandError."""
    if check:
        yield
        return
    path = host.paths.lock
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"cannot open the lock of this machine: {error.strerror}", item=path) from error
    try:
        _wait(host, descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _wait(host: Host, descriptor: int, path: str) -> None:
    end = host.clock() + LONGEST
    while not _taken(descriptor, path):
        if host.clock() > end:
            raise CommandError(
                f"another run has been changing this machine for {LONGEST:.0f} s, and nothing was done by this one",
                item=path,
                hint=f"see which process it is with: fuser -v {path}",
            )
        host.sleep(_STEP)


def _taken(descriptor: int, path: str) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise CommandError(f"cannot lock this machine: {error.strerror}", item=path) from error
    return True

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts of sandboxes: a few at a time, none that the machine has no memory for, and a reason for each that failed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from .._core.errors import CommandError
from .._core.units import format_bytes
from . import freezer
from .host import SYSTEMCTL, Host, Outcome, meminfo, read_text, service_unit
from .slices import show
from .survey import ServiceState, service_state
from .units import FOOTPRINTS
from .wishes import Work


def service(work: Work) -> str:
    """The service of a work's sandbox."""
    return service_unit(work.record.runtime, work.record.instance)


def start(host: Host, works: Sequence[Work], outcome: Outcome) -> list[Work]:
    """Start sandboxes and see that they run; returns those that do."""
    running: list[Work] = []
    waiting = list(works)
    while waiting:
        count = min(fitting(host, waiting), max(2, 2 * host.cpus))
        if count:
            running += _start_some(host, waiting[:count], outcome)
            waiting = waiting[count:]
            continue
        try:
            require_room(host, waiting[0])
        except CommandError as error:
            outcome.fail(waiting.pop(0).wish.name, error)
    return running


def begins(work: Work) -> bool:
    """Whether a work starts a sandbox's processes; those of other claimed shadows are there."""
    return work.start or (work.claim is not None and work.record.tier == "checkpointed")


def _left(host: Host) -> int:
    """Bytes that the machine can still give: what is available, and half of the free swap, since what goes into zram
    stays in memory, compressed."""
    memory = meminfo(host.paths)
    return memory.get("MemAvailable", 0) + memory.get("SwapFree", 0) // 2


def _runtime(work: Work) -> str:
    """What it is to be started with, which its record does not say yet."""
    return work.wish.sandbox.runtime if work.wish.sandbox else work.record.runtime


def _need(work: Work) -> int:
    """Bytes that a start takes beyond what the sandbox holds until it is ended for it."""
    least = FOOTPRINTS[_runtime(work)]
    least = least if work.wish.limits.memory_max is None else min(least, work.wish.limits.memory_max)
    runs = work.place is not None and work.place.service.active and not work.former_runtime
    held = work.place.slice.memory if work.place and runs else None
    return max(0, least - (held or 0))


def fitting(host: Host, works: Sequence[Work]) -> int:
    """How many of the first ones the machine has the memory for together. A start that finds none would not fail but
    make the whole machine crawl, and the kernel end somebody's sandbox."""
    room = _left(host)
    for count, work in enumerate(works):
        room -= _need(work) if work.start else 0
        if room < 0:
            return count
    return len(works)


def lack(host: Host, work: Work, leaving: int = 0) -> str:
    """Why the machine has no memory for this start, or empty; ``leaving`` bytes will be free by then."""
    left = _left(host) + leaving
    if _need(work) <= left:
        return ""
    return (
        f"this machine has {format_bytes(max(0, left))} of memory left, and the start of a {_runtime(work)} sandbox "
        f"takes {format_bytes(_need(work))}"
    )


def require_room(host: Host, work: Work, leaving: int = 0) -> None:
    """Raise CommandError where the machine has no memory for this start."""
    why = lack(host, work, leaving)
    if why:
        hint = "give the machine more memory, or move tenants to another one"
        raise CommandError(why, item=work.wish.name, hint=hint)


def _start_some(host: Host, works: Sequence[Work], outcome: Outcome) -> list[Work]:
    """Start them in one call of systemd, and look at each. Where systemd cannot be asked, none of them is known to run;
    the others' results are kept."""
    try:
        return _restart(host, works, outcome)
    except CommandError as error:
        for work in works:
            outcome.fail(work.wish.name, error)
        return []


def _restart(host: Host, works: Sequence[Work], outcome: Outcome) -> list[Work]:
    freezer.thaw(host, works, outcome)  # not before: a start that is refused leaves what stands still as it is
    units = [service(work) for work in works]
    failed = [unit for unit, work in zip(units, works) if work.place and work.place.service.state.startswith("failed")]
    if failed:
        host.systemctl("reset-failed", "--", *failed, doing="resetting", item=", ".join(failed))
    before = [_own_kills(host, work) for work in works]
    begin = host.clock()
    code, _out, error = host.run([*SYSTEMCTL, "restart", "--", *units])
    said = error.strip() if code else ""  # of which of them, the units' own states tell
    shown = show(host, units)
    running = []
    for unit, work, kills in zip(units, works, before):
        state = service_state(shown.get(unit, {}))
        if state.active or state.entered >= begin:
            running.append(work)
            outcome.started[work.wish.name] = "cold"
            outcome.seconds[work.wish.name] = outcome.seconds.get(work.wish.name, 0.0) + state.took
            if not state.active:
                outcome.note(work.wish.name, f"it started and ended since ({state.result}); systemd starts it again")
        else:
            why = _why(host, work, state, said, _own_kills(host, work) > kills)
            hint = f"see journalctl -u {unit}"
            outcome.fail(
                work.wish.name,
                CommandError(f"the sandbox does not run, it is {state.state}: {why}", item=work.wish.name, hint=hint),
            )
    return running


def _own_kills(host: Host, work: Work) -> int:
    """How often a slice's own maximum was reached and nothing could be reclaimed (``oom`` of memory.events)."""
    events = read_text(os.path.join(host.paths.slice(work.record.instance), "memory.events")) or ""
    return next((int(line.split()[1]) for line in events.splitlines() if line.startswith("oom ")), 0)


def _why(host: Host, work: Work, state: ServiceState, said: str, own: bool) -> str:
    """What systemd, or else the sandbox's runtime, said last of a start that failed. systemctl tells of all the units
    of one call together, and after a second systemd has forgotten, because it tries again. ``own`` is whether its own
    maximum was reached."""
    unit = service(work)
    found = re.search(rf"Job for {re.escape(unit)} failed because (.*?)\.\s*(?:See|$)", said)
    reason = found[1] if found else ""
    if state.result == "oom-kill" or "out-of-memory" in reason:
        why = f"its maximum is {format_bytes(work.wish.limits.memory_max)}" if own else "the machine has too little"
        return f"it was ended for want of memory: {why}"
    code, out, _err = host.run(["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=1", f"--unit={unit}",
                                "_TRANSPORT=stdout"])  # fmt: skip
    last = out.strip() if code == 0 else ""
    general = "" if "Job for " in said else " ".join(said.split())[-600:]
    return last or reason or general or "no message in the journal"

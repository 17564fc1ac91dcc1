# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all shadows of a machine may take. One that would be given up at once is not started, which would cost most when
memory is short. What a shadow holds is known once it has run; of those that were given up it is remembered a while."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from .._core.changes import ChangeSet
from .._core.errors import InputError
from .._core.units import format_bytes, format_time, parse_bytes, parse_time
from . import apply, slices, starts
from .host import Host, Outcome, meminfo, read_text, slice_unit, write_text
from .limits import Limits, Machine
from .wishes import Wish, Work

_REMEMBERED = timedelta(hours=1)


@dataclass(frozen=True)
class Cap:
    """What all shadows of a machine may take: ``count`` of them, ``memory`` bytes held by them together, and only while
    the machine still has ``min_available`` bytes."""

    count: int | None = None
    memory: int | None = None
    min_available: int = 0

    def broken(self, total: int, free: int) -> str:
        """Why shadows that hold ``total`` bytes are too many; empty where they are not."""
        if self.memory is not None and total > self.memory:
            return f"all shadows hold {format_bytes(total)}, the cap is {format_bytes(self.memory)}"
        if self.min_available and free < self.min_available:
            left = format_bytes(self.min_available)
            return f"{format_bytes(max(0, free))} are available, shadows leave {left} alone"
        return ""


def cap_from(given: Mapping[str, Any] | None) -> Cap:
    """Read the cap. Raises InputError."""
    values = {key: value for key, value in (given or {}).items() if value is not None}
    count = values.get("count")
    if count is not None and count < 0:
        raise InputError("cap.count must not be negative")
    return Cap(
        count,
        parse_bytes(values["memory"]) if "memory" in values else None,
        parse_bytes(values.get("min_available", 0)),
    )


def counted(wishes: list[Wish], cap: Cap, outcome: Outcome) -> list[Wish]:
    """Leave out the shadows beyond the count: the lowest priority first, then those that were listed last."""
    kept = [wish for wish in wishes if wish.sandbox]
    kept.sort(key=lambda wish: -wish.priority)
    over = {wish.name for wish in kept[cap.count :]} if cap.count is not None else set()
    for name in sorted(over):
        outcome.note(name, f"given up: the cap is {cap.count} shadows on this machine")
    return [_absent(wish) if wish.name in over else wish for wish in wishes]


def _absent(wish: Wish) -> Wish:
    return Wish(wish.name, "absent", Limits(), None)


def available(host: Host) -> int:
    """Bytes that the machine can still give without swapping."""
    return meminfo(host.paths).get("MemAvailable", 0)


def held(host: Host, instance: str) -> int:
    """Bytes in memory that a shadow's slice holds."""
    return slices.read_int(os.path.join(host.paths.slice(instance), "memory.current")) or 0


@dataclass(frozen=True)
class _Need:
    """A shadow with the bytes that it holds, or will. ``room`` must be available for one that holds none yet."""

    work: Work
    held: int
    room: int


def _memory(host: Host) -> str:
    return os.path.join(host.paths.run, "given_up.json")


def _remembered(host: Host) -> dict[str, dict[str, Any]]:
    """By name, what shadows held and took from the machine that were given up; true for one sandbox and tier only."""
    try:
        known = json.loads(read_text(_memory(host)) or "{}")
        return {
            str(name): {**entry, "held": int(entry["held"]), "took": int(entry["took"])}
            for name, entry in known.items()
            if parse_time(entry["at"]) > host.now - _REMEMBERED
        }
    except (ValueError, KeyError, TypeError, AttributeError, InputError):
        return {}  # cut short, or of another version: it is tried, and remembered again


def _need(work: Work, past: Mapping[str, Mapping[str, Any]]) -> _Need:
    now = work.place.slice.memory if work.place else None
    if now is not None:
        return _Need(work, now, 0)
    wish, entry = work.wish, past.get(work.wish.name, {})
    if wish.sandbox is None or (entry.get("sandbox"), entry.get("tier")) != (wish.sandbox.digest, wish.tier):
        entry = {}
    known = entry.get("held", work.record.held)
    # As much again is left, so that a machine at the edge does not make it and give it up in turns.
    return _Need(work, known, 2 * max(known, entry.get("took", 0)))


def fitting(host: Host, works: list[Work], cap: Cap, outcome: Outcome) -> list[Work]:
    """The works without those that there is no memory for: they give up what is there and make nothing new. The lowest
    priority goes first, then the largest."""
    past = _remembered(host)
    asked = [work for work in works if work.wish.sandbox and not work.wish.stored]
    needs = [_need(work, past) for work in asked if work.wish.name not in outcome.errors]
    needs.sort(key=lambda need: (-need.work.wish.priority, need.held))
    leaving = sum(work.place.slice.memory or 0 for work in works if work.remove and work.place)
    free, gone = available(host) + leaving, {}
    while needs:
        why = cap.broken(sum(need.held for need in needs), free - sum(need.room for need in needs))
        if not why:
            break
        need = needs.pop()
        free += 0 if need.room else need.held
        gone[need.work.wish.name] = _left_out(need, why, f"with it {why}", outcome)
    for work in works:
        lack = starts.lack(host, work, leaving) if work.start else ""
        if lack and work.wish.name not in {*gone, *outcome.errors}:
            gone[work.wish.name] = _left_out(_need(work, past), lack, lack, outcome)
    return [gone.get(work.wish.name, work) for work in works]


def _left_out(need: _Need, gone: str, never: str, outcome: Outcome) -> Work:
    """A work that gives up a shadow that is there, and why it is ``gone``, or that does nothing, and why ``never``."""
    work, changes = need.work, ChangeSet(need.work.wish.name)
    there = "create" not in work.changes.actions
    if there:
        changes.add("give_up", "state", "waiting", "absent")
    outcome.note(work.wish.name, f"given up: {gone}" if there else f"not made: {never}")
    return Work(_absent(work.wish), replace(work.record, held=need.held), work.place, changes, remove=there)


def give_up(host: Host, works: Sequence[Work], about: Machine, cap: Cap, before: int, outcome: Outcome) -> None:
    """Under pressure shadows go first, also those that turned out to hold more than there is room for. ``before`` is
    what was available before any was started."""
    listed = [work for work in works if work.wish.sandbox and not work.wish.stored]
    alive = [work for work in listed if work.wish.name not in outcome.errors]
    alive.sort(key=lambda work: (-work.wish.priority, held(host, work.record.instance)))
    started = sum(work.start for work in alive)
    # Each of them: a frozen shadow takes more than its slice holds, since compressed memory is the machine's.
    took = max(0, before - available(host)) // max(1, started)
    while alive:
        why = cap.broken(sum(held(host, work.record.instance) for work in alive), available(host))
        if not why:
            break
        apply.guarded([alive.pop()], outcome, partial(_end, host, why, about, outcome))
    _remember(host, works, took, outcome)


def _end(host: Host, why: str, about: Machine, outcome: Outcome, work: Work) -> None:
    work.record = replace(work.record, held=held(host, work.record.instance))
    unit = slice_unit(work.record.instance)
    state = slices.slice_state(host, work.record.instance, slices.show(host, [unit])[unit], about)
    place = replace(work.place, slice=state) if work.place else None
    gone = Work(_absent(work.wish), work.record, place, work.changes, remove=True)
    apply.remove(host, [gone], outcome)
    work.changes.add("give_up", "state", "waiting", "absent")
    work.remove = True
    outcome.note(work.wish.name, f"given up: {why}")


def _remember(host: Host, works: Sequence[Work], took: int, outcome: Outcome) -> None:
    """Keep what the shadows held that were given up, and forget it of those that wait."""
    past = _remembered(host)
    kept = dict(past)
    for work in works:
        name, record = work.wish.name, work.record
        if "give_up" in work.changes.actions:
            about = {"sandbox": record.digest, "tier": record.tier, "at": format_time(host.now)}
            kept[name] = {**about, "held": record.held, "took": took if work.start else 0}
        elif work.wish.sandbox and name not in outcome.errors:
            kept.pop(name, None)
    if kept != past:
        write_text(_memory(host), json.dumps(kept, sort_keys=True) + "\n")

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Local time for arrays, and cron-like rules found in it.

A rule is a time of the local day at which arrivals come on certain weekdays. It is found as a cluster in the time of
day that is far denser than arrivals spread evenly would be (binomial tail), and that fills its days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.errors import InputError
from .residuals import quantiles
from .types import CalendarRule

if TYPE_CHECKING:
    from .types import Bools, Floats, Ints

DAY = 86400.0
_HALF_WIDTHS = (60.0, 300.0, 900.0, 1800.0)
_MOST_RULES = 48


def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises InputError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            "not a known time zone", item=repr(name), hint="use an IANA name like Europe/Berlin, or UTC"
        ) from None


def _offset(tz: ZoneInfo, seconds: int) -> float:
    shift = (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)).astimezone(tz).utcoffset()
    return shift.total_seconds() if shift is not None else 0.0


@lru_cache(maxsize=2048)
def _changes(name: str, year: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The moments of a UTC year at which the offset from UTC changes, with the offset from each on; the first is the
    year's begin. Found by looking at every sixth hour and bisecting."""
    tz = zone(name)
    begin = int(datetime(year, 1, 1, tzinfo=timezone.utc).timestamp())
    end = int(datetime(year + 1, 1, 1, tzinfo=timezone.utc).timestamp())
    moments, offsets = [begin], [_offset(tz, begin)]
    for early in range(begin, end, 21600):
        low, high = early, min(early + 21600, end)
        after = _offset(tz, high)
        if after == offsets[-1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(tz, middle) == offsets[-1]:
                low = middle
            else:
                high = middle
        moments.append(high)
        offsets.append(after)
    return tuple(moments), tuple(offsets)


def offsets(times: Floats, name: str) -> Floats:
    """Seconds to add to UTC ``times`` to get the local wall clock of the zone ``name``."""
    if times.size == 0 or name == "UTC":
        return np.zeros_like(times)
    first = datetime.fromtimestamp(float(times.min()), tz=timezone.utc).year
    last = datetime.fromtimestamp(float(times.max()), tz=timezone.utc).year
    parts = [_changes(name, year) for year in range(first, last + 1)]
    moments = np.concatenate([np.array(part[0], dtype=float) for part in parts])
    values = np.concatenate([np.array(part[1], dtype=float) for part in parts])
    return np.asarray(values[np.searchsorted(moments, times, side="right") - 1], dtype=float)


def to_utc(local: float, name: str) -> float:
    """The UTC seconds of a local wall clock (seconds since 1970-01-01 as if it were UTC). A time that the change to
    summer time skips is moved behind the gap; of one that comes twice, the first is meant, as cron does."""
    guess = local - float(offsets(np.array([local]), name)[0])
    for _turn in range(3):
        before = float(offsets(np.array([local - DAY]), name)[0])
        candidate = local - before
        if candidate + float(offsets(np.array([candidate]), name)[0]) == local:
            return candidate
        after = local - float(offsets(np.array([local + DAY]), name)[0])
        if after + float(offsets(np.array([after]), name)[0]) == local:
            return after
        return max(candidate, guess)
    return guess


def weekdays(days: Ints) -> Ints:
    """0 for Monday, of days since 1970-01-01 (a Thursday)."""
    return (days + 3) % 7


def _surprise(hits: float, trials: float, chance: float) -> float:
    """-log P(at least ``hits`` of ``trials``) by Chernoff's bound."""
    if hits <= 0 or trials <= 0 or hits / trials <= chance:
        return 0.0
    rate = min(hits / trials, 1.0)
    value = rate * math.log(rate / chance)
    if rate < 1:
        value += (1 - rate) * math.log((1 - rate) / (1 - chance))
    return trials * value


@dataclass(frozen=True)
class _Clock:
    """Arrivals by the local time of day: ``around`` ascending, twice around the clock, ``first`` their number."""

    around: Floats
    first: int

    @classmethod
    def of(cls, local: Floats) -> _Clock:
        ordered = np.sort(local % DAY)
        return cls(np.concatenate([ordered, ordered + DAY]), len(ordered))

    def densest(self, half: float) -> tuple[int, float]:
        """The most arrivals within ``half`` seconds of a time of day, and that time."""
        end = np.searchsorted(self.around, self.around[: self.first] + 2 * half, side="right")
        inside = end - np.arange(self.first)
        best = int(inside.argmax())
        return int(inside[best]), _middle(self.around[best : int(end[best])]) % DAY


def _middle(ordered: Floats) -> float:
    """The median of ascending values."""
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else 0.5 * (ordered[half - 1] + ordered[half]))


def _active_days(hits: Ints, last: int) -> tuple[tuple[int, ...], float, int]:
    """The weekdays on which a rule fires, the part of them it fired on, and how many such days there were, from its
    first hit to the day ``last``, the newest on which it could have fired.

    ``hits`` are days since 1970-01-01, ascending. A weekday counts when it was hit in at least 6 of 10 weeks; one that
    was never seen counts when every seen one of its kind (working day, weekend) does. No days: the hits do not follow
    weekdays, or have stopped.
    """
    span = np.arange(int(hits[0]), max(last, int(hits[-1])) + 1)
    seen = np.bincount(weekdays(span), minlength=7)
    hit = np.bincount(weekdays(hits), minlength=7)
    part = hit / np.maximum(seen, 1)
    active = (part >= 0.6) & (seen > 0)
    if not active.any() or (~active & (part > 0.34)).any():
        return (), 0.0, 0
    expected = int(seen[active].sum())
    fill = float(hit[active].sum() / expected)
    missed = int(active[weekdays(np.arange(int(hits[-1]) + 1, last + 1))].sum())
    if missed > 2 and (1 - fill + 0.05) ** missed < 0.02:
        return (), 0.0, 0
    return unseen(active, seen > 0), fill, expected


def unseen(active: Bools, seen: Bools) -> tuple[int, ...]:
    """The active weekdays, with those that the history is too short to have shown."""
    days = []
    for day in range(7):
        kind = range(5) if day < 5 else (5, 6)
        known = [other for other in kind if seen[other]] or [other for other in range(7) if seen[other]]
        if active[day] or (not seen[day] and all(active[other] for other in known)):
            days.append(day)
    return tuple(days)


def _rule(local: Floats, clock: _Clock, half: float, today: float, per_day: float) -> tuple[CalendarRule, Bools] | None:
    """The strongest rule of that width, with the arrivals it explains; None when none is believable. ``today`` is the
    local time now, ``per_day`` the arrivals per day."""
    chance = max(1 - math.exp(-per_day * min(4 * half, DAY / 2) / DAY), 1e-9)
    enough = math.log(DAY / (2 * half) * 127 * len(_HALF_WIDTHS)) + 3
    days = (today - float(local[0])) / DAY + 1
    # Even if each day were hit: most series of chance arrivals end here.
    if _surprise(days, days, chance) < enough:
        return None
    _count, centre = clock.densest(half)
    rest = (local - centre + DAY / 2) % DAY - DAY / 2
    ordered = np.sort(rest[np.abs(rest) <= 2 * half])
    second = (centre + (_middle(ordered) if ordered.size else 0.0)) % DAY
    rest = (local - second + DAY / 2) % DAY - DAY / 2
    near = np.abs(rest) <= 2 * half
    hits = np.unique(np.rint((local[near] - rest[near] - second) / DAY).astype(np.int64))
    if not hits.size or _surprise(len(hits), len(hits), chance) < enough:
        return None
    active, fill, expected = _active_days(hits, math.floor((today - second - 2 * half) / DAY))
    if not active or fill < 0.7 or expected < 4:
        return None
    surprise = _surprise(fill * expected, expected, chance)
    if surprise < enough:
        return None
    confidence = fill * (1 - 1 / (1 + 0.5 * expected)) * min(1.0, surprise / 30)
    jitter = float(np.std(rest[near]))
    residuals = tuple(quantiles(np.sort(rest[near])[None, :], np.array([near.sum()]))[0].tolist())
    return CalendarRule(active, second, jitter, fill, confidence, residuals), near


def _cluster(local: Floats, clock: _Clock, half: float) -> Bools:
    """The densest cluster of times of day."""
    _count, centre = clock.densest(half)
    return np.asarray(np.abs((local - centre + DAY / 2) % DAY - DAY / 2) <= 2 * half)


def rules(times: Floats, now: float, name: str) -> tuple[tuple[CalendarRule, ...], Bools]:
    """The rules that ``times`` (ascending UTC seconds) follow in the zone ``name``, strongest first, and which of the
    times they explain."""
    local = times + offsets(times, name)
    today = now + float(offsets(np.array([now]), name)[0])
    per_day = len(times) / max((today - float(local[0])) / DAY, 1.0)
    explained = np.zeros(len(times), dtype=bool)
    aside = np.zeros(len(times), dtype=bool)
    found: list[CalendarRule] = []
    misses = 0
    while len(found) < _MOST_RULES and misses < 3:
        open_index = np.nonzero(~explained & ~aside)[0]
        if len(open_index) < 4:
            break
        part = local[open_index]
        clock = _Clock.of(part)
        tried = [_rule(part, clock, half, today, per_day) for half in _HALF_WIDTHS]
        options = [option for option in tried if option is not None]
        if not options:
            # A rule that was given up may hide the one that took its place.
            misses += 1
            aside[open_index[_cluster(part, clock, _HALF_WIDTHS[1])]] = True
            continue
        best, near = max(options, key=lambda option: (round(option[0].confidence, 1), -option[0].jitter))
        found.append(best)
        explained[open_index[near]] = True
    return tuple(found), explained


def rule_times(rule: CalendarRule, start: float, end: float, name: str) -> list[float]:
    """The moments (UTC seconds) in [start, end) at which a rule fires."""
    day = math.floor((start - 2 * DAY) / DAY)
    moments = []
    while day * DAY <= end + 2 * DAY:
        if (day + 3) % 7 in rule.days:
            instant = to_utc(day * DAY + rule.second, name)
            if start <= instant < end:
                moments.append(instant)
        day += 1
    return moments

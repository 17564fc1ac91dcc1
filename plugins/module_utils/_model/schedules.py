# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules from trains, batched: residuals and their quantiles, loops that drift, bursts taken as one arrival, what a
train leaves unexplained, and the slots that a schedule expects."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from . import calendars, trains
from .residuals import quantiles
from .types import RESIDUAL_LEVELS, Schedule

if TYPE_CHECKING:
    from .types import Bools, Floats, Ints

# Requests this close (seconds) can be one burst without anyone saying how long an execution takes.
BURST = 60.0
# How far (cycles) every other arrival must be off for a train to be two.
_APART = 0.03
# Whether a loop makes arrivals shows in this many gaps.
_GAPS = 128
# So many slots are held against a schedule's days and hours at once.
_LOOK = 4096
# Less than this part of a period is rounding.
_EXACT = 1e-4


def pack(series: list[Floats], most: int = trains.KEPT) -> tuple[Floats, Ints]:
    """Ages before the newest time, ascending, padded with inf; and how many each row has (at most ``most``)."""
    counts = np.array([min(len(item), most) for item in series], dtype=np.int64)
    ages = np.full((len(series), max(int(counts.max(initial=1)), 2)), np.inf)
    for row, (item, count) in enumerate(zip(series, counts)):
        if count:
            ages[row, :count] = item[-1] - item[: -count - 1 : -1]
    return ages, counts


def burst_gap(series: Floats) -> float:
    """The gap below which arrivals belong to one burst: the widest jump (factor 4 or more) in the sorted gaps below
    BURST that leaves a tenth of the gaps or more on each side; 0 when there is none."""
    gaps = np.maximum(np.sort(np.diff(series)), 1e-3)
    edge = max(int(0.1 * len(gaps)), 1)
    if len(gaps) < 8:
        return 0.0
    jumps = np.where(gaps[:-1] <= BURST, np.log(gaps[1:] / gaps[:-1]), 0.0)[edge - 1 : len(gaps) - edge]
    if not jumps.size or jumps.max() < math.log(4):
        return 0.0
    at = int(jumps.argmax()) + edge - 1
    return float(np.sqrt(gaps[at] * gaps[at + 1]))


def may_burst(ages: Floats, counts: Ints) -> Bools:
    """Whether a tenth of a row's gaps are far shorter than its mean gap, which chance alone hardly does."""
    older = np.isfinite(ages[:, 1:])
    gaps = np.where(older, ages[:, 1:], 0.0) - np.where(older, ages[:, :-1], 0.0)
    number = np.maximum(counts - 1, 1)
    mean = gaps.sum(axis=1) / number
    short = ((gaps < np.minimum(0.05 * mean, BURST)[:, None]) & older).sum(axis=1)
    return np.asarray((short >= 0.1 * number) & (counts >= 12))


def describe(ages: Floats, found: trains.Trains, last: Floats, now: float) -> list[Schedule | None]:
    """The schedule of each row's train (all rows of ``found``), from its ``used`` newest events; None when it has
    stopped: enough slots have passed without an arrival. ``last`` are the times of the newest events."""
    result: list[Schedule | None] = [None] * len(last)
    loops = _loops(ages, found.period)
    # Where a clock makes the arrivals, the train was followed over all of them.
    loops.found &= found.used < 0.6 * np.isfinite(ages).sum(axis=1)
    for rows in trains.windows(found.used):
        width = int(found.used[rows].max(initial=2))
        part = _describe(ages[rows, :width], found.rows(rows), loops.rows(rows), last[rows], now)
        for row, item in zip(rows.tolist(), part):
            result[row] = item
    return result


def _describe(ages: Floats, found: trains.Trains, loops: _Loops, last: Floats, now: float) -> list[Schedule | None]:
    period = found.period
    valid = np.arange(ages.shape[1])[None, :] < found.used[:, None]
    cycles = (np.where(valid, ages, 0.0) - found.phase[:, None]) / period[:, None]
    slot = np.rint(cycles)
    # Later than the slot is positive, though its age is less.
    rest = slot - cycles
    near = (np.abs(rest) < trains.INLIER) & valid
    number = np.maximum(near.sum(axis=1), 1)
    ordered = np.sort(np.where(near, rest, np.inf), axis=1)
    spread = quantiles(ordered, number) * period[:, None]
    middle = spread[:, len(RESIDUAL_LEVELS) // 2] / period
    jitter = np.sqrt(np.where(near, (rest - middle[:, None]) ** 2, 0.0).sum(axis=1) / number) * period
    newest = np.where(near, slot, np.inf).min(axis=1)
    anchor = last - found.phase - newest * period
    missed = np.maximum(np.floor((now - anchor - np.maximum(3 * jitter, 0.1 * period)) / period), 0)
    stopped = (missed >= 3) & (np.minimum(1 - np.minimum(found.fill, 0.9), 0.9) ** np.minimum(missed, 99) < 1e-3)
    drifts = loops.found | ((loops.number >= 8) & (loops.error < 0.8 * jitter) & (jitter > _EXACT * period))
    confidence = found.fill * np.minimum(1.0, found.share / 0.8) * (1 - 1 / np.sqrt(number)) * 0.8**missed
    result: list[Schedule | None] = []
    for row in range(len(period)):
        if stopped[row]:
            result.append(None)
            continue
        fill, share, trust = float(found.fill[row]), float(found.share[row]), float(confidence[row])
        if drifts[row]:
            own = (float(loops.gap[row]), float(last[row]), float(loops.error[row]))
            spread_of_gaps, used = tuple(loops.around[row].tolist()), int(loops.number[row])
            result.append(Schedule(*own, fill, share, trust, True, used, spread_of_gaps))
        else:
            own = (float(period[row]), float(anchor[row]), float(jitter[row]))
            result.append(Schedule(*own, fill, share, trust, False, int(number[row]), tuple(spread[row].tolist())))
    return result


@dataclass
class _Loops:
    """Which rows' arrivals count from the one before (a loop that sleeps) and not from a clock, and the mean, standard
    deviation and quantiles around the mean of the gaps (s)."""

    found: Bools
    number: Ints
    gap: Floats
    error: Floats
    around: Floats

    def rows(self, index: Ints) -> _Loops:
        """Those of some rows."""
        return _Loops(*(getattr(self, field.name)[index] for field in fields(self)))


def _loops(ages: Floats, period: Floats) -> _Loops:
    """Gaps of one period among the newest arrivals. Where a clock makes them, an arrival that is late makes one gap
    longer and the next one shorter: neighbouring gaps correlate by -1/2. Where a loop does, they do not."""
    part = ages[:, :_GAPS]
    known = np.isfinite(part[:, 1:])
    gaps = np.where(known, part[:, 1:], 0.0) - np.where(known, part[:, :-1], 0.0)
    single = known & (np.abs(gaps / period[:, None] - 1) < trains.INLIER)
    number = single.sum(axis=1)
    mean = _mean(gaps, single)
    off = np.where(single, gaps - mean[:, None], 0.0)
    square = _mean(off * off, single)
    both = single[:, 1:] & single[:, :-1]
    pairs = both.sum(axis=1)
    correlation = _mean(off[:, 1:] * off[:, :-1], both) / np.maximum(square, 1e-30)
    error = np.sqrt(square)
    # The standard error of that correlation for a clock is .7 by the root of the number of pairs.
    found = (pairs >= 12) & (correlation > -0.5 + 1.75 / np.sqrt(np.maximum(pairs, 1))) & (error > _EXACT * period)
    around = quantiles(np.sort(np.where(single, off, np.inf), axis=1), number)
    return _Loops(found, number, np.where(number > 0, mean, period), error, around)


def schedule(times: Floats, period: float, anchor: float, now: float, share: float = 1.0) -> Schedule | None:
    """The schedule of one train from the arrivals that belong to it (ascending UTC seconds); see describe."""
    ages, counts = pack([times])
    slot = np.rint((times - anchor) / period)
    near = np.abs(times - anchor - slot * period) < trains.INLIER * period
    if near.sum() < 4:
        return None
    slots = len(np.unique(slot[near]))
    fill = slots / (slot[near].max() - slot[near].min() + 1)
    number = np.ones(1)
    found = trains.Trains(
        period=number * period,
        phase=number * ((float(times[-1]) - anchor) % period),
        jitter=number * 0.0,
        fill=number * fill,
        share=number * float(near.mean()) * share,
        coherence=number,
        used=counts,
        slots=np.array([slots]),
        found=number > 0,
    )
    return describe(ages, found, times[-1:], now)[0]


def left_over(ages: Floats, found: trains.Trains) -> Bools:
    """Which events a row's train does not explain: those far from its slots, and all but one in each slot. Events older
    than what the train was fitted to are left out of both."""
    valid = np.arange(ages.shape[1])[None, :] < found.used[:, None]
    cycles = (np.where(valid, ages, 0.0) - found.phase[:, None]) / found.period[:, None]
    slot = np.rint(cycles)
    # The jitter of the train itself: arrivals of others that fall near its slots must not count.
    own = np.sort(np.where(valid, np.abs(cycles - slot), np.inf), axis=1)
    middle = np.clip((found.share * found.used).astype(np.int64) // 2, 0, ages.shape[1] - 1)
    robust = 1.4826 * own[np.arange(len(own)), middle]
    width = np.clip(3.5 * np.minimum(robust, found.jitter / found.period), 0.01, trains.INLIER)
    inside = (np.abs(cycles - slot) <= width[:, None]) & valid
    seen = np.maximum.accumulate(np.where(inside, slot, -np.inf), axis=1)
    first = inside.copy()
    first[:, 1:] &= slot[:, 1:] > seen[:, :-1]
    return np.asarray(valid & ~first)


def alternates(ages: Floats, found: trains.Trains) -> Bools:
    """Whether every other arrival of a row's train may come early: see halves."""
    valid = np.arange(ages.shape[1])[None, :] < found.used[:, None]
    cycles = (np.where(valid, ages, 0.0) - found.phase[:, None]) / found.period[:, None]
    slot = np.rint(cycles)
    rest = cycles - slot
    near = valid & (np.abs(rest) < trains.INLIER)
    odd = slot % 2 != 0
    early, late = (_mean(rest, near & side) for side in (odd, ~odd))
    return np.asarray(np.abs(early - late) >= _APART)


def _mean(values: Floats, chosen: Bools) -> Floats:
    return np.asarray(np.where(chosen, values, 0.0).sum(axis=1) / np.maximum(chosen.sum(axis=1), 1))


def halves(times: Floats, found: Schedule, now: float) -> tuple[Schedule, ...]:
    """The two trains of twice the period that a train is made of when every other arrival comes early, as of a schedule
    at 8:00 and 17:30; none where it is one."""
    kept = times[-found.used :]
    slot = np.rint((kept - found.anchor) / found.period)
    rest = (kept - found.anchor) / found.period - slot
    near = np.abs(rest) < trains.INLIER
    odd = slot % 2 != 0
    sides = [near & odd, near & ~odd]
    if min(int(side.sum()) for side in sides) < 4:
        return ()
    middles = [float(np.median(rest[side])) for side in sides]
    spread = max(float(np.median(np.abs(rest[side] - middle))) for side, middle in zip(sides, middles))
    if abs(middles[0] - middles[1]) < max(8 * spread, _APART):
        return ()
    parts = []
    for side in sides:
        anchor = float(np.median(kept[side] - slot[side] * found.period)) + slot[side][-1] * found.period
        parts.append(schedule(kept[side], 2 * found.period, float(anchor), now, share=0.5))
    return tuple(part for part in parts if part is not None) if all(parts) else ()


def without(times: Floats, found: Schedule) -> Floats:
    """The arrivals that a schedule does not explain."""
    slot = np.rint((times - found.anchor) / found.period)
    rest = times - found.anchor - slot * found.period
    width = min(max(3.5 * found.jitter, 0.01 * found.period), trains.INLIER * found.period)
    order = np.lexsort((np.abs(rest), slot))
    nearest = np.zeros(len(times), dtype=bool)
    nearest[order] = np.concatenate([[True], np.diff(slot[order]) != 0])
    return times[~(nearest & (np.abs(rest) <= width))]


def _active(found: Schedule, first: int, last: int, name: str, most: int) -> Floats:
    """The numbers of the first ``most`` slots in [first, last) that lie in the days and hours of a schedule. An hour
    comes back within a week, so that few more are looked at than are found."""
    if not (found.days or found.hours):
        return np.arange(first, min(last, first + most), dtype=float)
    kept, count = [np.zeros(0)], 0
    for begin in range(first, last, _LOOK):
        steps = np.arange(begin, min(begin + _LOOK, last), dtype=float)
        moments = found.anchor + steps * found.period
        local = moments + calendars.offsets(moments, name)
        on = np.isin(calendars.weekdays(np.floor(local / calendars.DAY).astype(np.int64)), found.days or range(7))
        on &= np.isin((local % calendars.DAY // 3600).astype(np.int64), found.hours or range(24))
        kept.append(steps[on])
        count += int(on.sum())
        if count >= most:
            break
    return np.concatenate(kept)[:most]


def expected(
    found: Schedule, start: float, end: float, bounds: tuple[float, float, float], name: str, most: int
) -> list[tuple[float, float, float]]:
    """The first ``most`` slots of a schedule in [start, end) with their intervals. Uncertainty grows with the distance
    from the fitted arrivals: by the period's error for a clock, with every run for a loop that drifts."""
    low, middle, high = bounds
    first = math.ceil((start - middle - found.anchor) / found.period)
    last = math.ceil((end - middle - found.anchor) / found.period)
    steps = _active(found, max(first, 1 if found.drifting else first), last, name, most)
    moments = found.anchor + steps * found.period
    if found.drifting:
        wider = np.sqrt(np.maximum(steps, 1.0))
    elif found.period in trains.CALENDAR:
        wider = np.ones_like(steps)
    else:
        wider = np.sqrt(1 + 12 * (np.maximum(steps, 0) + found.used / 2) ** 2 / max(found.used, 1) ** 3)
    centre = moments + middle
    return list(
        zip(
            centre.tolist(),
            (centre + (low - middle) * wider).tolist(),
            (centre + (high - middle) * wider).tolist(),
        )
    )

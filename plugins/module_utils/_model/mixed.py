# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules that no single train explains: superposed trains, and trains of certain hours and days.

These are looked for one workload at a time, and only where the differences between arrivals say that there is something
to find.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from . import calendars, gaps, trains
from .residuals import quantiles
from .schedules import pack, schedule, without
from .types import Schedule

if TYPE_CHECKING:
    from .types import Bools, Floats, Ints

MOST_TRAINS = 3
_PROMINENT = 1.8
_MOST_SLOTS = 200_000


def find(series: list[Floats], now: float, zones: list[str]) -> dict[int, tuple[Schedule, ...]]:
    """Superposed trains and trains of certain hours, by row of ``series`` (ascending UTC seconds)."""
    if not series:
        return {}
    ages, counts = pack(series)
    guesses, prominence = gaps.modes(ages, counts, orders=8, peaks=6)
    result: dict[int, tuple[Schedule, ...]] = {}
    for row in np.nonzero((prominence > _PROMINENT) & (counts >= 12))[0].tolist():
        times = series[row][-trains.KEPT :]
        found = _superposed(times, guesses[row][np.isfinite(guesses[row])], now, zones[row])
        if found:
            result[row] = found
    return result


def _superposed(times: Floats, guesses: Floats, now: float, name: str) -> tuple[Schedule, ...]:
    found: list[Schedule] = []
    rest = times
    for _turn in range(MOST_TRAINS):
        best = _spike(rest, guesses, now, name)
        if best is None:
            break
        found.append(best)
        rest = without(rest, best)
        if len(rest) < gaps.LEAST or best.hours or best.days:
            break
        # The gaps of the first train hid those of the next.
        again, _prominence = gaps.modes(*pack([rest]), orders=3, peaks=3)
        guesses = again[0][np.isfinite(again[0])]
    explained = 1 - len(rest) / len(times)
    return tuple(found) if explained >= 0.6 else ()


def _spike(times: Floats, guesses: Floats, now: float, name: str) -> Schedule | None:
    """The shortest period whose slots hold a narrow spike of arrivals and are mostly filled, where it is active."""
    span = float(times[-1] - times[0])
    usable = np.sort(guesses[(guesses > 0) & (guesses * 5 < span)])
    for guess in usable.tolist():
        period, anchor = _followed(times, guess)
        rest = times - anchor - np.rint((times - anchor) / period) * period
        sharp, inside = contrast(rest, period)
        if sharp < 4 or inside.sum() < gaps.LEAST:
            continue
        active = activity(times[inside], *line(times[inside], period, anchor), name, now)
        if active is not None:
            return active
    return None


def _followed(times: Floats, guess: float) -> tuple[float, float]:
    """A guessed period and its anchor, sharpened in stretches of history that double from the newest on: at each, the
    best of a fine grid within the error of the one before."""
    period, error, span = guess, 0.02 * guess, 16 * guess
    whole = float(times[-1] - times[0])
    anchor = float(times[-1])
    while True:
        newest = times[times >= times[-1] - span]
        grid = period + error * np.linspace(-1, 1, 17)
        heights, anchors = zip(*(_densest(newest, float(one)) for one in grid))
        best = int(np.argmax(heights))
        period, anchor = float(grid[best]), anchors[best]
        if span >= whole or error * span / period < 0.005 * period:
            break
        error, span = max(error / 6, 0.03 * period * period / span / 4), 4 * span
    return period, anchor


def _densest(times: Floats, period: float) -> tuple[int, float]:
    """The most arrivals within a twentieth of the cycle, and the newest moment at the middle of them."""
    phases = np.sort(times % period)
    around = np.concatenate([phases, phases + period])
    inside = np.searchsorted(around, phases + 0.05 * period, side="right") - np.arange(len(phases))
    best = int(inside.argmax())
    centre = float(np.median(around[best : best + inside[best]]))
    return int(inside[best]), centre + math.floor((float(times[-1]) - centre) / period) * period


def contrast(rest: Floats, period: float) -> tuple[float, Bools]:
    """How much denser arrivals are at the slots than beside them, and which ones are in the dense part.

    A train is a narrow spike; a daily rhythm of chance arrivals is a broad hill, which must not pass for one.
    """
    width = 0.04 * period
    for _turn in range(3):
        inside = np.abs(rest) <= width
        width = float(np.clip(2.5 * np.std(rest[inside]) if inside.sum() > 2 else width, 0.004 * period, 0.12 * period))
    inside = np.abs(rest) <= width
    beside = (np.abs(rest) > 1.5 * width) & (np.abs(rest) <= 3.5 * width)
    dense, sparse = inside.sum() / (2 * width), beside.sum() / (4 * width)
    return float(dense / max(sparse, 0.5 / (4 * width))), inside


def line(times: Floats, period: float, anchor: float) -> tuple[float, float]:
    """Period and anchor by least squares, on the calendar where the error allows."""
    slot = np.rint((times - anchor) / period)
    rest = times - anchor - slot * period
    centred = slot - slot.mean()
    spread = float((centred * centred).sum())
    slope = float((centred * rest).sum()) / spread if spread > 0 else 0.0
    fitted = period + slope
    error = float(np.std(rest)) / math.sqrt(spread) if spread > 0 else math.inf
    calendar = np.array(trains.CALENDAR, dtype=float)
    nearest = float(calendar[np.abs(calendar - fitted).argmin()])
    if abs(nearest - fitted) <= 3 * error + 1e-5 * nearest:
        fitted = nearest
    return fitted, anchor + float(np.median(times - anchor - slot * fitted))


def activity(times: Floats, period: float, anchor: float, name: str, now: float) -> Schedule | None:
    """The schedule of arrivals that are all of one train, limited to the local hours and weekdays in which it is
    filled; None where it is filled nowhere, or has stopped."""
    whole = schedule(times, period, anchor, now)
    if whole is not None and whole.fill >= 0.7:
        return whole
    span = float(times[-1] - times[0])
    if period > 7200 or span < 2 * calendars.DAY or span / period > _MOST_SLOTS:
        return None
    slot = np.rint((times - anchor) / period)
    slots = np.arange(slot[0], slot[-1] + 1)
    moments = anchor + slots * period
    local = moments + calendars.offsets(moments, name)
    hit = np.isin(slots, slot)
    day = np.floor(local / calendars.DAY).astype(np.int64)
    hour = (local % calendars.DAY // 3600).astype(np.int64)
    days, hours = _active(hit, day, hour)
    inside = np.isin(calendars.weekdays(day), days) & np.isin(hour, hours)
    fill = float(hit[inside].mean()) if inside.any() else 0.0
    covered = float(hit[inside].sum() / max(hit.sum(), 1))
    if fill < 0.7 or covered < 0.9 or inside.mean() > 0.9 or now - times[-1] > 4 * calendars.DAY:
        return None
    rest = times - anchor - slot * period
    confidence = fill * covered * (1 - 1 / math.sqrt(len(rest)))
    spread = quantiles(np.sort(rest)[None, :], np.array([len(rest)]))[0]
    return Schedule(
        period=period,
        anchor=anchor + float(slot[-1]) * period,
        jitter=float(np.std(rest)),
        fill=fill,
        share=1.0,
        confidence=confidence,
        drifting=False,
        used=len(rest),
        residuals=tuple(spread.tolist()),
        days=days if len(days) < 7 else (),
        hours=hours if len(hours) < 24 else (),
    )


def _active(hit: Bools, day: Ints, hour: Ints) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Weekdays and hours in which slots are filled: days with any third of the busiest day's hits, then the hours that
    are mostly filled on them."""
    per_day = np.bincount(day[hit] - day[0], minlength=int(day[-1] - day[0]) + 1)
    busy = per_day >= per_day.max() / 3
    weekday = calendars.weekdays(np.arange(int(day[0]), int(day[-1]) + 1))
    # The first and last day are cut by the history.
    inner = slice(1, -1) if len(busy) > 3 else slice(None)
    seen = np.bincount(weekday[inner], minlength=7)
    active = np.bincount(weekday[inner], weights=busy[inner], minlength=7)
    days = calendars.unseen((active >= 0.6 * seen) & (seen > 0), seen > 0)
    on = np.isin(calendars.weekdays(day), days)
    slots = np.bincount(hour[on], minlength=24)
    filled = np.bincount(hour[on & hit], minlength=24)
    hours = tuple(int(item) for item in np.nonzero((filled >= 0.5 * slots) & (slots > 0))[0])
    return days, hours

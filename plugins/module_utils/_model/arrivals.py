# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When requests come: is there a schedule in past request times, and when do the next ones come?

US patent 10,042,660 prepares capacity just before the next run of a periodic request. This is the part that finds the
period: exact trains (trains.py), trains that are active in certain hours or days only, several trains at once, loops
that drift, bursts taken as one arrival, cron-like rules in local time (calendars.py), and else "not periodic".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.errors import InputError
from . import calendars, gaps, mixed, threads, trains
from .schedules import alternates, burst_gap, describe, expected, halves, left_over, may_burst, pack, schedule
from .types import RESIDUAL_LEVELS, ArrivalModel, CalendarRule, Schedule

if TYPE_CHECKING:
    from .types import Bools, Floats, Ints

_CHUNK = 192
_RAW = 4 * trains.KEPT
_RULES_PER_DAY = 60.0


def _clean(times: Sequence[Floats], merge: Sequence[float]) -> list[Floats]:
    """Ascending, finite, merged: requests closer than ``merge`` seconds are one arrival, at the time of the first."""
    result = []
    for index, (raw, least) in enumerate(zip(times, merge)):
        series = np.asarray(raw, dtype=float)
        if series.ndim != 1 or not np.isfinite(series).all():
            raise InputError("request times must be finite UTC seconds", item=f"series {index}")
        if series.size > 1 and (series[1:] < series[:-1]).any():
            series = np.sort(series)
        result.append(merged(series[-_RAW:], least))
    return result


def merged(series: Floats, least: float) -> Floats:
    """The first of each group of times that are at most ``least`` seconds apart from the one before."""
    if least <= 0 or series.size < 2:
        return series
    first = np.concatenate([[True], series[1:] - series[:-1] > least])
    return cast("Floats", series[first])


def detect(
    times: Sequence[Floats],
    *,
    now: float,
    timezones: Sequence[str] | None = None,
    merge: Sequence[float] | None = None,
) -> list[ArrivalModel]:
    """One model per workload from its request times (UTC seconds, any order; the newest 512 arrivals count).

    ``now`` (UTC seconds) tells how long nothing has come. ``timezones`` (IANA, default UTC) are those of the
    workloads' schedules. ``merge``: requests closer than this many seconds (the execution time) are one arrival;
    bursts that stand out by themselves are merged anyway. Raises InputError for a bad time or zone.
    """
    zones = list(timezones) if timezones is not None else ["UTC"] * len(times)
    least = list(merge) if merge is not None else [0.0] * len(times)
    if len(zones) != len(times) or len(least) != len(times):
        raise InputError("give one time zone and one merge time per workload")
    for name in dict.fromkeys(zones):
        calendars.zone(name)
    series = _clean(times, least)

    def chunk(begin: int) -> list[ArrivalModel]:
        return _chunk(series[begin : begin + _CHUNK], now, zones[begin : begin + _CHUNK])

    return [model for part in threads.each(chunk, range(0, len(series), _CHUNK)) for model in part]


def _chunk(series: list[Floats], now: float, zones: list[str]) -> list[ArrivalModel]:
    arrivals, best = _trains(series)
    ages, _counts = pack(arrivals, trains.WINDOWS[-1])
    last = np.array([item[-1] if len(item) else 0.0 for item in arrivals])
    own = np.nonzero(best.found)[0]
    first = describe(ages[own], best.rows(own), last[own], now)
    uneven = set(own[alternates(ages[own], best.rows(own))].tolist())
    schedules: list[tuple[Schedule, ...]] = [()] * len(series)
    for row, item in zip(own.tolist(), first):
        if item is not None:
            rested = best.used[row] < min(len(arrivals[row]), trains.WINDOWS[-1])
            whole = (_limited(arrivals[row], item, zones[row], now) if rested else item,)
            schedules[row] = (halves(arrivals[row], item, now) if row in uneven else ()) or whole
    _more_trains(arrivals, best, schedules, now)
    rows = [row for row, item in enumerate(arrivals) if not schedules[row] and not best.found[row] and len(item) >= 12]
    again = mixed.find([arrivals[row] for row in rows], now, [zones[row] for row in rows])
    for row, found in again.items():
        schedules[rows[row]] = found
    requests = [len(item) for item in series]
    return [_model(*item, now) for item in zip(arrivals, schedules, zones, requests)]


def _trains(series: list[Floats]) -> tuple[list[Floats], trains.Trains]:
    """The arrivals, with bursts merged where a train is then found (or no other is), and the best train of each."""
    ages, counts = pack(series, trains.WINDOWS[-1])
    arrivals = list(series)
    for row in np.nonzero(may_burst(ages, counts))[0].tolist():
        gap = burst_gap(series[row])
        fewer = merged(series[row], gap)
        if len(fewer) >= gaps.LEAST:
            arrivals[row] = fewer
    best = trains.find(*pack(arrivals, trains.WINDOWS[-1]))
    back = [row for row, item in enumerate(arrivals) if item is not series[row] and not best.found[row]]
    if back:
        again = trains.find(*pack([series[row] for row in back], trains.WINDOWS[-1]))
        for index, row in enumerate(back):
            arrivals[row] = series[row]
            best.put(row, again, index)
    return arrivals, best


def _limited(series: Floats, found: Schedule, name: str, now: float) -> Schedule:
    """A train that explains only the newest arrivals may be one that rests at night: then the hours say it better."""
    kept = series[-trains.KEPT :]
    if found.drifting or found.period > 7200:
        return found
    rest = kept - found.anchor - np.rint((kept - found.anchor) / found.period) * found.period
    inside = np.abs(rest) <= max(4 * found.jitter, 0.02 * found.period)
    if inside.mean() < 0.8:
        return found
    active = mixed.activity(kept[inside], found.period, found.anchor, name, now)
    return active if active is not None and active.used > found.used else found


def _more_trains(
    arrivals: list[Floats], best: trains.Trains, schedules: list[tuple[Schedule, ...]], now: float
) -> None:
    """Trains among what the first ones leave unexplained, twice at most."""
    alone = [row for row, item in enumerate(schedules) if len(item) == 1 and not item[0].days]
    rows = np.array(alone, dtype=np.int64)
    series, found = [arrivals[row] for row in rows.tolist()], best.rows(rows)
    for _turn in range(mixed.MOST_TRAINS - 1):
        if not rows.size:
            return
        ages, _counts = pack(series, trains.WINDOWS[-1])
        rest = left_over(ages, found)
        number = rest.sum(axis=1)
        worth = (number >= np.maximum(gaps.LEAST, 0.03 * found.used)) & _steady(ages, rest, number)
        own = np.nonzero(worth)[0].tolist()
        left = [series[index][-1] - ages[index][rest[index]][::-1] for index in own]
        fitted, rows = found.used[own], rows[own]
        ages, counts = pack(left)
        found = trains.find(ages, counts)
        described = describe(ages, found, np.array([item[-1] for item in left]), now)
        kept = []
        for index, item in enumerate(described):
            if item is not None and found.found[index] and found.used[index] >= 0.6 * counts[index]:
                share = item.share * len(left[index]) / float(fitted[index])
                row = int(rows[index])
                if len(schedules[row]) == 1:
                    schedules[row] = (_by_itself(arrivals[row], left[index], schedules[row][0], now),)
                schedules[row] += (replace(item, share=share),)
                kept.append(index)
        rows, series, found = rows[kept], [left[index] for index in kept], found.rows(np.array(kept, dtype=np.int64))


def _by_itself(series: Floats, others: Floats, found: Schedule, now: float) -> Schedule:
    """A train described by its own arrivals, once another one is found among the rest."""
    kept = series[series >= others[0]]
    own = schedule(kept[~np.isin(kept, others)], found.period, found.anchor, now)
    return replace(own, share=found.share) if own is not None else found


def _steady(ages: Floats, rest: Bools, number: Ints) -> Bools:
    """Whether what is left is much, or comes more evenly than chance arrivals do."""
    masked = np.where(rest, ages, np.nan)
    order = np.sort(masked, axis=1)
    gaps = order[:, 1:] - order[:, :-1]
    known = np.isfinite(gaps)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, gaps, 0.0).sum(axis=1) / count
    spread = np.sqrt(np.where(known, (gaps - mean[:, None]) ** 2, 0.0).sum(axis=1) / count)
    return np.asarray((spread < 0.6 * mean) | (number > 0.2 * np.isfinite(ages).sum(axis=1)))


def _may_follow_rules(series: Floats, found: tuple[Schedule, ...], name: str) -> bool:
    """Whether cron-like rules are worth a look: few enough arrivals a day over several days, and no train that says it
    better. A train of about whole hours may be one that follows the local clock."""
    if len(series) < 4 or any(item.hours or item.days for item in found):
        return False
    kept = series[-trains.KEPT :]
    span = float(kept[-1] - kept[0]) / calendars.DAY
    if span < 3 or len(kept) > _RULES_PER_DAY * max(span, 1.0):
        return False
    if not found:
        return True
    days = any(_about(item.period, calendars.DAY) for item in found)
    return days or (name != "UTC" and any(_about(item.period, 3600.0) and item.period > 5000 for item in found))


def _about(period: float, unit: float) -> bool:
    """Whether a period is a whole number of units, as far as a change to summer time lets it look."""
    return abs(period / unit - max(round(period / unit), 1)) < 0.01 * max(period / unit, 1.0)


def _choose(
    found: tuple[Schedule, ...], rules: tuple[CalendarRule, ...], name: str
) -> tuple[tuple[Schedule, ...], tuple[CalendarRule, ...]]:
    """Trains or rules. Rules win where they leave days out, or where the clock that people read is not UTC."""
    if not found or not rules:
        return found, rules
    if name == "UTC" and all(len(rule.days) == 7 for rule in rules):
        return found, ()
    # Rules that cover only some of the train's arrivals would promise less than it.
    covered = sum(len(rule.days) * rule.fill for rule in rules)
    expected_by_trains = sum(604800.0 / item.period * item.fill for item in found)
    return ((), rules) if covered >= 0.8 * expected_by_trains else (found, ())


def _model(series: Floats, trained: tuple[Schedule, ...], name: str, requests: int, now: float) -> ArrivalModel:
    found, rules = trained, cast("tuple[CalendarRule, ...]", ())
    if _may_follow_rules(series, found, name):
        rules, _explained = calendars.rules(series[-trains.KEPT :], now, name)
        found, rules = _choose(found, rules, name)
    events = len(series)
    model = ArrivalModel("unknown", timezone=name, schedules=found, rules=rules)
    if not events:
        return model
    kept = series[-trains.KEPT :]
    model = replace(
        model,
        kind="unknown" if events < gaps.LEAST else "aperiodic",
        rate=len(kept) / max(now - float(kept[0]), 1.0),
        burst=requests / events,
        events=events,
        since=float(kept[0]),
        last=float(kept[-1]),
    )
    if found:
        main = max(found, key=lambda item: item.confidence)
        kind, period, phase = "periodic" if len(found) == 1 else "several", main.period, main.phase
        return _described(model, kind, period, phase, main)
    if rules:
        first = max(rules, key=lambda item: item.confidence)
        period = calendars.DAY if len(first.days) == 7 else 7 * calendars.DAY
        return _described(model, "calendar", period, first.second, first)
    return model


def _described(
    model: ArrivalModel, kind: str, period: float, phase: float, main: Schedule | CalendarRule
) -> ArrivalModel:
    return replace(
        model, kind=kind, period=period, phase=phase, jitter=main.jitter, fill=main.fill, confidence=main.confidence
    )


def _bounds(residuals: tuple[float, ...], level: float) -> tuple[float, float, float]:
    """Low, middle and high residual of the central interval of that level."""
    tail = (1 - level) / 2
    low, middle, high = np.interp([tail, 0.5, 1 - tail], RESIDUAL_LEVELS, residuals)
    return float(low), float(middle), float(high)


def next_arrivals(
    model: ArrivalModel, start: float, end: float, level: float = 0.8, most: int = 10000
) -> list[tuple[float, float, float]]:
    """Expected arrivals in [start, end) as (expected, low, high) in UTC seconds, ascending: the interval holds the
    arrival with probability ``level`` if it comes. Empty where nothing is expected at known times. At most ``most``."""
    if not 0 < level < 1:
        raise InputError(f"{level!r} is not a level between 0 and 1")
    found: list[tuple[float, float, float]] = []
    for train in model.schedules:
        found += expected(train, start, end, _bounds(train.residuals, level), model.timezone, most)
    for rule in model.rules:
        low, middle, high = _bounds(rule.residuals, level)
        found += [
            (moment + middle, moment + low, moment + high)
            for moment in calendars.rule_times(rule, start - middle, end - middle, model.timezone)
        ]
    return sorted(item for item in found if math.isfinite(item[0]) and start <= item[0] < end)[:most]

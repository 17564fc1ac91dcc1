# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantile forecasts of usage series, batched, whatever their history.

A series with two cycles or more gets the ensemble that its own backtest chooses (backtest.py) with quantiles from the
errors of that backtest (intervals.py); a shorter one gets a flat forecast with the spread of what was seen, widened for
how little that is. Every answer carries its own error (types.Trust).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.errors import InputError
from . import backtest, candidates, fill, intervals, online, seasonality, threads
from .types import LEVELS, Forecasts, Season, Trust

if TYPE_CHECKING:
    from .candidates import Singles
    from .types import Bools, Floats, Ints

_CHUNK = 64
_DAY = 86400.0
_SCORED = (0.5, 0.9, 0.95)


def forecast(
    values: Floats,
    step: float,
    start: float,
    horizon: int,
    levels: Sequence[float] = LEVELS,
    *,
    lower: float | None = 0.0,
    upper: Floats | None = None,
    seasons: Sequence[Season] | None = None,
    incumbents: Sequence[str] | None = None,
    widen: Floats | None = None,
) -> Forecasts:
    """Forecast each row of ``values`` (series, slots), NaN where missing, for ``horizon`` slots from ``start``.

    The last slot of ``values`` ends at ``start`` (UTC seconds); slots are ``step`` seconds long. ``levels`` ascend
    within (0, 1). Quantiles never cross, and stay within ``lower`` (None: unbounded) and ``upper`` (per series, NaN:
    unbounded). ``seasons`` are detected if not given. ``incumbents`` are the model names of the previous run, whose
    members stay unless beaten by 5 %. ``widen`` (per series) stretches what lies above the median, by what
    online.follow learned from earlier forecasts. Raises InputError for wrong shapes, infinite values or bad levels.
    """
    values, quantiles = _checked(values, step, horizon, levels)
    if seasons is None:
        seasons = seasonality.detect(values, step)
    rows = len(values)
    result = np.zeros((rows, len(quantiles), horizon))
    trust: list[Trust | None] = [None] * rows
    known = np.isfinite(values)
    jobs = [
        (length, count, index[begin : begin + _CHUNK])
        for (length, count), index in _groups(known, seasons, step, horizon).items()
        for begin in range(0, len(index), _CHUNK)
    ]

    def work(job: tuple[float, int, Ints]) -> None:
        length, count, part = job
        names = [incumbents[row] for row in part] if incumbents is not None else None
        series, trusts = _Batch(values[part], known[part], step, length, count, quantiles, names).run(horizon)
        result[part] = series
        for row, item in zip(part.tolist(), trusts):
            trust[row] = replace(item, period=seasons[row].period, second_period=seasons[row].second_period)

    threads.each(work, jobs)
    if widen is not None:
        result = online.widened(result, quantiles, np.asarray(widen, dtype=float))
    if lower is not None:
        np.maximum(result, lower, out=result)
    if upper is not None:
        limit = np.asarray(upper, dtype=float)[:, None, None]
        result = np.where(result > limit, limit, result)
    return Forecasts(start, step, tuple(quantiles.tolist()), result, tuple(item for item in trust if item is not None))


def _checked(values: Floats, step: float, horizon: int, levels: Sequence[float]) -> tuple[Floats, Floats]:
    values = np.asarray(values, dtype=float)
    quantiles = np.asarray(levels, dtype=float)
    if values.ndim != 2 or not step > 0 or not math.isfinite(step):
        raise InputError("values must be (series, slots) with a positive step")
    if horizon < 1:
        raise InputError(f"a horizon of {horizon} slots is too short", hint="ask for at least one step")
    if np.isinf(values).any():
        raise InputError("values must be finite or missing")
    if np.abs(np.where(np.isfinite(values), values, 0.0)).max(initial=0.0) > 1e30:
        raise InputError("values must be below 1e30")
    if quantiles.ndim != 1 or not quantiles.size or not ((quantiles > 0) & (quantiles < 1)).all():
        raise InputError("quantiles must lie between 0 and 1", hint="for example 0.5, 0.95")
    if (np.diff(quantiles) <= 0).any():
        raise InputError("quantiles must ascend")
    return values, quantiles


def base_cycle(season: Season, step: float, slots: int) -> float:
    """The length (slots) of the cycle that is forecast as one: a day where that is a whole number of periods or there
    is none, else the number of periods nearest to a day; shorter where the history has not three of them."""
    day = _DAY / step
    period = season.period / step if season.period else 0.0
    if period <= 0 or slots < 3 * period:
        return day if day >= 2 else 7.0
    if period >= day * 0.99:
        ratio = period / day
        weekly = abs(ratio - 7) < 0.1 or abs(ratio - 1) < 0.01
        return day if weekly and day >= 2 else max(period, 2.0)
    times = max(round(day / period), 1)
    length = day if abs(times * period / day - 1) < 0.002 * times else times * period
    while times > 1 and slots < 4 * times * period:
        times -= 1
        length = times * period
    return max(length, 2.0)


def _groups(known: Bools, seasons: Sequence[Season], step: float, horizon: int) -> dict[tuple[float, int], Ints]:
    """Rows of like cycle length and like number of cycles of history. Zero cycles: too short for any."""
    slots = known.shape[1]
    rows: dict[tuple[float, int], list[int]] = {}
    first = np.where(known.any(axis=1), known.argmax(axis=1), slots)
    enough = known.sum(axis=1)
    for row in range(len(known)):
        length = round(base_cycle(seasons[row], step, slots - int(first[row])), 3)
        count = min(int((slots - int(first[row]) + 0.5) // length), candidates.MOST_CYCLES + backtest.ORIGINS)
        # A cycle counts only if it was mostly seen, and a backtest needs something that came.
        tested = known[row, -math.ceil(backtest.origins(count) * length) :].sum() if count >= 2 else 0
        if count < 2 or enough[row] < 0.3 * count * length or tested < max(0.25 * length, 1):
            count, length = 0, float(max(horizon, 1))
        rows.setdefault((length, count), []).append(row)
    return {key: np.array(index, dtype=np.int64) for key, index in rows.items()}


class _Batch:
    """Series of one chunk that share the length and the number of their cycles."""

    def __init__(
        self,
        values: Floats,
        known: Bools,
        step: float,
        length: float,
        count: int,
        levels: Floats,
        incumbents: list[str] | None,
    ) -> None:
        self.step, self.length, self.count, self.levels = step, length, count, levels
        keep = math.ceil(count * length + 1) if count else values.shape[1]
        self.days, self.samples = _days(known, step), known.sum(axis=1)
        self.values, self.known = values[:, -keep:], known[:, -keep:]
        self.incumbents = _members(incumbents) if incumbents is not None else None
        low = np.nanmin(np.where(self.known, self.values, np.inf), axis=1, initial=np.inf)
        high = np.nanmax(np.where(self.known, self.values, -np.inf), axis=1, initial=-np.inf)
        self.offset = np.where(np.isfinite(low), low, 0.0)
        self.scale = np.where(high > low, high - self.offset, 1.0)

    def run(self, horizon: int) -> tuple[Floats, list[Trust]]:
        """Quantile series (series, levels, horizon) in the unit of the values, and what Trust says of each."""
        unit = ((self.values - self.offset[:, None]) / self.scale[:, None]).astype(np.float32)
        if not self.count:
            series, trusts = self._short(unit, horizon)
        else:
            series, trusts = self._cyclic(unit, horizon)
        return series.astype(float) * self.scale[:, None, None] + self.offset[:, None, None], trusts

    def _short(self, unit: Singles, horizon: int) -> tuple[Singles, list[Trust]]:
        """Flat quantiles of what was seen; each moves away from the median by one part in the number of days. What a
        day holds is not known before one was seen: until then the spread is at least a part of the level itself."""
        ordered = np.sort(unit, axis=1)
        counts = self.known.sum(axis=1).astype(float)
        spread = intervals.of_sorted(ordered, counts, self.levels)
        middle = intervals.of_sorted(ordered, counts, np.array([0.5]))
        wider = (1 + np.minimum(1 / np.maximum(self.days, 0.02), 3.0))[:, None].astype(np.float32)
        reach = np.abs(self.offset + middle[:, 0] * self.scale) / self.scale * np.maximum(1 - self.days, 0.0)
        least = 2 * (self.levels - 0.5)[None, :] * reach[:, None]
        seen = (spread - middle) * wider
        away = np.where(np.abs(seen) > np.abs(least), seen, least)
        flat = np.where(counts[:, None] > 0, middle + away, 0.0)
        flat = np.maximum.accumulate(flat, axis=1)
        series = np.repeat(flat[:, :, None], horizon, axis=2).astype(np.float32)
        trusts = [self._trust(row, "flat", None, None, None) for row in range(len(unit))]
        return series, trusts

    def _cyclic(self, unit: Singles, horizon: int) -> tuple[Singles, list[Trust]]:
        week = 7 * _DAY / self.step / self.length
        whole_week = round(week) if abs(week - round(week)) < 0.02 and week > 1.5 else 0
        history = fill.missing(unit, self.known, self.length)
        cycles = candidates.cut(history, self.length, whole_week)
        known = candidates.cut(self.known.astype(np.float32), self.length, 0).shape > 0.5
        chosen = backtest.choose(cycles, known, self.incumbents)
        band = intervals.around(chosen.forecast, chosen.errors, self.levels)
        mase, pinball, coverage = backtest.trust(chosen, cycles, known, _SCORED)
        names = [_name(row) for row in chosen.members]
        trusts = [
            self._trust(row, names[row], mase[row], pinball[row] * self.scale[row], coverage[row])
            for row in range(len(unit))
        ]
        return intervals.tile(band, chosen.forecast, horizon), trusts

    def _trust(self, row: int, model: str, mase: float | None, pinball: float | None, coverage: float | None) -> Trust:
        def number(value: float | None) -> float | None:
            return float(value) if value is not None and math.isfinite(value) else None

        days = float(self.days[row])
        error = number(mase)
        trusted = (1 - math.exp(-days / 3)) / (1 + (error if error is not None else 3.0) ** 2)
        return Trust(
            model=model,
            period=None,
            second_period=None,
            mase=error,
            pinball=number(pinball),
            coverage=number(coverage),
            days=days,
            samples=int(self.samples[row]),
            confidence=trusted,
        )


def _days(known: Bools, step: float) -> Floats:
    """Days from the first known sample to the end."""
    slots = known.shape[1]
    first = np.where(known.any(axis=1), known.argmax(axis=1), slots)
    return np.asarray((slots - first) * step / _DAY, dtype=float)


def _name(members: Ints) -> str:
    """What a chosen ensemble is called: its members, best first."""
    return "+".join(dict.fromkeys(candidates.NAMES[index] for index in members))


def _members(models: list[str]) -> Bools:
    """The candidates that previous model names stand for (rows, NAMES)."""
    return np.array([[name in model.split("+") for name in candidates.NAMES] for model in models])

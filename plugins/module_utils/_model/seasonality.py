# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The periods of usage series: batched, with missing samples, at most two seasons each.

What chance would show is an AR(1) process, so each series is whitened by its own lag-one correlation before its linear
autocorrelation is taken, from zero-padded FFTs of the values and of their mask (a circular one invents periods). That
is done at several resolutions, each for lags of its own, since a smooth daily cycle is invisible from sample to sample
and a pulse is invisible in means over hours. A lag is scored by a comb: the mean autocorrelation at its multiples minus
that half-way between them, in standard errors of white noise. Of the lags that pass, the shortest whose phase profile
explains most of the best one's variance is the period; three cycles must have been seen before any claim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.errors import InputError
from . import sampling, threads
from .spectrum import BAND, search
from .trains import CALENDAR
from .types import Season

if TYPE_CHECKING:
    from .types import Bools, Floats, Ints

_CHUNK = 64
_LEAST = 12
_COST = 2.8
_SNAP = 0.02
_DAY = 86400.0
_SHORTER = 0.8


def detect(values: Floats, step: float, seasons: int = 2) -> list[Season]:
    """The season of each row of ``values`` (series, slots), NaN where missing, slots ``step`` seconds apart.

    At most two ``seasons``. Raises InputError for a wrong shape, step or an infinite value.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or not step > 0:
        raise InputError("values must be (series, slots) with a positive step")
    if np.isinf(values).any():
        raise InputError("values must be finite or missing")
    found = [Season()] * len(values)
    jobs = []
    for part in sampling.parts(values):
        own, begins = part.of(values), range(0, len(part.rows), _CHUNK)
        jobs += [(part.rows[n : n + _CHUNK], own[n : n + _CHUNK], step * part.every) for n in begins]
    answers = threads.each(lambda job: _chunk(job[1], job[2], seasons), jobs)
    for (rows, _own, _step), answer in zip(jobs, answers):
        for row, season in zip(rows.tolist(), answer):
            found[row] = season
    return found


def _chunk(values: Floats, step: float, seasons: int) -> list[Season]:
    rows, slots = values.shape
    if slots < _LEAST:
        return [Season()] * rows
    rest, mask = prepare(values)
    total = np.maximum((rest * rest).sum(axis=1), 1e-300)
    periods = np.full((rows, 2), np.nan)
    strength, score = np.zeros(rows), np.zeros(rows)
    index = np.nonzero((mask.sum(axis=1) >= _LEAST) & (total > 1e-200))[0]
    for turn in range(2):
        if not index.size or turn >= seasons:
            break
        lags, scores, factors = _with_day(*search(rest[index], mask[index]), step, slots)
        lags = _snap(lags, step)
        main, second, _gain = _choose(rest[index], mask[index], lags, factors, step)
        kept = main >= 0
        index, lags, scores, main, second = index[kept], lags[kept], scores[kept], main[kept], second[kept]
        if not index.size:
            break
        own = np.arange(len(index))
        periods[index, turn] = lags[own, main]
        if turn == 0:
            score[index] = scores[own, main]
            periods[index, 1] = np.where(second >= 0, lags[own, second], np.nan)
        longest = np.where(second >= 0, lags[own, second], lags[own, main])
        rest[index] = (rest[index] - _profile(rest[index], mask[index], longest)[0]) * mask[index]
        strength[index] = 1 - (rest[index] ** 2).sum(axis=1) / total[index]
        # A row whose second period is known already needs no second turn.
        index = index[second < 0]
    return [_season(periods[row] * step, float(strength[row]), float(score[row])) for row in range(rows)]


def _with_day(lags: Floats, scores: Floats, factors: Floats, step: float, slots: int) -> tuple[Floats, Floats, Floats]:
    """The candidates, and the day beside them where there is one near it or near some days: it may be hidden there."""
    day = _DAY / step
    if not 4 <= day <= slots / 3:
        return lags, scores, factors
    days = lags / day
    near = np.abs(days - np.clip(np.rint(days), 1, 7)) < 0.04
    column = np.where(near.any(axis=1), day, np.nan)[:, None]
    # It was not found by itself, so it must explain four times what one that was found must.
    coarse = 2.0 ** max(np.floor(np.log2(day / BAND)) - 2, 0)
    best = scores.max(axis=1, keepdims=True)
    return np.hstack([lags, column]), np.hstack([scores, best]), np.append(factors, coarse)


def _season(periods: Floats, strength: float, score: float) -> Season:
    first, second = (float(item) if np.isfinite(item) else None for item in periods)
    if first is not None and second is not None and abs(second / first - 1) < 0.1:
        second = None
    return Season(first, second, strength, score)


def prepare(values: Floats) -> tuple[Floats, Bools]:
    """Detrended, clipped and centred values with zeros where missing, and the mask of what is known.

    The trend is the least-squares line. Isolated extremes (more than 6 MAD from the median) are clipped only where
    they are under 1 % of the samples: more of them are a pulse train.
    """
    mask = np.isfinite(values)
    known = mask.sum(axis=1)
    filled = np.where(mask, values, 0.0)
    scale = np.maximum(np.abs(filled).max(axis=1, initial=0.0, keepdims=True), 1e-300)
    filled = filled / scale
    axis = np.arange(values.shape[1], dtype=float)
    axis = axis / max(axis[-1], 1.0) - 0.5
    count = np.maximum(known, 1)[:, None]
    centre = (mask * axis).sum(axis=1, keepdims=True) / count
    mean = filled.sum(axis=1, keepdims=True) / count
    along = np.where(mask, axis - centre, 0.0)
    spread = np.maximum((along * along).sum(axis=1, keepdims=True), 1e-9)
    slope = (along * filled).sum(axis=1, keepdims=True) / spread
    rest = np.where(mask, filled - mean - slope * along, 0.0)
    rest = _clip(rest, mask)
    rest = np.where(mask, rest - rest.sum(axis=1, keepdims=True) / count, 0.0)
    flat = (rest * rest).sum(axis=1) < 1e-18 * count[:, 0]
    rest[flat] = 0.0
    return rest, mask


def _clip(rest: Floats, mask: Bools) -> Floats:
    part = rest[:, :: max(rest.shape[1] // 512, 1)]
    middle = np.median(part, axis=1, keepdims=True)
    deviation = np.median(np.abs(part - middle), axis=1, keepdims=True)
    limit = 6 * 1.4826 * deviation
    far = (np.abs(rest - middle) > limit) & mask
    few = (far.mean(axis=1, keepdims=True) < 0.01) & (limit > 0)
    return cast("Floats", np.where(far & few, np.clip(rest, middle - limit, middle + limit), rest))


def _choose(rest: Floats, mask: Bools, lags: Floats, factors: Floats, step: float) -> tuple[Ints, Ints, Floats]:
    """Which candidate of each row is its period, and which its second one (-1 where none); and the gains of all.

    The gain is Schwarz's criterion of the phase profile against no season, with as many parameters as the lag has slots
    at the resolution at which it was found. A day is preferred to its multiples, and a shorter cycle that explains four
    fifths of what a multiple does to that: then the multiple is the second period.
    """
    rows, count = lags.shape
    # The same lag found at a coarser resolution costs less there: the last of twins counts.
    for place in range(count - 1):
        twin = (np.abs(lags[:, place + 1 :] / lags[:, place, None] - 1) < 0.004).any(axis=1)
        lags[twin, place] = np.nan
    gain, energy = np.full(lags.shape, -np.inf), np.zeros(lags.shape)
    known = mask.sum(axis=1).astype(float)
    for place in range(count):
        own = np.nonzero(np.isfinite(lags[:, place]))[0]
        if own.size:
            part = np.clip(explained(rest[own], mask[own], lags[own, place]), 0.0, 0.999)
            parameters = lags[own, place] / factors[place]
            gained = -known[own] * np.log1p(-part)
            energy[own, place] = part
            gain[own, place] = np.where(gained > _COST * parameters, gained - parameters, -np.inf)
    index = np.arange(rows)
    best = gain.argmax(axis=1)
    second = np.full(rows, -1)
    day = (np.abs(lags * step / _DAY - 1) < _SNAP) & (energy > 0.2 * energy[index, best][:, None])
    day &= _divides(lags, lags[index, best]) & np.isfinite(gain)
    main = np.where(day.any(axis=1), day.argmax(axis=1), best)
    inside = _divides(lags, lags[index, main]) & np.isfinite(gain)
    inside &= energy > _SHORTER * energy[index, main][:, None]
    hit = inside.any(axis=1)
    main[hit] = np.where(inside, 1.0 / lags, -np.inf)[hit].argmax(axis=1)
    second[main != best] = best[main != best]
    main[~np.isfinite(gain[index, best])] = -1
    return main, second, gain


def _divides(lags: Floats, base: Floats) -> Bools:
    """Which lags go a whole number of times, twice or more, into the ``base`` of their row."""
    ratio = base[:, None] / lags
    return np.asarray((ratio > 1.5) & (np.abs(ratio - np.rint(ratio)) < 0.03 * ratio))


def explained(rest: Floats, mask: Bools, lags: Floats) -> Floats:
    """The part of the variance that the phase profile of each row's lag explains beyond what chance would, after a
    moving average over the lag has taken levels away."""
    inner = np.empty_like(rest)
    lengths = np.maximum(np.rint(lags).astype(np.int64), 2)
    for length in np.unique(lengths).tolist():
        rows = np.nonzero(lengths == length)[0]
        inner[rows] = np.where(mask[rows], rest[rows] - _level(rest[rows], mask[rows], length), 0.0)
    profile, occupied = _profile(inner, mask, lags)
    between = (profile * inner).sum(axis=1)
    within = (inner * inner).sum(axis=1) - between
    known = mask.sum(axis=1)
    total = np.maximum((rest * rest).sum(axis=1), 1e-300)
    return cast("Floats", (between - (occupied - 1) * within / np.maximum(known - occupied, 1)) / total)


def _level(rest: Floats, mask: Bools, length: int) -> Floats:
    """The moving average over ``length`` slots, whole windows only: the ends keep the nearest one's."""
    slots = rest.shape[1]
    length = min(length, slots)
    sums = np.zeros((len(rest), slots + 1))
    np.cumsum(rest, axis=1, out=sums[:, 1:])
    total = sums[:, length:] - sums[:, :-length]
    if mask.all():
        total /= length
    else:
        counts = np.zeros((len(rest), slots + 1))
        np.cumsum(mask, axis=1, out=counts[:, 1:])
        total /= np.maximum(counts[:, length:] - counts[:, :-length], 1)
    result = np.empty_like(rest)
    begin = length // 2
    end = begin + total.shape[1]
    result[:, begin:end] = total
    result[:, :begin] = total[:, :1]
    result[:, end:] = total[:, -1:]
    return result


def _snap(lag: Floats, step: float) -> Floats:
    """Periods within 2 % of one that people choose are that one."""
    chosen = np.array(CALENDAR, dtype=float) / step
    place = np.where(lag > 0, lag, 1.0)
    above = np.clip(np.searchsorted(chosen, place), 1, len(chosen) - 1)
    nearest = np.where(place / chosen[above - 1] < chosen[above] / place, chosen[above - 1], chosen[above])
    return cast("Floats", np.where((np.abs(nearest / place - 1) <= _SNAP) & (lag > 0), nearest, lag))


def _profile(rest: Floats, mask: Bools, lags: Floats) -> tuple[Floats, Floats]:
    """The mean of each phase, laid out over the slots, of each row, and the number of phases seen."""
    rows, slots = rest.shape
    size = int(np.ceil(lags.max())) + 1
    phase = (np.arange(slots)[None, :] % lags[:, None]).astype(np.int64)
    index = (phase + np.arange(rows)[:, None] * size).ravel()
    total = np.bincount(index, weights=rest.ravel(), minlength=rows * size)
    count = np.bincount(index, weights=mask.ravel().astype(float), minlength=rows * size)
    mean = total / np.maximum(count, 1)
    return mean[index].reshape(rows, slots), (count > 0).reshape(rows, size).sum(axis=1).astype(float)

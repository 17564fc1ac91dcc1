# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantiles around a forecast from the errors that it made in the backtest.

For each part of the cycle (a 24th of it) the errors of that part and its neighbours over all origins are pooled, mixed
with the quantiles of all errors, and added to the forecast: split-conformal prediction (Lei et al., Distribution-free
predictive inference for regression, 2018) with local scale. Levels are stretched for few origins, whose extremes
understate what comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from .candidates import Singles
    from .types import Floats

_PARTS = 24
_LOCAL = 0.5
_SHARED = 0.3


def _sorted_quantiles(ordered: Singles, counts: Floats, levels: Floats) -> Singles:
    """Quantiles (..., levels) of values sorted along the last axis with NaN at the end; NaN where there is none."""
    place = np.clip(counts[..., None] * levels - 0.5, 0, np.maximum(counts[..., None] - 1, 0))
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(counts[..., None] - 1, 0).astype(np.int64))
    part = (place - low).astype(np.float32)
    below = np.take_along_axis(ordered, low, axis=-1)
    above = np.take_along_axis(ordered, high, axis=-1)
    return below + part * (above - below)


def around(forecast: Singles, errors: Singles, levels: Floats) -> Singles:
    """Quantile series (series, levels, slots), non-decreasing along the levels. ``forecast`` (series, slots),
    ``errors`` (series, origins, slots) with NaN where nothing was measured."""
    if 0.5 not in levels:  # all others are centred on the median
        more = np.sort(np.append(levels, 0.5))
        return around(forecast, errors, more)[:, more != 0.5]
    rows, tests, slots = errors.shape
    stretch = 1 + 0.2 / max(tests, 1)
    asked = np.clip(0.5 + (levels - 0.5) * stretch, 0.001, 0.999)
    whole = np.sort(errors.reshape(rows, -1), axis=1)
    counts = np.isfinite(whole).sum(axis=1).astype(float)
    overall = _sorted_quantiles(whole, counts, asked)
    parts = min(_PARTS, slots)
    edges = np.linspace(0, slots, parts + 1).astype(np.int64)
    width = int(np.diff(edges).max())
    local = np.empty((rows, parts, len(levels)), dtype=np.float32)
    for part in range(parts):
        index = np.arange(edges[part] - width, edges[part + 1] + width) % slots
        pool = np.sort(errors[:, :, index].reshape(rows, -1), axis=1)
        local[:, part] = _sorted_quantiles(pool, np.isfinite(pool).sum(axis=1).astype(float), asked)
    local = np.where(np.isfinite(local), local, overall[:, None, :])
    mixed = np.float32(_LOCAL) * local + np.float32(1 - _LOCAL) * overall[:, None, :]
    centres = (edges[:-1] + edges[1:] - 1) / 2
    result = np.empty((rows, len(levels), slots), dtype=np.float32)
    # Linear in between, and around the end of the cycle.
    at = np.arange(slots, dtype=float)
    right = np.searchsorted(centres, at)
    left_part, right_part = (right - 1) % parts, right % parts
    left_at = np.where(right > 0, centres[left_part], centres[left_part] - slots)
    right_at = np.where(right < parts, centres[right_part], centres[right_part] + slots)
    weight = ((at - left_at) / np.maximum(right_at - left_at, 1e-9)).astype(np.float32)
    for level in range(len(levels)):
        spread = mixed[:, :, level]
        result[:, level] = forecast + spread[:, left_part] * (1 - weight) + spread[:, right_part] * weight
    wider = (1 + _SHARED * shared(errors))[:, None, None].astype(np.float32)
    middle = result[:, levels == 0.5]
    # The forecast itself is the median: correcting it by the median of few errors makes it worse (measured).
    result = forecast[:, None, :] + (result - middle) * wider
    return np.maximum.accumulate(result, axis=1)


def shared(errors: Singles) -> Floats:
    """The part (0..1) of the mean square error of each series (series, origins, slots) that all slots of an origin
    share. Where it is large, the origins and not the slots are the independent observations, and those are few."""
    known = np.isfinite(errors)
    count = np.maximum(known.sum(axis=2), 1)
    mean = np.where(known, errors, 0.0).sum(axis=2) / count
    square = np.where(known, errors * errors, 0.0).sum(axis=(1, 2)) / np.maximum(known.sum(axis=(1, 2)), 1)
    between = (mean * mean * count).sum(axis=1) / np.maximum(count.sum(axis=1), 1)
    return np.asarray(np.clip(between / np.maximum(square, 1e-30), 0.0, 1.0), dtype=float)


def of_sorted(ordered: Singles, counts: Floats, levels: Floats) -> Singles:
    """Quantiles (rows, levels) of rows sorted with NaN at the end; NaN where a row has no value."""
    return _sorted_quantiles(ordered, counts, levels)


def tile(band: Singles, middle: Singles, horizon: int) -> Singles:
    """The band of one cycle (series, levels, slots) laid out over ``horizon`` slots around its median (series, slots).
    Levels wander: the square of the spread grows by a quarter of the first cycle's with each further one."""
    slots = band.shape[2]
    if horizon <= slots:
        return band[:, :, :horizon]
    repeats = -(-horizon // slots)
    centre = middle[:, None, :]
    parts = [centre + (band - centre) * np.float32(np.sqrt(1 + 0.25 * index)) for index in range(repeats)]
    return cast("Singles", np.concatenate(parts, axis=2)[:, :, :horizon])


def pooled(errors: Singles, levels: Floats) -> Singles:
    """Quantiles (series, levels) of all errors of each series."""
    ordered = np.sort(errors.reshape(len(errors), -1), axis=1)
    return _sorted_quantiles(ordered, np.isfinite(ordered).sum(axis=1).astype(float), levels)

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples on a regular grid, and quantile series on other grids and at other levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from .types import Floats

# Lengths that a day is a whole number of.
STEPS = (300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0, 86400.0)


def natural_step(times: Floats, least: float = STEPS[0]) -> float:
    """The shortest of STEPS, not under ``least``, that is not finer than the samples usually are."""
    if times.size < 2:
        return least
    usual = float(np.median(np.diff(times)))
    return next((step for step in STEPS if step >= least and step >= 0.9 * usual), STEPS[-1])


def grid(times: Floats, values: Floats, start: float, step: float, slots: int) -> Floats:
    """The mean of the known values in each of ``slots`` slots from ``start``; NaN in a slot without any."""
    place = np.floor((times - start) / step)
    kept = (place >= 0) & (place < slots) & np.isfinite(values)
    index = place[kept].astype(np.int64)
    count = np.bincount(index, minlength=slots)
    total = np.bincount(index, weights=values[kept], minlength=slots)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def at_levels(series: Floats, have: Sequence[float], want: Sequence[float]) -> Floats:
    """Quantile series (levels, slots) at other levels, linear in between; ``want`` must lie within ``have``."""
    place = np.interp(np.asarray(want, dtype=float), np.asarray(have, dtype=float), np.arange(len(have)))
    low = place.astype(np.int64)
    high = np.minimum(low + 1, len(have) - 1)
    part = (place - low)[:, None]
    return np.asarray(series[low] * (1 - part) + series[high] * part, dtype=float)


def at_slots(series: Floats, start: float, step: float, begin: float, wanted: float, slots: int) -> Floats:
    """A quantile series (levels, slots) that begins at ``start`` on another grid: the mean over each wanted slot,
    weighted by how much of it each slot covers. The series must cover the whole of it."""
    sums = np.concatenate([np.zeros((len(series), 1)), np.cumsum(series, axis=1)], axis=1)
    edges = (begin - start) / step + np.arange(slots + 1) * wanted / step
    edges = np.clip(edges, 0, series.shape[1])
    low = np.floor(edges).astype(np.int64)
    high = np.minimum(low + 1, series.shape[1])
    at = sums[:, low] + (edges - low) * (sums[:, high] - sums[:, low])
    return np.asarray(np.diff(at, axis=1) / np.diff(edges), dtype=float)

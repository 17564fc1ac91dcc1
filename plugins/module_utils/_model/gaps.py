# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidate periods of arrivals from the gaps between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from .types import Floats, Ints

# A schedule needs this many arrivals.
LEAST = 6
# Shorter periods are bursts.
SHORTEST = 0.5
_BIN = 0.04
_SIZE, _ZERO = 550, 125


def modes(ages: Floats, counts: Ints, orders: int, peaks: int) -> tuple[Floats, Floats]:
    """The modes of a log histogram (4 % bins) of the differences between events up to ``orders`` apart among the newest
    128 (rows, peaks), NaN where there is none; and how prominent the first one is: its height over that of the broad
    hill around it, which is all that chance arrivals have."""
    newest = ages[:, :128]
    rows, size = newest.shape[0], _SIZE
    histogram = np.zeros((rows, size))
    offset = np.arange(rows)[:, None] * size
    for order in range(1, min(orders, newest.shape[1] - 1) + 1):
        older = newest[:, order:]
        known = np.isfinite(older)
        gaps = np.where(known, older, 1.0) - np.where(known, newest[:, :-order], 0.0)
        known &= gaps > 0
        bins = np.clip(np.log(np.where(known, gaps, 1.0)) / _BIN + _ZERO, 0, size - 1).astype(np.int64)
        hits = np.bincount((bins + offset)[known], minlength=rows * size).reshape(rows, size)
        histogram += hits / (1.0 + 0.5 * (order - 1))
    half, wide, apart = 2, 20, 8
    sums = np.zeros((rows, size + 1))
    np.cumsum(histogram, axis=1, out=sums[:, 1:])
    index = np.arange(rows)
    smooth = np.zeros((rows, size))
    smooth[:, half:-half] = sums[:, 2 * half + 1 :] - sums[:, : -2 * half - 1]
    top = smooth.argmax(axis=1)
    hill = sums[index, np.minimum(top + wide + 1, size)] - sums[index, np.maximum(top - wide, 0)]
    hill *= (2 * half + 1) / (2 * wide + 1)
    prominence = np.where(counts >= LEAST, smooth[index, top] / np.maximum(hill, 1.0), 0.0)
    near = np.arange(-half, half + 1)
    found = []
    for _turn in range(peaks):
        best = np.clip(smooth.argmax(axis=1), half, size - half - 1)
        height = smooth[index, best]
        around = best[:, None] + near
        middle = (histogram[index[:, None], around] * around).sum(axis=1) / np.maximum(height, 1e-9)
        found.append(np.where(height > 1.5, np.exp((middle + 0.5 - _ZERO) * _BIN), np.nan))
        for shift in range(-apart, apart + 1):
            smooth[index, np.clip(best + shift, 0, size - 1)] = 0.0
    result = np.stack(found, axis=1)
    result[~(result >= SHORTEST)] = np.nan
    return result, prominence


def candidates(ages: Floats, counts: Ints) -> Floats:
    """Candidate periods (rows, 5) in seconds, NaN where there is none: three modes of the differences between events up
    to three apart, half of the first, and the median of the newest seven gaps, which follows a schedule that has just
    changed."""
    found, _prominence = modes(ages, counts, orders=3, peaks=3)
    newest = np.where(np.isfinite(ages[:, :8]), ages[:, :8], np.nan)
    recent = newest[:, 1:] - newest[:, :-1]
    last = np.full(len(ages), np.nan)
    enough = counts >= LEAST
    if enough.any():
        last[enough] = np.nanmedian(recent[enough], axis=1)
    result = np.concatenate([found, found[:, :1] / 2, last[:, None]], axis=1)
    result[~(result >= SHORTEST)] = np.nan
    # The same guess twice costs twice.
    for place in range(1, result.shape[1]):
        twin = np.abs(result[:, :place] / result[:, place, None] - 1) < 0.005
        result[twin.any(axis=1), place] = np.nan
    return result

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Missing samples filled in, so that the models need no mask; what was not measured never counts as an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from .candidates import Singles
    from .types import Bools


def missing(values: Singles, known: Bools, length: float) -> Singles:
    """``values`` (series, slots) without gaps: short ones (a 48th of the cycle of ``length`` slots) by a straight line,
    longer ones from the cycle before, those at the begin from the first known sample on by the line again."""
    gaps = ~known.all(axis=1)
    if not gaps.any():
        return values
    if not gaps.all():
        result = values.copy()
        result[gaps] = missing(values[gaps], known[gaps], length)
        return result
    slots = values.shape[1]
    at = np.arange(slots)
    before = np.maximum.accumulate(np.where(known, at, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, at, slots)[:, ::-1], axis=1)[:, ::-1]
    filled = np.where(known, values, 0).astype(np.float32)
    rows = np.arange(len(values))[:, None]
    left = filled[rows, np.maximum(before, 0)]
    right = filled[rows, np.minimum(after, slots - 1)]
    left = np.where(before >= 0, left, right)
    right = np.where(after < slots, right, left)
    part = (at - before) / np.maximum(after - before, 1)
    line = (left + (right - left) * part).astype(np.float32)
    long = ((after - before - 1 > max(length / 48, 2)) | (after >= slots)) & ~known & (before >= 0)
    result = np.where(known, filled, line)
    cycle = round(length)
    for begin in range(cycle, slots, cycle):
        end = min(begin + cycle, slots)
        earlier = result[:, begin - cycle : end - cycle]
        result[:, begin:end] = np.where(long[:, begin:end], earlier, result[:, begin:end])
    return result

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantiles of how far arrivals came from their slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .types import RESIDUAL_LEVELS

if TYPE_CHECKING:
    from .types import Floats, Ints


def quantiles(ordered: Floats, counts: Ints) -> Floats:
    """The residuals at RESIDUAL_LEVELS of rows sorted with inf at the end (rows, levels); wider than the sample's own
    for few of them (each end moves outward by the step that the next observation is expected to add)."""
    levels = np.array(RESIDUAL_LEVELS)
    number = np.maximum(counts, 1)[:, None]
    place = np.clip(0.5 + (levels - 0.5)[None, :] * (1 + 1.0 / number), 0, 1) * (number - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, number - 1)
    ordered = np.where(np.isfinite(ordered), ordered, 0.0)
    below = np.take_along_axis(ordered, low, axis=1)
    inner = below + (place - low) * (np.take_along_axis(ordered, high, axis=1) - below)
    middle = inner[:, len(levels) // 2][:, None]
    return np.asarray(middle + (inner - middle) * (1 + 1.5 / number))

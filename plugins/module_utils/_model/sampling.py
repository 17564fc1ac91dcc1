# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where series that are mostly missing were measured: which stretch of the grid, and how far apart.

Half of a grid without samples is not noise to average over: a workload that is days old on a grid of months is a short
series, and one that is sampled each hour on a grid of five minutes is a coarse one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from .types import Bools, Floats, Ints

_FEW = 0.5
_LEAST = 24


@dataclass(frozen=True)
class Part:
    """Rows that were measured in slots [begin, end), one sample in ``every`` slots (a power of two)."""

    rows: Ints
    begin: int
    end: int
    every: int

    def of(self, values: Floats) -> Floats:
        """These rows on their own grid: means over ``every`` slots of what is known in them."""
        part = values[self.rows, self.begin : self.end]
        if self.every == 1:
            return part
        blocks = part[:, : part.shape[1] // self.every * self.every].reshape(len(part), -1, self.every)
        known = np.isfinite(blocks)
        count = known.sum(axis=2)
        return np.where(count > 0, np.where(known, blocks, 0.0).sum(axis=2) / np.maximum(count, 1), np.nan)


def parts(values: Floats) -> list[Part]:
    """The rows of ``values`` (series, slots; NaN where missing) by where they were measured. Rows of which half or more
    is known are one part with the whole grid."""
    known = np.isfinite(values)
    rows, slots = values.shape
    dense = known.mean(axis=1) >= _FEW if slots else np.ones(rows, dtype=bool)
    groups: dict[tuple[int, int, int], list[int]] = {}
    if dense.any():
        groups[0, slots, 1] = np.nonzero(dense)[0].tolist()
    for row in np.nonzero(~dense)[0].tolist():
        begin, end = _stretch(np.nonzero(known[row])[0])
        groups.setdefault((begin, end, _every(known[row, begin:end])), []).append(row)
    return [Part(np.array(index, dtype=np.int64), *key) for key, index in groups.items()]


def _stretch(places: Ints) -> tuple[int, int]:
    """The slots from the first sample to the last, without outages longer than what was measured on either side of
    them: the side with more samples counts."""
    while places.size > 1:
        gaps = np.diff(places)
        widest = int(gaps.argmax())
        inside = places[-1] - places[0] + 1 - gaps[widest]
        if gaps[widest] < max(inside, 2):
            break
        places = places[: widest + 1] if 2 * (widest + 1) > len(places) else places[widest + 1 :]
    return (int(places[0]), int(places[-1]) + 1) if places.size else (0, 0)


def _every(known: Bools) -> int:
    """How many slots lie between samples: doubled as long as that fills the grid much better, which it does not do for
    outages."""
    every = 1
    while len(known) >= 2 * _LEAST and known.mean() < _FEW:
        even = len(known) // 2 * 2
        coarser = known[:even:2] | known[1:even:2]
        if coarser.mean() < 1.4 * known.mean():
            break
        known, every = coarser, 2 * every
    return every

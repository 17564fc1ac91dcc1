# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simple forecasts among which a backtest chooses: all closed-form, all batched over (series, slots of a cycle).

A *cycle* is the stretch that is forecast as one: a day for nearly everything, so that slot h of the forecast looks back
at slot h of earlier cycles. ``Cycles`` cuts the history into cycles that end at the forecast origin; origin b > 0 is
the same history as it was b cycles ago, which is what the rolling-origin backtest needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Singles = NDArray[np.float32]

NAMES = (
    "seasonal_naive",
    "median_3",
    "median_7",
    "median_14",
    "median_28",
    "mean_7",
    "mean_28",
    "weekly_median",
    "smooth_7",
    "rise_now_1",
    "rise_now_3",
    "rise_now_7",
    "rise_quarter_1",
    "rise_quarter_3",
    "rise_quarter_7",
    "rise_day_3",
    "rise_day_7",
    "weekly_rise_now",
    "weekly_rise_quarter",
    "weekly_rise_day",
    "last",
    "flat_eighth",
    "flat_1",
    "flat_7",
)
MOST_CYCLES = 28


@dataclass
class Cycles:
    """``shape`` (series, cycles, slots), newest cycle first; ``levels[m]`` (series, cycles + 1): the mean of the m-th
    window length before each cycle's start, index 0 being the level now; NaN where the history does not reach.
    ``week`` is the number of cycles in a week, 0 when it is not whole."""

    shape: Singles
    levels: tuple[Singles, Singles, Singles]
    week: int


def cut(history: Singles, length: float, week: int) -> Cycles:
    """Cut ``history`` (series, slots; nothing missing) into cycles of ``length`` slots (not always whole)."""
    rows, slots = history.shape
    whole = round(length)
    count = min(int((slots - whole) // length) + 1, MOST_CYCLES + 8) if slots >= whole else 0
    starts = [slots - round((index + 1) * length) for index in range(count)]
    shape = np.stack([history[:, begin : begin + whole] for begin in starts], axis=1)
    sums = np.concatenate([np.zeros((rows, 1)), np.cumsum(history, axis=1, dtype=np.float64)], axis=1)
    levels = []
    for window in (max(whole // 48, 1), max(whole // 4, 1), whole):
        values = np.full((rows, count + 1), np.nan, dtype=np.float32)
        for index, end in enumerate([slots, *starts]):
            if end >= window:
                values[:, index] = (sums[:, end] - sums[:, end - window]) / window
        levels.append(values)
    return Cycles(shape, (levels[0], levels[1], levels[2]), week)


def median(parts: list[Singles]) -> Singles:
    """The element-wise median of several arrays by Batcher's sorting network: no copy per element, no Python per
    element (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M)."""
    count = len(parts)
    if count == 1:
        return parts[0]
    lanes = [np.array(part) for part in parts]
    spare = np.empty_like(lanes[0])
    for low, high in _network(count):
        np.minimum(lanes[low], lanes[high], out=spare)
        np.maximum(lanes[low], lanes[high], out=lanes[high])
        lanes[low], spare = spare, lanes[low]
    half = count // 2
    if count % 2:
        return lanes[half]
    return np.asarray((lanes[half - 1] + lanes[half]) * np.float32(0.5))


def _network(count: int) -> list[tuple[int, int]]:
    """The comparators of Batcher's merge exchange for ``count`` lanes."""
    pairs = []
    top = 1 << (count - 1).bit_length() >> 1
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return pairs


def compute(cycles: Cycles, origin: int, out: Singles) -> None:
    """Write the forecasts of one cycle as of ``origin`` cycles ago into ``out`` (series, candidates, slots); NaN
    throughout for a candidate that the history is too short for."""
    shape = cycles.shape[:, origin:]
    count, slots = shape.shape[1:]
    missing = set(range(len(NAMES)))

    def put(name: str, value: Singles) -> None:
        out[:, NAMES.index(name)] = value
        missing.discard(NAMES.index(name))

    past = [shape[:, index] for index in range(min(count, MOST_CYCLES))]
    put("seasonal_naive", past[0])
    for most, least in ((3, 2), (7, 4), (14, 8), (28, 16)):
        if count >= least:
            put(f"median_{most}", median(past[:most]))
    if count >= 2:
        put("mean_7", shape[:, :7].mean(axis=1))
    if count >= 14:
        put("mean_28", shape[:, :28].mean(axis=1))
    weekly = list(range(cycles.week - 1, min(count, 4 * cycles.week), cycles.week)) if cycles.week else []
    if weekly:
        put("weekly_median", median([past[index] for index in weekly]))
    _rises(cycles, origin, past, weekly, put)
    if count >= 4:
        put("smooth_7", _smoothed(out[:, NAMES.index("median_7")], max(slots // 96, 1)))
    put("flat_1", np.median(past[0], axis=1)[:, None])
    put("flat_7", np.median(median(past[:7]), axis=1)[:, None])
    put("flat_eighth", np.median(past[0][:, -max(slots // 8, 1) :], axis=1)[:, None])
    put("last", cycles.levels[0][:, origin][:, None])
    for index in missing:
        out[:, index] = np.nan


def _smoothed(values: Singles, reach: int) -> Singles:
    """The moving average of ``reach`` slots to either side, around the end of the cycle."""
    wide = np.concatenate([values[:, -reach:], values, values[:, :reach]], axis=1)
    sums = np.concatenate([np.zeros((len(wide), 1)), np.cumsum(wide, axis=1, dtype=np.float64)], axis=1)
    return np.asarray((sums[:, 2 * reach + 1 :] - sums[:, : -2 * reach - 1]) / (2 * reach + 1), dtype=np.float32)


def _rises(
    cycles: Cycles, origin: int, past: list[Singles], weekly: list[int], put: Callable[[str, Singles], None]
) -> None:
    """Level-corrected cycles: each past cycle as its difference from the level before it, added to the level now."""
    for name, levels in zip(("now", "quarter", "day"), cycles.levels):
        now = levels[:, origin]
        before = levels[:, origin + 1 :]
        known = [index for index in range(len(past)) if np.isfinite(before[:, index]).all()]
        rises = {index: past[index] - before[:, index][:, None] for index in known if index < 7 or index in weekly}
        recent = [rises[index] for index in known if index < 7]
        for most in (1, 3, 7):
            if f"rise_{name}_{most}" in NAMES and len(recent) > most // 2:
                put(f"rise_{name}_{most}", now[:, None] + median(recent[:most]))
        same = [rises[index] for index in weekly if index in rises]
        if same:
            put(f"weekly_rise_{name}", now[:, None] + median(same))

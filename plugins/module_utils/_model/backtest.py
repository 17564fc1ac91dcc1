# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling-origin backtest of the candidates, and the ensemble that it chooses for each series.

The ensemble is the element-wise median of the six candidates with the least absolute error over the backtest origins
(a median of good forecasts is hard to beat and never far from any of them: Petropoulos and Svetunkov, A simple
combination of univariate models, 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from . import intervals
from .candidates import NAMES, Cycles, compute, median

if TYPE_CHECKING:
    from .candidates import Singles
    from .types import Bools, Floats, Ints

ORIGINS = 7
MEMBERS = 6
_INCUMBENT = 0.95


@dataclass
class Chosen:
    """``forecast`` (series, slots) of the next cycle, ``past`` (series, origins, slots) what the same ensemble said for
    the newest cycles, ``errors`` actual minus past, NaN where nothing was measured; ``members`` (series, MEMBERS)
    indices into NAMES, best first; ``loss`` (series, NAMES) mean absolute errors."""

    forecast: Singles
    past: Singles
    errors: Singles
    members: Ints
    loss: Floats


def origins(cycles: int) -> int:
    """How many origins to test on with that many cycles of history: at least two cycles must lie before each."""
    return max(min(ORIGINS, cycles - 2), 1 if cycles >= 2 else 0)


def choose(cycles: Cycles, known: Bools, incumbents: Bools | None = None) -> Chosen:
    """Backtest on the newest cycles and combine. ``known`` (series, cycles, slots) marks what was measured;
    ``incumbents`` (series, NAMES) the members of the previous choice, which stay unless beaten by 5 %."""
    rows, count, slots = cycles.shape.shape
    tests = origins(count)
    forecasts = np.empty((rows, len(NAMES), tests + 1, slots), dtype=np.float32)
    for origin in range(tests + 1):
        compute(cycles, origin, forecasts[:, :, origin])
    came = cycles.shape[:, :tests]
    loss = _losses(forecasts, came, known[:, :tests])
    actual = came if known[:, :tests].all() else np.where(known[:, :tests], came, np.nan).astype(np.float32)
    rank = np.where(np.isfinite(forecasts[:, :, 0, 0]), np.where(np.isfinite(loss), loss, np.inf), np.inf)
    if incumbents is not None:
        rank = np.where(incumbents, rank * _INCUMBENT, rank)
    rank[:, 0] = np.where(np.isinf(rank).all(axis=1), 0.0, rank[:, 0])
    members = np.argsort(rank, axis=1, kind="stable")[:, :MEMBERS]
    # Where fewer than MEMBERS candidates can speak, the best one stands in for the others.
    members = np.where(np.isfinite(np.take_along_axis(rank, members, axis=1)), members, members[:, :1])
    pick = np.arange(rows)
    lanes = [forecasts[pick, members[:, place]] for place in range(MEMBERS)]
    best = lanes[0]
    lanes = [np.where(np.isfinite(lane), lane, best) for lane in lanes]
    combined = median(lanes)
    return Chosen(combined[:, 0], combined[:, 1:], actual - combined[:, 1:], members, loss)


def _losses(forecasts: Singles, came: Singles, known: Bools) -> Floats:
    """Mean absolute errors (series, candidates) over the origins at which a candidate could speak; NaN where that is
    under half of what was measured."""
    rows, _names, _origins, _slots = forecasts.shape
    loss = np.full((rows, len(NAMES)), np.nan)
    whole = bool(known.all())
    weight = known.sum(axis=2).astype(float)
    total = np.maximum(weight.sum(axis=1), 1.0)
    for index in range(len(NAMES)):
        spoken = np.nonzero(np.isfinite(forecasts[0, index, 1:, 0]))[0] if rows else np.zeros(0, dtype=np.int64)
        if not spoken.size:
            continue
        part = slice(int(spoken[0]), int(spoken[-1]) + 1)
        gap = np.abs(came[:, part] - forecasts[:, index, 1:][:, part])
        if not whole:
            gap *= known[:, part]
        seen = weight[:, part].sum(axis=1)
        mean = gap.sum(axis=(1, 2), dtype=np.float64) / np.maximum(seen, 1.0)
        loss[:, index] = np.where(2 * seen >= total, mean, np.nan)
    return loss


def trust(chosen: Chosen, cycles: Cycles, known: Bools, scored: tuple[float, ...]) -> tuple[Floats, Floats, Floats]:
    """MASE (scaled by the error of the seasonal naive forecast over the history), mean pinball loss over ``scored`` and
    the part of actual values at or below the last of ``scored``, per series; NaN where nothing could be tested.

    Each origin is scored with quantiles from the errors of the others, so that none judges itself.
    """
    both = known[:, :-1] & known[:, 1:]
    steps = np.where(both, np.abs(cycles.shape[:, :-1] - cycles.shape[:, 1:]), 0.0)
    naive = steps.sum(axis=(1, 2)) / np.maximum(both.sum(axis=(1, 2)), 1)
    errors = chosen.errors
    rows, tests = errors.shape[:2]
    if not tests:
        nothing = np.full(rows, np.nan)
        return nothing, nothing, nothing
    measured = np.isfinite(errors)
    count = np.maximum(measured.sum(axis=(1, 2)), 1)
    mae = np.nansum(np.abs(errors), axis=(1, 2)) / count
    with np.errstate(divide="ignore", invalid="ignore"):
        mase = np.where(naive > 1e-9, mae / naive, np.where(mae > 1e-9, np.nan, 0.0))
    levels = np.array(scored)
    loss, inside = np.zeros(rows), np.zeros(rows)
    for origin in range(tests):
        others = [index for index in range(tests) if index != origin] or [origin]
        spread = intervals.pooled(errors[:, others], levels)
        gap = errors[:, origin, None, :] - spread[:, :, None]
        loss += np.nansum(np.maximum(gap * levels[None, :, None], gap * (levels - 1)[None, :, None]), axis=(1, 2))
        inside += (gap[:, -1] <= 0).sum(axis=1)
    return mase, loss / count / len(scored), inside / count

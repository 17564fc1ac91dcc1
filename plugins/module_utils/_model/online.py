# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of forecasts against what came, and what the next forecasts learn from them.

The spread above the median follows the realised coverage: every day on which more than 5 % of the values lie above the
.95 quantile widens it, every day with fewer narrows it (adaptive conformal inference: Gibbs and Candes, 2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from .types import Floats

_SCORED = (0.5, 0.9, 0.95)
_TARGET = 0.95
_RATE = 2.0
_WIDEST, _NARROWEST = 4.0, 0.7
# Older scores count half after this many days.
_HALF = 7.0


def widened(values: Floats, levels: Floats, widen: Floats) -> Floats:
    """``values`` (series, levels, horizon) with what lies above the median stretched by ``widen`` (series)."""
    above = np.nonzero(levels > 0.5)[0]
    if not above.size or (widen == 1.0).all():
        return values
    result = values.copy()
    if levels[0] <= 0.5:
        middle = np.array([[np.interp(0.5, levels, np.arange(len(levels)))]])[0, 0]
        low, part = int(middle), middle - int(middle)
        high = min(low + 1, len(levels) - 1)
        centre = values[:, low] * (1 - part) + values[:, high] * part
    else:
        centre = values[:, 0]
    for level in above:
        result[:, level] = centre + (values[:, level] - centre) * widen[:, None]
    return np.maximum.accumulate(result, axis=1)


def score(levels: Sequence[float], series: Floats, actual: Floats) -> dict[str, float] | None:
    """How a forecast ``series`` (levels, slots) did against ``actual`` (slots, NaN where not measured): the number of
    slots, the mean absolute error of the median, the mean pinball loss and the coverage of the .95 quantile. None when
    nothing was measured."""
    known = np.isfinite(actual)
    if not known.any():
        return None
    came = actual[known]
    at = {level: _at(levels, series[:, known], level) for level in _SCORED}
    loss = [np.maximum((came - at[level]) * level, (came - at[level]) * (level - 1)).mean() for level in _SCORED]
    return {
        "slots": float(known.sum()),
        "error": float(np.abs(came - at[0.5]).mean()),
        "pinball": float(np.mean(loss)),
        "coverage": float((came <= at[_TARGET] + 1e-9 * np.abs(came)).mean()),
    }


def _at(levels: Sequence[float], series: Floats, level: float) -> Floats:
    place = float(np.interp(level, np.asarray(levels, dtype=float), np.arange(len(levels))))
    low = int(place)
    high = min(low + 1, len(levels) - 1)
    return np.asarray(series[low] + (place - low) * (series[high] - series[low]), dtype=float)


def follow(before: Mapping[str, Any], scored: Mapping[str, float], step: float) -> dict[str, Any]:
    """The ``online`` state of a pattern after one more score; ``step`` is the length of a slot in seconds."""
    days = scored["slots"] * step / 86400.0
    kept = 0.5 ** (days / _HALF)
    weight = 1.0 if before.get("coverage") is None else 1.0 - kept
    result: dict[str, Any] = {"scored": int(before.get("scored", 0) + scored["slots"])}
    for name in ("coverage", "pinball"):
        old = before.get(name)
        result[name] = scored[name] if old is None else old + weight * (scored[name] - old)
    moved = float(before.get("widen", 1.0)) * math.exp(_RATE * min(days, 2.0) * (_TARGET - scored["coverage"]))
    result["widen"] = min(max(moved, _NARROWEST), _WIDEST)
    return result

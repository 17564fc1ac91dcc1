# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The curves of the report: what was measured, what is forecast, and what the model said of the last day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._model.forecast import forecast
from .._store.interface import Array, Document, Store
from .report_views import Band, Line, Pattern
from .usage_series import HISTORY, Usage, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DRAWN = ("cpu", "memory")
LOW, MEDIAN, HIGH = 0.05, 0.5, 0.95
DAY = 86400.0
AHEAD = DAY


def scalar_patterns(profile: Mapping[str, Any]) -> dict[str, Pattern]:
    """What a profile document says of its metrics, without curves."""
    found = {}
    for metric, one in (profile.get("patterns") or {}).items():
        found[metric] = Pattern(
            metric=metric,
            model=one.get("model") or "",
            period=one.get("period"),
            mase=one.get("mase"),
            coverage=one.get("coverage"),
            days=float(one.get("days") or 0.0),
            last_error=one.get("last_error"),
            peak=float(one.get("peak") or 0.0),
        )
    return found


def drawn_patterns(
    store: Store, documents: Mapping[str, Document], now: datetime, hours: float
) -> dict[str, dict[str, Pattern]]:
    """The patterns of ``documents`` (profiles by name) with their curves: ``hours`` before ``now``, the stored forecast
    of the day after it, and what the same model says of the day before it when it is given only the time before that.

    Usage is the demand of one tenant, as the model reads it. The store is asked once for the arrays and once for the
    usage of all.
    """
    keys = {f"forecast/{name}/{metric}": (name, metric) for name in documents for metric in DRAWN}
    arrays = {keys[key]: array for key, array in store.get_arrays(keys).items()}
    usages = [one for one in read(store, list(documents), now, HISTORY + DAY) if one.metric in DRAWN]
    measured = {(one.profile, one.metric): _line(one, hours * 3600) for one in usages}
    past = hindcasts(usages)
    found: dict[str, dict[str, Pattern]] = {}
    for name, document in documents.items():
        found[name] = {}
        for metric, pattern in scalar_patterns(document).items():
            key = (name, metric)
            found[name][metric] = replace(
                pattern,
                forecast=_stored(document["patterns"][metric], arrays.get(key), now.timestamp()),
                actual=measured.get(key, Line()),
                hindcast=past.get(key, Band()),
            )
    return found


def _line(usage: Usage, seconds: float) -> Line:
    """The last ``seconds`` of a series, each sample at the middle of its slot."""
    values = usage.values[-max(round(seconds / usage.step), 1) :]
    times = usage.start - usage.step * (np.arange(len(values), 0, -1) - 0.5)
    return Line(times.tolist(), values.tolist())


def _stored(pattern: Mapping[str, Any], array: Array | None, now: float) -> Band:
    """The slots of a stored forecast that end after ``now`` and start within a day."""
    if array is None:
        return Band()
    values = np.frombuffer(array.data, dtype=array.dtype).reshape(array.shape).astype(float)
    step = float(pattern["step"])
    middle = pattern["start"].timestamp() + step * (np.arange(values.shape[1]) + 0.5)
    kept = (middle + step / 2 > now) & (middle - step / 2 < now + AHEAD)
    return band(middle[kept], values[:, kept], pattern["quantiles"])


def band(times: Floats, values: Floats, levels: Iterable[float]) -> Band:
    """The median and the 5 % and 95 % quantiles of ``values`` (levels, slots); the nearest where one is absent."""
    known = np.asarray(list(levels), dtype=float)
    rows = [values[int(np.argmin(np.abs(known - level)))] for level in (LOW, MEDIAN, HIGH)]
    return Band(times.tolist(), *(row.tolist() for row in rows))


def hindcasts(usages: Sequence[Usage]) -> dict[tuple[str, str], Band]:
    """The forecast of the last day of each series from the days before it, where there are at least two of them and
    the last day was measured; series of one step in one batch."""
    groups: dict[float, list[Usage]] = {}
    for usage in usages:
        day = round(DAY / usage.step)
        known = np.flatnonzero(np.isfinite(usage.values))
        if day >= 2 and known[0] <= len(usage.values) - 3 * day and known[-1] >= len(usage.values) - day:
            groups.setdefault(usage.step, []).append(usage)
    found: dict[tuple[str, str], Band] = {}
    for step, group in groups.items():
        day = round(DAY / step)
        start = group[0].start - day * step
        made = forecast(np.stack([one.values[:-day] for one in group]), step, start, day, (LOW, MEDIAN, HIGH))
        times: Floats = start + step * (np.arange(day, dtype=float) + 0.5)
        for row, one in enumerate(group):
            found[one.profile, one.metric] = band(times, made.values[row], made.levels)
    return found

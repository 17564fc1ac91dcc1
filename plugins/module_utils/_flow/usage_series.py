# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The usage history of profiles as the model reads it: on a regular grid, the demand of one tenant."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._model import online, series
from .._model.types import METRICS
from .._store.interface import Array, Store, UsageBatch

if TYPE_CHECKING:
    from .._model.types import Floats

HISTORY = 28 * 86400.0
# Raised when the model changes, so that unchanged input is forecast anew.
VERSION = "2"


@dataclass
class Usage:
    """The history of one metric of one profile: ``values`` on a grid of ``step`` seconds that ends at ``start`` and
    begins on the day of the first sample."""

    profile: str
    metric: str
    step: float
    start: float
    values: Floats

    @property
    def key(self) -> str:
        """The key of its forecast among the arrays of the store."""
        return f"forecast/{self.profile}/{self.metric}"

    @cached_property
    def digest(self) -> str:
        """Changes whenever the forecast would."""
        text = f"{VERSION} {self.step} {self.start} {len(self.values)} "
        return hashlib.sha256(text.encode() + np.ascontiguousarray(self.values).tobytes()).hexdigest()[:24]


def per_tenant(batches: Sequence[UsageBatch], metric: str, start: float, step: float, slots: int) -> Floats | None:
    """The demand of one tenant on the grid: the mean over measured tenants in each slot, else the whole workload's."""
    parts: list[Floats] = []
    whole: Floats | None = None
    for batch in batches:
        if metric not in batch.values:
            continue
        on_grid = series.grid(np.frombuffer(batch.times), np.frombuffer(batch.values[metric]), start, step, slots)
        if batch.tenant:
            parts.append(on_grid)
        else:
            whole = on_grid
    if not parts:
        return whole
    known = np.isfinite(np.stack(parts))
    count = known.sum(axis=0)
    mean = np.where(known, np.stack(parts), 0.0).sum(axis=0) / np.maximum(count, 1)
    result = np.where(count > 0, mean, np.nan)
    return result if whole is None else np.where(np.isfinite(result), result, whole)


def _begun(values: Floats, step: float) -> Floats:
    """The values without the days before the first sample: what is not there costs nothing."""
    day = max(round(86400.0 / step), 1)
    first = int(np.isfinite(values).argmax())
    return values[first // day * day :]


def read(store: Store, names: Sequence[str], now: datetime, history: float = HISTORY) -> list[Usage]:
    """The usage of profiles on their natural grids up to the last whole slot before ``now``; metrics without a sample
    are left out. All in one call to the store."""
    by_profile: dict[str, list[UsageBatch]] = {}
    for batch in store.read_usage(names, now - timedelta(seconds=history), now):
        by_profile.setdefault(batch.profile, []).append(batch)
    found = []
    for name, batches in by_profile.items():
        step = min(series.natural_step(np.frombuffer(batch.times)) for batch in batches)
        start = float(np.floor(now.timestamp() / step) * step)
        slots = int(history / step)
        for metric in METRICS:
            values = per_tenant(batches, metric, start - slots * step, step, slots)
            if values is not None and np.isfinite(values).any():
                found.append(Usage(name, metric, step, start, _begun(values, step)))
    return found


def scored(usage: Usage, pattern: Mapping[str, Any], array: Array | None) -> tuple[dict[str, Any], float | None]:
    """The online state and the last error after scoring the previous forecast on what came since."""
    state = dict(pattern.get("online") or {"scored": 0, "coverage": None, "pinball": None, "widen": 1.0})
    last = pattern.get("last_error")
    if array is None or pattern.get("step") != usage.step:
        return state, last
    begin = pattern["start"].timestamp()
    first = len(usage.values) - round((usage.start - begin) / usage.step)
    slots = min(len(usage.values) - first, int(pattern["horizon"]))
    if slots < 1 or first < 0:
        return state, last
    before = np.frombuffer(array.data, dtype=array.dtype).reshape(array.shape)[:, :slots]
    actual = usage.values[first : first + slots]
    found = online.score(pattern["quantiles"], np.asarray(before, dtype=float), actual)
    if found is None:
        return state, last
    return online.follow(state, found, usage.step), found["error"]

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From stored forecasts to the planner's arrays: quantile series of profiles, aligned to now, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .._planning.demand import MEMORY, RESOURCES, from_quantiles
from .._planning.policy import Policy
from .._planning.policy_reader import narrowed
from .._store.interface import Array, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

DAY = 86400.0
STEP = 300.0
# The upper level of the pooled peak's variance, and of the forecast over the lead time.
UPPER, LEAD = 0.95, 0.9


@dataclass(frozen=True)
class Expected:
    """Quantile series of P profiles from now: ``median``, ``upper`` (q95), ``lead`` (q90) and ``size`` (the sizing
    quantile of each resource), all (P, slots, resources); ``known`` (P, resources) says where there is a forecast, the
    series are 0 elsewhere. ``row`` finds a profile's row."""

    row: Mapping[str, int]
    step: float
    median: Floats
    upper: Floats
    lead: Floats
    size: Floats
    known: Bools


def _sized_by(policy: Policy, profile: str) -> tuple[float, ...]:
    """The quantile of each resource by which tenants of a profile are sized."""
    sizing = narrowed(policy, profile=profile).sizing
    return tuple(sizing.memory_quantile if name == "memory" else sizing.cpu_quantile for name in RESOURCES)


def _between(levels: Sequence[float], wanted: float) -> tuple[int, int, float]:
    """The two stored levels around the wanted one, and how far it lies between them."""
    if wanted <= levels[0]:
        return 0, 0, 0.0
    if wanted in levels:
        return levels.index(wanted), levels.index(wanted), 0.0
    for upper in range(1, len(levels)):
        if wanted <= levels[upper]:
            span = levels[upper] - levels[upper - 1]
            return upper - 1, upper, (wanted - levels[upper - 1]) / span if span > 0 else 0.0
    return len(levels) - 1, len(levels) - 1, 0.0


def slots_from(pattern: Mapping[str, Any], now: datetime, slots: int) -> Any:
    """Which slot of the stored series stands for each of the next ``slots`` ones of STEP seconds.

    Beyond its end the series repeats its last period, or last day, else its last slot.
    """
    step, horizon = float(pattern["step"]), int(pattern["horizon"])
    ages = (now - pattern["start"]).total_seconds() + STEP * np.arange(slots)
    index = np.maximum(np.floor(ages / step), 0).astype(np.int64)
    cycle = round((pattern.get("period") or DAY) / step)
    if not 0 < cycle <= horizon:
        cycle = int(DAY / step) if DAY / step <= horizon else 1
    late = index >= horizon
    index[late] = horizon - cycle + (index[late] - horizon) % cycle
    return index


def expected(store: Store, profiles: Iterable[Mapping[str, Any]], now: datetime, policy: Policy) -> Expected:
    """The forecasts of the profiles (documents) over the policy's horizon from ``now``, from the stored arrays."""
    documents = list(profiles)
    slots = max(1, int(policy.packing.horizon / STEP))
    shape = (len(documents), slots, len(RESOURCES))
    median, upper, lead, size = (np.zeros(shape, np.float32) for _turn in range(4))
    known = np.zeros((len(documents), len(RESOURCES)), dtype=bool)
    keys = [f"forecast/{one['key']}/{metric}" for one in documents for metric in RESOURCES if metric in one["patterns"]]
    arrays = store.get_arrays(keys)
    groups: dict[tuple[Any, ...], list[tuple[int, Array]]] = {}
    for row, one in enumerate(documents):
        sized_by = _sized_by(policy, str(one["key"]))
        for column, metric in enumerate(RESOURCES):
            pattern = one["patterns"].get(metric)
            array = arrays.get(f"forecast/{one['key']}/{metric}")
            if not pattern or array is None or len(pattern["quantiles"]) != array.shape[0] or not array.shape[1]:
                continue
            known[row, column] = True
            same = (column, pattern["start"], pattern["step"], array.shape, pattern.get("period"), array.dtype)
            groups.setdefault((*same, sized_by[column], tuple(pattern["quantiles"])), []).append((row, array))
    for group, members in groups.items():
        column, start, step, stored, period, dtype, level, levels = group
        rows = np.array([row for row, _array in members])
        cube = np.stack([np.frombuffer(array.data, dtype=dtype).reshape(stored) for _row, array in members])
        index = slots_from({"start": start, "step": step, "horizon": stored[1], "period": period}, now, slots)
        made: dict[float, Floats] = {}
        for target, wanted in zip((median, upper, lead, size), (0.5, UPPER, LEAD, level)):
            if wanted not in made:
                low, high, part = _between(levels, wanted)
                values = cube[:, low] if part == 0 else (1 - part) * cube[:, low] + part * cube[:, high]
                made[wanted] = np.maximum(values[:, index], 0.0)
            target[rows, :, column] = made[wanted]
    names = {str(one["key"]): row for row, one in enumerate(documents)}
    return Expected(names, STEP, median, upper, lead, size, known)


def windows(forecast: Expected, policy: Policy) -> tuple[Floats, Floats]:
    """Mean and variance of every profile (P, windows, resources) for the packer; memory adds up by its maxima."""
    count = policy.packing.windows
    mean = np.zeros((len(forecast.row), count, len(RESOURCES)), np.float32)
    variance = np.zeros_like(mean)
    for column in range(len(RESOURCES)):
        peaks = forecast.size[:, :, column] if column == MEMORY else None
        mean[:, :, column], variance[:, :, column] = from_quantiles(
            forecast.median[:, :, column], forecast.upper[:, :, column], UPPER, count, peaks=peaks
        )
    return mean, variance


def limited(mean: Floats, variance: Floats, limits: Floats, floor: Floats) -> tuple[Floats, Floats]:
    """Demands (n, windows, resources) that respect the limits (n, resources; infinite where there is none).

    What a slice limits to M cannot vary by more than (M - mean) x mean (Bhatia and Davis, 2000). Memory is never taken
    for less than ``floor`` (n,), what a sandbox needs to live.
    """
    bound, least = limits[:, None, :], floor[:, None]
    mean = np.minimum(mean, bound)
    mean[:, :, MEMORY] = np.minimum(np.maximum(mean[:, :, MEMORY], least), np.maximum(bound[:, :, MEMORY], least))
    with np.errstate(invalid="ignore"):
        most = np.where(np.isfinite(bound), (bound - mean) * mean, np.inf)
    return mean, np.clip(variance, 0.0, np.maximum(most, 0.0))

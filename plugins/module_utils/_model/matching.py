# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching by behaviour: which known profile does a new workload behave like?

24 numbers describe a profile's usage (NAMES). All are of the order of one (logarithms, ratios), and distances are root
mean squares over the numbers that both have. A match must lie inside the radius within which the known profile's own
days lie 95 times of 100, and be 15 % nearer than the runner-up; otherwise nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from .types import Bools, Floats

DAY = 86400.0
SHAPE = 8
NAMES = (
    "cpu_level",
    "cpu_variation",
    "cpu_burst",
    "cpu_peak",
    "cpu_memory",
    "cpu_idle",
    "period",
    "strength",
    *(f"shape_{index}" for index in range(SHAPE)),
    "weekend",
    "memory_level",
    "memory_variation",
    "memory_per_cpu",
    "io_level",
    "io_write_share",
    "io_per_cpu",
    "trend",
)
_WHOLE_DAYS = {name for name in NAMES[:8] if name != "strength"} | {"memory_per_cpu", "io_per_cpu", "trend", "weekend"}
# A new workload is matched again when its history reaches these ages (seconds).
STAGES = (3600.0, 6 * 3600.0, DAY, 7 * DAY)
_NEARER = 0.85
_MOST_AMBIGUOUS = 5
_LEAST_SHARED = 3
# Differences of a tenth are none.
_LEAST_RADIUS = 0.1
# Under these levels of use nothing tells workloads apart: cores, bytes, bytes per second.
_CORES, _BYTES, _RATE = 0.02, 1e6, 1e4


@dataclass(frozen=True)
class Match:
    """``index`` of the known profile that is like the asked one, None where none is; ``distance`` to the nearest;
    ``ambiguous`` the nearest and those that are not 15 % farther, nearest first, where these kept from choosing."""

    index: int | None
    distance: float | None
    ambiguous: tuple[int, ...] = ()


def stage(age: float) -> int:
    """How many of STAGES a history of that many seconds has reached."""
    return sum(age >= one for one in STAGES)


def _log(values: Floats, least: float) -> Floats:
    """Logarithms in which values far below ``least`` are all alike."""
    return np.log(values + least)


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _deviation(values: Floats, mean: Floats) -> Floats:
    return np.sqrt(_mean((values - mean[:, None]) ** 2))


def _quantile(values: Floats, levels: Sequence[float]) -> list[Floats]:
    ordered = np.sort(values, axis=1)
    count = np.isfinite(ordered).sum(axis=1)
    rows = np.arange(len(values))
    found = []
    for level in levels:
        place = np.clip(np.rint(level * (count - 1)), 0, None).astype(np.int64)
        found.append(np.where(count > 0, ordered[rows, np.minimum(place, values.shape[1] - 1)], np.nan))
    return found


def features(usage: Mapping[str, Floats], step: float, start: float, periods: Floats, strengths: Floats) -> Floats:
    """The description (profiles, NAMES) of profiles; NaN where a metric is missing, and for what a part of a day cannot
    tell (everything about CPU but its level in the eighths of the day that were seen).

    ``usage`` maps cpu, memory, io_read and io_write to arrays (profiles, slots) with NaN where missing; slots are
    ``step`` seconds from ``start`` (UTC seconds, or seconds of the local clock). ``periods`` (s) and
    ``strengths`` (0..1) are those of the CPU's season, NaN where the history is too short for one.
    """
    cpu = usage["cpu"]
    rows, slots = cpu.shape
    nothing = np.full((rows, slots), np.nan)
    memory = usage.get("memory", nothing)
    read, write = usage.get("io_read", nothing), usage.get("io_write", nothing)
    level, memory_level = _mean(cpu), _mean(memory)
    io = _mean(np.where(np.isfinite(read), read, 0.0) + np.where(np.isfinite(write), write, 0.0))
    io = np.where(np.isfinite(read).any(axis=1) | np.isfinite(write).any(axis=1), io, np.nan)
    scale: Floats = np.maximum(level, 1e-9)
    middle, high, top = _quantile(cpu, (0.5, 0.95, 1.0))
    spread = _deviation(cpu, level)
    after = _mean((cpu[:, 1:] - level[:, None]) * (cpu[:, :-1] - level[:, None])) if slots > 1 else np.zeros(rows)
    moments: Floats = start + step * np.arange(slots, dtype=float)
    half = slots // 2
    columns = [
        _log(level, _CORES),
        np.log1p(spread / scale),
        np.log1p(high / np.maximum(middle, 0.05 * scale)),
        np.log1p(top / scale),
        after / np.maximum(spread**2, 1e-12),
        _mean(np.where(np.isfinite(cpu), (cpu < 0.1 * scale[:, None]).astype(float), np.nan)),
        np.where(np.isfinite(periods), np.log(np.where(periods > 0, periods, 1.0)), np.nan),
        strengths,
        *_shape(cpu, moments, step),
        _weekend(cpu, moments),
        _log(memory_level, _BYTES) / 2,
        np.log1p(_deviation(memory, memory_level) / np.maximum(memory_level, 1.0)),
        (_log(memory_level, _BYTES) - _log(level, _CORES)) / 2,
        _log(io, _RATE) / 2,
        _mean(write) / np.maximum(io, 1e-9),
        (_log(io, _RATE) - _log(level, _CORES)) / 2,
        np.log1p(_mean(cpu[:, half:]) / scale) - np.log1p(_mean(cpu[:, : max(half, 1)]) / scale),
    ]
    found = np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
    part = np.isfinite(cpu).sum(axis=1) * step < 0.45 * DAY
    found[np.ix_(part, [name in _WHOLE_DAYS for name in NAMES])] = np.nan
    return found


def _shape(cpu: Floats, moments: Floats, step: float) -> list[Floats]:
    """The level in each eighth of the day; NaN where less than half of one was seen."""
    part = (moments % DAY // (DAY / SHAPE)).astype(np.int64)
    found = []
    for index in range(SHAPE):
        here = cpu[:, part == index]
        enough = np.isfinite(here).sum(axis=1) * step >= 0.5 * DAY / SHAPE
        found.append(np.where(enough, _log(_mean(here), _CORES), np.nan))
    return found


def _weekend(cpu: Floats, moments: Floats) -> Floats:
    """Weekend against working days; NaN before both were seen."""
    off = ((moments // DAY).astype(np.int64) + 3) % 7 >= 5
    if not off.any() or off.all():
        return np.full(len(cpu), np.nan)
    return _log(_mean(cpu[:, off]), _CORES) - _log(_mean(cpu[:, ~off]), _CORES)


def distances(asked: Floats, known: Floats) -> Floats:
    """Root mean square differences (asked, known) over the numbers that both have; inf where they share too few."""
    found = np.empty((len(asked), len(known)))
    for row, one in enumerate(asked):
        gap = known - one
        both = np.isfinite(gap)
        count = both.sum(axis=1)
        mean = np.where(both, gap * gap, 0.0).sum(axis=1) / np.maximum(count, 1)
        found[row] = np.where(count >= _LEAST_SHARED, np.sqrt(mean), np.inf)
    return found


def usual(days: Floats) -> Floats:
    """The middle of the descriptions of days (days, NAMES): the usual day; NaN for what no day tells."""
    # By hand: numpy's median of few values with NaN among them takes most of the time of learning.
    if not len(days):
        return np.full(days.shape[1], np.nan)
    ordered, count = np.sort(days, axis=0), np.isfinite(days).sum(axis=0)
    names = np.arange(days.shape[1])
    low, high = ordered[np.maximum(count - 1, 0) // 2, names], ordered[np.minimum(count // 2, len(days) - 1), names]
    return np.where(count > 0, 0.5 * (low + high), np.nan)


def radius(days: Floats) -> float:
    """The distance from their middle within which 95 of 100 days (days, NAMES) of one profile lie, a little more for
    few days. 0 for fewer than three days: nothing is known of its own variation, so nothing is like it."""
    if len(days) < 3:
        return 0.0
    own = distances(days, usual(days)[None, :])[:, 0]
    return max(float(np.quantile(own, 0.95) * (1 + 1.0 / len(days))), _LEAST_RADIUS)


def match(asked: Floats, known: Floats, radii: Floats, allowed: Bools | None = None) -> list[Match]:
    """The match of each asked description (asked, NAMES) among known ones (known, NAMES) with their ``radii``;
    ``allowed`` (asked, known) holds the hard filters (dependencies, operating system)."""
    if not len(known):
        return [Match(None, None)] * len(asked)
    gaps = distances(asked, known)
    if allowed is not None:
        gaps = np.where(allowed, gaps, np.inf)
    found = []
    for row in gaps:
        order = np.argsort(row, kind="stable")
        nearest = int(order[0])
        gap = float(row[nearest])
        if not np.isfinite(gap):
            found.append(Match(None, None))
            continue
        close = [int(one) for one in order if row[one] * _NEARER < gap]
        if gap > radii[nearest]:
            found.append(Match(None, gap))
        elif len(close) > 1:
            found.append(Match(None, gap, tuple(close[:_MOST_AMBIGUOUS])))
        else:
            found.append(Match(nearest, gap))
    return found


def starting(series: Floats, levels: Sequence[float], days: float) -> Floats:
    """The first forecast (levels, slots) of a new profile from that of its match: what lies above the median is
    widened by one part in the days of its own history (at most fourfold)."""
    wider = 1 + min(1.0 / max(days, 1e-9), 3.0)
    middle = int(np.abs(np.asarray(levels, dtype=float) - 0.5).argmin())
    result = series.copy()
    result[middle + 1 :] = series[middle] + (series[middle + 1 :] - series[middle]) * wider
    return result

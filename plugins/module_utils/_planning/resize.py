# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resizing in place without flapping: forecast and measured triggers, holds, dead bands, steps, bounds.

All tenants at once: arrays (n, resources) in the order of demand.RESOURCES; NaN is unknown, infinite is unlimited.
The rules follow the Kubernetes vertical pod autoscaler's lessons: up quickly, down slowly, never below what is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .demand import CPU, MEMORY, RESOURCES
from .policy import Resize, Sizing
from .sizing import floor_of

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


@dataclass(frozen=True)
class Observed:
    """What is known of n tenants.

    ``limits`` (n, R) in force; ``lead`` (n, R) the q90 peak over the lead time; ``ahead`` (n, R) the sizing quantile's
    peak over the horizon; ``checks`` (n, C, R) the last C checks of the usage, newest last; ``use`` (n, R) now;
    ``keep`` (n,) the q99 of the memory over the days to keep; ``pressure`` (n, 3) shares of CPU, memory and I/O
    pressure; ``throttled`` (n,) share of throttled periods; ``margins`` (n, R); ``least``, ``most`` (n, R) the
    profile's bounds; ``since`` (n,) seconds since the last resize.
    """

    limits: Floats
    lead: Floats
    ahead: Floats
    checks: Floats
    use: Floats
    keep: Floats
    pressure: Floats
    throttled: Floats
    margins: Floats
    least: Floats
    most: Floats
    since: Floats


@dataclass(frozen=True)
class Resized:
    """``target`` (n, R) equals the limits where nothing changes; ``reasons`` and ``bites`` per tenant, in order."""

    target: Floats
    changed: Bools
    reasons: tuple[tuple[str, ...], ...]
    bites: tuple[tuple[str, ...], ...]


def _checks(checks: Floats, count: int) -> Floats:
    """The last ``count`` checks; missing ones are NaN."""
    have = checks.shape[1]
    if have >= count:
        return checks[:, have - count :]
    pad = np.full((checks.shape[0], count - have, checks.shape[2]), np.nan)
    return np.concatenate([pad, checks], axis=1)


def _pressed(seen: Observed, policy: Resize) -> Bools:
    """Where measured pressure or throttling asks for more (n, R)."""
    pressed = np.zeros(seen.limits.shape, dtype=bool)
    with np.errstate(invalid="ignore"):
        pressed[:, CPU] = seen.throttled > policy.throttled
        # CPU pressure alone may be the neighbours'; with use near the limit it is the limit's.
        pressed[:, CPU] |= (seen.pressure[:, 0] > policy.pressure_cpu) & (
            seen.use[:, CPU] > policy.low * seen.limits[:, CPU]
        )
        pressed[:, MEMORY] = (seen.pressure[:, 1] > policy.pressure_memory) & (
            seen.use[:, MEMORY] > policy.low * seen.limits[:, MEMORY]
        )
        for column in (2, 3):
            pressed[:, column] = (seen.pressure[:, 2] > policy.pressure_io) & (
                seen.use[:, column] > policy.low * seen.limits[:, column]
            )
    return pressed & np.isfinite(seen.limits)


def _greatest(*parts: Floats) -> Floats:
    """The maximum of what is known, 0 where nothing is."""
    best = np.zeros(parts[0].shape)
    for part in parts:
        best = np.fmax(best, part)
    return best


def resize(seen: Observed, policy: Resize, sizing: Sizing) -> Resized:
    """The limits that the tenants should have now, with reasons and the guardrails that bit."""
    limits = seen.limits
    ups, downs = _checks(seen.checks, policy.up_after), _checks(seen.checks, policy.down_after)
    with np.errstate(invalid="ignore"):
        by_forecast = seen.lead > policy.high * limits
        by_use = (ups > policy.high * limits[:, None]).all(axis=1)
        by_pressure = _pressed(seen, policy)
        up = (by_forecast | by_use | by_pressure) & np.isfinite(limits)
        quiet = (downs < policy.low * limits[:, None]).all(axis=1)
        unneeded = ~(seen.ahead >= policy.low * limits) & ~(seen.lead >= policy.low * limits)
        down = quiet & unneeded & ~up & np.isfinite(limits)
    recent = np.nan_to_num(np.fmax.reduce(np.concatenate([downs, seen.use[:, None]], axis=1), axis=1))
    grow = _greatest(seen.lead, np.where(by_use, recent, 0.0))
    wanted_up = np.maximum(grow * seen.margins, grow / policy.high * 1.02)
    wanted_up = np.maximum(wanted_up, np.where(by_pressure, limits * 1.5, 0.0))
    shrink = _greatest(seen.ahead, seen.lead, recent)
    wanted_down = np.maximum(shrink * seen.margins, shrink / policy.high * 1.02)
    target = np.where(up, np.fmax(wanted_up, limits), np.where(down, np.fmin(wanted_down, limits), limits))
    return _guard(seen, policy, sizing, target, (by_forecast & up, by_use & up, by_pressure & up, down))


def _guard(
    seen: Observed, policy: Resize, sizing: Sizing, target: Floats, triggers: tuple[Bools, Bools, Bools, Bools]
) -> Resized:
    limits, wanted = seen.limits, target.copy()
    bites: dict[str, Bools] = {}

    def bound(name: str, mask: Bools, value: Floats) -> None:
        bites[name] = mask
        target[mask] = value[mask]

    finite = np.isfinite(limits)
    most_up, most_down = limits * (1 + policy.step_up), limits * (1 - policy.step_down)
    bound("resize.step_up", finite & (target > most_up), most_up)
    bound("resize.step_down", finite & (target < most_down), most_down)
    keep = np.full(limits.shape, -np.inf)
    keep[:, MEMORY] = _greatest(seen.keep, seen.use[:, MEMORY] * policy.memory_keep_margin)
    keep = np.minimum(keep, limits)
    bound("resize.memory_keep", finite & (target < keep), keep)
    floors = np.minimum(np.broadcast_to([floor_of(sizing, name) for name in RESOURCES], limits.shape), limits)
    bound("sizing.floor", finite & (target < floors), floors)
    least, most = np.nan_to_num(seen.least, nan=0.0), np.where(np.isnan(seen.most), np.inf, seen.most)
    bound("bounds", finite & (wanted != limits) & ((target < least) | (target > most)), np.clip(target, least, most))
    late = (seen.since < policy.cooldown)[:, None] & (target < limits)
    bound("resize.cooldown", late, limits)
    target = np.where(target == limits, limits, np.minimum(_rounded(target), most))
    absolute = [policy.dead_band_cpu, policy.dead_band_memory, policy.dead_band_io, policy.dead_band_io]
    with np.errstate(invalid="ignore"):
        small = np.abs(target - limits) < np.maximum(policy.dead_band * limits, np.array(absolute, dtype=float))
    bound("resize.dead_band", finite & small & (target != limits), limits)
    if not policy.enabled:
        bound("resize.enabled", finite & (target != limits), limits)
    changed = finite & (target != limits)
    return Resized(target, changed, _reasons(seen, policy, triggers, changed), _named(bites))


def _rounded(target: Floats) -> Floats:
    units = np.array([0.01, 1024.0**2, 100_000.0, 100_000.0])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.round(np.ceil(target / units - 1e-6) * units, 6))


def _named(bites: dict[str, Bools]) -> tuple[tuple[str, ...], ...]:
    """Per tenant the guardrails that bit, each once."""
    count = len(next(iter(bites.values())))
    names: list[list[str]] = [[] for _turn in range(count)]
    for name, mask in bites.items():
        for row in np.flatnonzero(mask.any(axis=1)):
            names[int(row)].append(name)
    return tuple(tuple(row) for row in names)


def _reasons(
    seen: Observed, policy: Resize, triggers: tuple[Bools, Bools, Bools, Bools], changed: Bools
) -> tuple[tuple[str, ...], ...]:
    by_forecast, by_use, by_pressure, down = triggers
    reasons: list[tuple[str, ...]] = []
    label = ("CPU", "memory", "read I/O", "write I/O")
    for row in range(len(seen.limits)):
        texts = []
        for column in np.flatnonzero(changed[row]):
            limit, name = seen.limits[row, column], label[int(column)]
            if by_pressure[row, column]:
                texts.append(f"{name} is under pressure at its limit")
            elif by_use[row, column]:
                texts.append(f"{name} use was above {policy.high:.0%} of its limit in {policy.up_after} checks")
            elif by_forecast[row, column]:
                share = seen.lead[row, column] / limit
                texts.append(
                    f"{name} is forecast to reach {share:.0%} of its limit within {policy.lead / 60:.0f} minutes"
                )
            elif down[row, column]:
                texts.append(
                    f"{name} stays below {policy.low:.0%} of its limit, measured {policy.down_after} times and forecast"
                )
        reasons.append(tuple(texts))
    return tuple(reasons)

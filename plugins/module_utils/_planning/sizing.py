# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of a tenant, from the forecast of its profile, its bounds and what its request asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .demand import RESOURCES
from .policy import Sizing

MIB = 1024**2
_UNIT = {"cpu": 0.01, "memory": float(MIB), "io_read": 100_000.0, "io_write": 100_000.0}


@dataclass(frozen=True)
class Knowledge:
    """What is known of a profile's need: peaks at the sizing quantiles per resource (absent = no forecast).

    ``level`` is the median memory, ``confidence`` (0..1) how far the forecast may be trusted, ``days`` the history it
    stands on. ``bounds`` is ``{resource: (least, most)}`` with None for an open end, ``asked`` what the request wants.
    """

    peaks: Mapping[str, float] = field(default_factory=dict)
    level: float = 0.0
    confidence: float = 0.0
    days: float = 0.0
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    asked: Mapping[str, float] = field(default_factory=dict)


def rounded(resource: str, value: float) -> float:
    """Round up to hundredths of a core, whole MiB, tenths of a MB per second."""
    unit = _UNIT[resource]
    return round(math.ceil(value / unit - 1e-9) * unit, 6)


def margin(sizing: Sizing, resource: str, confidence: float) -> float:
    """The factor above the forecast's quantile: the margin, wider the less the forecast may be trusted."""
    base = {"cpu": sizing.cpu_margin, "memory": sizing.memory_margin}.get(resource, sizing.io_margin)
    return (1.0 + base) * (1.0 + sizing.distrust * (1.0 - min(max(confidence, 0.0), 1.0)))


def floor_of(sizing: Sizing, resource: str) -> float:
    """The least limit that the policy allows; for memory that is what a gVisor sandbox needs to live."""
    return {"cpu": sizing.cpu_floor, "memory": float(sizing.memory_floor)}.get(resource, float(sizing.io_floor))


def class_quantile(peaks: Sequence[float], quantile: float) -> float | None:
    """The quantile of the peaks of the profiles of one class (nearest rank), None without any."""
    ordered = sorted(peaks)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, math.ceil(quantile * len(ordered)) - 1))]


def limits_of(
    known: Knowledge, sizing: Sizing, classes: Mapping[str, Sequence[float]] | None = None
) -> tuple[dict[str, float | None], list[str], str]:
    """The limits per resource (None = unlimited), the guardrails that bit, and where the size comes from.

    In this order: what the request asks for; the forecast with its margin; the quantile of its class, widened by
    1 + 1/days while there is little history; the policy's size of an unknown tenant. I/O stays unlimited when nothing
    is known of it. Rounded up, but always within the profile's bounds, and not below the floor if they allow it.
    """
    result: dict[str, float | None] = {}
    bites: list[str] = []
    sources: list[str] = []
    for resource in RESOURCES:
        value, source = _wanted(resource, known, sizing, classes or {})
        least, most = known.bounds.get(resource, (None, None))
        if value is None:
            result[resource] = most
            continue
        sources.append(source)
        low = max(least or 0.0, floor_of(sizing, resource))
        if value < low:
            bites.append(
                "bounds" if low == least else f"sizing.{'io' if resource.startswith('io') else resource}_floor"
            )
            value = low
        if most is not None and value > most:
            bites.append("bounds")
            value = most
        result[resource] = rounded(resource, value) if most is None else min(rounded(resource, value), most)
    return result, sorted(set(bites)), max(sources, key=sources.count) if sources else "nothing"


def _wanted(
    resource: str, known: Knowledge, sizing: Sizing, classes: Mapping[str, Sequence[float]]
) -> tuple[float | None, str]:
    if resource in known.asked:
        return known.asked[resource], "the request"
    if resource in known.peaks:
        return known.peaks[resource] * margin(sizing, resource, known.confidence), "the forecast"
    widened = 1.0 + 1.0 / max(known.days, 1.0)
    most = class_quantile(classes.get(resource, ()), sizing.class_quantile)
    if most is not None:
        return most * widened, "its class of workloads"
    if resource == "cpu":
        return sizing.unknown_cpu, "the policy's size of an unknown workload"
    if resource == "memory":
        return float(sizing.unknown_memory), "the policy's size of an unknown workload"
    return None, ""


def tenant_limits(limits: Mapping[str, float | None], level: float, priority: int, sizing: Sizing) -> dict[str, Any]:
    """The limits as ``vm_partition`` takes them: cpu, memory, io, pids.

    memory.high stands one sixteenth below the maximum, so that reclaim comes before the end; memory.low protects the
    median need. Ten points of priority double the weight: 50 is 100, 70 is 400.
    """
    weight = min(10000, max(1, round(100 * 2 ** ((priority - 50) / 10))))
    maximum = int(limits["memory"] or sizing.memory_floor)
    high = max(maximum * 15 // 16 // MIB * MIB, MIB)
    return {
        "cpu": {"cores": limits["cpu"], "weight": weight},
        "memory": {"low": min(int(level) // MIB * MIB, high * 3 // 4 // MIB * MIB), "high": high, "max": maximum},
        "io": {
            "weight": weight,
            "read": None if limits["io_read"] is None else int(limits["io_read"]),
            "write": None if limits["io_write"] is None else int(limits["io_write"]),
        },
        "pids": sizing.pids,
    }

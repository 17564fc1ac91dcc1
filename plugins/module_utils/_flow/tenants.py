# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New tenants' limits from what is known of their profiles, and their documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .._planning.demand import MEMORY, RESOURCES
from .._planning.policy import Policy
from .._planning.policy_reader import narrowed
from .._planning.sizing import Knowledge, limits_of, tenant_limits
from .._store.interface import Document
from .cells import Entry, known_days
from .demands import Expected
from .requests import Wanted

if TYPE_CHECKING:
    from numpy.typing import NDArray


def class_peaks(profiles: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The learned peaks of all profiles per resource: the class that an unknown workload is sized by."""
    peaks: dict[str, list[float]] = {resource: [] for resource in RESOURCES}
    for profile in profiles:
        for resource, pattern in (profile.get("patterns") or {}).items():
            if resource in peaks and pattern.get("peak") is not None:
                peaks[resource].append(float(pattern["peak"]))
    return peaks


def knowledge(profile: Mapping[str, Any], forecast: Expected, asked: Mapping[str, float]) -> Knowledge:
    """What is known of a profile's need over the horizon."""
    row = forecast.row[profile["key"]]
    patterns = profile.get("patterns") or {}
    peaks = {
        resource: float(forecast.size[row, :, column].max())
        for column, resource in enumerate(RESOURCES)
        if forecast.known[row, column]
    }
    level = float(_median(forecast.median[row, :, MEMORY])) if forecast.known[row, MEMORY] else 0.0
    trusts = [float(pattern.get("confidence") or 0.0) for pattern in patterns.values()]
    bounds = {
        resource: (limits.get("min"), limits.get("max"))
        for resource, limits in (profile.get("bounds") or {}).items()
        if limits
    }
    return Knowledge(peaks, level, min(trusts, default=0.0), known_days(profile), bounds, asked)


def _median(values: NDArray[Any]) -> float:
    ordered = sorted(float(value) for value in values)
    return ordered[len(ordered) // 2]


def tenant_document(
    wanted: Wanted,
    cell: str,
    policy: Policy,
    forecast: Expected,
    classes: Mapping[str, list[float]],
    now: datetime,
) -> Document:
    """The document of a tenant to be, without a VM."""
    sizing = narrowed(policy, cell=cell, profile=wanted.profile["key"]).sizing
    known = knowledge(wanted.profile, forecast, wanted.asked)
    limits, bites, source = limits_of(known, sizing, classes)
    return {
        "key": wanted.tenant,
        "profile": wanted.profile["key"],
        "request": wanted.request,
        "vm": None,
        "cell": cell,
        "state": "running",
        "priority": wanted.priority,
        **tenant_limits(limits, known.level, wanted.priority, sizing),
        "sandbox": dict(wanted.profile.get("sandbox") or {}),
        "claim": None,
        "admitted_at": now,
        "placed_at": now,
        "resized_at": None,
        "moved_at": None,
        "moving_to": None,
        "moves": [],
        "sized_by": source,
        "limits": bites,
    }


def limits_in(tenant: Mapping[str, Any]) -> dict[str, float | None]:
    """The limits of a tenant's document per resource, None where there is none."""
    io = tenant.get("io") or {}
    return {
        "cpu": (tenant.get("cpu") or {}).get("cores"),
        "memory": (tenant.get("memory") or {}).get("max"),
        "io_read": io.get("read"),
        "io_write": io.get("write"),
    }


def entry_of(tenant: Mapping[str, Any], profile: Document, vm: int = -1) -> Entry:
    """A tenant's document as an entry of the planner's picture."""
    last = str(tenant.get("vm") or tenant.get("last_vm") or "")
    return Entry(str(tenant["key"]), profile, limits_in(tenant), int(tenant["priority"]), vm, last)


def difference(tenant: Mapping[str, Any], made: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The limits that differ, before and after, in the shape of a tenant's document."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for part in ("cpu", "memory", "io"):
        for key, value in made[part].items():
            if key != "weight" and (tenant.get(part) or {}).get(key) != value:
                before.setdefault(part, {})[key] = (tenant.get(part) or {}).get(key)
                after.setdefault(part, {})[key] = value
    return before, after

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of a profile as a user gives them, made the normalised fields that the store keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .._core.errors import InputError
from .._core.names import tenant_name
from .._core.plain import plain
from .._core.units import parse_bytes, parse_cores, parse_duration, parse_rate

_UNITS: dict[str, Callable[[object], float]] = {
    "cpu": parse_cores,
    "memory": parse_bytes,
    "io_read": parse_rate,
    "io_write": parse_rate,
}


def defaults(name: str) -> dict[str, Any]:
    """What a new profile is where nothing else is given; patterns and arrival come when it is learned."""
    return {
        "workload": name,
        "parameters": {},
        "dependencies": {"os": None, "libraries": [], "workloads": []},
        "priority": 50,
        "bounds": {metric: {"min": None, "max": None} for metric in _UNITS},
        "timezone": "UTC",
        "sandbox": {},
        "shadow": {},
        "affinity": [],
        "anti_affinity": [],
        "zone": None,
        "arrival": None,
        "patterns": {},
        "confidence": None,
        "learned_at": None,
        "created_at": None,
        "origin": "given",
        "match": None,
    }


def _bound(value: object, metric: str, side: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        return _UNITS[metric](value)
    except InputError as error:
        raise InputError(error.message, item=f"bounds.{metric}.{side}", hint=error.hint) from None


def _bounds(given: Mapping[str, Any]) -> dict[str, Any]:
    bounds = {}
    for metric, limits in given.items():
        if limits is None:
            continue
        low, high = (_bound(limits.get(side), metric, side) for side in ("min", "max"))
        if low is not None and high is not None and low > high:
            raise InputError("the minimum is above the maximum", item=f"bounds.{metric}")
        bounds[metric] = {"min": low, "max": high}
    return bounds


def _timezone(given: str) -> str:
    try:
        ZoneInfo(given)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"the time zone {given!r} is not known", hint="write it like Europe/Berlin or UTC") from None
    return given


def _priority(given: int) -> int:
    if not 0 <= given <= 100:
        raise InputError(f"the priority {given} is not between 0 and 100")
    return given


def _text(given: str) -> str:
    if not given.strip() or len(given.encode()) > 400:
        raise InputError(f"the workload {given!r} is empty or longer than 400 bytes")
    return given


def _names(given: list[str]) -> list[str]:
    return sorted({tenant_name(name) for name in given})


def _dependencies(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "os": given.get("os"),
        "libraries": sorted(set(given.get("libraries") or [])),
        "workloads": sorted(set(given.get("workloads") or [])),
    }


def _known(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in given.items() if value is not None}


def _shadow(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parse_duration(given.get("warmup") or 0)
    except InputError as error:
        raise InputError(error.message, item="shadow.warmup", hint=error.hint) from None
    return _known(given)


# What a user declares; all else is learned or observed.
READERS: dict[str, Callable[[Any], Any]] = {
    "workload": _text,
    "parameters": plain,
    "dependencies": _dependencies,
    "priority": _priority,
    "bounds": _bounds,
    "timezone": _timezone,
    "sandbox": _known,
    "shadow": _shadow,
    "affinity": _names,
    "anti_affinity": _names,
    "zone": lambda given: given or None,
}


def read(item: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that an item gives, normalised; what it leaves out (None) is left out. Raises InputError."""
    return {field: reader(item[field]) for field, reader in READERS.items() if item.get(field) is not None}


def merged(present: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A profile with the given fields in it. Of the bounds, the metrics that are given replace theirs."""
    wanted = {**present, **given}
    if "bounds" in given:
        wanted["bounds"] = {**present.get("bounds", {}), **given["bounds"]}
    return wanted

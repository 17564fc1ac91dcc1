# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests as the planner takes them: given ones, and those that the profiles' models expect."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .._core.errors import InputError, TenancyError
from .._core.names import tenant_name
from .._core.plain import plain
from .._core.units import format_time, parse_bytes, parse_cores, parse_rate, parse_time
from .._model.arrivals import next_arrivals
from .._model.types import ArrivalModel
from .._store.interface import Document
from .profiles import Profiles

# Median cores from which a workload without a schedule counts as in use.
IN_USE = 0.02
_RESOURCES: dict[str, Callable[[object], float]] = {
    "cpu": parse_cores,
    "memory": parse_bytes,
    "io_read": parse_rate,
    "io_write": parse_rate,
}


@dataclass(frozen=True)
class Wanted:
    """One request: the tenant that serves it, its profile, what it asks for; ``state`` present or absent."""

    tenant: str
    request: str
    profile: Document
    priority: int
    asked: Mapping[str, float] = field(default_factory=dict)
    created_profile: bool = False
    expected_at: float | None = None
    why: str = ""
    state: str = "present"


def request_spec() -> dict[str, Any]:
    """The ``requests`` option."""
    text: dict[str, Any] = {"type": "str"}
    return {
        "type": "list",
        "elements": "dict",
        "options": {
            "id": text,
            "workload": text,
            "profile": text,
            "parameters": {"type": "dict"},
            "time": text,
            "priority": {"type": "int"},
            "resources": {"type": "dict", "options": dict.fromkeys(_RESOURCES, text)},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
    }


def label(item: Mapping[str, Any], index: int) -> str:
    """What to call a request in messages."""
    return str(item.get("id") or item.get("profile") or item.get("workload") or f"requests[{index}]")


def name_of(profile: str, request: str) -> str:
    """The tenant of a request: the request's id where it is a valid name, else the profile's name and a digest."""
    if re.fullmatch(r"[a-z0-9_]{1,48}", request):
        return request
    digest = hashlib.sha256(request.encode()).hexdigest()[:8]
    return f"{profile[:39]}_{digest}"


def _asked(item: Mapping[str, Any]) -> dict[str, float]:
    asked = {}
    for resource, value in (item.get("resources") or {}).items():
        if resource not in _RESOURCES:
            raise InputError(f"unknown resource {resource!r}", hint="known: " + ", ".join(_RESOURCES))
        if value is not None:
            asked[resource] = _amount(resource, value)
    return asked


def _amount(resource: str, value: object) -> float:
    try:
        return _RESOURCES[resource](value)
    except InputError as error:
        raise InputError(error.message, item=f"resources.{resource}", hint=error.hint) from None


def read(item: Mapping[str, Any], profiles: Profiles) -> Wanted:
    """One given request with its profile, made if there is none and the request is to be. Raises InputError."""
    if bool(item.get("workload")) == bool(item.get("profile")):
        raise InputError("give either workload or profile")
    parameters = plain(item.get("parameters") or {})
    state = item.get("state") or "present"
    if state == "absent":
        profiles = profiles.unwritten()
    before = len(profiles.created)
    if item.get("profile"):
        profile = profiles.by_name(item["profile"])
    else:
        profile = profiles.of_request(item["workload"], parameters)
    priority = profile["priority"] if item.get("priority") is None else item["priority"]
    if not 0 <= priority <= 100:
        raise InputError(f"the priority {priority} is not between 0 and 100")
    time = format_time(parse_time(item["time"])) if item.get("time") else ""
    request = item.get("id") or _identity(profile["key"], parameters, time)
    return Wanted(
        tenant=name_of(profile["key"], request),
        request=request,
        profile=profile,
        priority=priority,
        asked=_asked(item),
        created_profile=state == "present" and len(profiles.created) > before,
        state=state,
    )


def _identity(profile: str, parameters: Mapping[str, Any], time: str) -> str:
    """The id of a request that gave none: the same profile, parameters and time are the same request."""
    if not parameters and not time:
        return f"{profile[:46]}_1"
    return f"{profile}:{time}:{json.dumps(parameters, sort_keys=True, default=str)}"


def read_all(
    items: Sequence[Mapping[str, Any]], profiles: Profiles
) -> tuple[list[Wanted], list[tuple[str, TenancyError]]]:
    """All given requests that can be read, and what was wrong with the others by their label."""
    wanted: dict[str, Wanted] = {}
    errors: list[tuple[str, TenancyError]] = []
    for index, item in enumerate(items):
        try:
            one = read(item, profiles)
            tenant_name(one.tenant)
            if one.tenant in wanted:
                raise InputError("is listed twice", item=one.request)
        except TenancyError as error:
            errors.append((label(item, index), error))
            continue
        wanted[one.tenant] = one
    return list(wanted.values()), errors


def arrivals(profile: Mapping[str, Any], start: datetime, end: datetime) -> list[tuple[float, float, float]]:
    """When a profile's requests are expected in [start, end): (expected, low, high) in UTC seconds."""
    if not profile.get("arrival"):
        return []
    model = ArrivalModel.from_document(profile["arrival"])
    if not model.expects:
        return []
    return next_arrivals(model, start.timestamp(), end.timestamp())


def in_use(profile: Mapping[str, Any]) -> float:
    """The median cores of a workload that is not asked for on a schedule, 0 for one that is."""
    arrival = profile.get("arrival") or {}
    if arrival.get("schedules") or arrival.get("rules"):
        return 0.0
    return float((profile.get("patterns") or {}).get("cpu", {}).get("level") or 0.0)


def expected(
    profiles: Iterable[Document], now: datetime, seconds: float, running: Callable[[str], Collection[str]]
) -> list[Wanted]:
    """One request for each profile that expects one within ``seconds`` from now, or whose usage goes on.

    A workload that has no schedule but uses CPU all the time (a service) was asked for once and is still wanted, unless
    it is ``running`` (asked for a profile's tenants, of any cell) by another name: then its usage is that tenant's. The
    request's id is the profile's own, so that a later run means the same tenant.
    """
    found = []
    for profile in profiles:
        due = arrivals(profile, now, now + timedelta(seconds=seconds))
        level = in_use(profile)
        if not due and level < IN_USE:
            continue
        why = (
            f"expected at {format_time(_moment(now, due[0][0]))}" if due else f"in use, {level:.2g} cores at the median"
        )
        request = f"{profile['key'][:46]}_1"
        tenant = name_of(profile["key"], request)
        if not due and tenant not in (running(profile["key"]) or {tenant}):
            continue
        found.append(
            Wanted(
                tenant=tenant,
                request=request,
                profile=profile,
                priority=int(profile["priority"]),
                expected_at=due[0][0] if due else None,
                why=why,
            )
        )
    return found


def _moment(like: datetime, seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds), tz=like.tzinfo)

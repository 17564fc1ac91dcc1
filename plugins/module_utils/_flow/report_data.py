# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report read from the store: nothing is decided and nothing is written here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .._core.errors import InputError
from .._model.arrivals import next_arrivals
from .._model.types import ArrivalModel
from .._store.interface import Document, Store
from .report_measured import groups
from .report_plans import plans
from .report_series import drawn_patterns, scalar_patterns
from .report_text import asked_for
from .report_views import Expected, Machine, Profile, Report, Shadow, Tenant

# Expected requests are shown for a day, of rare workloads the first one within a week.
DAY = 86400.0
WEEK = 8 * DAY
MOST_EXPECTED = 1500


def collect(
    store: Store,
    *,
    now: datetime,
    cell: str | None,
    title: str,
    hours: float,
    charts: int,
    measurements: Iterable[Mapping[str, Any]],
) -> Report:
    """Everything that the page shows. ``cell``: only its VMs, tenants, shadows and plans (None: all); ``hours`` of
    history before ``now`` and at most ``charts`` workloads are drawn. Raises InputError for a bad measurement."""
    if not 1 <= hours <= 24 * 31:
        raise InputError(f"{hours:g} hours of history", item="hours", hint="ask for 1 to 744")
    where = {"cell": cell} if cell else None
    tenants = [_tenant(one) for one in store.find("tenants", where) if one.get("state") != "absent"]
    shadows = sorted(
        (_shadow(one) for one in store.find("shadows", where)), key=lambda one: (one.expected or math.inf, one.name)
    )
    machines = [_machine(one, tenants, shadows) for one in store.find("vms", where)]
    documents = {one["key"]: one for one in store.find("profiles")}
    profiles = _profiles(documents, tenants, now.timestamp())
    chosen = [profile.name for profile in profiles if documents[profile.name].get("patterns")][:charts]
    drawn = drawn_patterns(store, {name: documents[name] for name in chosen}, now, hours)
    return Report(
        title=title,
        cell=cell or "",
        now=now.timestamp(),
        hours=hours,
        profiles=profiles,
        charted=[replace(one, patterns=drawn[one.name]) for one in profiles if one.name in drawn],
        machines=machines,
        shadows=shadows,
        plans=plans(store, where),
        groups=groups(measurements),
        counts=counts(store.find("decisions", where), tenants, now.timestamp()),
        totals=_totals(profiles, tenants, machines),
    )


def seconds(moment: Any) -> float | None:
    """A document's time as UTC seconds, None where there is none."""
    return moment.timestamp() if isinstance(moment, datetime) else None


def number(value: Any) -> float:
    """A document's number; 0 where there is none."""
    return float(value) if isinstance(value, (int, float)) else 0.0


def _tenant(one: Document) -> Tenant:
    times = [seconds(one.get(name)) for name in ("moved_at", "admitted_at")]
    return Tenant(
        name=one["key"],
        profile=one.get("profile") or "",
        vm=one.get("vm") or "",
        state=one.get("state") or "",
        priority=int(number(one.get("priority"))),
        cores=number((one.get("cpu") or {}).get("cores")),
        memory=number((one.get("memory") or {}).get("max")),
        moving_to=one.get("moving_to") or "",
        claim=one.get("claim") or "",
        since=next((moment for moment in times if moment is not None), None),
    )


def _shadow(one: Document) -> Shadow:
    return Shadow(
        name=one["key"],
        profile=one.get("profile") or "",
        vm=one.get("vm") or "",
        tier=one.get("tier") or "",
        state=one.get("state") or "",
        expected=seconds(one.get("expected_at")),
        ready=seconds(one.get("ready_by")),
        expires=seconds(one.get("expires_at")),
        memory=number(one.get("memory")),
    )


def _machine(one: Document, tenants: list[Tenant], shadows: list[Shadow]) -> Machine:
    waiting = [shadow for shadow in shadows if shadow.vm == one["key"] and shadow.state == "waiting"]
    capacity = one.get("capacity") or {}
    return Machine(
        name=one["key"],
        zone=one.get("zone") or "",
        host=one.get("host") or "",
        state=one.get("state") or "",
        cores=number(capacity.get("cpu")),
        memory=number(capacity.get("memory")),
        tenants=sorted((tenant for tenant in tenants if tenant.vm == one["key"]), key=lambda tenant: tenant.name),
        shadows=len(waiting),
        held=sum(shadow.memory for shadow in waiting),
    )


def _expected(arrival: Mapping[str, Any] | None, now: float) -> list[Expected]:
    if not arrival:
        return []
    model = ArrivalModel.from_document(arrival)
    if not model.expects:
        return []
    soon = next_arrivals(model, now, now + DAY, most=MOST_EXPECTED)
    return soon or next_arrivals(model, now + DAY, now + WEEK, most=1)


def _profiles(documents: Mapping[str, Document], tenants: list[Tenant], now: float) -> list[Profile]:
    """All profiles: those with tenants first, then those that are expected soonest, then by name."""
    held: dict[str, int] = {}
    for tenant in tenants:
        held[tenant.profile] = held.get(tenant.profile, 0) + 1
    found = [_profile(one, held.get(name, 0), now) for name, one in documents.items()]
    return sorted(found, key=lambda one: (not one.tenants, one.expected[0][0] if one.expected else math.inf, one.name))


def _profile(one: Document, tenants: int, now: float) -> Profile:
    arrival = one.get("arrival") or {}
    period = arrival.get("period")
    return Profile(
        name=one["key"],
        workload=one.get("workload") or one["key"],
        priority=int(number(one.get("priority"))),
        kind=arrival.get("kind") or "unknown",
        asked=asked_for(arrival),
        period=float(period) if period else None,
        jitter=number(arrival.get("jitter")),
        confidence=number(arrival.get("confidence")),
        requests=round(number(arrival.get("events")) * (number(arrival.get("burst")) or 1.0)),
        expected=_expected(arrival, now),
        tenants=tenants,
        patterns=scalar_patterns(one),
    )


def _totals(profiles: list[Profile], tenants: list[Tenant], machines: list[Machine]) -> dict[str, Any]:
    quality = [one.patterns["cpu"] for one in profiles if "cpu" in one.patterns]
    cpu, memory = sum(one.used_cores for one in machines), sum(one.used_memory for one in machines)
    cores, size = sum(one.cores for one in machines), sum(one.memory for one in machines)
    return {
        "tenants": len(tenants),
        "running": sum(tenant.state == "running" for tenant in tenants),
        "ready": sum(machine.state == "ready" for machine in machines),
        "profiles": len(profiles),
        "periodic": sum(profile.period is not None for profile in profiles),
        "cpu": cpu,
        "memory": memory,
        "cpu_share": cpu / cores if cores else None,
        "memory_share": memory / size if size else None,
        "mase": _median(one.mase for one in quality),
        "coverage": _median(one.coverage for one in quality),
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def counts(decisions: Iterable[Document], tenants: Iterable[Tenant], now: float) -> dict[str, list[tuple[float, int]]]:
    """Tenants per VM over time as steps (UTC seconds, tenants).

    Each tenant that is present counts on its VM since it came there; decisions that say from which VM to which a tenant
    went (``from`` and ``to``, or ``vm``) tell where it was before, and of those that are gone.
    """
    stays: dict[str, list[tuple[float, str]]] = {}
    for one in decisions:
        at, tenant = seconds(one.get("at")), one.get("tenant")
        if at is not None and tenant and at <= now and (target := _target(one)) is not None:
            stays.setdefault(tenant, []).append((at, target))
    for tenant in tenants:
        if tenant.since is not None and tenant.since <= now and tenant.vm:
            stays.setdefault(tenant.name, []).append((tenant.since, tenant.vm))
    changes: dict[str, dict[float, int]] = {}
    for places in stays.values():
        before = ""
        for at, vm in sorted(places):
            if vm != before:
                for place, by in ((before, -1), (vm, 1)):
                    if place:
                        steps = changes.setdefault(place, {})
                        steps[at] = steps.get(at, 0) + by
                before = vm
    return {vm: _steps(changes[vm]) for vm in sorted(changes)}


def recent(decisions: Iterable[Document], since: datetime) -> Iterator[Document]:
    """Decisions of after a time; of those before, which come in the order of time, only what ``counts`` needs to know
    where each tenant was then. So months of them fit in memory that grows with the tenants that were there."""
    before: dict[str, Document] = {}
    for one in decisions:
        at, tenant = one.get("at"), one.get("tenant")
        if isinstance(at, datetime) and at > since:
            yield one
        elif isinstance(at, datetime) and tenant and (target := _target(one)) is not None:
            before.pop(tenant, None)
            if target:
                before[tenant] = one
    yield from before.values()


def _steps(changes: Mapping[float, int]) -> list[tuple[float, int]]:
    total, out = 0, [(min(changes), 0)]
    for at in sorted(changes):
        total += changes[at]
        out.append((at, total))
    return out


def _target(decision: Mapping[str, Any]) -> str | None:
    """The VM on which a decision left its tenant, "" for none, None when it moved nothing."""
    kind, after = decision.get("kind"), decision.get("to", decision.get("vm"))
    if kind in ("remove", "evict"):
        return ""
    if kind not in ("admit", "move", "consolidate"):
        return None
    if isinstance(after, Mapping):
        after = after.get("vm")
    return str(after) if after else None

# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows as metrics: forecasts and how far they held, plans, guardrails, starts, shadows, savings.

What happened is told for the day before ``now`` and by gauges: the store forgets, so a counter over it would run
backwards and Prometheus would take that for a restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .._core.units import format_time
from .._model.arrivals import next_arrivals
from .._model.types import ArrivalModel
from .._planning.demand import MEMORY, RESOURCES
from .._store.interface import Document, Store
from .demands import slots_from
from .exposition import Family
from .report_data import counts, recent, seconds
from .report_views import Tenant

if TYPE_CHECKING:
    import numpy as np
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

DAY = timedelta(days=1)
AHEAD = 8 * 86400.0
QUANTILES = (0.5, 0.95)
STATES = {
    "vms": ("ready", "draining", "lost"),
    "tenants": ("running", "paused"),
    "shadows": ("waiting", "claimed", "expired"),
    "plans": ("recommended", "applying", "applied", "failed", "superseded", "expired"),
}
UNITS = {"cpu": "cores", "memory": "bytes", "io_read": "bytes_per_second", "io_write": "bytes_per_second"}


class Exporter:
    """The families of one export, made as they are first used."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}

    def gauge(self, name: str, text: str, value: float | None, **labels: str) -> None:
        """One sample."""
        self.families.setdefault(name, Family(name, "gauge", text)).add(value, **labels)


def export(store: Store, now: datetime, cell: str | None, profiles: int) -> list[Family]:
    """All metrics of a cell (None: of all cells), with at most ``profiles`` profiles, those with tenants first."""
    where = {"cell": cell} if cell else None
    found, plans = _found(store, where, now - DAY)
    out = Exporter()
    # Two cells' files may lie in one folder, and may not hold the same series.
    told = {"cell": cell} if cell else {}
    out.gauge("tenancy_export_timestamp_seconds", "When these metrics were taken.", now.timestamp(), **told)
    cells = {str(one["cell"]) for documents in found.values() for one in documents} | set(plans)
    for name in sorted(cells | ({cell} if cell else set())):
        of_cell = {kind: [one for one in documents if one["cell"] == name] for kind, documents in found.items()}
        _states(out, name, of_cell, plans.get(name, Counter()))
        _machines(out, name, of_cell)
        _plans(out, name, of_cell, now)
        _starts(out, name, of_cell, now)
    present = [one for one in found["tenants"] if one["state"] != "absent"]
    for one in present:
        labels = {"cell": one["cell"], "vm": one["vm"] or "", "tenant": one["key"], "profile": one["profile"]}
        out.gauge("tenancy_tenant_assigned", "Which tenant of which profile belongs to which VM.", 1, **labels)
    _profiles(out, store, now, Counter(str(one["profile"]) for one in present), profiles, told)
    return list(out.families.values())


def _found(
    store: Store, where: Mapping[str, Any] | None, since: datetime
) -> tuple[dict[str, list[Document]], dict[str, Counter[str]]]:
    """What is there and what came after a time, by kind; and how many plans of each cell are in which state. The store
    keeps months: what is told of is chosen while it is read, so that memory grows with the cell and a day of it."""
    plans: dict[str, Counter[str]] = {}
    young = []
    for one in store.find("plans", where):
        plans.setdefault(str(one["cell"]), Counter())[one["state"]] += 1
        if one["created_at"] > since:
            young.append(one)
    # Where a tenant was before the day matters to savings alone. The keys of decisions begin with their time, to the
    # second or to the millisecond, which sort alike but within a second.
    savings = any(action["kind"] == "consolidate" for one in young for action in one["actions"])
    after = None if savings else format_time(since - timedelta(seconds=1))
    found = {
        "vms": list(store.find("vms", where)),
        "tenants": [
            one
            for one in store.find("tenants", where)
            if one["state"] != "absent" or (one.get("admitted_at") or since) > since
        ],
        "shadows": list(store.find("shadows", where)),
        "plans": young,
        "decisions": list(recent(store.find("decisions", where, after=after), since)),
    }
    return found, plans


def _states(out: Exporter, cell: str, found: Mapping[str, Sequence[Document]], plans: Counter[str]) -> None:
    for kind, states in STATES.items():
        held = plans if kind == "plans" else Counter(one["state"] for one in found[kind])
        for state in states:
            text = f"The {kind} that the store knows, by state."
            out.gauge(f"tenancy_{kind}", text, held[state], cell=cell, state=state)


def _machines(out: Exporter, cell: str, found: Mapping[str, Sequence[Document]]) -> None:
    used = 0
    for vm in found["vms"]:
        allocations = (vm.get("allocations") or {}).values()
        used += bool(allocations)
        for resource in ("cpu", "memory"):
            taken = sum(float(one.get(resource) or 0.0) for one in allocations)
            labels = {"cell": cell, "vm": vm["key"]}
            unit = UNITS[resource]
            out.gauge(f"tenancy_vm_capacity_{unit}", "What a VM may give.", vm["capacity"].get(resource), **labels)
            out.gauge(f"tenancy_vm_promised_{unit}", "What its tenants' limits sum up to.", taken, **labels)
    out.gauge("tenancy_vms_in_use", "VMs that hold a tenant.", used, cell=cell)
    held = sum(float(one["memory"] or 0.0) for one in found["shadows"] if one["state"] == "waiting")
    out.gauge("tenancy_shadow_held_bytes", "Memory that waiting shadows hold.", held, cell=cell)


def _plans(out: Exporter, cell: str, found: Mapping[str, Sequence[Document]], now: datetime) -> None:
    actions: Counter[tuple[str, str, str]] = Counter()
    bites: Counter[str] = Counter()
    for plan in found["plans"]:
        bites.update(plan["limits"])
        actions.update((one["kind"], one["rule"], one["state"]) for one in plan["actions"])
    for (kind, rule, state), count in sorted(actions.items()):
        labels = {"cell": cell, "kind": kind, "rule": rule, "state": state}
        text = "Actions of the plans of the last day, by kind, rule that asked for them, and state."
        out.gauge("tenancy_actions_last_day", text, count, **labels)
    for name, count in sorted(bites.items()):
        text = "How often a guardrail held something back in the plans of the last day."
        out.gauge("tenancy_guardrail_bites_last_day", text, count, cell=cell, guardrail=name)
    kinds = Counter(one["kind"] for one in found["decisions"] if one["at"] > now - DAY)
    for kind in sorted({"admit", "remove", "evict", "resize", "move", "consolidate"} | set(kinds)):
        out.gauge("tenancy_decisions_last_day", "What was done to tenants.", kinds[kind], cell=cell, kind=kind)
    _savings(out, cell, found, now)


def _savings(out: Exporter, cell: str, found: Mapping[str, Sequence[Document]], now: datetime) -> None:
    """VMs that the applied plans of the day were to empty, and that they did empty: those that held tenants when the
    plan began and held none when it was applied."""
    predicted = realised = 0
    places = [_tenant(one) for one in found["tenants"] if one["state"] != "absent"]
    steps = counts(found["decisions"], places, now.timestamp())
    for plan in found["plans"]:
        if plan["state"] != "applied" or not plan.get("applied_at"):
            continue
        targets = {one["from"]["vm"] for one in plan["actions"] if one["kind"] == "consolidate"}
        begin, end = plan["started_at"].timestamp(), plan["applied_at"].timestamp()
        predicted += len(targets)
        realised += sum(_at(steps.get(vm, ()), begin) > 0 and _at(steps.get(vm, ()), end) == 0 for vm in targets)
    text = "VMs that plans applied in the last day were to empty (predicted), and did (realised)."
    for kind, value in (("predicted", predicted), ("realised", realised)):
        out.gauge("tenancy_saved_vms_last_day", text, value, cell=cell, kind=kind)


def _at(steps: Iterable[tuple[float, int]], moment: float) -> int:
    held = 0
    for at, value in steps:
        if at > moment:
            break
        held = value
    return held


def _tenant(one: Document) -> Tenant:
    times = [seconds(one.get(name)) for name in ("moved_at", "admitted_at")]
    since = next((moment for moment in times if moment is not None), None)
    return Tenant(one["key"], one["profile"], one["vm"] or "", one["state"], 0, 0.0, 0.0, "", "", since)


def _starts(out: Exporter, cell: str, found: Mapping[str, Sequence[Document]], now: datetime) -> None:
    claimed = {one.get("tenant") for one in found["shadows"] if one["state"] == "claimed"}
    started = [one for one in found["tenants"] if one.get("admitted_at") and one["admitted_at"] > now - DAY]
    hits = sum(bool(one.get("claim")) or one["key"] in claimed for one in started)
    text = "Tenants admitted in the last day that found a shadow, or started cold."
    out.gauge("tenancy_starts_last_day", text, hits, cell=cell, start="shadow")
    out.gauge("tenancy_starts_last_day", text, len(started) - hits, cell=cell, start="cold")
    wasted = sum(
        float(one["memory"] or 0.0) * max(0.0, (one["expires_at"] - one["ready_by"]).total_seconds())
        for one in found["shadows"]
        if one["state"] == "expired" and one["expires_at"] > now - DAY
    )
    text = "Memory times the time that shadows of the last day held it for nobody."
    out.gauge("tenancy_shadow_wasted_byte_seconds_last_day", text, wasted, cell=cell)


def _profiles(
    out: Exporter, store: Store, now: datetime, tenants: Counter[str], most: int, told: Mapping[str, str]
) -> None:
    learned = (str(one["key"]) for one in store.find("profiles") if one.get("patterns") or one.get("arrival"))
    ranked = sorted(learned, key=lambda key: (-tenants[key], key))
    out.gauge("tenancy_profiles", "Profiles that have learned something.", len(ranked), **told)
    chosen = store.get_many("profiles", ranked[:most]).values()
    keys = {f"forecast/{one['key']}/{metric}": one for one in chosen for metric in one.get("patterns") or ()}
    arrays = store.get_arrays(keys)
    for one in sorted(chosen, key=lambda one: str(one["key"])):
        labels = {**told, "profile": str(one["key"])}
        out.gauge("tenancy_profile_tenants", "Tenants of a profile.", tenants[one["key"]], **labels)
        text = "When its next request is expected."
        out.gauge("tenancy_profile_next_request_timestamp_seconds", text, _next(one, now), **labels)
        for metric in RESOURCES:
            pattern = (one.get("patterns") or {}).get(metric)
            if pattern:
                _trust(out, pattern, resource=metric, **labels)
                array = arrays.get(f"forecast/{one['key']}/{metric}")
                if array is not None and array.shape[1]:
                    values = np.frombuffer(array.data, dtype=array.dtype).reshape(array.shape)
                    _forecast(out, metric, pattern, values, now, labels)


def _trust(out: Exporter, pattern: Mapping[str, Any], **labels: str) -> None:
    online, level = pattern.get("online") or {}, float(pattern.get("level") or 0.0)
    error = pattern.get("last_error")
    told = {
        "mase": ("Backtest error divided by that of repeating the day before.", pattern.get("mase")),
        "coverage_ratio": ("Share of the backtest at or below the 0.95 quantile.", pattern.get("coverage")),
        "realised_coverage_ratio": (
            "Share of what came since at or below the 0.95 quantile of what had been forecast.",
            online.get("coverage"),
        ),
        "realised_error_ratio": (
            "Mean absolute error of the previous forecast, divided by the level of the present one.",
            error / level if error is not None and level > 0 else None,
        ),
        "confidence_ratio": ("How far the forecast may be trusted, 0 to 1.", pattern.get("confidence")),
        "history_seconds": ("How long a history it stands on.", 86400.0 * float(pattern.get("days") or 0.0)),
    }
    for name, (text, value) in told.items():
        out.gauge(f"tenancy_profile_{name}", text, value, **labels)


def _forecast(
    out: Exporter, metric: str, pattern: Mapping[str, Any], values: Any, now: datetime, told: Mapping[str, str]
) -> None:
    slot = int(slots_from(pattern, now, 1)[0])
    levels = np.asarray(pattern["quantiles"], dtype=float)
    text = "What one tenant of it is expected to use now, by quantile."
    for quantile in QUANTILES:
        value = float(values[int(np.argmin(np.abs(levels - quantile))), slot])
        labels = {**told, "level": f"{quantile:g}"}
        if metric not in ("cpu", RESOURCES[MEMORY]):
            labels["direction"] = metric.removeprefix("io_")
        out.gauge(f"tenancy_profile_forecast_{UNITS[metric]}", text, max(0.0, value), **labels)


def _next(profile: Document, now: datetime) -> float | None:
    if not profile.get("arrival"):
        return None
    model = ArrivalModel.from_document(profile["arrival"])
    if not model.expects:
        return None
    start = now.timestamp()
    soon = next_arrivals(model, start, start + AHEAD, most=1)
    return float(soon[0][0]) if soon else None

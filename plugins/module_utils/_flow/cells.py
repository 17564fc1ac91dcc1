# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner's picture of a cell: VMs, residents and applicants with their demands, from the store's documents.

The VM documents' ``allocations`` say what room is taken; tenants' documents say where a tenant is. A resident is an
allocation, so that what is reserved for a tenant that is still on its way counts as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .._core.units import format_time
from .._planning.admission import Cell, Guest, HeldShadow, Vm
from .._planning.demand import MEMORY, RESOURCES, Demand, flat, group_ids, widened
from .._planning.packing import Packer
from .._planning.policy import Policy
from .._planning.policy_reader import narrowed
from .._store.interface import Document, Store
from .demands import Expected, expected, limited, windows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass


@dataclass(frozen=True)
class Entry:
    """One tenant in the picture: its name, its profile's document, its limits per resource (None = unlimited), the
    index of its VM or -1, and the key of the VM in which it ran before."""

    name: str
    profile: Document
    limits: Mapping[str, float | None]
    priority: int
    vm: int = -1
    last: str = ""

    @property
    def confidence(self) -> float:
        """How far the least trusted of the profile's forecasts may be trusted."""
        patterns = (self.profile.get("patterns") or {}).values()
        return round(min((float(one.get("confidence") or 0.0) for one in patterns), default=0.0), 3)


@dataclass
class Picture:
    """A cell ready for the planner. ``entries`` and ``cell.guests`` go together; ``keys`` are the VMs' names."""

    keys: list[str]
    documents: dict[str, Document]
    entries: list[Entry]
    cell: Cell
    forecast: Expected
    shadows: dict[str, HeldShadow]
    clock: list[str]
    index: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.index = {key: number for number, key in enumerate(self.keys)}


def capacities(documents: Sequence[Document]) -> Floats:
    """(VMs, resources), infinite where a VM states no limit."""
    return np.array(
        [
            [np.inf if one["capacity"].get(name) is None else one["capacity"][name] for name in RESOURCES]
            for one in documents
        ],
        dtype=float,
    ).reshape(len(documents), len(RESOURCES))


def planner_vm(document: Mapping[str, Any]) -> Vm:
    """A VM's document as the planner sees it."""
    provides = document.get("provides") or {}
    return Vm(
        document["key"],
        zone=document.get("zone") or "",
        host=document.get("host") or "",
        os=provides.get("os") or "",
        libraries=frozenset(provides.get("libraries") or ()),
        group=(document.get("labels") or {}).get("group", ""),
        ready=document.get("state") == "ready",
    )


def planner_guest(entry: Entry, policy: Policy) -> Guest:
    """A tenant with what its profile demands of its VM and its neighbours."""
    profile = entry.profile
    needs = profile.get("dependencies") or {}
    return Guest(
        entry.name,
        profile["key"],
        workload=profile.get("workload") or "",
        priority=entry.priority,
        os=needs.get("os") or "",
        libraries=frozenset(needs.get("libraries") or ()),
        needs=tuple(needs.get("workloads") or ()),
        near=tuple(profile.get("affinity") or ()),
        apart=tuple(profile.get("anti_affinity") or ()),
        zone=profile.get("zone") or "",
        pinned=entry.name in policy.move.pins or profile["key"] in policy.move.pins,
        last=entry.last,
    )


def limit_rows(entries: Sequence[Entry]) -> Floats:
    """(n, resources) limits, infinite where there is none."""
    return np.array(
        [[np.inf if one.limits.get(name) is None else one.limits[name] for name in RESOURCES] for one in entries],
        dtype=float,
    ).reshape(len(entries), len(RESOURCES))


def demand_of(entries: Sequence[Entry], forecast: Expected, policy: Policy) -> Demand:
    """The demand of every entry: its profile's forecast within its limits, else its limits throughout."""
    limits = limit_rows(entries)
    mean, variance = windows(forecast, policy)
    rows = np.array([forecast.row[one.profile["key"]] for one in entries], dtype=np.int64)
    assumed = np.where(np.isfinite(limits), limits, 0.0)
    fallback, none = flat(assumed, policy.packing.windows)
    known = forecast.known[rows][:, None, :] if len(entries) else np.zeros((0, 1, len(RESOURCES)), dtype=bool)
    days = np.array([known_days(one.profile) for one in entries])
    mean, variance = widened(mean[rows], variance[rows], days, policy.packing.novelty)
    mean = np.where(known, mean, fallback)
    variance = np.where(known, variance, none)
    floors = {key: narrowed(policy, profile=key).sizing.memory_floor for key in {one.profile["key"] for one in entries}}
    floor = np.array([floors[one.profile["key"]] for one in entries], dtype=float)
    mean, variance = limited(mean, variance, limits, floor)
    names = tuple(one.name for one in entries)
    return Demand(names, mean, variance, group_ids([str(one.profile.get("workload")) for one in entries]))


def known_days(profile: Mapping[str, Any]) -> float:
    """The days of history that a profile's forecast stands on."""
    return max((float(one.get("days") or 0.0) for one in (profile.get("patterns") or {}).values()), default=0.0)


def residents(documents: Mapping[str, Document], keys: Sequence[str], profiles: Mapping[str, Document]) -> list[Entry]:
    """The allocations of all VMs. One whose profile is gone keeps its room, as a profile without a forecast."""
    entries = []
    for vm, key in enumerate(keys):
        for name, held in sorted((documents[key].get("allocations") or {}).items()):
            profile = profiles.get(held["profile"]) or {"key": held["profile"], "patterns": {}}
            limits = {resource: held.get(resource) for resource in RESOURCES}
            entries.append(Entry(name, profile, limits, int(held.get("priority", 50)), vm))
    return entries


def picture(
    store: Store,
    documents: Mapping[str, Document],
    profiles: dict[str, Document],
    applicants: Sequence[Entry],
    policy: Policy,
    now: datetime,
) -> Picture:
    """Build the picture. ``profiles`` is filled with those of the residents as they are met."""
    keys = sorted(documents)
    held = {one["profile"] for key in keys for one in (documents[key].get("allocations") or {}).values()}
    profiles.update(store.get_many("profiles", sorted(held - set(profiles))))
    entries = [*residents(documents, keys, profiles), *applicants]
    needed = {one.profile["key"]: one.profile for one in entries}
    forecast = expected(store, [needed[name] for name in sorted(needed)], now, policy)
    ordered = [documents[key] for key in keys]
    vms = [planner_vm(document) for document in ordered]
    capacity = capacities(ordered)
    packer = Packer(
        demand_of(entries, forecast, policy),
        capacity,
        fill=np.array([narrowed(policy, group=vm.group).packing.fill for vm in vms]),
        sigma=policy.packing.sigma,
        correlation=policy.packing.correlation,
        limits=np.nan_to_num(limit_rows(entries)[:, MEMORY], posinf=0.0),
        limit_capacity=capacity[:, MEMORY] * policy.packing.memory_overcommit,
        strategy=policy.packing.strategy,
    )
    packer.fill_in(np.array([entry.vm for entry in entries], dtype=np.int64))
    shadows = _shadows(ordered, packer)
    guests = [planner_guest(entry, policy) for entry in entries]
    cell = Cell(vms, guests, packer, policy)
    return Picture(keys, dict(documents), entries, cell, forecast, shadows, clock(now, policy))


def _shadows(ordered: Sequence[Document], packer: Packer) -> dict[str, HeldShadow]:
    """The shadows that wait, with what they hold taken from the VMs' room."""
    shadows = {}
    for vm, document in enumerate(ordered):
        for name, held in sorted((document.get("shadows") or {}).items()):
            amount = np.zeros(len(RESOURCES))
            amount[MEMORY] = float(held["memory"])
            packer.hold(vm, amount)
            shadows[name] = HeldShadow(name, held["profile"], vm, amount, float(held.get("value", 0.0)))
    return shadows


def resized(pict: Picture, limits: Mapping[int, Mapping[str, float | None]], policy: Policy) -> None:
    """Let the picture know new limits of some entries (by row), so that what is resized is what is placed."""
    if not limits:
        return
    rows = sorted(limits)
    for row in rows:
        pict.entries[row] = replace(pict.entries[row], limits=limits[row])
    entries = [pict.entries[row] for row in rows]
    pict.cell.packer.change(rows, demand_of(entries, pict.forecast, policy), limit_rows(entries)[:, MEMORY])


def clock(now: datetime, policy: Policy) -> list[str]:
    """When each window begins, for reasons."""
    width = policy.packing.horizon / policy.packing.windows
    return [format_time(now + timedelta(seconds=width * number))[:16] + "Z" for number in range(policy.packing.windows)]


def allocation(entry: Entry, now: datetime, kind: str = "tenant") -> dict[str, Any]:
    """What a VM's document keeps of a tenant: enough to judge the VM's room without any other document."""
    limits = {resource: entry.limits.get(resource) for resource in RESOURCES}
    return {"profile": entry.profile["key"], "priority": entry.priority, "kind": kind, "since": now, **limits}

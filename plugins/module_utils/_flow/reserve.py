# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reservations: a tenant's document says where it is, its VM's document that it has room there.

Each is one optimistic update. The tenant's document comes first, so that nobody places the same request twice; then
the room is taken in the VM's document, which fails if anybody else has changed it, and then the tenant is planned
again on what is there now. So no VM is ever overfilled, and a run that is killed in between leaves a tenant without
room, which the next run gives it, or room without a tenant, which the next run takes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .._core.errors import Conflict
from .._store.interface import Document, Store

# How long another run's tenant may be without room before it counts as left behind.
GRACE = timedelta(seconds=60)


@dataclass
class Reservation:
    """What one run wants to change in one VM: allocations and shadows to add and to take out."""

    add: dict[str, dict[str, Any]] = field(default_factory=dict)
    remove: set[str] = field(default_factory=set)
    add_shadows: dict[str, dict[str, Any]] = field(default_factory=dict)
    remove_shadows: set[str] = field(default_factory=set)

    def applied(self, vm: Mapping[str, Any]) -> Document:
        """The VM's document with the changes in it."""
        allocations = {name: held for name, held in (vm.get("allocations") or {}).items() if name not in self.remove}
        shadows = {name: held for name, held in (vm.get("shadows") or {}).items() if name not in self.remove_shadows}
        return {**vm, "allocations": {**allocations, **self.add}, "shadows": {**shadows, **self.add_shadows}}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.add or self.remove or self.add_shadows or self.remove_shadows)


def claim(store: Store, tenants: Sequence[Document]) -> tuple[list[Document], list[str]]:
    """Write tenants' documents (new ones without a version): those written, and the names another run was first at.
    One that had left and was removed since (retention.py) is a new one."""
    written: list[Document] = []
    lost: list[str] = []
    for wanted, outcome in zip(tenants, store.put_many("tenants", tenants)):
        if isinstance(outcome, Conflict):
            lost.append(wanted["key"])
        else:
            written.append(outcome)
    left = {one["key"]: one for one in tenants if one["key"] in lost and one.get("version") is not None}
    gone = sorted(set(left) - set(store.get_many("tenants", left)))
    if gone:
        new = [{name: value for name, value in left[key].items() if name != "version"} for key in gone]
        again, late = claim(store, new)
        return [*written, *again], [*(key for key in lost if key not in gone), *late]
    return written, lost


def take(
    store: Store, vms: Mapping[str, Document], wanted: Mapping[str, Reservation], *, dry: bool = False
) -> tuple[dict[str, Document], list[str]]:
    """Write the VMs' documents: the new ones by key, and the VMs that somebody else has changed meanwhile."""
    keys = [key for key in sorted(wanted) if not wanted[key].empty]
    if dry:
        return {key: wanted[key].applied(vms[key]) for key in keys}, []
    outcomes = store.put_many("vms", [wanted[key].applied(vms[key]) for key in keys])
    written: dict[str, Document] = {}
    lost: list[str] = []
    for key, outcome in zip(keys, outcomes):
        if isinstance(outcome, Conflict):
            lost.append(key)
        else:
            written[key] = outcome
    return written, lost


def housed(tenants: Iterable[Document], vms: Mapping[str, Document]) -> list[str]:
    """Tenants that have their room in the VM that their document names."""
    rooms = {key: vm.get("allocations") or {} for key, vm in vms.items() if vm["state"] != "lost"}
    return [
        one["key"]
        for one in tenants
        if (room := rooms.get(one.get("vm") or "", {}).get(one["key"])) is not None and room.get("kind") != "leaving"
    ]


def homeless(tenants: Iterable[Document], vms: Mapping[str, Document], now: datetime) -> list[Document]:
    """Tenants whose VM holds no room for them, or is lost, and that no other run is placing just now."""
    found = []
    for tenant in tenants:
        if tenant["state"] == "absent" or tenant.get("moving_to"):
            continue
        vm = vms.get(tenant.get("vm") or "")
        placed = vm is not None and vm["state"] != "lost" and tenant["key"] in (vm.get("allocations") or {})
        since = tenant.get("placed_at") or tenant.get("admitted_at")
        if not placed and (since is None or since <= now - GRACE):
            found.append(tenant)
    return found


def orphans(tenants: Mapping[str, Document], vms: Mapping[str, Document], now: datetime) -> dict[str, set[str]]:
    """Room held for tenants that are not there (VM to names), older than the grace of a run that is writing."""
    found: dict[str, set[str]] = {}
    for key, vm in vms.items():
        for name, held in (vm.get("allocations") or {}).items():
            tenant = tenants.get(name)
            here = tenant is not None and tenant["state"] != "absent" and key in (tenant["vm"], tenant.get("moving_to"))
            leaving = held.get("kind") == "leaving"
            if not here and not leaving and held["since"] <= now - GRACE:
                found.setdefault(key, set()).add(name)
    return found


def stale_shadows(
    shadows: Mapping[str, Mapping[str, Any]], vms: Mapping[str, Document], now: datetime
) -> dict[str, set[str]]:
    """Room held for shadows that do not wait in that VM (VM to names), older than the grace of a run that writes."""
    found: dict[str, set[str]] = {}
    for key, vm in vms.items():
        for name, held in (vm.get("shadows") or {}).items():
            shadow = shadows.get(name)
            here = shadow is not None and shadow["state"] == "waiting" and shadow["vm"] == key
            if not here and held["since"] <= now - GRACE:
                found.setdefault(key, set()).add(name)
    return found
